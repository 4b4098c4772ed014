//! Files and keys: constants and information classes of the Zw calls (wdm.h, ntifs.h).

use super::{BOOLEAN, HANDLE, LARGE_INTEGER, ULONG, WCHAR};

pub const FILE_READ_DATA: u32 = 0x1;
pub const FILE_LIST_DIRECTORY: u32 = 0x1;
pub const FILE_WRITE_DATA: u32 = 0x2;
pub const FILE_ADD_FILE: u32 = 0x2;
pub const FILE_APPEND_DATA: u32 = 0x4;
pub const FILE_READ_EA: u32 = 0x8;
pub const FILE_WRITE_EA: u32 = 0x10;
pub const FILE_TRAVERSE: u32 = 0x20;
pub const FILE_DELETE_CHILD: u32 = 0x40;
pub const FILE_READ_ATTRIBUTES: u32 = 0x80;
pub const FILE_WRITE_ATTRIBUTES: u32 = 0x100;
pub const FILE_ALL_ACCESS: u32 = 0x001F_01FF;
pub const FILE_GENERIC_READ: u32 = 0x0012_0089;
pub const FILE_GENERIC_WRITE: u32 = 0x0012_0116;

pub const FILE_SHARE_READ: u32 = 0x1;
pub const FILE_SHARE_WRITE: u32 = 0x2;
pub const FILE_SHARE_DELETE: u32 = 0x4;

pub const FILE_ATTRIBUTE_READONLY: u32 = 0x1;
pub const FILE_ATTRIBUTE_DIRECTORY: u32 = 0x10;
pub const FILE_ATTRIBUTE_NORMAL: u32 = 0x80;

pub const FILE_SUPERSEDE: u32 = 0;
pub const FILE_OPEN: u32 = 1;
pub const FILE_CREATE: u32 = 2;
pub const FILE_OPEN_IF: u32 = 3;
pub const FILE_OVERWRITE: u32 = 4;
pub const FILE_OVERWRITE_IF: u32 = 5;

pub const FILE_SUPERSEDED: u32 = 0;
pub const FILE_OPENED: u32 = 1;
pub const FILE_CREATED: u32 = 2;
pub const FILE_OVERWRITTEN: u32 = 3;
pub const FILE_EXISTS: u32 = 4;
pub const FILE_DOES_NOT_EXIST: u32 = 5;

pub const FILE_DIRECTORY_FILE: u32 = 0x1;
pub const FILE_WRITE_THROUGH: u32 = 0x2;
pub const FILE_SEQUENTIAL_ONLY: u32 = 0x4;
pub const FILE_NO_INTERMEDIATE_BUFFERING: u32 = 0x8;
pub const FILE_SYNCHRONOUS_IO_ALERT: u32 = 0x10;
pub const FILE_SYNCHRONOUS_IO_NONALERT: u32 = 0x20;
pub const FILE_NON_DIRECTORY_FILE: u32 = 0x40;
pub const FILE_RANDOM_ACCESS: u32 = 0x800;
pub const FILE_DELETE_ON_CLOSE: u32 = 0x1000;

pub const FILE_WRITE_TO_END_OF_FILE: u32 = 0xFFFF_FFFF;
pub const FILE_USE_FILE_POINTER_POSITION: u32 = 0xFFFF_FFFE;

pub mod _FILE_INFORMATION_CLASS {
    pub type Type = i32;
    pub const FileDirectoryInformation: Type = 1;
    pub const FileBasicInformation: Type = 4;
    pub const FileStandardInformation: Type = 5;
    pub const FileNameInformation: Type = 9;
    pub const FileRenameInformation: Type = 10;
    pub const FileNamesInformation: Type = 12;
    pub const FileDispositionInformation: Type = 13;
    pub const FilePositionInformation: Type = 14;
    pub const FileAllocationInformation: Type = 19;
    pub const FileEndOfFileInformation: Type = 20;
}
pub use _FILE_INFORMATION_CLASS::Type as FILE_INFORMATION_CLASS;

/// `FileStandardInformation`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _FILE_STANDARD_INFORMATION {
    pub AllocationSize: LARGE_INTEGER,
    pub EndOfFile: LARGE_INTEGER,
    pub NumberOfLinks: ULONG,
    pub DeletePending: BOOLEAN,
    pub Directory: BOOLEAN,
}
pub type FILE_STANDARD_INFORMATION = _FILE_STANDARD_INFORMATION;
pub type PFILE_STANDARD_INFORMATION = *mut FILE_STANDARD_INFORMATION;

/// `FileEndOfFileInformation`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _FILE_END_OF_FILE_INFORMATION {
    pub EndOfFile: LARGE_INTEGER,
}
pub type FILE_END_OF_FILE_INFORMATION = _FILE_END_OF_FILE_INFORMATION;
pub type PFILE_END_OF_FILE_INFORMATION = *mut FILE_END_OF_FILE_INFORMATION;

/// `FilePositionInformation`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _FILE_POSITION_INFORMATION {
    pub CurrentByteOffset: LARGE_INTEGER,
}
pub type FILE_POSITION_INFORMATION = _FILE_POSITION_INFORMATION;
pub type PFILE_POSITION_INFORMATION = *mut FILE_POSITION_INFORMATION;

/// `FileDispositionInformation`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _FILE_DISPOSITION_INFORMATION {
    pub DeleteFile: BOOLEAN,
}
pub type FILE_DISPOSITION_INFORMATION = _FILE_DISPOSITION_INFORMATION;
pub type PFILE_DISPOSITION_INFORMATION = *mut FILE_DISPOSITION_INFORMATION;

/// `FileRenameInformation`; the name follows the structure.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct _FILE_RENAME_INFORMATION {
    pub __bindgen_anon_1: _FILE_RENAME_INFORMATION__bindgen_ty_1,
    pub RootDirectory: HANDLE,
    pub FileNameLength: ULONG,
    pub FileName: [WCHAR; 1],
}
/// The first member of [`FILE_RENAME_INFORMATION`] under its two names.
#[repr(C)]
#[derive(Clone, Copy)]
pub union _FILE_RENAME_INFORMATION__bindgen_ty_1 {
    pub ReplaceIfExists: BOOLEAN,
    pub Flags: ULONG,
}
pub type FILE_RENAME_INFORMATION = _FILE_RENAME_INFORMATION;
pub type PFILE_RENAME_INFORMATION = *mut FILE_RENAME_INFORMATION;

impl Default for _FILE_RENAME_INFORMATION {
    fn default() -> Self {
        Self {
            __bindgen_anon_1: _FILE_RENAME_INFORMATION__bindgen_ty_1 { Flags: 0 },
            RootDirectory: core::ptr::null_mut(),
            FileNameLength: 0,
            FileName: [0],
        }
    }
}

impl core::fmt::Debug for _FILE_RENAME_INFORMATION {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("_FILE_RENAME_INFORMATION")
            .field("FileNameLength", &self.FileNameLength)
            .finish_non_exhaustive()
    }
}

pub mod _KEY_INFORMATION_CLASS {
    pub type Type = i32;
    pub const KeyBasicInformation: Type = 0;
    pub const KeyNodeInformation: Type = 1;
    pub const KeyFullInformation: Type = 2;
    pub const KeyNameInformation: Type = 3;
}
pub use _KEY_INFORMATION_CLASS::Type as KEY_INFORMATION_CLASS;

/// `KeyBasicInformation`; the name starts at `Name`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _KEY_BASIC_INFORMATION {
    pub LastWriteTime: LARGE_INTEGER,
    pub TitleIndex: ULONG,
    pub NameLength: ULONG,
    pub Name: [WCHAR; 1],
}
pub type KEY_BASIC_INFORMATION = _KEY_BASIC_INFORMATION;
pub type PKEY_BASIC_INFORMATION = *mut KEY_BASIC_INFORMATION;

pub mod _KEY_VALUE_INFORMATION_CLASS {
    pub type Type = i32;
    pub const KeyValueBasicInformation: Type = 0;
    pub const KeyValueFullInformation: Type = 1;
    pub const KeyValuePartialInformation: Type = 2;
}
pub use _KEY_VALUE_INFORMATION_CLASS::Type as KEY_VALUE_INFORMATION_CLASS;

/// `KeyValuePartialInformation`; the data starts at `Data`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _KEY_VALUE_PARTIAL_INFORMATION {
    pub TitleIndex: ULONG,
    pub Type: ULONG,
    pub DataLength: ULONG,
    pub Data: [u8; 1],
}
pub type KEY_VALUE_PARTIAL_INFORMATION = _KEY_VALUE_PARTIAL_INFORMATION;
pub type PKEY_VALUE_PARTIAL_INFORMATION = *mut KEY_VALUE_PARTIAL_INFORMATION;

/// `KeyValueFullInformation`; the name starts at `Name`, the data at `DataOffset`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _KEY_VALUE_FULL_INFORMATION {
    pub TitleIndex: ULONG,
    pub Type: ULONG,
    pub DataOffset: ULONG,
    pub DataLength: ULONG,
    pub NameLength: ULONG,
    pub Name: [WCHAR; 1],
}
pub type KEY_VALUE_FULL_INFORMATION = _KEY_VALUE_FULL_INFORMATION;
pub type PKEY_VALUE_FULL_INFORMATION = *mut KEY_VALUE_FULL_INFORMATION;

/// `KeyValueBasicInformation`; the name starts at `Name`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _KEY_VALUE_BASIC_INFORMATION {
    pub TitleIndex: ULONG,
    pub Type: ULONG,
    pub NameLength: ULONG,
    pub Name: [WCHAR; 1],
}
pub type KEY_VALUE_BASIC_INFORMATION = _KEY_VALUE_BASIC_INFORMATION;
pub type PKEY_VALUE_BASIC_INFORMATION = *mut KEY_VALUE_BASIC_INFORMATION;
