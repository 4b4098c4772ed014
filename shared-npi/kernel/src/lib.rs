//! Safe wrappers over the kernel and KMDF calls that both drivers need.
//!
//! Driver logic is written once against the names of the `wdk-sys` crate. What those names stand for is
//! chosen by exactly one feature: `wdk` (bindings of the installed WDK: the real kernel) or `sim` (a
//! simulated kernel in user mode). This crate and `nmr` are where the drivers meet the kernel; the cores
//! above them hold next to no `unsafe`.
//!
//! Rules of all modules:
//! - What may block takes a [`Passive`](irql::Passive), a witness of `PASSIVE_LEVEL` that only named entry
//!   points mint: `DriverEntry`, unload, file and device-control callbacks of a passive-level device, own
//!   threads, NMR attach. Everything without one may be called at up to `DISPATCH_LEVEL`, unless its `# IRQL`
//!   section says more.
//! - Whatever allocates can fail, and answers so; nothing here panics, but for [`thread::Thread`] and
//!   [`wdf::DriverHandle`] misuse that would end in a use of freed code, see there.
//! - Text is UTF-16 (`&[u16]`); [`utf16!`] makes literals.
//! - No mutable statics: state hangs off the driver object's context.
#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[cfg(all(feature = "sim", feature = "wdk"))]
compile_error!("choose one kernel: the features `sim` and `wdk` exclude each other");
#[cfg(not(any(feature = "sim", feature = "wdk")))]
compile_error!("choose a kernel: enable the feature `sim` or `wdk`");

#[cfg(feature = "sim")]
extern crate nt_sim as wdk_sys;

pub mod event;
pub mod events;
pub mod file;
pub mod irql;
pub mod lock;
pub mod log;
pub mod npi;
mod object;
pub mod pool;
pub mod random;
pub mod region;
pub mod registry;
pub mod status;
pub mod thread;
pub mod time;
pub mod unicode;
pub mod wdf;
