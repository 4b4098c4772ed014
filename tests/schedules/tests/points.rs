//! What the checker decides about: every kind of step of both drivers, and with each kind it finds what would be hidden
//! without.

use std::{
    fmt, ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use nt_sim::{
    DriverName, Machine, frames,
    ntddk::{KeAcquireSpinLockRaiseToDpc, KeGetCurrentProcessorNumberEx, KeReleaseSpinLock},
    scheduler::{Controlled, Point, Scheduler, SchedulerEvent, Slot},
};
use schedules::{Failure, Seeds, Subject, Witness, drivers, run};

#[test]
fn the_checker_is_asked_at_every_kind_of_step_of_both_drivers() {
    let subject = drivers::SUBJECTS
        .iter()
        .find(|subject| subject.name == "programs-while-stopping")
        .expect("a subject of that name");
    let witness = Arc::new(Witness::default());
    for seed in Seeds::new(0).take(4) {
        run(subject, seed, &witness).expect("the schedule passes");
    }
    let decided = witness.decided();
    println!("{decided:#?}");
    for point in Point::ALL {
        let times = decided.get(&Some(point)).copied().unwrap_or(0);
        assert!(times > 0, "no decision at {point:?}: {decided:#?}");
    }
}

/// A scheduler that is not asked at one kind of step.
struct Without {
    controlled: Arc<dyn Scheduler>,
    point: Option<Point>,
}

impl fmt::Debug for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Without").field(&self.point).finish()
    }
}

impl Scheduler for Without {
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send + 'static>) {
        self.controlled.spawn(name, body);
    }

    fn event(&self) -> Box<dyn SchedulerEvent> {
        self.controlled.event()
    }

    fn yield_point(&self) {
        self.controlled.yield_point();
    }

    fn preemption_point(&self, at: Point) {
        if Some(at) != self.point {
            self.controlled.preemption_point(at);
        }
    }

    fn slot(&self) -> Slot {
        self.controlled.slot()
    }
}

/// What a binding of the broken drivers below is.
#[derive(Default)]
struct Binding {
    detached: AtomicBool,
    /// Calls in flight, by processor.
    calls: [AtomicUsize; 4],
    lock: AtomicU64,
    /// Its context has been freed.
    freed: AtomicBool,
}

impl Binding {
    fn read_context(&self) {
        assert!(!self.freed.load(SeqCst), "the context was read after its cleanup");
    }

    /// What detach and cleanup do if no call is in flight.
    fn detach(&self) {
        self.detached.store(true, SeqCst);
        if self.calls.iter().all(|calls| calls.load(SeqCst) == 0) {
            self.freed.store(true, SeqCst);
        }
    }

    fn locked(&self, body: impl FnOnce()) {
        // SAFETY: the lock lives as long as the threads.
        let before = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.as_ptr()) };
        body();
        // SAFETY: acquired above.
        unsafe { KeReleaseSpinLock(self.lock.as_ptr(), before) };
    }
}

/// Runs a call of a broken driver beside a detach.
fn call_beside_detach(without: Option<Point>, call: fn(&Binding), detach: fn(&Binding)) {
    let controlled = Controlled::new();
    let machine = Machine::builder()
        .scheduler(Arc::new(Without {
            controlled,
            point: without,
        }))
        .build()
        .expect("a machine in memory");
    let binding = Arc::new(Binding::default());
    let driver = || DriverName::new("broken.sys");
    let caller = {
        let (machine, binding) = (machine.clone(), Arc::clone(&binding));
        shuttle::thread::spawn(move || {
            let _entered = machine.enter();
            frames::callback(&driver(), "system thread", || call(&binding));
        })
    };
    {
        let _entered = machine.enter();
        frames::callback(&driver(), "ClientDetachProvider", || detach(&binding));
    }
    caller.join().expect("called");
    machine.shutdown().assert_clean();
}

/// Looks whether the binding is attached, and counts the call only then, without looking again.
fn call_without_a_second_look(binding: &Binding) {
    if binding.detached.load(SeqCst) {
        return;
    }
    // SAFETY: the argument may be null.
    let processor = unsafe { KeGetCurrentProcessorNumberEx(ptr::null_mut()) };
    let calls = &binding.calls[processor as usize % binding.calls.len()];
    calls.fetch_add(1, SeqCst);
    binding.read_context();
    calls.fetch_sub(1, SeqCst);
}

/// Counts and looks under a lock, as it should, and reads the context when it has let go of both.
fn read_when_the_call_is_over(binding: &Binding) {
    let mut attached = false;
    binding.locked(|| attached = !binding.detached.load(SeqCst));
    if attached {
        binding.read_context();
    }
}

const fn subject(name: &'static str, body: fn(&Arc<Witness>)) -> Subject {
    Subject {
        name,
        body,
        reaches: &[],
    }
}

const SEEDS: usize = 300;

/// The first of some seeds under which a subject fails.
fn first_failure(subject: &Subject) -> Option<Failure> {
    let witness = Arc::default();
    Seeds::new(0)
        .take(SEEDS)
        .find_map(|seed| run(subject, seed, &witness).err())
}

/// The subject fails, under this seed for one; without steps of that kind it never does.
fn is_found_at_that_point_only(found: &Subject, hidden: &Subject, seed: &str) {
    let failure = first_failure(found).expect("some schedule shows it");
    println!("{failure}");
    let fixed = run(found, seed.parse().expect("a seed"), &Arc::default());
    let failure = fixed.expect_err("the seed shows it");
    assert!(
        failure.message.contains("the context was read after its cleanup"),
        "{failure}"
    );
    assert_eq!(first_failure(hidden), None, "it is seen without that point too");
}

#[test]
fn a_guard_that_does_not_look_again_is_found_at_the_guard() {
    const FOUND: Subject = subject("guard-without-a-second-look", |_| {
        call_beside_detach(None, call_without_a_second_look, Binding::detach);
    });
    const HIDDEN: Subject = subject("guard-without-a-second-look-hidden", |_| {
        call_beside_detach(Some(Point::Guard), call_without_a_second_look, Binding::detach);
    });
    is_found_at_that_point_only(&FOUND, &HIDDEN, "random:6");
}

#[test]
fn a_context_that_is_read_after_the_guard_is_found_at_the_release() {
    const FOUND: Subject = subject("read-after-the-guard", |_| {
        call_beside_detach(None, read_when_the_call_is_over, |binding| {
            binding.locked(|| binding.detach());
        });
    });
    const HIDDEN: Subject = subject("read-after-the-guard-hidden", |_| {
        call_beside_detach(Some(Point::Unlock), read_when_the_call_is_over, |binding| {
            binding.locked(|| binding.detach());
        });
    });
    is_found_at_that_point_only(&FOUND, &HIDDEN, "pct3:64:1");
}
