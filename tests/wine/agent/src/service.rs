//! Service control.

use std::{ptr, thread, time::Duration};

use windows_sys::Win32::System::Services::{
    CloseServiceHandle, ControlService, CreateServiceW, OpenSCManagerW, OpenServiceW, QueryServiceStatus,
    SC_HANDLE, SC_MANAGER_ALL_ACCESS, SERVICE_ALL_ACCESS, SERVICE_CONTROL_STOP, SERVICE_KERNEL_DRIVER,
    SERVICE_START_PENDING, SERVICE_STATUS, SERVICE_STOPPED, StartServiceW,
};

use crate::{last_error, wide};

/// An open handle of service control.
struct Handle(SC_HANDLE);

impl Handle {
    fn new(handle: SC_HANDLE) -> Result<Self, u32> {
        if handle.is_null() {
            Err(last_error())
        } else {
            Ok(Self(handle))
        }
    }

    fn manager() -> Result<Self, u32> {
        // SAFETY: both pointers may be null.
        Self::new(unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_ALL_ACCESS) })
    }

    fn service(name: &str) -> Result<Self, u32> {
        let manager = Self::manager()?;
        let name = wide(name);
        // SAFETY: the manager is open, and the name terminated.
        Self::new(unsafe { OpenServiceW(manager.0, name.as_ptr(), SERVICE_ALL_ACCESS) })
    }

    fn status(&self) -> Result<SERVICE_STATUS, u32> {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: the service is open, and the out parameter valid.
        check(unsafe { QueryServiceStatus(self.0, &raw mut status) }).map(|()| status)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is open and ours.
        unsafe { CloseServiceHandle(self.0) };
    }
}

fn check(done: i32) -> Result<(), u32> {
    if done == 0 { Err(last_error()) } else { Ok(()) }
}

/// An answer as a number.
fn number(result: Result<(), u32>) -> u32 {
    result.err().unwrap_or_default()
}

pub fn create(name: &str, display: &str, path: &str, group: &str, start: u32, control: u32) -> u32 {
    let [name, display, path, group] = [name, display, path, group].map(wide);
    let created = Handle::manager().and_then(|manager| {
        // SAFETY: the manager is open, and the strings are terminated; the other pointers may be null.
        Handle::new(unsafe {
            CreateServiceW(
                manager.0,
                name.as_ptr(),
                display.as_ptr(),
                SERVICE_ALL_ACCESS,
                SERVICE_KERNEL_DRIVER,
                start,
                control,
                path.as_ptr(),
                group.as_ptr(),
                ptr::null_mut(),
                ptr::null(),
                ptr::null(),
                ptr::null(),
            )
        })
    });
    number(created.map(drop))
}

/// Starts a service and waits until it runs, or has failed to.
pub fn start(name: &str) -> u32 {
    number(Handle::service(name).and_then(|service| {
        // SAFETY: the service is open; there are no arguments.
        check(unsafe { StartServiceW(service.0, 0, ptr::null()) })?;
        loop {
            let status = service.status()?;
            match status.dwCurrentState {
                SERVICE_START_PENDING => thread::sleep(Duration::from_millis(5)),
                SERVICE_STOPPED => return Err(status.dwWin32ExitCode.max(1)),
                _ => return Ok(()),
            }
        }
    }))
}

pub fn stop(name: &str) -> u32 {
    number(Handle::service(name).and_then(|service| {
        let mut status = SERVICE_STATUS::default();
        // SAFETY: the service is open, and the out parameter valid.
        check(unsafe { ControlService(service.0, SERVICE_CONTROL_STOP, &raw mut status) })
    }))
}

/// The state of a service, and its exit code.
pub fn query(name: &str) -> Result<(u32, u32), u32> {
    let status = Handle::service(name)?.status()?;
    Ok((status.dwCurrentState, status.dwWin32ExitCode))
}
