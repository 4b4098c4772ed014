//! The simulated machine as the platform of the kernel models.

use std::time::Duration;

use sim_platform::{Event, Lock, Platform, ThreadId};

use crate::{
    scheduler::{self, Point, SchedulerEvent},
    sync::StateLock,
    thread,
};

/// The machine of the calling thread, as a [`Platform`].
#[derive(Clone, Copy, Debug)]
pub struct SimPlatform;

impl Platform for SimPlatform {
    type Lock<T: Send> = SimLock<T>;
    type Event = SimEvent;

    fn current_thread() -> ThreadId {
        thread::with(|current| current.state.id)
    }

    fn yield_point() {
        match thread::try_with(|current| current.machine.clone()) {
            None => std::thread::yield_now(),
            // Under priorities, a thread that gives way falls behind all others: it is no step like others.
            Some(machine) if machine.is_controlled() => {
                machine.scheduler().preemption_point(Point::Registrar);
            }
            Some(machine) => machine.scheduler().yield_point(),
        }
    }

    fn irql() -> u8 {
        thread::current_irql()
    }
}

/// A [`StateLock`] before which a controlled scheduler may switch threads.
#[derive(Debug, Default)]
pub struct SimLock<T>(StateLock<T>);

impl<T: Send> Lock<T> for SimLock<T> {
    fn new(value: T) -> Self {
        Self(StateLock::new(value))
    }

    #[inline]
    fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        preemption_point(Point::Lock);
        self.0.with(with)
    }

    fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// Lets the scheduler of the calling thread's machine run another thread if it likes.
///
/// The caller holds no lock of the simulator itself.
#[inline]
pub(crate) fn preemption_point(at: Point) {
    if !thread::is_unobserved() {
        maybe_switch(at);
    }
}

#[cold]
fn maybe_switch(at: Point) {
    if let Some(machine) =
        thread::try_with(|current| current.machine.is_controlled().then(|| current.machine.clone())).flatten()
    {
        machine.scheduler().preemption_point(at);
    }
}

/// An event of the scheduler of the machine on which it was made.
#[derive(Debug)]
pub struct SimEvent(Box<dyn SchedulerEvent>);

impl SimEvent {
    /// Waits until the event is set or the time is over; tells whether it is set.
    #[must_use]
    pub fn wait_for(&self, timeout: Duration) -> bool {
        self.0.wait_for(timeout)
    }
}

impl Event for SimEvent {
    fn new() -> Self {
        Self(
            thread::try_with(|current| current.machine.scheduler().event())
                .unwrap_or_else(|| scheduler::native().event()),
        )
    }

    fn set(&self) {
        self.0.set();
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn is_set(&self) -> bool {
        self.0.is_set()
    }

    fn wait(&self) {
        self.0.wait();
    }
}
