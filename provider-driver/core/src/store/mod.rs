//! The store of one namespace provider: its objects, what changes do to them, what look-ups find.
//!
//! Pure: no kernel, no file, no lock. Readers share a [`Store`], one writer at a time computes changes on a [`Batch`]
//! beside it and then publishes the batch:
//!
//! 1. [`Batch::stage`] maps one [`Change`] to its outcome, against the store *and* what was staged before;
//! 2. [`Store::reserve`] takes all the memory that publishing may need;
//! 3. the batch is made durable, or dropped;
//! 4. [`Store::publish`] cannot fail.
//!
//! Versions of objects are immutable and shared ([`Record`]): a look-up that has one keeps it, whatever happens to the
//! object.
//!
//! # Rules
//!
//! - Names are the choice of others. They are found through a keyed hash, and all contexts of a name, of which there
//!   is a limited number, share one hash.
//! - Every allocation may fail, and then nothing has changed.

pub mod batch;
pub mod change;
mod domains;
pub mod key;
pub mod limits;
pub mod query;
pub mod record;

#[cfg(test)]
mod tests;

pub use batch::{Batch, Staged};
pub use change::{Change, Effect, Outcome};
pub use key::{HashKey, Key};
pub use limits::Limits;
pub use query::{Found, Query};
pub use record::{Record, RecordRef, State};

use domains::Domains;
use hashbrown::HashTable;
use nsemail_contract::address::Domain;
use pool_alloc::{Allocator, OutOfMemory, Vec};

/// An object's place in the table.
#[derive(Debug)]
struct Slot<A: Allocator> {
    /// Kept, so that growing the table and passing over another name need not look at the record.
    hash: u64,
    record: Record<A>,
}

/// The objects of one namespace provider.
#[derive(Debug)]
pub struct Store<A: Allocator + Clone> {
    table: HashTable<Slot<A>, A>,
    domains: Domains<A>,
    key: HashKey,
    limits: Limits,
    /// Of all records.
    bytes: u64,
    /// Of all objects.
    addresses: u64,
    /// How often the table may have moved objects that were in it.
    moves: u64,
    alloc: A,
}

/// How far a pass over all objects has come; see [`Store::scan`].
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    moves: u64,
    next: usize,
}

/// A step of a scan looks at no more places of the table than this.
const SCAN_PLACES: usize = 1 << 16;

impl<A: Allocator + Clone> Store<A> {
    /// An empty store, which hashes names with that secret.
    pub fn new_in(key: HashKey, limits: Limits, alloc: A) -> Self {
        Self {
            table: HashTable::new_in(alloc.clone()),
            domains: Domains::new_in(alloc.clone()),
            key,
            limits,
            bytes: 0,
            addresses: 0,
            moves: 0,
            alloc,
        }
    }

    /// An empty store with the same secret and limits.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new_in(self.key, self.limits, self.alloc.clone())
    }

    /// Number of objects.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of all records.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of addresses of all objects.
    #[must_use]
    pub const fn addresses(&self) -> u64 {
        self.addresses
    }

    /// How much the store takes.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The present version of an object.
    #[must_use]
    pub fn find(&self, key: &Key<'_>) -> Option<&Record<A>> {
        let hash = key.hash(&self.key);
        self.table
            .find(hash, |slot| slot.is(hash, key))
            .map(|slot| &slot.record)
    }

    /// The present versions of all contexts of a name, in no order.
    fn contexts<'s>(&'s self, key: &'s Key<'_>) -> impl Iterator<Item = &'s Record<A>> {
        self.hashed(key.hash(&self.key))
            .filter(|record| Key::of(&record.view()).same_name(key))
    }

    /// The present versions of all objects with that hash.
    fn hashed(&self, hash: u64) -> impl Iterator<Item = &Record<A>> {
        self.table
            .iter_hash(hash)
            .filter(move |slot| slot.hash == hash)
            .map(|slot| &slot.record)
    }

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
        for slot in &self.table {
            if keep(&slot.record.view()) {
                records.try_push(slot.record.clone())?;
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
        for hash in self.domains.names(self.key.domain(domain)) {
            for record in self.hashed(hash) {
                let view = record.view();
                if Key::of(&view).is_of(domain) && keep(&view) {
                    records.try_push(record.clone())?;
                }
            }
        }
        Ok(records)
    }

    /// The packed bytes of all objects, in no order.
    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        self.table.iter().map(|slot| slot.record.as_bytes())
    }

    /// Begins a pass over all objects.
    #[must_use]
    pub const fn begin_scan(&self) -> Scan {
        Scan {
            moves: self.moves,
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
        if scan.moves != self.moves {
            *scan = self.begin_scan();
        }
        let end = scan
            .next
            .saturating_add(SCAN_PLACES)
            .min(self.table.num_buckets());
        while scan.next < end {
            let slot = self.table.get_bucket(scan.next);
            scan.next = scan.next.saturating_add(1);
            if let Some(slot) = slot
                && !each(slot.record.as_bytes())?
            {
                break;
            }
        }
        Ok(scan.next >= self.table.num_buckets())
    }

    /// Sees to it that the table takes so many more objects without memory, and without moving those it has.
    fn make_room(&mut self, objects: usize) -> Result<(), OutOfMemory> {
        if self.table.capacity().saturating_sub(self.table.len()) < objects {
            self.moves = self.moves.wrapping_add(1);
        }
        self.table
            .try_reserve(objects, |slot| slot.hash)
            .map_err(|_| OutOfMemory)
    }

    /// Sees to it that publishing the batch needs no memory.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn reserve(&mut self, batch: &Batch<A>) -> Result<(), OutOfMemory> {
        self.make_room(batch.len())?;
        self.domains.reserve(batch.new_domains())
    }

    /// Makes the batch's changes, in order. It must be the batch that room was last reserved for.
    ///
    /// What was replaced is left in the batch, to be freed where nobody waits.
    pub fn publish(&mut self, batch: &mut Batch<A>) {
        for entry in batch.entries_mut() {
            if entry.removed {
                self.take(entry);
            } else {
                self.place(entry);
            }
        }
        for entry in batch.entries_mut().filter(|entry| entry.removed) {
            self.domains.sweep(entry.domain);
        }
    }

    /// Puts an object there that was read back from a journal.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn load_put(&mut self, record: Record<A>) -> Result<(), OutOfMemory> {
        self.make_room(1)?;
        let (hash, domain) = {
            let view = record.view();
            let key = Key::of(&view);
            let (hash, domain) = (key.hash(&self.key), key.domain_hash(&self.key));
            if self.table.find(hash, |slot| slot.is(hash, &key)).is_none() {
                self.domains.reserve(core::iter::once(domain))?;
            }
            (hash, domain)
        };
        self.place(&mut batch::Entry {
            hash,
            domain,
            record,
            removed: false,
            records: 0,
            bytes: 0,
        });
        Ok(())
    }

    /// Removes an object, as a journal said that was read back.
    pub fn load_remove(&mut self, key: &Key<'_>) {
        let hash = key.hash(&self.key);
        if let Ok(occupied) = self.table.find_entry(hash, |slot| slot.is(hash, key)) {
            let (slot, _) = occupied.remove();
            self.discount(&slot.record);
            let domain = key.domain_hash(&self.key);
            self.forget_name(hash, domain);
            self.domains.sweep(domain);
        }
    }

    /// Forgets all objects.
    pub fn clear(&mut self) {
        self.table.clear();
        self.domains.clear();
        self.moves = self.moves.wrapping_add(1);
        (self.bytes, self.addresses) = (0, 0);
    }

    fn place(&mut self, entry: &mut batch::Entry<A>) {
        let hash = entry.hash;
        let view = entry.record.view();
        let key = Key::of(&view);
        self.bytes = self.bytes.saturating_add(entry.record.as_bytes().len() as u64);
        self.addresses = self.addresses.saturating_add(view.address_count().into());
        if let Some(slot) = self.table.find_mut(hash, |slot| slot.is(hash, &key)) {
            core::mem::swap(&mut slot.record, &mut entry.record);
            self.discount(&entry.record);
        } else {
            // Room was reserved: this does not allocate.
            let record = entry.record.clone();
            self.table
                .insert_unique(hash, Slot { hash, record }, |slot| slot.hash);
            self.domains.insert(entry.domain, hash);
        }
    }

    fn take(&mut self, entry: &mut batch::Entry<A>) {
        let hash = entry.hash;
        let view = entry.record.view();
        let key = Key::of(&view);
        if let Ok(occupied) = self.table.find_entry(hash, |slot| slot.is(hash, &key)) {
            let (slot, _) = occupied.remove();
            self.discount(&slot.record);
            entry.record = slot.record;
            self.forget_name(hash, entry.domain);
        }
    }

    /// Takes a name out of its domain, unless there is still an object that is found by the same hashes.
    fn forget_name(&mut self, hash: u64, domain: u64) {
        let same_domain = |record: &Record<A>| Key::of(&record.view()).domain_hash(&self.key) == domain;
        if !self.hashed(hash).any(same_domain) {
            self.domains.remove(domain, hash);
        }
    }

    /// Counts out a version that was taken from the table.
    fn discount(&mut self, record: &Record<A>) {
        self.bytes = self.bytes.saturating_sub(record.as_bytes().len() as u64);
        self.addresses = self
            .addresses
            .saturating_sub(record.view().address_count().into());
    }
}

impl<A: Allocator> Slot<A> {
    fn is(&self, hash: u64, key: &Key<'_>) -> bool {
        self.hash == hash && Key::of(&self.record.view()).same_object(key)
    }
}
