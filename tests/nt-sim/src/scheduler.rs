//! How simulated threads run, and how they wait.
//!
//! Everything in the simulator that starts a thread, waits, or gives way does so through the
//! [`Scheduler`] of its machine. [`Native`] runs each simulated thread on a thread of the host. A test
//! may supply another one, for example over a model checker that decides after every step which
//! thread runs next; such a scheduler may run all simulated threads on one thread of the host, and
//! says so by [`Scheduler::slot`].

mod closed;
#[cfg(feature = "shuttle")]
mod controlled;

pub use closed::Closed;

#[cfg(feature = "shuttle")]
pub use controlled::Controlled;

use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// Where the context of the running simulated thread is found.
#[derive(Clone, Copy, Debug)]
pub enum Slot {
    /// Each simulated thread has a thread of the host to itself.
    OsThread,
    /// Several simulated threads take turns on one thread of the host; the function names the one
    /// that runs now, or none if the scheduler is not running.
    Task(fn() -> Option<u64>),
}

/// Where a thread is when its scheduler may run another one first.
///
/// No thread is at such a point while it holds a lock of the simulator itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// About to take a lock: a driver's, or one of the models of the registrar and the framework.
    Lock,
    /// Has released a lock of a driver.
    Unlock,
    /// About to set, clear, read or await an object that threads wait for.
    Event,
    /// About to enter the registrar, between two steps of it, or about to return from it.
    Registrar,
    /// About to enter a callback of a driver, or of a network module that is no driver's.
    Callback,
    /// Such a callback has come to its end, and has not told its caller yet.
    Return,
    /// About to enter a call of a network module's peer, or about to return from it. Seen with a probe only.
    Call,
    /// Asks for the number of its processor, as the guards of the safe layer do before they count a call.
    Guard,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Lock,
        Self::Unlock,
        Self::Event,
        Self::Registrar,
        Self::Callback,
        Self::Return,
        Self::Call,
        Self::Guard,
    ];
}

/// Runs simulated threads.
pub trait Scheduler: Send + Sync + 'static {
    /// Runs `body` on a new thread.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send + 'static>);

    /// Makes an event that is not set.
    fn event(&self) -> Box<dyn SchedulerEvent>;

    /// The calling thread cannot go on until another thread has run.
    fn yield_point(&self);

    /// A good moment to run another thread, although the calling one could go on. Asked of schedulers only that say
    /// [`Slot::Task`].
    ///
    /// Native threads are preempted anyway, so the default does nothing.
    fn preemption_point(&self, _at: Point) {}

    /// A scheduler that sees that every thread is blocked does this then.
    fn when_stuck(&self, _call: Arc<dyn Fn() + Send + Sync>) {}

    /// Says where the context of the running thread is found.
    fn slot(&self) -> Slot {
        Slot::OsThread
    }
}

impl fmt::Debug for dyn Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scheduler")
    }
}

/// A flag to wait for; it stays set until cleared and releases all who wait.
pub trait SchedulerEvent: Send + Sync {
    /// Sets the event and releases all who wait.
    fn set(&self);

    /// Clears the event.
    fn clear(&self);

    /// Tells whether the event is set now.
    fn is_set(&self) -> bool;

    /// Waits until the event is set.
    fn wait(&self);

    /// Waits until the event is set or the time is over; tells whether it is set.
    ///
    /// A scheduler without a clock may answer at any moment.
    fn wait_for(&self, timeout: Duration) -> bool;
}

impl fmt::Debug for dyn SchedulerEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SchedulerEvent({})", self.is_set())
    }
}

/// One thread of the host per simulated thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Scheduler for Native {
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send + 'static>) {
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .expect("the host can start a thread");
    }

    fn event(&self) -> Box<dyn SchedulerEvent> {
        Box::new(NativeEvent::default())
    }

    fn yield_point(&self) {
        thread::yield_now();
    }
}

#[derive(Debug, Default)]
struct NativeEvent {
    /// Set under the mutex, and read without it by those who only look.
    set: AtomicBool,
    /// Who waits, each once.
    waiting: Mutex<Vec<Thread>>,
}

impl NativeEvent {
    fn waiting(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the event is set; if not, the calling thread is among those who wait from now on.
    fn is_set_or_waits(&self) -> bool {
        let mut waiting = self.waiting();
        if self.is_set() {
            return true;
        }
        let current = thread::current();
        if waiting.iter().all(|thread| thread.id() != current.id()) {
            waiting.push(current);
        }
        false
    }
}

impl SchedulerEvent for NativeEvent {
    fn set(&self) {
        let mut waiting = self.waiting();
        self.set.store(true, Ordering::Release);
        let released = mem::take(&mut *waiting);
        drop(waiting);
        // Not under the mutex: who is woken takes it at once, and would wait again. The event may be gone from here on, as
        // a waiter may free it as soon as it has seen the flag.
        released.iter().for_each(Thread::unpark);
    }

    fn clear(&self) {
        self.set.store(false, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    fn wait(&self) {
        while !self.is_set_or_waits() {
            thread::park();
        }
    }

    fn wait_for(&self, timeout: Duration) -> bool {
        let Some(deadline) = Instant::now().checked_add(timeout) else {
            self.wait();
            return true;
        };
        while !self.is_set_or_waits() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                let current = thread::current().id();
                let mut waiting = self.waiting();
                waiting.retain(|thread| thread.id() != current);
                // With the mutex held: who sees it set may free it, and who set it has let go of it then.
                let set = self.is_set();
                drop(waiting);
                return set;
            };
            thread::park_timeout(left);
        }
        true
    }
}

/// Returns the scheduler that machines use unless told otherwise.
#[must_use]
pub fn native() -> Arc<dyn Scheduler> {
    Arc::new(Native)
}
