//! The atomics of this crate, and the only place that knows of loom.
//!
//! Built with `--cfg loom`, they are loom's, and a test can walk through every interleaving
//! that the memory model allows.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
