//! Spin locks.
//!
//! A spin lock is one word in the driver's memory. A thread that does not get it gives way through the
//! scheduler and tries again, so that a controlled scheduler stays in charge.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    KIRQL, Machine, PKSPIN_LOCK, bugcheck, nmr, platform,
    scheduler::Point,
    thread::{self, HeldLock, irql},
    verifier::{self, Rule},
};

/// Remembers that the calling thread holds a lock; tells whether it held it already.
#[cold]
pub(crate) fn remember_lock(kind: &'static str, address: usize) -> bool {
    thread::with(|current| {
        if !current.machine.verifier_is_on() {
            return false;
        }
        let callback = current
            .state
            .frames
            .borrow()
            .iter()
            .rev()
            .find_map(|frame| frame.nmr);
        if let Some(callback) = callback {
            nmr::taking_lock(&current.machine, &callback, address);
        }
        let mut locks = current.state.locks.borrow_mut();
        let twice = locks.iter().any(|held| held.address == address);
        locks.push(HeldLock { kind, address });
        twice
    })
}

/// Forgets that the calling thread holds a lock, and reports if it does not.
#[cold]
pub(crate) fn forget_lock(call: &'static str, kind: &'static str, address: usize) {
    let held = thread::with(|current| {
        if !current.machine.verifier_is_on() {
            return true;
        }
        let mut locks = current.state.locks.borrow_mut();
        let place = locks.iter().rposition(|held| *held == HeldLock { kind, address });
        place.map(|place| locks.remove(place)).is_some()
    });
    if !held {
        verifier::report(
            Rule::LockMisuse,
            Some(call),
            format!("{call} was called for the {kind} at {address:#x}, which this thread does not hold"),
            "release a lock once, on the thread that acquired it, by the function that matches",
        );
    }
}

const KIND: &str = "spin lock";

/// # Safety
///
/// `lock` points to a spin lock that lives for `'a`.
const unsafe fn word<'a>(lock: PKSPIN_LOCK) -> &'a AtomicU64 {
    // SAFETY: the caller vouches for the lock; it is accessed by these functions only.
    unsafe { AtomicU64::from_ptr(lock) }
}

/// Makes a spin lock. IRQL: any.
///
/// # Safety
///
/// `lock` can be written, and nobody uses it yet.
pub const unsafe fn KeInitializeSpinLock(lock: PKSPIN_LOCK) {
    // SAFETY: the caller vouches for the memory.
    unsafe { lock.write(0) };
}

#[inline]
fn acquire(call: &'static str, word: &AtomicU64, address: usize) {
    if !thread::is_unobserved() {
        announce(call, address);
    }
    if !try_acquire(word) {
        acquire_later(word);
    }
}

fn try_acquire(word: &AtomicU64) -> bool {
    word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

#[cold]
fn acquire_later(word: &AtomicU64) {
    while !try_acquire(word) {
        Machine::current().scheduler().yield_point();
    }
}

/// What is done with a lock that is about to be acquired, where anybody looks.
#[cold]
fn announce(call: &'static str, address: usize) {
    if remember_lock(KIND, address) {
        bugcheck::stop(
            bugcheck::SPIN_LOCK_ALREADY_OWNED,
            &format!("{call} was called for the spin lock at {address:#x}, which this thread holds"),
        );
    }
    platform::preemption_point(Point::Lock);
}

#[inline]
fn release(call: &'static str, word: &AtomicU64, address: usize) {
    if !thread::is_unobserved() {
        forget_lock(call, KIND, address);
    }
    word.store(0, Ordering::Release);
}

/// Takes a spin lock and raises the IRQL to `DISPATCH_LEVEL`; returns the one before. IRQL:
/// `DISPATCH_LEVEL` at most.
///
/// # Safety
///
/// `lock` points to a spin lock that lives until it is released.
pub unsafe fn KeAcquireSpinLockRaiseToDpc(lock: PKSPIN_LOCK) -> KIRQL {
    const CALL: &str = "KeAcquireSpinLockRaiseToDpc";
    verifier::require_irql_at_most(CALL, irql::DISPATCH);
    let before = thread::replace_irql(irql::DISPATCH);
    // SAFETY: the caller vouches for the lock.
    acquire(CALL, unsafe { word(lock) }, lock.addr());
    before
}

/// Releases a spin lock and restores the IRQL. IRQL: `DISPATCH_LEVEL`.
///
/// # Safety
///
/// The calling thread holds the lock; `before` is what its acquisition returned.
pub unsafe fn KeReleaseSpinLock(lock: PKSPIN_LOCK, before: KIRQL) {
    const CALL: &str = "KeReleaseSpinLock";
    require_dispatch(CALL);
    // SAFETY: the caller vouches for the lock.
    release(CALL, unsafe { word(lock) }, lock.addr());
    thread::replace_irql(before);
    platform::preemption_point(Point::Unlock);
}

/// Takes a spin lock at `DISPATCH_LEVEL`. IRQL: `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `lock` points to a spin lock that lives until it is released.
pub unsafe fn KeAcquireSpinLockAtDpcLevel(lock: PKSPIN_LOCK) {
    const CALL: &str = "KeAcquireSpinLockAtDpcLevel";
    require_dispatch(CALL);
    // SAFETY: the caller vouches for the lock.
    acquire(CALL, unsafe { word(lock) }, lock.addr());
}

/// Releases a spin lock and stays at `DISPATCH_LEVEL`. IRQL: `DISPATCH_LEVEL`.
///
/// # Safety
///
/// The calling thread holds the lock.
pub unsafe fn KeReleaseSpinLockFromDpcLevel(lock: PKSPIN_LOCK) {
    const CALL: &str = "KeReleaseSpinLockFromDpcLevel";
    require_dispatch(CALL);
    // SAFETY: the caller vouches for the lock.
    release(CALL, unsafe { word(lock) }, lock.addr());
    platform::preemption_point(Point::Unlock);
}

#[inline]
fn require_dispatch(call: &'static str) {
    if !thread::is_unobserved() {
        check_dispatch(call);
    }
}

#[cold]
fn check_dispatch(call: &'static str) {
    let now = thread::current_irql();
    if now != irql::DISPATCH {
        verifier::report(
            Rule::IrqlWrong,
            Some(call),
            format!(
                "{call} was called at {}; it must be called at DISPATCH_LEVEL",
                irql::name(now)
            ),
            "take spin locks by KeAcquireSpinLockRaiseToDpc below DISPATCH_LEVEL, and stay at \
             DISPATCH_LEVEL until the lock is released",
        );
    }
}
