//! Critical regions: a thread in one is not suspended.

use core::marker::PhantomData;

use wdk_sys::ntddk::{KeEnterCriticalRegion, KeLeaveCriticalRegion};

use crate::irql::Passive;

/// This thread is in a critical region until the guard is dropped.
///
/// Normal kernel APCs are held off, and with them the suspension of the thread, which anyone who may open it can ask
/// for. For what others wait for the end of, and is not a lock; a [`crate::lock::PushLock`] does this of its own.
/// Regions nest.
///
/// Source: `KeEnterCriticalRegion`, `KeLeaveCriticalRegion`.
#[must_use = "the thread leaves the region when the guard is dropped"]
pub struct CriticalRegion<'a>(PhantomData<(Passive<'a>, *const ())>);

impl<'a> CriticalRegion<'a> {
    /// Enters a region.
    pub fn enter(_: Passive<'a>) -> Self {
        // SAFETY: callable at this level; left again, on this thread, when the guard is dropped.
        unsafe { KeEnterCriticalRegion() };
        Self(PhantomData)
    }
}

impl Drop for CriticalRegion<'_> {
    fn drop(&mut self) {
        // SAFETY: this thread, which the guard does not leave, entered the region when the guard was made.
        unsafe { KeLeaveCriticalRegion() };
    }
}
