//! Machines under the shuttle checker, which decides after every step which thread runs next.
//!
//! All simulated threads are tasks on one thread of the host, and a machine lives for one execution:
//!
//! ```
//! use nt_sim::{Machine, scheduler::Controlled};
//!
//! shuttle::check_random(
//!     || {
//!         let machine = Machine::builder().scheduler(Controlled::new()).build().unwrap();
//!         // Load drivers, send requests, start threads by `shuttle::thread::spawn`.
//!         machine.shutdown().assert_clean();
//!     },
//!     10,
//! );
//! ```

use std::{sync::Arc, time::Duration};

use shuttle::{
    current,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{Point, Scheduler, SchedulerEvent, Slot};

/// The shuttle checker as a scheduler.
#[derive(Debug)]
pub struct Controlled {
    /// Touching it is a step, so the checker may switch threads.
    step: AtomicBool,
}

impl Controlled {
    /// Makes the scheduler for a machine of one execution.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a machine takes it in this form")]
    pub fn new() -> Arc<dyn Scheduler> {
        Arc::new(Self {
            step: AtomicBool::new(false),
        })
    }
}

fn task() -> Option<u64> {
    let task = usize::from(current::try_get_current_task()?);
    u64::try_from(task).ok()
}

impl Scheduler for Controlled {
    fn spawn(&self, _name: &str, body: Box<dyn FnOnce() + Send + 'static>) {
        drop(thread::spawn(body));
    }

    fn event(&self) -> Box<dyn SchedulerEvent> {
        Box::new(Event {
            set: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    fn yield_point(&self) {
        thread::yield_now();
    }

    fn preemption_point(&self, _at: Point) {
        self.step.load(Ordering::SeqCst);
    }

    fn slot(&self) -> Slot {
        Slot::Task(task)
    }
}

struct Event {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn with<R>(&self, with: impl FnOnce(&mut bool) -> R) -> R {
        with(&mut self.set.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl SchedulerEvent for Event {
    fn set(&self) {
        self.with(|set| *set = true);
        self.changed.notify_all();
    }

    fn clear(&self) {
        self.with(|set| *set = false);
    }

    fn is_set(&self) -> bool {
        self.with(|set| *set)
    }

    fn wait(&self) {
        let mut set = self.set.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while !*set {
            set = self
                .changed
                .wait(set)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        drop(set);
    }

    fn wait_for(&self, _timeout: Duration) -> bool {
        // There is no clock: the time may be over at any moment.
        thread::yield_now();
        self.is_set()
    }
}
