//! Drivers, devices, requests (wdm.h).

use super::{CSHORT, DEVICE_TYPE, NTSTATUS, PUNICODE_STRING, PVOID, ULONG, ULONG_PTR, UNICODE_STRING};

pub const IRP_MJ_CREATE: u32 = 0x00;
pub const IRP_MJ_CLOSE: u32 = 0x02;
pub const IRP_MJ_READ: u32 = 0x03;
pub const IRP_MJ_WRITE: u32 = 0x04;
pub const IRP_MJ_DEVICE_CONTROL: u32 = 0x0E;
pub const IRP_MJ_INTERNAL_DEVICE_CONTROL: u32 = 0x0F;
pub const IRP_MJ_SHUTDOWN: u32 = 0x10;
pub const IRP_MJ_CLEANUP: u32 = 0x12;
pub const IRP_MJ_MAXIMUM_FUNCTION: u32 = 0x1B;

/// An image that runs in the kernel.
///
/// The members are those of the header; the simulator fills the ones that a framework driver may
/// read.
#[repr(C)]
#[derive(Debug)]
pub struct _DRIVER_OBJECT {
    pub Type: CSHORT,
    pub Size: CSHORT,
    pub DeviceObject: PDEVICE_OBJECT,
    pub Flags: ULONG,
    pub DriverStart: PVOID,
    pub DriverSize: ULONG,
    pub DriverSection: PVOID,
    pub DriverExtension: PVOID,
    pub DriverName: UNICODE_STRING,
    pub HardwareDatabase: PUNICODE_STRING,
    pub FastIoDispatch: PVOID,
    pub DriverInit: PDRIVER_INITIALIZE,
    pub DriverStartIo: PVOID,
    pub DriverUnload: PDRIVER_UNLOAD,
    pub MajorFunction: [PVOID; 28],
}
pub type DRIVER_OBJECT = _DRIVER_OBJECT;
pub type PDRIVER_OBJECT = *mut DRIVER_OBJECT;

const _: () = assert!(size_of::<DRIVER_OBJECT>() == 336);

pub type DRIVER_INITIALIZE = Option<
    unsafe extern "C" fn(DriverObject: *mut _DRIVER_OBJECT, RegistryPath: PUNICODE_STRING) -> NTSTATUS,
>;
pub type PDRIVER_INITIALIZE = DRIVER_INITIALIZE;
pub type DRIVER_UNLOAD = Option<unsafe extern "C" fn(DriverObject: *mut _DRIVER_OBJECT)>;
pub type PDRIVER_UNLOAD = DRIVER_UNLOAD;

/// A device; only the kernel looks inside.
#[repr(C)]
#[derive(Debug)]
pub struct _DEVICE_OBJECT {
    _unused: [u8; 0],
}
pub type DEVICE_OBJECT = _DEVICE_OBJECT;
pub type PDEVICE_OBJECT = *mut DEVICE_OBJECT;

/// An open file; only the kernel looks inside.
#[repr(C)]
#[derive(Debug)]
pub struct _FILE_OBJECT {
    _unused: [u8; 0],
}
pub type FILE_OBJECT = _FILE_OBJECT;
pub type PFILE_OBJECT = *mut FILE_OBJECT;

/// A request packet; only the kernel looks inside.
#[repr(C)]
#[derive(Debug)]
pub struct _IRP {
    _unused: [u8; 0],
}
pub type IRP = _IRP;
pub type PIRP = *mut IRP;

/// How an operation ended.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct _IO_STATUS_BLOCK {
    pub __bindgen_anon_1: _IO_STATUS_BLOCK__bindgen_ty_1,
    pub Information: ULONG_PTR,
}
/// The status half of an [`IO_STATUS_BLOCK`].
#[repr(C)]
#[derive(Clone, Copy)]
pub union _IO_STATUS_BLOCK__bindgen_ty_1 {
    pub Status: NTSTATUS,
    pub Pointer: PVOID,
}
pub type IO_STATUS_BLOCK = _IO_STATUS_BLOCK;
pub type PIO_STATUS_BLOCK = *mut IO_STATUS_BLOCK;

impl Default for _IO_STATUS_BLOCK {
    fn default() -> Self {
        Self {
            __bindgen_anon_1: _IO_STATUS_BLOCK__bindgen_ty_1 {
                Pointer: core::ptr::null_mut(),
            },
            Information: 0,
        }
    }
}

impl core::fmt::Debug for _IO_STATUS_BLOCK {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("_IO_STATUS_BLOCK")
            .field("Information", &self.Information)
            .finish_non_exhaustive()
    }
}

pub type PIO_APC_ROUTINE =
    Option<unsafe extern "C" fn(ApcContext: PVOID, IoStatusBlock: PIO_STATUS_BLOCK, Reserved: ULONG)>;

pub mod _DRIVER_DIRECTORY_TYPE {
    pub type Type = i32;
    pub const DriverDirectoryImage: Type = 0;
    pub const DriverDirectoryData: Type = 1;
    pub const DriverDirectorySharedData: Type = 2;
}
pub use _DRIVER_DIRECTORY_TYPE::Type as DRIVER_DIRECTORY_TYPE;

pub const FILE_DEVICE_UNKNOWN: DEVICE_TYPE = 0x22;
pub const FILE_DEVICE_NETWORK: DEVICE_TYPE = 0x12;
pub const FILE_DEVICE_SECURE_OPEN: u32 = 0x100;

pub const METHOD_BUFFERED: u32 = 0;
pub const METHOD_IN_DIRECT: u32 = 1;
pub const METHOD_OUT_DIRECT: u32 = 2;
pub const METHOD_NEITHER: u32 = 3;
pub const FILE_ANY_ACCESS: u32 = 0;
pub const FILE_READ_ACCESS: u32 = 1;
pub const FILE_WRITE_ACCESS: u32 = 2;
