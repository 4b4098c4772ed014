//! Guarding the simulator's own state.

use parking_lot::Mutex;

/// A lock around a part of the simulator's state.
///
/// It is held for a closure and never across a callback, a wait or a yield point. Therefore it is
/// never contended under a scheduler that runs all simulated threads on one thread of the host, and
/// a plain mutex serves every scheduler.
#[derive(Debug, Default)]
pub struct StateLock<T>(Mutex<T>);

impl<T> StateLock<T> {
    /// Makes an unlocked lock.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Runs `with` on the value while no other thread can.
    ///
    /// A panic inside an earlier closure does not spoil the lock: the thread that panicked reports it.
    #[inline]
    pub fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        with(&mut self.0.lock())
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}
