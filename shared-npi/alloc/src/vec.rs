//! [`Vec`]: a growable array whose growth may fail.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, DerefMut, RangeBounds};
use core::ptr::NonNull;

use allocator_api2::alloc::{Allocator, Layout};
use allocator_api2::vec::Vec as Inner;
pub use allocator_api2::vec::{Drain, IntoIter};

use crate::{Box, OutOfMemory};

/// A growable array. Everything that may allocate can fail, and then leaves the vector as it was.
#[repr(transparent)]
pub struct Vec<T, A: Allocator>(Inner<T, A>);

impl<T, A: Allocator> Vec<T, A> {
    /// An empty vector. Allocates nothing.
    #[must_use]
    pub const fn new_in(alloc: A) -> Self {
        Self(Inner::new_in(alloc))
    }

    /// An empty vector with room for exactly `capacity` elements.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_with_capacity_in(capacity: usize, alloc: A) -> Result<Self, OutOfMemory> {
        let mut vec = Self::new_in(alloc);
        vec.try_reserve_exact(capacity)?;
        Ok(vec)
    }

    /// A vector of everything that `iter` yields.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_from_iter_in<I: IntoIterator<Item = T>>(iter: I, alloc: A) -> Result<Self, OutOfMemory> {
        let mut vec = Self::new_in(alloc);
        vec.try_extend(iter)?;
        Ok(vec)
    }

    /// Makes room for `additional` further elements, growing in steps that keep repeated pushes cheap.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_reserve(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        Ok(self.0.try_reserve(additional)?)
    }

    /// Makes room for exactly `additional` further elements.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_reserve_exact(&mut self, additional: usize) -> Result<(), OutOfMemory> {
        Ok(self.0.try_reserve_exact(additional)?)
    }

    /// Appends `value`.
    ///
    /// # Errors
    /// [`OutOfMemory`]; `value` is dropped. [`Vec::push_within_capacity`] gives it back.
    pub fn try_push(&mut self, value: T) -> Result<(), OutOfMemory> {
        self.try_reserve(1)?;
        self.push_within_capacity(value).map_err(|_| OutOfMemory)
    }

    /// Appends `value` if there is room without allocating.
    ///
    /// # Errors
    /// `value`, if the vector is full.
    pub fn push_within_capacity(&mut self, value: T) -> Result<(), T> {
        // Not `push` of the inner vector, here and below: it would bring along the code that grows or never returns.
        let Some(place) = self.0.spare_capacity_mut().first_mut() else {
            return Err(value);
        };
        place.write(value);
        let len = self.0.len().saturating_add(1);
        // SAFETY: there was room for one more element, which is initialised now.
        unsafe { self.0.set_len(len) };
        Ok(())
    }

    /// Puts `value` before the element at `index`; at the end if `index` is the length or more.
    ///
    /// # Errors
    /// [`OutOfMemory`]; `value` is dropped.
    pub fn try_insert(&mut self, index: usize, value: T) -> Result<(), OutOfMemory> {
        let index = index.min(self.0.len());
        self.try_push(value)?;
        if let Some(moved) = self.0.get_mut(index..) {
            moved.rotate_right(1);
        }
        Ok(())
    }

    /// Appends everything that `iter` yields, or nothing.
    ///
    /// # Errors
    /// [`OutOfMemory`]; what was taken from `iter` is dropped.
    pub fn try_extend<I: IntoIterator<Item = T>>(&mut self, iter: I) -> Result<(), OutOfMemory> {
        let before = self.0.len();
        let iter = iter.into_iter();
        self.try_reserve(iter.size_hint().0)?;
        for value in iter {
            if let Err(error) = self.try_push(value) {
                self.0.truncate(before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Moves all elements of `other` to the end of this vector, or none.
    ///
    /// # Errors
    /// [`OutOfMemory`]; `other` keeps its elements.
    pub fn try_append(&mut self, other: &mut Self) -> Result<(), OutOfMemory> {
        self.try_reserve(other.len())?;
        for value in other.0.drain(..) {
            // There is room for all of them.
            self.push_within_capacity(value).map_err(|_| OutOfMemory)?;
        }
        Ok(())
    }

    /// Removes the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Removes the element at `index` and closes the gap.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        (index < self.0.len()).then(|| self.0.remove(index))
    }

    /// Removes the element at `index` and puts the last one in its place.
    pub fn swap_remove(&mut self, index: usize) -> Option<T> {
        (index < self.0.len()).then(|| self.0.swap_remove(index))
    }

    /// Keeps only the elements for which `keep` is true, in order.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.0.retain(keep);
    }

    /// As [`Vec::retain`], with access to change the elements.
    pub fn retain_mut(&mut self, keep: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(keep);
    }

    /// Drops all elements from `len` on; nothing if there are fewer. Keeps the memory.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Drops all elements. Keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Removes the elements of `range`, cut to what is there, and yields them.
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> Drain<'_, T, A> {
        use core::ops::Bound;
        let end = match range.end_bound() {
            Bound::Included(&end) => end.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => usize::MAX,
        }
        .min(self.0.len());
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        }
        .min(end);
        self.0.drain(start..end)
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of elements that fit without allocating.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// The elements.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        self.0.as_slice()
    }

    /// The elements, to change.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.0.as_mut_slice()
    }

    /// The allocator.
    #[must_use]
    pub fn allocator(&self) -> &A {
        self.0.allocator()
    }

    /// Gives back memory beyond the length and makes a slice that is exactly as long.
    ///
    /// # Errors
    /// The vector as it was, if the allocator could not shrink its memory.
    pub fn try_into_boxed_slice(self) -> Result<Box<[T], A>, Self> {
        let len = self.0.len();
        let capacity = self.0.capacity();
        let (data, _, _, alloc) = self.0.into_raw_parts_with_alloc();
        let Some(exact) = resize_to_slice(data, capacity, len, &alloc) else {
            // SAFETY: these are the parts of the vector, unchanged.
            return Err(Self(unsafe {
                Inner::from_raw_parts_in(data, len, capacity, alloc)
            }));
        };
        let slice = core::ptr::slice_from_raw_parts_mut(exact, len);
        // SAFETY: the memory is an allocation of `alloc` for exactly `len` elements, which are initialised.
        Ok(unsafe { Box::from_raw_in(slice, alloc) })
    }

    pub(crate) fn from_boxed_slice(slice: Box<[T], A>) -> Self {
        let len = slice.len();
        let layout = Layout::for_value(&*slice);
        let (raw, alloc) = Box::into_raw_with_allocator(slice);
        if layout.size() == 0 {
            // A box has an allocation even for no bytes, a vector then has none. Elements without size are
            // where nothing is, so they stay.
            if let Some(block) = NonNull::new(raw.cast::<u8>()) {
                // SAFETY: the box gave up this allocation of no bytes.
                unsafe { alloc.deallocate(block, layout) };
            }
            let nothing = NonNull::<T>::dangling().as_ptr();
            // SAFETY: a vector without allocation: either it has no elements, or they have no size.
            return Self(unsafe { Inner::from_raw_parts_in(nothing, len, 0, alloc) });
        }
        // SAFETY: a boxed slice holds `len` initialised elements in an allocation for exactly `len` of them.
        Self(unsafe { Inner::from_raw_parts_in(raw.cast::<T>(), len, len, alloc) })
    }
}

/// Makes the memory of a vector an allocation for exactly `len` elements; the old one stays on failure.
fn resize_to_slice<T, A: Allocator>(data: *mut T, capacity: usize, len: usize, alloc: &A) -> Option<*mut T> {
    let new = Layout::array::<T>(len).ok()?;
    if new.size() == 0 {
        // A box has an allocation even for no bytes.
        let nothing = alloc.allocate(new).ok()?;
        if size_of::<T>() != 0 && capacity != 0 {
            let old = Layout::array::<T>(capacity).ok()?;
            // SAFETY: the vector gave up its memory, which has this layout.
            unsafe { alloc.deallocate(NonNull::new(data)?.cast(), old) };
        }
        return Some(nothing.cast::<T>().as_ptr());
    }
    if len == capacity {
        return Some(data);
    }
    let old = Layout::array::<T>(capacity).ok()?;
    // SAFETY: the block is a live allocation of layout `old`, and `new` is smaller with the same alignment.
    let shrunk = unsafe { alloc.shrink(NonNull::new(data)?.cast(), old, new) }.ok()?;
    Some(shrunk.cast::<T>().as_ptr())
}

impl<T: Copy, A: Allocator> Vec<T, A> {
    /// Appends a copy of `slice`, or nothing.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_extend_from_slice(&mut self, slice: &[T]) -> Result<(), OutOfMemory> {
        self.try_reserve(slice.len())?;
        let place = self.0.spare_capacity_mut().get_mut(..slice.len());
        let place = place.ok_or(OutOfMemory)?.as_mut_ptr().cast::<T>();
        // SAFETY: `place` is as long as `slice`, and is borrowed from this vector alone, so they do not overlap.
        unsafe { core::ptr::copy_nonoverlapping(slice.as_ptr(), place, slice.len()) };
        let len = self.0.len().saturating_add(slice.len());
        // SAFETY: there was room for that many more elements, which are initialised now.
        unsafe { self.0.set_len(len) };
        Ok(())
    }

    /// Makes the length `len`, with copies of `value` for new elements.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_resize(&mut self, len: usize, value: T) -> Result<(), OutOfMemory> {
        let Some(more) = len.checked_sub(self.0.len()) else {
            self.truncate(len);
            return Ok(());
        };
        self.try_reserve(more)?;
        for place in self.0.spare_capacity_mut().get_mut(..more).ok_or(OutOfMemory)? {
            place.write(value);
        }
        // SAFETY: there was room for the elements up to the new length, which are initialised now.
        unsafe { self.0.set_len(len) };
        Ok(())
    }

    /// A vector with a copy of `slice`.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn try_from_slice_in(slice: &[T], alloc: A) -> Result<Self, OutOfMemory> {
        let mut vec = Self::try_with_capacity_in(slice.len(), alloc)?;
        vec.try_extend_from_slice(slice)?;
        Ok(vec)
    }
}

impl<T, A: Allocator + Default> Default for Vec<T, A> {
    fn default() -> Self {
        Self::new_in(A::default())
    }
}

impl<T, A: Allocator> Deref for Vec<T, A> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, A: Allocator> DerefMut for Vec<T, A> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, A: Allocator> AsRef<[T]> for Vec<T, A> {
    fn as_ref(&self) -> &[T] {
        &self.0
    }
}

impl<T, A: Allocator> AsMut<[T]> for Vec<T, A> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T, A: Allocator> core::borrow::Borrow<[T]> for Vec<T, A> {
    fn borrow(&self) -> &[T] {
        &self.0
    }
}

impl<T, A: Allocator> IntoIterator for Vec<T, A> {
    type Item = T;
    type IntoIter = IntoIter<T, A>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, A: Allocator> IntoIterator for &'a Vec<T, A> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T, A: Allocator> IntoIterator for &'a mut Vec<T, A> {
    type Item = &'a mut T;
    type IntoIter = core::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

/// Formatting into bytes fails, with nothing written of the failing piece, when memory runs out.
impl<A: Allocator> fmt::Write for Vec<u8, A> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_extend_from_slice(text.as_bytes())
            .map_err(|OutOfMemory| fmt::Error)
    }
}

impl<T: fmt::Debug, A: Allocator> fmt::Debug for Vec<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: PartialEq, A: Allocator> PartialEq for Vec<T, A> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: PartialEq, A: Allocator> PartialEq<[T]> for Vec<T, A> {
    fn eq(&self, other: &[T]) -> bool {
        **self == *other
    }
}

impl<T: PartialEq, A: Allocator, const N: usize> PartialEq<[T; N]> for Vec<T, A> {
    fn eq(&self, other: &[T; N]) -> bool {
        **self == *other
    }
}

impl<T: Eq, A: Allocator> Eq for Vec<T, A> {}

impl<T: PartialOrd, A: Allocator> PartialOrd for Vec<T, A> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: Ord, A: Allocator> Ord for Vec<T, A> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: Hash, A: Allocator> Hash for Vec<T, A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
