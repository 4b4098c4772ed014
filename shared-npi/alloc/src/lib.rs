//! Fallible [`Box`], [`Arc`] and [`Vec`] over any allocator, for code that must survive a failed allocation.
//!
//! The collections of the standard library end the program when memory runs out. In a kernel that is a bug
//! check, so the types here have no such path: whatever may allocate starts with `try_` and answers
//! [`OutOfMemory`], with nothing changed and nothing leaked. They have no `Clone` and no `Extend` either,
//! because those cannot fail.
//!
//! [`Box`] and [`Vec`] wrap those of `allocator-api2`; [`Arc`] is written here. Each carries its allocator,
//! which in a driver is a zero-sized type naming the pool tag, so that every type's memory can be told apart.
//!
//! A value whose memory must be certain before the value exists is made in two steps:
//! [`Box::try_new_uninit_in`], later [`Box::write`], which cannot fail.
#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod arc;
mod boxed;
mod vec;

pub use allocator_api2::alloc::{AllocError, Allocator};
pub use arc::{Arc, UniqueArc};
pub use boxed::Box;
pub use vec::{Drain, IntoIter, Vec};

/// An allocation failed. Nothing was changed and nothing leaked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OutOfMemory;

impl core::fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for OutOfMemory {}

impl From<AllocError> for OutOfMemory {
    fn from(_: AllocError) -> Self {
        Self
    }
}

impl From<allocator_api2::collections::TryReserveError> for OutOfMemory {
    fn from(_: allocator_api2::collections::TryReserveError) -> Self {
        Self
    }
}
