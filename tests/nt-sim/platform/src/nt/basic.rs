//! Integers, pointers, strings and other plain data (ntdef.h, basetsd.h, guiddef.h).

use core::ffi::c_void;

pub type CHAR = core::ffi::c_char;
pub type CCHAR = core::ffi::c_char;
pub type UCHAR = u8;
pub type BYTE = u8;
pub type BOOLEAN = u8;
pub type SHORT = i16;
pub type USHORT = u16;
pub type WORD = u16;
pub type CSHORT = i16;
pub type INT = i32;
pub type UINT = u32;
pub type LONG = i32;
pub type ULONG = u32;
pub type DWORD = u32;
pub type LONG32 = i32;
pub type ULONG32 = u32;
pub type UINT32 = u32;
pub type UINT8 = u8;
pub type UINT16 = u16;
pub type LONGLONG = i64;
pub type ULONGLONG = u64;
pub type LONG64 = i64;
pub type ULONG64 = u64;
pub type UINT64 = u64;
pub type DWORD64 = u64;
pub type LONG_PTR = i64;
pub type ULONG_PTR = u64;
pub type UINT_PTR = u64;
pub type SIZE_T = u64;
pub type WCHAR = u16;
pub type NTSTATUS = LONG;
pub type ACCESS_MASK = ULONG;
pub type LCID = ULONG;
pub type LOGICAL = ULONG;
pub type KIRQL = UCHAR;
pub type KPRIORITY = LONG;
pub type KPROCESSOR_MODE = CCHAR;
pub type POOL_FLAGS = ULONG64;
pub type DEVICE_TYPE = ULONG;

pub type PVOID = *mut c_void;
pub type LPVOID = *mut c_void;
pub type LPCVOID = *const c_void;
pub type PCVOID = *const c_void;
pub type HANDLE = *mut c_void;
pub type PHANDLE = *mut HANDLE;
pub type PCHAR = *mut CHAR;
pub type PSTR = *mut CHAR;
pub type PCSTR = *const CHAR;
pub type PUCHAR = *mut UCHAR;
pub type PBOOLEAN = *mut BOOLEAN;
pub type PUSHORT = *mut USHORT;
pub type PLONG = *mut LONG;
pub type PULONG = *mut ULONG;
pub type PULONG64 = *mut ULONG64;
pub type PULONGLONG = *mut ULONGLONG;
pub type PSIZE_T = *mut SIZE_T;
pub type PWCH = *mut WCHAR;
pub type PWCHAR = *mut WCHAR;
pub type PWSTR = *mut WCHAR;
pub type PCWSTR = *const WCHAR;
pub type PCWCH = *const WCHAR;
pub type PNTSTATUS = *mut NTSTATUS;
pub type PACCESS_MASK = *mut ACCESS_MASK;
pub type PKIRQL = *mut KIRQL;

/// True, as a BOOLEAN parameter takes it after a cast.
pub const TRUE: u32 = 1;
/// False, as a BOOLEAN parameter takes it after a cast.
pub const FALSE: u32 = 0;

/// Name of a thing that is the same on every machine.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct _GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}
pub type GUID = _GUID;
pub type LPGUID = *mut GUID;
pub type LPCGUID = *const GUID;

/// A counted UTF-16 string; both lengths are in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct _UNICODE_STRING {
    pub Length: USHORT,
    pub MaximumLength: USHORT,
    pub Buffer: PWCH,
}
pub type UNICODE_STRING = _UNICODE_STRING;
pub type PUNICODE_STRING = *mut UNICODE_STRING;
pub type PCUNICODE_STRING = *const UNICODE_STRING;

impl Default for _UNICODE_STRING {
    fn default() -> Self {
        Self {
            Length: 0,
            MaximumLength: 0,
            Buffer: core::ptr::null_mut(),
        }
    }
}

/// A counted string of bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct _STRING {
    pub Length: USHORT,
    pub MaximumLength: USHORT,
    pub Buffer: PCHAR,
}
pub type STRING = _STRING;
pub type ANSI_STRING = STRING;
pub type PANSI_STRING = *mut STRING;

/// A signed 64-bit value with access to its halves.
#[repr(C)]
#[derive(Clone, Copy)]
pub union _LARGE_INTEGER {
    pub __bindgen_anon_1: _LARGE_INTEGER__bindgen_ty_1,
    pub u: _LARGE_INTEGER__bindgen_ty_2,
    pub QuadPart: LONGLONG,
}
/// The halves of a [`LARGE_INTEGER`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _LARGE_INTEGER__bindgen_ty_1 {
    pub LowPart: ULONG,
    pub HighPart: LONG,
}
/// The halves of a [`LARGE_INTEGER`] under the name `u`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _LARGE_INTEGER__bindgen_ty_2 {
    pub LowPart: ULONG,
    pub HighPart: LONG,
}
pub type LARGE_INTEGER = _LARGE_INTEGER;
pub type PLARGE_INTEGER = *mut LARGE_INTEGER;

impl Default for _LARGE_INTEGER {
    fn default() -> Self {
        Self { QuadPart: 0 }
    }
}

impl core::fmt::Debug for _LARGE_INTEGER {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("_LARGE_INTEGER").finish_non_exhaustive()
    }
}

/// A link of a doubly linked list.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct _LIST_ENTRY {
    pub Flink: *mut Self,
    pub Blink: *mut Self,
}
pub type LIST_ENTRY = _LIST_ENTRY;
pub type PLIST_ENTRY = *mut LIST_ENTRY;

impl Default for _LIST_ENTRY {
    fn default() -> Self {
        Self {
            Flink: core::ptr::null_mut(),
            Blink: core::ptr::null_mut(),
        }
    }
}

/// The process and thread that an object belongs to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct _CLIENT_ID {
    pub UniqueProcess: HANDLE,
    pub UniqueThread: HANDLE,
}
pub type CLIENT_ID = _CLIENT_ID;
pub type PCLIENT_ID = *mut CLIENT_ID;

/// Which object a call is to open, and how.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct _OBJECT_ATTRIBUTES {
    pub Length: ULONG,
    pub RootDirectory: HANDLE,
    pub ObjectName: PUNICODE_STRING,
    pub Attributes: ULONG,
    pub SecurityDescriptor: PVOID,
    pub SecurityQualityOfService: PVOID,
}
pub type OBJECT_ATTRIBUTES = _OBJECT_ATTRIBUTES;
pub type POBJECT_ATTRIBUTES = *mut OBJECT_ATTRIBUTES;

impl Default for _OBJECT_ATTRIBUTES {
    fn default() -> Self {
        Self {
            Length: 0,
            RootDirectory: core::ptr::null_mut(),
            ObjectName: core::ptr::null_mut(),
            Attributes: 0,
            SecurityDescriptor: core::ptr::null_mut(),
            SecurityQualityOfService: core::ptr::null_mut(),
        }
    }
}

pub const OBJ_INHERIT: u32 = 0x2;
pub const OBJ_PERMANENT: u32 = 0x10;
pub const OBJ_EXCLUSIVE: u32 = 0x20;
pub const OBJ_CASE_INSENSITIVE: u32 = 0x40;
pub const OBJ_OPENIF: u32 = 0x80;
pub const OBJ_OPENLINK: u32 = 0x100;
pub const OBJ_KERNEL_HANDLE: u32 = 0x200;
pub const OBJ_FORCE_ACCESS_CHECK: u32 = 0x400;

pub const DELETE: u32 = 0x0001_0000;
pub const READ_CONTROL: u32 = 0x0002_0000;
pub const WRITE_DAC: u32 = 0x0004_0000;
pub const WRITE_OWNER: u32 = 0x0008_0000;
pub const SYNCHRONIZE: u32 = 0x0010_0000;
pub const STANDARD_RIGHTS_REQUIRED: u32 = 0x000F_0000;
pub const STANDARD_RIGHTS_READ: u32 = READ_CONTROL;
pub const STANDARD_RIGHTS_WRITE: u32 = READ_CONTROL;
pub const STANDARD_RIGHTS_ALL: u32 = 0x001F_0000;
pub const SPECIFIC_RIGHTS_ALL: u32 = 0x0000_FFFF;
pub const THREAD_ALL_ACCESS: u32 = STANDARD_RIGHTS_REQUIRED | SYNCHRONIZE | 0xFFFF;
pub const GENERIC_READ: u32 = 0x8000_0000;
pub const GENERIC_WRITE: u32 = 0x4000_0000;
pub const GENERIC_EXECUTE: u32 = 0x2000_0000;
pub const GENERIC_ALL: u32 = 0x1000_0000;

pub const REG_NONE: u32 = 0;
pub const REG_SZ: u32 = 1;
pub const REG_EXPAND_SZ: u32 = 2;
pub const REG_BINARY: u32 = 3;
pub const REG_DWORD: u32 = 4;
pub const REG_DWORD_BIG_ENDIAN: u32 = 5;
pub const REG_LINK: u32 = 6;
pub const REG_MULTI_SZ: u32 = 7;
pub const REG_QWORD: u32 = 11;
pub const REG_OPTION_NON_VOLATILE: u32 = 0;
pub const REG_OPTION_VOLATILE: u32 = 1;
pub const REG_CREATED_NEW_KEY: u32 = 1;
pub const REG_OPENED_EXISTING_KEY: u32 = 2;

pub const KEY_QUERY_VALUE: u32 = 0x1;
pub const KEY_SET_VALUE: u32 = 0x2;
pub const KEY_CREATE_SUB_KEY: u32 = 0x4;
pub const KEY_ENUMERATE_SUB_KEYS: u32 = 0x8;
pub const KEY_NOTIFY: u32 = 0x10;
pub const KEY_CREATE_LINK: u32 = 0x20;
pub const KEY_READ: u32 = 0x0002_0019;
pub const KEY_WRITE: u32 = 0x0002_0006;
pub const KEY_EXECUTE: u32 = KEY_READ;
pub const KEY_ALL_ACCESS: u32 = 0x000F_003F;
