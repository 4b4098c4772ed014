//! Time, and the end of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{LARGE_INTEGER, PLARGE_INTEGER, PULONG64, ULONG, ULONG_PTR, ULONG64, bugcheck, thread};

/// Units of 100 nanoseconds between 1601 and 1970.
const UNIX_EPOCH_IN_NT_TIME: i64 = 116_444_736_000_000_000;

/// The frequency of the performance counter that Windows reports on most machines.
const COUNTS_PER_SECOND: i64 = 10_000_000;

/// Time since the machine was built, in units of 100 nanoseconds.
fn since_boot() -> i64 {
    units(thread::with(|current| current.machine.trace().since_boot()))
}

fn units(time: Duration) -> i64 {
    i64::try_from(time.as_nanos() / 100).unwrap_or(i64::MAX)
}

/// The current time, in units of 100 nanoseconds since 1601.
pub(super) fn system_time() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH_IN_NT_TIME.saturating_add(units(since_1970))
}

/// Gives the time in units of 100 nanoseconds since 1601. IRQL: any.
///
/// # Safety
///
/// `current_time` can be written.
pub unsafe fn KeQuerySystemTimePrecise(current_time: PLARGE_INTEGER) {
    let now = LARGE_INTEGER {
        QuadPart: system_time(),
    };
    // SAFETY: the caller vouches for the out parameter.
    unsafe { current_time.write(now) };
}

/// Returns the performance counter, and its frequency if asked. IRQL: any.
///
/// # Safety
///
/// `frequency` is null or can be written.
pub unsafe fn KeQueryPerformanceCounter(frequency: PLARGE_INTEGER) -> LARGE_INTEGER {
    if !frequency.is_null() {
        let value = LARGE_INTEGER {
            QuadPart: COUNTS_PER_SECOND,
        };
        // SAFETY: the caller vouches for the out parameter.
        unsafe { frequency.write(value) };
    }
    LARGE_INTEGER {
        QuadPart: since_boot(),
    }
}

/// Returns the time since boot in units of 100 nanoseconds. IRQL: any.
///
/// # Safety
///
/// `qpc_time_stamp` can be written.
pub unsafe fn KeQueryInterruptTimePrecise(qpc_time_stamp: PULONG64) -> ULONG64 {
    let now = since_boot().unsigned_abs();
    // SAFETY: the caller vouches for the out parameter.
    unsafe { qpc_time_stamp.write(now) };
    now
}

/// Returns the time since boot without sleep, in units of 100 nanoseconds. IRQL: any.
///
/// # Safety
///
/// None beyond the signature.
pub unsafe fn KeQueryUnbiasedInterruptTime() -> ULONG64 {
    since_boot().unsigned_abs()
}

/// Stops the machine: the process prints the bug check and aborts. IRQL: any.
///
/// # Safety
///
/// None beyond the signature; the call does not return.
pub unsafe fn KeBugCheckEx(
    code: ULONG,
    parameter1: ULONG_PTR,
    parameter2: ULONG_PTR,
    parameter3: ULONG_PTR,
    parameter4: ULONG_PTR,
) {
    bugcheck::stop(
        code,
        &format!(
            "KeBugCheckEx({code:#X}, {parameter1:#X}, {parameter2:#X}, {parameter3:#X}, {parameter4:#X})"
        ),
    );
}
