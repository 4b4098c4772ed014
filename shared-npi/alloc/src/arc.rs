//! [`Arc`]: shared ownership with an atomic count, and [`UniqueArc`]: its one owner before it is shared.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use allocator_api2::alloc::Allocator;

use crate::OutOfMemory;

/// From this count on an [`Arc`] is immortal: it is neither counted further nor ever freed.
const SATURATED: usize = isize::MAX as usize;

/// The heap block. `repr(C)` fixes where the value is, so that a pointer to it leads back to the block.
#[repr(C)]
struct Block<T: ?Sized> {
    count: AtomicUsize,
    value: T,
}

/// The distance from the start of a block to its value, for a value of layout `value`.
fn value_offset(value: Layout) -> usize {
    // `Layout::extend` gives the offset that `repr(C)` uses; it only fails for sizes that no value has.
    Layout::new::<AtomicUsize>()
        .extend(value)
        .map_or(0, |(_, offset)| offset)
}

/// A value on the heap with several owners; the last one frees it.
///
/// There are no weak references. More than `isize::MAX` owners cannot overflow the count: such a value
/// becomes immortal instead (a leak, where a wrapped count would be a use after free).
pub struct Arc<T: ?Sized, A: Allocator> {
    block: NonNull<Block<T>>,
    alloc: A,
    owns: PhantomData<Block<T>>,
}

// SAFETY: an `Arc` gives `&T` to every thread that has one (hence `T: Sync`), and the last owner drops the
// `T`, whichever thread it is on (hence `T: Send`); the allocator goes with the `Arc`.
unsafe impl<T: ?Sized + Send + Sync, A: Allocator + Send> Send for Arc<T, A> {}
// SAFETY: as above; a shared `Arc` can be cloned on another thread, which also clones the allocator.
unsafe impl<T: ?Sized + Send + Sync, A: Allocator + Send + Sync> Sync for Arc<T, A> {}

impl<T: ?Sized, A: Allocator> Unpin for Arc<T, A> {}

impl<T, A: Allocator> Arc<T, A> {
    /// Moves `value` to the heap.
    ///
    /// # Errors
    /// [`OutOfMemory`]; `value` is dropped.
    pub fn try_new_in(value: T, alloc: A) -> Result<Self, OutOfMemory> {
        Ok(Self::write(Self::try_new_uninit_in(alloc)?, value).into())
    }

    /// Allocates room for a `T` that [`Arc::write`] fills later.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_new_uninit_in(alloc: A) -> Result<UniqueArc<MaybeUninit<T>, A>, OutOfMemory> {
        let block = alloc
            .allocate(Layout::new::<Block<MaybeUninit<T>>>())?
            .cast::<Block<MaybeUninit<T>>>();
        // SAFETY: the block was just allocated for this type; its count is in bounds.
        let count = unsafe { &raw mut (*block.as_ptr()).count };
        // SAFETY: `count` points into the fresh block, which nobody else knows.
        unsafe { count.write(AtomicUsize::new(1)) };
        // The value is uninitialised, which its type allows.
        Ok(UniqueArc(Arc {
            block,
            alloc,
            owns: PhantomData,
        }))
    }

    /// Puts `value` into memory that was allocated before. Cannot fail.
    #[must_use]
    pub fn write(mut this: UniqueArc<MaybeUninit<T>, A>, value: T) -> UniqueArc<T, A> {
        MaybeUninit::write(&mut *this, value);
        let (block, alloc) = this.0.into_parts();
        // `MaybeUninit<T>` has the layout of `T`, and the value is initialised now.
        UniqueArc(Self {
            block: block.cast(),
            alloc,
            owns: PhantomData,
        })
    }
}

impl<T: Copy, A: Allocator> Arc<[T], A> {
    /// Copies `slice` to the heap.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_from_slice_in(slice: &[T], alloc: A) -> Result<Self, OutOfMemory> {
        let (layout, offset) = Layout::new::<AtomicUsize>()
            .extend(Layout::for_value(slice))
            .map_err(|_| OutOfMemory)?;
        let memory = alloc.allocate(layout.pad_to_align())?.cast::<u8>();
        // SAFETY: the block starts with its count, which is aligned because the layout is.
        unsafe { memory.cast::<AtomicUsize>().write(AtomicUsize::new(1)) };
        // SAFETY: `offset` lies within the layout that was allocated.
        let value = unsafe { memory.add(offset) }.cast::<T>();
        // SAFETY: there is room for `slice.len()` elements at `value`, and fresh memory overlaps nothing.
        unsafe { core::ptr::copy_nonoverlapping(slice.as_ptr(), value.as_ptr(), slice.len()) };
        let block = core::ptr::slice_from_raw_parts_mut(memory.as_ptr().cast::<T>(), slice.len());
        // SAFETY: the address is not null, being that of an allocation; the length is kept by the cast.
        let block = unsafe { NonNull::new_unchecked(block as *mut Block<[T]>) };
        Ok(Self {
            block,
            alloc,
            owns: PhantomData,
        })
    }
}

impl<T: ?Sized, A: Allocator> Arc<T, A> {
    const fn block(&self) -> &Block<T> {
        // SAFETY: the block lives as long as any owner does, and `self` is one.
        unsafe { self.block.as_ref() }
    }

    fn into_parts(self) -> (NonNull<Block<T>>, A) {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used again and never dropped, so the allocator is moved out once.
        (this.block, unsafe { core::ptr::read(&raw const this.alloc) })
    }

    /// Gives up this ownership for a pointer to the value; the allocator goes with it, so this is for
    /// allocators that a type stands for. The counterpart is [`Arc::from_raw_in`].
    #[must_use]
    pub fn into_raw(this: Self) -> *const T {
        Self::into_raw_with_allocator(this).0
    }

    /// Gives up this ownership for a pointer to the value, and the allocator.
    #[must_use]
    pub fn into_raw_with_allocator(this: Self) -> (*const T, A) {
        let (block, alloc) = this.into_parts();
        // SAFETY: the block is live, one ownership of it being in our hands; no reference is made.
        (unsafe { &raw const (*block.as_ptr()).value }, alloc)
    }

    /// Takes back an ownership that [`Arc::into_raw`] gave up.
    ///
    /// # Safety
    /// `raw` came from [`Arc::into_raw`] or [`Arc::into_raw_with_allocator`], perhaps coerced to an unsized
    /// type since; each such pointer is taken back once, and `alloc` may free memory of the allocator it came
    /// from.
    #[must_use]
    pub unsafe fn from_raw_in(raw: *const T, alloc: A) -> Self {
        // SAFETY: the ownership that `raw` stands for keeps the value alive.
        let layout = Layout::for_value(unsafe { &*raw });
        let offset = value_offset(layout);
        // SAFETY: `raw` points to the value of a block, which starts `offset` bytes before it.
        let block = unsafe { raw.byte_sub(offset) } as *mut Block<T>;
        // SAFETY: an address inside a live allocation is not null.
        let block = unsafe { NonNull::new_unchecked(block) };
        Self {
            block,
            alloc,
            owns: PhantomData,
        }
    }

    /// A pointer to the value, for identity or for [`Arc::borrow_raw`].
    #[must_use]
    pub const fn as_ptr(this: &Self) -> *const T {
        &raw const this.block().value
    }

    /// Whether both own the same value.
    #[must_use]
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        core::ptr::addr_eq(this.block.as_ptr(), other.block.as_ptr())
    }

    /// The number of owners at this instant; other threads may change it at any time.
    #[must_use]
    pub fn count(this: &Self) -> usize {
        this.block().count.load(Ordering::Relaxed)
    }

    /// Access to change the value, if this is the only owner.
    #[must_use]
    pub fn get_mut(this: &mut Self) -> Option<&mut T> {
        // Acquire pairs with the Release of owners that are gone: what they did to the value happened before.
        if this.block().count.load(Ordering::Acquire) != 1 {
            return None;
        }
        // SAFETY: we are the only owner, and `this` is borrowed exclusively, so no clone can appear
        // meanwhile.
        Some(unsafe { &mut (*this.block.as_ptr()).value })
    }
}

impl<T, A: Allocator> Arc<T, A> {
    /// A further owner, from the pointer of one that exists as a raw pointer.
    ///
    /// # Safety
    /// As for [`Arc::from_raw_in`], but the ownership that `raw` stands for stays with it.
    #[must_use]
    pub unsafe fn clone_from_raw_in(raw: *const T, alloc: A) -> Self
    where
        A: Clone,
    {
        // SAFETY: `raw` came from `into_raw`; the ownership it stands for is given up again below.
        let borrowed = unsafe { Self::from_raw_in(raw, alloc) };
        let owner = borrowed.clone();
        // The allocator is dropped, and the ownership stays with `raw`.
        let _raw = Self::into_raw(borrowed);
        owner
    }

    /// Borrows the value behind a pointer that [`Arc::into_raw`] gave.
    ///
    /// # Safety
    /// The ownership that `raw` stands for, or another one, lasts for `'a`.
    #[must_use]
    pub const unsafe fn borrow_raw<'a>(raw: *const T) -> &'a T {
        // SAFETY: the caller keeps the block alive for `'a`.
        unsafe { &*raw }
    }

    /// The value, if this is the last owner; otherwise gives up this ownership.
    #[must_use]
    pub fn into_inner(this: Self) -> Option<T> {
        let (block, alloc) = this.into_parts();
        // SAFETY: our ownership keeps the block alive until the count goes down.
        let count = unsafe { &(*block.as_ptr()).count };
        if !release(count) {
            return None;
        }
        // SAFETY: that was the last owner, so the block is live until it is freed below.
        let value = unsafe { &raw const (*block.as_ptr()).value };
        // SAFETY: the block is ours alone, so nobody else will read or drop the value.
        let value = unsafe { value.read() };
        // SAFETY: allocated by `alloc` with this layout, and not used again.
        unsafe { alloc.deallocate(block.cast(), Layout::new::<Block<T>>()) };
        Some(value)
    }
}

/// Takes one owner off; true for the last one, who then owns the block alone.
fn release(count: &AtomicUsize) -> bool {
    if count.load(Ordering::Relaxed) >= SATURATED {
        return false;
    }
    // Release: what this owner did with the value happens before the last owner drops it.
    if count.fetch_sub(1, Ordering::Release) != 1 {
        return false;
    }
    fence(Ordering::Acquire);
    true
}

impl<T: ?Sized, A: Allocator + Clone> Clone for Arc<T, A> {
    fn clone(&self) -> Self {
        let count = &self.block().count;
        // Relaxed: a new owner is made from one that exists, which already orders access to the value.
        if count.fetch_add(1, Ordering::Relaxed) >= SATURATED {
            // Keep it far from wrapping, however many come.
            count.store(SATURATED.saturating_add(SATURATED / 2), Ordering::Relaxed);
        }
        Self {
            block: self.block,
            alloc: self.alloc.clone(),
            owns: PhantomData,
        }
    }
}

impl<T: ?Sized, A: Allocator> Drop for Arc<T, A> {
    fn drop(&mut self) {
        if !release(&self.block().count) {
            return;
        }
        let layout = Layout::for_value(self.block());
        // SAFETY: that was the last owner, so the block is live until it is freed below.
        let value = unsafe { &raw mut (*self.block.as_ptr()).value };
        // SAFETY: nobody else can reach the value any more, and it is dropped only here.
        unsafe { value.drop_in_place() };
        // SAFETY: allocated by this allocator with this layout, and not used again.
        unsafe { self.alloc.deallocate(self.block.cast(), layout) };
    }
}

impl<T: ?Sized, A: Allocator> Deref for Arc<T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.block().value
    }
}

impl<T: ?Sized, A: Allocator> AsRef<T> for Arc<T, A> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized, A: Allocator> core::borrow::Borrow<T> for Arc<T, A> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized + fmt::Debug, A: Allocator> fmt::Debug for Arc<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + PartialEq, A: Allocator> PartialEq for Arc<T, A> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq, A: Allocator> Eq for Arc<T, A> {}

/// The only owner of a value that will be shared later: it may still be changed.
pub struct UniqueArc<T: ?Sized, A: Allocator>(Arc<T, A>);

impl<T: ?Sized, A: Allocator> Deref for UniqueArc<T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized, A: Allocator> DerefMut for UniqueArc<T, A> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the `Arc` inside was never cloned or handed out, so this is its only owner.
        unsafe { &mut (*self.0.block.as_ptr()).value }
    }
}

impl<T: ?Sized, A: Allocator> From<UniqueArc<T, A>> for Arc<T, A> {
    fn from(unique: UniqueArc<T, A>) -> Self {
        unique.0
    }
}

/// Turns an `Arc<T, A>` into an `Arc<U, A>` where `T` coerces to the unsized `U`; see
/// [`unsize_box!`](crate::unsize_box).
#[macro_export]
macro_rules! unsize_arc {
    ($arc:expr) => {{
        let (raw, alloc) = $crate::Arc::into_raw_with_allocator($arc);
        // SAFETY: the pointer was just given up by its owner, together with this allocator; a coercion of the
        // pointer keeps address and layout.
        unsafe { $crate::Arc::from_raw_in(raw, alloc) }
    }};
}

#[cfg(test)]
mod tests {
    use core::mem::ManuallyDrop;

    use super::*;

    #[test]
    fn a_count_that_would_overflow_makes_the_value_immortal_instead() {
        let arc = ManuallyDrop::new(
            Arc::try_new_in(7, allocator_api2::alloc::Global)
                .unwrap_or_else(|OutOfMemory| unreachable!("the test has memory")),
        );
        arc.block().count.store(SATURATED - 1, Ordering::Relaxed);
        let last = (*arc).clone();
        assert_eq!(Arc::count(&arc), SATURATED);
        let beyond = (*arc).clone();
        let far_beyond = (*arc).clone();
        assert!(Arc::count(&arc) > SATURATED);
        for owner in [last, beyond, far_beyond] {
            drop(owner);
        }
        // Far from zero, and far from wrapping.
        assert_eq!(Arc::count(&arc), SATURATED + SATURATED / 2);
        assert_eq!(**arc, 7);
    }
}
