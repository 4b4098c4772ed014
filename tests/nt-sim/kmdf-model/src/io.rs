//! What the I/O manager brings: open, device control, cancel, cleanup, close.

use core::ffi::c_void;

use sim_platform::nt::{
    KPROCESSOR_MODE, STATUS_INVALID_DEVICE_REQUEST, STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS,
};

use crate::{
    CallbackIrql, DeviceId, FileId, Host, IrpId, Kmdf, Rule,
    attributes::{self, Attributes},
    call::Call,
    file::File,
    handle::{Handle, Kind},
    object, queue, queue_control,
    request::{self, Operation, Ownership, Request},
    state::{Data, Kept, Owner, Stage, State},
    types::PFN_WDF_FILE_CLOSE,
};

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requestor {
    /// `KernelMode` or `UserMode`.
    pub mode: KPROCESSOR_MODE,
    /// The process.
    pub process_id: u32,
    /// Whether it is a 32-bit process.
    pub is_32_bit: bool,
}

/// `IRP_MJ_CREATE`: to open a file.
#[derive(Clone, Copy, Debug)]
pub struct CreateIrp<'a> {
    /// The packet.
    pub irp: IrpId,
    /// By which name the host refers to the file from now on.
    pub file: FileId,
    /// What follows the device's name in the name that is opened.
    pub name: &'a [u16],
    /// Who opens it.
    pub requestor: Requestor,
}

/// `IRP_MJ_DEVICE_CONTROL`.
#[derive(Clone, Copy, Debug)]
pub struct DeviceControlIrp {
    /// The packet.
    pub irp: IrpId,
    /// The file that it is for.
    pub file: FileId,
    /// The control code.
    pub code: u32,
    /// The system buffer, as long as the longer of input and output; it holds the input. Null if
    /// both are empty. It stays until the packet is completed.
    pub buffer: *mut c_void,
    /// Length of the input.
    pub input_length: usize,
    /// Length of the output.
    pub output_length: usize,
    /// Who sent it.
    pub requestor: Requestor,
}

/// What is needed of a device for a request.
pub struct Target {
    device: Handle,
    pub driver: usize,
    pub owner: Owner,
    pub execution: CallbackIrql,
    /// Attributes of its requests.
    pub requests: Attributes,
    file: Option<Handle>,
    queue: Option<Handle>,
    admitted: bool,
    refused: i32,
}

impl<H: Host> State<H> {
    fn target(&mut self, device: DeviceId, file: FileId) -> Option<Target> {
        let (handle, object) = self.resolve(device.0, Kind::Device).ok()?;
        if object.stage != Stage::Live {
            return None;
        }
        let (driver, execution) = (object.driver, object.execution);
        let Data::Device(device) = &object.data else {
            return None;
        };
        let (requests, queue) = (device.requests, device.default_queue);
        let file = device.files.get(&file).copied();
        let owner = self.owner(driver)?;
        let answer = queue
            .and_then(|queue| self.find_queue(queue))
            .map_or(Err(STATUS_INVALID_DEVICE_REQUEST), |queue| queue.admits());
        Some(Target {
            device: handle,
            driver,
            owner,
            execution,
            requests,
            file,
            queue,
            admitted: answer.is_ok(),
            refused: answer.err().unwrap_or(STATUS_SUCCESS),
        })
    }
}

impl<H: Host> Kmdf<H> {
    /// Brings a packet that opens a file. The packet is completed, now or later, by
    /// [`Host::complete`]; if that is with an error, the file is gone, and neither
    /// [`cleanup`](Self::cleanup) nor [`close`](Self::close) follows.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn create(&self, device: DeviceId, create: &CreateIrp<'_>) {
        let call = Call::event(self, "IRP_MJ_CREATE");
        let target = call.with(|state| {
            let target = state.target(device, create.file)?;
            let device = state.find_device(target.device)?;
            (device.finished).then_some((target, device.events))
        });
        let Some((target, events)) = target else {
            self.host.complete(create.irp, STATUS_NO_SUCH_DEVICE, 0);
            return;
        };
        let Some(events) = events else {
            self.host.complete(create.irp, STATUS_SUCCESS, 0);
            return;
        };
        let data = Data::File(File::new(create.file, create.name, create.requestor.process_id));
        let made = attributes::create(
            &call,
            target.driver,
            Some(target.device),
            &events.attributes,
            target.execution,
            data,
        );
        let file = match made {
            Ok(file) => file,
            Err(status) => {
                self.host.complete(create.irp, status, 0);
                return;
            }
        };
        call.with(|state| {
            if let Some(device) = state.find_device(target.device) {
                device.files.insert(create.file, file);
            }
        });
        let Some(callback) = events.create else {
            self.host.complete(create.irp, STATUS_SUCCESS, 0);
            return;
        };
        let request = Request {
            irp: create.irp,
            operation: Operation::Create,
            device: target.device,
            file: Some(file),
            queue: None,
            requestor: create.requestor,
            ownership: Ownership::Driver,
            cancelled: false,
            information: 0,
        };
        match request::create(&call, &target, request) {
            Ok(request) => {
                self.note_early_cancel(&call, create.irp, request);
                let Some(frame) =
                    attributes::frame(&call, target.driver, "EvtDeviceFileCreate", CallbackIrql::Passive)
                else {
                    return;
                };
                self.host.callback(frame, || {
                    // SAFETY: the driver set the callback for this device; all three exist.
                    unsafe { callback(target.device.pointer(), request.pointer(), file.pointer()) }
                });
            }
            Err(status) => {
                call.with(|state| state.find_device(target.device)?.files.remove(&create.file));
                object::delete_tree(&call, file);
                self.host.complete(create.irp, status, 0);
            }
        }
    }

    /// Brings a device control packet. It is completed, now or later, by [`Host::complete`].
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`; user mode's packets come at `PASSIVE_LEVEL`.
    pub fn device_control(&self, device: DeviceId, control: &DeviceControlIrp) {
        let call = Call::event(self, "IRP_MJ_DEVICE_CONTROL");
        let Some(target) = call.with(|state| state.target(device, control.file)) else {
            self.host.complete(control.irp, STATUS_NO_SUCH_DEVICE, 0);
            return;
        };
        let queue = match target.queue {
            Some(queue) if target.admitted => queue,
            _ => {
                self.host.complete(control.irp, target.refused, 0);
                return;
            }
        };
        let request = Request {
            irp: control.irp,
            operation: Operation::DeviceControl {
                code: control.code,
                buffer: Kept(control.buffer),
                input_length: control.input_length,
                output_length: control.output_length,
            },
            device: target.device,
            file: target.file,
            queue: Some(queue),
            requestor: control.requestor,
            ownership: Ownership::Queued,
            cancelled: false,
            information: 0,
        };
        match request::create(&call, &target, request) {
            Ok(request) => {
                if !self.note_early_cancel(&call, control.irp, request) {
                    queue::arrive(&call, queue, request);
                }
            }
            Err(status) => self.host.complete(control.irp, status, 0),
        }
    }

    /// Cancels a packet, which the host has marked as cancelled before. Nothing happens to one that
    /// was completed, or that does not exist.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    pub fn cancel(&self, irp: IrpId) {
        let call = Call::event(self, "IoCancelIrp");
        if let Some(request) = call.with(|state| state.request_of(irp)) {
            request::cancel(&call, request);
        }
    }

    /// Catches up with a cancellation that came before the packet was known here; tells whether the
    /// request is completed by that.
    fn note_early_cancel(&self, call: &Call<'_, H>, irp: IrpId, request: Handle) -> bool {
        if !self.host.is_cancelled(irp) {
            return false;
        }
        request::cancel(call, request);
        call.with(|state| {
            state
                .find_request(request)
                .is_none_or(|request| request.is_completed())
        })
    }

    /// Takes note that the last handle of a file was closed: `EvtFileCleanup`, after which requests
    /// for the file that the driver has not seen are cancelled.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn cleanup(&self, device: DeviceId, file: FileId) {
        let call = Call::event(self, "IRP_MJ_CLEANUP");
        if let Some((target, file)) =
            self.file_event(&call, device, file, "EvtFileCleanup", |events| events.cleanup)
        {
            queue_control::flush_file(&call, target, file);
        }
    }

    /// Takes note that nobody uses a file any more: `EvtFileClose`, after which the file object is
    /// deleted.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn close(&self, device: DeviceId, file: FileId) {
        let call = Call::event(self, "IRP_MJ_CLOSE");
        let found = self.file_event(&call, device, file, "EvtFileClose", |events| events.close);
        let Some((device, handle)) = found else {
            return;
        };
        let busy = call.with(|state| {
            state.find_device(device)?.files.remove(&file);
            let requests = state.find_file(handle)?.requests;
            let driver = state.find(handle)?.driver;
            (requests != 0).then(|| state.owner(driver).map(|(id, _)| id))
        });
        if let Some(driver) = busy {
            call.report_for(driver, Rule::FileClosedWithRequests { file: handle.raw() });
        }
        object::delete_tree(&call, handle);
    }

    /// Calls one of the file callbacks of a device, if it has it.
    fn file_event(
        &self,
        call: &Call<'_, H>,
        device: DeviceId,
        file: FileId,
        name: &'static str,
        choose: impl FnOnce(&crate::device::FileEvents) -> PFN_WDF_FILE_CLOSE,
    ) -> Option<(Handle, Handle)> {
        let (device, driver, file, callback) = call.with(|state| {
            let (handle, object) = state.resolve(device.0, Kind::Device).ok()?;
            let driver = object.driver;
            let Data::Device(device) = &object.data else {
                return None;
            };
            let file = *device.files.get(&file)?;
            Some((handle, driver, file, device.events.as_ref().and_then(choose)))
        })?;
        if let Some(callback) = callback
            && let Some(frame) = attributes::frame(call, driver, name, CallbackIrql::Passive)
        {
            self.host.callback(frame, || {
                // SAFETY: the driver set the callback for files of this device; the file exists.
                unsafe { callback(file.pointer()) }
            });
        }
        Some((device, file))
    }

    /// Does work that was put off by [`Host::defer`].
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn run_deferred(&self, work: Deferred) {
        let call = Call::event(self, "a work item of the framework");
        match work.0 {
            Work::Pump(queue) => queue::pump(&call, queue),
            Work::Delete(handle) => object::delete_tree(&call, handle),
        }
    }
}

/// Work that the model wants done at `PASSIVE_LEVEL`.
#[derive(Clone, Copy, Debug)]
pub struct Deferred(Work);

#[derive(Clone, Copy, Debug)]
enum Work {
    Pump(Handle),
    Delete(Handle),
}

impl Deferred {
    pub(crate) const fn pump(queue: Handle) -> Self {
        Self(Work::Pump(queue))
    }

    pub(crate) const fn delete(object: Handle) -> Self {
        Self(Work::Delete(object))
    }
}
