//! Changes that are computed but not yet made: the pending tip of a store.

use nsemail_contract::codes::WsaCode;
use nsemail_contract::dispatch::SetInformation;
use pool_alloc::{Allocator, OutOfMemory, Vec};

use super::Store;
use super::change::{Change, Effect};
use super::key::{DomainHash, Key};
use super::record::Record;

/// Changes of a store, in order, that become visible together.
#[derive(Debug)]
pub struct Batch<A: Allocator> {
    entries: Vec<Entry<A>, A>,
    /// How the store's numbers change with the entries.
    records: i64,
    bytes: i64,
}

/// What an object becomes.
#[derive(Debug)]
pub(super) struct Entry<A: Allocator> {
    pub(super) hash: u32,
    /// The hash of the name's domain.
    pub(super) domain: DomainHash,
    /// The new version; of an object that is removed, its key.
    pub(super) record: Record<A>,
    pub(super) removed: bool,
    /// How the store's numbers change with it.
    pub(super) records: i64,
    pub(super) bytes: i64,
}

/// A change that was staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staged<'b> {
    /// What there is to write to the journal: the new version, or the key of the object that is gone. `None` if the
    /// object stays as it is.
    pub written: Option<Written<'b>>,
    /// How many addresses come and go.
    pub counts: SetInformation,
}

/// What a change writes to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written<'b> {
    /// The object's new version.
    Put(&'b [u8]),
    /// The key of an object that is gone.
    Remove(&'b [u8]),
}

/// Why a change was not staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What its caller is answered with.
    pub code: WsaCode,
    /// The store's limit that it would have passed.
    pub limit: Option<&'static str>,
}

impl Refusal {
    const fn full(limit: &'static str) -> Self {
        Self {
            code: WsaCode::WSA_NOT_ENOUGH_MEMORY,
            limit: Some(limit),
        }
    }
}

impl From<WsaCode> for Refusal {
    fn from(code: WsaCode) -> Self {
        Self { code, limit: None }
    }
}

impl<A: Allocator + Clone> Batch<A> {
    /// No changes.
    pub const fn new_in(alloc: A) -> Self {
        Self {
            entries: Vec::new_in(alloc),
            records: 0,
            bytes: 0,
        }
    }

    /// Number of changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Computes a change on top of the store and of what was staged before.
    ///
    /// # Errors
    ///
    /// The change's own, `WSA_NOT_ENOUGH_MEMORY` also if the store is full. Nothing was staged.
    pub fn stage(&mut self, store: &Store<A>, change: &Change<A>) -> Result<Staged<'_>, Refusal> {
        let key = change.key();
        let hash = key.hash(&store.key);
        let old = self.latest(store, hash, &key);
        let view = old.as_ref().map(Record::view);
        let outcome = change.apply(view, &store.limits, &store.alloc)?;
        let counts = outcome.counts;
        let old_bytes = old.as_ref().map_or(0, size);
        let (record, removed) = match outcome.effect {
            Effect::Keep => {
                return Ok(Staged {
                    written: None,
                    counts,
                });
            }
            Effect::Put(record) => (record, false),
            Effect::Remove => {
                let key = change
                    .try_key_record(store.alloc.clone())
                    .map_err(|_| WsaCode::WSA_NOT_ENOUGH_MEMORY)?;
                (key, true)
            }
        };
        let new_bytes = if removed { 0 } else { size(&record) };
        let entry = Entry {
            hash,
            domain: key.domain_hash(&store.key),
            record,
            removed,
            records: i64::from(!removed).saturating_sub(i64::from(old.is_some())),
            bytes: new_bytes.saturating_sub(old_bytes),
        };
        if entry.records > 0 {
            self.check_contexts(store, hash, &key)?;
        }
        let records = self.records.saturating_add(entry.records);
        let bytes = self.bytes.saturating_add(entry.bytes);
        // What makes the store smaller is let in, however full the store is.
        let over = |now: u64, change: i64, limit: u64| now.saturating_add_signed(change) > limit;
        if entry.records > 0 && over(store.len() as u64, records, store.limits.records) {
            return Err(Refusal::full("the store has as many objects as it may"));
        }
        if entry.bytes > 0 && over(store.bytes, bytes, store.limits.bytes) {
            return Err(Refusal::full("the store is as large as it may be"));
        }
        self.entries
            .try_push(entry)
            .map_err(|_: OutOfMemory| WsaCode::WSA_NOT_ENOUGH_MEMORY)?;
        (self.records, self.bytes) = (records, bytes);
        let written = self.entries.last().map(|entry| {
            let bytes = entry.record.as_bytes();
            if entry.removed {
                Written::Remove(bytes)
            } else {
                Written::Put(bytes)
            }
        });
        Ok(Staged { written, counts })
    }

    /// Takes back the change that was staged last.
    pub fn unstage(&mut self) {
        if let Some(entry) = self.entries.pop() {
            self.records = self.records.saturating_sub(entry.records);
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    /// Forgets all changes.
    pub fn clear(&mut self) {
        self.entries.clear();
        (self.records, self.bytes) = (0, 0);
    }

    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry<A>> {
        self.entries.iter()
    }

    /// The hashes of the domains of objects that do not exist yet.
    pub(super) fn new_domains(&self) -> impl Iterator<Item = DomainHash> + Clone {
        let new = self.entries.iter().filter(|entry| entry.records > 0);
        new.map(|entry| entry.domain)
    }

    /// The version of an object that is on top.
    fn latest(&self, store: &Store<A>, hash: u32, key: &Key<'_>) -> Option<Record<A>> {
        let staged = self
            .staged(hash)
            .rev()
            .find(|entry| Key::of(&entry.record.view()).same_object(key));
        staged.map_or_else(
            || store.find(key),
            |entry| (!entry.removed).then(|| entry.record.clone()),
        )
    }

    /// Whether the name may have one more context.
    fn check_contexts(&self, store: &Store<A>, hash: u32, key: &Key<'_>) -> Result<(), Refusal> {
        // What is staged counts whether it is new or not, but for removals: a name cannot get past its limit so, and
        // only comes up short of it when it is changed more than once in the same batch.
        let staged = self.staged(hash).filter(|entry| !entry.removed).count();
        let contexts = store.contexts(key).saturating_add(staged);
        if contexts as u64 >= u64::from(store.limits.contexts) {
            return Err(Refusal::full("a name has as many contexts as it may"));
        }
        Ok(())
    }

    fn staged(&self, hash: u32) -> impl DoubleEndedIterator<Item = &Entry<A>> {
        self.entries.iter().filter(move |entry| entry.hash == hash)
    }
}

fn size<A: Allocator>(record: &Record<A>) -> i64 {
    i64::try_from(record.as_bytes().len()).unwrap_or(i64::MAX)
}
