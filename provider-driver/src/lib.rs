//! The provider driver's image: entry point, allocator, panic handler. All else is in
//! `nsemail-provider-core`, which also runs on the simulated kernel.

#![no_std]

extern crate wdk_panic;

use wdk_alloc::WdkAllocator;
use wdk_sys::{DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING};

/// What `alloc` would use. The driver itself allocates fallibly, with pool tags of its own.
#[global_allocator]
static GLOBAL_ALLOCATOR: WdkAllocator = WdkAllocator;

/// The entry point of the driver.
///
/// # Safety
///
/// Called by the system, once, with the driver object of this image and the path of its registry
/// key.
///
/// # IRQL
///
/// `PASSIVE_LEVEL`.
// SAFETY: no other item of the image has this name.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(
    driver: *mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    wdk::println!("nsemail_provider: loading");
    // SAFETY: the arguments are those that the system gave.
    unsafe { nsemail_provider_core::driver_entry(driver, registry_path) }
}
