//! The shuttle checker as the machine under the models: every lock, every event and every yield point is a step.

use std::sync::PoisonError;

use shuttle::{
    current,
    sync::{Condvar, Mutex},
    thread,
};
use sim_platform::{Platform, ThreadId};

/// Tasks of the checker as threads, all at `PASSIVE_LEVEL` unless they say otherwise.
#[derive(Debug)]
pub struct Controlled;

shuttle::thread_local! {
    static IRQL: std::cell::Cell<u8> = std::cell::Cell::new(0);
}

/// Runs `body` at `irql`.
pub fn at_irql<R>(irql: u8, body: impl FnOnce() -> R) -> R {
    let before = IRQL.with(|level| level.replace(irql));
    let result = body();
    IRQL.with(|level| level.set(before));
    result
}

/// A good moment to run another thread, without giving way: under priorities, who gives way falls behind all others.
pub fn step() {
    thread::sleep(std::time::Duration::ZERO);
}

impl Platform for Controlled {
    type Lock<T: Send> = Lock<T>;
    type Event = Event;

    fn current_thread() -> ThreadId {
        ThreadId(usize::from(current::me()) as u64 + 1)
    }

    fn yield_point() {
        step();
    }

    fn irql() -> u8 {
        IRQL.with(std::cell::Cell::get)
    }
}

/// A lock of the checker.
#[derive(Debug)]
pub struct Lock<T>(Mutex<T>);

impl<T: Send> sim_platform::Lock<T> for Lock<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event of the checker.
#[derive(Debug, Default)]
pub struct Event(Mutex<bool>, Condvar);

impl sim_platform::Event for Event {
    fn new() -> Self {
        Self::default()
    }

    fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    fn is_set(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*set {
            set = self.1.wait(set).unwrap_or_else(PoisonError::into_inner);
        }
        drop(set);
    }
}
