//! The allocator of a module: the pool.

use core::alloc::{GlobalAlloc, Layout};

use crate::nt;

/// Allocates from the pool.
#[derive(Clone, Copy, Debug)]
pub struct Heap;

/// Pool memory is aligned to this.
const ALIGNMENT: usize = 16;
const TAG: u32 = u32::from_le_bytes(*b"Wine");

// SAFETY: blocks are disjoint and live until they are freed, as the pool's are.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGNMENT {
            return core::ptr::null_mut();
        }
        // SAFETY: the function asks for nothing beyond its signature.
        unsafe { nt::ExAllocatePoolWithTag(nt::NON_PAGED_POOL, layout.size(), TAG) }.cast()
    }

    unsafe fn dealloc(&self, memory: *mut u8, _layout: Layout) {
        // SAFETY: the caller promises that `alloc` gave it and that this is its last use.
        unsafe { nt::ExFreePoolWithTag(memory.cast(), TAG) };
    }
}

#[cfg(windows)]
#[global_allocator]
static HEAP: Heap = Heap;
