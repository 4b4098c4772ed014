//! Access control for devices, which Wine does not have: the check that the I/O manager of Windows makes when a file is
//! opened, of the caller's token against the security descriptor that the driver gave the device.
//!
//! winedevice is a process of user mode, so the functions are those of Win32.

use alloc::vec::Vec;
use core::{ffi::c_void, ptr};

use sim_platform::nt::{NTSTATUS, STATUS_ACCESS_DENIED, STATUS_SUCCESS};
use wine_kernel::{log, nt};

/// How a device is opened.
#[derive(Clone, Copy)]
pub enum Access {
    Read,
    ReadWrite,
}

/// Before the list of the driver's: the owner and the group that devices have.
const OWNER: &str = "O:BAG:SY";
const FILE_GENERIC_READ: u32 = 0x0012_0089;
const FILE_GENERIC_WRITE: u32 = 0x0012_0116;
/// Read, write, execute, all: the generic mapping of files.
const MAPPING: [u32; 4] = [FILE_GENERIC_READ, FILE_GENERIC_WRITE, 0x0012_00A0, 0x001F_01FF];

type Handle = *mut c_void;

#[cfg_attr(
    windows,
    link(name = "kernel32.dll", kind = "raw-dylib", modifiers = "+verbatim")
)]
unsafe extern "system" {
    fn OpenProcess(access: u32, inherit: i32, process: u32) -> Handle;
    fn CloseHandle(handle: Handle) -> i32;
    fn LocalFree(memory: *mut c_void) -> *mut c_void;
}

#[cfg_attr(
    windows,
    link(name = "advapi32.dll", kind = "raw-dylib", modifiers = "+verbatim")
)]
unsafe extern "system" {
    fn ConvertStringSecurityDescriptorToSecurityDescriptorW(
        text: *const u16,
        revision: u32,
        descriptor: *mut *mut c_void,
        size: *mut u32,
    ) -> i32;
    fn OpenProcessToken(process: Handle, access: u32, token: *mut Handle) -> i32;
    fn DuplicateToken(token: Handle, level: i32, duplicate: *mut Handle) -> i32;
    fn AccessCheck(
        descriptor: *const c_void,
        token: Handle,
        wanted: u32,
        mapping: *const [u32; 4],
        privileges: *mut c_void,
        privileges_size: *mut u32,
        granted: *mut u32,
        allowed: *mut i32,
    ) -> i32;
}

/// An open handle, closed when dropped.
struct Owned(Handle);

impl Owned {
    fn new(handle: Handle) -> Option<Self> {
        (!handle.is_null()).then_some(Self(handle))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the handle is open and ours.
        unsafe { CloseHandle(self.0) };
    }
}

/// A security descriptor, freed when dropped.
struct Descriptor(*mut c_void);

impl Descriptor {
    fn parse(list: &[u16]) -> Option<Self> {
        const REVISION: u32 = 1;
        let text: Vec<u16> = OWNER
            .encode_utf16()
            .chain(list.iter().copied())
            .chain([0])
            .collect();
        let mut descriptor = ptr::null_mut();
        // SAFETY: the text is terminated, and the out parameter valid; the size is not asked for.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                REVISION,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        };
        (done != 0).then_some(Self(descriptor))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the conversion allocated it, and this is its last use.
        unsafe { LocalFree(self.0) };
    }
}

/// The token of the process whose request is served, for checks.
fn callers_token() -> Option<Owned> {
    const PROCESS_QUERY_INFORMATION: u32 = 0x400;
    const TOKEN_DUPLICATE_AND_QUERY: u32 = 0x2 | 0x8;
    const SECURITY_IMPERSONATION: i32 = 2;
    // SAFETY: the function asks for nothing.
    let process = unsafe { nt::PsGetCurrentProcessId() };
    let process = u32::try_from(process.addr()).ok()?;
    // SAFETY: the function asks for nothing beyond its signature.
    let process = Owned::new(unsafe { OpenProcess(PROCESS_QUERY_INFORMATION, 0, process) })?;
    let mut token = ptr::null_mut();
    // SAFETY: the process is open, and the out parameter valid.
    unsafe { OpenProcessToken(process.0, TOKEN_DUPLICATE_AND_QUERY, &raw mut token) };
    let token = Owned::new(token)?;
    let mut duplicate = ptr::null_mut();
    // SAFETY: the token is open, and the out parameter valid.
    unsafe { DuplicateToken(token.0, SECURITY_IMPERSONATION, &raw mut duplicate) };
    Owned::new(duplicate)
}

/// What the caller may do with a device of this security; without any, everyone may do everything.
pub fn check(security: &[u16], access: Access) -> NTSTATUS {
    if security.is_empty() {
        return STATUS_SUCCESS;
    }
    let wanted = match access {
        Access::Read => FILE_GENERIC_READ,
        Access::ReadWrite => FILE_GENERIC_READ | FILE_GENERIC_WRITE,
    };
    let (Some(descriptor), Some(token)) = (Descriptor::parse(security), callers_token()) else {
        log!("KMDF: who opens a device, or who may, cannot be told");
        return STATUS_ACCESS_DENIED;
    };
    // A set of privileges, of which none is looked at.
    let mut privileges = [0_u32; 64];
    let mut size = nt::size_u32::<[u32; 64]>();
    let (mut granted, mut allowed) = (0, 0);
    // SAFETY: descriptor and token are valid, and so are all places.
    let done = unsafe {
        AccessCheck(
            descriptor.0,
            token.0,
            wanted,
            &MAPPING,
            privileges.as_mut_ptr().cast(),
            &raw mut size,
            &raw mut granted,
            &raw mut allowed,
        )
    };
    if done == 0 {
        log!("KMDF: the access to a device cannot be checked");
    }
    if done != 0 && allowed != 0 {
        STATUS_SUCCESS
    } else {
        STATUS_ACCESS_DENIED
    }
}
