//! The executive: push locks.
//!
//! A push lock is one word in the driver's memory: bit 0 is the exclusive owner, bit 1 says that
//! someone is parked, the rest counts the shared owners. Threads that do not get it park on an event of
//! the scheduler, kept by the lock's address.
#![expect(non_snake_case, reason = "the names of the kernel's functions")]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    Machine, PEX_PUSH_LOCK, ULONG,
    ke::{self, Parking},
    platform,
    scheduler::Point,
    thread::{self, irql},
    verifier::{self, Rule},
};

const EXCLUSIVE: u64 = 1;
const PARKED: u64 = 2;
const SHARED: u64 = 4;

const KIND_EXCLUSIVE: &str = "push lock (exclusive)";
const KIND_SHARED: &str = "push lock (shared)";

/// # Safety
///
/// `lock` points to a push lock that lives for `'a`.
const unsafe fn word<'a>(lock: PEX_PUSH_LOCK) -> &'a AtomicU64 {
    // SAFETY: the caller vouches for the lock; it is accessed by these functions only.
    unsafe { AtomicU64::from_ptr(lock) }
}

/// Makes a push lock. IRQL: any.
///
/// # Safety
///
/// `lock` can be written, and nobody uses it yet.
pub const unsafe fn ExInitializePushLock(lock: PEX_PUSH_LOCK) {
    // SAFETY: the caller vouches for the memory.
    unsafe { lock.write(0) };
}

/// What is done with a lock that is about to be acquired, where anybody looks.
#[cold]
fn announce(call: &'static str, kind: &'static str, address: usize) {
    check_acquire(call, kind, address);
    platform::preemption_point(Point::Lock);
}

fn check_acquire(call: &'static str, kind: &'static str, address: usize) {
    verifier::require_irql_at_most(call, irql::APC);
    let (on, unprotected) = thread::with(|current| {
        let state = &current.state;
        let unprotected = state.critical_regions.get() == 0 && state.irql.get() == irql::PASSIVE;
        (current.machine.verifier_is_on(), unprotected)
    });
    if !on {
        return;
    }
    if unprotected {
        verifier::report(
            Rule::ApcsEnabled,
            Some(call),
            format!("{call} was called outside any critical region"),
            "call KeEnterCriticalRegion before a push lock is acquired, and KeLeaveCriticalRegion \
             after it is released",
        );
    }
    if ke::remember_lock(kind, address) {
        verifier::report(
            Rule::LockMisuse,
            Some(call),
            format!("{call} was called for the push lock at {address:#x}, which this thread holds"),
            "push locks are not recursive: pass the guarded value on to inner functions instead",
        );
    }
}

#[cold]
fn check_release(call: &'static str, kind: &'static str, address: usize) {
    verifier::require_irql_at_most(call, irql::APC);
    ke::forget_lock(call, kind, address);
}

/// Stores what `take` gives for the word, unless it gives nothing.
#[inline]
fn try_acquire(word: &AtomicU64, take: impl Fn(u64) -> Option<u64>) -> bool {
    let mut seen = word.load(Ordering::Relaxed);
    while let Some(taken) = take(seen) {
        match word.compare_exchange_weak(seen, taken, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

/// Waits until `take` gives the word to store.
#[cold]
fn acquire_later(word: &AtomicU64, address: usize, take: impl Fn(u64) -> Option<u64>) {
    while !try_acquire(word, &take) {
        // Announced under the table's lock, which whoever unparks takes too.
        Parking::of(&Machine::current()).park(address, || {
            let mut seen = word.load(Ordering::Relaxed);
            loop {
                if take(seen).is_some() {
                    return true;
                }
                match word.compare_exchange_weak(seen, seen | PARKED, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return false,
                    Err(now) => seen = now,
                }
            }
        });
    }
}

#[inline]
fn acquire(
    call: &'static str,
    kind: &'static str,
    word: &AtomicU64,
    address: usize,
    take: impl Fn(u64) -> Option<u64>,
) {
    if !thread::is_unobserved() {
        announce(call, kind, address);
    }
    if !try_acquire(word, &take) {
        acquire_later(word, address, take);
    }
}

/// Takes `part` out of the word, and unparks when it becomes free.
#[inline]
fn release(call: &'static str, kind: &'static str, word: &AtomicU64, address: usize, part: u64) {
    if !thread::is_unobserved() {
        check_release(call, kind, address);
    }
    let before = word.fetch_sub(part, Ordering::Release);
    if before == part | PARKED {
        unpark(word, address);
    }
    platform::preemption_point(Point::Unlock);
}

#[cold]
fn unpark(word: &AtomicU64, address: usize) {
    Parking::of(&Machine::current()).unpark_all(address, || {
        word.fetch_and(!PARKED, Ordering::Relaxed);
    });
}

/// Takes a push lock for this thread alone. IRQL: `APC_LEVEL` at most, inside a critical region.
///
/// # Safety
///
/// `lock` points to a push lock that lives until it is released.
pub unsafe fn ExAcquirePushLockExclusiveEx(lock: PEX_PUSH_LOCK, _flags: ULONG) {
    const CALL: &str = "ExAcquirePushLockExclusiveEx";
    // SAFETY: the caller vouches for the lock.
    let word = unsafe { word(lock) };
    acquire(CALL, KIND_EXCLUSIVE, word, lock.addr(), |seen| {
        (seen & !PARKED == 0).then_some(seen | EXCLUSIVE)
    });
}

/// Releases a push lock that was taken for this thread alone. IRQL: `APC_LEVEL` at most.
///
/// # Safety
///
/// The calling thread holds the lock.
pub unsafe fn ExReleasePushLockExclusiveEx(lock: PEX_PUSH_LOCK, _flags: ULONG) {
    const CALL: &str = "ExReleasePushLockExclusiveEx";
    // SAFETY: the caller vouches for the lock.
    let word = unsafe { word(lock) };
    release(CALL, KIND_EXCLUSIVE, word, lock.addr(), EXCLUSIVE);
}

/// Takes a push lock together with others who share it. IRQL: `APC_LEVEL` at most, inside a critical
/// region.
///
/// # Safety
///
/// `lock` points to a push lock that lives until it is released.
pub unsafe fn ExAcquirePushLockSharedEx(lock: PEX_PUSH_LOCK, _flags: ULONG) {
    const CALL: &str = "ExAcquirePushLockSharedEx";
    // SAFETY: the caller vouches for the lock.
    let word = unsafe { word(lock) };
    acquire(CALL, KIND_SHARED, word, lock.addr(), |seen| {
        // Those who are parked come first, so that they are not starved.
        (seen & (EXCLUSIVE | PARKED) == 0).then(|| seen + SHARED)
    });
}

/// Releases a push lock that was shared. IRQL: `APC_LEVEL` at most.
///
/// # Safety
///
/// The calling thread shares the lock.
pub unsafe fn ExReleasePushLockSharedEx(lock: PEX_PUSH_LOCK, _flags: ULONG) {
    const CALL: &str = "ExReleasePushLockSharedEx";
    // SAFETY: the caller vouches for the lock.
    let word = unsafe { word(lock) };
    release(CALL, KIND_SHARED, word, lock.addr(), SHARED);
}
