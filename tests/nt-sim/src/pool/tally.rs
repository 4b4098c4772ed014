//! How much pool is in use.
//!
//! Each thread counts for itself what it allocates and frees, so that a count costs no more than a store; who asks adds
//! up what all threads have counted.

use std::sync::{
    Arc,
    atomic::{AtomicIsize, Ordering},
};

use crate::sync::StateLock;

/// How much pool is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolUsage {
    /// Live blocks.
    pub blocks: usize,
    /// Bytes that drivers asked for in live blocks.
    pub bytes: usize,
}

/// What one thread has allocated, less what it has freed. Only that thread writes.
#[derive(Debug, Default)]
pub(super) struct Tally {
    blocks: AtomicIsize,
    bytes: AtomicIsize,
}

impl Tally {
    /// A block was allocated.
    #[inline]
    pub(super) fn allocated(&self, size: usize) {
        self.add(1, size.cast_signed());
    }

    /// A block was freed, whoever had allocated it.
    #[inline]
    pub(super) fn freed(&self, size: usize) {
        self.add(-1, size.cast_signed().wrapping_neg());
    }

    /// Read and written, and not incremented atomically: nobody else writes.
    #[inline]
    fn add(&self, blocks: isize, bytes: isize) {
        let add = |to: &AtomicIsize, more: isize| {
            to.store(to.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
        };
        add(&self.blocks, blocks);
        add(&self.bytes, bytes);
    }

    fn read(&self) -> (isize, isize) {
        (
            self.blocks.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

/// The tallies of the threads of a machine.
#[derive(Debug, Default)]
pub(super) struct Tallies(StateLock<Counted>);

#[derive(Debug, Default)]
struct Counted {
    threads: Vec<Arc<Tally>>,
    /// What threads that are gone had counted.
    gone: Tally,
}

impl Tallies {
    pub(super) fn begin(&self) -> Arc<Tally> {
        let tally = Arc::<Tally>::default();
        self.0.with(|counted| counted.threads.push(Arc::clone(&tally)));
        tally
    }

    pub(super) fn end(&self, tally: &Arc<Tally>) {
        self.0.with(|counted| {
            counted.threads.retain(|known| !Arc::ptr_eq(known, tally));
            let (blocks, bytes) = tally.read();
            counted.gone.add(blocks, bytes);
        });
    }

    pub(super) fn usage(&self) -> PoolUsage {
        let (blocks, bytes) = self.0.with(|counted| {
            let threads = counted.threads.iter().map(|tally| tally.read());
            threads.fold(counted.gone.read(), |sum, next| {
                (sum.0.wrapping_add(next.0), sum.1.wrapping_add(next.1))
            })
        });
        // While threads allocate and free, a block may be seen freed that was not seen allocated.
        PoolUsage {
            blocks: usize::try_from(blocks).unwrap_or(0),
            bytes: usize::try_from(bytes).unwrap_or(0),
        }
    }
}
