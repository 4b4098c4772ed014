//! Going through many objects: listings, and the pass that writes them anew.

use nsemail_contract::address::Domain;
use pool_alloc::{Allocator, OutOfMemory, Vec};
use pool_table::{Packed, PackedRef};

use super::Store;
use super::record::{Record, RecordRef, State};

/// How far a pass over all objects has come; see [`Store::scan`].
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    moves: u64,
    next: usize,
}

/// A step of a scan looks at no more places of the table than this.
const SCAN_PLACES: usize = 1 << 16;
/// How many objects a listing brings near before it looks at them.
const AHEAD: usize = 16;

impl<A: Allocator + Clone> Store<A> {
    /// All objects whose state `keep` accepts, as they are now, in no order: a listing that changes meanwhile do not disturb.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn snapshot(&self, mut keep: impl FnMut(State) -> bool) -> Result<Vec<Record<A>, A>, OutOfMemory> {
        let mut records = Vec::new_in(self.alloc.clone());
        for entry in self.table.iter() {
            if keep(RecordRef::state_of(entry.bytes())) {
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
        mut keep: impl FnMut(State) -> bool,
    ) -> Result<Vec<Record<A>, A>, OutOfMemory> {
        let mut records = Vec::new_in(self.alloc.clone());
        let objects = self.domains.objects(self.key.domain(domain));
        records.try_reserve_exact(objects.len())?;
        let mut ahead = objects.iter();
        ahead.by_ref().take(AHEAD).for_each(Packed::bring);
        for object in objects {
            if let Some(ahead) = ahead.next() {
                ahead.bring();
            }
            // Little is done for each, so that the processor gets far enough ahead to look up the pages of several
            // records at once, which takes longer than their memory does.
            object.bring_rest();
            if keep(RecordRef::state_of(object)) {
                // There is room.
                let _ = records.push_within_capacity(Record::shared(object.borrowed()));
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
