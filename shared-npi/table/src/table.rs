//! The table: its two ends, and what happens to entries that were taken out.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use pool_alloc::{Allocator, Arc, OutOfMemory, Vec};

use crate::array::{Array, Head, Place, Probe, prefetch};
use crate::readers::{Entered, Grace, Readers};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// So much may wait to be freed. If readers are kept from running for so long, there is no memory for more.
const RETIRED_MAX: usize = 1 << 16;
/// So many places are between the entry that moves to a larger array and the one that is brought near.
const AHEAD: usize = 32;
/// Before so much waits, making room does not look whether it can be freed.
const RETIRED_SOME: usize = 64;

/// An owner that is a pointer of one word, and can be borrowed from it. What it owns is shared and immutable.
///
/// # Safety
///
/// What [`Self::into_raw`] gives stands for the ownership that it consumed, until [`Self::from_raw`] takes it back:
/// meanwhile it may be borrowed, from any thread if the type is `Sync`.
pub unsafe trait Thin: Sized {
    /// What it looks like when it is borrowed.
    type Ref<'a>: Copy;

    /// Gives up the ownership for a pointer.
    fn into_raw(self) -> NonNull<()>;

    /// Takes back an ownership.
    ///
    /// # Safety
    /// The pointer came from [`Self::into_raw`], and each is taken back once.
    unsafe fn from_raw(raw: NonNull<()>) -> Self;

    /// Borrows from the pointer.
    ///
    /// # Safety
    /// The pointer came from [`Self::into_raw`], and is not taken back within `'a`.
    unsafe fn borrow<'a>(raw: NonNull<()>) -> Self::Ref<'a>;

    /// The hash that was set last.
    fn hash(this: Self::Ref<'_>) -> u32;

    /// Keeps a hash, which the table is going to ask for.
    fn set_hash(&self, hash: u32);
}

/// What the writer has taken out.
#[derive(Clone, Copy)]
enum Retired {
    Entry(NonNull<()>),
    Array(Array),
    /// With the entries in it.
    Content(Array),
}

/// What is the writer's alone.
struct Pending<A: Allocator> {
    /// In the order in which they were taken out.
    retired: Vec<Retired, A>,
    /// How many of them `grace` is about.
    covered: usize,
    grace: Option<Grace>,
}

/// What the two ends share. A reader reads what is before `apart` and writes only to its counter in `readers`; the writer
/// writes there when the table grows, and to the phase of `readers`.
#[repr(C)]
struct Shared<T: Thin, A: Allocator> {
    /// Null while nothing was ever put in.
    array: AtomicPtr<Head>,
    /// Number of the array's buckets, less one; perhaps not in step with it.
    mask: AtomicUsize,
    readers: Readers<A>,
    /// Keeps what the writer writes at each change off the lines that readers read.
    apart: [u8; 128],
    pending: UnsafeCell<Pending<A>>,
    alloc: A,
    owns: PhantomData<T>,
}

#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "the pointers in `pending` are such entries, and arrays"
)]
// SAFETY: what is shared is atomic, but for `pending`, which only the one writer uses, by an exclusive borrow; entries
// are `Send` and `Sync`, and freed on whichever thread is the last, with the allocator.
unsafe impl<T: Thin + Send + Sync, A: Allocator + Send + Sync> Send for Shared<T, A> {}
// SAFETY: as above.
unsafe impl<T: Thin + Send + Sync, A: Allocator + Send + Sync> Sync for Shared<T, A> {}

impl<T: Thin, A: Allocator> Shared<T, A> {
    #[inline]
    fn prefetch(&self, hash: u32) {
        // Neither has to be right, as nothing is read here.
        let published = self.array.load(Ordering::Relaxed);
        let mask = self.mask.load(Ordering::Relaxed);
        prefetch(Array::bucket_address(published, mask, hash));
    }
}

/// The end of a table that changes it. There is one.
pub struct Writer<T: Thin, A: Allocator> {
    shared: Arc<Shared<T, A>, A>,
    /// Number of entries.
    length: usize,
    /// How often entries have moved.
    moves: u64,
}

/// An end of a table that finds what is in it.
pub struct Reader<T: Thin, A: Allocator> {
    shared: Arc<Shared<T, A>, A>,
}

impl<T: Thin, A: Allocator + Clone> Clone for Reader<T, A> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

/// A table's two ends.
pub type Ends<T, A> = (Writer<T, A>, Reader<T, A>);

/// Makes an empty table.
///
/// # Errors
/// No memory.
pub fn new_in<T: Thin, A: Allocator + Clone>(alloc: A) -> Result<Ends<T, A>, OutOfMemory> {
    let shared = Shared {
        array: AtomicPtr::new(ptr::null_mut()),
        mask: AtomicUsize::new(0),
        readers: Readers::try_new_in(alloc.clone())?,
        apart: [0; 128],
        pending: UnsafeCell::new(Pending {
            retired: Vec::new_in(alloc.clone()),
            covered: 0,
            grace: None,
        }),
        alloc: alloc.clone(),
        owns: PhantomData,
    };
    let shared = Arc::try_new_in(shared, alloc)?;
    let writer = Writer {
        shared: shared.clone(),
        length: 0,
        moves: 0,
    };
    Ok((writer, Reader { shared }))
}

impl<T: Thin, A: Allocator> Reader<T, A> {
    /// Asks for what a search for that hash touches first to be brought near, which goes on while the search begins.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        self.shared.prefetch(hash);
    }

    /// Begins to read, as a thread on that processor, or any other: the number spreads readers over counters.
    ///
    /// What is taken out of the table is not freed before the section ends. So it should end soon.
    #[inline]
    pub fn enter(&self, processor: usize) -> Section<'_, T, A> {
        let entered = self.shared.readers.enter(processor);
        let published = self.shared.array.load(Ordering::SeqCst);
        // SAFETY: an array that is found by who has entered is not freed before it has left, which is when the section
        // is dropped.
        let array = unsafe { Array::from_ptr(published) };
        Section {
            shared: &self.shared,
            entered,
            array,
        }
    }
}

/// A time in which what was found is not freed.
pub struct Section<'r, T: Thin, A: Allocator> {
    shared: &'r Shared<T, A>,
    entered: Entered,
    array: Option<Array>,
}

impl<T: Thin, A: Allocator> Section<'_, T, A> {
    /// The entries whose hash may be that: a bit more than those whose hash it is.
    #[inline]
    pub fn candidates(&self, hash: u32) -> impl Iterator<Item = T::Ref<'_>> {
        let probe = self.array.map(|array| array.probe(hash));
        // SAFETY: it was found in this section, so it is not taken back before the section ends, and the borrow ends
        // before.
        probe
            .into_iter()
            .flatten()
            .map(|place| unsafe { T::borrow(place.entry) })
    }

    /// Asks for the first of them to be brought near, which goes on while others are.
    #[inline]
    pub fn bring(&self, hash: u32) {
        let mut probe = self.array.map(|array| array.probe(hash));
        if let Some(place) = probe.as_mut().and_then(Iterator::next) {
            prefetch(place.entry.as_ptr());
        }
    }

    /// The first of them that is what is looked for.
    #[inline]
    pub fn find(&self, hash: u32, is: impl Fn(T::Ref<'_>) -> bool) -> Option<T::Ref<'_>> {
        self.candidates(hash).find(|entry| is(*entry))
    }
}

impl<T: Thin, A: Allocator> Drop for Section<'_, T, A> {
    #[inline]
    fn drop(&mut self) {
        self.shared.readers.leave(self.entered);
    }
}

impl<T: Thin, A: Allocator> Writer<T, A> {
    /// Number of entries.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no entries.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How often entries may have moved to other places.
    pub const fn moves(&self) -> u64 {
        self.moves
    }

    fn array(&self) -> Option<Array> {
        // SAFETY: an array is taken out and freed through an exclusive borrow of the writer only, which ends this one
        // and what was derived from it.
        unsafe { Array::from_ptr(self.shared.array.load(Ordering::Relaxed)) }
    }

    fn pending(&mut self) -> &mut Pending<A> {
        // SAFETY: only the writer uses it, of which there is one, and it is borrowed exclusively.
        unsafe { &mut *self.shared.pending.get() }
    }

    /// An entry as it is borrowed with the writer.
    #[expect(
        clippy::unused_self,
        reason = "it is the writer that the entry is borrowed with"
    )]
    fn borrowed(&self, entry: NonNull<()>) -> T::Ref<'_> {
        // SAFETY: it is in the table, and entries are taken out and freed through an exclusive borrow of the writer
        // only.
        unsafe { T::borrow(entry) }
    }

    /// The entries whose hash may be that: a bit more than those whose hash it is.
    pub fn candidates(&self, hash: u32) -> impl Iterator<Item = T::Ref<'_>> {
        self.probe(hash).map(|place| self.borrowed(place.entry))
    }

    fn probe(&self, hash: u32) -> impl Iterator<Item = Place> {
        let probe: Option<Probe> = self.array().map(|array| array.probe(hash));
        probe.into_iter().flatten()
    }

    /// Number of places for entries; see [`Self::at`].
    pub fn places(&self) -> usize {
        self.array().map_or(0, Array::places)
    }

    /// The entry at a place, which is below [`Self::places`]. It stays there until it is taken out, or
    /// [`Self::moves`] changes.
    pub fn at(&self, place: usize) -> Option<T::Ref<'_>> {
        let entry = self.array()?.at(place)?;
        Some(self.borrowed(entry))
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = T::Ref<'_>> {
        let entries = self.array().map(Array::all);
        entries.into_iter().flatten().map(|entry| self.borrowed(entry))
    }

    /// Sees to it that so many changes need no memory, and that those which put something in move nothing.
    ///
    /// # Errors
    /// No memory.
    pub fn reserve(&mut self, changes: usize) -> Result<(), OutOfMemory> {
        if self.pending().retired.len() >= RETIRED_SOME {
            self.collect();
        }
        let pending = self.pending();
        if pending.retired.len() > RETIRED_MAX {
            return Err(OutOfMemory);
        }
        // Beside the changes, one for the array that is outgrown now, and one for clearing the table at any time.
        pending.retired.try_reserve(changes.saturating_add(2))?;
        let wanted = self.length.checked_add(changes).ok_or(OutOfMemory)?;
        if self.array().is_none_or(|array| array.capacity() < wanted) {
            self.grow(wanted)?;
        }
        Ok(())
    }

    /// How many entries there may be before the table grows.
    pub fn capacity(&self) -> usize {
        self.array().map_or(0, Array::capacity)
    }

    /// Sees to it that there may be so many entries before the table grows.
    ///
    /// # Errors
    /// No memory.
    pub fn make_room(&mut self, entries: usize) -> Result<(), OutOfMemory> {
        if self.capacity() < entries {
            self.reserve(0)?;
            self.grow(entries)?;
        }
        Ok(())
    }

    /// As [`Reader::prefetch`].
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        self.shared.prefetch(hash);
    }

    fn grow(&mut self, wanted: usize) -> Result<(), OutOfMemory> {
        let larger = Array::try_new_in(wanted, &self.shared.alloc)?;
        let old = self.array();
        if let Some(old) = old {
            for place in 0..old.places() {
                // An entry is asked for its hash, so it is brought near before.
                if let Some(ahead) = old.at(place.saturating_add(AHEAD)) {
                    prefetch(ahead.as_ptr());
                }
                if let Some(entry) = old.at(place) {
                    larger.insert(T::hash(self.borrowed(entry)), entry);
                }
            }
        }
        self.shared.mask.store(larger.buckets() - 1, Ordering::Relaxed);
        // SeqCst holds Release: who finds the array finds what is in it.
        self.shared.array.swap(larger.as_ptr(), Ordering::SeqCst);
        self.moves = self.moves.wrapping_add(1);
        if let Some(old) = old {
            self.retire(Retired::Array(old));
        }
        Ok(())
    }

    fn retire(&mut self, retired: Retired) {
        let pushed = self.pending().retired.push_within_capacity(retired);
        // Without room, what was taken out is never freed, which harms nobody but the memory.
        debug_assert!(pushed.is_ok(), "room was reserved");
    }

    /// Puts an entry in, beside others of its hash. Room for it was reserved; without, it is given back.
    ///
    /// # Errors
    /// The entry.
    pub fn insert(&mut self, hash: u32, entry: T) -> Result<(), T> {
        let Some(array) = self.array().filter(|array| self.length < array.capacity()) else {
            return Err(entry);
        };
        entry.set_hash(hash);
        array.insert(hash, entry.into_raw());
        self.length += 1;
        Ok(())
    }

    /// Puts an entry in the place of the one of that hash that is looked for. It is a change that was reserved.
    ///
    /// # Errors
    /// There is none: the entry is given back.
    pub fn replace(&mut self, hash: u32, entry: T, is: impl FnMut(T::Ref<'_>) -> bool) -> Result<(), T> {
        let Some((array, place)) = self.place(hash, is) else {
            return Err(entry);
        };
        entry.set_hash(hash);
        array.replace(place, entry.into_raw());
        self.retire(Retired::Entry(place.entry));
        Ok(())
    }

    /// Takes out the entry of that hash that is looked for; answers whether there was one. It is a change that was
    /// reserved.
    pub fn remove(&mut self, hash: u32, is: impl FnMut(T::Ref<'_>) -> bool) -> bool {
        let Some((array, place)) = self.place(hash, is) else {
            return false;
        };
        array.remove(place, hash);
        self.length -= 1;
        self.retire(Retired::Entry(place.entry));
        true
    }

    fn place(&self, hash: u32, mut is: impl FnMut(T::Ref<'_>) -> bool) -> Option<(Array, Place)> {
        let array = self.array()?;
        let mut of_hash = |entry| T::hash(entry) == hash && is(entry);
        let place = array
            .probe(hash)
            .find(|place| of_hash(self.borrowed(place.entry)))?;
        Some((array, place))
    }

    /// Takes out all entries. Needs no memory.
    pub fn clear(&mut self) {
        let Some(array) = self.array() else { return };
        self.shared.array.swap(ptr::null_mut(), Ordering::SeqCst);
        self.length = 0;
        self.moves = self.moves.wrapping_add(1);
        self.retire(Retired::Content(array));
    }

    /// Frees what was taken out and no reader can have any more; answers whether that was all. Does not wait.
    pub fn collect(&mut self) -> bool {
        while !self.pending().retired.is_empty() {
            if self.pending().grace.is_none() {
                let grace = self.shared.readers.begin();
                let pending = self.pending();
                pending.covered = pending.retired.len();
                pending.grace = Some(grace);
            }
            let Some(mut grace) = self.pending().grace else {
                return false;
            };
            let over = self.shared.readers.is_over(&mut grace);
            self.pending().grace = if over { None } else { Some(grace) };
            if !over {
                return false;
            }
            self.free_covered();
        }
        true
    }

    fn free_covered(&mut self) {
        // SAFETY: only the writer uses it, and it is borrowed exclusively; another field than the rest of this uses.
        let pending = unsafe { &mut *self.shared.pending.get() };
        let covered = core::mem::take(&mut pending.covered);
        for retired in pending.retired.drain(..covered) {
            // SAFETY: each counter of readers was seen at zero since it was taken out; it was taken out once.
            unsafe { free::<T, A>(retired, &self.shared.alloc) };
        }
    }
}

/// Frees what was taken out.
///
/// # Safety
/// It is of a table of those types and that allocator. Nobody has it any more, and it is freed once.
unsafe fn free<T: Thin, A: Allocator>(retired: Retired, alloc: &A) {
    match retired {
        // SAFETY: the caller's promise: the table's ownership is taken back once.
        Retired::Entry(entry) => drop(unsafe { T::from_raw(entry) }),
        // SAFETY: the caller's promise.
        Retired::Array(array) => unsafe { array.free(alloc) },
        Retired::Content(array) => {
            for entry in array.all() {
                // SAFETY: an entry that was in the array when it was cleared is owned by it alone.
                drop(unsafe { T::from_raw(entry) });
            }
            // SAFETY: the caller's promise.
            unsafe { array.free(alloc) };
        }
    }
}

impl<T: Thin, A: Allocator> Drop for Shared<T, A> {
    fn drop(&mut self) {
        // SAFETY: there is neither writer nor reader any more, so no section; an array is not freed before.
        let last = unsafe { Array::from_ptr(self.array.load(Ordering::Relaxed)) };
        let last = last.map(Retired::Content);
        for retired in self.pending.get_mut().retired.drain(..).chain(last) {
            // SAFETY: nobody has it, as above; what is in the list is not in the table, and each is there once.
            unsafe { free::<T, A>(retired, &self.alloc) };
        }
    }
}
