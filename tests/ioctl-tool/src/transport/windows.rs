//! The drivers of the Windows that runs this.

use std::{
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr,
};

use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_BAD_COMMAND, ERROR_FILE_NOT_FOUND, ERROR_INVALID_FUNCTION,
        ERROR_INVALID_PARAMETER, ERROR_NO_SUCH_DEVICE, ERROR_OPERATION_ABORTED, ERROR_PATH_NOT_FOUND,
        GENERIC_READ, GENERIC_WRITE, GetLastError, INVALID_HANDLE_VALUE, WIN32_ERROR,
    },
    Storage::FileSystem::{CreateFileW, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING},
    System::IO::DeviceIoControl,
};

use super::{Device, System, Transport, TransportError};

/// The Windows that runs this.
#[derive(Clone, Copy, Debug, Default)]
pub struct Windows;

/// An open handle of a control device.
///
/// The handle is synchronous: requests from several threads take turns in the I/O manager.
struct Handle(OwnedHandle);

impl System for Windows {
    fn open(&self, device: Device, write: bool) -> Result<Box<dyn Transport>, TransportError> {
        let path: Vec<u16> = device.path().encode_utf16().chain([0]).collect();
        let access = if write {
            GENERIC_READ | GENERIC_WRITE
        } else {
            GENERIC_READ
        };
        // SAFETY: the path is terminated and outlives the call; the other pointers are null, which
        // CreateFileW allows for both.
        let handle = unsafe {
            CreateFileW(
                path.as_ptr(),
                access,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                ptr::null(),
                OPEN_EXISTING,
                0,
                ptr::null_mut(),
            )
        };
        if handle == INVALID_HANDLE_VALUE {
            return Err(last_error());
        }
        // SAFETY: CreateFileW has just answered this handle, and nothing else owns it.
        let handle = unsafe { OwnedHandle::from_raw_handle(handle.cast()) };
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
        let mut returned = 0;
        // SAFETY: both buffers are valid for the lengths given and outlive the call, which is
        // synchronous because the handle was opened without FILE_FLAG_OVERLAPPED; only the output
        // is written, and it is borrowed exclusively.
        let succeeded = unsafe {
            DeviceIoControl(
                self.0.as_raw_handle().cast(),
                code,
                input.as_ptr().cast(),
                input_length,
                output.as_mut_ptr().cast(),
                output_length,
                &raw mut returned,
                ptr::null_mut(),
            )
        };
        if succeeded == 0 {
            Err(last_error())
        } else {
            Ok(returned as usize)
        }
    }
}

fn last_error() -> TransportError {
    // SAFETY: GetLastError has no preconditions.
    let code: WIN32_ERROR = unsafe { GetLastError() };
    match code {
        ERROR_ACCESS_DENIED => TransportError::AccessDenied,
        ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND | ERROR_NO_SUCH_DEVICE | ERROR_BAD_COMMAND => {
            TransportError::NotRunning(std::io::Error::from_raw_os_error(code.cast_signed()).to_string())
        }
        ERROR_INVALID_FUNCTION | ERROR_INVALID_PARAMETER => TransportError::Malformed,
        ERROR_OPERATION_ABORTED => TransportError::Cancelled,
        _ => TransportError::Other(std::io::Error::from_raw_os_error(code.cast_signed()).to_string()),
    }
}
