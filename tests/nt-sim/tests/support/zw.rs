//! The Zw services as a driver in Rust would wrap them, and machines to call them on.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::ptr;

use nt_sim::{
    _FILE_INFORMATION_CLASS as FileClass, DELETE, DriverName, FILE_GENERIC_READ, FILE_GENERIC_WRITE,
    FILE_NON_DIRECTORY_FILE, FILE_SHARE_READ, FILE_SYNCHRONOUS_IO_NONALERT, HANDLE, IO_STATUS_BLOCK,
    LARGE_INTEGER, Machine, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, UNICODE_STRING, frames,
    ntddk::{ZwClose, ZwCreateFile, ZwFlushBuffersFile, ZwReadFile, ZwSetInformationFile, ZwWriteFile},
    ntstatus::NtStatus,
};

/// A name that lives as long as the call that uses it.
pub struct Name {
    units: Vec<u16>,
    pub string: UNICODE_STRING,
}

impl Name {
    #[expect(clippy::unnecessary_box_returns, reason = "the string points into the value")]
    pub fn new(text: &str) -> Box<Self> {
        let units: Vec<u16> = text.encode_utf16().collect();
        let bytes = u16::try_from(units.len() * 2).unwrap();
        let mut name = Box::new(Self {
            units,
            string: UNICODE_STRING::default(),
        });
        name.string = UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: name.units.as_mut_ptr(),
        };
        name
    }

    pub fn attributes(&mut self, root: HANDLE) -> OBJECT_ATTRIBUTES {
        OBJECT_ATTRIBUTES {
            Length: u32::try_from(size_of::<OBJECT_ATTRIBUTES>()).unwrap(),
            RootDirectory: root,
            ObjectName: &raw mut self.string,
            Attributes: OBJ_KERNEL_HANDLE,
            SecurityDescriptor: ptr::null_mut(),
            SecurityQualityOfService: ptr::null_mut(),
        }
    }
}

pub fn status<T>(status: i32, value: T) -> Result<T, NtStatus> {
    NtStatus(status).ok().map(|()| value)
}

pub fn open_file(path: &str, access: u32, disposition: u32) -> Result<HANDLE, NtStatus> {
    let mut name = Name::new(path);
    let mut attributes = name.attributes(ptr::null_mut());
    let mut handle = ptr::null_mut();
    let mut block = IO_STATUS_BLOCK::default();
    // SAFETY: all pointers are to locals.
    let result = unsafe {
        ZwCreateFile(
            &raw mut handle,
            access,
            &raw mut attributes,
            &raw mut block,
            ptr::null_mut(),
            0,
            FILE_SHARE_READ,
            disposition,
            FILE_NON_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT,
            ptr::null_mut(),
            0,
        )
    };
    status(result, handle)
}

pub fn write(file: HANDLE, offset: i64, content: &[u8]) -> Result<u64, NtStatus> {
    let mut offset = LARGE_INTEGER { QuadPart: offset };
    let mut block = IO_STATUS_BLOCK::default();
    // SAFETY: all pointers are to locals, and the buffer is only read.
    let result = unsafe {
        ZwWriteFile(
            file,
            ptr::null_mut(),
            None,
            ptr::null_mut(),
            &raw mut block,
            content.as_ptr().cast_mut().cast(),
            u32::try_from(content.len()).unwrap(),
            &raw mut offset,
            ptr::null_mut(),
        )
    };
    status(result, block.Information)
}

pub fn read(file: HANDLE, offset: i64, length: usize) -> Result<Vec<u8>, NtStatus> {
    let mut offset = LARGE_INTEGER { QuadPart: offset };
    let mut block = IO_STATUS_BLOCK::default();
    let mut content = vec![0; length];
    // SAFETY: all pointers are to locals.
    let result = unsafe {
        ZwReadFile(
            file,
            ptr::null_mut(),
            None,
            ptr::null_mut(),
            &raw mut block,
            content.as_mut_ptr().cast(),
            u32::try_from(length).unwrap(),
            &raw mut offset,
            ptr::null_mut(),
        )
    };
    content.truncate(usize::try_from(block.Information).unwrap());
    status(result, content)
}

pub fn flush(file: HANDLE) -> Result<(), NtStatus> {
    let mut block = IO_STATUS_BLOCK::default();
    // SAFETY: the block is a local.
    NtStatus(unsafe { ZwFlushBuffersFile(file, &raw mut block) }).ok()
}

pub fn set(file: HANDLE, class: i32, information: &[u8]) -> Result<(), NtStatus> {
    let mut block = IO_STATUS_BLOCK::default();
    let mut information = information.to_vec();
    // SAFETY: all pointers are to locals.
    let result = unsafe {
        ZwSetInformationFile(
            file,
            &raw mut block,
            information.as_mut_ptr().cast(),
            u32::try_from(information.len()).unwrap(),
            class,
        )
    };
    NtStatus(result).ok()
}

pub fn rename(file: HANDLE, to: &str, replace: bool) -> Result<(), NtStatus> {
    let name: Vec<u8> = to.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut information = vec![0; 20];
    information[0] = u8::from(replace);
    information[16..20].copy_from_slice(&u32::try_from(name.len()).unwrap().to_le_bytes());
    information.extend(name);
    set(file, FileClass::FileRenameInformation, &information)
}

pub fn close(handle: HANDLE) {
    // SAFETY: has no conditions.
    assert_eq!(unsafe { ZwClose(handle) }, 0);
}

/// Runs something as if it were a driver, on a machine that finds nothing wrong with it.
pub fn as_driver(machine: &Machine, body: impl FnOnce()) {
    let entered = machine.enter();
    frames::callback(&DriverName::new("test.sys"), "EvtTest", body);
    drop(entered);
}

pub const RIGHTS: u32 = FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE;

/// Runs a test on a volume in memory and on one in a folder.
pub fn on_both_volumes(test: impl Fn(&Machine)) {
    let machine = Machine::builder().in_memory().build().unwrap();
    test(&machine);
    machine.shutdown().assert_clean();
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::builder().state_dir(folder.path()).build().unwrap();
    test(&machine);
    machine.shutdown().assert_clean();
}
