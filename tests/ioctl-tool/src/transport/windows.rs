//! The drivers of the Windows that runs this.

use std::os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_BAD_COMMAND, ERROR_FILE_NOT_FOUND, ERROR_INVALID_FUNCTION,
    ERROR_INVALID_PARAMETER, ERROR_IO_PENDING, ERROR_NO_SUCH_DEVICE, ERROR_OPERATION_ABORTED,
    ERROR_PATH_NOT_FOUND, GENERIC_READ, GENERIC_WRITE, GetLastError, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_OVERLAPPED, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
};
use windows_sys::Win32::System::IO::{DeviceIoControl, GetOverlappedResult, OVERLAPPED};
use windows_sys::Win32::System::Threading::CreateEventW;

use super::{Device, System, Transport, TransportError};

/// The Windows that runs this.
#[derive(Clone, Copy, Debug, Default)]
pub struct Windows;

/// An open handle of a control device.
///
/// It is an overlapped one, because requests through a synchronous handle wait for each other.
struct Handle(OwnedHandle);

impl System for Windows {
    fn open(&self, device: Device, write: bool) -> Result<Box<dyn Transport>, TransportError> {
        let path: Vec<u16> = device.path().encode_utf16().chain([0]).collect();
        let access = if write {
            GENERIC_READ | GENERIC_WRITE
        } else {
            GENERIC_READ
        };
        // SAFETY: the path is terminated and outlives the call; security attributes and template may
        // both be null.
        let handle = unsafe {
            CreateFileW(
                path.as_ptr(),
                access,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                ptr::null(),
                OPEN_EXISTING,
                FILE_FLAG_OVERLAPPED,
                ptr::null_mut(),
            )
        };
        if handle == INVALID_HANDLE_VALUE {
            return Err(error(last_error()));
        }
        // SAFETY: CreateFileW has just answered this handle, and nothing else owns it.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
        Ok(Box::new(Handle(handle)))
    }

    fn close(self: Box<Self>) -> Result<(), String> {
        Ok(())
    }
}

impl Transport for Handle {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        let too_long = |_| TransportError::Other("a buffer of more than 4 GiB".to_owned());
        let input_length = u32::try_from(input.len()).map_err(too_long)?;
        let output_length = u32::try_from(output.len()).map_err(too_long)?;
        let event = new_event()?;
        let mut overlapped = OVERLAPPED {
            hEvent: event.as_raw_handle(),
            ..OVERLAPPED::default()
        };
        let device: HANDLE = self.0.as_raw_handle();
        // SAFETY: the buffers are valid for the lengths given, and the output is borrowed exclusively.
        // They, `overlapped` and its event outlive the request, because this function does not return
        // before the wait below has seen its end, unless it was never started.
        let started = unsafe {
            DeviceIoControl(
                device,
                code,
                input.as_ptr().cast(),
                input_length,
                output.as_mut_ptr().cast(),
                output_length,
                ptr::null_mut(),
                &raw mut overlapped,
            )
        };
        if started == 0 {
            let code = last_error();
            if code != ERROR_IO_PENDING {
                return Err(error(code));
            }
        }
        let mut returned = 0;
        // SAFETY: the request was started with this handle and this structure; waiting for it ends
        // with the request, whether or not that succeeds.
        let succeeded = unsafe { GetOverlappedResult(device, &raw const overlapped, &raw mut returned, 1) };
        if succeeded == 0 {
            Err(error(last_error()))
        } else {
            Ok(returned as usize)
        }
    }
}

/// An event for one request: reset by hand, not signalled.
fn new_event() -> Result<OwnedHandle, TransportError> {
    // SAFETY: security attributes and name may both be null.
    let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
    if event.is_null() {
        return Err(error(last_error()));
    }
    // SAFETY: CreateEventW has just answered this handle, and nothing else owns it.
    Ok(unsafe { OwnedHandle::from_raw_handle(event) })
}

fn last_error() -> u32 {
    // SAFETY: GetLastError has no preconditions.
    unsafe { GetLastError() }
}

fn error(code: u32) -> TransportError {
    let described = || std::io::Error::from_raw_os_error(code.cast_signed()).to_string();
    match code {
        ERROR_ACCESS_DENIED => TransportError::AccessDenied,
        ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND | ERROR_NO_SUCH_DEVICE | ERROR_BAD_COMMAND => {
            TransportError::NotRunning(described())
        }
        ERROR_INVALID_FUNCTION | ERROR_INVALID_PARAMETER => TransportError::Malformed,
        ERROR_OPERATION_ABORTED => TransportError::Cancelled,
        _ => TransportError::Other(described()),
    }
}
