//! The journal thread of a hosted provider: loads its store, then makes changes durable in groups.
//!
//! Everything that waits when the thread comes round is one group: each change is computed on top of the store and of
//! the changes before it, all are written as one frame and flushed once, then readers see them, then the callers are
//! answered. If the frame could not be made durable, none of it happened, and every caller of the group is told so:
//! also one whose change alone would not have needed the journal, for its answer was computed on changes that are gone.
//!
//! When the journal has grown too long (see `parameters`), the thread writes the next generation, a piece after each
//! group, or one after the other while nothing waits: so a caller waits for one piece at most, which has about the
//! bytes that are configured and the changes of a group, and for its flush; and readers for none. Objects are read from
//! the store as they are when their turn comes, and what is committed meanwhile goes to both generations, so the order
//! of the records of each object is the order in which it changed. If anything goes wrong with it, the next generation
//! is given up, no caller sees it, and it is tried again when the journal has grown further.

use nsemail_contract::codes::WsaCode;
use nsemail_contract::wire::{CounterKind, EventKind, HostedState};
use nsemail_kernel::file::Directory;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::random;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::time::Ticks;
use pool_alloc::{Arc, OutOfMemory, Vec};

use crate::files::{Files, OpenFile};
use crate::journal::format::{self, FrameBuilder, Kind};
use crate::journal::generations::{Journal, Next, Receiver};
use crate::journal::log::{AppendError, LoadError, Refused};
use crate::memory::{Calls, Memory, Records};
use crate::service::{Call, Limit, Service, number};
use crate::store::batch::Written;
use crate::store::{Batch, Key, Record, RecordRef, Scan, Store};

/// A group is closed when its frame has about so many bytes.
const GROUP_BYTES: usize = 1 << 20;
/// A group has at most so many changes: the pending tip is searched one by one.
const GROUP_CHANGES: usize = 512;
/// So long after a look-up was seen to have what was replaced, it is looked again whether it still has.
const COLLECTING: Ticks = Ticks::from_millis(20);

/// Runs the journal thread until the service is stopped.
pub fn run(service: &Arc<Service, Memory>, directory: Directory, passive: Passive<'_>) {
    let files = Files::new(directory, service.provider(), passive);
    match load(service, files, passive) {
        Ok(journal) => {
            service.set_log_bytes(journal.size());
            match Committer::try_new(service, journal, passive) {
                Ok(mut committer) => {
                    service.set_state(HostedState::Serving);
                    service.common().wake_host();
                    committer.serve();
                }
                Err(OutOfMemory) => failed(service, LoadError::OutOfMemory, passive),
            }
        }
        Err(error) => failed(service, error, passive),
    }
}

/// The provider is not served.
fn failed(service: &Service, error: LoadError<NtStatus>, passive: Passive<'_>) {
    let offset = if let LoadError::Damaged(offset) = error {
        offset
    } else {
        0
    };
    let status = match error {
        LoadError::File(status) => number(status),
        LoadError::OutOfMemory => number(NtStatus::INSUFFICIENT_RESOURCES),
        _ => 0,
    };
    if error != LoadError::Stopped {
        service.event(
            EventKind::LOAD_FAILED,
            [offset, status],
            format_args!("the journal was not loaded: {error}"),
        );
    }
    // What was loaded before the failure is nothing to be counted or listed.
    {
        let mut store = service.store().write(passive);
        store.clear();
        store.collect();
    }
    // After the event, so that whoever sees the state finds the reason.
    service.set_state(HostedState::Failed);
    service.close(passive);
    service.common().wake_host();
}

/// Fills the store, which others count and list meanwhile.
struct Loading<'s> {
    service: &'s Service,
    passive: Passive<'s>,
}

impl Receiver for Loading<'_> {
    fn clear(&mut self) {
        let mut store = self.service.store().write(self.passive);
        store.clear();
        // At once, or there would be two stores for a while.
        store.collect();
    }

    fn receive(&mut self, record: format::Record<'_>) -> Result<(), Refused> {
        if self.service.is_stopping() {
            return Err(Refused::Stop);
        }
        let store = self.service.store();
        match record.kind {
            Kind::Put => {
                let record = Record::try_from_bytes_in(record.content, Records::default());
                let record = record
                    .map_err(|_| Refused::OutOfMemory)?
                    .ok_or(Refused::Malformed)?;
                let loaded = store.write(self.passive).load_put(record);
                loaded.map_err(|OutOfMemory| Refused::OutOfMemory)
            }
            Kind::Remove => {
                let key = RecordRef::parse(record.content).ok_or(Refused::Malformed)?;
                let loaded = store.write(self.passive).load_remove(&Key::of(&key));
                loaded.map_err(|OutOfMemory| Refused::OutOfMemory)
            }
            Kind::SnapshotEnd => Ok(()),
        }
    }
}

fn load<'p>(
    service: &Service,
    files: Files<'p>,
    passive: Passive<'p>,
) -> Result<Journal<Files<'p>>, LoadError<NtStatus>> {
    let [salt, _] = random::seed(passive).map_err(LoadError::File)?;
    let mut loading = Loading { service, passive };
    let provider = service.provider().to_bytes();
    let (journal, loaded) = Journal::open(files, provider, salt, &Calls::default(), &mut loading)?;
    if loaded.cut > 0 {
        let offset = journal.size();
        let text = format_args!(
            "{} bytes at the end of the journal were torn, and were cut",
            loaded.cut
        );
        service.event(EventKind::LOG_CUT, [offset, 0], text);
    }
    let objects = service.store().read(passive).len();
    let text = format_args!("{} records made {objects} objects", loaded.records);
    service.event(EventKind::LOADED, [objects as u64, 0], text);
    Ok(journal)
}

/// What the journal thread works with.
struct Committer<'p> {
    service: &'p Service,
    journal: Journal<Files<'p>>,
    batch: Batch<Records>,
    frame: FrameBuilder<Calls>,
    /// What was taken from the queue and is not answered yet.
    taken: Vec<Call, Calls>,
    compaction: Option<Compacting<'p>>,
    /// The journal is not written anew again before it is longer than this.
    compact_above: u64,
    passive: Passive<'p>,
}

/// The next generation, and how far it is.
struct Compacting<'p> {
    next: Next<OpenFile<'p>, Calls>,
    scan: Scan,
}

impl<'p> Committer<'p> {
    fn try_new(
        service: &'p Service,
        journal: Journal<Files<'p>>,
        passive: Passive<'p>,
    ) -> Result<Self, OutOfMemory> {
        Ok(Self {
            service,
            journal,
            batch: Batch::new_in(Records::default()),
            frame: FrameBuilder::try_new_in(Calls::default())?,
            taken: Vec::new_in(Calls::default()),
            compaction: None,
            compact_above: 0,
            passive,
        })
    }

    /// Commits groups until the service is stopped and nothing waits.
    fn serve(&mut self) {
        loop {
            // Before the queue is looked at: what is accepted before the service is stopped is still seen.
            let stopping = self.service.is_stopping();
            self.service.take(self.passive, &mut self.taken);
            if !self.taken.is_empty() {
                self.commit_all();
            } else if stopping {
                break;
            } else {
                self.compact();
                if self.compaction.is_none() {
                    // Nobody waits now. What a look-up still has is looked after again soon.
                    if self.service.store().write(self.passive).collect() {
                        self.service.wait(self.passive);
                    } else {
                        self.service.wait_for(self.passive, COLLECTING);
                    }
                }
            }
        }
        if let Some(Compacting { next, .. }) = self.compaction.take() {
            self.journal.give_up(next);
        }
        if let Err(status) = self.journal.flush() {
            self.report(status, "was not flushed at the end");
        }
    }

    fn commit_all(&mut self) {
        while !self.taken.is_empty() {
            let group = self.stage();
            if let Err(code) = self.commit() {
                for call in self.taken.iter_mut().take(group) {
                    call.outcome = Err(code);
                }
            }
            self.service.set_log_bytes(self.journal.size());
            for call in self.taken.drain(..group) {
                let outcome = call.outcome;
                call.complete(self.passive, self.service, outcome);
            }
            self.compact();
        }
        // What was replaced is in it, too.
        self.batch.clear();
    }

    /// Computes the next group, and gives its number of calls.
    fn stage(&mut self) -> usize {
        self.batch.clear();
        self.frame.clear();
        let store = self.service.store().read(self.passive);
        let mut group = 0_usize;
        for call in self.taken.iter_mut().take(GROUP_CHANGES) {
            if self.frame.payload() >= GROUP_BYTES {
                break;
            }
            group = group.saturating_add(1);
            call.outcome = stage_one(self.service, &mut self.batch, &mut self.frame, &store, call);
        }
        group
    }

    /// Makes the group durable, then visible.
    fn commit(&mut self) -> Result<(), WsaCode> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let store = self.service.store();
        let reserved = store.write(self.passive).reserve(&self.batch);
        reserved.map_err(|OutOfMemory| WsaCode::WSA_NOT_ENOUGH_MEMORY)?;
        let common = self.service.common();
        if let Err(error) = self.journal.append(&mut self.frame, common.settings().durable) {
            store.write(self.passive).unreserve(&self.batch);
            let AppendError::File(status) = error else {
                return Err(WsaCode::WSA_NOT_ENOUGH_MEMORY);
            };
            self.report(status, "could not be written");
            return Err(WsaCode::WSASYSCALLFAILURE);
        }
        if common.settings().durable {
            common.counters().add(CounterKind::LOG_FLUSHES, 1);
        }
        common
            .counters()
            .add(CounterKind::LOG_RECORDS, self.frame.records().into());
        store.write(self.passive).publish(&self.batch);
        if let Some(compacting) = &mut self.compaction
            && compacting.next.follow(&self.frame).is_err()
        {
            self.end_compaction(Err(AppendError::OutOfMemory));
        }
        self.service.limit_passed(Limit::Store);
        Ok(())
    }

    /// Begins the next generation if it is due, or writes its next piece.
    fn compact(&mut self) {
        let Some(compacting) = &mut self.compaction else {
            self.begin_compaction();
            return;
        };
        let Compacting { next, scan } = compacting;
        let piece = self.service.common().settings().compaction.piece;
        let store = self.service.store().read(self.passive);
        let scanned = store.scan(scan, |object| next.put(object).map(|()| next.unwritten() < piece));
        drop(store);
        match scanned.map_err(AppendError::from) {
            Ok(false) => {
                if let Err(error) = next.write() {
                    self.end_compaction(Err(error));
                }
            }
            Ok(true) => {
                if let Some(Compacting { next, .. }) = self.compaction.take() {
                    let switched = self.journal.switch(next);
                    self.end_compaction(switched);
                }
            }
            Err(error) => self.end_compaction(Err(error)),
        }
    }

    fn begin_compaction(&mut self) {
        let size = self.journal.size();
        if size <= self.compact_above || self.journal.is_suspended() {
            return;
        }
        let store = self.service.store().read(self.passive);
        let (live, scan) = (store.bytes(), store.begin_scan());
        drop(store);
        if !self.service.common().settings().compaction.is_due(size, live) {
            return;
        }
        let begun = match random::seed(self.passive) {
            Ok([salt, _]) => self.journal.begin_next(salt, &Calls::default()),
            Err(status) => Err(AppendError::File(status)),
        };
        match begun {
            Ok(next) => self.compaction = Some(Compacting { next, scan }),
            Err(error) => self.end_compaction(Err(error)),
        }
    }

    /// The next generation is the present one, or there is none.
    fn end_compaction(&mut self, result: Result<(), AppendError<NtStatus>>) {
        if let Some(Compacting { next, .. }) = self.compaction.take() {
            self.journal.give_up(next);
        }
        let size = self.journal.size();
        // Also after success: what makes it too long may be what it needs beside the records.
        let slack = self.service.common().settings().compaction.slack;
        self.compact_above = size.saturating_add(slack);
        self.service.set_log_bytes(size);
        match result {
            Ok(()) => self.service.event(
                EventKind::LOG_COMPACTED,
                [size, 0],
                format_args!("the journal was written anew, and has {size} bytes"),
            ),
            Err(AppendError::File(status)) => self.report(status, "was not written anew"),
            Err(AppendError::OutOfMemory) => {
                self.report(NtStatus::INSUFFICIENT_RESOURCES, "was not written anew");
            }
        }
    }

    fn report(&self, status: NtStatus, what: &str) {
        let numbers = [self.journal.size(), number(status)];
        self.service.event(
            EventKind::LOG_FAILED,
            numbers,
            format_args!("the journal {what}: {status}"),
        );
    }
}

fn stage_one(
    service: &Service,
    batch: &mut Batch<Records>,
    frame: &mut FrameBuilder<Calls>,
    store: &Store<Records>,
    call: &Call,
) -> Result<nsemail_contract::dispatch::SetInformation, WsaCode> {
    let staged = batch.stage(store, &call.change).map_err(|refusal| {
        if let Some(limit) = refusal.limit {
            service.limit_hit(Limit::Store, limit);
        }
        refusal.code
    })?;
    let counts = staged.counts;
    let pushed = match staged.written {
        None => return Ok(counts),
        Some(Written::Put(bytes)) => frame.try_push(Kind::Put, bytes),
        Some(Written::Remove(bytes)) => frame.try_push(Kind::Remove, bytes),
    };
    if pushed.is_err() {
        batch.unstage();
        return Err(WsaCode::WSA_NOT_ENOUGH_MEMORY);
    }
    Ok(counts)
}
