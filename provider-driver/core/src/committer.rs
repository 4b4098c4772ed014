//! Making changes durable, one group at a time.
//!
//! Everything that waits when a committer comes round is one group: each change is computed on top of the store and of
//! the changes before it, all are written as one frame and flushed once, then readers see them, then the callers are
//! answered. If the frame could not be made durable, none of it happened, and every caller of the group is told so:
//! also one whose change alone would not have needed the journal, for its answer was computed on changes that are gone.
//!
//! # Who commits
//!
//! There is one [`Committer`] of a provider, and who has it commits: so groups come one at a time, and frame *n* + 1 is
//! written when frame *n* was flushed. While nobody commits it rests with the queue ([`Service`]), whose lock decides
//! who takes it:
//!
//! - A caller that only waits for its change, and says so ([`CALLER_WAITS`](SetFlags::CALLER_WAITS)), takes it if it
//!   rests and nothing waits, and commits its own change by itself ([`lead`]): the two switches of threads to the journal
//!   thread and back take as long as a quick disk. It commits nobody else's: what came meanwhile waits in the queue, and
//!   is the journal thread's, which is woken when the committer rests again. If the journal is too long, it rests for the
//!   journal thread alone: a caller that never pauses might else be there first each time.
//! - Else the change waits in the queue, its thread beside it if it waits anyway, and the journal thread takes the
//!   committer, and commits groups until nothing waits. It is woken only if the committer rests: whoever has it looks at
//!   the queue before it lets go.
//!
//! A thread that leads is in a critical region from before it takes the committer until that rests, as others wait for
//! it then: so it cannot be suspended. That its writes could be cancelled (`CancelSynchronousIo`) harms its own change and
//! no other: it fails as one whose disk fails, and the journal is cut back. It is inside a provider's entry, so that
//! NMR's deregistration of the module waits for it; and the journal thread ends after that.
//!
//! # Writing the journal anew
//!
//! When the journal has grown too long (see `parameters`), the journal thread writes the next generation, a piece after
//! each group, or one after the other while nothing waits: so a caller waits for one piece at most, which has about the
//! bytes that are configured and the changes of a group, and for its flush; and readers for none. It has the committer
//! all the while. Objects are read from the store as they are when their turn comes, and what is committed meanwhile goes
//! to both generations, so the order of the records of each object is the order in which it changed. If anything goes
//! wrong with it, the next generation is given up, no caller sees it, and it is tried again when the journal has grown
//! further.

use nsemail_contract::codes::WsaCode;
#[cfg(doc)]
use nsemail_contract::flags::SetFlags;
use nsemail_contract::wire::{CounterKind, EventKind, HostedState};
use nsemail_kernel::file::Directory;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::random;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::time::Ticks;
use pool_alloc::{Arc, OutOfMemory, Vec};

use crate::files::{Files, OpenFile};
use crate::journal::format::{FrameBuilder, Kind};
use crate::journal::generations::{Journal, Next};
use crate::journal::log::AppendError;
use crate::loading::{self, Open};
use crate::memory::{Calls, Memory, Records};
use crate::service::{Call, Leading, Limit, Service, number};
use crate::store::batch::Written;
use crate::store::{Batch, Scan, Store};

/// A group is closed when its frame has about so many bytes.
const GROUP_BYTES: usize = 1 << 20;
/// A group has at most so many changes: the pending tip is searched one by one.
const GROUP_CHANGES: usize = 512;
/// So long after a look-up was seen to have what was replaced, it is looked again whether it still has.
const COLLECTING: Ticks = Ticks::from_millis(20);

/// Runs the journal thread until the service is stopped.
pub fn run(service: &Arc<Service, Memory>, directory: Directory, passive: Passive<'_>) {
    let files = Files::new(directory, service.provider(), passive);
    let loaded = loading::load(service, files, passive);
    match loaded.and_then(|journal| Ok(Committer::try_new(service, journal, passive)?)) {
        Ok(committer) => {
            service.set_log_bytes(committer.journal.size());
            // It rests when the first caller comes.
            let (too_long, all_freed) = (committer.is_too_long(), committer.collect());
            let waits = service.rest(passive, committer.rest(), too_long);
            service.set_state(HostedState::Serving);
            service.common().wake_host();
            let resting = Committer::wait(service, waits, all_freed, passive);
            Committer::resume(service, resting, passive).serve();
        }
        Err(error) => loading::failed(service, error, passive),
    }
}

/// Commits one change on the thread of its caller, and completes it.
pub fn lead(service: &Service, leading: Leading<'_>, passive: Passive<'_>) {
    let Leading {
        committer,
        call,
        region,
    } = leading;
    let mut group = [call];
    let mut committer = Committer::resume(service, committer, passive);
    committer.commit_group(&mut group);
    let (too_long, all_freed) = (committer.is_too_long(), committer.collect());
    if service.rest(passive, committer.rest(), too_long) || !all_freed {
        service.wake();
    }
    drop(region);
    let [call] = group;
    let outcome = call.outcome;
    call.complete(passive, service, outcome);
}

/// A committer that nobody has.
pub struct Resting {
    journal: Journal<Files<()>, OpenFile<()>>,
    batch: Batch<Records>,
    frame: FrameBuilder<Calls>,
    compact_above: u64,
}

/// What it takes to commit.
struct Committer<'p> {
    service: &'p Service,
    journal: Open<'p>,
    batch: Batch<Records>,
    frame: FrameBuilder<Calls>,
    /// The journal thread's; a committer does not rest while there is one.
    compaction: Option<Compacting<'p>>,
    /// The journal is not written anew again before it is longer than this.
    compact_above: u64,
    passive: Passive<'p>,
}

/// The next generation, and how far it is.
struct Compacting<'p> {
    next: Next<OpenFile<Passive<'p>>, Calls>,
    scan: Scan,
}

impl<'p> Committer<'p> {
    fn try_new(service: &'p Service, journal: Open<'p>, passive: Passive<'p>) -> Result<Self, OutOfMemory> {
        Ok(Self {
            service,
            journal,
            batch: Batch::new_in(Records::default()),
            frame: FrameBuilder::try_new_in(Calls::default())?,
            compaction: None,
            compact_above: 0,
            passive,
        })
    }

    /// The committer, for this thread.
    // Not inlined, as the next one: they are about the size of what calls them.
    #[inline(never)]
    fn resume(service: &'p Service, resting: Resting, passive: Passive<'p>) -> Self {
        let Resting {
            journal,
            batch,
            frame,
            compact_above,
        } = resting;
        Self {
            service,
            journal: journal.with(|files| files.with(passive), |file| file.with(passive)),
            batch,
            frame,
            compaction: None,
            compact_above,
            passive,
        }
    }

    /// The committer, for whoever comes next.
    #[inline(never)]
    fn rest(self) -> Resting {
        Resting {
            journal: self.journal.with(|files| files.with(()), |file| file.with(())),
            batch: self.batch,
            frame: self.frame,
            compact_above: self.compact_above,
        }
    }

    /// Commits groups until the service is stopped and nothing waits.
    fn serve(mut self) {
        let (service, passive) = (self.service, self.passive);
        let mut taken = Vec::new_in(Calls::default());
        loop {
            // Before the queue is looked at: what is accepted before the service is stopped is still seen.
            let stopping = service.is_stopping();
            service.take(passive, &mut taken);
            if !taken.is_empty() {
                self.commit_all(&mut taken);
            } else if stopping {
                break;
            } else {
                self.compact();
                if self.compaction.is_none() {
                    let all_freed = self.collect();
                    let waits = service.rest(passive, self.rest(), false);
                    let resting = Self::wait(service, waits, all_freed, passive);
                    self = Self::resume(service, resting, passive);
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

    /// Takes the committer up again when there is something to do. `waits` says that there is; `all_freed`, that no
    /// look-up has what was replaced: else it is looked again soon.
    fn wait(service: &Service, waits: bool, all_freed: bool, passive: Passive<'_>) -> Resting {
        let mut waits = waits;
        loop {
            match (waits, all_freed) {
                (true, _) => {}
                (false, true) => service.wait(passive),
                (false, false) => service.wait_for(passive, COLLECTING),
            }
            if let Some(resting) = service.resume(passive) {
                return resting;
            }
            // A caller leads. It wakes this thread if it leaves something to do.
            waits = false;
        }
    }

    /// Commits and completes all of the calls.
    fn commit_all(&mut self, calls: &mut Vec<Call, Calls>) {
        while !calls.is_empty() {
            let group = self.commit_group(calls);
            for call in calls.drain(..group) {
                let outcome = call.outcome;
                call.complete(self.passive, self.service, outcome);
            }
            self.compact();
        }
    }

    /// Commits the first of the calls, and leaves their outcomes in them. Gives their number.
    fn commit_group(&mut self, calls: &mut [Call]) -> usize {
        let group = self.stage(calls);
        if let Err(code) = self.commit() {
            for call in calls.iter_mut().take(group) {
                call.outcome = Err(code);
            }
        }
        // What was replaced is in it, too.
        self.batch.clear();
        self.service.set_log_bytes(self.journal.size());
        group
    }

    /// Frees what was replaced and no look-up has any more; whether that was all. If not, the journal thread looks again.
    fn collect(&self) -> bool {
        self.service.store().write(self.passive).collect()
    }

    /// Computes the next group, and gives its number of calls.
    fn stage(&mut self, calls: &mut [Call]) -> usize {
        self.frame.clear();
        let store = self.service.store().read(self.passive);
        let mut group = 0_usize;
        for call in calls.iter_mut().take(GROUP_CHANGES) {
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

    /// Whether the journal is to be written anew.
    fn is_too_long(&self) -> bool {
        let size = self.journal.size();
        if size <= self.compact_above || self.journal.is_suspended() {
            return false;
        }
        let live = self.service.store().read(self.passive).bytes();
        self.service.common().settings().compaction.is_due(size, live)
    }

    fn begin_compaction(&mut self) {
        if !self.is_too_long() {
            return;
        }
        let scan = self.service.store().read(self.passive).begin_scan();
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
