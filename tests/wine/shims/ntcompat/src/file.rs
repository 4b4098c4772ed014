//! Files, and the data directories of drivers.

use core::{ffi::c_void, ptr};

use sim_platform::nt::{
    DRIVER_OBJECT, HANDLE, IO_STATUS_BLOCK, NTSTATUS, OBJ_CASE_INSENSITIVE, OBJ_KERNEL_HANDLE,
    OBJECT_ATTRIBUTES, STATUS_INVALID_PARAMETER, SYNCHRONIZE, UNICODE_STRING,
};
use wine_kernel::nt;

/// A UTF-16 string of an ASCII literal.
#[macro_export]
macro_rules! wide {
    ($text:expr) => {
        const { &$crate::file::widen::<{ $text.len() }>($text) }
    };
}

/// See [`wide!`].
pub const fn widen<const LENGTH: usize>(text: &str) -> [u16; LENGTH] {
    let mut units = [0; LENGTH];
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < LENGTH {
        units[at] = bytes[at] as u16;
        at += 1;
    }
    units
}

/// An open file or directory, closed when dropped.
pub struct File(HANDLE);

/// How to open.
#[derive(Clone, Copy)]
pub enum Want {
    /// A file to read from.
    Read,
    /// A file that is made if it is not there.
    Make,
    /// A directory that is made if it is not there.
    Directory,
}

const FILE_GENERIC_READ: u32 = 0x0012_0089;
const FILE_GENERIC_WRITE: u32 = 0x0012_0116;
const FILE_TRAVERSE: u32 = 0x20;
const FILE_ATTRIBUTE_NORMAL: u32 = 0x80;
const SHARE_ALL: u32 = 7;
const FILE_OPEN: u32 = 1;
const FILE_OPEN_IF: u32 = 3;
const FILE_DIRECTORY_FILE: u32 = 1;
const FILE_SYNCHRONOUS_IO_NONALERT: u32 = 0x20;
const FILE_NON_DIRECTORY_FILE: u32 = 0x40;

/// Attributes that name `name`, a full path.
pub fn attributes(name: &mut UNICODE_STRING) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: nt::size_u32::<OBJECT_ATTRIBUTES>(),
        ObjectName: name,
        Attributes: OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE,
        ..OBJECT_ATTRIBUTES::default()
    }
}

impl File {
    /// Opens a file by its full path.
    pub fn open(path: &[u16], want: Want) -> Result<Self, NTSTATUS> {
        let (access, disposition, options) = match want {
            Want::Read => (FILE_GENERIC_READ, FILE_OPEN, FILE_NON_DIRECTORY_FILE),
            Want::Make => (FILE_GENERIC_WRITE, FILE_OPEN_IF, FILE_NON_DIRECTORY_FILE),
            Want::Directory => (
                FILE_GENERIC_READ | FILE_GENERIC_WRITE | FILE_TRAVERSE,
                FILE_OPEN_IF,
                FILE_DIRECTORY_FILE,
            ),
        };
        let mut name = nt::counted(path);
        let mut attributes = attributes(&mut name);
        let mut handle = ptr::null_mut();
        let mut io = IO_STATUS_BLOCK::default();
        // SAFETY: out parameters, attributes and name are valid during the call.
        let status = unsafe {
            nt::ZwCreateFile(
                &raw mut handle,
                access | SYNCHRONIZE,
                &raw mut attributes,
                &raw mut io,
                ptr::null_mut(),
                FILE_ATTRIBUTE_NORMAL,
                SHARE_ALL,
                disposition,
                options | FILE_SYNCHRONOUS_IO_NONALERT,
                ptr::null_mut(),
                0,
            )
        };
        if status < 0 { Err(status) } else { Ok(Self(handle)) }
    }

    /// Reads `length` bytes.
    ///
    /// # Safety
    ///
    /// `buffer` can be written for `length` bytes.
    pub unsafe fn read(&self, buffer: *mut u8, length: u32) -> NTSTATUS {
        let mut io = IO_STATUS_BLOCK::default();
        // SAFETY: the file is open for synchronous reading, so buffer and status block are not used
        // after the call.
        unsafe {
            nt::ZwReadFile(
                self.0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut io,
                buffer.cast::<c_void>(),
                length,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        }
    }

    /// Gives the handle away.
    fn into_handle(self) -> HANDLE {
        let handle = self.0;
        core::mem::forget(self);
        handle
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the handle is open and ours.
        unsafe { nt::ZwClose(self.0) };
    }
}

/// Where the data directories of drivers are, as on Windows.
const DATA: &[u16] = wide!(r"\??\C:\windows\system32\drivers\DriverData");
const DRIVER_DIRECTORY_DATA: i32 = 1;
/// The longest path that is made here.
const PATH: usize = 300;

/// See `IoGetDriverDirectory` in the driver documentation. Only the directory of data is here.
// SAFETY: no other item of the image has this name.
#[unsafe(no_mangle)]
unsafe extern "system" fn IoGetDriverDirectory(
    driver: *const DRIVER_OBJECT,
    kind: i32,
    flags: u32,
    directory: *mut HANDLE,
) -> NTSTATUS {
    if kind != DRIVER_DIRECTORY_DATA || flags != 0 {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller passes its driver object.
    let name = unsafe { (*driver).DriverName };
    if name.Buffer.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the kernel's string is as long as it says.
    let name = unsafe { core::slice::from_raw_parts(name.Buffer, usize::from(name.Length / 2)) };
    // `\Driver\` comes before the name of the service.
    let service = name
        .rsplit(|unit| *unit == u16::from(b'\\'))
        .next()
        .unwrap_or_default();
    let mut path = [0; PATH];
    let separator = [u16::from(b'\\')];
    let units = DATA.iter().chain(&separator).chain(service);
    let length = path
        .iter_mut()
        .zip(units)
        .map(|(place, unit)| *place = *unit)
        .count();
    let made = File::open(DATA, Want::Directory)
        .and_then(|_| File::open(path.get(..length).unwrap_or_default(), Want::Directory));
    match made {
        Ok(made) => {
            // SAFETY: the caller passes a valid place.
            unsafe { directory.write(made.into_handle()) };
            0
        }
        Err(status) => status,
    }
}
