//! Controlled schedules: the registrar, the safe layer and both drivers under a scheduler that decides about every
//! step.
//!
//! A [`Subject`] is something to run from beginning to end, with the situations that it is to reach. [`check`] runs one
//! under many schedules, at random and by priority; [`soak`] runs all of them until it is told to stop. Each schedule
//! has a [`Seed`]; one that fails is printed with the command that runs it again, step by step the same.
//!
//! What is a step: every lock, event and wait of the simulated kernel and its models, every call of the registrar and
//! every step inside it, every entry to and return from a driver's callback or a call between modules, and every call
//! guard of the safe layer when it is entered ([`Point`](nt_sim::scheduler::Point) has the list). Each simulated thread
//! has a processor of its own, so a guard counts on as many as there are threads. What lies between two atomic operations
//! of a guard, and what weak memory adds, is for loom: `loom_rundown` and `loom_abandon` of the safe layer, `loom_races`
//! of the registrar's model.
//!
//! Rules for a subject:
//! - threads are started by shuttle or by the machine, and all have ended when the body returns;
//! - nothing depends on time, on addresses, or on the order of a hash map; what is to vary is drawn from
//!   `shuttle::rand`;
//! - it asserts the outcome of every schedule, and tells its [`Witness`] which situation the schedule was.

mod chance;
mod chooser;
mod coverage;
pub mod drivers;
mod explore;
pub mod guarded;
pub mod platform;
pub mod registrar;
mod seed;
pub mod soak;
mod witness;

pub use coverage::{Gaps, table};
pub use explore::{Failure, Seeds, Subject, check, run};
pub use seed::{NoSeed, Seed, Strategy};
pub use witness::Witness;

/// Everything that a soak runs.
pub fn subjects() -> impl Iterator<Item = &'static Subject> {
    registrar::SUBJECTS
        .iter()
        .chain(guarded::SUBJECTS)
        .chain(drivers::SUBJECTS)
}
