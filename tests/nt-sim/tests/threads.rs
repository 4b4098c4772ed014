//! System threads, events and locks between them, and machines side by side.

use std::{
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering},
    thread::sleep,
    time::Duration,
};

use nt_sim::{
    _EVENT_TYPE::{NotificationEvent, SynchronizationEvent},
    _KWAIT_REASON::Executive,
    DriverName, EVENT_TYPE, HANDLE, KEVENT, KPROCESSOR_MODE, LARGE_INTEGER, Machine, NTSTATUS, PVOID, Rule,
    STATUS_SUCCESS, STATUS_TIMEOUT, THREAD_ALL_ACCESS, frames,
    ntddk::{
        ExAcquirePushLockExclusiveEx, ExAcquirePushLockSharedEx, ExReleasePushLockExclusiveEx,
        ExReleasePushLockSharedEx, KeAcquireSpinLockRaiseToDpc, KeEnterCriticalRegion, KeInitializeEvent,
        KeLeaveCriticalRegion, KeReadStateEvent, KeReleaseSpinLock, KeSetEvent, KeWaitForSingleObject,
        ObReferenceObjectByHandle, ObfDereferenceObject, PsCreateSystemThread,
    },
    ob, thread,
    trace::Kind,
};

/// Whose wait it is.
const KERNEL_MODE: KPROCESSOR_MODE = 0;

fn driver() -> DriverName {
    DriverName::new("test.sys")
}

/// Runs `body` as a callback of the test driver on `machine`.
fn run<R>(machine: &Machine, body: impl FnOnce() -> R) -> R {
    let entered = machine.enter();
    let result = frames::callback(&driver(), "DriverEntry", body);
    drop(entered);
    result
}

fn new_machine() -> Machine {
    Machine::builder().build().expect("a machine in memory")
}

#[expect(
    clippy::unnecessary_box_returns,
    reason = "an event must not move once it is initialised"
)]
fn new_event(kind: EVENT_TYPE) -> Box<KEVENT> {
    let mut event = Box::new(KEVENT::default());
    // SAFETY: the event is ours and nobody uses it yet.
    unsafe { KeInitializeEvent(&raw mut *event, kind, 0) };
    event
}

fn wait(object: PVOID, milliseconds: Option<i64>) -> NTSTATUS {
    let mut timeout = LARGE_INTEGER {
        QuadPart: -10_000 * milliseconds.unwrap_or_default(),
    };
    let timeout = match milliseconds {
        Some(_) => &raw mut timeout,
        None => core::ptr::null_mut(),
    };
    // SAFETY: the tests pass initialised objects.
    unsafe { KeWaitForSingleObject(object, Executive, KERNEL_MODE, 0, timeout) }
}

/// A thread of the test driver; `join` waits for its object.
struct Thread {
    object: PVOID,
}

impl Thread {
    fn start<C: Sync>(routine: unsafe extern "C" fn(PVOID), context: &C) -> Self {
        let mut handle: HANDLE = core::ptr::null_mut();
        // SAFETY: each test joins its threads before the context goes.
        let status = unsafe {
            PsCreateSystemThread(
                &raw mut handle,
                THREAD_ALL_ACCESS,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                Some(routine),
                core::ptr::from_ref(context).cast_mut().cast(),
            )
        };
        assert_eq!(status, STATUS_SUCCESS);
        let mut object = core::ptr::null_mut();
        // SAFETY: the out parameter is ours.
        let status = unsafe {
            ObReferenceObjectByHandle(
                handle,
                THREAD_ALL_ACCESS,
                core::ptr::null_mut(),
                KERNEL_MODE,
                &raw mut object,
                core::ptr::null_mut(),
            )
        };
        assert_eq!(status, STATUS_SUCCESS);
        assert!(ob::close(&Machine::current(), handle).is_some());
        Self { object }
    }

    fn join(self) {
        assert_eq!(wait(self.object, None), STATUS_SUCCESS);
        // SAFETY: referenced by `start`.
        unsafe { ObfDereferenceObject(self.object) };
    }
}

#[test]
fn a_thread_inherits_machine_and_driver_and_can_be_waited_for() {
    #[derive(Default)]
    struct Seen {
        machine: AtomicU64,
        right_driver: AtomicBool,
    }
    unsafe extern "C" fn routine(context: PVOID) {
        // SAFETY: the test passes this type.
        let seen = unsafe { &*context.cast::<Seen>() };
        let marks = Machine::current()
            .trace()
            .events()
            .iter()
            .filter(|event| matches!(&event.kind, Kind::Service { what } if what == "mark"))
            .count();
        seen.machine.store(marks as u64, Ordering::Relaxed);
        let right = thread::current_driver() == Some(driver());
        seen.right_driver.store(right, Ordering::Relaxed);
    }
    let (one, two) = (new_machine(), new_machine());
    for (machine, marks) in [(&one, 1), (&two, 2)] {
        for _ in 0..marks {
            machine.trace().record(|| Kind::Service {
                what: "mark".to_owned(),
            });
        }
    }
    for (machine, marks) in [(&one, 1), (&two, 2)] {
        let seen = Seen::default();
        run(machine, || Thread::start(routine, &seen).join());
        assert_eq!(seen.machine.load(Ordering::Relaxed), marks);
        assert!(seen.right_driver.load(Ordering::Relaxed));
    }
    one.shutdown().assert_clean();
    two.shutdown().assert_clean();
}

#[test]
fn findings_and_pool_of_two_machines_are_kept_apart() {
    let (one, two) = (new_machine(), new_machine());
    run(&one, || {
        run(&two, || {
            // SAFETY: allocating has no conditions.
            let block = unsafe { nt_sim::ntddk::ExAllocatePool2(0x40, 8, 7) };
            assert!(!block.is_null());
        });
        assert!(Machine::current().is(&one), "the guard leads back");
    });
    assert_eq!(one.pool_usage().blocks, 0);
    assert_eq!(two.pool_usage().blocks, 1);
    let entered = two.enter();
    two.check_unloaded(&driver());
    drop(entered);
    one.shutdown().assert_clean();
    assert_eq!(two.shutdown().findings[0].rule, Rule::PoolLeak);
}

#[test]
fn a_thread_that_runs_on_is_reported_at_unload() {
    unsafe extern "C" fn routine(event: PVOID) {
        assert_eq!(wait(event, None), STATUS_SUCCESS);
    }
    let machine = new_machine();
    let mut event = new_event(NotificationEvent);
    let event = &raw mut *event;
    let thread = run(&machine, || {
        // SAFETY: the event outlives the thread, which is joined below.
        Thread::start(routine, unsafe { &*event.cast::<[u8; 24]>() })
    });
    let entered = machine.enter();
    machine.check_unloaded(&driver());
    drop(entered);
    let findings = machine.report();
    assert_eq!(findings[0].rule, Rule::ThreadAtUnload);
    let site = findings[0].site.as_ref().expect("a call site").lines();
    assert!(
        site.iter()
            .any(|line| line.contains("Thread") && line.contains("start")),
        "{site:?}"
    );
    run(&machine, || {
        // SAFETY: the event is initialised.
        unsafe { KeSetEvent(event, 0, 0) };
        thread.join();
    });
}

/// Several threads wait for one event, and say when they got through.
struct Gate {
    event: AtomicPtr<KEVENT>,
    through: AtomicU32,
}

impl Gate {
    const fn new(event: *mut KEVENT) -> Self {
        Self {
            event: AtomicPtr::new(event),
            through: AtomicU32::new(0),
        }
    }

    unsafe extern "C" fn pass(gate: PVOID) {
        // SAFETY: the tests pass this type.
        let gate = unsafe { &*gate.cast::<Self>() };
        let event = gate.event.load(Ordering::Relaxed);
        assert_eq!(wait(event.cast(), None), STATUS_SUCCESS);
        gate.through.fetch_add(1, Ordering::Relaxed);
    }

    fn through(&self) -> u32 {
        sleep(Duration::from_millis(30));
        self.through.load(Ordering::Relaxed)
    }
}

#[test]
fn a_notification_event_releases_all_and_stays_set() {
    let machine = new_machine();
    let mut event = new_event(NotificationEvent);
    let gate = Gate::new(&raw mut *event);
    run(&machine, || {
        let threads = [(); 3].map(|()| Thread::start(Gate::pass, &gate));
        assert_eq!(gate.through(), 0);
        // SAFETY: the event is initialised.
        let before = unsafe { KeSetEvent(&raw mut *event, 0, 0) };
        assert_eq!(before, 0);
        for thread in threads {
            thread.join();
        }
        assert_eq!(wait((&raw mut *event).cast(), None), STATUS_SUCCESS);
        // SAFETY: as above.
        assert_ne!(unsafe { KeReadStateEvent(&raw mut *event) }, 0);
    });
    machine.shutdown().assert_clean();
}

#[test]
fn a_synchronization_event_releases_one_at_a_time() {
    let machine = new_machine();
    let mut event = new_event(SynchronizationEvent);
    let event = &raw mut *event;
    let gate = Gate::new(event);
    run(&machine, || {
        let threads = [(); 3].map(|()| Thread::start(Gate::pass, &gate));
        for released in 0..3 {
            assert_eq!(gate.through(), released);
            // SAFETY: the event is initialised.
            unsafe { KeSetEvent(event, 0, 0) };
        }
        for thread in threads {
            thread.join();
        }
        // SAFETY: as above.
        assert_eq!(unsafe { KeReadStateEvent(event) }, 0);
    });
    machine.shutdown().assert_clean();
}

#[test]
fn a_wait_that_times_out_leaves_the_next_signal_to_others() {
    let machine = new_machine();
    let mut event = new_event(SynchronizationEvent);
    let event = &raw mut *event;
    run(&machine, || {
        assert_eq!(wait(event.cast(), Some(20)), STATUS_TIMEOUT);
        // SAFETY: the event is initialised.
        unsafe { KeSetEvent(event, 0, 0) };
        assert_eq!(wait(event.cast(), Some(20)), STATUS_SUCCESS);
        assert_eq!(wait(event.cast(), Some(0)), STATUS_TIMEOUT);
    });
    machine.shutdown().assert_clean();
}

/// A counter that is wrong unless the locks around it work.
#[derive(Default)]
struct Counter {
    lock: AtomicU64,
    value: AtomicU64,
    readers: AtomicU32,
}

const ROUNDS: u64 = 2000;

impl Counter {
    /// Not atomic as a whole, on purpose.
    fn increment(&self) {
        let value = self.value.load(Ordering::Relaxed);
        std::hint::spin_loop();
        self.value.store(value + 1, Ordering::Relaxed);
    }

    unsafe extern "C" fn with_spin_lock(counter: PVOID) {
        // SAFETY: the tests pass this type.
        let counter = unsafe { &*counter.cast::<Self>() };
        for _ in 0..ROUNDS {
            // SAFETY: the lock lives as long as the threads.
            let before = unsafe { KeAcquireSpinLockRaiseToDpc(counter.lock.as_ptr()) };
            counter.increment();
            // SAFETY: acquired above.
            unsafe { KeReleaseSpinLock(counter.lock.as_ptr(), before) };
        }
    }

    unsafe extern "C" fn with_push_lock(counter: PVOID) {
        // SAFETY: the tests pass this type.
        let counter = unsafe { &*counter.cast::<Self>() };
        for round in 0..ROUNDS {
            // SAFETY: left below.
            unsafe { KeEnterCriticalRegion() };
            if round % 4 == 0 {
                // SAFETY: the lock lives as long as the threads.
                unsafe { ExAcquirePushLockSharedEx(counter.lock.as_ptr(), 0) };
                counter.readers.fetch_add(1, Ordering::Relaxed);
                let seen = counter.value.load(Ordering::Relaxed);
                std::thread::yield_now();
                assert_eq!(seen, counter.value.load(Ordering::Relaxed));
                counter.readers.fetch_sub(1, Ordering::Relaxed);
                // SAFETY: acquired above.
                unsafe { ExReleasePushLockSharedEx(counter.lock.as_ptr(), 0) };
            } else {
                // SAFETY: as above.
                unsafe { ExAcquirePushLockExclusiveEx(counter.lock.as_ptr(), 0) };
                assert_eq!(counter.readers.load(Ordering::Relaxed), 0);
                counter.increment();
                // SAFETY: acquired above.
                unsafe { ExReleasePushLockExclusiveEx(counter.lock.as_ptr(), 0) };
            }
            // SAFETY: entered above.
            unsafe { KeLeaveCriticalRegion() };
        }
    }
}

#[test]
fn spin_locks_and_push_locks_exclude() {
    let machine = new_machine();
    for (routine, per_thread) in [
        (Counter::with_spin_lock as unsafe extern "C" fn(PVOID), ROUNDS),
        (Counter::with_push_lock, ROUNDS * 3 / 4),
    ] {
        let counter = Counter::default();
        run(&machine, || {
            let threads = [(); 4].map(|()| Thread::start(routine, &counter));
            for thread in threads {
                thread.join();
            }
        });
        assert_eq!(counter.value.load(Ordering::Relaxed), 4 * per_thread);
        assert_eq!(counter.lock.load(Ordering::Relaxed), 0);
    }
    machine.shutdown().assert_clean();
}
