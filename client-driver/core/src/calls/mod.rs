//! Calls: what becomes of a request that needs a provider.
//!
//! A [`Task`] is one request: who made it ([`Session`]), how to answer it ([`Reply`]), what is to be done
//! ([`Work`]). [`run`] does it, on the thread of the request first. If a provider answers later, the task is parked in
//! the [`Table`], and a worker thread of this driver goes on with it, never the provider's thread.
//!
//! # Races, and why each is harmless
//!
//! - *Completion before the entry returns*: the table notes the answer, and the runner takes it and goes on. The request
//!   is not pended then: it is completed where it came from, and no thread is woken.
//! - *Completion while parking*: both are done under the table's lock; either the answer is noted before, and parking
//!   fails with it, or it finds the parked task.
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
//! - *Close against a call*: when the last handle is closed, another thread may still have a call in progress. The
//!   session is over first; then the calls that wait are cancelled ([`cancel`]). A call that was running meanwhile sees
//!   that the session is over after it has parked: the table's lock decides which of the two finds the other. The
//!   orphaned task keeps the session as a value, and finds every provider of it barred, see [`Session::end`].
//! - *Unload against a call*: unload waits until every binding is detached, thus until every accepted call was
//!   completed, then for the workers, which end when no task is ready.

pub mod reply;
pub mod table;
pub mod work;

use core::mem::MaybeUninit;

use nsemail_contract::WsaCode;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::pool::Pool;
use nsemail_kernel::status::NtStatus;
use pool_alloc::{Arc, Box};

use crate::control::Request;
use crate::memory::{CallPool, SessionPool};
use crate::search::Progress;
use crate::service::{BoxedTask, Service};
use crate::session::Session;
use crate::statistics::{down, up};
use reply::{Reply, Waiting};
use table::{Table, Ticket, Wake};
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

/// Starts a call, and runs it as far as it goes. With too many calls in progress, or without memory, the request is
/// answered so.
pub fn start(service: &Service, passive: Passive<'_>, request: Request, work: Work) {
    // The call may outlive the request, and so the borrow of its file.
    let session = request.file().clone();
    if let Some((memory, waiting, ticket)) = place(service) {
        let reply = Reply::new(request, waiting);
        up(session.calls());
        let task = Task {
            ticket,
            session,
            reply,
            work,
        };
        run(service, passive, Box::write(memory, task), None);
    } else {
        let code = WsaCode::WSA_NOT_ENOUGH_MEMORY;
        if let Some(kind) = work.kind() {
            service.statistics.count(kind, code);
        }
        // Before the request is completed, so that what it held is free by then.
        drop(work);
        reply::answer(request, code);
    }
}

/// What a call needs before it can start: memory for the task, the place where its request can wait, the ticket.
type Place = (Box<MaybeUninit<Task>, CallPool>, Arc<Waiting, CallPool>, Ticket);

fn place(service: &Service) -> Option<Place> {
    let memory = Box::try_new_uninit_in(Pool).ok()?;
    let waiting = Arc::try_new_in(Waiting::default(), Pool).ok()?;
    let ticket = service.calls(Table::reserve);
    if ticket.is_none() {
        service.limit_hit("calls in progress");
    }
    Some((memory, waiting, ticket?))
}

/// Runs a task until it is answered or parked.
pub fn run(service: &Service, passive: Passive<'_>, mut task: BoxedTask, mut wake: Option<Wake>) {
    let answer = loop {
        let Task {
            ticket,
            session,
            reply,
            work,
        } = &mut *task;
        let call = Context {
            service,
            session,
            passive,
            ticket,
        };
        match work.advance(&call, wake, reply.is_orphaned()) {
            Progress::Reply(code) => break finish(&call, reply, work, code),
            Progress::Wait => {
                wake = service.calls(|calls| calls.answered(ticket));
                if wake.is_some() {
                    continue;
                }
                work.waits(&call);
                let waiting = reply.pend();
                let slot = ticket.slot();
                let session = session.clone();
                match service.calls(|calls| calls.park(slot, task)) {
                    Ok(()) => {
                        // If the handle was closed before the task could be found in the table.
                        if session.is_over() {
                            waiting.cancel();
                        }
                        return;
                    }
                    Err((answer, back)) => {
                        wake = Some(answer);
                        task = back;
                    }
                }
            }
        }
    };
    let Task { ticket, session, .. } = Box::into_inner(task);
    down(session.calls());
    drop(session);
    service.calls(|calls| calls.release(ticket));
    // Last, so that what the call had is free, and it is counted no more, when the program makes its next one.
    if let Some((request, written)) = answer {
        reply::complete(request, written);
    }
}

/// A handle is closed: the calls of its session that wait are cancelled. Those that run are answered, or find out when
/// they have parked.
pub fn cancel(service: &Service, session: &Arc<Session, SessionPool>) {
    let of_session = |task: &BoxedTask| Arc::ptr_eq(&task.session, session).then(|| task.reply.waiting());
    let mut slot = 0;
    while let Some((found, waiting)) = service.calls(|calls| calls.find(slot, of_session)) {
        waiting.cancel();
        slot = found.saturating_add(1);
    }
}

/// A request that is answered but not completed yet, and what to complete it with.
type Answer = (Request, Result<usize, NtStatus>);

/// Writes the answer to the request, unless it was cancelled, and ends the work.
fn finish(call: &Context<'_>, reply: &mut Reply, work: &mut Work, code: WsaCode) -> Option<Answer> {
    let answered = reply.take();
    let seen = if answered.is_some() {
        code
    } else {
        WsaCode::WSA_E_CANCELLED
    };
    if let Some(kind) = work.kind() {
        call.service.statistics.count(kind, seen);
    }
    let Some(mut request) = answered else {
        up(&call.service.statistics.cancelled);
        work.end(call, false);
        return None;
    };
    let size = reply::write(&mut request, work.measure(code), |out| work.write(code, out));
    work.end(call, true);
    Some((request, size))
}
