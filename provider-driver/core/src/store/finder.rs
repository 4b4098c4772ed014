//! Look-ups: what finds objects while the store changes.

use pool_alloc::{Allocator, OutOfMemory};
use pool_table::{Packed, PackedRef, Reader};

use super::key::{Buffer, FoldedKey, HashKey, Key};
use super::query::{Found, Query};

/// Finds objects of a store, wherever the store is. It never waits.
///
/// Each function takes the number of the processor that it runs on, or any other number: it spreads look-ups over
/// counters, so that they do not write to one cache line.
///
/// Below `DISPATCH_LEVEL` the caller is in a critical region: nothing that was replaced is freed before the look-up
/// ends, so a thread may not be suspended in it.
///
/// # IRQL
/// Up to `DISPATCH_LEVEL`, as far as the allocator goes.
#[derive(Clone)]
pub struct Finder<A: Allocator + Clone> {
    table: Reader<Packed<A>, A>,
    key: HashKey,
    alloc: A,
}

/// An object that is about to be looked up, see [`Finder::prepare`].
#[derive(Clone, Copy)]
pub struct Prepared<'k> {
    key: FoldedKey<'k>,
    hash: u32,
}

/// Where a name is folded.
#[derive(Clone, Copy)]
pub struct Folding(Buffer);

impl Folding {
    /// Room for one name.
    pub const NEW: Self = Self(Buffer::new());
}

impl<A: Allocator + Clone> Finder<A> {
    pub(super) const fn new(table: Reader<Packed<A>, A>, key: HashKey, alloc: A) -> Self {
        Self { table, key, alloc }
    }

    /// Shows the packed bytes of the present version of an object; `None` if there is no such object. What they are
    /// needed for should not take long, as memory that is replaced meanwhile is not freed before.
    pub fn find<R>(&self, processor: usize, key: &Key<'_>, show: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut buffer = Buffer::new();
        let key = key.folded(&mut buffer);
        let hash = key.hash(&self.key);
        self.table.prefetch(hash);
        let section = self.table.enter(processor);
        let found = section.find(hash, |entry: PackedRef<'_, A>| key.is_of_object(entry.bytes()))?;
        Some(show(found.bytes()))
    }

    /// Answers a question for one object: see [`Query::is_deep`]. Of several objects this would find some as they were
    /// before a change beside it, and some as they were after.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn select(&self, processor: usize, query: &Query<'_>) -> Result<Found<A>, OutOfMemory> {
        debug_assert!(!query.is_deep(), "a question for one object");
        let mut buffer = Buffer::new();
        let key = query.key().folded(&mut buffer);
        let hash = key.hash(&self.key);
        self.table.prefetch(hash);
        let section = self.table.enter(processor);
        Found::try_collect_in(query, key, section.candidates(hash), self.alloc.clone())
    }

    /// Makes an object ready for [`Self::find_together`], and begins to bring near what looking it up touches first: while
    /// that goes on, others can be made ready.
    pub fn prepare<'k>(&self, key: &Key<'k>, folding: &'k mut Folding) -> Prepared<'k> {
        let key = key.folded(&mut folding.0);
        let hash = key.hash(&self.key);
        self.table.prefetch(hash);
        Prepared { key, hash }
    }

    /// [`Self::find`] for a few objects: shows the packed bytes of each in their order, `None` where there is none. Memory
    /// is waited for once for all of them, if they were made ready just before. What was replaced meanwhile is not freed
    /// before the last was shown.
    pub fn find_together<'k, 'p>(
        &self,
        processor: usize,
        objects: impl Iterator<Item = &'p Prepared<'k>> + Clone,
        mut show: impl FnMut(Option<&[u8]>),
    ) where
        'k: 'p,
    {
        let section = self.table.enter(processor);
        for object in objects.clone() {
            section.bring(object.hash);
        }
        for object in objects {
            let is = |entry: PackedRef<'_, A>| object.key.is_of_object(entry.bytes());
            show(section.find(object.hash, is).map(PackedRef::bytes));
        }
    }
}

impl<A: Allocator + Clone> core::fmt::Debug for Finder<A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Finder")
    }
}
