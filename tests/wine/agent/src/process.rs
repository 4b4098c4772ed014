//! Other processes.

use windows_sys::Win32::{
    Foundation::{CloseHandle, HANDLE, WAIT_OBJECT_0, WAIT_TIMEOUT},
    System::Threading::{OpenProcess, PROCESS_ALL_ACCESS, TerminateProcess, WaitForSingleObject},
};

use crate::last_error;

/// How long a process may take to go, in milliseconds.
const PATIENCE: u32 = 60_000;

/// Ends a process as the task manager does, and waits until it is gone.
pub fn kill(process: u32) -> u32 {
    // SAFETY: the function asks for nothing beyond its signature.
    let handle = unsafe { OpenProcess(PROCESS_ALL_ACCESS, 0, process) };
    if handle.is_null() {
        return last_error();
    }
    let error = end(handle);
    // SAFETY: the handle is open and ours.
    unsafe { CloseHandle(handle) };
    error
}

fn end(handle: HANDLE) -> u32 {
    // SAFETY: the handle is that of a process.
    if unsafe { TerminateProcess(handle, 1) } == 0 {
        return last_error();
    }
    // SAFETY: as above.
    match unsafe { WaitForSingleObject(handle, PATIENCE) } {
        WAIT_OBJECT_0 => 0,
        WAIT_TIMEOUT => WAIT_TIMEOUT,
        _ => last_error(),
    }
}
