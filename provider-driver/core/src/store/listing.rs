//! Going through many objects: listings, and the pass that writes them anew.

use nsemail_contract::address::Domain;
use pool_alloc::{Allocator, OutOfMemory, Vec};
use pool_table::{Packed, PackedRef};

use super::Store;
use super::key::{Buffer, Folded};
use super::record::{Record, RecordRef};

/// How far a pass over all objects has come; see [`Store::scan`].
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    moves: u64,
    next: usize,
}

/// A step of a scan looks at no more places of the table than this.
const SCAN_PLACES: usize = 1 << 16;
/// How many objects a listing brings near at once, while it looks at as many others.
const AT_ONCE: usize = 32;

impl<A: Allocator + Clone> Store<A> {
    /// All objects as they are now, in no order: a listing that changes meanwhile do not disturb.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn snapshot(
        &self,
        mut keep: impl FnMut(&RecordRef<'_>) -> bool,
    ) -> Result<Vec<Record<A>, A>, OutOfMemory> {
        let mut records = Vec::new_in(self.alloc.clone());
        for entry in self.table.iter() {
            if RecordRef::read(entry.bytes()).is_some_and(|view| keep(&view)) {
                records.try_push(Record::shared(entry))?;
            }
        }
        Ok(records)
    }

    /// As [`Self::snapshot`], of the objects of one domain: only these are looked at.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn snapshot_domain(
        &self,
        domain: Domain<'_>,
        mut keep: impl FnMut(&RecordRef<'_>) -> bool,
    ) -> Result<Vec<Record<A>, A>, OutOfMemory> {
        let mut records = Vec::new_in(self.alloc.clone());
        let mut buffer = Buffer::new();
        let wanted = Folded::new(domain.text(), &mut buffer);
        let objects = self.domains.objects(self.key.domain(domain));
        let bring = |some: Option<&[Packed<A>]>| some.into_iter().flatten().for_each(Packed::bring);
        let mut ahead = objects.chunks(AT_ONCE);
        bring(ahead.next());
        for some in objects.chunks(AT_ONCE) {
            bring(ahead.next());
            // Taking a reference waits for all that is being brought near. So it comes last.
            let mut kept = [false; AT_ONCE];
            for (kept, object) in kept.iter_mut().zip(some) {
                *kept = RecordRef::key(object).is_some_and(|key| wanted.is_domain_of(key))
                    && RecordRef::read(object).is_some_and(|view| keep(&view));
            }
            for (_, object) in kept.iter().zip(some).filter(|(kept, _)| **kept) {
                records.try_push(Record::shared(object.borrowed()))?;
            }
        }
        Ok(records)
    }

    /// The packed bytes of all objects, in no order.
    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        self.table.iter().map(PackedRef::bytes)
    }

    /// Begins a pass over all objects.
    #[must_use]
    pub const fn begin_scan(&self) -> Scan {
        Scan {
            moves: self.table.moves(),
            next: 0,
        }
    }

    /// Goes on with a pass, between whose steps the store may change: hands objects as they are now to `each` until
    /// that answers false, or enough places were looked at for once. Answers whether the pass is over.
    ///
    /// A pass that is over has shown every object that was there throughout in at least one of its versions. When the
    /// table has had to move its objects, the pass starts again.
    ///
    /// # Errors
    ///
    /// What `each` says.
    pub fn scan<E>(
        &self,
        scan: &mut Scan,
        mut each: impl FnMut(&[u8]) -> Result<bool, E>,
    ) -> Result<bool, E> {
        if scan.moves != self.table.moves() {
            *scan = self.begin_scan();
        }
        let end = scan.next.saturating_add(SCAN_PLACES).min(self.table.places());
        while scan.next < end {
            let entry = self.table.at(scan.next);
            scan.next = scan.next.saturating_add(1);
            if let Some(entry) = entry
                && !each(entry.bytes())?
            {
                break;
            }
        }
        Ok(scan.next >= self.table.places())
    }
}
