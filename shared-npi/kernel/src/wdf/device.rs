//! Control devices, and the handles that programs open to them.

use core::marker::PhantomData;

use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_SYNCHRONIZATION_SCOPE, NTSTATUS, PWDFDEVICE_INIT, WDFDEVICE, WDFFILEOBJECT,
    WDFOBJECT, WDFQUEUE, WDFREQUEST, call_unsafe_wdf_function_binding,
};

use super::config;
use super::context::{self, Slot, attributes};
use super::driver::DriverHandle;
use super::pend::RequestContext;
use super::request::{Request, complete};
use crate::irql::Passive;
use crate::status::NtStatus;
use crate::unicode::UnicodeStr;

/// `FILE_DEVICE_UNKNOWN`: none of the kinds of device that the system knows.
const FILE_DEVICE_UNKNOWN: u32 = 0x22;
/// `FILE_DEVICE_SECURE_OPEN`: the device's security applies to every name below it too.
const FILE_DEVICE_SECURE_OPEN: u32 = 0x100;

/// What a control device does.
///
/// All callbacks run at `PASSIVE_LEVEL`, on the caller's thread or another, at once for any number of handles
/// and requests: the framework takes no lock for them.
pub trait Device: Send + Sync + Sized + 'static {
    /// The state of one open handle.
    type File: Send + Sync + 'static;

    /// A program opens the device (`EvtDeviceFileCreate`).
    ///
    /// # Errors
    /// The open fails with the status.
    fn create(&self, passive: Passive<'_>) -> Result<Self::File, NtStatus>;

    /// The last handle to the open was closed, be it by the death of its process (`EvtFileCleanup`). Requests
    /// made through it may still be at work.
    fn cleanup(&self, passive: Passive<'_>, file: &Self::File) {
        let _ = (passive, file);
    }

    /// The open is gone: no request of it is left (`EvtFileClose`). Called once per successful
    /// [`Device::create`].
    fn close(&self, passive: Passive<'_>, file: Self::File) {
        let _ = passive;
        drop(file);
    }

    /// A request to the device (`EvtIoDeviceControl`).
    ///
    /// It must not block for long; what has to wait is pended ([`Request::pend`]).
    fn device_control(&self, passive: Passive<'_>, request: Request<Self>);
}

/// What a control device is called, and who may open it.
#[derive(Clone, Copy, Debug)]
pub struct ControlDeviceConfig<'a> {
    /// Its name, for example `\Device\NsEmail`.
    pub name: &'a [u16],
    /// The name by which programs find it, for example `\DosDevices\NsEmail`.
    pub link: &'a [u16],
    /// Its security descriptor in SDDL.
    pub sddl: &'a [u16],
}

/// A control device.
///
/// The framework deletes it after the driver has unloaded, and frees its value then; a driver that wants it
/// gone before calls [`ControlDevice::delete`].
#[derive(Debug)]
pub struct ControlDevice<D: Device> {
    device: WDFDEVICE,
    of: PhantomData<fn() -> D>,
}

// SAFETY: the calls made with a device's handle may be made from any thread.
unsafe impl<D: Device> Send for ControlDevice<D> {}
// SAFETY: as above.
unsafe impl<D: Device> Sync for ControlDevice<D> {}

impl<D: Device> ControlDevice<D> {
    /// Makes a control device. It cannot be opened before [`ControlDevice::finish_initializing`].
    ///
    /// Source: `WdfControlDeviceInitAllocate` and the steps of its documentation page.
    ///
    /// # Errors
    /// What the framework answers. Nothing remains, `value` is dropped.
    pub fn create(
        driver: DriverHandle,
        passive: Passive<'_>,
        config: ControlDeviceConfig<'_>,
        value: D,
    ) -> Result<Self, NtStatus> {
        let init = Init::allocate(driver, config.sddl)?;
        init.describe::<D>(config.name)?;
        let device = Self {
            device: init.create_device::<D>()?,
            of: PhantomData,
        };
        // SAFETY: the device was made just now, with this context.
        let slot: &Slot<D> = unsafe { context::context(device.device.cast(), &context::DEVICE) };
        // SAFETY: this is the only place that fills it, and it runs once per device.
        unsafe { slot.fill(value) };
        if let Err(status) = device.complete_device(config.link) {
            device.delete(passive);
            return Err(status);
        }
        Ok(device)
    }

    /// The link and the queue.
    fn complete_device(&self, link: &[u16]) -> Result<(), NtStatus> {
        let mut link = UnicodeStr::new(link)?;
        // SAFETY: the device exists, and the name is valid during the call.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceCreateSymbolicLink, self.device, link.as_raw())
        };
        NtStatus(status).ok()?;
        let mut queue = config::default_queue(evt_device_control::<D>);
        // SAFETY: the device exists and the configuration is valid; the attributes (inherited from the device
        // then) and the out parameter are optional.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfIoQueueCreate,
                self.device,
                &raw mut queue,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
            )
        };
        NtStatus(status).ok()
    }

    /// Lets programs open the device. The last step of making it.
    ///
    /// Source: `WdfControlFinishInitializing`.
    pub fn finish_initializing(&self, _: Passive<'_>) {
        // SAFETY: the device exists until the driver has unloaded or `delete` consumes this handle.
        unsafe { call_unsafe_wdf_function_binding!(WdfControlFinishInitializing, self.device) };
    }

    /// Deletes the device: it cannot be opened any more, and goes when its last handle is closed.
    ///
    /// Source: `WdfObjectDelete`.
    pub fn delete(self, _: Passive<'_>) {
        // SAFETY: the device exists, and this handle, the only one, is not used again.
        unsafe { call_unsafe_wdf_function_binding!(WdfObjectDelete, self.device.cast()) };
    }

    /// The value of the device.
    #[must_use]
    pub fn get(&self) -> Option<&D> {
        // SAFETY: the device exists until the driver has unloaded or `delete` consumes this handle.
        let slot: &Slot<D> = unsafe { context::context(self.device.cast(), &context::DEVICE) };
        // SAFETY: the slot is emptied only when the device goes.
        unsafe { slot.get() }
    }
}

/// The description that a device is made from, freed unless one was.
struct Init(PWDFDEVICE_INIT);

impl Init {
    fn allocate(driver: DriverHandle, sddl: &[u16]) -> Result<Self, NtStatus> {
        let mut sddl = UnicodeStr::new(sddl)?;
        // SAFETY: the driver object exists, and the text is valid during the call.
        let init = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfControlDeviceInitAllocate,
                driver.wdf(),
                sddl.as_raw().cast_const()
            )
        };
        if init.is_null() {
            Err(NtStatus::INSUFFICIENT_RESOURCES)
        } else {
            Ok(Self(init))
        }
    }

    fn describe<D: Device>(&self, name: &[u16]) -> Result<(), NtStatus> {
        let init = self.0;
        // SAFETY: the description exists.
        unsafe {
            call_unsafe_wdf_function_binding!(WdfDeviceInitSetDeviceType, init, FILE_DEVICE_UNKNOWN);
        }
        // SAFETY: the description exists; 1 adds to the characteristics that are there.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitSetCharacteristics,
                init,
                FILE_DEVICE_SECURE_OPEN,
                1
            );
        }
        let mut files = config::file_object(evt_create::<D>, evt_cleanup::<D>, evt_close::<D>);
        let mut file_attributes = attributes::<Slot<D::File>>(&context::FILE);
        file_attributes.EvtDestroyCallback = Some(evt_file_destroy::<D>);
        // SAFETY: the description exists, and configuration and attributes are valid during the call.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitSetFileObjectConfig,
                init,
                &raw mut files,
                &raw mut file_attributes,
            );
        }
        let mut request_attributes = attributes::<RequestContext>(&context::REQUEST);
        // SAFETY: the description exists, and the attributes are valid during the call.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceInitSetRequestAttributes,
                init,
                &raw mut request_attributes
            );
        }
        let mut name = UnicodeStr::new(name)?;
        // SAFETY: the description exists, and the name is valid during the call.
        let status =
            unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitAssignName, init, name.as_raw()) };
        NtStatus(status).ok()
    }

    fn create_device<D: Device>(mut self) -> Result<WDFDEVICE, NtStatus> {
        let mut attributes = attributes::<Slot<D>>(&context::DEVICE);
        attributes.EvtDestroyCallback = Some(evt_device_destroy::<D>);
        attributes.ExecutionLevel = _WDF_EXECUTION_LEVEL::WdfExecutionLevelPassive;
        attributes.SynchronizationScope = _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeNone;
        let mut device: WDFDEVICE = core::ptr::null_mut();
        // SAFETY: description, attributes and out parameter are valid. On success the framework owns the
        // description and sets our pointer to null.
        let status: NTSTATUS = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfDeviceCreate,
                &raw mut self.0,
                &raw mut attributes,
                &raw mut device,
            )
        };
        NtStatus(status).ok()?;
        Ok(device)
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: no device was made from the description, so it is still ours, and it is not used again.
            unsafe { call_unsafe_wdf_function_binding!(WdfDeviceInitFree, self.0) };
        }
    }
}

/// The value of a device.
///
/// # Safety
/// The device exists for `'a`, and is one that [`ControlDevice::create`] made for a `D`.
unsafe fn value<'a, D: Device>(device: WDFDEVICE) -> Option<&'a D> {
    // SAFETY: passed on to the caller.
    let slot: &Slot<D> = unsafe { context::context(device.cast(), &context::DEVICE) };
    // SAFETY: the slot is emptied only when the device goes.
    unsafe { slot.get() }
}

unsafe extern "C" fn evt_create<D: Device>(device: WDFDEVICE, request: WDFREQUEST, file: WDFFILEOBJECT) {
    // SAFETY: EvtDeviceFileCreate is called at PASSIVE_LEVEL.
    let passive = unsafe { Passive::assume() };
    // SAFETY: the device exists during its callback, and was made for a `D`.
    let opened = unsafe { value::<D>(device) }
        .ok_or(NtStatus::DEVICE_NOT_READY)
        .and_then(|device| device.create(passive));
    let status = match opened {
        Ok(state) => {
            // SAFETY: the file object exists during its callback, and was made with this context.
            let slot: &Slot<D::File> = unsafe { context::context(file.cast(), &context::FILE) };
            // SAFETY: a file object is created once, and this is the only place that fills its slot.
            unsafe { slot.fill(state) };
            NtStatus::SUCCESS
        }
        Err(status) => status,
    };
    // SAFETY: the framework passed this request to us, and it is not used again.
    unsafe { complete(request, status, 0) };
}

unsafe extern "C" fn evt_cleanup<D: Device>(file: WDFFILEOBJECT) {
    // SAFETY: the callback runs at PASSIVE_LEVEL: the device was made with passive execution level.
    let passive = unsafe { Passive::assume() };
    // SAFETY: the file object exists during its callback.
    let device = unsafe { call_unsafe_wdf_function_binding!(WdfFileObjectGetDevice, file) };
    // SAFETY: the device of a file object exists as long as it, and was made for a `D`.
    let device = unsafe { value::<D>(device) };
    // SAFETY: the file object exists during its callback, and was made with this context.
    let slot: &Slot<D::File> = unsafe { context::context(file.cast(), &context::FILE) };
    // SAFETY: the slot is emptied in the close callback, which comes after this one has returned.
    let state = unsafe { slot.get() };
    if let (Some(device), Some(state)) = (device, state) {
        device.cleanup(passive, state);
    }
}

unsafe extern "C" fn evt_close<D: Device>(file: WDFFILEOBJECT) {
    // SAFETY: the callback runs at PASSIVE_LEVEL: the device was made with passive execution level.
    let passive = unsafe { Passive::assume() };
    // SAFETY: the file object exists during its callback.
    let device = unsafe { call_unsafe_wdf_function_binding!(WdfFileObjectGetDevice, file) };
    // SAFETY: the device of a file object exists as long as it, and was made for a `D`.
    let device = unsafe { value::<D>(device) };
    // SAFETY: the file object exists during its callback, and was made with this context.
    let slot: &Slot<D::File> = unsafe { context::context(file.cast(), &context::FILE) };
    // SAFETY: close comes when cleanup has returned and every request of the file object is completed, so
    // nobody borrows the state.
    let state = unsafe { slot.take() };
    if let (Some(device), Some(state)) = (device, state) {
        device.close(passive, state);
    }
}

/// Frees the state of a file object that was created but never closed, which the framework does not let
/// happen.
unsafe extern "C" fn evt_file_destroy<D: Device>(file: WDFOBJECT) {
    // SAFETY: the file object exists during its callback, and was made with this context.
    let slot: &Slot<D::File> = unsafe { context::context(file, &context::FILE) };
    // SAFETY: no reference to the object is left, so nobody borrows the state.
    drop(unsafe { slot.take() });
}

unsafe extern "C" fn evt_device_destroy<D: Device>(device: WDFOBJECT) {
    // SAFETY: the device exists during its callback, and was made with this context.
    let slot: &Slot<D> = unsafe { context::context(device, &context::DEVICE) };
    // SAFETY: no reference to the object is left, so nobody borrows the value.
    drop(unsafe { slot.take() });
}

unsafe extern "C" fn evt_device_control<D: Device>(
    queue: WDFQUEUE,
    request: WDFREQUEST,
    output_len: usize,
    input_len: usize,
    code: u32,
) {
    // SAFETY: the callback runs at PASSIVE_LEVEL: the device was made with passive execution level.
    let passive = unsafe { Passive::assume() };
    // SAFETY: the queue exists during its callback.
    let device = unsafe { call_unsafe_wdf_function_binding!(WdfIoQueueGetDevice, queue) };
    // SAFETY: the device of a queue exists as long as it, and was made for a `D`.
    let Some(device) = (unsafe { value::<D>(device) }) else {
        // SAFETY: the framework passed this request to us, and it is not used again.
        return unsafe { complete(request, NtStatus::DEVICE_NOT_READY, 0) };
    };
    // SAFETY: the request was just passed to us, by a device made for a `D`.
    let file = unsafe { super::request::file_state::<D>(request) };
    let Some(file) = file else {
        // SAFETY: the framework passed this request to us, and it is not used again.
        return unsafe { complete(request, NtStatus::INVALID_DEVICE_REQUEST, 0) };
    };
    // SAFETY: the framework passed this request to us, which owns it from here on; device and file state
    // outlive it.
    let request = unsafe { Request::from_raw(request, device, file, code, input_len, output_len) };
    device.device_control(passive, request);
}
