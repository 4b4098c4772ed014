//! Calls: what becomes of a request that needs a provider.
//!
//! A [`Task`] is one request: who made it ([`Session`]), how to answer it ([`Reply`]), what is to be done
//! ([`Work`]). [`run`] does it, on the thread of the request first. If a provider answers later, the task is parked in
//! the [`Table`](table::Table), and a worker thread of this driver goes on with it, never the provider's thread.
//!
//! # Races, and why each is harmless
//!
//! - *Completion before the entry returns*: the table notes the answer, parking fails with it, and the runner goes on.
//! - *Completion while parking*: both are done under the table's lock; either the answer is noted before, or it finds
//!   the parked task.
//! - *Cancellation against completion*: the request belongs to [`Reply`]; whoever takes it out completes it, see
//!   [`nsemail_kernel::wdf`]. The cancelled task stays parked, with the buffers that the provider may still write to,
//!   until the provider completes it: it is *orphaned*. The runner then takes in what came and asks nobody else.
//! - *Cancellation before the task is parked*: the request is pended before, so its cancellation may come when the task
//!   is not in the table yet. It only takes the request, so there is nothing to miss.
//! - *Detach against a call*: the runner's guard is held while it is inside an entry, so detach waits for that. A call
//!   that was accepted is the provider's to complete; it holds its own side of the binding until it has. After detach
//!   began no guard is given out, so nothing is sent to the provider; the call goes on with the next one.
//! - *Detach without completion*, against the interface: when both sides are detached nobody can complete any more, so
//!   the binding's end wakes what still waits for it.
//! - *Close against a call*: see [`Session::end`]. The framework closes a file when all its requests are completed; an
//!   orphaned task keeps the session as a value, and finds every provider of it barred.
//! - *Unload against a call*: unload waits until every binding is detached, thus until every accepted call was
//!   completed, then for the workers, which end when no task is ready.

pub mod reply;
pub mod table;
pub mod work;

use nsemail_contract::WsaCode;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::pool::Pool;
use pool_alloc::{Arc, Box};

use crate::memory::SessionPool;
use crate::search::Progress;
use crate::service::{BoxedTask, Service};
use crate::session::Session;
use crate::statistics::up;
use reply::Reply;
use table::{Ticket, Wake};
use work::Work;

/// One request that needs providers.
pub struct Task {
    ticket: Ticket,
    session: Arc<Session, SessionPool>,
    reply: Reply,
    work: Work,
}

/// What the parts of a call need to know of it.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The driver.
    pub service: &'a Service,
    /// Who made the request.
    pub session: &'a Session,
    /// The runner's level.
    pub passive: Passive<'a>,
    /// The call's place in the table.
    pub ticket: &'a Ticket,
}

/// Why a call is not started; the request must be answered otherwise.
pub struct NotStarted {
    /// What to answer.
    pub code: WsaCode,
    /// The request.
    pub reply: Reply,
    /// What was to be done.
    pub work: Work,
}

/// Starts a call, and runs it as far as it goes.
///
/// # Errors
/// When there are too many calls in progress, or no memory.
pub fn start(
    service: &Service,
    passive: Passive<'_>,
    session: &Arc<Session, SessionPool>,
    reply: Reply,
    work: Work,
) -> Result<(), NotStarted> {
    let code = WsaCode::WSA_NOT_ENOUGH_MEMORY;
    let Ok(memory) = Box::try_new_uninit_in(Pool) else { return Err(NotStarted { code, reply, work }) };
    let Some(ticket) = service.calls(table::Table::reserve) else {
        service.limit_hit("calls in progress");
        return Err(NotStarted { code, reply, work });
    };
    let task = Task { ticket, session: session.clone(), reply, work };
    run(service, passive, Box::write(memory, task), None);
    Ok(())
}

/// Runs a task until it is answered or parked.
pub fn run(service: &Service, passive: Passive<'_>, mut task: BoxedTask, mut wake: Option<Wake>) {
    loop {
        let Task { ticket, session, reply, work } = &mut *task;
        let call = Context { service, session, passive, ticket };
        match work.advance(&call, wake, reply.is_orphaned()) {
            Progress::Reply(code) => {
                service.statistics.count(work.kind(), code);
                finish(&call, reply, work, code);
                break;
            }
            Progress::Wait => {
                work.waits(&call);
                reply.pend();
                let slot = ticket.slot();
                match service.calls(|calls| calls.park(slot, task)) {
                    Ok(()) => return,
                    Err((answer, back)) => {
                        wake = Some(answer);
                        task = back;
                    }
                }
            }
        }
    }
    let Task { ticket, .. } = Box::into_inner(task);
    service.calls(|calls| calls.release(ticket));
}

/// Answers the request, unless it was cancelled. The request is completed last, so that what the call had is free when
/// the program makes its next one.
fn finish(call: &Context<'_>, reply: &mut Reply, work: &mut Work, code: WsaCode) {
    let Some(mut request) = reply.take() else {
        up(&call.service.statistics.cancelled);
        work.end(call, false);
        return;
    };
    let size = reply::write(&mut request, work.measure(code), |out| work.write(code, out));
    work.end(call, true);
    reply::complete(request, size);
}
