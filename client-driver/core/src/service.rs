//! What all parts of the driver share for as long as it is loaded.

use core::fmt;
use core::sync::atomic::AtomicBool;

use nsemail_contract::wire::EventKind;
use nsemail_contract::{Guid, WsaCode};
use nsemail_kernel::event::Event;
use nsemail_kernel::events::Ring;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::lock::{PushLock, SpinLock};
use nsemail_kernel::registry::Key;
use pool_alloc::{Arc, Box, OutOfMemory, Vec};

use crate::attach::Binding;
use crate::bindings::Bindings;
use crate::calls::Task;
use crate::calls::table::{Asked, CallHandle, Delivered, Table, Wake};
use crate::catalogue::Snapshot;
use crate::limits::Limits;
use crate::memory::{BindingPool, CallPool, CatalogPool, EventPool, ServicePool, SessionPool};
use crate::session::Session;
use crate::session::uses::Attached;
use crate::statistics::Statistics;

/// A reference to a provider's binding.
pub type BindingRef = nmr::ClientBindingRef<crate::attach::Attacher>;

/// A task of the table of calls.
pub type BoxedTask = Box<Task, CallPool>;

/// The shared state of the driver.
///
/// Its locks are leaves, but for those of the store and of the list of sessions: while one of them is held no other is
/// taken, and nothing outside of this driver is called but the pool.
pub struct Service {
    /// How much of everything there may be.
    pub limits: Limits,
    /// The catalogue as it is now. A reader takes a share of the value and goes on without the lock.
    catalogue: SpinLock<Arc<Snapshot<CatalogPool>, CatalogPool>>,
    /// The catalogue's key in the registry; held while the catalogue is changed, so that changes come one by one.
    pub store: PushLock<Option<Key>>,
    bindings: SpinLock<Bindings<BindingRef, BindingPool>>,
    calls: SpinLock<Table<BoxedTask, CallPool>>,
    /// Set when a worker has something to do.
    pub work: Event<ServicePool>,
    /// Set when the workers are to end once no call is ready.
    pub stopping: AtomicBool,
    /// What an administrator reads to see what happened.
    pub events: Ring<EventPool>,
    /// Counters.
    pub statistics: Statistics,
    /// The open sessions, by number.
    sessions: PushLock<OpenSessions>,
}

/// The open sessions, and the number of the last one.
struct OpenSessions {
    open: Vec<Arc<Session, SessionPool>, SessionPool>,
    last: u64,
}

impl Service {
    /// Makes the state of a driver that has nothing yet.
    ///
    /// It is made where it stays: its counters alone are half a page, and a kernel stack is small.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn try_new(limits: Limits) -> Result<Arc<Self, ServicePool>, OutOfMemory> {
        let place = Arc::try_new_uninit_in(ServicePool::default())?;
        let catalogue = Arc::try_new_in(Snapshot::empty(CatalogPool::default()), CatalogPool::default())?;
        let bindings = Bindings::try_new(limits.providers, BindingPool::default())?;
        let calls = Table::try_new(limits.calls, CallPool::default())?;
        let work = Event::synchronization_in(false, ServicePool::default())?;
        let events = Ring::new_in("nsemail_client", limits.events, EventPool::default())?;
        let service = Self {
            limits,
            catalogue: SpinLock::new(catalogue),
            store: PushLock::new(None),
            bindings: SpinLock::new(bindings),
            calls: SpinLock::new(calls),
            work,
            stopping: AtomicBool::new(false),
            events,
            statistics: Statistics::try_new()?,
            sessions: PushLock::new(OpenSessions {
                open: Vec::new_in(SessionPool::default()),
                last: 0,
            }),
        };
        Ok(Arc::write(place, service).into())
    }

    /// Opens a session.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn open_session(&self, passive: Passive<'_>) -> Result<Arc<Session, SessionPool>, OutOfMemory> {
        let mut sessions = self.sessions.write(passive);
        let number = sessions.last.wrapping_add(1);
        let session = Session::new(self.limits.look_ups_per_session, number);
        let session = Arc::try_new_in(session, SessionPool::default())?;
        sessions.open.try_push(session.clone())?;
        sessions.last = number;
        Ok(session)
    }

    /// Forgets a session whose handle was closed.
    pub fn forget_session(&self, passive: Passive<'_>, session: &Arc<Session, SessionPool>) {
        let forgotten = {
            let mut sessions = self.sessions.write(passive);
            let place = sessions.open.iter().position(|open| Arc::ptr_eq(open, session));
            place.and_then(|place| sessions.open.remove(place))
        };
        drop(forgotten);
    }

    /// Runs `section` with each open session, by number, until it answers false.
    pub fn each_session(&self, passive: Passive<'_>, mut section: impl FnMut(&Session) -> bool) {
        for session in &*self.sessions.read(passive).open {
            if !section(session) {
                break;
            }
        }
    }

    /// The catalogue as it is now.
    #[must_use]
    pub fn catalogue(&self) -> Arc<Snapshot<CatalogPool>, CatalogPool> {
        self.catalogue.with(|current| current.clone())
    }

    /// Makes a new catalogue the current one. Look-ups that are open keep theirs.
    pub fn set_catalogue(&self, new: Arc<Snapshot<CatalogPool>, CatalogPool>) {
        // The old one may be large; it is freed outside of the lock.
        let old = self.catalogue.with(|current| core::mem::replace(current, new));
        drop(old);
    }

    /// Does something with the table of attached providers.
    pub fn bindings<T>(&self, section: impl FnOnce(&mut Bindings<BindingRef, BindingPool>) -> T) -> T {
        self.bindings.with(section)
    }

    /// The provider as it is attached now.
    #[must_use]
    pub fn attached(&self, provider: Guid) -> Option<Attached<BindingRef>> {
        self.bindings.with(|bindings| bindings.find(provider))
    }

    /// Does something with the table of calls.
    pub fn calls<T>(&self, section: impl FnOnce(&mut Table<BoxedTask, CallPool>) -> T) -> T {
        self.calls.with(section)
    }

    /// A provider completes a call. Called on the provider's thread, which has nothing to do with what comes next: a
    /// worker goes on with the call, or the thread that is still inside the provider's entry.
    pub fn completed(&self, binding: &Binding, call: Option<CallHandle>, code: WsaCode, information: usize) {
        let wake = Wake::Completed { code, information };
        let delivered = call.map_or(Delivered::Unasked, |call| {
            let provider = Asked::Provider(binding.number());
            self.calls.with(|calls| calls.answer(call, provider, wake))
        });
        match delivered {
            Delivered::ToRunner => {}
            Delivered::ToWorker => {
                self.work.set();
            }
            Delivered::Unasked => {
                self.event(
                    EventKind::PEER_FAULT,
                    Some(binding.provider()),
                    [u64::from(code.0), 0],
                    format_args!("completed a call that is not open"),
                );
            }
        }
    }

    /// Wakes a call that waits for another one of this driver.
    pub fn wake(&self, call: CallHandle) {
        let delivered = self
            .calls
            .with(|calls| calls.answer(call, Asked::Ourselves, Wake::Turn));
        if delivered == Delivered::ToWorker {
            self.work.set();
        }
    }

    /// A provider is gone for good: calls that still wait for it go on without it. There are none if the provider kept
    /// to the interface.
    pub fn abandon(&self, binding: &Binding) {
        let count = self.calls.with(|calls| calls.abandon(binding.number()));
        if count > 0 {
            self.work.set();
            self.event(
                EventKind::PEER_FAULT,
                Some(binding.provider()),
                [count as u64, 0],
                format_args!("detached without completing its calls"),
            );
        }
    }

    /// Records an event: detail and code are its numbers.
    pub fn event(
        &self,
        kind: EventKind,
        provider: Option<Guid>,
        numbers: [u64; 2],
        text: fmt::Arguments<'_>,
    ) {
        self.events.record(kind, provider, numbers, text);
    }

    /// Records that as many of something exist as may.
    pub fn limit_hit(&self, what: &str) {
        self.event(EventKind::LIMIT_HIT, None, [0, 0], format_args!("{what}"));
    }
}
