//! Slots: how an entry of a shadow table knows the binding that it was made for.
//!
//! A dispatch table holds bare functions, so a function of its own has to exist for every binding that is
//! watched at a time: the entries are generic over the number of a slot. Slots are shared by all machines
//! of the process. One that is given back is used again as late as possible, so that a call that comes too
//! late still finds out whose it was.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::tap::Tap;
use crate::sync::StateLock;

/// How many bindings can be watched at a time; `slots!` of the tables lists as many.
pub const SLOTS: usize = 128;

/// The place of a binding that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

impl Slot {
    /// Its number, below [`SLOTS`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

static TAPS: [StateLock<Option<Arc<Tap>>>; SLOTS] = [const { StateLock::new(None) }; SLOTS];

/// Where the search for a free slot goes on.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Puts what `make` makes into a free slot, if there is one.
pub(super) fn claim(make: impl FnOnce(Slot) -> Tap) -> Option<Arc<Tap>> {
    let mut make = Some(make);
    (0..SLOTS).find_map(|_| {
        let index = NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS;
        TAPS.get(index)?.with(|place| {
            if place.as_ref().is_some_and(|tap| !tap.is_gone()) {
                return None;
            }
            let tap = Arc::new(make.take()?(Slot(index)));
            *place = Some(Arc::clone(&tap));
            Some(tap)
        })
    })
}

/// The binding that a slot was given last.
pub(super) fn get(index: usize) -> Option<Arc<Tap>> {
    TAPS.get(index)?.with(|place| place.clone())
}
