//! An allocator that counts what is live and fails on request, and a value that counts its drops.
#![allow(dead_code, reason = "each test program uses its part")]

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;

use allocator_api2::alloc::{AllocError, Allocator, Global, Layout};

/// What the copies of one allocator share.
#[derive(Default)]
pub struct Counts {
    live_blocks: Cell<usize>,
    live_bytes: Cell<usize>,
    allocations_left: Cell<Option<usize>>,
}

/// Counts live blocks and bytes; once told to, allows only so many further allocations.
#[derive(Clone, Default)]
pub struct Failing(Rc<Counts>);

impl Failing {
    /// The next `allocations` succeed, all later ones fail.
    pub fn fail_after(&self, allocations: usize) {
        self.0.allocations_left.set(Some(allocations));
    }

    /// All allocations succeed.
    pub fn succeed(&self) {
        self.0.allocations_left.set(None);
    }

    /// Blocks and bytes that were allocated and not freed.
    pub fn live(&self) -> (usize, usize) {
        (self.0.live_blocks.get(), self.0.live_bytes.get())
    }
}

// SAFETY: the memory is that of the global allocator, which all copies share.
unsafe impl Allocator for Failing {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if let Some(left) = self.0.allocations_left.get() {
            self.0
                .allocations_left
                .set(Some(left.checked_sub(1).ok_or(AllocError)?));
        }
        let block = Global.allocate(layout)?;
        self.0.live_blocks.set(self.0.live_blocks.get() + 1);
        self.0.live_bytes.set(self.0.live_bytes.get() + layout.size());
        Ok(block)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.0.live_blocks.set(self.0.live_blocks.get() - 1);
        self.0.live_bytes.set(self.0.live_bytes.get() - layout.size());
        // SAFETY: passed on to the caller.
        unsafe { Global.deallocate(block, layout) };
    }
}

/// Counts how many of its kind are alive.
pub struct Counted(Rc<Cell<usize>>);

impl Counted {
    /// One more.
    pub fn new(alive: &Rc<Cell<usize>>) -> Self {
        alive.set(alive.get() + 1);
        Self(Rc::clone(alive))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
