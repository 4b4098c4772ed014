//! The same request many times, for its cost: nothing is made anew between two of them.

use std::{ptr, time::Instant};

use windows_sys::Win32::{
    Foundation::{CloseHandle, ERROR_IO_PENDING, HANDLE},
    System::{
        IO::{DeviceIoControl, GetOverlappedResult, OVERLAPPED},
        Threading::CreateEventW,
    },
};

use crate::last_error;

/// How it went.
pub struct Repeated {
    /// What the last request ended with.
    pub error: u32,
    /// How many bytes it brought.
    pub returned: u32,
    /// What all took together.
    pub microseconds: u32,
}

/// Sends the request `times` times, each when the one before has ended.
pub fn repeat(device: HANDLE, code: u32, input: &[u8], room: u32, times: u32) -> Repeated {
    let mut output = vec![0_u8; room as usize];
    // SAFETY: all parameters may be null.
    let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
    let mut overlapped = OVERLAPPED {
        hEvent: event,
        ..OVERLAPPED::default()
    };
    let (mut error, mut returned) = (0, 0);
    let start = Instant::now();
    for _ in 0..times {
        // SAFETY: both buffers and the structure outlive the request, whose end is waited for below.
        let done = unsafe {
            DeviceIoControl(
                device,
                code,
                input.as_ptr().cast(),
                u32::try_from(input.len()).unwrap_or(u32::MAX),
                output.as_mut_ptr().cast(),
                room,
                ptr::null_mut(),
                &raw mut overlapped,
            )
        };
        error = if done == 0 { last_error() } else { 0 };
        if !matches!(error, 0 | ERROR_IO_PENDING) {
            continue;
        }
        // SAFETY: the structure is that of the request that was just sent, whose event it has.
        let done = unsafe { GetOverlappedResult(device, &raw const overlapped, &raw mut returned, 1) };
        error = if done == 0 { last_error() } else { 0 };
    }
    let took = start.elapsed();
    // SAFETY: the event is this function's, and no request is under way.
    unsafe { CloseHandle(event) };
    Repeated {
        error,
        returned,
        microseconds: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
    }
}
