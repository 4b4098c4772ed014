//! What a request asks for, and its buffers.
//!
//! Input and output of a `METHOD_BUFFERED` code share one system buffer, as on Windows.

use core::ffi::c_void;

use sim_platform::nt::{
    BOOLEAN, KPROCESSOR_MODE, METHOD_NEITHER, NTSTATUS, PVOID, STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG,
    ULONG_PTR,
};

use crate::{
    Host, Rule,
    call::{Call, write_out},
    handle::Handle,
    request::{Operation, Request},
    types::{
        _WDF_REQUEST_PARAMETERS__bindgen_ty_1 as Parameters,
        _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_4 as DeviceIoControl, _WDF_REQUEST_TYPE,
        PWDF_REQUEST_PARAMETERS, WDF_REQUEST_PARAMETERS, WDFFILEOBJECT, WDFQUEUE, WDFREQUEST,
    },
};

/// Reads something of a request that the driver owns.
fn read<H: Host, R>(call: &Call<'_, H>, request: WDFREQUEST, read: impl FnOnce(&Request) -> R) -> Option<R> {
    call.checked(|state| {
        let (_, request) = state.owned_request(request)?;
        Ok(read(request))
    })
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestIsCanceled<H: Host>(call: &Call<'_, H>, request: WDFREQUEST) -> BOOLEAN {
    read(call, request, |request| request.cancelled).map_or(0, BOOLEAN::from)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestIsFrom32BitProcess<H: Host>(call: &Call<'_, H>, request: WDFREQUEST) -> BOOLEAN {
    read(call, request, |request| request.requestor.is_32_bit).map_or(0, BOOLEAN::from)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestGetParameters<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    parameters: PWDF_REQUEST_PARAMETERS,
) {
    if !call.require(parameters, "Parameters") {
        return;
    }
    // SAFETY: not null, so the caller vouches for it.
    let mut target = unsafe { parameters.read() };
    if !call.check_size(
        "WDF_REQUEST_PARAMETERS",
        usize::from(target.Size),
        size_of::<WDF_REQUEST_PARAMETERS>(),
    ) {
        return;
    }
    let Some(operation) = read(call, request, |request| request.operation) else {
        return;
    };
    match operation {
        Operation::Create => {
            target.Type = _WDF_REQUEST_TYPE::WdfRequestTypeCreate;
            target.Parameters = WDF_REQUEST_PARAMETERS::default().Parameters;
        }
        Operation::DeviceControl {
            code,
            input_length,
            output_length,
            ..
        } => {
            target.Type = _WDF_REQUEST_TYPE::WdfRequestTypeDeviceControl;
            target.Parameters = Parameters {
                DeviceIoControl: DeviceIoControl {
                    OutputBufferLength: output_length,
                    InputBufferLength: input_length,
                    IoControlCode: code,
                    Type3InputBuffer: core::ptr::null_mut(),
                },
            };
        }
    }
    // SAFETY: not null, so the caller vouches for it.
    unsafe { parameters.write(target) };
}

/// Which part of the system buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Input,
    Output,
}

/// Finds one side of a request's buffer: where it is and how long.
fn buffer<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    minimum: usize,
    side: Side,
) -> Result<(*mut c_void, usize), NTSTATUS> {
    match read(call, request, |request| request.operation) {
        None => Err(STATUS_INVALID_HANDLE),
        Some(Operation::Create) => Err(STATUS_INVALID_DEVICE_REQUEST),
        Some(Operation::DeviceControl {
            code,
            buffer,
            input_length,
            output_length,
        }) => {
            if code & METHOD_NEITHER == METHOD_NEITHER {
                return Err(STATUS_INVALID_DEVICE_REQUEST);
            }
            let length = if side == Side::Input {
                input_length
            } else {
                output_length
            };
            if length == 0 || length < minimum || buffer.0.is_null() {
                return Err(STATUS_BUFFER_TOO_SMALL);
            }
            Ok((buffer.0, length))
        }
    }
}

/// Answers a call for one side of the buffer.
///
/// # Safety
/// `target` may be written; `length` is null or may be written.
unsafe fn retrieve<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    minimum: usize,
    side: Side,
    target: *mut PVOID,
    length: *mut usize,
) -> NTSTATUS {
    if !call.require(target, "Buffer") {
        return STATUS_INVALID_PARAMETER;
    }
    match buffer(call, request, minimum, side) {
        Ok((address, bytes)) => {
            // SAFETY: not null, so the caller vouches for it.
            unsafe { target.write(address) };
            // SAFETY: the caller's promise.
            unsafe { write_out(length, bytes) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestRetrieveInputBuffer<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    minimum: usize,
    target: *mut PVOID,
    length: *mut usize,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    unsafe { retrieve(call, request, minimum, Side::Input, target, length) }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestRetrieveOutputBuffer<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    minimum: usize,
    target: *mut PVOID,
    length: *mut usize,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    unsafe { retrieve(call, request, minimum, Side::Output, target, length) }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestSetInformation<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    information: ULONG_PTR,
) {
    call.checked(|state| {
        let (_, request) = state.owned_request(request)?;
        request.information = usize::try_from(information).map_err(|_| Rule::InvalidParameter {
            reason: "Information does not fit a pointer",
        })?;
        Ok(())
    });
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestGetInformation<H: Host>(call: &Call<'_, H>, request: WDFREQUEST) -> ULONG_PTR {
    read(call, request, |request| request.information as ULONG_PTR).unwrap_or(0)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestGetFileObject<H: Host>(call: &Call<'_, H>, request: WDFREQUEST) -> WDFFILEOBJECT {
    read(call, request, |request| request.file)
        .flatten()
        .map_or(core::ptr::null_mut(), Handle::pointer)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestGetRequestorMode<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
) -> KPROCESSOR_MODE {
    read(call, request, |request| request.requestor.mode).unwrap_or(0)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestGetRequestorProcessId<H: Host>(call: &Call<'_, H>, request: WDFREQUEST) -> ULONG {
    read(call, request, |request| request.requestor.process_id).unwrap_or(0)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestGetIoQueue<H: Host>(call: &Call<'_, H>, request: WDFREQUEST) -> WDFQUEUE {
    read(call, request, |request| request.queue)
        .flatten()
        .map_or(core::ptr::null_mut(), Handle::pointer)
}
