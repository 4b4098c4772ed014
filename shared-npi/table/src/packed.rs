//! [`Packed`]: shared bytes behind a pointer of one word.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering, fence};

use pool_alloc::{Allocator, OutOfMemory};

use crate::array::{LINE, prefetch};
use crate::table::Thin;

/// From this count on the bytes are immortal: neither counted further nor ever freed.
const SATURATED: u32 = 1 << 31;

/// Cache lines that are brought near before it is known how many there are.
const FIRST: usize = 2;
/// Cache lines that are brought near: few records have more.
const BROUGHT: usize = 4;

/// What stands before the bytes, in the same allocation.
#[repr(C)]
struct Head<A> {
    count: AtomicU32,
    /// Where a table finds it.
    hash: AtomicU32,
    /// The owners' own.
    mark: AtomicU32,
    length: u32,
    alloc: A,
}

/// Immutable bytes with several owners, the last of which frees them: one allocation, one word to own it by.
///
/// A table that holds it keeps the hash with the bytes, so it can be in one table at a time.
pub struct Packed<A: Allocator> {
    head: NonNull<Head<A>>,
    owns: PhantomData<Head<A>>,
}

/// Borrowed [`Packed`].
pub struct PackedRef<'a, A: Allocator> {
    head: NonNull<Head<A>>,
    owner: PhantomData<&'a ()>,
}

// SAFETY: the bytes are immutable, the count and the hash atomic; the last owner frees with an allocator that may be
// sent to where it is.
unsafe impl<A: Allocator + Send> Send for Packed<A> {}
// SAFETY: as above; cloning, which a shared owner can do, hands ownership to another thread.
unsafe impl<A: Allocator + Send> Sync for Packed<A> {}
// SAFETY: as a shared `Packed`.
unsafe impl<A: Allocator + Send> Send for PackedRef<'_, A> {}
// SAFETY: as a shared `Packed`.
unsafe impl<A: Allocator + Send> Sync for PackedRef<'_, A> {}

impl<A: Allocator> Clone for PackedRef<'_, A> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Allocator> Copy for PackedRef<'_, A> {}

fn layout<A>(length: usize) -> Option<Layout> {
    let (layout, _) = Layout::new::<Head<A>>()
        .extend(Layout::array::<u8>(length).ok()?)
        .ok()?;
    Some(layout)
}

impl<A: Allocator> Packed<A> {
    /// What the allocation has beside the bytes.
    pub const HEAD: usize = size_of::<Head<A>>();

    /// Copies the bytes.
    ///
    /// # Errors
    /// [`OutOfMemory`], also for 4 GiB and more.
    pub fn try_new_in(bytes: &[u8], alloc: A) -> Result<Self, OutOfMemory> {
        let length = u32::try_from(bytes.len()).map_err(|_| OutOfMemory)?;
        let layout = layout::<A>(bytes.len()).ok_or(OutOfMemory)?;
        let head = alloc.allocate(layout)?.cast::<Head<A>>();
        let value = Head {
            count: AtomicU32::new(1),
            hash: AtomicU32::new(0),
            mark: AtomicU32::new(0),
            length,
            alloc,
        };
        // SAFETY: the block is fresh, aligned for the head and large enough.
        unsafe { head.write(value) };
        // SAFETY: the block goes on behind the head, by as many bytes.
        let place = unsafe { head.add(1) }.cast::<u8>();
        // SAFETY: there is room for them, and a fresh block overlaps nothing.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place.as_ptr(), bytes.len()) };
        Ok(Self {
            head,
            owns: PhantomData,
        })
    }

    /// Keeps a number with the bytes, which means whatever their owners agree on.
    pub fn set_mark(&self, mark: u32) {
        self.borrowed().head().mark.store(mark, Ordering::Relaxed);
    }

    /// Asks for the first bytes to be brought near, which goes on while other things are done.
    #[inline]
    pub fn bring(&self) {
        for line in 0..FIRST {
            prefetch(self.head.as_ptr().cast::<u8>().wrapping_add(line * LINE));
        }
    }

    /// Asks for the bytes behind those, or the next ones of many. Their number stands with the first.
    #[inline]
    pub fn bring_rest(&self) {
        let first = self.head.as_ptr().cast::<u8>();
        let length = self.borrowed().head().length as usize;
        let last = first.wrapping_add(size_of::<Head<A>>() + length).wrapping_sub(1);
        // Rather the last line twice than a branch that the processor cannot foresee.
        for line in FIRST..BROUGHT {
            prefetch(first.wrapping_add(line * LINE).min(last));
        }
    }

    /// The bytes, borrowed.
    #[must_use]
    pub const fn borrowed(&self) -> PackedRef<'_, A> {
        PackedRef {
            head: self.head,
            owner: PhantomData,
        }
    }
}

impl<'a, A: Allocator> PackedRef<'a, A> {
    #[inline]
    const fn head(&self) -> &Head<A> {
        // SAFETY: an owner keeps the block for `'a`, which outlives this borrow, and the head is only read, or atomic.
        unsafe { self.head.as_ref() }
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        // SAFETY: the bytes stand behind the head in the same block.
        let place = unsafe { self.head.add(1) }.cast::<u8>();
        // SAFETY: they are as many as the head says, initialised, unchanged for as long as there is an owner, which
        // is for `'a`.
        unsafe { core::slice::from_raw_parts(place.as_ptr(), self.head().length as usize) }
    }

    /// The number that was kept last; zero at first.
    #[must_use]
    pub fn mark(self) -> u32 {
        self.head().mark.load(Ordering::Relaxed)
    }

    /// A further owner.
    #[must_use]
    pub fn share(self) -> Packed<A> {
        let count = &self.head().count;
        // Relaxed: a new owner is made from one that exists, which already orders access to the bytes.
        if count.fetch_add(1, Ordering::Relaxed) >= SATURATED {
            // Keep it far from wrapping, however many come.
            count.store(SATURATED + SATURATED / 2, Ordering::Relaxed);
        }
        Packed {
            head: self.head,
            owns: PhantomData,
        }
    }
}

impl<A: Allocator> Clone for Packed<A> {
    fn clone(&self) -> Self {
        self.borrowed().share()
    }
}

impl<A: Allocator> Drop for Packed<A> {
    fn drop(&mut self) {
        let borrowed = self.borrowed();
        let Head { count, length, .. } = borrowed.head();
        if count.load(Ordering::Relaxed) >= SATURATED {
            return;
        }
        let layout = layout::<A>(*length as usize);
        // Release: what this owner did with the bytes happens before the last owner frees them.
        if count.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        let Some(layout) = layout else { return };
        // SAFETY: that was the last owner, so the block is live until it is freed below.
        let alloc = unsafe { &raw const (*self.head.as_ptr()).alloc };
        // SAFETY: nobody else reads it, and the block's own is not used again.
        let alloc = unsafe { alloc.read() };
        // SAFETY: allocated by this allocator with this layout, and not used again.
        unsafe { alloc.deallocate(self.head.cast(), layout) };
    }
}

impl<A: Allocator> Deref for Packed<A> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.borrowed().bytes()
    }
}

impl<A: Allocator> fmt::Debug for Packed<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

// SAFETY: the pointer is that of the block, which stays while an owner is there, and `into_raw` gives up none.
unsafe impl<A: Allocator> Thin for Packed<A> {
    type Ref<'a> = PackedRef<'a, A>;

    fn into_raw(self) -> NonNull<()> {
        core::mem::ManuallyDrop::new(self).head.cast()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Self {
            head: raw.cast(),
            owns: PhantomData,
        }
    }

    #[inline]
    unsafe fn borrow<'a>(raw: NonNull<()>) -> PackedRef<'a, A> {
        PackedRef {
            head: raw.cast(),
            owner: PhantomData,
        }
    }

    fn hash(this: PackedRef<'_, A>) -> u32 {
        this.head().hash.load(Ordering::Relaxed)
    }

    fn set_hash(&self, hash: u32) {
        self.borrowed().head().hash.store(hash, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;

    #[test]
    fn a_count_that_would_overflow_makes_the_bytes_immortal_instead() {
        let bytes = Packed::try_new_in(&[7], Global).map_err(|_| ());
        let bytes =
            core::mem::ManuallyDrop::new(bytes.unwrap_or_else(|()| unreachable!("the test has memory")));
        let borrowed = bytes.borrowed();
        let count = &borrowed.head().count;
        count.store(SATURATED - 1, Ordering::Relaxed);
        let owners = [(*bytes).clone(), (*bytes).clone(), (*bytes).clone()];
        drop(owners);
        assert_eq!(count.load(Ordering::Relaxed), SATURATED + SATURATED / 2);
        assert_eq!(**bytes, [7]);
    }
}
