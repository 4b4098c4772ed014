//! The entry point, which the driver image passes its own to.

#![allow(unsafe_code, reason = "an entry point gets raw pointers from the kernel")]

use nsemail_kernel::pool::tag;
use nsemail_kernel::wdf;
use wdk_sys::{DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING};

use crate::driver::ClientDriver;

/// `DriverEntry` of the client driver.
///
/// # Safety
/// Called once by the kernel, at `PASSIVE_LEVEL`, with the arguments of `DriverEntry`.
pub unsafe extern "system" fn driver_entry(
    driver: *mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: passed on to the caller.
    unsafe { wdf::create(driver, registry_path, tag(b"NscW"), ClientDriver::new) }
}
