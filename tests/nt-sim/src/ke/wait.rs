//! Waiting for objects.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::Duration,
};

use crate::{
    BOOLEAN, DISPATCHER_HEADER, KPROCESSOR_MODE, KWAIT_REASON, LONG, Machine, NTSTATUS, PLARGE_INTEGER,
    PVOID, STATUS_SUCCESS, STATUS_TIMEOUT, platform,
    scheduler::{Point, SchedulerEvent},
    sync::StateLock,
    thread::irql,
    verifier::{self, Rule},
};

use super::time::system_time;

/// `Type` of a notification event, as `KeInitializeEvent` writes it.
pub(super) const NOTIFICATION_EVENT: u8 = 0;
/// `Type` of a synchronization event.
pub(super) const SYNCHRONIZATION_EVENT: u8 = 1;
/// `Type` of a thread object.
const THREAD_OBJECT: u8 = 6;
/// In `Reserved1`: tells an object that was initialised from memory that was not.
pub(super) const INITIALISED: u8 = 0xE7;

/// One thread that waits.
#[derive(Debug)]
struct Waiter {
    event: Box<dyn SchedulerEvent>,
    satisfied: AtomicBool,
}

/// Who waits, by address: dispatcher objects, and locks on which threads park.
const SHARDS: usize = 16;

type Table = HashMap<usize, Vec<Arc<Waiter>>>;

/// The waiting threads of a machine.
#[derive(Debug, Default)]
pub(crate) struct State {
    shards: [StateLock<Table>; SHARDS],
}

impl State {
    fn with<R>(&self, address: usize, with: impl FnOnce(&mut Table) -> R) -> R {
        // Objects are at least eight bytes apart.
        let shard = (address >> 3) ^ (address >> 9);
        self.shards[shard % SHARDS].with(with)
    }
}

/// Where threads park that cannot get something kept at an address, such as a push lock.
#[derive(Debug)]
pub(crate) struct Parking<'m>(&'m Machine);

impl<'m> Parking<'m> {
    pub(crate) const fn of(machine: &'m Machine) -> Self {
        Self(machine)
    }

    /// Parks the calling thread, unless `retry` says under the table's lock that trying again is of
    /// use.
    pub(crate) fn park(&self, address: usize, retry: impl FnOnce() -> bool) {
        let waiter = self.0.ke_state().with(address, |table| {
            if retry() {
                return None;
            }
            let waiter = new_waiter(self.0);
            table.entry(address).or_default().push(Arc::clone(&waiter));
            Some(waiter)
        });
        if let Some(waiter) = waiter {
            waiter.event.wait();
        }
    }

    /// Lets everyone who parked at an address try again.
    ///
    /// If anyone did, `change` is made under the table's lock; if not, the memory at the address may be
    /// gone already, and nothing touches it.
    pub(crate) fn unpark_all(&self, address: usize, change: impl FnOnce()) {
        let waiters = self.0.ke_state().with(address, |table| {
            let waiters = table.remove(&address);
            if waiters.is_some() {
                change();
            }
            waiters
        });
        release(waiters.unwrap_or_default());
    }
}

fn new_waiter(machine: &Machine) -> Arc<Waiter> {
    Arc::new(Waiter {
        event: machine.scheduler().event(),
        satisfied: AtomicBool::new(false),
    })
}

fn release(waiters: Vec<Arc<Waiter>>) {
    for waiter in waiters {
        waiter.event.set();
    }
}

/// An object that can be waited for, in the driver's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waitable<'a> {
    address: usize,
    kind: u8,
    signal: &'a AtomicI32,
}

impl Waitable<'_> {
    /// Looks at an object, and reports one that was never initialised.
    ///
    /// # Safety
    ///
    /// `object` points to an object that can be waited for and stays for `'a`.
    pub(super) unsafe fn at(call: &'static str, object: PVOID) -> Option<Self> {
        let header: *mut DISPATCHER_HEADER = object.cast();
        // SAFETY: the caller vouches for the object; this member is written only when it is
        // initialised.
        let kind = unsafe { (*header).Type };
        // SAFETY: as above.
        let mark = unsafe { (*header).Reserved1 };
        if mark != INITIALISED {
            verifier::report(
                Rule::BadObject,
                Some(call),
                format!("{call} was called with {object:p}, which is no initialised object"),
                "call KeInitializeEvent once before anyone uses the event, and keep its memory as \
                 long as anyone may",
            );
            return None;
        }
        // SAFETY: as above.
        let signal = unsafe { &raw mut (*header).SignalState };
        // SAFETY: from initialisation on, the member is only accessed as an atomic.
        let signal = unsafe { AtomicI32::from_ptr(signal) };
        Some(Self {
            address: object.addr(),
            kind,
            signal,
        })
    }

    pub(super) fn state(&self) -> LONG {
        self.signal.load(Ordering::Acquire)
    }

    pub(super) fn clear(&self, machine: &Machine) -> LONG {
        machine
            .ke_state()
            .with(self.address, |_| self.signal.swap(0, Ordering::AcqRel))
    }

    /// Signals the object and releases whom that concerns; returns the state before.
    pub(super) fn signal(&self, machine: &Machine) -> LONG {
        let (before, released) = machine.ke_state().with(self.address, |table| {
            let before = self.signal.swap(1, Ordering::AcqRel);
            let waiting = table.get_mut(&self.address);
            let released = match waiting {
                None => Vec::new(),
                Some(waiting) if self.kind == SYNCHRONIZATION_EVENT => {
                    // One thread is let through, and the event is clear again.
                    self.signal.store(0, Ordering::Release);
                    let first = waiting.remove(0);
                    if waiting.is_empty() {
                        table.remove(&self.address);
                    }
                    vec![first]
                }
                Some(_) => table.remove(&self.address).unwrap_or_default(),
            };
            for waiter in &released {
                waiter.satisfied.store(true, Ordering::Release);
            }
            (before, released)
        });
        release(released);
        before
    }

    /// Waits until the object is signalled, or for `timeout`; tells whether it was.
    fn wait(&self, machine: &Machine, timeout: Option<Duration>) -> bool {
        let waiter = machine.ke_state().with(self.address, |table| {
            if self.signal.load(Ordering::Acquire) > 0 {
                if self.kind == SYNCHRONIZATION_EVENT {
                    self.signal.store(0, Ordering::Release);
                }
                return Ok(());
            }
            let waiter = new_waiter(machine);
            if timeout != Some(Duration::ZERO) {
                table.entry(self.address).or_default().push(Arc::clone(&waiter));
            }
            Err(waiter)
        });
        let Err(waiter) = waiter else { return true };
        match timeout {
            None => {
                waiter.event.wait();
                true
            }
            Some(Duration::ZERO) => false,
            Some(timeout) => {
                if waiter.event.wait_for(timeout) {
                    return true;
                }
                machine.ke_state().with(self.address, |table| {
                    // It may have been signalled between the end of the wait and this moment.
                    if waiter.satisfied.load(Ordering::Acquire) {
                        return true;
                    }
                    if let Some(waiting) = table.get_mut(&self.address) {
                        waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
                        if waiting.is_empty() {
                            table.remove(&self.address);
                        }
                    }
                    false
                })
            }
        }
    }
}

/// Makes the header of a thread object that has not ended.
pub(crate) fn new_thread_header() -> DISPATCHER_HEADER {
    DISPATCHER_HEADER {
        Type: THREAD_OBJECT,
        Reserved1: INITIALISED,
        ..DISPATCHER_HEADER::default()
    }
}

/// Signals an object that stays signalled, such as a thread that has ended.
///
/// # Safety
///
/// `object` points to an object that can be waited for.
pub(crate) unsafe fn signal_for_ever(machine: &Machine, object: PVOID) {
    // SAFETY: the caller vouches for the object.
    if let Some(object) = unsafe { Waitable::at("the end of a thread", object) } {
        object.signal(machine);
    }
}

/// Reads a time-out: `None` waits for ever; negative times are relative, others absolute, in units of
/// 100 nanoseconds.
///
/// # Safety
///
/// `timeout` is null or can be read.
unsafe fn read_timeout(timeout: PLARGE_INTEGER) -> Option<Duration> {
    if timeout.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for the pointer.
    let time = unsafe { *timeout };
    // SAFETY: every bit pattern is a valid i64.
    let time = unsafe { time.QuadPart };
    let units = if time <= 0 {
        time.unsigned_abs()
    } else {
        time.unsigned_abs().saturating_sub(system_time().unsigned_abs())
    };
    Some(Duration::from_nanos(units.saturating_mul(100)))
}

/// Waits until an event is set, or a thread has ended. IRQL: `APC_LEVEL` at most; `DISPATCH_LEVEL` at most
/// if the time-out is zero.
///
/// # Safety
///
/// `object` points to an initialised object that lives until the wait is over; `timeout` is null or
/// can be read.
pub unsafe fn KeWaitForSingleObject(
    object: PVOID,
    _wait_reason: KWAIT_REASON,
    _wait_mode: KPROCESSOR_MODE,
    _alertable: BOOLEAN,
    timeout: PLARGE_INTEGER,
) -> NTSTATUS {
    const CALL: &str = "KeWaitForSingleObject";
    // SAFETY: the caller vouches for the pointer.
    let timeout = unsafe { read_timeout(timeout) };
    let limit = if timeout == Some(Duration::ZERO) {
        irql::DISPATCH
    } else {
        irql::APC
    };
    verifier::require_irql_at_most(CALL, limit);
    platform::preemption_point(Point::Event);
    // SAFETY: the caller vouches for the object.
    let Some(object) = (unsafe { Waitable::at(CALL, object) }) else {
        return STATUS_SUCCESS;
    };
    if object.wait(&Machine::current(), timeout) {
        STATUS_SUCCESS
    } else {
        STATUS_TIMEOUT
    }
}

/// Waits for a time. IRQL: `APC_LEVEL` at most.
///
/// # Safety
///
/// `interval` can be read.
pub unsafe fn KeDelayExecutionThread(
    _wait_mode: KPROCESSOR_MODE,
    _alertable: BOOLEAN,
    interval: PLARGE_INTEGER,
) -> NTSTATUS {
    verifier::require_irql_at_most("KeDelayExecutionThread", irql::APC);
    let machine = Machine::current();
    // SAFETY: the caller vouches for the pointer.
    match unsafe { read_timeout(interval) } {
        None | Some(Duration::ZERO) => machine.scheduler().yield_point(),
        Some(time) => {
            machine.scheduler().event().wait_for(time);
        }
    }
    STATUS_SUCCESS
}
