//! Blocks that a thread has freed lately, for its next allocations of the same size.
//!
//! The pool of Windows has such lists per processor, and for the same reason: what allocates and frees all the time then
//! costs next to nothing. A machine on which anybody looks at freed memory has none.

use std::{cell::Cell, ptr::NonNull};

use super::block::{self, Form, STEP};

/// Up to which size blocks are kept, in steps.
const LISTS: usize = 4096 / STEP;
/// How many bytes are kept in all.
const ROOM: usize = 1 << 20;

/// Blocks of one size. Each has the place of the next one where its header was.
type List = Cell<Option<NonNull<u8>>>;

/// The lists of one thread.
#[derive(Debug)]
pub(super) struct Lookaside {
    /// None, or one for each size up to [`LISTS`] steps.
    lists: Box<[List]>,
    /// How many bytes more may be kept.
    room: Cell<usize>,
}

impl Lookaside {
    /// Keeps blocks of `form`, if blocks of that form may be kept.
    pub(super) fn new(form: Form) -> Self {
        let lists = if form == Form::Rounded { LISTS } else { 0 };
        Self {
            lists: (0..lists).map(|_| List::default()).collect(),
            room: Cell::new(ROOM),
        }
    }

    #[inline]
    fn list(&self, size: usize) -> Option<&List> {
        self.lists.get(size.wrapping_sub(1) / STEP)
    }

    /// Takes a block that has room for `size` bytes; its header is not one yet.
    #[inline]
    pub(super) fn take(&self, size: usize) -> Option<NonNull<u8>> {
        let list = self.list(size)?;
        let user = list.get()?;
        // SAFETY: all blocks of the list were linked when they were put into it, and nobody uses them.
        list.set(unsafe { block::next(user) });
        self.room.update(|room| room + rounded(size));
        Some(user)
    }

    /// Keeps a block, if there is room for it; tells whether it is kept.
    ///
    /// # Safety
    ///
    /// `user` came from [`block::take`] with this size and [`Form::Rounded`], or from [`Lookaside::take`], and nobody
    /// uses it again.
    #[inline]
    pub(super) unsafe fn keep(&self, user: NonNull<u8>, size: usize) -> bool {
        let (Some(list), Some(room)) = (self.list(size), self.room.get().checked_sub(rounded(size))) else {
            return false;
        };
        // SAFETY: the caller vouches for the block.
        unsafe { block::link(user, list.get()) };
        list.set(Some(user));
        self.room.set(room);
        true
    }
}

/// How long a block for so many bytes is; no more than the lists are for.
const fn rounded(size: usize) -> usize {
    size.wrapping_sub(1) / STEP * STEP + STEP
}

impl Drop for Lookaside {
    fn drop(&mut self) {
        for size in (1..=self.lists.len()).map(|steps| steps * STEP) {
            while let Some(user) = self.take(size) {
                // SAFETY: all blocks of the list were allocated for a size that is rounded to this one.
                unsafe { block::give_back(user, size, Form::Rounded) };
            }
        }
        debug_assert_eq!(self.room.get(), ROOM, "every block is counted");
    }
}

#[cfg(test)]
mod tests {
    use super::{LISTS, Lookaside, ROOM, STEP};
    use crate::pool::block::{self, Form};

    fn take(size: usize) -> std::ptr::NonNull<u8> {
        block::take(size, 1, false, Form::Rounded).expect("the host has memory")
    }

    #[test]
    fn a_block_is_used_again_for_sizes_that_are_rounded_to_the_same() {
        let kept = Lookaside::new(Form::Rounded);
        let block = take(STEP + 1);
        // SAFETY: it was just made, in this form.
        assert!(unsafe { kept.keep(block, STEP + 1) });
        assert_eq!(kept.take(STEP), None);
        assert_eq!(kept.take(2 * STEP + 1), None);
        assert_eq!(kept.take(2 * STEP), Some(block));
        assert_eq!(kept.take(2 * STEP), None);
        // SAFETY: it came from the list.
        assert!(unsafe { kept.keep(block, 2 * STEP) });
    }

    #[test]
    fn few_bytes_are_kept_and_no_long_blocks() {
        let kept = Lookaside::new(Form::Rounded);
        let longest = LISTS * STEP;
        for (size, room) in [(longest + 1, 0), (longest, ROOM / longest), (1, 0)] {
            for number in 0..=room {
                let block = take(size);
                // SAFETY: it was just made, in this form.
                let held = unsafe { kept.keep(block, size) };
                assert_eq!(held, number < room, "{size} bytes, block {number}");
                if !held {
                    // SAFETY: as above, and it is not kept.
                    unsafe { block::give_back(block, size, Form::Rounded) };
                }
            }
        }
    }

    #[test]
    fn where_freed_memory_is_looked_at_nothing_is_kept() {
        for form in [Form::Exact, Form::Guarded] {
            let kept = Lookaside::new(form);
            let block = block::take(STEP, 1, false, form).expect("the host has memory");
            // SAFETY: it was just made; no list takes it.
            assert!(!unsafe { kept.keep(block, STEP) });
            // SAFETY: as above.
            unsafe { block::give_back(block, STEP, form) };
        }
    }
}
