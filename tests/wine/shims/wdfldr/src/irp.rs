//! The requests of Wine's I/O manager on their way into the framework.

use core::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use kmdf_model::{CreateIrp, DeviceControlIrp, DeviceId, DeviceObject, FileId, IrpId, Requestor};
use sim_platform::nt::{
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, NTSTATUS,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS,
};
use wine_kernel::nt::{self, Irp, StackLocation};

use crate::{
    access::{self, Access},
    host::WineHost,
    state::{Pending, State, kmdf},
};

/// `STATUS_PENDING`
const PENDING: NTSTATUS = 0x103;
const USER_MODE: i8 = 1;

/// Control codes of this module's own, which no driver sees. With them a program does for Wine's I/O manager what that
/// of Windows does by itself.
///
/// Wine lets every opening succeed, and brings it to the driver afterwards. This one answers what the driver answered
/// when the file was opened, or that the caller has not the access to the device that it wants: the number in the input,
/// 1 to read, 3 to read and write.
const WAS_OPENED: u32 = 0x0022_3FFC;
/// Wine brings no `IRP_MJ_CLEANUP`. This one says that the last handle is about to be closed.
const IS_CLOSING: u32 = 0x0022_3FF8;

/// The functions of a driver object that lead here.
pub const MAJOR_FUNCTIONS: [u32; 4] = [IRP_MJ_CREATE, IRP_MJ_CLOSE, IRP_MJ_CLEANUP, IRP_MJ_DEVICE_CONTROL];

fn requestor() -> Requestor {
    // SAFETY: the function asks for nothing.
    let process = unsafe { nt::PsGetCurrentProcessId() };
    Requestor {
        mode: USER_MODE,
        process_id: u32::try_from(process.addr()).unwrap_or_default(),
        is_32_bit: false,
    }
}

/// Where a packet keeps its cancel routine; threads race for it.
///
/// # Safety
///
/// The packet lives as long as the reference.
const unsafe fn cancel_routine<'a>(irp: *mut Irp) -> &'a AtomicPtr<c_void> {
    // SAFETY: the packet lives, as the caller promises.
    let place = unsafe { &raw mut (*irp).CancelRoutine };
    // SAFETY: as above; the kernel changes the place atomically too.
    unsafe { AtomicPtr::from_ptr(place) }
}

/// Ends a packet that the framework has not seen, or has given back.
fn finish(irp: *mut Irp, status: NTSTATUS, information: usize) {
    // SAFETY: the packet is ours until it is completed.
    let packet = unsafe { &mut *irp };
    packet.Status = status;
    packet.Information = information;
    // SAFETY: this is the last use of the packet.
    unsafe { nt::IofCompleteRequest(irp, 0) };
}

/// What a driver object's functions point to.
pub unsafe extern "C" fn dispatch(device: *mut nt::DeviceObject, irp: *mut Irp) -> NTSTATUS {
    // SAFETY: the I/O manager passes a packet that is ours until it is completed.
    let stack = unsafe { (*irp).CurrentStackLocation };
    // SAFETY: as above.
    let request = unsafe { &mut *stack };
    let object = DeviceObject(device.addr());
    let file = FileId(request.FileObject.addr());
    let major = u32::from(request.MajorFunction);
    if major == IRP_MJ_DEVICE_CONTROL {
        let mut status = kmdf().host().state(|state| state.opened(object, file));
        let is_ours = matches!(request.IoControlCode, WAS_OPENED | IS_CLOSING);
        if status >= 0 && request.IoControlCode == WAS_OPENED {
            status = access::check(&kmdf().host().security(object), wanted(irp, request));
        }
        if is_ours || status < 0 {
            if request.IoControlCode == IS_CLOSING {
                cleanup(object, file);
            }
            finish(irp, status, 0);
            return status;
        }
    }
    let Some(id) = kmdf().host().device_id(object) else {
        finish(irp, STATUS_NO_SUCH_DEVICE, 0);
        return STATUS_NO_SUCH_DEVICE;
    };
    match major {
        IRP_MJ_CREATE => create(id, object, irp, request, file),
        IRP_MJ_DEVICE_CONTROL => device_control(id, irp, request, file),
        IRP_MJ_CLOSE => {
            cleanup(object, file);
            kmdf().close(id, file);
            kmdf().host().forget_file(object, file);
            finish(irp, STATUS_SUCCESS, 0);
            STATUS_SUCCESS
        }
        IRP_MJ_CLEANUP => {
            cleanup(object, file);
            finish(irp, STATUS_SUCCESS, 0);
            STATUS_SUCCESS
        }
        _ => {
            finish(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
            STATUS_INVALID_DEVICE_REQUEST
        }
    }
}

/// Tells the framework that the last handle of a file is closed, once.
fn cleanup(device: DeviceObject, file: FileId) {
    let host = kmdf().host();
    if host.state(|state| state.begin_close(device, file))
        && let Some(id) = host.device_id(device)
    {
        kmdf().cleanup(id, file);
    }
}

/// The access that the caller of [`WAS_OPENED`] wants; none is read access.
fn wanted(irp: *mut Irp, request: &StackLocation) -> Access {
    // SAFETY: the packet is ours until it is completed.
    let input: *const u8 = unsafe { (*irp).SystemBuffer }.cast();
    // SAFETY: a buffer of a packet is as long as its input.
    let write = request.InputBufferLength > 0 && !input.is_null() && unsafe { input.read() } & 2 != 0;
    if write { Access::ReadWrite } else { Access::Read }
}

fn create(
    device: DeviceId,
    object: DeviceObject,
    irp: *mut Irp,
    request: &mut StackLocation,
    file: FileId,
) -> NTSTATUS {
    let Some(packet) = kmdf().host().admit_open(object, file, irp) else {
        let refuse = |state: &mut State| state.refuse(object, file, STATUS_NO_SUCH_DEVICE);
        kmdf().host().state(refuse);
        finish(irp, STATUS_NO_SUCH_DEVICE, 0);
        return STATUS_NO_SUCH_DEVICE;
    };
    request.Control |= nt::SL_PENDING_RETURNED;
    // SAFETY: the file object lives as long as the packet that opens it.
    let name = unsafe { request.FileObject.as_ref() }.map(|file| file.FileName);
    let name = match name {
        // SAFETY: the file object's name is as long as it says.
        Some(name) if !name.Buffer.is_null() => unsafe {
            core::slice::from_raw_parts(name.Buffer, usize::from(name.Length / 2))
        },
        _ => &[],
    };
    kmdf().create(
        device,
        &CreateIrp {
            irp: packet,
            file,
            name,
            requestor: requestor(),
        },
    );
    PENDING
}

fn device_control(device: DeviceId, irp: *mut Irp, request: &mut StackLocation, file: FileId) -> NTSTATUS {
    request.Control |= nt::SL_PENDING_RETURNED;
    let packet = kmdf().host().state(|state| state.add_irp(irp, None));
    // SAFETY: the packet is ours until the framework has it, which is below.
    let place = unsafe { cancel_routine(irp) };
    // SAFETY: as above.
    let own = unsafe { &mut *irp };
    own.DriverContext[0] = packet.0;
    let buffer = own.SystemBuffer;
    let control = DeviceControlIrp {
        irp: packet,
        file,
        code: request.IoControlCode,
        buffer,
        input_length: request.InputBufferLength as usize,
        output_length: request.OutputBufferLength as usize,
        requestor: requestor(),
    };
    // From here on the packet may be cancelled; the framework asks whether it was.
    place.store(cancel as *mut c_void, Ordering::SeqCst);
    kmdf().device_control(device, &control);
    PENDING
}

/// The cancel routine: called with the cancel spin lock held, which it releases.
unsafe extern "C" fn cancel(_device: *mut nt::DeviceObject, irp: *mut Irp) {
    // SAFETY: who completes a packet takes the cancel spin lock first, so this one lives.
    let cancelled = unsafe { &*irp };
    let (packet, irql) = (IrpId(cancelled.DriverContext[0]), cancelled.CancelIrql);
    // SAFETY: it is held for this routine.
    unsafe { nt::IoReleaseCancelSpinLock(irql) };
    kmdf().cancel(packet);
}

/// Completes a packet that the framework has.
pub fn complete(host: &WineHost, packet: IrpId, status: NTSTATUS, information: usize) {
    let Some(Pending { irp, opens }) = host.state(|state| state.irps.remove(&packet)) else {
        return;
    };
    match opens {
        Some((device, file)) if status < 0 => {
            host.forget_file(device, file);
            host.state(|state| state.refuse(device, file, status));
        }
        Some(_) => {}
        None => {
            // A cancel routine that has begun keeps the lock until it has read what it needs.
            let mut irql = 0;
            // SAFETY: the out parameter is valid.
            unsafe { nt::IoAcquireCancelSpinLock(&raw mut irql) };
            // SAFETY: the packet is not completed yet.
            unsafe { cancel_routine(irp) }.store(ptr::null_mut(), Ordering::SeqCst);
            // SAFETY: it was acquired above.
            unsafe { nt::IoReleaseCancelSpinLock(irql) };
        }
    }
    finish(irp, status, information);
}

/// Whether a packet that the framework has was cancelled.
pub fn is_cancelled(host: &WineHost, packet: IrpId) -> bool {
    host.state(|state| {
        state.irps.get(&packet).is_some_and(|pending| {
            // SAFETY: a packet in the list is not completed yet: it is taken out first.
            let cancel = unsafe { &raw const (*pending.irp).Cancel };
            // SAFETY: as above.
            unsafe { cancel.read_volatile() != 0 }
        })
    })
}
