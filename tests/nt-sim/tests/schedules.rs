//! The simulated kernel under a scheduler that decides about every step.

#[path = "support/schedules.rs"]
mod schedules;

use std::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nt_sim::{
    _EVENT_TYPE::SynchronizationEvent,
    _KWAIT_REASON::Executive,
    DriverName, KEVENT, KPROCESSOR_MODE, Machine, frames,
    ntddk::{
        ExAcquirePushLockExclusiveEx, ExReleasePushLockExclusiveEx, KeEnterCriticalRegion, KeInitializeEvent,
        KeLeaveCriticalRegion, KeSetEvent, KeWaitForSingleObject,
    },
    scheduler::Controlled,
};

/// Whose wait it is.
const KERNEL_MODE: KPROCESSOR_MODE = 0;

/// What the threads of a test share.
struct Shared {
    lock: AtomicU64,
    value: AtomicU64,
    event: Box<UnsafeCell<KEVENT>>,
}

// SAFETY: the event is accessed by kernel functions only, which access it atomically.
unsafe impl Sync for Shared {}

#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "the links of the event are pointers, but nobody follows them"
)]
// SAFETY: the links in the event are never used.
unsafe impl Send for Shared {}

impl Shared {
    fn new() -> Self {
        let event = Box::new(UnsafeCell::new(KEVENT::default()));
        // SAFETY: the event is ours and nobody uses it yet.
        unsafe { KeInitializeEvent(event.get(), SynchronizationEvent, 0) };
        Self {
            lock: AtomicU64::new(0),
            value: AtomicU64::new(0),
            event,
        }
    }

    fn event(&self) -> *mut KEVENT {
        self.event.get()
    }

    fn locked(&self, body: impl FnOnce()) {
        // SAFETY: left below.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: the lock lives as long as the threads.
        unsafe { ExAcquirePushLockExclusiveEx(self.lock.as_ptr(), 0) };
        body();
        // SAFETY: acquired above.
        unsafe { ExReleasePushLockExclusiveEx(self.lock.as_ptr(), 0) };
        // SAFETY: entered above.
        unsafe { KeLeaveCriticalRegion() };
    }

    /// Reads, lets others run, writes: right only under a lock.
    fn increment(&self) {
        let value = self.value.load(Ordering::Relaxed);
        shuttle::thread::yield_now();
        self.value.store(value + 1, Ordering::Relaxed);
    }
}

/// Lets three threads increment a value under every schedule that is tried.
fn increments_add_up(locked: bool) {
    let machine = Machine::builder()
        .scheduler(Controlled::new())
        .build()
        .expect("a machine in memory");
    let shared = Arc::new(Shared::new());
    for _ in 0..3 {
        let shared = Arc::clone(&shared);
        machine.spawn("worker", move || {
            frames::callback(&DriverName::new("test.sys"), "worker", || {
                if locked {
                    shared.locked(|| shared.increment());
                } else {
                    shared.increment();
                }
                // SAFETY: the event is initialised and outlives the threads.
                unsafe { KeSetEvent(shared.event(), 0, 0) };
            });
        });
    }
    let entered = machine.enter();
    // Set events are not counted, so the last one may stand for several.
    while shared.value.load(Ordering::Relaxed) < 3 {
        // SAFETY: as above.
        let status = unsafe {
            KeWaitForSingleObject(
                shared.event().cast(),
                Executive,
                KERNEL_MODE,
                0,
                core::ptr::null_mut(),
            )
        };
        assert_eq!(status, 0);
    }
    drop(entered);
    machine.shutdown().assert_clean();
}

#[test]
fn no_schedule_breaks_a_push_lock_or_loses_a_signal() {
    schedules::none_breaks(|| increments_add_up(true));
}

#[test]
fn some_schedule_breaks_code_that_forgot_the_lock() {
    schedules::some_breaks(|| increments_add_up(false));
}
