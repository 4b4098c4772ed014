//! Events to wait for.

use core::cell::UnsafeCell;

use allocator_api2::alloc::Allocator;
use pool_alloc::{Box, OutOfMemory};
use wdk_sys::ntddk::{KeClearEvent, KeInitializeEvent, KeReadStateEvent, KeSetEvent, KeWaitForSingleObject};
use wdk_sys::{_EVENT_TYPE, _KWAIT_REASON, EVENT_TYPE, KEVENT, LARGE_INTEGER};

use crate::irql::Passive;
use crate::time::Ticks;

const STATUS_TIMEOUT: i32 = 0x102;

/// A `KEVENT` in pool, where it stays put.
///
/// Setting an event still touches it after a waiter has been woken. An event must therefore not be freed by
/// the waiter alone: share it (`Arc`, or a structure that outlives both sides).
pub struct Event<A: Allocator>(Box<Kevent, A>);

/// The kernel's structure, which only the kernel's calls touch.
struct Kevent(UnsafeCell<KEVENT>);

#[allow(
    clippy::non_send_fields_in_send_ty,
    reason = "the links inside are the kernel's"
)]
// SAFETY: the kernel synchronises all operations on an event, which may be made on any thread.
unsafe impl Send for Kevent {}
// SAFETY: as above.
unsafe impl Sync for Kevent {}

impl<A: Allocator> Event<A> {
    /// An event that stays set, and lets every waiter through, until it is cleared.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn notification_in(set: bool, alloc: A) -> Result<Self, OutOfMemory> {
        Self::new_in(_EVENT_TYPE::NotificationEvent, set, alloc)
    }

    /// An event that lets one waiter through each time it is set.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn synchronization_in(set: bool, alloc: A) -> Result<Self, OutOfMemory> {
        Self::new_in(_EVENT_TYPE::SynchronizationEvent, set, alloc)
    }

    fn new_in(kind: EVENT_TYPE, set: bool, alloc: A) -> Result<Self, OutOfMemory> {
        let event = Box::try_new_in(Kevent(UnsafeCell::new(KEVENT::default())), alloc)?;
        // SAFETY: the event is at its final address, in non-paged memory, and nobody uses it yet.
        unsafe { KeInitializeEvent(event.0.get(), kind, u8::from(set)) };
        Ok(Self(event))
    }

    /// Sets the event; true if it was set already.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    pub fn set(&self) -> bool {
        // SAFETY: the event was initialised; with `Wait` false the call returns at the level it came from.
        unsafe { KeSetEvent(self.0.0.get(), 0, 0) != 0 }
    }

    /// Makes later waiters wait.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    pub fn clear(&self) {
        // SAFETY: the event was initialised.
        unsafe { KeClearEvent(self.0.0.get()) };
    }

    /// Whether the event is set at this instant.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    #[must_use]
    pub fn is_set(&self) -> bool {
        // SAFETY: the event was initialised.
        unsafe { KeReadStateEvent(self.0.0.get()) != 0 }
    }

    /// Waits until the event is set.
    pub fn wait(&self, _: Passive<'_>) {
        self.wait_for(core::ptr::null_mut());
    }

    /// Waits until the event is set or `timeout` has passed; true if it was set.
    #[must_use]
    pub fn wait_timeout(&self, _: Passive<'_>, timeout: Ticks) -> bool {
        // Negative: relative to now.
        let mut due = LARGE_INTEGER {
            QuadPart: i64::from(timeout.0).wrapping_neg(),
        };
        self.wait_for(&raw mut due) != STATUS_TIMEOUT
    }

    fn wait_for(&self, timeout: *mut LARGE_INTEGER) -> i32 {
        // SAFETY: the event was initialised, the timeout is null or valid, and the thread may block: both
        // callers have a witness. A wait in kernel mode that is not alertable ends only by the event or the
        // timeout.
        unsafe { KeWaitForSingleObject(self.0.0.get().cast(), _KWAIT_REASON::Executive, 0, 0, timeout) }
    }
}
