//! The rules of the NMR contract: for each, a small module that breaks it, and exactly what the verifier
//! says then. `RULES.md` lists them.

mod attach;
mod calls;
mod detach;
mod documented;
mod fixture;
mod registration;
#[cfg(address_sanitizer)]
mod sanitized;
#[cfg(address_sanitizer)]
#[path = "../support/sanitized.rs"]
mod sanitized_process;
mod unload;
