//! The module's two exports, and the unload routine that every driver of the framework has.

use alloc::{string::String, sync::Arc};
use kmdf_model::{DriverId, types::PWDF_DRIVER_GLOBALS};
use sim_platform::{
    Event,
    nt::{NTSTATUS, PDRIVER_OBJECT, PUNICODE_STRING, STATUS_SUCCESS, UNICODE_STRING},
};
use wine_kernel::{log, wdf::BindInfo};

use crate::{
    state::kmdf,
    table::{LENGTH, TABLE},
};

/// `STATUS_REVISION_MISMATCH`
const REVISION_MISMATCH: NTSTATUS = 0xC000_0059_u32.cast_signed();
const MAJOR: u32 = 1;
const MINOR: u32 = 31;

/// Returns the last part of a path: the name of a service, from its key.
fn service_name(path: &UNICODE_STRING) -> String {
    if path.Buffer.is_null() {
        return String::new();
    }
    let units = usize::from(path.Length / 2);
    // SAFETY: the string comes from the kernel, and is as long as it says.
    let path = unsafe { core::slice::from_raw_parts(path.Buffer, units) };
    let name = path.rsplit(|unit| *unit == u16::from(b'\\')).next();
    String::from_utf16_lossy(name.unwrap_or_default())
}

/// Connects a driver with the framework, before its own entry point runs.
// SAFETY: no other item of the image has this name.
#[unsafe(no_mangle)]
unsafe extern "system" fn WdfVersionBind(
    driver: PDRIVER_OBJECT,
    registry_path: PUNICODE_STRING,
    info: *const BindInfo,
    globals: *mut PWDF_DRIVER_GLOBALS,
) -> NTSTATUS {
    // SAFETY: the entry stub passes what the kernel gave it.
    let path = unsafe { &*registry_path };
    // SAFETY: as above; the structure is the stub's own.
    let info = unsafe { &*info };
    let name = service_name(path);
    if info.major != MAJOR || info.minor > MINOR || info.function_count as usize > LENGTH {
        log!(
            "KMDF VIOLATION: {name} asks for KMDF {}.{}, and this is {MAJOR}.{MINOR}",
            info.major,
            info.minor
        );
        return REVISION_MISMATCH;
    }
    let id = kmdf().host().add_driver(name.clone(), driver);
    log!("KMDF: {name} is bound to KMDF {}.{}", info.major, info.minor);
    // SAFETY: the place is the driver's variable for it.
    unsafe { info.function_table.write(TABLE.as_ptr().cast()) };
    // SAFETY: as above.
    unsafe { globals.write(kmdf().bind(id, &name)) };
    STATUS_SUCCESS
}

/// Ends what [`WdfVersionBind`] began, when the driver's entry point failed.
// SAFETY: no other item of the image has this name.
#[unsafe(no_mangle)]
unsafe extern "system" fn WdfVersionUnbind(
    registry_path: PUNICODE_STRING,
    _info: *const BindInfo,
    _globals: PWDF_DRIVER_GLOBALS,
) -> NTSTATUS {
    // SAFETY: the entry stub passes what the kernel gave it.
    let name = service_name(unsafe { &*registry_path });
    if let Some(id) = kmdf().host().driver_named(&name) {
        unbind(id, &name);
    }
    STATUS_SUCCESS
}

fn unbind(id: DriverId, name: &str) {
    kmdf().unbind(id);
    kmdf().host().remove_driver(id);
    log!("KMDF: {name} is unbound");
}

/// `DriverUnload`: waits until the last file is closed, as the I/O manager of Windows does before it
/// calls this, and lets the framework unload the driver.
pub unsafe extern "C" fn driver_unload(object: PDRIVER_OBJECT) {
    let host = kmdf().host();
    let Some((id, name, closed)) = host.begin_unload(object) else {
        log!("KMDF VIOLATION: a driver is unloaded that is not bound");
        return;
    };
    if host.has_files(id) {
        log!("KMDF: the unload of {name} waits for its open files");
    }
    while host.has_files(id) {
        closed.wait();
        closed.clear();
    }
    drop(Arc::clone(&closed));
    kmdf().unload(id);
    unbind(id, &name);
}
