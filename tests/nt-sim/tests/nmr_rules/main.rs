//! The rules of the NMR contract: for each, a small module that breaks it, and exactly what the verifier
//! says then. `RULES.md` lists them.

mod calls;
mod fixture;
mod registration;
