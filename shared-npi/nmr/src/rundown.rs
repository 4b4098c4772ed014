//! Asynchronous rundown: who counts calls, and who ends the detach.
//!
//! A kernel's own rundown protection (`EX_RUNDOWN_REF`) *blocks* until the last call has
//! ended. A detach callback may not block, as NMR calls it at up to `DISPATCH_LEVEL`: it has
//! to say "pending", and whoever ends the last call has to complete it. [`Rundown`] decides
//! who that is.
//!
//! ```text
//!             new              open             begin            last leave
//! (nothing) -------> CLOSED ---------> open ----------> DETACHING ----------> run down
//!                      |                                    ^
//!                      +-------------- begin ---------------+
//! ```
//!
//! * [`enter`](Rundown::enter) succeeds in *open* only, and adds one;
//! * [`begin`](Rundown::begin) goes to `DETACHING` once and adds one for its caller, who may
//!   thus go on using what the rundown protects until its own `leave`;
//! * [`leave`](Rundown::leave) takes one off, and answers `true` exactly once in the life of
//!   a rundown: to the leaver that finds `DETACHING` set and nobody left. After an answer of
//!   `false` the leaver knows nothing about the object any more, not even that it exists.
//!
//! # Counters
//!
//! Calls on several processors must not write to one cache line, so each processor counts
//! its own in a *stripe*; a call leaves by the stripe that it entered by, wherever it runs by
//! then. In *open* the number of calls is the sum over the stripes, which nobody needs to know.
//! `begin` moves it into the *total*, one word, where it is exact:
//!
//! 1. It sets `DETACHING` in the total, which one caller can do, and adds one for itself and
//!    `SWEEPING`, which is more than there can be calls.
//! 2. In each stripe it sets `SHUT`, in one step with reading how many are in. Whoever left
//!    before that step is not among these. Whoever leaves after it finds the mark, and takes
//!    itself off the total.
//! 3. It adds what it read to the total, and takes `SWEEPING` off.
//!
//! So the total cannot come down to nobody before step 3, since `SWEEPING` is in it, nor after
//! it before `begin`'s caller and every call that was read have left; and each of them takes
//! off one.
//!
//! A stripe's count means something only between `OPEN` and `SHUT`: outside of that `enter`
//! adds to it in vain and takes nothing back. Opening sets it to nobody, and `begin` reads it
//! where the stripe was open only.
//!
//! While `begin` runs, a call may still enter on one processor when another was already
//! refused elsewhere; such a call is one that began before the detach. When `begin` has
//! returned, none enters.
//!
//! The counts cannot overflow: they have 61 bits or more on a 64-bit machine.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;

use crate::sync::{AtomicUsize, Ordering, STRIPES, processor};

/// In the total: detach has begun.
const DETACHING: usize = 1;
/// In a stripe: calls may enter, unless `SHUT`.
const OPEN: usize = 1;
/// In a stripe: no call enters any more; who leaves takes itself off the total.
const SHUT: usize = 2;
/// One call, in either.
const ONE: usize = 4;
/// In the total: `begin` has not read all stripes yet. By itself more than all calls.
const SWEEPING: usize = 1 << (usize::BITS - 1);

const _: () = assert!(STRIPES.is_power_of_two());

/// A word with the two cache lines that it would share, as processors fetch lines in pairs.
/// The pool's alignment is too small to begin with a line, so it is the distance that counts.
#[repr(C)]
struct Counter {
    word: AtomicUsize,
    /// Never read. In a cell, as the memory of all of it may be given back while a call that has just left still has
    /// its reference.
    apart: UnsafeCell<[MaybeUninit<u8>; 128 - size_of::<usize>()]>,
}

// SAFETY: the word is atomic, and nobody reads or writes what keeps it apart.
unsafe impl Sync for Counter {}

impl Counter {
    #[allow(
        clippy::missing_const_for_fn,
        reason = "loom's atomics cannot be made in constants"
    )]
    fn new() -> Self {
        Self {
            word: AtomicUsize::new(0),
            apart: UnsafeCell::new([MaybeUninit::uninit(); _]),
        }
    }
}

/// Counts of calls in flight, and whether more may begin. See the module's description.
#[repr(C)]
pub struct Rundown {
    total: Counter,
    stripes: [Counter; STRIPES],
}

/// A call that has entered: which stripe counts it, or the total if it is none of them.
#[derive(Clone, Copy, Debug)]
#[must_use = "whoever has entered has to leave"]
pub struct Entered(usize);

/// Counted in the total.
const IN_TOTAL: Entered = Entered(usize::MAX);

impl Rundown {
    /// Makes a rundown that lets nobody in until it is opened. It is made in its place, since
    /// it is too large to be moved over a kernel's stack.
    pub fn init(place: &mut MaybeUninit<Self>) -> &mut Self {
        let counters = place.as_mut_ptr().cast::<Counter>();
        for index in 0..=STRIPES {
            // SAFETY: a rundown is `STRIPES` counters and one, one after the other.
            let counter = unsafe { counters.add(index) };
            // SAFETY: within the place, aligned as it is.
            unsafe { counter.write(Counter::new()) };
        }
        // SAFETY: the counters are all that there is, and were written.
        unsafe { place.assume_init_mut() }
    }

    /// Lets calls in from now on, unless [`Self::begin`] was there first. What was written
    /// before is visible to those who enter.
    pub fn open(&self) {
        for Counter { word, .. } in &self.stripes {
            // The count is of those who were refused.
            let _shut = word.fetch_update(Ordering::Release, Ordering::Relaxed, |state| {
                (state & SHUT == 0).then_some(OPEN)
            });
        }
    }

    /// Enters: `Some` obliges the caller to [`Self::leave`] once.
    #[inline]
    #[must_use]
    pub fn enter(&self) -> Option<Entered> {
        let index = processor() & (STRIPES - 1);
        let before = self.stripes.get(index)?.word.fetch_add(ONE, Ordering::Acquire);
        (before & (OPEN | SHUT) == OPEN).then_some(Entered(index))
    }

    /// Enters before [`Self::open`]: for the one who is going to open, while it still may
    /// decide otherwise. `Some` obliges it to [`Self::leave`] once.
    #[must_use]
    pub fn enter_early(&self) -> Option<Entered> {
        self.enter_total(ONE)
    }

    /// Bars new calls, and enters. `None` if that has been done before; `Some` obliges the
    /// caller to [`Self::leave`] once.
    #[must_use]
    pub fn begin(&self) -> Option<Entered> {
        let entered = self.enter_total(DETACHING + ONE + SWEEPING)?;
        let mut inside = 0_usize;
        for Counter { word, .. } in &self.stripes {
            // Acquire: what those did who have left. Release: who finds the mark finds the total
            // as it is now.
            let before = word.fetch_or(SHUT, Ordering::AcqRel);
            if before & OPEN != 0 {
                inside = inside.wrapping_add(before & !(OPEN | SHUT));
            }
        }
        self.total
            .word
            .fetch_add(inside.wrapping_sub(SWEEPING), Ordering::AcqRel);
        Some(entered)
    }

    /// Adds to the total unless detach has begun. Who finds it begun sees what was written before
    /// it was; see `Context::abandon`.
    fn enter_total(&self, more: usize) -> Option<Entered> {
        let entered = self
            .total
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                (state & DETACHING == 0).then_some(state.wrapping_add(more))
            });
        entered.ok().map(|_before| IN_TOTAL)
    }

    /// Leaves: `true` if the rundown is over, and the caller is the one to say so. On `false`
    /// the object that holds the rundown may be gone when this returns.
    #[inline]
    #[must_use]
    pub fn leave(&self, entered: Entered) -> bool {
        if let Some(Counter { word, .. }) = self.stripes.get(entered.0) {
            // Release: what this call did happens before the end. Acquire: the total is as
            // whoever set the mark has left it.
            let before = word.fetch_sub(ONE, Ordering::AcqRel);
            if before & SHUT == 0 {
                return false;
            }
        }
        self.leave_total()
    }

    #[cold]
    fn leave_total(&self) -> bool {
        // Release: as above. Acquire: the one who ends has seen what all the others did.
        self.total.word.fetch_sub(ONE, Ordering::AcqRel) == DETACHING | ONE
    }
}

impl fmt::Debug for Rundown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |counter: &Counter| counter.word.load(Ordering::Relaxed);
        f.debug_struct("Rundown")
            .field("total", &word(&self.total))
            .finish_non_exhaustive()
    }
}
