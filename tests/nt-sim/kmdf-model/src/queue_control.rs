//! Queues: their state, stopping, purging, and what happens to waiting requests when a file goes.

use alloc::{sync::Arc, vec::Vec};

use sim_platform::{
    Event, Platform,
    nt::{PULONG, STATUS_CANCELLED, ULONG},
};

use crate::{
    Host,
    call::{Call, write_out},
    handle::Handle,
    queue::{Waiter, pump, tell_waiters},
    request::{self, Ownership},
    state::Kept,
    types::{_WDF_IO_QUEUE_STATE, PFN_WDF_IO_QUEUE_STATE, WDF_IO_QUEUE_STATE, WDFCONTEXT, WDFQUEUE},
};

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfIoQueueGetState<H: Host>(
    call: &Call<'_, H>,
    queue: WDFQUEUE,
    queued: PULONG,
    presented: PULONG,
) -> WDF_IO_QUEUE_STATE {
    let Some((accepting, dispatching, waiting, owned)) = call.checked(|state| {
        let (_, queue) = state.queue(queue)?;
        Ok((
            queue.accepting,
            queue.dispatching,
            queue.waiting.len(),
            queue.presented,
        ))
    }) else {
        return 0;
    };
    // SAFETY: the caller's promise.
    unsafe { write_out(queued, ULONG::try_from(waiting).unwrap_or(ULONG::MAX)) };
    // SAFETY: the caller's promise.
    unsafe { write_out(presented, ULONG::try_from(owned).unwrap_or(ULONG::MAX)) };
    let flag = |set, flag| if set { flag } else { 0 };
    flag(accepting, _WDF_IO_QUEUE_STATE::WdfIoQueueAcceptRequests)
        | flag(dispatching, _WDF_IO_QUEUE_STATE::WdfIoQueueDispatchRequests)
        | flag(waiting == 0, _WDF_IO_QUEUE_STATE::WdfIoQueueNoRequests)
        | flag(owned == 0, _WDF_IO_QUEUE_STATE::WdfIoQueueDriverNoRequests)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfIoQueueStart<H: Host>(call: &Call<'_, H>, queue: WDFQUEUE) {
    let started = call.checked(|state| {
        let (handle, queue) = state.queue(queue)?;
        queue.accepting = true;
        queue.dispatching = true;
        Ok(handle)
    });
    if let Some(handle) = started {
        pump(call, handle);
    }
}

/// Makes a waiter for the thread that calls.
fn own_waiter<H: Host>() -> (Arc<<H::Platform as Platform>::Event>, Waiter<H>) {
    let event = Arc::new(<<H::Platform as Platform>::Event as Event>::new());
    (Arc::clone(&event), Waiter::Thread(event))
}

fn stop<H: Host>(call: &Call<'_, H>, queue: WDFQUEUE, waiter: Option<Waiter<H>>) -> bool {
    let stopped = call.checked(|state| {
        let (handle, queue) = state.queue(queue)?;
        queue.dispatching = false;
        queue.waiters.extend(waiter);
        Ok(handle)
    });
    if let Some(handle) = stopped {
        tell_waiters(call, handle);
    }
    stopped.is_some()
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfIoQueueStop<H: Host>(
    call: &Call<'_, H>,
    queue: WDFQUEUE,
    complete: PFN_WDF_IO_QUEUE_STATE,
    context: WDFCONTEXT,
) {
    stop(
        call,
        queue,
        complete.map(|complete| Waiter::Callback(complete, Kept(context))),
    );
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfIoQueueStopSynchronously<H: Host>(call: &Call<'_, H>, queue: WDFQUEUE) {
    let (event, waiter) = own_waiter();
    if stop(call, queue, Some(waiter)) {
        event.wait();
    }
}

fn purge<H: Host>(call: &Call<'_, H>, queue: WDFQUEUE, waiter: Option<Waiter<H>>) -> bool {
    let purged = call.checked(|state| {
        let (handle, queue) = state.queue(queue)?;
        queue.accepting = false;
        queue.waiters.extend(waiter);
        // Those that wait, and those that the driver has made cancelable.
        let ours = state
            .requests()
            .filter(|(_, request)| request.queue == Some(handle));
        let mut ours: Vec<_> = ours.map(|(handle, request)| (request.irp, handle)).collect();
        ours.sort_unstable_by_key(|(irp, _)| *irp);
        Ok((handle, ours))
    });
    let Some((handle, requests)) = purged else {
        return false;
    };
    for (_, request) in requests {
        request::cancel(call, request);
    }
    tell_waiters(call, handle);
    true
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfIoQueuePurge<H: Host>(
    call: &Call<'_, H>,
    queue: WDFQUEUE,
    complete: PFN_WDF_IO_QUEUE_STATE,
    context: WDFCONTEXT,
) {
    purge(
        call,
        queue,
        complete.map(|complete| Waiter::Callback(complete, Kept(context))),
    );
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfIoQueuePurgeSynchronously<H: Host>(call: &Call<'_, H>, queue: WDFQUEUE) {
    let (event, waiter) = own_waiter();
    if purge(call, queue, Some(waiter)) {
        event.wait();
    }
}

/// Completes the requests of a file that its device's queues have not presented.
pub fn flush_file<H: Host>(call: &Call<'_, H>, device: Handle, file: Handle) {
    let done = call.with(|state| {
        let queues = state.find_device(device).map(|device| device.queues.clone())?;
        let waiting: Vec<_> = queues
            .into_iter()
            .filter_map(|queue| state.find_queue(queue).map(|queue| queue.waiting.clone()))
            .flatten()
            .collect();
        Some(waiting)
    });
    for handle in done.into_iter().flatten() {
        let done = call.with(|state| {
            let request = state.find_request(handle)?;
            if request.file != Some(file) || !matches!(request.ownership, Ownership::Queued) {
                return None;
            }
            let queue = request.queue;
            if let Some(queue) = queue.and_then(|queue| state.find_queue(queue)) {
                queue.waiting.retain(|waiting| *waiting != handle);
            }
            state.complete_request(handle)
        });
        if let Some(done) = done {
            request::finish(call, done, STATUS_CANCELLED, 0);
        }
    }
}
