//! A look-up that a program holds by its handle.
//!
//! Its [`Search`] has one owner at a time: it rests here, or it is with the call whose turn it is. Calls for the next
//! record take turns, so that each record is delivered once; one that finds the search taken waits as a parked call.
//!
//! To end the look-up is possible at any time, also while a call is waiting for a provider. Who ends the query at the
//! provider depends on where the search is:
//!
//! | the search is | ended by | the call in progress |
//! |---|---|---|
//! | resting here | the closer | - |
//! | with a call that waits for a provider | the closer, which makes the provider complete the call | is cancelled, and gives the search up |
//! | with a call that runs | that call, before it waits or when it gives the search back | gets its record, or is cancelled as above |
//!
//! The lock is a leaf: nothing outside of this driver is called while it is held.

use nsemail_kernel::irql::Passive;
use nsemail_kernel::lock::SpinLock;
use nsemail_kernel::pool::Pool;
use pool_alloc::{Box, OutOfMemory, Vec};

use crate::calls::Context;
use crate::calls::table::{Asked, CallHandle};
use crate::memory::SessionPool;
use crate::search::{OpenQuery, Search};
use crate::service::Service;
use crate::session::Session;

/// A search on its way between owners.
pub type BoxedSearch = Box<Search, SessionPool>;

struct State {
    /// The search, when it rests.
    search: Option<BoxedSearch>,
    /// Where the call that has the search waits.
    pending: Option<OpenQuery>,
    closed: bool,
    waiters: Vec<CallHandle, SessionPool>,
}

/// See the module's description.
pub struct OpenLookUp(SpinLock<State>);

/// Answer to a call that wants its turn.
pub enum Turn {
    /// Here is the search.
    Yours(BoxedSearch),
    /// It has to wait and will be woken.
    Wait,
    /// The look-up is closed.
    Closed,
    /// There is no memory to wait.
    OutOfMemory,
}

impl OpenLookUp {
    /// A look-up at rest.
    #[must_use]
    pub const fn new(search: BoxedSearch) -> Self {
        let waiters = Vec::new_in(Pool);
        Self(SpinLock::new(State {
            search: Some(search),
            pending: None,
            closed: false,
            waiters,
        }))
    }

    fn take(&self, waiter: Option<CallHandle>) -> Result<Option<BoxedSearch>, Turn> {
        self.0.with(|state| {
            if state.closed {
                return Err(Turn::Closed);
            }
            if let Some(search) = state.search.take() {
                return Ok(Some(search));
            }
            if let Some(waiter) = waiter {
                state
                    .waiters
                    .try_push(waiter)
                    .map_err(|OutOfMemory| Turn::OutOfMemory)?;
            }
            Ok(None)
        })
    }

    /// A call wants its turn.
    pub fn turn(&self, call: &Context<'_>) -> Turn {
        match self.take(None) {
            Ok(Some(search)) => return Turn::Yours(search),
            Ok(None) => {}
            Err(turn) => return turn,
        }
        // To wait, the call needs a handle; by the time it has one it may not have to wait any more.
        let waiter = call
            .service
            .calls(|calls| calls.ask(call.ticket, Asked::Ourselves));
        let turn = match self.take(Some(waiter)) {
            Ok(None) => return Turn::Wait,
            Ok(Some(search)) => Turn::Yours(search),
            Err(turn) => turn,
        };
        call.service.calls(|calls| calls.settle(call.ticket));
        turn
    }

    /// The call whose turn it is will wait, for the provider of its query or for another call. If the look-up was
    /// closed meanwhile, the query is ended here, which makes the provider complete the call.
    pub fn waits(&self, search: &mut Search, call: &Context<'_>) {
        let query = search.pending_query().cloned();
        let refused = self.0.with(|state| {
            if state.closed {
                return query;
            }
            state.pending = query;
            None
        });
        if let Some(query) = refused {
            search.query_was_ended();
            query.end(call.session, call.service, call.passive);
        }
    }

    /// The call whose turn it is does not wait any more. `false` if the look-up was closed meanwhile, which ended the
    /// query that the call waited for.
    #[must_use]
    pub fn waits_no_more(&self, search: &mut Search) -> bool {
        let (closed, pending) = self.0.with(|state| (state.closed, state.pending.take()));
        drop(pending);
        if closed && search.pending_query().is_some() {
            search.query_was_ended();
        }
        !closed
    }

    /// A call's turn is over. The next one gets it; if the look-up was closed, the search ends here.
    pub fn give_back(&self, search: BoxedSearch, call: &Context<'_>) {
        let (ended, waiter) = self.0.with(|state| {
            if state.closed {
                return (Some(search), None);
            }
            state.search = Some(search);
            (None, state.waiters.remove(0))
        });
        if let Some(mut search) = ended {
            search.close(call.session, call.service, call.passive);
        }
        if let Some(waiter) = waiter {
            call.service.wake(waiter);
        }
    }

    /// Closes the look-up.
    pub fn close(&self, session: &Session, service: &Service, passive: Passive<'_>) {
        let (search, pending, waiters) = self.0.with(|state| {
            state.closed = true;
            let waiters = core::mem::replace(&mut state.waiters, Vec::new_in(Pool));
            (state.search.take(), state.pending.take(), waiters)
        });
        if let Some(mut search) = search {
            search.close(session, service, passive);
        }
        if let Some(query) = pending {
            query.end(session, service, passive);
        }
        for waiter in waiters {
            service.wake(waiter);
        }
    }
}
