//! Runs the scenarios with the real driver images, on Wine as their kernel.
//!
//! [`run`] makes a throw-away Wine prefix, installs both drivers from the files in `inf/`, and runs the
//! list of the crate `scenarios`, the same that runs on the simulated machine. Programs are processes of
//! their own, which do what a scenario tells them. [`Measured`] is such a machine for the benches.

#![expect(
    clippy::missing_errors_doc,
    reason = "an error is what went wrong, in words, for a person to read"
)]

mod agent;
mod install;
mod machine;
mod measure;
mod own;
mod prefix;
mod record;
mod run;

pub use measure::Measured;
pub use run::{Options, Outcome, Summary, run};
