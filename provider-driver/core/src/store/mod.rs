//! The store of one namespace provider: its objects, what changes do to them, what look-ups find.
//!
//! Pure: no kernel, no file, no lock. One writer at a time has the [`Store`], computes changes on a [`Batch`] beside it
//! and then publishes the batch:
//!
//! 1. [`Batch::stage`] maps one [`Change`] to its outcome, against the store *and* what was staged before;
//! 2. [`Store::reserve`] takes all the memory that publishing may need;
//! 3. the batch is made durable, or given up by [`Store::unreserve`];
//! 4. [`Store::publish`] cannot fail.
//!
//! Look-ups need not have the store: they go through a [`Finder`], and wait for no change, nor does a change wait for
//! them. Versions of objects are immutable and shared ([`Record`]): a look-up that has one keeps it, whatever happens
//! to the object.
//!
//! # Rules
//!
//! - Names are the choice of others. They are found through a keyed hash, and all contexts of a name, of which there
//!   is a limited number, share one hash.
//! - Every allocation may fail, and then nothing has changed.
//! - What was replaced is freed by [`Store::collect`], when no look-up has it any more.

pub mod batch;
pub mod change;
mod domains;
mod finder;
pub mod key;
pub mod limits;
mod listing;
pub mod query;
pub mod record;

#[cfg(test)]
mod tests;

pub use batch::{Batch, Staged};
pub use change::{Change, Effect, Outcome};
pub use finder::{Finder, Folding, Prepared};
pub use key::{HashKey, Key};
pub use limits::Limits;
pub use listing::Scan;
pub use query::{Filter, Found, Query};
pub use record::{Record, RecordRef, State};

use domains::Domains;
use key::{Buffer, DomainHash};
use pool_alloc::{Allocator, OutOfMemory, Vec};
use pool_table::{Packed, PackedRef, Writer};
use record::PackedKey;

/// So many objects that are read back find their places together. While the first of them is waited for, the others come,
/// too.
const TOGETHER: usize = 32;

/// The objects of one namespace provider.
pub struct Store<A: Allocator + Clone> {
    table: Writer<Packed<A>, A>,
    finder: Finder<A>,
    domains: Domains<A>,
    key: HashKey,
    limits: Limits,
    /// Of all records.
    bytes: u64,
    /// Of all objects.
    addresses: u64,
    alloc: A,
}

/// What goes with a version.
#[derive(Clone, Copy, Default)]
struct Size {
    bytes: u64,
    addresses: u64,
    /// Its place in its domain.
    mark: u32,
}

impl<A: Allocator + Clone> Store<A> {
    /// An empty store, which hashes names with that secret.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn try_new_in(key: HashKey, limits: Limits, alloc: A) -> Result<Self, OutOfMemory> {
        let (table, reader) = pool_table::new_in(alloc.clone())?;
        Ok(Self {
            table,
            finder: Finder::new(reader, key, alloc.clone()),
            domains: Domains::new_in(alloc.clone()),
            key,
            limits,
            bytes: 0,
            addresses: 0,
            alloc,
        })
    }

    /// What look-ups go through, for as long as they want.
    #[must_use]
    pub const fn finder(&self) -> &Finder<A> {
        &self.finder
    }

    /// Number of objects.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no objects.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
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
    pub fn find(&self, key: &Key<'_>) -> Option<Record<A>> {
        let mut buffer = Buffer::new();
        let key = key.folded(&mut buffer);
        let mut candidates = self.table.candidates(key.hash(&self.key));
        candidates
            .find(|entry| key.is_of_object(entry.bytes()))
            .map(Record::shared)
    }

    /// Answers any question, as of one moment: one for several objects is answered beside no change.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn select(&self, query: &Query<'_>) -> Result<Found<A>, OutOfMemory> {
        let mut buffer = Buffer::new();
        let key = query.key().folded(&mut buffer);
        let candidates = self.table.candidates(key.hash(&self.key));
        let mut found = Found::try_collect_in(query, key, candidates, self.alloc.clone())?;
        // All are of one name, so this is the order of their contexts; a sort by these would be one more in the image.
        found.records.sort_unstable_by(Record::cmp_name);
        Ok(found)
    }

    /// How many contexts a name has.
    fn contexts(&self, key: &Key<'_>) -> usize {
        let mut buffer = Buffer::new();
        let key = key.folded(&mut buffer);
        let of_name = |entry: &PackedRef<'_, A>| key.is_of_name(entry.bytes());
        self.table.candidates(key.hash(&self.key)).filter(of_name).count()
    }

    /// Sees to it that publishing the batch needs no memory.
    ///
    /// # Errors
    ///
    /// No memory; nothing is reserved.
    pub fn reserve(&mut self, batch: &Batch<A>) -> Result<(), OutOfMemory> {
        self.table.reserve(batch.len())?;
        let reserved = self.domains.reserve(batch.new_domains());
        if reserved.is_err() {
            self.unreserve(batch);
        }
        reserved
    }

    /// Gives up what was reserved for a batch that is not going to be published.
    pub fn unreserve(&mut self, batch: &Batch<A>) {
        for domain in batch.new_domains() {
            self.domains.sweep(domain);
        }
    }

    /// Makes the batch's changes, in order. It must be the batch that room was last reserved for.
    pub fn publish(&mut self, batch: &Batch<A>) {
        for entry in batch.entries() {
            if entry.removed {
                self.take(entry.hash, entry.domain, &Key::of(&entry.record.view()));
            } else {
                let replaced = self.replace(entry.hash, entry.domain, entry.record.clone());
                if let Err(new) = replaced {
                    self.insert(entry.hash, entry.domain, new);
                }
            }
        }
        for entry in batch.entries().filter(|entry| entry.removed) {
            self.domains.sweep(entry.domain);
        }
    }

    /// Frees versions that were replaced, as far as no look-up has them any more; answers whether those were all. It
    /// does not wait: what is still in use is left for the next time.
    ///
    /// # IRQL
    /// Up to that at which memory may be freed. It takes a moment for each version, and so is best called where nobody
    /// waits for it.
    pub fn collect(&mut self) -> bool {
        self.table.collect()
    }

    /// Puts an object there that was read back from a journal.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn load_put(&mut self, record: Record<A>) -> Result<(), OutOfMemory> {
        self.table.reserve(1)?;
        let (hash, domain) = self.hashes(&record);
        self.load(record, hash, domain)
    }

    /// As [`Self::load_put`] for several in order. `objects` is how many there are going to be as far as one can tell:
    /// room is made for so many when there is none. A [removal](Self::load_remove) that comes next has its memory, too.
    ///
    /// # Errors
    ///
    /// No memory. Some may be there.
    pub fn load_puts(&mut self, records: &mut Vec<Record<A>, A>, objects: usize) -> Result<(), OutOfMemory> {
        let wanted = self.len().saturating_add(records.len());
        if self.table.capacity() < wanted {
            // If there is no memory for so many, there may be for those that come.
            let _guessed = self.table.make_room(objects.max(wanted));
        }
        self.table.reserve(records.len().saturating_add(1))?;
        let mut places = [(0, 0); TOGETHER];
        while !records.is_empty() {
            for (place, record) in places.iter_mut().zip(records.iter()) {
                *place = self.hashes(record);
                self.table.prefetch(place.0);
            }
            let domains = places.iter().take(records.len());
            self.domains.bring(domains.map(|(_, domain)| *domain));
            for (record, (hash, domain)) in records.drain(..TOGETHER).zip(places) {
                self.load(record, hash, domain)?;
            }
        }
        Ok(())
    }

    fn hashes(&self, record: &Record<A>) -> (u32, DomainHash) {
        let key = RecordRef::key(record.as_bytes()).map(PackedKey::key);
        // Every record has a key.
        key.map_or((0, 0), |key| (key.hash(&self.key), key.domain_hash(&self.key)))
    }

    /// Puts an object there, for which there is room in the table.
    fn load(&mut self, record: Record<A>, hash: u32, domain: DomainHash) -> Result<(), OutOfMemory> {
        let Err(new) = self.replace(hash, domain, record) else {
            return Ok(());
        };
        let packed = new.into_packed();
        self.domains.try_insert(domain, packed.clone())?;
        self.insert_in_table(hash, packed);
        Ok(())
    }

    /// Removes an object, as a journal said that was read back.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn load_remove(&mut self, key: &Key<'_>) -> Result<(), OutOfMemory> {
        self.table.reserve(1)?;
        let domain = key.domain_hash(&self.key);
        self.take(key.hash(&self.key), domain, key);
        self.domains.sweep(domain);
        Ok(())
    }

    /// Forgets all objects.
    pub fn clear(&mut self) {
        self.table.clear();
        self.domains.clear();
        (self.bytes, self.addresses) = (0, 0);
    }

    /// Puts a version in the place of the present one; gives it back if there is none.
    fn replace(&mut self, hash: u32, domain: DomainHash, record: Record<A>) -> Result<(), Record<A>> {
        let mut replaced = Size::default();
        let packed = record.clone().into_packed();
        // Only where there is something of that hash is it looked what it is: mostly there is not.
        let is = |old: PackedRef<'_, A>| {
            let (view, mut buffer) = (record.view(), Buffer::new());
            Key::of(&view).folded(&mut buffer).is_of_object(old.bytes()) && replaced.is_of(old)
        };
        let result = self.table.replace(hash, packed, is);
        if result.is_err() {
            return Err(record);
        }
        let new = record.into_packed();
        self.count(Size::of(new.borrowed()));
        self.discount(replaced);
        self.domains.replace(domain, replaced.mark, new);
        Ok(())
    }

    /// Puts the first version of an object there, for which room was reserved.
    fn insert(&mut self, hash: u32, domain: DomainHash, record: Record<A>) {
        let packed = record.into_packed();
        self.domains.insert(domain, packed.clone());
        self.insert_in_table(hash, packed);
    }

    fn insert_in_table(&mut self, hash: u32, packed: Packed<A>) {
        let size = Size::of(packed.borrowed());
        // Room was reserved: this does not fail.
        if self.table.insert(hash, packed).is_ok() {
            self.count(size);
        }
    }

    fn take(&mut self, hash: u32, domain: DomainHash, key: &Key<'_>) {
        let mut removed = Size::default();
        let mut buffer = Buffer::new();
        let key = key.folded(&mut buffer);
        let is = |old: PackedRef<'_, A>| key.is_of_object(old.bytes()) && removed.is_of(old);
        if self.table.remove(hash, is) {
            self.discount(removed);
            self.domains.remove(domain, removed.mark);
        }
    }

    /// Counts in a version that was put into the table.
    const fn count(&mut self, size: Size) {
        self.bytes = self.bytes.saturating_add(size.bytes);
        self.addresses = self.addresses.saturating_add(size.addresses);
    }

    /// Counts out a version that was taken from the table.
    const fn discount(&mut self, size: Size) {
        self.bytes = self.bytes.saturating_sub(size.bytes);
        self.addresses = self.addresses.saturating_sub(size.addresses);
    }
}

impl Size {
    fn of<A: Allocator>(version: PackedRef<'_, A>) -> Self {
        let record = version.bytes();
        Self {
            bytes: record.len() as u64,
            addresses: RecordRef::count(record).into(),
            mark: version.mark(),
        }
    }

    /// Keeps what goes with the version that was looked for, which is that one.
    fn is_of<A: Allocator>(&mut self, version: PackedRef<'_, A>) -> bool {
        *self = Self::of(version);
        true
    }
}

impl<A: Allocator + Clone> core::fmt::Debug for Store<A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Store")
            .field("objects", &self.len())
            .finish_non_exhaustive()
    }
}
