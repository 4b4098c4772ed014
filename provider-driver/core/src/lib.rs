//! The provider driver, all but its entry symbol: a host of durable stores of e-mail names.
//!
//! For each namespace provider that its registry key names, the driver loads a store from a journal and registers one
//! NMR provider module of the NPI that the crate `nsemail-contract` describes. Clients attach, look names up, and
//! change them; a change is answered when it is durable.
//!
//! ```text
//!   NMR, clients                                            \\.\NsEmailProvider
//!        │                                                          │
//!     entries ── capture      the NSPv2 entries, and one            device       LIST, HOSTED, STATISTICS, EVENTS,
//!        │                                                          │
//!     binding ── whole        sessions, open look-ups            hosting      INSTALL, UNINSTALL
//!        │                                                          │
//!     service ────────────────────────────────────────────────── host         which providers are hosted; the
//!        │     one hosted provider: store, queue of changes         │         driver's own thread
//!     committer               group commit, the journal thread    driver      start and stop
//!        │
//!   store, journal, lookup, handles                              pure: no kernel, no unsafe
//! ```
//!
//! The pure modules are public, for tools that read journals, for benches, and for fuzzing.
//!
//! # Threads
//!
//! - The driver's own thread (`host`) reads the registry, registers a module when its store is loaded, and takes
//!   everything down again. Nothing else registers or deregisters.
//! - Each hosted provider has a journal thread, which loads its store (`loading`) and then makes the changes that wait,
//!   group by group. It outlives the wait for NMR, so that every accepted call completes.
//! - Calls of clients run on their threads. They take no lock across a call out of the driver. One that waits for its
//!   change makes it by itself while nobody else makes one; whoever does has the provider's committer (`committer`), of
//!   which there is one.
//!
//! # Locks, in the order in which they are taken
//!
//! a binding's sessions and look-ups, then one look-up's position or a service's queue; a service's store alone, which
//! who commits changes and the device counts and lists. Finding objects takes none; see `store`.
#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test that goes wrong is to stop there"
    )
)]

#[cfg(all(feature = "sim", feature = "wdk"))]
compile_error!("choose one kernel: the features `sim` and `wdk` exclude each other");
#[cfg(not(any(feature = "sim", feature = "wdk")))]
compile_error!("choose a kernel: enable the feature `sim` or `wdk`");

#[cfg(feature = "sim")]
extern crate nt_sim as wdk_sys;
#[cfg(test)]
extern crate std;

mod binding;
mod capture;
mod committer;
mod counters;
mod device;
mod driver;
mod entries;
mod files;
mod guid;
pub mod handles;
mod host;
mod hosting;
pub mod journal;
mod loading;
pub mod lookup;
mod memory;
mod module;
mod parameters;
mod service;
pub mod store;
mod whole;

pub use driver::driver_entry;
