//! What belongs to one open handle of the control device: a session.
//!
//! A session is begun with a provider by the first call that needs it (`Startup`). It ends by an explicit request
//! (`Cleanup`) or when the handle is closed, be it by the death of the process (`ClientSessionRundown`).

pub mod look_ups;
pub mod uses;

use core::sync::atomic::AtomicU64;

use nsemail_contract::wire::CounterKind;
use nsemail_contract::{Guid, WsaCode};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::lock::SpinLock;
use nsemail_kernel::pool::Pool;
use pool_alloc::{Arc, OutOfMemory};

use crate::calls::Context;
use crate::calls::table::Asked;
use crate::look_up::OpenLookUp;
use crate::memory::SessionPool;
use crate::peer::{self, Guard, Opaque};
use crate::service::{BindingRef, Service};
use crate::statistics::{down, up};
use look_ups::LookUps;
use uses::{Attached, Entry, Farewell, Goodbye, UseId, Uses};

type SessionUses = Uses<BindingRef, Option<Opaque>, SessionPool>;
type SessionLookUps = LookUps<Arc<OpenLookUp, SessionPool>, SessionPool>;

/// One open handle. Its locks are leaves, like those of the [`Service`].
pub struct Session {
    number: u64,
    /// Calls under way, also those that were cancelled and that a provider still has.
    calls: AtomicU64,
    uses: SpinLock<SessionUses>,
    look_ups: SpinLock<SessionLookUps>,
}

/// A call that is inside a provider's entries. Ended by [`Session::leave`].
#[must_use = "the call must leave the provider again"]
pub struct Visit {
    /// Keeps the provider.
    pub guard: Guard,
    /// Which use of the provider it belongs to.
    pub id: UseId,
    /// What the provider has for this session, if it wants to know of sessions.
    pub session: Option<Opaque>,
}

/// Answer to a call that wants to enter a provider.
pub enum Admission {
    /// It is inside.
    Inside(Visit),
    /// It has to wait for another call of the session that is starting with this provider, and will be woken.
    Wait,
    /// The provider cannot be used now.
    Unavailable,
    /// There is no memory.
    OutOfMemory,
}

impl Session {
    /// A session that has not met any provider. `number` tells the handles of its look-ups from those of others.
    #[must_use]
    pub fn new(look_ups: usize, number: u64) -> Self {
        // Any odd factor spreads consecutive numbers over all generations.
        #[expect(clippy::cast_possible_truncation, reason = "only to tell sessions apart")]
        let seed = (number as u32).wrapping_mul(0x9E37_79B1);
        Self {
            number,
            calls: AtomicU64::new(0),
            uses: SpinLock::new(Uses::new(Pool)),
            look_ups: SpinLock::new(LookUps::new(look_ups, seed, Pool)),
        }
    }

    /// Which session it is.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The number of its calls under way.
    #[must_use]
    pub const fn calls(&self) -> &AtomicU64 {
        &self.calls
    }

    /// Does something with the open look-ups.
    pub fn look_ups<T>(&self, section: impl FnOnce(&mut SessionLookUps) -> T) -> T {
        self.look_ups.with(section)
    }

    /// A call wants to use a provider. `Startup` is called if this is the session's first use of it.
    pub fn visit(&self, call: &Context<'_>, provider: &Guid) -> Admission {
        let service = call.service;
        let Some(attached) = service.attached(*provider) else {
            return Admission::Unavailable;
        };
        let Some(guard) = attached.binding.enter() else {
            return Admission::Unavailable;
        };
        let entry = match self.uses.with(|uses| uses.enter(&attached, None)) {
            // To wait, the call needs a handle by which it is woken. What it waits for may be over by the time it has
            // one, so it looks again.
            Ok(Entry::Wait) => {
                let waiter = service.calls(|calls| calls.ask(call.ticket, Asked::Ourselves));
                let entry = self.uses.with(|uses| uses.enter(&attached, Some(waiter)));
                if matches!(entry, Ok(Entry::Wait)) {
                    return Admission::Wait;
                }
                service.calls(|calls| calls.settle(call.ticket));
                entry
            }
            entry => entry,
        };
        match entry {
            Ok(Entry::Inside(id, session)) => Admission::Inside(Visit { guard, id, session }),
            Ok(Entry::Startup(id)) => self.start(call, guard, &attached, id),
            Ok(Entry::Wait | Entry::Over) => Admission::Unavailable,
            Err(OutOfMemory) => Admission::OutOfMemory,
        }
    }

    fn start(
        &self,
        call: &Context<'_>,
        guard: Guard,
        attached: &Attached<BindingRef>,
        id: UseId,
    ) -> Admission {
        let started = peer::startup(call.passive, &guard, &attached.provider);
        let code = started.err().unwrap_or(WsaCode::NO_ERROR);
        call.service.statistics.count(CounterKind::STARTUP, code);
        // A provider that does not want to know of sessions does not hear of their end either.
        let runs_down = matches!(started, Ok(Some(_))) && peer::runs_down(&guard);
        let waiters = self.uses.with(|uses| uses.started(id, started.ok(), runs_down));
        for waiter in waiters {
            call.service.wake(waiter);
        }
        let Ok(session) = started else {
            return Admission::Unavailable;
        };
        Admission::Inside(Visit { guard, id, session })
    }

    /// A call wants to go back to the provider where a look-up is open, to ask it or to close it. `None` if it cannot:
    /// the provider is going away, or the session was run down.
    #[must_use]
    pub fn revisit(&self, binding: &BindingRef, id: UseId, to_close: bool) -> Option<Visit> {
        let guard = binding.enter()?;
        let inside = self.uses.with(|uses| uses.reenter(id, to_close));
        // The session's value is not needed for what is done with a look-up.
        inside.then_some(Visit {
            guard,
            id,
            session: None,
        })
    }

    /// A call leaves a provider, and says the farewell if it was the last to leave.
    pub fn leave(&self, service: &Service, passive: Passive<'_>, visit: Visit) {
        let goodbye = self.uses.with(|uses| uses.leave(visit.id));
        if let Some(goodbye) = goodbye {
            say(service, passive, &goodbye);
        }
        drop(visit);
    }

    /// A call that is inside has opened a look-up there.
    pub fn look_up_opened(&self, id: UseId) {
        self.uses.with(|uses| uses.look_up_opened(id));
    }

    /// A look-up is closed at its provider, or its provider is gone.
    pub fn look_up_closed(&self, service: &Service, passive: Passive<'_>, id: UseId) {
        let goodbye = self.uses.with(|uses| uses.look_up_closed(id));
        if let Some(goodbye) = goodbye {
            say(service, passive, &goodbye);
        }
    }

    /// Whether the handle was closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.uses.with(|uses| uses.is_over())
    }

    /// See [`Uses::hold`].
    #[must_use]
    pub fn hold(&self) -> bool {
        self.uses.with(SessionUses::hold)
    }

    /// Ends [`Self::hold`].
    pub fn unhold(&self, service: &Service, passive: Passive<'_>) {
        self.uses.with(SessionUses::unhold);
        self.say_what_is_due(service, passive);
    }

    /// The handle was closed: no call of the session enters a provider any more.
    pub fn bar(&self) {
        self.uses.with(|uses| uses.end(Farewell::Rundown));
    }

    /// Ends the session with every provider: its look-ups are closed, then the farewells are said, here or by the calls
    /// that are still inside.
    pub fn end(&self, service: &Service, passive: Passive<'_>, farewell: Farewell) {
        // After a rundown nothing is said to a provider but the rundown.
        if farewell == Farewell::Rundown {
            self.bar();
            // A request that is still running must not leave a look-up behind that nobody would close.
            self.look_ups.with(SessionLookUps::close);
        }
        while let Some(look_up) = self.look_ups.with(SessionLookUps::pop) {
            down(&service.statistics.look_ups);
            look_up.close(self, service, passive);
        }
        if farewell == Farewell::Cleanup {
            self.uses.with(|uses| uses.end(farewell));
        }
        self.say_what_is_due(service, passive);
    }

    fn say_what_is_due(&self, service: &Service, passive: Passive<'_>) {
        while let Some(goodbye) = self.uses.with(SessionUses::next_due) {
            say(service, passive, &goodbye);
        }
    }

    /// Adds an open look-up, and gives its handle. Without memory, or at the limit, it is given back.
    ///
    /// # Errors
    /// The look-up.
    pub fn add(
        &self,
        service: &Service,
        look_up: Arc<OpenLookUp, SessionPool>,
    ) -> Result<u64, Arc<OpenLookUp, SessionPool>> {
        let handle = self.look_ups.with(|look_ups| look_ups.insert(look_up))?;
        up(&service.statistics.look_ups);
        Ok(handle)
    }
}

/// Says the farewell, unless the provider does not want to know of sessions, or is going away and forgets them by
/// itself.
fn say(service: &Service, passive: Passive<'_>, goodbye: &Goodbye<BindingRef, Option<Opaque>>) {
    let Some(session) = goodbye.session else { return };
    let Some(guard) = goodbye.attached.binding.enter() else {
        return;
    };
    let provider = &goodbye.attached.provider;
    match goodbye.farewell {
        Farewell::Cleanup => {
            let code = peer::cleanup(passive, &guard, provider, session);
            service.statistics.count(CounterKind::CLEANUP, code);
        }
        Farewell::Rundown => {
            peer::rundown(passive, &guard, provider, session);
            service.statistics.count(CounterKind::RUNDOWN, WsaCode::NO_ERROR);
        }
    }
    drop(guard);
}
