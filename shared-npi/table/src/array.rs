//! The buckets of a table, in one block.
//!
//! A bucket is a cache line: a word of *tags* and seven entries. Byte *i* of the tags is the fingerprint of entry *i*,
//! zero if there is none; the last byte counts the entries that would have begun in this bucket or before, and for
//! want of room stand behind it. A search begins in the bucket that the hash says and goes on, by a stride that depends
//! on the fingerprint, while that count is not zero, so entries are taken out without leaving a trace. At 255 the count stays.
//!
//! Entries never move within an array. So a search that runs beside changes finds whatever was there throughout.

use core::alloc::Layout;
use core::mem::size_of;
use core::ptr::{self, NonNull};

use pool_alloc::{Allocator, OutOfMemory};

use crate::sync::{AtomicPtr, AtomicU64, Life, Ordering, SLOTS};

/// One cache line.
#[repr(C)]
struct Bucket {
    tags: AtomicU64,
    entries: [AtomicPtr<()>; SLOTS],
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Bucket>() == LINE);

/// Bytes of a cache line.
pub const LINE: usize = 64;
/// The alignment that the pool gives.
const ALIGN: usize = 16;
/// The highest bit of each fingerprint.
const HIGH: u64 = 0x0080_8080_8080_8080 & (u64::MAX >> (64 - 8 * SLOTS));
/// Where in the tags the entries are counted that stand behind the bucket.
const BEHIND: u32 = 56;
const BEHIND_MAX: u64 = 255;

/// What stands in the line before the buckets.
#[repr(C)]
pub struct Head {
    /// Number of buckets, a power of two, less one.
    mask: usize,
    /// Where the block begins, which is aligned less than the buckets.
    block: NonNull<u8>,
    life: Life,
}

/// An array, as long as somebody sees to it that it is not freed. Copies are the same array.
#[derive(Clone, Copy)]
pub struct Array(NonNull<Head>);

/// A place in an array that an entry was found at.
#[derive(Clone, Copy)]
pub struct Place {
    bucket: usize,
    slot: usize,
    /// The entry.
    pub entry: NonNull<()>,
}

/// Entries that an array of so many buckets takes: above that, searches become long.
const fn capacity_of(buckets: usize) -> usize {
    buckets.saturating_mul(SLOTS * 11) / 16
}

/// Number of buckets for so many entries.
fn buckets_for(entries: usize) -> Option<usize> {
    let buckets = entries.checked_mul(16)?.div_ceil(SLOTS * 11).max(1);
    buckets.checked_next_power_of_two()
}

fn layout(buckets: usize) -> Option<Layout> {
    let size = buckets.checked_mul(size_of::<Bucket>())?.checked_add(2 * LINE)?;
    Layout::from_size_align(size, ALIGN).ok()
}

/// The fingerprint of a hash. Places come from the other end of it.
const fn tag(hash: u32) -> u64 {
    let tag = (hash >> 24) as u64;
    if tag == 0 { 1 } else { tag }
}

/// How far a search goes on from a bucket: odd, so that it comes to all. Searches that meet in a bucket part again, and
/// the entries of a name that many share a hash with do not stand in the way of others.
const fn stride(hash: u32) -> usize {
    2 * (hash >> 24) as usize + 1
}

/// The high bits of the fingerprints that are that one.
#[inline]
const fn matching(tags: u64, tag: u64) -> u64 {
    let low = 0x7F7F_7F7F_7F7F_7F7F;
    let differ = tags ^ tag.wrapping_mul(0x0101_0101_0101_0101);
    !(((differ & low) + low) | differ) & HIGH
}

impl Array {
    /// An empty array for so many entries.
    ///
    /// # Errors
    /// No memory.
    pub fn try_new_in(entries: usize, alloc: &impl Allocator) -> Result<Self, OutOfMemory> {
        let buckets = buckets_for(entries).ok_or(OutOfMemory)?;
        let block = alloc.allocate(layout(buckets).ok_or(OutOfMemory)?)?.cast::<u8>();
        let offset = block.align_offset(LINE).min(LINE);
        // SAFETY: the block is a line longer than the head's line and the buckets.
        let head = unsafe { block.add(offset) }.cast::<Head>();
        let value = Head {
            mask: buckets - 1,
            block,
            life: Life::new(),
        };
        // SAFETY: within the fresh block, and aligned to a line.
        unsafe { head.write(value) };
        let array = Self(head);
        for index in 0..buckets {
            // SAFETY: the index is below the number of buckets.
            let bucket = unsafe { array.bucket_ptr(index) };
            let empty = Bucket {
                tags: AtomicU64::new(0),
                entries: [(); SLOTS].map(|()| AtomicPtr::new(ptr::null_mut())),
            };
            // SAFETY: within the fresh block, and aligned to a line.
            unsafe { bucket.write(empty) };
        }
        Ok(array)
    }

    /// The array as a table publishes it.
    pub const fn as_ptr(self) -> *mut Head {
        self.0.as_ptr()
    }

    /// The array that was published, if there is one.
    ///
    /// # Safety
    /// Nobody frees it as long as the result or a copy is used.
    #[inline]
    pub unsafe fn from_ptr(published: *mut Head) -> Option<Self> {
        NonNull::new(published).map(Self)
    }

    #[inline]
    const fn head(self) -> &'static Head {
        // SAFETY: the head is never changed, and there as long as the array is used, which is the promise of who made
        // this value.
        unsafe { self.0.as_ref() }
    }

    /// Number of buckets.
    #[inline]
    pub const fn buckets(self) -> usize {
        self.head().mask + 1
    }

    /// Entries that it takes.
    pub const fn capacity(self) -> usize {
        capacity_of(self.buckets())
    }

    /// # Safety
    /// The index is below the number of buckets.
    #[inline]
    const unsafe fn bucket_ptr(self, index: usize) -> NonNull<Bucket> {
        // SAFETY: the first bucket stands a line after the head, in the same block.
        let first = unsafe { self.0.byte_add(LINE) }.cast::<Bucket>();
        // SAFETY: the caller's promise.
        unsafe { first.add(index) }
    }

    #[inline]
    #[allow(clippy::missing_const_for_fn, reason = "a model's life is not constant")]
    fn bucket(self, index: usize) -> &'static Bucket {
        self.head().life.used();
        // SAFETY: masked, the index is below the number of buckets.
        let bucket = unsafe { self.bucket_ptr(index & self.head().mask) };
        // SAFETY: it was initialised when the array was made, all of it is atomic, and it is there as long as the
        // array is used.
        unsafe { bucket.as_ref() }
    }

    #[inline]
    fn entry(self, bucket: usize, slot: usize) -> Option<&'static AtomicPtr<()>> {
        self.bucket(bucket).entries.get(slot)
    }

    /// The entries whose fingerprint is that of the hash, and which may be what it is looked for.
    #[inline]
    #[allow(clippy::missing_const_for_fn, reason = "a model's life is not constant")]
    pub fn probe(self, hash: u32) -> Probe {
        Probe {
            array: self,
            tag: tag(hash),
            bucket: 0,
            matches: 0,
            next: hash as usize,
            stride: stride(hash),
            left: self.buckets(),
        }
    }

    /// Where the bucket of a hash is in an array of so many buckets that was published; see [`prefetch`].
    #[inline]
    pub const fn bucket_address(published: *mut Head, mask: usize, hash: u32) -> *const u8 {
        let index = hash as usize & mask;
        published
            .cast::<u8>()
            .wrapping_add(LINE + index * size_of::<Bucket>())
    }

    /// Places for entries, see [`Self::at`].
    pub const fn places(self) -> usize {
        self.buckets().saturating_mul(SLOTS)
    }

    /// The entry at a place.
    pub fn at(self, place: usize) -> Option<NonNull<()>> {
        let entry = self.entry(place / SLOTS, place % SLOTS)?;
        NonNull::new(entry.load(Ordering::SeqCst))
    }

    /// All entries.
    pub fn all(self) -> impl Iterator<Item = NonNull<()>> {
        (0..self.places()).filter_map(move |place| self.at(place))
    }

    /// Puts an entry in, for which there is room. By the one writer only.
    pub fn insert(self, hash: u32, entry: NonNull<()>) {
        let mut next = hash as usize;
        for _ in 0..self.buckets() {
            let index = next;
            next = next.wrapping_add(stride(hash));
            let bucket = self.bucket(index);
            let tags = bucket.tags.load(Ordering::Relaxed);
            let free = matching(tags, 0);
            if free == 0 {
                let behind = (tags >> BEHIND).min(BEHIND_MAX - 1) + 1;
                let rest = tags & !(BEHIND_MAX << BEHIND);
                bucket.tags.store(rest | (behind << BEHIND), Ordering::Release);
                continue;
            }
            let slot = free.trailing_zeros() / 8;
            if let Some(place) = self.entry(index, slot as usize) {
                // Release: who finds the entry finds what it points to.
                place.store(entry.as_ptr(), Ordering::Release);
            }
            // Release: who finds the fingerprint finds the entry.
            bucket
                .tags
                .store(tags | (tag(hash) << (8 * slot)), Ordering::Release);
            return;
        }
    }

    /// Replaces an entry by another one of the same hash. By the one writer only.
    pub fn replace(self, place: Place, entry: NonNull<()>) {
        if let Some(slot) = self.entry(place.bucket, place.slot) {
            slot.swap(entry.as_ptr(), Ordering::SeqCst);
        }
    }

    /// Takes an entry of that hash out. By the one writer only.
    pub fn remove(self, place: Place, hash: u32) {
        if let Some(slot) = self.entry(place.bucket, place.slot) {
            slot.swap(ptr::null_mut(), Ordering::SeqCst);
        }
        let bucket = self.bucket(place.bucket);
        let tags = bucket.tags.load(Ordering::Relaxed);
        bucket
            .tags
            .store(tags & !(0xFF << (8 * place.slot)), Ordering::Release);
        let mask = self.head().mask;
        let mut index = hash as usize & mask;
        while index != place.bucket {
            let bucket = self.bucket(index);
            let tags = bucket.tags.load(Ordering::Relaxed);
            let behind = tags >> BEHIND;
            if behind != BEHIND_MAX && behind != 0 {
                bucket.tags.store(tags - (1 << BEHIND), Ordering::Release);
            }
            index = index.wrapping_add(stride(hash)) & mask;
        }
    }

    /// Frees the array, but not what its entries point to.
    ///
    /// # Safety
    /// The allocator may free what the one did that it came from. Nobody uses the array any more.
    pub unsafe fn free(self, alloc: &impl Allocator) {
        let Head { mask, block, life } = self.head();
        let (mask, block) = (*mask, *block);
        life.ended();
        for index in 0..=mask {
            // SAFETY: the index is below the number of buckets.
            let bucket = unsafe { self.bucket_ptr(index) };
            // SAFETY: it was initialised, and is not used again.
            unsafe { bucket.drop_in_place() };
        }
        if let Some(layout) = layout(mask + 1) {
            // SAFETY: allocated with this layout, by such an allocator as the caller promises, and not used again.
            unsafe { alloc.deallocate(block, layout) };
        }
    }
}

/// A search. It answers entries whose fingerprint agrees, and ends where an entry of that hash cannot be.
pub struct Probe {
    array: Array,
    tag: u64,
    /// Where `matches` are, the high bits of the fingerprints that agree.
    bucket: usize,
    matches: u64,
    next: usize,
    stride: usize,
    /// Buckets that may still have to be looked at.
    left: usize,
}

impl Iterator for Probe {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        loop {
            while self.matches != 0 {
                let slot = (self.matches.trailing_zeros() / 8) as usize;
                self.matches &= self.matches - 1;
                let entry = self.array.entry(self.bucket, slot)?.load(Ordering::SeqCst);
                if let Some(entry) = NonNull::new(entry) {
                    // All of it is read if it is what is looked for: asked for one after the other, its lines would
                    // be waited for one after the other.
                    for line in 1..3 {
                        prefetch(entry.as_ptr().cast::<u8>().wrapping_add(line * LINE));
                    }
                    return Some(Place {
                        bucket: self.bucket,
                        slot,
                        entry,
                    });
                }
            }
            if self.left == 0 {
                return None;
            }
            self.bucket = self.next & self.array.head().mask;
            let tags = self.array.bucket(self.bucket).tags.load(Ordering::Acquire);
            self.matches = matching(tags, self.tag);
            self.next = self.next.wrapping_add(self.stride);
            self.left = if tags >> BEHIND == 0 { 0 } else { self.left - 1 };
        }
    }
}

/// Asks for the cache line of an address to be brought near, which may be any.
#[inline]
pub fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch may be given any address.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_match_exactly() {
        let tags = 0x01_05_00_05_04_FF_05_80_u64;
        assert_eq!(matching(tags, 0x05), 0x0080_0080_0000_8000);
        assert_eq!(matching(tags, 0), 0x0000_8000_0000_0000);
        assert_eq!(matching(tags, 0x80), 0x80);
        assert_eq!(matching(tags, 0x01), 0, "the count is no fingerprint");
    }

    #[test]
    fn an_array_takes_what_it_was_made_for() {
        for entries in [0, 1, 5, 6, 100, 4_000, 1_000_000] {
            let buckets = buckets_for(entries);
            assert!(buckets.is_some_and(|buckets| capacity_of(buckets) >= entries));
        }
    }
}
