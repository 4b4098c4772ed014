//! One hosted namespace provider: what its module's calls, its journal thread and the device share.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use nmr::ProviderCallGuard;
use nsemail_contract::codes::WsaCode;
use nsemail_contract::dispatch::SetInformation;
use nsemail_contract::guid::Guid;
use nsemail_contract::structures::HANDLE;
use nsemail_contract::text::Text;
use nsemail_contract::wire::{CounterKind, EventKind, HostedState};
use nsemail_kernel::event::Event;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::lock::PushLock;
use nsemail_kernel::region::CriticalRegion;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::time::Ticks;
use pool_alloc::{Arc, Box, OutOfMemory, Vec};

use crate::committer::Resting;
use crate::handles::Handle;
use crate::host::Common;
use crate::memory::{Calls, Memory, Records};
use crate::module::Module;
use crate::parameters::Entry;
use crate::store::record::{AddressSet, Fields};
use crate::store::{Change, Finder, HashKey, Record, State, Store};

/// A hosted namespace provider.
pub struct Service {
    common: Arc<Common, Memory>,
    entry: Entry,
    preferred: Option<Record<Records>>,
    /// What look-ups go through.
    finder: Finder<Records>,
    /// Changed by who commits only. Elsewhere, so that a change writes to no line that look-ups read.
    store: Box<PushLock<Store<Records>>, Memory>,
    queue: PushLock<Queue>,
    /// There is something in the queue, or the journal thread is to stop.
    wake: Event<Memory>,
    stop: AtomicBool,
    state: AtomicU32,
    log_bytes: AtomicU64,
    /// What is open here, of each of [`GAUGES`].
    open: [AtomicU64; GAUGES.len()],
    /// Which limits were told of, and are not told of again before there was room.
    told: [AtomicBool; 4],
}

/// What is counted of this provider as well as of all.
const GAUGES: [CounterKind; 3] = [CounterKind::SESSIONS, CounterKind::LOOKUPS, CounterKind::CALLS];

/// What there may be so many of, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Objects, their size, contexts of a name.
    Store,
    /// Sessions of a client.
    Sessions,
    /// Look-ups of a session.
    Lookups,
    /// Changes that wait.
    Pending,
}

/// Changes that wait to be committed.
struct Queue {
    calls: Vec<Call, Calls>,
    /// The committer, while nobody has it.
    committer: Option<Resting>,
    /// The journal thread is to have the committer next: no caller takes it before.
    reserved: bool,
    /// Nothing is accepted any more.
    closed: bool,
}

/// A change that was accepted, and that whoever made it is to commit: see [`committer`](crate::committer).
pub struct Leading<'p> {
    /// Taken from the queue.
    pub committer: Resting,
    /// The change.
    pub call: Call,
    /// Entered before the committer was taken, and not left before it rests.
    pub region: CriticalRegion<'p>,
}

impl Service {
    /// A provider whose store is yet to be loaded.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn try_new(common: Arc<Common, Memory>, entry: Entry, key: HashKey) -> Result<Self, OutOfMemory> {
        let preferred = match &entry.preferred {
            Some(name) => Some(published(name)?),
            None => None,
        };
        let store = Store::try_new_in(key, common.settings().store, Records::default())?;
        Ok(Self {
            common,
            entry,
            preferred,
            finder: store.finder().clone(),
            store: Box::try_new_in(PushLock::new(store), Memory::default())?,
            queue: PushLock::new(Queue {
                calls: Vec::new_in(Calls::default()),
                committer: None,
                reserved: false,
                closed: false,
            }),
            wake: Event::synchronization_in(false, Memory::default())?,
            stop: AtomicBool::new(false),
            state: AtomicU32::new(HostedState::Loading as u32),
            log_bytes: AtomicU64::new(0),
            open: [const { AtomicU64::new(0) }; GAUGES.len()],
            told: [const { AtomicBool::new(false) }; 4],
        })
    }

    /// What all of the driver shares.
    pub fn common(&self) -> &Common {
        &self.common
    }

    /// The namespace provider.
    pub const fn provider(&self) -> Guid {
        self.entry.provider
    }

    /// Its display name.
    pub fn identifier(&self) -> &[u16] {
        &self.entry.identifier
    }

    /// Its installation blob.
    pub fn blob(&self) -> &[u8] {
        &self.entry.blob
    }

    /// The record of the address that it publishes as its own.
    pub const fn preferred(&self) -> Option<&Record<Records>> {
        self.preferred.as_ref()
    }

    /// What finds its objects, without a lock.
    pub const fn finder(&self) -> &Finder<Records> {
        &self.finder
    }

    /// Its store.
    pub fn store(&self) -> &PushLock<Store<Records>> {
        &self.store
    }

    /// What the service is doing.
    pub fn state(&self) -> HostedState {
        HostedState::from_u32(self.state.load(Ordering::Acquire)).unwrap_or(HostedState::Failed)
    }

    /// Says what the service is doing.
    pub fn set_state(&self, state: HostedState) {
        self.state.store(state as u32, Ordering::Release);
    }

    /// Bytes of the journal.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// Says how long the journal is.
    pub fn set_log_bytes(&self, bytes: u64) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Counts sessions, look-ups or changes that are there from now on.
    pub fn opened(&self, kind: CounterKind, count: u64) {
        self.common.counters().add(kind, count);
        if let Some(open) = self.gauge(kind) {
            open.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Counts sessions, look-ups or changes that are gone.
    pub fn closed(&self, kind: CounterKind, count: u64) {
        self.common.counters().subtract(kind, count);
        if let Some(open) = self.gauge(kind) {
            open.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// The number of sessions, look-ups or changes that are there now.
    pub fn open(&self, kind: CounterKind) -> u64 {
        self.gauge(kind).map_or(0, |open| open.load(Ordering::Relaxed))
    }

    fn gauge(&self, kind: CounterKind) -> Option<&AtomicU64> {
        self.open.get(GAUGES.iter().position(|&gauge| gauge == kind)?)
    }

    /// Records an event about this provider.
    pub fn event(&self, kind: EventKind, numbers: [u64; 2], text: core::fmt::Arguments<'_>) {
        self.common.event(kind, Some(self.provider()), numbers, text);
    }

    /// Something was refused for a limit. The first time is told, and then the first after there was room.
    pub fn limit_hit(&self, limit: Limit, which: &str) {
        let told = self.told.get(limit as usize);
        if told.is_some_and(|told| !told.swap(true, Ordering::Relaxed)) {
            self.event(EventKind::LIMIT_HIT, [0; 2], format_args!("{which}"));
        }
    }

    /// There was room.
    pub fn limit_passed(&self, limit: Limit) {
        if let Some(told) = self.told.get(limit as usize)
            && told.load(Ordering::Relaxed)
        {
            told.store(false, Ordering::Relaxed);
        }
    }

    /// Accepts a change: from here on it is completed, by the journal thread, by [`Self::cancel`], or, if it is given
    /// back, by [`lead`](crate::committer::lead), which is to be called at once with no lock held. Only one whose thread
    /// waits for it is given back.
    ///
    /// # Errors
    ///
    /// The code that the caller is answered with, and the call, which is not accepted. Its guard must be dropped with
    /// no lock held.
    pub fn accept<'p>(
        &self,
        passive: Passive<'p>,
        mut call: Call,
    ) -> Result<Option<Leading<'p>>, (WsaCode, Call)> {
        // Counted before it can be completed, which subtracts it again.
        self.opened(CounterKind::CALLS, 1);
        // That of the lock ends with it, and then a thread is suspended that was to be.
        let region = CriticalRegion::enter(passive);
        let refused = 'refused: {
            let mut queue = self.queue.write(passive);
            if queue.closed {
                break 'refused WsaCode::WSASYSNOTREADY;
            }
            if queue.calls.len() >= self.common.settings().pending {
                self.limit_hit(Limit::Pending, "as many changes wait for the journal as may");
                break 'refused WsaCode::WSA_NOT_ENOUGH_MEMORY;
            }
            let nothing_waits = queue.calls.is_empty();
            if call.waiter.is_some()
                && nothing_waits
                && !queue.reserved
                && let Some(committer) = queue.committer.take()
            {
                drop(queue);
                self.limit_passed(Limit::Pending);
                return Ok(Some(Leading {
                    committer,
                    call,
                    region,
                }));
            }
            if queue.calls.try_reserve(1).is_err() {
                break 'refused WsaCode::WSA_NOT_ENOUGH_MEMORY;
            }
            // Whoever has the committer looks at the queue before it lets go, and whoever found it resting and nothing
            // in the queue has woken the journal thread.
            let wake = queue.committer.is_some() && nothing_waits;
            match queue.calls.push_within_capacity(call) {
                Ok(()) => {
                    drop(queue);
                    self.limit_passed(Limit::Pending);
                    if wake {
                        self.wake();
                    }
                    return Ok(None);
                }
                Err(back) => call = back,
            }
            WsaCode::WSA_NOT_ENOUGH_MEMORY
        };
        self.closed(CounterKind::CALLS, 1);
        Err((refused, call))
    }

    /// Takes all waiting changes, in exchange for an empty list.
    pub fn take(&self, passive: Passive<'_>, empty: &mut Vec<Call, Calls>) {
        core::mem::swap(&mut self.queue.write(passive).calls, empty);
    }

    /// Lets the committer rest; if it is `reserved`, for the journal thread alone. Answers whether there is something to
    /// commit, or the journal thread is to end: then nobody else wakes that.
    pub fn rest(&self, passive: Passive<'_>, committer: Resting, reserved: bool) -> bool {
        let mut queue = self.queue.write(passive);
        queue.committer = Some(committer);
        queue.reserved = reserved;
        !queue.calls.is_empty() || reserved || self.is_stopping()
    }

    /// Takes the committer up on the journal thread, if nobody has it.
    pub fn resume(&self, passive: Passive<'_>) -> Option<Resting> {
        self.queue.write(passive).committer.take()
    }

    /// Completes the changes of a session that still wait, as cancelled.
    pub fn cancel(&self, passive: Passive<'_>, session: Handle) {
        loop {
            // One at a time: to collect them would take memory, which a rundown must do without.
            let call = {
                let mut queue = self.queue.write(passive);
                let place = queue.calls.iter().position(|call| call.session == session);
                place.and_then(|place| queue.calls.remove(place))
            };
            match call {
                Some(call) => call.complete(passive, self, Err(WsaCode::WSA_E_CANCELLED)),
                None => return,
            }
        }
    }

    /// Refuses changes from now on, and completes those that wait: the store could not be loaded.
    pub fn close(&self, passive: Passive<'_>) {
        let mut calls = Vec::new_in(Calls::default());
        {
            let mut queue = self.queue.write(passive);
            queue.closed = true;
            core::mem::swap(&mut queue.calls, &mut calls);
        }
        for call in calls {
            call.complete(passive, self, Err(WsaCode::WSASYSNOTREADY));
        }
    }

    /// Asks the journal thread to end when nothing waits any more.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Has the journal thread look for something to do.
    pub fn wake(&self) {
        self.wake.set();
    }

    /// Whether the journal thread is to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits for something to do, on the journal thread.
    pub fn wait(&self, passive: Passive<'_>) {
        self.wake.wait(passive);
    }

    /// As [`Self::wait`], for at most so long.
    pub fn wait_for(&self, passive: Passive<'_>, at_most: Ticks) {
        // Woken or not, the queue is looked at.
        let _ = self.wake.wait_timeout(passive, at_most);
    }
}

/// The record that a look-up for preferred names finds.
fn published(name: &[u16]) -> Result<Record<Records>, OutOfMemory> {
    let fields = Fields {
        name: Text::from_stored_units(name),
        context: Text::EMPTY,
        state: State::Registered,
        version: None,
        comment: None,
        blob: None,
    };
    let none = AddressSet::new_in(Records::default());
    Record::try_new_in(&fields, &none, Records::default()).map_err(|_| OutOfMemory)
}

/// The token by which a client knows its call. It is passed back, never looked into.
#[derive(Clone, Copy, Debug)]
pub struct Token(pub HANDLE);

// SAFETY: the token is the client's business; here it is only a number.
unsafe impl Send for Token {}
// SAFETY: as above.
unsafe impl Sync for Token {}

/// An accepted change.
///
/// It holds the guard on the client's binding, so the binding lasts until the call is complete. It ends in
/// [`Self::complete`].
pub struct Call {
    /// The session that it was made in.
    pub session: Handle,
    /// What to change.
    pub change: Change<Records>,
    /// What it counts as.
    pub kind: CounterKind,
    /// What to complete it with.
    pub outcome: Result<SetInformation, WsaCode>,
    /// The thread that waits for it.
    pub waiter: Option<Waiter>,
    token: Token,
    guard: ProviderCallGuard<Module>,
}

/// A thread that waits for its call, shared with that.
#[derive(Clone)]
pub struct Waiter(Arc<Event<Calls>, Calls>);

impl Waiter {
    /// One that waits.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn try_new() -> Result<Self, OutOfMemory> {
        let event = Event::synchronization_in(false, Calls::default())?;
        Arc::try_new_in(event, Calls::default()).map(Self)
    }

    /// Waits until the call is complete. The thread is inside a provider's entry then, so that what the call is made at
    /// stays until it has seen that.
    pub fn wait(&self, passive: Passive<'_>) {
        self.0.wait(passive);
    }
}

impl Call {
    /// A call that nothing has come of yet.
    pub const fn new(
        session: Handle,
        change: Change<Records>,
        kind: CounterKind,
        token: Token,
        guard: ProviderCallGuard<Module>,
        waiter: Option<Waiter>,
    ) -> Self {
        Self {
            session,
            change,
            kind,
            outcome: Err(WsaCode::WSASYSCALLFAILURE),
            waiter,
            token,
            guard,
        }
    }

    /// Tells the client how its call ended. No lock is held.
    pub fn complete(self, _: Passive<'_>, service: &Service, outcome: Result<SetInformation, WsaCode>) {
        let Self {
            change,
            kind,
            waiter,
            token,
            guard,
            ..
        } = self;
        drop(change);
        let (code, information) = match outcome {
            Ok(counts) => (WsaCode::NO_ERROR, counts.pack()),
            Err(code) => (code, 0),
        };
        service.common().counters().result(kind, code);
        service.closed(CounterKind::CALLS, 1);
        if let Some(complete) = guard
            .peer_dispatch()
            .and_then(|dispatch| dispatch.complete_async_call)
        {
            // SAFETY: the guard keeps the client attached, so its dispatch and context are alive; the token is the one
            // that came with the call, which is completed here only, as that consumes it. At PASSIVE_LEVEL,
            // as the witness says.
            unsafe { complete(guard.peer_context(), token.0, code, information) };
        }
        // Only now: the detach of this binding may end in here.
        drop(guard);
        if let Some(Waiter(event)) = waiter {
            event.set();
        }
    }
}

/// The status of a failure as an event tells it.
pub fn number(status: NtStatus) -> u64 {
    status.0.cast_unsigned().into()
}
