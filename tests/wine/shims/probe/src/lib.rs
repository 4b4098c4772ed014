//! probe.sys: a driver that calls a function which the model of KMDF does not have.
//!
//! It shows that such a call does not go unnoticed. The drivers cannot show it: they call no such function.
#![no_std]

use core::{ffi::c_void, mem, ptr};

use sim_platform::nt::{NTSTATUS, PDRIVER_OBJECT, PUNICODE_STRING};
use wine_kernel::wdf::BindInfo;

/// The place of `WdfCollectionCreate` in the table.
const COLLECTION_CREATE: usize = 13;
/// How many functions KMDF 1.31 has.
const FUNCTIONS: u32 = 458;

type CollectionCreate = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut *mut c_void) -> NTSTATUS;

#[cfg_attr(
    windows,
    link(name = "wdfldr.sys", kind = "raw-dylib", modifiers = "+verbatim")
)]
unsafe extern "system" {
    fn WdfVersionBind(
        driver: PDRIVER_OBJECT,
        registry_path: PUNICODE_STRING,
        info: *const BindInfo,
        globals: *mut *mut c_void,
    ) -> NTSTATUS;
}

/// Binds the image to the framework, and calls the function.
// SAFETY: no other item of the image has this name.
#[unsafe(no_mangle)]
unsafe extern "system" fn DriverEntry(driver: PDRIVER_OBJECT, registry_path: PUNICODE_STRING) -> NTSTATUS {
    let mut table: *const c_void = ptr::null();
    let mut globals = ptr::null_mut();
    let info = BindInfo {
        size: wine_kernel::nt::size_u32::<BindInfo>(),
        component: ptr::null(),
        major: 1,
        minor: 31,
        build: 0,
        function_count: FUNCTIONS,
        function_table: &raw mut table,
        module: ptr::null_mut(),
    };
    // SAFETY: object and path are what the kernel gave; the structure and both places are valid.
    let status = unsafe { WdfVersionBind(driver, registry_path, &raw const info, &raw mut globals) };
    if status < 0 {
        return status;
    }
    let table: *const *const c_void = table.cast();
    // SAFETY: the table has this many entries.
    let entry = unsafe { table.add(COLLECTION_CREATE) };
    // SAFETY: as above.
    let entry = unsafe { entry.read() };
    // SAFETY: the entry at this place has this type.
    let create: CollectionCreate = unsafe { mem::transmute(entry) };
    let mut collection = ptr::null_mut();
    // SAFETY: the place is valid; there need be no attributes.
    unsafe { create(globals, ptr::null_mut(), &raw mut collection) }
}
