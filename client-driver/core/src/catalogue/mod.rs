//! The catalogue of namespace providers, and what follows from it: who is asked about a name, in which order, and
//! what the caller is told.
//!
//! Everything here is pure. It allocates fallibly from an allocator of the caller's, names no kernel, and contacts
//! nobody; the driver around it does that.
//!
//! - [`entry`]: one installed provider, with its installation blob parsed.
//! - [`snapshot`]: all of them as one immutable value. A change makes a new value; a look-up that is open keeps the
//!   one it began with, so reordering providers does not affect it.
//! - [`chain`]: the providers for one name, each with the reason why it is in its place.
//! - [`explain`]: the same for a person, with those that are not asked and why.
//! - [`lookup`], [`change`]: the rules by which a look-up and a registration walk a chain.
//! - [`verdict`]: which error the caller sees when nobody answered.

pub mod chain;
pub mod change;
pub mod entry;
pub mod explain;
pub mod lookup;
pub mod snapshot;
pub mod verdict;

pub use chain::{Candidate, Chain, Excuse, Reason, Role};
pub use entry::Entry;
pub use explain::Explanation;
pub use snapshot::{Selection, Snapshot};

#[cfg(test)]
mod testing;
