//! Locks around the values they protect.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use wdk_sys::ntddk::{
    ExAcquirePushLockExclusiveEx, ExAcquirePushLockSharedEx, ExReleasePushLockExclusiveEx,
    ExReleasePushLockSharedEx, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock,
};
use wdk_sys::{KIRQL, KSPIN_LOCK, ULONG_PTR};

use crate::irql::Passive;
use crate::region::CriticalRegion;

/// A spin lock around a value: short critical sections at `DISPATCH_LEVEL`.
///
/// While the guard lives the thread runs at `DISPATCH_LEVEL`: nothing may block, and a [`Passive`] that is
/// still in scope must not be used. Guards of several spin locks are dropped in reverse order, so that each
/// restores the level it found. No call out of the driver (peer, NMR, completion) is made with one held.
///
/// Source: `KeAcquireSpinLockRaiseToDpc`, `KeReleaseSpinLock`. A `KSPIN_LOCK` starts as zero, which is what
/// `KeInitializeSpinLock` stores.
pub struct SpinLock<T: ?Sized> {
    lock: UnsafeCell<KSPIN_LOCK>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives one thread at a time access to the value, which may therefore come from any thread.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free lock around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            lock: UnsafeCell::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Waits for the lock, and raises the thread to `DISPATCH_LEVEL`. Not recursive.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    pub fn lock(&self) -> SpinGuard<'_, T> {
        // SAFETY: the word is a spin lock, initialised to free, which lives as long as the guard.
        let previous = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        SpinGuard {
            lock: self,
            previous,
            thread_bound: PhantomData,
        }
    }

    /// Runs `section` with the lock held.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    pub fn with<R>(&self, section: impl FnOnce(&mut T) -> R) -> R {
        section(&mut self.lock())
    }

    /// The value, without locking: the exclusive borrow proves that nobody else has it.
    pub const fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for SpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// A held [`SpinLock`].
#[must_use = "the lock is free again when the guard is dropped"]
pub struct SpinGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    previous: KIRQL,
    thread_bound: PhantomData<*const ()>,
}

impl<T: ?Sized> Deref for SpinGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held, so nobody else has access.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, so nobody else has access.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this thread acquired the lock and got this level back from the acquisition.
        unsafe { KeReleaseSpinLock(self.lock.lock.get(), self.previous) };
    }
}

/// A push lock around a value: shared or exclusive, for `PASSIVE_LEVEL` code.
///
/// Cheap and fair enough, but not recursive, not even shared. The owner is in a critical region, so that it
/// cannot be suspended while it holds the lock.
///
/// Source: `ExAcquirePushLockExclusiveEx` and its kin, `KeEnterCriticalRegion`. A push lock starts as zero,
/// which is what `ExInitializePushLock` stores.
pub struct PushLock<T: ?Sized> {
    lock: UnsafeCell<ULONG_PTR>,
    value: UnsafeCell<T>,
}

// SAFETY: moving the lock moves the value.
unsafe impl<T: ?Sized + Send> Send for PushLock<T> {}
// SAFETY: shared owners on several threads have `&T` at once (hence `Sync`), exclusive ones `&mut T` (hence
// `Send`).
unsafe impl<T: ?Sized + Send + Sync> Sync for PushLock<T> {}

impl<T> PushLock<T> {
    /// A free lock around `value`.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self {
            lock: UnsafeCell::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// The value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> PushLock<T> {
    /// Waits until nobody has the lock exclusively.
    pub fn read<'a>(&'a self, passive: Passive<'a>) -> PushReadGuard<'a, T> {
        let region = CriticalRegion::enter(passive);
        // SAFETY: the word is a push lock, initialised to free, which lives as long as the guard; normal
        // kernel APCs are held off by the line above.
        unsafe { ExAcquirePushLockSharedEx(self.lock.get(), 0) };
        PushReadGuard {
            lock: self,
            _region: region,
        }
    }

    /// Waits until nobody has the lock at all.
    pub fn write<'a>(&'a self, passive: Passive<'a>) -> PushWriteGuard<'a, T> {
        let region = CriticalRegion::enter(passive);
        // SAFETY: the word is a push lock, initialised to free, which lives as long as the guard; normal
        // kernel APCs are held off by the line above.
        unsafe { ExAcquirePushLockExclusiveEx(self.lock.get(), 0) };
        PushWriteGuard {
            lock: self,
            _region: region,
        }
    }

    /// The value, without locking: the exclusive borrow proves that nobody else has it.
    pub const fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for PushLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// A [`PushLock`] held shared.
#[must_use = "the lock is free again when the guard is dropped"]
pub struct PushReadGuard<'a, T: ?Sized> {
    lock: &'a PushLock<T>,
    /// Left after the lock was released. It also keeps the guard on this thread.
    _region: CriticalRegion<'a>,
}

impl<T: ?Sized> Deref for PushReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held shared, so nobody has exclusive access.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for PushReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this thread acquired the lock shared.
        unsafe { ExReleasePushLockSharedEx(self.lock.lock.get(), 0) };
    }
}

/// A [`PushLock`] held exclusively.
#[must_use = "the lock is free again when the guard is dropped"]
pub struct PushWriteGuard<'a, T: ?Sized> {
    lock: &'a PushLock<T>,
    /// Left after the lock was released. It also keeps the guard on this thread.
    _region: CriticalRegion<'a>,
}

impl<T: ?Sized> Deref for PushWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held exclusively, so nobody else has access.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for PushWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held exclusively, so nobody else has access.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for PushWriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this thread acquired the lock exclusively.
        unsafe { ExReleasePushLockExclusiveEx(self.lock.lock.get(), 0) };
    }
}
