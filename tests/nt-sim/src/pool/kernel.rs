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
    thread::irql,
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
        verifier::report(
            Rule::PoolMisuse,
            Some(CALL),
            format!(
                "{CALL} was called for {number_of_bytes} bytes under the tag {}",
                Tag(tag)
            ),
            "ask for at least one byte, under a tag that is not zero",
        );
        return ptr::null_mut();
    }
    if !thread::is_unobserved() {
        let callback = thread::with(|current| {
            let frames = current.state.frames.borrow();
            frames
                .last()
                .and_then(|frame| frame.nmr)
                .filter(|_| current.machine.verifier_is_on())
        });
        if let Some(callback) = callback {
            nmr::allocating(CALL, &callback);
        }
    }
    let Ok(size) = usize::try_from(number_of_bytes) else {
        return ptr::null_mut();
    };
    let request = Request {
        size,
        tag,
        zero: flags & POOL_FLAG_UNINITIALIZED == 0,
        paged,
    };
    let allocated = thread::with(|current| {
        let machine = &current.machine;
        machine.faults_state().pass(Class::Pool, CALL).ok()?;
        machine.pool_state().allocate(request)
    });
    allocated.map_or(ptr::null_mut(), |user| {
        user.as_ptr().expose_provenance();
        user.as_ptr().cast()
    })
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
        verifier::report(
            Rule::PoolMisuse,
            Some(call),
            format!("{call} was called with a null pointer"),
            "free only what was allocated",
        );
        return;
    };
    thread::with(|current| {
        let pool = current.machine.pool_state();
        let limit = if pool.is_paged(user) {
            irql::APC
        } else {
            irql::DISPATCH
        };
        verifier::require_irql_at_most(call, limit);
        // SAFETY: the caller vouches for the block.
        unsafe { pool.free(call, user, tag) };
    });
}
