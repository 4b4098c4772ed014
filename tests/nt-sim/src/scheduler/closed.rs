//! A scheduler that sees when every thread of a machine is blocked.
//!
//! A machine cannot know by itself that nobody will come to help: a thread from outside may enter it at any
//! moment. Who makes a closed machine promises that one thread from outside uses it, the one that makes it;
//! then a machine all of whose threads wait for an event is stuck, without a look at the clock.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{Native, Scheduler, SchedulerEvent};
use crate::sync::StateLock;

type WhenStuck = Arc<dyn Fn() + Send + Sync>;

/// Native threads of a machine that is used by one thread from outside.
pub struct Closed {
    native: Native,
    threads: Arc<Threads>,
}

/// Who runs and who waits.
struct Threads {
    count: StateLock<Count>,
    when_stuck: StateLock<Option<WhenStuck>>,
}

struct Count {
    alive: usize,
    waiting: usize,
}

impl Threads {
    /// Changes the count, and says so if nobody can run any more.
    fn change(&self, change: impl FnOnce(&mut Count)) {
        let stuck = self.count.with(|count| {
            change(count);
            count.alive > 0 && count.waiting >= count.alive
        });
        if stuck {
            let call = self.when_stuck.with(|call| call.clone());
            if let Some(call) = call {
                call();
            }
        }
    }
}

impl Closed {
    /// Makes the scheduler for one machine.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a machine takes it in this form")]
    pub fn new() -> Arc<dyn Scheduler> {
        Arc::new(Self {
            native: Native,
            threads: Arc::new(Threads {
                count: StateLock::new(Count { alive: 1, waiting: 0 }),
                when_stuck: StateLock::new(None),
            }),
        })
    }
}

impl fmt::Debug for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}

impl Scheduler for Closed {
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send + 'static>) {
        let threads = Arc::clone(&self.threads);
        threads.change(|count| count.alive += 1);
        self.native.spawn(
            name,
            Box::new(move || {
                body();
                threads.change(|count| count.alive -= 1);
            }),
        );
    }

    fn event(&self) -> Box<dyn SchedulerEvent> {
        Box::new(Event {
            native: self.native.event(),
            threads: Arc::clone(&self.threads),
            waiting: AtomicUsize::new(0),
        })
    }

    fn yield_point(&self) {
        self.native.yield_point();
    }

    fn when_stuck(&self, call: WhenStuck) {
        self.threads.when_stuck.with(|place| *place = Some(call));
    }
}

struct Event {
    native: Box<dyn SchedulerEvent>,
    threads: Arc<Threads>,
    /// How many wait for it; changed with the count of all threads only.
    waiting: AtomicUsize,
}

impl SchedulerEvent for Event {
    fn set(&self) {
        // Those who wait can run from now on, even if they have not woken up.
        self.threads.change(|count| {
            count.waiting -= self.waiting.swap(0, Ordering::Relaxed);
            self.native.set();
        });
    }

    fn clear(&self) {
        self.native.clear();
    }

    fn is_set(&self) -> bool {
        self.native.is_set()
    }

    fn wait(&self) {
        self.threads.change(|count| {
            if !self.native.is_set() {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                count.waiting += 1;
            }
        });
        self.native.wait();
    }

    fn wait_for(&self, timeout: Duration) -> bool {
        // Ends by itself.
        self.native.wait_for(timeout)
    }
}
