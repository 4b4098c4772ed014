//! A safe layer over the part of KMDF that a driver without hardware needs.
//!
//! | type | framework object | rule it keeps |
//! |---|---|---|
//! | [`Driver`], [`DriverHandle`] | `WDFDRIVER` | what started is undone in one place, in unload and in a failing `DriverEntry` |
//! | [`Device`], [`ControlDevice`] | control device, its default queue | passive level, no framework locks, requests in parallel |
//! | [`Device::File`] | file object | made at open, borrowed by requests, given back once at close |
//! | [`Request`] | `WDFREQUEST` | completed exactly once: completing consumes it |
//! | [`PendedRequest`] | a cancelable request | cancel, completion and return race; exactly one of them gets the request |
//!
//! Callbacks that the framework makes at `PASSIVE_LEVEL` hand out a [`Passive`](crate::irql::Passive);
//! cancellation does not. Nothing unwinds into the framework: the thunks are `extern "C"`, which ends in a
//! bug check instead.

mod config;
mod context;
mod device;
mod driver;
mod pend;
mod request;

pub use device::{ControlDevice, ControlDeviceConfig, Device};
pub use driver::{Driver, DriverHandle, create};
pub use pend::{CancelTarget, NotPended, PendedRequest};
pub use request::Request;

/// The size of `T` as the `ULONG` that the kernel's structures and calls want.
pub(crate) const fn size_of_u32<T>() -> u32 {
    const { len_u32(size_of::<T>()) }
}

/// A length as the `ULONG` that the kernel's calls want; cut at its end, so that a call never gets more than
/// there is.
#[expect(clippy::cast_possible_truncation, reason = "checked by the condition")]
pub(crate) const fn len_u32(length: usize) -> u32 {
    if length > u32::MAX as usize {
        u32::MAX
    } else {
        length as u32
    }
}
