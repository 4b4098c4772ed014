//! What this crate needs of the machine below it: atomics, and the number of the processor. The only place that knows
//! of loom.
//!
//! Built with `--cfg loom`, the atomics are loom's, and a test can walk through every interleaving that the memory
//! model allows; which processor a thread is on is then up to the test, by `run_on`.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};

/// How many counters a rundown has, a power of two: a call uses the one of its processor.
#[cfg(not(loom))]
pub const STRIPES: usize = 16;
/// How many counters a rundown has: as few as can differ, since a model's cost grows with each.
#[cfg(loom)]
pub const STRIPES: usize = 2;

#[cfg(loom)]
pub use modelled::{processor, run_on};
#[cfg(not(loom))]
pub use real::processor;

#[cfg(not(loom))]
mod real {
    use core::ffi::c_void;
    use core::ptr;

    // Of the kernel (wdm.h, ntoskrnl.lib), and found where the registrar's functions are found.
    unsafe extern "system" {
        /// The index of the processor among all of the machine; the place for its number in its group may be null.
        fn KeGetCurrentProcessorNumberEx(number: *mut c_void) -> u32;
    }

    /// The number of the processor that the caller runs on. The caller may be on another one when this returns.
    ///
    /// # IRQL
    /// Any.
    #[inline]
    #[must_use]
    pub fn processor() -> usize {
        // SAFETY: the argument may be null.
        let index = unsafe { KeGetCurrentProcessorNumberEx(ptr::null_mut()) };
        index as usize
    }
}

#[cfg(loom)]
mod modelled;
