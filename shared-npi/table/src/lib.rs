//! A hash table that any number of threads read without a lock while one changes it.
//!
//! [`new_in`] makes a table and gives its two ends: the one [`Writer`], and a [`Reader`] that can be cloned. What the
//! table holds are pointers of one word to shared, immutable values ([`Thin`]; [`Packed`] is one such type).
//!
//! - Finding an entry touches two places of memory that depend on each other: the *bucket*, one cache line that
//!   begins with the fingerprints of its seven entries, and the entry whose fingerprint agrees.
//! - A reader never waits. It says in a counter of its processor that it reads, and writes nothing else that others
//!   read or write; see `readers`.
//! - The writer never waits either. [`Writer::reserve`] takes all memory that the next changes may need; the changes
//!   then cannot fail. What they take out of the table is freed when no reader can have it any more, which
//!   [`Writer::collect`] finds out.
//!
//! Everything may be called at any IRQL at which the allocator may; only that a reader which is kept from running in
//! its [`Section`] keeps memory from being freed.
//!
//! The unsafe code of reading what another thread may free is in here, and the tests of this crate walk through its
//! interleavings with loom.
#![no_std]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod array;
mod hash;
mod packed;
mod readers;
pub mod sync;
mod table;

pub use array::prefetch;
pub use hash::{keyed_hash, keyed_hash_128};
pub use packed::{Packed, PackedRef};
pub use table::{Ends, Reader, Section, Thin, Writer, new_in};
