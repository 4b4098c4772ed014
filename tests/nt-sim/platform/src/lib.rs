//! What the kernel models need from the machine under them.
//!
//! The models of the Network Module Registrar and of KMDF are written once and run on several
//! machines: the simulated kernel, the compatibility modules for other kernels, and controlled
//! schedulers. [`Platform`] is the seam: locks, events, the current thread, its IRQL, and a
//! yield point. The models use nothing else that could block or tell threads apart.
//!
//! Rules for a model:
//! - a [`Lock`] is held for a closure only, and never across a callback, another platform call, or
//!   anything that blocks;
//! - whatever must wait, waits on an [`Event`], so that a controlled scheduler sees it; nothing polls.
//!
//! [`nt`] spells the basic C types and constants of the kernel headers as bindgen does for the
//! `wdk-sys` crate, so that models and simulator share one set of them.
#![no_std]

pub mod nt;

/// Names a thread of a platform for as long as the thread lives; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub u64);

/// The machine that a model runs on.
///
/// All functions are ambient: they concern the thread that calls them and the machine which that
/// thread belongs to.
pub trait Platform: Sized + 'static {
    /// Mutual exclusion around a value.
    type Lock<T: Send>: Lock<T>;

    /// Something to wait for.
    type Event: Event;

    /// Returns the calling thread.
    fn current_thread() -> ThreadId;

    /// Tells the scheduler that this is a good moment to run another thread.
    fn yield_point();

    /// Returns the IRQL of the calling thread.
    fn irql() -> u8;
}

/// Mutual exclusion around a value.
pub trait Lock<T>: Send + Sync {
    /// Makes an unlocked lock around `value`.
    fn new(value: T) -> Self;

    /// Runs `with` on the value while no other thread can.
    ///
    /// Not recursive. `with` calls nothing that could block or take another lock.
    fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R;

    /// Returns the value.
    fn into_inner(self) -> T
    where
        Self: Sized;
}

/// A flag to wait for, as the kernel's notification event: it stays set until it is cleared, and
/// releases every thread that waits.
pub trait Event: Send + Sync {
    /// Makes an event that is not set.
    fn new() -> Self;

    /// Sets the event and releases all who wait.
    fn set(&self);

    /// Clears the event.
    fn clear(&self);

    /// Tells whether the event is set now.
    fn is_set(&self) -> bool;

    /// Blocks until the event is set.
    fn wait(&self);
}
