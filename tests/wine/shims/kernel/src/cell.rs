//! A static value that is made when it is first needed.

use alloc::boxed::Box;
use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// A static value that is made when it is first needed, and never dropped.
pub struct Lazy<T: 'static>(AtomicPtr<T>);

impl<T: Send + Sync + 'static> Lazy<T> {
    /// A value that is not made yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The value, which `make` makes if this is the first use. Of two first uses at a time both
    /// make one, and one is thrown away.
    pub fn get(&self, make: impl FnOnce() -> T) -> &'static T {
        let current = self.0.load(Ordering::Acquire);
        // SAFETY: what the pointer was once set to stays as it is for ever.
        if let Some(value) = unsafe { current.as_ref::<'static>() } {
            return value;
        }
        let new = Box::into_raw(Box::new(make()));
        match self
            .0
            .compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire)
        {
            // SAFETY: as above.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: it was made above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: as above.
                unsafe { &*other }
            }
        }
    }
}

impl<T: Send + Sync + 'static> Default for Lazy<T> {
    fn default() -> Self {
        Self::new()
    }
}
