//! The pool.
//!
//! With the verifier on, each block is known by its address: who allocated it, under which tag and
//! where, and whether it is live or was freed. A guard behind the block shows overruns. A freed block
//! is filled with a pattern and kept back for a while; if the pattern has changed by the time it is
//! given back to the host, someone wrote to freed memory. A build for `AddressSanitizer` has neither: the
//! host gets a block back at once, so that reads of it are seen as well. With the verifier off a block
//! costs a small header in front of it and nothing else, and what a thread frees it soon gets again.
//!
//! Pool belongs to the driver whose tag prefix it carries, whoever's code happens to run; pool under
//! any other tag belongs to the driver whose callback allocated it.

mod block;
pub mod kernel;
mod lookaside;
mod state;
mod tally;

pub use block::Tag;
pub use state::BlockState;
pub use tally::PoolUsage;

pub(crate) use state::{OfThread, State};

use crate::Machine;

impl Machine {
    /// Returns how much pool is in use.
    #[must_use]
    pub fn pool_usage(&self) -> PoolUsage {
        self.pool_state().usage()
    }

    /// Says what the pool knows about the block that an address lies in; needs the verifier.
    #[must_use]
    pub fn pool_block(&self, address: *const core::ffi::c_void) -> BlockState {
        self.pool_state().block_at(address.addr())
    }
}
