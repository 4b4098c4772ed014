//! Values whose address others keep.

use alloc::boxed::Box;
use core::ptr::NonNull;

/// A value in a heap place of its own, which is read and written only through its pointer.
///
/// Unlike a `Box`, moving it makes no claim that nobody else has a pointer to the value.
#[derive(Debug)]
pub struct Placed<T>(NonNull<T>);

// SAFETY: it owns the value, as a box does.
unsafe impl<T: Send> Send for Placed<T> {}

impl<T> Placed<T> {
    pub fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }

    pub const fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }

    /// Changes the value.
    pub fn update(&mut self, update: impl FnOnce(&mut T)) {
        // SAFETY: the place lives as long as `self`, which is borrowed for the change; drivers only
        // read what they are given a pointer to, at times of their own calls.
        update(unsafe { self.0.as_mut() });
    }
}

impl<T> Drop for Placed<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a leaked box and is dropped once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
