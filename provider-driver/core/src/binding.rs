//! What a module keeps for one client: its sessions and open look-ups. The calls of NSPv2, without the peer's memory.

use nmr::sync::processor;
use nsemail_contract::codes::WsaCode;
use nsemail_contract::fault::WriteError;
use nsemail_contract::flags::LookupFlags;
use nsemail_contract::queryset::QuerySet;
use nsemail_contract::wire::{CounterKind, EventKind};
use nsemail_kernel::irql::{DropAtDispatch, Passive};
use nsemail_kernel::lock::PushLock;
use nsemail_kernel::region::CriticalRegion;
use pool_alloc::{Arc, OutOfMemory, Vec};

use crate::committer;
use crate::handles::{Handle, Handles};
use crate::lookup::{Lookup, Next};
use crate::memory::Records;
use crate::memory::{Memory, Open};
use crate::service::{Call, Limit, Service};
use crate::store::{Found, Query};

/// The binding of one client to a hosted provider.
pub struct Binding {
    service: Arc<Service, Memory>,
    open: PushLock<OpenHandles>,
}

/// What the client has open.
struct OpenHandles {
    sessions: Handles<Session, Open>,
    lookups: Handles<OpenLookup, Open>,
}

/// A session of the client's.
struct Session {
    /// `Startup` calls that no `Cleanup` has answered yet.
    starts: u32,
    lookups: usize,
}

struct OpenLookup {
    session: Handle,
    state: Arc<PushLock<Lookup<Records>>, Open>,
}

// SAFETY: dropping a binding frees non-paged pool, counts atomically and records an event, all of which is allowed at
// `DISPATCH_LEVEL`. Its service is never dropped with it: the host's list keeps that until NMR was waited for.
unsafe impl DropAtDispatch for Binding {}

impl Binding {
    /// The binding of a client that is about to be attached.
    pub fn new(service: Arc<Service, Memory>) -> Self {
        service.common().counters().add(CounterKind::BINDINGS, 1);
        let open = OpenHandles {
            sessions: Handles::new_in(Open::default()),
            lookups: Handles::new_in(Open::default()),
        };
        Self {
            service,
            open: PushLock::new(open),
        }
    }

    /// The hosted provider.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// `Startup`: one more start of that session if it is one, else a new session.
    ///
    /// # Errors
    ///
    /// `WSA_NOT_ENOUGH_MEMORY`, also for more sessions than a client may have.
    pub fn startup(&self, passive: Passive<'_>, session: Handle) -> Result<Handle, WsaCode> {
        let common = self.service.common();
        let mut open = self.open.write(passive);
        if let Some(present) = open.sessions.get_mut(session) {
            present.starts = present
                .starts
                .checked_add(1)
                .ok_or(WsaCode::WSA_NOT_ENOUGH_MEMORY)?;
            return Ok(session);
        }
        if open.sessions.len() >= common.settings().sessions {
            self.service
                .limit_hit(Limit::Sessions, "a client has as many sessions as it may");
            return Err(WsaCode::WSA_NOT_ENOUGH_MEMORY);
        }
        let handle = open.sessions.try_insert(
            common.serial(),
            Session {
                starts: 1,
                lookups: 0,
            },
        );
        let handle = handle.map_err(no_memory)?;
        self.service.limit_passed(Limit::Sessions);
        self.service.opened(CounterKind::SESSIONS, 1);
        Ok(handle)
    }

    /// `Cleanup`: the last one of as many as there were starts ends the session.
    ///
    /// # Errors
    ///
    /// `WSAEINVAL` for what never was a session. One that was run down may still be cleaned up.
    pub fn cleanup(&self, passive: Passive<'_>, session: Handle) -> Result<(), WsaCode> {
        {
            let mut open = self.open.write(passive);
            match open.sessions.get_mut(session) {
                Some(present) => {
                    present.starts = present.starts.saturating_sub(1);
                    if present.starts > 0 {
                        return Ok(());
                    }
                }
                None if self.service.common().was_given(session) => return Ok(()),
                None => return Err(WsaCode::WSAEINVAL),
            }
        }
        self.end(passive, session);
        Ok(())
    }

    /// `ClientSessionRundown`: ends the session however often it was started, and cancels its calls. Gives whether
    /// there was such a session.
    pub fn rundown(&self, passive: Passive<'_>, session: Handle) -> bool {
        let ended = self.end(passive, session);
        self.service.cancel(passive, session);
        ended
    }

    fn end(&self, passive: Passive<'_>, session: Handle) -> bool {
        let mut open = self.open.write(passive);
        if open.sessions.remove(session).is_none() {
            return false;
        }
        let lookups = open.lookups.remove_if(|lookup| lookup.session == session);
        self.service.closed(CounterKind::SESSIONS, 1);
        self.service.closed(CounterKind::LOOKUPS, lookups as u64);
        true
    }

    /// Whether a session is open.
    ///
    /// # Errors
    ///
    /// `WSAEINVAL` if not.
    pub fn check_session(&self, passive: Passive<'_>, session: Handle) -> Result<(), WsaCode> {
        let open = self.open.read(passive);
        open.sessions.get(session).map(drop).ok_or(WsaCode::WSAEINVAL)
    }

    /// `LookupServiceBegin`.
    ///
    /// # Errors
    ///
    /// `WSAEINVAL`, also without a session; `WSASERVICE_NOT_FOUND` and `WSANO_DATA` for questions that nothing here can
    /// answer; `WSA_NOT_ENOUGH_MEMORY`, also for more look-ups than a session may have.
    pub fn begin(
        &self,
        passive: Passive<'_>,
        session: Handle,
        query: &QuerySet<'_>,
        flags: LookupFlags,
    ) -> Result<Handle, WsaCode> {
        let service = self.service();
        self.check_session(passive, session)?;
        let found = match Query::from_query(query, flags)? {
            Some(query) if query.is_deep() => {
                service.store().read(passive).select(&query).map_err(no_memory)?
            }
            Some(query) => {
                let _region = CriticalRegion::enter(passive);
                service.finder().select(processor(), &query).map_err(no_memory)?
            }
            None => self.preferred().map_err(no_memory)?,
        };
        let lookup = Lookup::try_new(
            service.provider(),
            flags,
            query.protocols,
            found,
            Records::default(),
        );
        let state =
            Arc::try_new_in(PushLock::new(lookup.map_err(no_memory)?), Open::default()).map_err(no_memory)?;

        let common = service.common();
        let mut open = self.open.write(passive);
        // The session may have ended meanwhile.
        let present = open.sessions.get_mut(session).ok_or(WsaCode::WSAEINVAL)?;
        if present.lookups >= common.settings().lookups {
            service.limit_hit(Limit::Lookups, "a session has as many look-ups open as it may");
            return Err(WsaCode::WSA_NOT_ENOUGH_MEMORY);
        }
        present.lookups = present.lookups.saturating_add(1);
        let handle = open
            .lookups
            .try_insert(common.serial(), OpenLookup { session, state });
        if handle.is_err()
            && let Some(present) = open.sessions.get_mut(session)
        {
            present.lookups = present.lookups.saturating_sub(1);
        }
        let handle = handle.map_err(no_memory)?;
        service.limit_passed(Limit::Lookups);
        service.opened(CounterKind::LOOKUPS, 1);
        Ok(handle)
    }

    /// The names that the provider publishes as its own.
    fn preferred(&self) -> Result<Found<Records>, OutOfMemory> {
        let mut records = Vec::new_in(Records::default());
        if let Some(record) = self.service.preferred() {
            records.try_push(record.clone())?;
        }
        Ok(Found { records, known: true })
    }

    /// `LookupServiceNextEx`; `write` is as for [`Lookup::next`].
    ///
    /// # Errors
    ///
    /// `WSA_INVALID_HANDLE` if the look-up is not open.
    pub fn next(
        &self,
        passive: Passive<'_>,
        lookup: Handle,
        flags: LookupFlags,
        write: impl FnOnce(&QuerySet<'_>) -> Result<usize, WriteError>,
    ) -> Result<Next, WsaCode> {
        let state = {
            let open = self.open.read(passive);
            open.lookups
                .get(lookup)
                .map(|lookup| lookup.state.clone())
                .ok_or(WsaCode::WSA_INVALID_HANDLE)?
        };
        let next = state.write(passive).next(flags, write);
        Ok(next)
    }

    /// `LookupServiceEnd`.
    ///
    /// # Errors
    ///
    /// `WSA_INVALID_HANDLE` if the look-up is not open.
    pub fn close(&self, passive: Passive<'_>, lookup: Handle) -> Result<(), WsaCode> {
        let closed = {
            let mut open = self.open.write(passive);
            let closed = open.lookups.remove(lookup).ok_or(WsaCode::WSA_INVALID_HANDLE)?;
            if let Some(session) = open.sessions.get_mut(closed.session) {
                session.lookups = session.lookups.saturating_sub(1);
            }
            closed
        };
        drop(closed);
        self.service.closed(CounterKind::LOOKUPS, 1);
        Ok(())
    }

    /// The second half of `SetServiceEx`: accepts a valid call in a session that is open. If its thread waits for it, it
    /// is complete when this returns.
    ///
    /// # Errors
    ///
    /// The code that the caller is answered with, and the call.
    pub fn accept(&self, passive: Passive<'_>, call: Call) -> Result<(), (WsaCode, Call)> {
        let waiter = call.waiter.clone();
        let leading = {
            // Held until the call is queued, or its thread leads: a rundown that comes meanwhile finds it in the queue,
            // or has nothing to cancel.
            let open = self.open.read(passive);
            if open.sessions.get(call.session).is_none() {
                return Err((WsaCode::WSAEINVAL, call));
            }
            self.service.accept(passive, call)?
        };
        match (leading, waiter) {
            (Some(leading), _) => committer::lead(&self.service, leading, passive),
            (None, Some(waiter)) => waiter.wait(passive),
            (None, None) => {}
        }
        Ok(())
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        let (sessions, lookups) = {
            let open = self.open.get_mut();
            (open.sessions.len() as u64, open.lookups.len() as u64)
        };
        self.service.closed(CounterKind::SESSIONS, sessions);
        self.service.closed(CounterKind::LOOKUPS, lookups);
        self.service
            .common()
            .counters()
            .subtract(CounterKind::BINDINGS, 1);
        self.service
            .event(EventKind::DETACHED, [0; 2], format_args!("a client is gone"));
    }
}

/// For `map_err`.
const fn no_memory(_: OutOfMemory) -> WsaCode {
    WsaCode::WSA_NOT_ENOUGH_MEMORY
}
