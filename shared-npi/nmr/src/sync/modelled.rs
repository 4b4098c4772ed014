//! The processors of the loom model. No driver has this: it is compiled with `--cfg loom` only.

extern crate std;

use core::cell::Cell;

loom::thread_local! {
    static PROCESSOR: Cell<usize> = Cell::new(0);
}

/// The processor that the calling thread was put on; 0 at first.
#[must_use]
pub fn processor() -> usize {
    PROCESSOR.with(Cell::get)
}

/// Puts the calling thread on a processor.
pub fn run_on(processor: usize) {
    PROCESSOR.with(|current| current.set(processor));
}
