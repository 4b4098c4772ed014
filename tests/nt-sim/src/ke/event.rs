//! Events.

use crate::{
    _EVENT_TYPE::SynchronizationEvent, BOOLEAN, DISPATCHER_HEADER, EVENT_TYPE, KPRIORITY, LIST_ENTRY, LONG,
    Machine, PRKEVENT, platform, scheduler::Point, thread::irql, verifier,
};

use super::wait::{INITIALISED, NOTIFICATION_EVENT, SYNCHRONIZATION_EVENT, Waitable};

/// Makes an event. IRQL: any.
///
/// # Safety
///
/// `event` can be written, and nobody uses it yet.
pub unsafe fn KeInitializeEvent(event: PRKEVENT, kind: EVENT_TYPE, state: BOOLEAN) {
    let header = DISPATCHER_HEADER {
        Type: if kind == SynchronizationEvent {
            SYNCHRONIZATION_EVENT
        } else {
            NOTIFICATION_EVENT
        },
        Signalling: 0,
        Size: 6,
        Reserved1: INITIALISED,
        SignalState: LONG::from(state != 0),
        WaitListHead: LIST_ENTRY::default(),
    };
    // SAFETY: the caller vouches for the memory.
    unsafe { event.cast::<DISPATCHER_HEADER>().write(header) };
}

/// Sets an event; returns its state before. IRQL: `DISPATCH_LEVEL` at most; `APC_LEVEL` at most if `wait`.
///
/// # Safety
///
/// `event` points to an initialised event.
pub unsafe fn KeSetEvent(event: PRKEVENT, _increment: KPRIORITY, wait: BOOLEAN) -> LONG {
    const CALL: &str = "KeSetEvent";
    let limit = if wait == 0 { irql::DISPATCH } else { irql::APC };
    verifier::require_irql_at_most(CALL, limit);
    platform::preemption_point(Point::Event);
    // SAFETY: the caller vouches for the event.
    unsafe { Waitable::at(CALL, event.cast()) }.map_or(0, |event| event.signal(&Machine::current()))
}

/// Clears an event. IRQL: `DISPATCH_LEVEL` at most.
///
/// # Safety
///
/// `event` points to an initialised event.
pub unsafe fn KeClearEvent(event: PRKEVENT) {
    const CALL: &str = "KeClearEvent";
    verifier::require_irql_at_most(CALL, irql::DISPATCH);
    platform::preemption_point(Point::Event);
    // SAFETY: the caller vouches for the event.
    if let Some(event) = unsafe { Waitable::at(CALL, event.cast()) } {
        event.clear(&Machine::current());
    }
}

/// Clears an event; returns its state before. IRQL: `DISPATCH_LEVEL` at most.
///
/// # Safety
///
/// `event` points to an initialised event.
pub unsafe fn KeResetEvent(event: PRKEVENT) -> LONG {
    const CALL: &str = "KeResetEvent";
    verifier::require_irql_at_most(CALL, irql::DISPATCH);
    platform::preemption_point(Point::Event);
    // SAFETY: the caller vouches for the event.
    unsafe { Waitable::at(CALL, event.cast()) }.map_or(0, |event| event.clear(&Machine::current()))
}

/// Returns the state of an event: zero if it is not set. IRQL: `DISPATCH_LEVEL` at most.
///
/// # Safety
///
/// `event` points to an initialised event.
pub unsafe fn KeReadStateEvent(event: PRKEVENT) -> LONG {
    const CALL: &str = "KeReadStateEvent";
    verifier::require_irql_at_most(CALL, irql::DISPATCH);
    platform::preemption_point(Point::Event);
    // SAFETY: the caller vouches for the event.
    unsafe { Waitable::at(CALL, event.cast()) }.map_or(0, |event| event.state())
}
