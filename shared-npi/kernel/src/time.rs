//! Time.

use wdk_sys::LARGE_INTEGER;
use wdk_sys::ntddk::KeQuerySystemTimePrecise;

/// A duration in the kernel's unit of 100 nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(pub u32);

impl Ticks {
    /// The duration of `milliseconds`, at most about seven minutes.
    #[must_use]
    pub const fn from_millis(milliseconds: u32) -> Self {
        Self(milliseconds.saturating_mul(10_000))
    }
}

/// The system time: units of 100 ns since the start of 1601, UTC (`KeQuerySystemTimePrecise`).
///
/// # IRQL
/// Any.
#[must_use]
pub fn now() -> u64 {
    let mut time = LARGE_INTEGER::default();
    // SAFETY: the pointer is valid for a write.
    unsafe { KeQuerySystemTimePrecise(&raw mut time) };
    quad(time).cast_unsigned()
}

/// The value of a `LARGE_INTEGER`.
pub(crate) const fn quad(value: LARGE_INTEGER) -> i64 {
    // SAFETY: all members of the union are plain integers, so any bytes are a valid `i64`.
    unsafe { value.QuadPart }
}
