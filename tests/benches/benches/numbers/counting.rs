//! An allocator that knows how many bytes were asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static BYTES: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted. The count is right while one thread allocates: it is read and written, not
/// incremented atomically, so that it costs the contenders of a bench next to nothing.
pub struct Counting;

/// Bytes that are allocated now, as they were requested.
pub fn allocated() -> usize {
    BYTES.load(Ordering::Relaxed)
}

fn count(change: impl FnOnce(usize) -> usize) {
    BYTES.store(change(BYTES.load(Ordering::Relaxed)), Ordering::Relaxed);
}

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|bytes| bytes.wrapping_add(layout.size()));
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(|bytes| bytes.wrapping_add(layout.size()));
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(|bytes| bytes.wrapping_sub(layout.size()));
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(|bytes| bytes.wrapping_sub(layout.size()).wrapping_add(size));
        // SAFETY: passed on.
        unsafe { System.realloc(block, layout, size) }
    }
}
