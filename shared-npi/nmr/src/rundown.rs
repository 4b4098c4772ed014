//! Asynchronous rundown: who counts calls, and who ends the detach.
//!
//! A kernel's own rundown protection (`EX_RUNDOWN_REF`) *blocks* until the last call has
//! ended. A detach callback may not block, as NMR calls it at up to `DISPATCH_LEVEL`: it has
//! to say "pending", and whoever ends the last call has to complete it. [`Rundown`] decides
//! who that is. It is one word, so that there is no moment in which "detaching" and "number
//! of calls" disagree.
//!
//! ```text
//!             new              open             begin            last leave
//! (nothing) -------> CLOSED ---------> open ----------> DETACHING ----------> run down
//!                      |                                    ^
//!                      +-------------- begin ---------------+
//! ```
//!
//! * [`enter`](Rundown::enter) succeeds in *open* only, and adds one;
//! * [`begin`](Rundown::begin) sets `DETACHING` once and adds one for its caller, who may
//!   thus go on using what the rundown protects until its own `leave`;
//! * [`leave`](Rundown::leave) takes one off, and answers `true` exactly once in the life of
//!   a rundown: to the leaver that finds `DETACHING` set and nobody left. After an answer of
//!   `false` the leaver knows nothing about the object any more, not even that it exists.
//!
//! The count cannot overflow: it has 61 bits or more on a 64-bit machine.

use crate::sync::{AtomicUsize, Ordering};

/// Not yet opened; no calls.
const CLOSED: usize = 1;
/// Detach has begun; no new calls.
const DETACHING: usize = 2;
/// One call.
const ONE: usize = 4;

/// A count of calls in flight with the bits that say whether more may begin.
#[derive(Debug)]
pub struct Rundown {
    state: AtomicUsize,
}

impl Default for Rundown {
    fn default() -> Self {
        Self::new()
    }
}

impl Rundown {
    /// A rundown that lets nobody in until it is opened.
    #[must_use]
    #[allow(
        clippy::missing_const_for_fn,
        reason = "loom's atomics cannot be made in constants"
    )]
    pub fn new() -> Self {
        Self {
            state: AtomicUsize::new(CLOSED),
        }
    }

    /// Lets calls in from now on, unless [`Self::begin`] was there first. What was written
    /// before is visible to those who enter.
    pub fn open(&self) {
        self.state.fetch_and(!CLOSED, Ordering::Release);
    }

    /// Enters: `true` obliges the caller to [`Self::leave`] once.
    #[must_use]
    pub fn enter(&self) -> bool {
        self.enter_unless(CLOSED | DETACHING)
    }

    /// Enters before [`Self::open`]: for the one who is going to open, while it still may
    /// decide otherwise. `true` obliges it to [`Self::leave`] once.
    #[must_use]
    pub fn enter_early(&self) -> bool {
        self.enter_unless(DETACHING)
    }

    fn enter_unless(&self, barred: usize) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & barred != 0 {
                return false;
            }
            match self.state.compare_exchange_weak(
                state,
                state.wrapping_add(ONE),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(actual) => state = actual,
            }
        }
    }

    /// Bars new calls, and enters. `false` if that has been done before; `true` obliges the
    /// caller to [`Self::leave`] once.
    #[must_use]
    pub fn begin(&self) -> bool {
        // Who finds it begun sees what was written before it was; see `Context::abandon`.
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            if state & DETACHING != 0 {
                return false;
            }
            match self.state.compare_exchange_weak(
                state,
                (state | DETACHING).wrapping_add(ONE),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return true,
                Err(actual) => state = actual,
            }
        }
    }

    /// Leaves: `true` if the rundown is over, and the caller is the one to say so. On `false`
    /// the object that holds the rundown may be gone when this returns.
    #[must_use]
    pub fn leave(&self) -> bool {
        // Release: what this call did happens before the end. Acquire: the one who ends has
        // seen what all the others did.
        let before = self.state.fetch_sub(ONE, Ordering::AcqRel);
        before & !CLOSED == DETACHING | ONE
    }
}
