//! The pool functions that drivers call.
#![expect(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "names and attributes are those of the bindings of the kernel's functions"
)]

use std::ptr::{self, NonNull};

use super::{Tag, state::Request};
use crate::{
    POOL_FLAG_PAGED, POOL_FLAG_UNINITIALIZED, POOL_FLAGS, PVOID, SIZE_T, ULONG,
    faults::Class,
    nmr, thread,
    thread::{Current, irql},
    verifier::{self, Rule},
};

/// Allocates pool, zeroed unless the flags say otherwise; null if there is none. IRQL: `DISPATCH_LEVEL`
/// at most; `APC_LEVEL` at most for paged pool.
///
/// # Safety
///
/// None beyond the signature: nonsense is reported.
pub unsafe fn ExAllocatePool2(flags: POOL_FLAGS, number_of_bytes: SIZE_T, tag: ULONG) -> PVOID {
    const CALL: &str = "ExAllocatePool2";
    let paged = flags & POOL_FLAG_PAGED != 0;
    let limit = if paged { irql::APC } else { irql::DISPATCH };
    verifier::require_irql_at_most(CALL, limit);
    if number_of_bytes == 0 || tag == 0 {
        report_nonsense(CALL, number_of_bytes, tag);
        return ptr::null_mut();
    }
    if !thread::is_unobserved() {
        check_callback(CALL);
    }
    let Ok(size) = usize::try_from(number_of_bytes) else {
        return ptr::null_mut();
    };
    let zero = flags & POOL_FLAG_UNINITIALIZED == 0;
    let allocated = thread::reuse_pool(size, tag, zero).or_else(|| {
        allocate(Request {
            size,
            tag,
            zero,
            paged,
        })
    });
    allocated.map_or(ptr::null_mut(), |user| {
        user.as_ptr().expose_provenance();
        user.as_ptr().cast()
    })
}

#[cold]
fn allocate(request: Request) -> Option<NonNull<u8>> {
    thread::with(|current| {
        let machine = &current.machine;
        machine.faults_state().pass(Class::Pool, "ExAllocatePool2").ok()?;
        machine.pool_state().allocate(&current.state.pool, request)
    })
}

#[cold]
fn report_nonsense(call: &'static str, number_of_bytes: SIZE_T, tag: ULONG) {
    verifier::report(
        Rule::PoolMisuse,
        Some(call),
        format!(
            "{call} was called for {number_of_bytes} bytes under the tag {}",
            Tag(tag)
        ),
        "ask for at least one byte, under a tag that is not zero",
    );
}

/// Checks that the callback of a network module may allocate.
#[cold]
fn check_callback(call: &'static str) {
    let callback = thread::with(|current| {
        let frames = current.state.frames.borrow();
        frames
            .last()
            .and_then(|frame| frame.nmr)
            .filter(|_| current.machine.verifier_is_on())
    });
    if let Some(callback) = callback {
        nmr::allocating(call, &callback);
    }
}

/// Frees pool. IRQL: `DISPATCH_LEVEL` at most; `APC_LEVEL` at most for paged pool.
///
/// # Safety
///
/// `pool` came from [`ExAllocatePool2`], is freed once, and nobody uses it afterwards.
pub unsafe fn ExFreePool(pool: PVOID) {
    // SAFETY: the caller vouches for the block.
    unsafe { free("ExFreePool", pool, 0) };
}

/// Frees pool that was allocated under `tag`. IRQL: `DISPATCH_LEVEL` at most; `APC_LEVEL` at most for
/// paged pool.
///
/// # Safety
///
/// `pool` came from [`ExAllocatePool2`], is freed once, and nobody uses it afterwards.
pub unsafe fn ExFreePoolWithTag(pool: PVOID, tag: ULONG) {
    // SAFETY: the caller vouches for the block.
    unsafe { free("ExFreePoolWithTag", pool, tag) };
}

/// # Safety
///
/// As for [`ExFreePool`].
unsafe fn free(call: &'static str, pool: PVOID, tag: ULONG) {
    let Some(user) = NonNull::new(pool.cast::<u8>()) else {
        report_null(call);
        return;
    };
    thread::with(|current| {
        let pool = current.machine.pool_state();
        if pool.is_verified() {
            free_checked(current, call, user, tag);
        } else {
            // SAFETY: the caller vouches for the block.
            unsafe { pool.free(call, &current.state.pool, user) };
        }
    });
}

#[cold]
fn report_null(call: &'static str) {
    verifier::report(
        Rule::PoolMisuse,
        Some(call),
        format!("{call} was called with a null pointer"),
        "free only what was allocated",
    );
}

#[cold]
fn free_checked(current: &Current, call: &'static str, user: NonNull<u8>, tag: u32) {
    let pool = current.machine.pool_state();
    let limit = if pool.is_paged(user) {
        irql::APC
    } else {
        irql::DISPATCH
    };
    verifier::require_irql_at_most(call, limit);
    pool.free_checked(call, &current.state.pool, user, tag);
}
