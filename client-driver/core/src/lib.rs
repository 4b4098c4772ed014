//! The client driver: it attaches to every namespace provider that registers with NMR, and answers programs that ask
//! through the control device `\\\\.\\NsEmail`.
//!
//! # Parts
//!
//! - Pure, tested by themselves: [`catalogue`] (who is asked about a name, and what the caller is told),
//!   [`calls::table`], [`session::uses`], [`session::look_ups`], [`bindings`].
//! - With the kernel: [`driver`] (loading and unloading), [`attach`] (the NMR client module), [`control`] (the device),
//!   [`calls`] (requests that need providers), [`search`] and [`look_up`] (look-ups at work), [`store`] (the catalogue in
//!   the registry), [`administer`] (its changes by an administrator).
//! - [`peer`] is where provider and driver call each other: with [`entry`] the only place of `unsafe` code.
//!
//! # Rules
//!
//! - No lock is held while a provider, NMR or the completion of a request is called. All locks but the catalogue
//!   store's are leaves.
//! - A provider is called under a call guard of its binding only, at `PASSIVE_LEVEL`. After its detach began it is not
//!   called any more.
//! - No request blocks its thread: what has to wait is parked. But a change whose program says that the thread waits
//!   ([`CALLER_WAITS`](nsemail_contract::SetFlags::CALLER_WAITS)) may keep it in a provider that likes to. A worker that
//!   goes on with such a change does not wait.
//! - Memory for what must not fail is allocated before it is needed. A failed allocation is an answer, with nothing
//!   changed.
#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    unsafe_code
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test may fail"
    )
)]

#[cfg(test)]
extern crate std;

#[cfg(all(feature = "sim", feature = "wdk"))]
compile_error!("choose one kernel: the features `sim` and `wdk` exclude each other");
#[cfg(not(any(feature = "sim", feature = "wdk")))]
compile_error!("choose a kernel: enable the feature `sim` or `wdk`");

#[cfg(feature = "sim")]
extern crate nt_sim as wdk_sys;

pub mod administer;
pub mod attach;
pub mod bindings;
pub mod buffer;
pub mod calls;
pub mod catalogue;
pub mod control;
pub mod driver;
pub mod entry;
pub mod limits;
pub mod look_up;
pub mod memory;
pub mod peer;
pub mod query;
pub mod search;
pub mod service;
pub mod session;
pub mod statistics;
pub mod store;

pub use entry::driver_entry;
