//! Spin locks.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use sim_platform::{
    Platform,
    nt::{NTSTATUS, STATUS_INVALID_PARAMETER, STATUS_SUCCESS},
};

use crate::{
    Host, Rule,
    attributes::Attributes,
    call::Call,
    object,
    state::Data,
    types::{PWDF_OBJECT_ATTRIBUTES, WDFSPINLOCK},
};

/// A framework spin lock.
pub struct SpinLock<H: Host> {
    lock: H::SpinLock,
    /// The thread that holds it, or zero.
    owner: AtomicU64,
    /// The level that its holder came from.
    irql: AtomicU8,
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfSpinLockCreate<H: Host>(
    call: &Call<'_, H>,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    lock: *mut WDFSPINLOCK,
) -> NTSTATUS {
    if !call.require(lock, "SpinLock") {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    let attributes = match unsafe { Attributes::read(call, attributes) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    let data = Data::SpinLock(Arc::new(SpinLock {
        lock: call.host().new_spin_lock(),
        owner: AtomicU64::new(0),
        irql: AtomicU8::new(0),
    }));
    match object::create_below_driver(call, &attributes, data) {
        Ok(handle) => {
            // SAFETY: not null, so the caller vouches for it.
            unsafe { lock.write(handle.pointer()) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfSpinLockAcquire<H: Host>(call: &Call<'_, H>, lock: WDFSPINLOCK) {
    let found = call.checked(|state| Ok(Arc::clone(state.spin_lock(lock)?.1)));
    if let Some(found) = found {
        let irql = call.host().acquire_spin_lock(&found.lock);
        // The lock orders these accesses; the owner is read by others only for their own identity.
        found.irql.store(irql, Ordering::Relaxed);
        found
            .owner
            .store(H::Platform::current_thread().0, Ordering::Relaxed);
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfSpinLockRelease<H: Host>(call: &Call<'_, H>, lock: WDFSPINLOCK) {
    let Some(found) = call.checked(|state| Ok(Arc::clone(state.spin_lock(lock)?.1))) else {
        return;
    };
    if found.owner.load(Ordering::Relaxed) == H::Platform::current_thread().0 {
        found.owner.store(0, Ordering::Relaxed);
        let irql = found.irql.load(Ordering::Relaxed);
        call.host().release_spin_lock(&found.lock, irql);
    } else {
        call.report(Rule::LockNotHeld { lock: lock.addr() });
    }
}
