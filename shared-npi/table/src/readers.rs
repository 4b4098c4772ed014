//! Who reads, and when nobody can have what was taken out any more.
//!
//! A reader adds one to a counter when it enters and takes it off when it leaves. The counters are *striped*: each
//! processor has its own, on cache lines of its own, and a reader leaves by the counter that it entered by, wherever
//! it runs by then.
//!
//! Something that the writer has taken out of the table may be freed when the writer has, since then, seen each
//! counter at zero once, each at any time of its own ([`Grace`]):
//!
//! - A reader that had entered before it was taken out, and may have found it, is in one of the counters until it
//!   leaves. When that counter is seen at zero, the reader has left.
//! - A reader whose entering that look at its counter missed entered later than it, in the one order that all
//!   sequentially consistent accesses have. So the reader's own look at the table, which comes after its entering, is
//!   later than the taking out, which was before the writer's look; and finds it gone.
//!
//! That alone could take forever: on a processor that is never without a reader, the counter is never at zero. So a
//! stripe has a counter for each of two *phases*, and readers enter by the one of the phase that is on. When the
//! counters of the other phase were seen at zero, the phases change, and now nobody new holds up those that are left:
//! but for readers that had read the phase before it changed, which are as many as there are threads. The phases are
//! about progress only; that both counters of each stripe were seen at zero is what makes freeing right.

use pool_alloc::{Allocator, OutOfMemory, Vec};

use crate::sync::{AtomicUsize, Ordering, STRIPES, fence, in_order};

/// The counters of one processor, for both phases, and the rest of the two cache lines that it would share, as
/// processors fetch lines in pairs. The pool's alignment is too small to begin with a line, so it is the distance
/// that counts.
#[repr(C)]
struct Stripe {
    counts: [AtomicUsize; 2],
    apart: [u8; 112],
}

/// Counts of the readers.
pub struct Readers<A: Allocator> {
    /// Which counters readers enter by, 0 or 1.
    phase: AtomicUsize,
    stripes: Vec<Stripe, A>,
}

/// Which counter counts a reader.
#[derive(Clone, Copy, Debug)]
pub struct Entered {
    stripe: usize,
    phase: usize,
}

/// How far the writer is in seeing each counter at zero: a bit for each that it has not seen so.
#[derive(Clone, Copy, Debug)]
pub struct Grace {
    unseen: u64,
    /// The phase that was on in the beginning.
    phase: usize,
    changed: bool,
}

const _: () = assert!(STRIPES.is_power_of_two() && 2 * STRIPES <= 64);

/// The bits of one phase's counters.
const fn bits(phase: usize) -> u64 {
    (u64::MAX >> (64 - STRIPES)) << (phase * STRIPES)
}

impl<A: Allocator> Readers<A> {
    /// No readers.
    ///
    /// # Errors
    /// No memory.
    pub fn try_new_in(alloc: A) -> Result<Self, OutOfMemory> {
        let mut stripes = Vec::try_with_capacity_in(STRIPES, alloc)?;
        for _ in 0..STRIPES {
            stripes.try_push(Stripe {
                counts: [AtomicUsize::new(0), AtomicUsize::new(0)],
                apart: [0; 112],
            })?;
        }
        Ok(Self {
            phase: AtomicUsize::new(0),
            stripes,
        })
    }

    /// A reader on that processor begins. What is taken out of the table from now on stays until it leaves.
    #[inline]
    pub fn enter(&self, processor: usize) -> Entered {
        let entered = Entered {
            stripe: processor & (STRIPES - 1),
            phase: self.phase.load(Ordering::Relaxed) & 1,
        };
        if let Some(count) = self.count(entered.stripe, entered.phase) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        in_order();
        entered
    }

    /// A reader ends.
    #[inline]
    pub fn leave(&self, entered: Entered) {
        if let Some(count) = self.count(entered.stripe, entered.phase) {
            // Release: what it did with what it found happens before that is freed.
            count.fetch_sub(1, Ordering::Release);
        }
    }

    #[inline]
    fn count(&self, stripe: usize, phase: usize) -> Option<&AtomicUsize> {
        self.stripes.get(stripe)?.counts.get(phase)
    }

    /// Begins to wait for those that may have what was taken out of the table before. By the writer only.
    pub fn begin(&self) -> Grace {
        // What was taken out is gone for whoever is not seen from here on.
        fence(Ordering::SeqCst);
        Grace {
            unseen: bits(0) | bits(1),
            phase: self.phase.load(Ordering::Relaxed) & 1,
            changed: false,
        }
    }

    /// Looks whether those have left. Once true, it is true.
    pub fn is_over(&self, grace: &mut Grace) -> bool {
        self.look(grace);
        if !grace.changed && grace.unseen & bits(1 - grace.phase) == 0 {
            self.phase.store(1 - grace.phase, Ordering::Relaxed);
            grace.changed = true;
        }
        grace.unseen == 0
    }

    fn look(&self, grace: &mut Grace) {
        let mut left = grace.unseen;
        while left != 0 {
            let bit = left.trailing_zeros() as usize;
            left &= left - 1;
            let count = self.count(bit % STRIPES, bit / STRIPES);
            // SeqCst holds Acquire: what those did that have left happens before what is done when all have.
            if count.is_none_or(|count| count.load(Ordering::SeqCst) == 0) {
                grace.unseen &= !(1 << bit);
            }
        }
    }
}
