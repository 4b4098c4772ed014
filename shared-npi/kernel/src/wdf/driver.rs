//! The driver object: what `DriverEntry` starts and unload undoes.

use wdk_sys::ntddk::IoGetDriverDirectory;
use wdk_sys::{
    _DRIVER_DIRECTORY_TYPE, DRIVER_OBJECT, HANDLE, NTSTATUS, PCUNICODE_STRING, WDFDRIVER, WDFKEY, WDFOBJECT,
    call_unsafe_wdf_function_binding,
};

use super::config;
use super::context::{self, Slot, attributes};
use crate::file::Directory;
use crate::irql::Passive;
use crate::registry::{KEY_ALL_ACCESS, Key};
use crate::status::NtStatus;

/// What a driver is, from a successful `DriverEntry` to its unload.
pub trait Driver: Send + Sync + Sized + 'static {
    /// Brings up what the driver runs: threads, the device, registrations last. Called once, from [`create`].
    ///
    /// # Errors
    /// Whatever was brought up by then is recorded in `self`: [`Driver::unload`] runs next and takes it down,
    /// and `DriverEntry` fails with the status.
    fn start(&mut self, driver: DriverHandle, passive: Passive<'_>) -> Result<(), NtStatus>;

    /// Takes down what is up, in the reverse order: after unload, or after any prefix of [`Driver::start`].
    ///
    /// While a handle to one of its devices is open the kernel does not unload a driver, so no request is at
    /// work when this runs for unload. Control devices that still exist are deleted by the framework
    /// afterwards.
    fn unload(self, passive: Passive<'_>);
}

/// The driver object, for calls that need it.
///
/// It is valid as long as the driver's code: whoever holds one ends, or stops using it, before
/// [`Driver::unload`] returns.
#[derive(Clone, Copy)]
pub struct DriverHandle {
    wdf: WDFDRIVER,
    wdm: *mut DRIVER_OBJECT,
}

// SAFETY: the calls made with a driver's handle may be made from any thread.
unsafe impl Send for DriverHandle {}
// SAFETY: as above.
unsafe impl Sync for DriverHandle {}

impl DriverHandle {
    pub(super) const fn wdf(self) -> WDFDRIVER {
        self.wdf
    }

    /// Opens the driver's `Parameters` key (`WdfDriverOpenParametersRegistryKey`).
    ///
    /// # Errors
    /// What the framework answers.
    pub fn parameters(self, _: Passive<'_>) -> Result<Key, NtStatus> {
        let mut key: WDFKEY = core::ptr::null_mut();
        // SAFETY: the driver object exists, the attributes are optional, the out parameter is valid, and the
        // thread is at PASSIVE_LEVEL.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDriverOpenParametersRegistryKey,
                self.wdf,
                KEY_ALL_ACCESS,
                core::ptr::null_mut(),
                &raw mut key,
            )
        };
        NtStatus(status).ok()?;
        // SAFETY: the framework just opened this key for us.
        Ok(unsafe { Key::from_framework(key) })
    }

    /// Opens the driver's own data directory (`IoGetDriverDirectory`, Windows 10 1803).
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn data_directory(self, _: Passive<'_>) -> Result<Directory, NtStatus> {
        let mut handle: HANDLE = core::ptr::null_mut();
        // SAFETY: the driver object exists, the flags are reserved, the out parameter is valid, and the
        // thread is at PASSIVE_LEVEL.
        let status = unsafe {
            IoGetDriverDirectory(
                self.wdm,
                _DRIVER_DIRECTORY_TYPE::DriverDirectoryData,
                0,
                (&raw mut handle).cast(),
            )
        };
        NtStatus(status).ok()?;
        // SAFETY: the kernel just opened this kernel handle for us.
        Ok(unsafe { Directory::from_raw(handle) })
    }
}

/// Makes the framework's driver object, builds `D` by `init`, and starts it. The last act of a `DriverEntry`,
/// which returns the answer.
///
/// `init` only builds the value: what it fails on must be freed by being dropped. What has to be stopped or
/// waited for is brought up in [`Driver::start`], whose failure [`Driver::unload`] undoes. Framework objects
/// that were made by then (the driver object, control devices) are deleted by the framework when
/// `DriverEntry` fails.
///
/// `pool_tag` is for what the framework allocates on the driver's behalf.
///
/// # Safety
/// Called once, from the driver's `DriverEntry`, with its arguments.
pub unsafe fn create<D: Driver>(
    driver: *mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
    pool_tag: u32,
    init: impl FnOnce(DriverHandle, Passive<'_>) -> Result<D, NtStatus>,
) -> NTSTATUS {
    // SAFETY: DriverEntry runs at PASSIVE_LEVEL.
    let passive = unsafe { Passive::assume() };
    let mut config = config::driver(evt_unload::<D>, pool_tag);
    let mut attributes = attributes::<Slot<D>>(&context::DRIVER);
    attributes.EvtDestroyCallback = Some(evt_destroy::<D>);
    let mut wdf: WDFDRIVER = core::ptr::null_mut();
    // SAFETY: driver and path are those of DriverEntry; attributes, configuration and out parameter are
    // valid.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfDriverCreate,
            driver,
            registry_path,
            &raw mut attributes,
            &raw mut config,
            &raw mut wdf,
        )
    };
    if !NtStatus(status).is_success() {
        return status;
    }
    let handle = DriverHandle { wdf, wdm: driver };
    match start(handle, passive, init) {
        Ok(value) => {
            // SAFETY: the driver object exists and was made with this context.
            let slot: &Slot<D> = unsafe { context::context(wdf.cast(), &context::DRIVER) };
            // SAFETY: this is the only place that fills it, and it runs once.
            unsafe { slot.fill(value) };
            NtStatus::SUCCESS.0
        }
        Err(status) => status.0,
    }
}

fn start<D: Driver>(
    handle: DriverHandle,
    passive: Passive<'_>,
    init: impl FnOnce(DriverHandle, Passive<'_>) -> Result<D, NtStatus>,
) -> Result<D, NtStatus> {
    let mut value = init(handle, passive)?;
    match value.start(handle, passive) {
        Ok(()) => Ok(value),
        Err(status) => {
            value.unload(passive);
            Err(status)
        }
    }
}

unsafe extern "C" fn evt_unload<D: Driver>(driver: WDFDRIVER) {
    // SAFETY: EvtDriverUnload is called at PASSIVE_LEVEL.
    let passive = unsafe { Passive::assume() };
    // SAFETY: the driver object exists during its callback and was made with this context.
    let slot: &Slot<D> = unsafe { context::context(driver.cast(), &context::DRIVER) };
    // SAFETY: nobody borrows the value: it is handed out to no one.
    if let Some(value) = unsafe { slot.take() } {
        value.unload(passive);
    }
}

/// Frees a value that unload did not take. It always does; this covers a `DriverEntry` that goes on after
/// [`create`] and fails, against its contract: better a leak of what runs than of memory too.
unsafe extern "C" fn evt_destroy<D: Driver>(driver: WDFOBJECT) {
    // SAFETY: the driver object exists during its callback and was made with this context.
    let slot: &Slot<D> = unsafe { context::context(driver, &context::DRIVER) };
    // SAFETY: nobody borrows the value: it is handed out to no one.
    drop(unsafe { slot.take() });
}
