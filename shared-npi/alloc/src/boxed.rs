//! [`Box`]: a single owner on the heap.

use core::borrow::{Borrow, BorrowMut};
use core::fmt;
use core::hash::{Hash, Hasher};
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;

use allocator_api2::alloc::Allocator;
use allocator_api2::boxed::Box as Inner;

use crate::{OutOfMemory, Vec};

/// A value on the heap with one owner.
///
/// To turn a `Box<T, A>` into a `Box<dyn Trait, A>` use [`unsize_box!`](crate::unsize_box): the language does
/// this by itself only for its own `Box`.
#[repr(transparent)]
pub struct Box<T: ?Sized, A: Allocator>(Inner<T, A>);

impl<T, A: Allocator> Box<T, A> {
    /// Moves `value` to the heap.
    ///
    /// # Errors
    /// [`OutOfMemory`]; `value` is dropped.
    pub fn try_new_in(value: T, alloc: A) -> Result<Self, OutOfMemory> {
        Ok(Self::write(Self::try_new_uninit_in(alloc)?, value))
    }

    /// Allocates room for a `T` that [`Box::write`] fills later.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_new_uninit_in(alloc: A) -> Result<Box<MaybeUninit<T>, A>, OutOfMemory> {
        Ok(Box(Inner::try_new_uninit_in(alloc)?))
    }

    /// Puts `value` into memory that was allocated before. Cannot fail.
    #[must_use]
    pub fn write(mut this: Box<MaybeUninit<T>, A>, value: T) -> Self {
        this.0.as_mut().write(value);
        // SAFETY: the line above initialised the value.
        Self(unsafe { this.0.assume_init() })
    }

    /// Takes the value out and frees its memory.
    #[must_use]
    pub fn into_inner(this: Self) -> T {
        Inner::into_inner(this.0)
    }
}

impl<T: ?Sized, A: Allocator> Box<T, A> {
    /// Gives up ownership; the allocator goes with it, so this is for allocators that a type stands for.
    ///
    /// The counterpart is [`Box::from_raw_in`].
    #[must_use]
    pub fn into_raw(this: Self) -> *mut T {
        Self::into_raw_with_allocator(this).0
    }

    /// Gives up ownership and returns the allocator that must one day free the memory.
    #[must_use]
    pub fn into_raw_with_allocator(this: Self) -> (*mut T, A) {
        Inner::into_raw_with_allocator(this.0)
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `raw` came from [`Box::into_raw`] or [`Box::into_raw_with_allocator`], is owned by nobody else, and
    /// `alloc` may free memory of the allocator it came from.
    #[must_use]
    pub const unsafe fn from_raw_in(raw: *mut T, alloc: A) -> Self {
        // SAFETY: passed on to the caller.
        Self(unsafe { Inner::from_raw_in(raw, alloc) })
    }

    /// Pins the value: it will not move until it is dropped.
    #[must_use]
    pub const fn into_pin(this: Self) -> Pin<Self>
    where
        A: 'static,
    {
        // SAFETY: moving the box does not move the value, and nothing else gives access to it by value.
        unsafe { Pin::new_unchecked(this) }
    }

    /// The allocator.
    #[must_use]
    pub const fn allocator(this: &Self) -> &A {
        Inner::allocator(&this.0)
    }
}

impl<T: Copy, A: Allocator> Box<[T], A> {
    /// Copies `slice` to the heap.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_from_slice_in(slice: &[T], alloc: A) -> Result<Self, OutOfMemory> {
        let mut vec = Vec::try_with_capacity_in(slice.len(), alloc)?;
        vec.try_extend_from_slice(slice)?;
        vec.try_into_boxed_slice().map_err(|_| OutOfMemory)
    }

    /// A slice of `len` times `value`.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_filled_in(value: T, len: usize, alloc: A) -> Result<Self, OutOfMemory> {
        let mut vec = Vec::try_with_capacity_in(len, alloc)?;
        vec.try_resize(len, value)?;
        vec.try_into_boxed_slice().map_err(|_| OutOfMemory)
    }
}

impl<T, A: Allocator> Box<[T], A> {
    /// Makes a vector that can grow from the slice, without moving it.
    #[must_use]
    pub fn into_vec(this: Self) -> Vec<T, A> {
        Vec::from_boxed_slice(this)
    }
}

impl<T: ?Sized, A: Allocator> Deref for Box<T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized, A: Allocator> DerefMut for Box<T, A> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: ?Sized, A: Allocator> AsRef<T> for Box<T, A> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized, A: Allocator> AsMut<T> for Box<T, A> {
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized, A: Allocator> Borrow<T> for Box<T, A> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: ?Sized, A: Allocator> BorrowMut<T> for Box<T, A> {
    fn borrow_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: ?Sized, A: Allocator> Unpin for Box<T, A> {}

impl<T: ?Sized + fmt::Debug, A: Allocator> fmt::Debug for Box<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display, A: Allocator> fmt::Display for Box<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + PartialEq, A: Allocator> PartialEq for Box<T, A> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq, A: Allocator> Eq for Box<T, A> {}

impl<T: ?Sized + PartialOrd, A: Allocator> PartialOrd for Box<T, A> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord, A: Allocator> Ord for Box<T, A> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized + Hash, A: Allocator> Hash for Box<T, A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

/// Turns a `Box<T, A>` into a `Box<U, A>` where `T` coerces to the unsized `U`, for example a trait object.
///
/// ```
/// use allocator_api2::alloc::Global;
/// use pool_alloc::{Box, unsize_box};
///
/// let number = Box::try_new_in(7_u8, Global)?;
/// let shown: Box<dyn std::fmt::Display, Global> = unsize_box!(number);
/// assert_eq!(shown.to_string(), "7");
/// # Ok::<(), pool_alloc::OutOfMemory>(())
/// ```
#[macro_export]
macro_rules! unsize_box {
    ($boxed:expr) => {{
        let (raw, alloc) = $crate::Box::into_raw_with_allocator($boxed);
        // SAFETY: the pointer was just given up by its box, together with this allocator; a coercion of the
        // pointer keeps address and layout.
        unsafe { $crate::Box::from_raw_in(raw, alloc) }
    }};
}
