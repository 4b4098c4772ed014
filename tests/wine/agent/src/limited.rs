//! This program again, without the rights of an administrator.
//!
//! Under Wine everybody is an administrator. A restricted token is one of the same user whose membership in the group of
//! administrators only denies, as that of a program that was not elevated.

use std::{env, io, mem, ptr};

use windows_sys::Win32::{
    Foundation::{CloseHandle, HANDLE},
    Security::{
        CreateRestrictedToken, CreateWellKnownSid, PSID, SECURITY_MAX_SID_SIZE, SID_AND_ATTRIBUTES,
        TOKEN_ALL_ACCESS, WinBuiltinAdministratorsSid,
    },
    System::Threading::{
        CreateProcessAsUserW, GetCurrentProcess, INFINITE, OpenProcessToken, PROCESS_INFORMATION,
        STARTUPINFOW, WaitForSingleObject,
    },
};

use crate::wide;

fn check(done: i32) -> io::Result<()> {
    if done == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Starts this program with a restricted token, in its place at the other end of the pipes, and waits for its end.
pub fn run_again() -> io::Result<()> {
    let token = restricted_token()?;
    let program = wide(&env::current_exe()?.to_string_lossy());
    let startup = STARTUPINFOW {
        cb: u32::try_from(mem::size_of::<STARTUPINFOW>()).unwrap_or_default(),
        ..STARTUPINFOW::default()
    };
    let mut started = PROCESS_INFORMATION::default();
    // SAFETY: the token is open, the name terminated, and the structures are valid; the other pointers may be null.
    check(unsafe {
        CreateProcessAsUserW(
            token,
            program.as_ptr(),
            ptr::null_mut(),
            ptr::null(),
            ptr::null(),
            1,
            0,
            ptr::null(),
            ptr::null(),
            &raw const startup,
            &raw mut started,
        )
    })?;
    // SAFETY: the process was just started, and its handle is ours.
    unsafe { WaitForSingleObject(started.hProcess, INFINITE) };
    for handle in [token, started.hThread, started.hProcess] {
        // SAFETY: the handle is open and ours.
        unsafe { CloseHandle(handle) };
    }
    Ok(())
}

fn restricted_token() -> io::Result<HANDLE> {
    let mut administrators = [0_u8; SECURITY_MAX_SID_SIZE as usize];
    let sid: PSID = administrators.as_mut_ptr().cast();
    let mut size = SECURITY_MAX_SID_SIZE;
    // SAFETY: the buffer has this size; the SID is of no domain.
    check(unsafe { CreateWellKnownSid(WinBuiltinAdministratorsSid, ptr::null_mut(), sid, &raw mut size) })?;
    let denied = SID_AND_ATTRIBUTES {
        Sid: sid,
        Attributes: 0,
    };

    let mut own = ptr::null_mut();
    // SAFETY: the function asks for nothing.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: the out parameter is valid.
    check(unsafe { OpenProcessToken(this, TOKEN_ALL_ACCESS, &raw mut own) })?;
    let mut restricted = ptr::null_mut();
    // SAFETY: the token is open, the one SID valid during the call, and the out parameter valid; nothing is deleted or
    // restricted.
    let done = check(unsafe {
        CreateRestrictedToken(
            own,
            0,
            1,
            &raw const denied,
            0,
            ptr::null(),
            0,
            ptr::null(),
            &raw mut restricted,
        )
    });
    // SAFETY: the handle is open and ours.
    unsafe { CloseHandle(own) };
    done.map(|()| restricted)
}
