//! Functions and structures of Wine's kernel.
//!
//! Names and prototypes are those of the driver documentation. Structures are those of 64-bit
//! Windows, cut to what is used.
#![expect(
    missing_docs,
    non_snake_case,
    reason = "functions and members have their documented names and meanings"
)]

use core::ffi::{c_char, c_void};

use sim_platform::nt::{
    ACCESS_MASK, DRIVER_OBJECT, HANDLE, IO_STATUS_BLOCK, KEVENT, KSPIN_LOCK, LARGE_INTEGER, NTSTATUS,
    OBJECT_ATTRIBUTES, UNICODE_STRING,
};

pub const NON_PAGED_POOL: i32 = 0;
pub const NOTIFICATION_EVENT: i32 = 0;
pub const SL_PENDING_RETURNED: u8 = 1;

/// A request packet.
#[repr(C)]
#[derive(Debug)]
pub struct Irp {
    pub Type: i16,
    pub Size: u16,
    pub MdlAddress: *mut c_void,
    pub Flags: u32,
    pub SystemBuffer: *mut c_void,
    pub ThreadListEntry: [usize; 2],
    pub Status: NTSTATUS,
    pub Information: usize,
    pub RequestorMode: i8,
    pub PendingReturned: u8,
    pub StackCount: i8,
    pub CurrentLocation: i8,
    pub Cancel: u8,
    pub CancelIrql: u8,
    pub ApcEnvironment: i8,
    pub AllocationFlags: u8,
    pub UserIosb: *mut c_void,
    pub UserEvent: *mut c_void,
    pub Overlay: [usize; 2],
    pub CancelRoutine: *mut c_void,
    pub UserBuffer: *mut c_void,
    pub DriverContext: [usize; 4],
    pub Thread: *mut c_void,
    pub AuxiliaryBuffer: *mut c_char,
    pub ListEntry: [usize; 2],
    pub CurrentStackLocation: *mut StackLocation,
    pub OriginalFileObject: *mut c_void,
}

const _: () = assert!(core::mem::offset_of!(Irp, Status) == 0x30);
const _: () = assert!(core::mem::offset_of!(Irp, Cancel) == 0x44);
const _: () = assert!(core::mem::offset_of!(Irp, CancelRoutine) == 0x68);
const _: () = assert!(core::mem::offset_of!(Irp, DriverContext) == 0x78);
const _: () = assert!(core::mem::offset_of!(Irp, CurrentStackLocation) == 0xB8);

/// What a request asks of one driver; the parameters are those of device control.
#[repr(C)]
#[derive(Debug)]
pub struct StackLocation {
    pub MajorFunction: u8,
    pub MinorFunction: u8,
    pub Flags: u8,
    pub Control: u8,
    reserved0: u32,
    pub OutputBufferLength: u32,
    reserved1: u32,
    pub InputBufferLength: u32,
    reserved2: u32,
    pub IoControlCode: u32,
    reserved3: u32,
    pub Type3InputBuffer: *mut c_void,
    pub DeviceObject: *mut DeviceObject,
    pub FileObject: *mut FileObject,
    pub CompletionRoutine: *mut c_void,
    pub Context: *mut c_void,
}

const _: () = assert!(size_of::<StackLocation>() == 72);
const _: () = assert!(core::mem::offset_of!(StackLocation, IoControlCode) == 0x18);
const _: () = assert!(core::mem::offset_of!(StackLocation, DeviceObject) == 0x28);

/// A device.
#[repr(C)]
#[derive(Debug)]
pub struct DeviceObject {
    pub Type: i16,
    pub Size: u16,
    pub ReferenceCount: i32,
    pub DriverObject: *mut DRIVER_OBJECT,
    pub NextDevice: *mut Self,
    pub AttachedDevice: *mut Self,
    pub CurrentIrp: *mut Irp,
    pub Timer: *mut c_void,
    pub Flags: u32,
    pub Characteristics: u32,
}

const _: () = assert!(core::mem::offset_of!(DeviceObject, Flags) == 0x30);

pub const DO_BUFFERED_IO: u32 = 0x4;
pub const DO_DEVICE_INITIALIZING: u32 = 0x80;

/// An open file.
#[repr(C)]
#[derive(Debug)]
pub struct FileObject {
    pub Type: i16,
    pub Size: i16,
    pub DeviceObject: *mut DeviceObject,
    unused: [usize; 9],
    pub FileName: UNICODE_STRING,
}

const _: () = assert!(core::mem::offset_of!(FileObject, FileName) == 0x58);

#[cfg_attr(
    windows,
    link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")
)]
unsafe extern "system" {
    pub fn ExAllocatePoolWithTag(pool: i32, size: usize, tag: u32) -> *mut c_void;
    pub fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);
    pub fn KeInitializeEvent(event: *mut KEVENT, kind: i32, state: u8);
    pub fn KeSetEvent(event: *mut KEVENT, increment: i32, wait: u8) -> i32;
    pub fn KeClearEvent(event: *mut KEVENT);
    pub fn KeReadStateEvent(event: *mut KEVENT) -> i32;
    pub fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: i32,
        mode: i8,
        alertable: u8,
        timeout: *mut LARGE_INTEGER,
    ) -> NTSTATUS;
    pub fn KeDelayExecutionThread(mode: i8, alertable: u8, interval: *mut LARGE_INTEGER) -> NTSTATUS;
    pub fn KeAcquireSpinLockRaiseToDpc(lock: *mut KSPIN_LOCK) -> u8;
    pub fn KeReleaseSpinLock(lock: *mut KSPIN_LOCK, irql: u8);
    pub fn KeQuerySystemTime(time: *mut LARGE_INTEGER);
    pub fn PsCreateSystemThread(
        handle: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *mut OBJECT_ATTRIBUTES,
        process: HANDLE,
        client: *mut c_void,
        start: unsafe extern "system" fn(*mut c_void),
        context: *mut c_void,
    ) -> NTSTATUS;
    pub fn PsGetCurrentProcessId() -> HANDLE;
    pub fn IoCreateDevice(
        driver: *mut DRIVER_OBJECT,
        extension: u32,
        name: *mut UNICODE_STRING,
        kind: u32,
        characteristics: u32,
        exclusive: u8,
        device: *mut *mut DeviceObject,
    ) -> NTSTATUS;
    pub fn IoDeleteDevice(device: *mut DeviceObject);
    pub fn IoCreateSymbolicLink(link: *mut UNICODE_STRING, name: *mut UNICODE_STRING) -> NTSTATUS;
    pub fn IoDeleteSymbolicLink(link: *mut UNICODE_STRING) -> NTSTATUS;
    pub fn IofCompleteRequest(irp: *mut Irp, boost: i8);
    pub fn IoAcquireCancelSpinLock(irql: *mut u8);
    pub fn IoReleaseCancelSpinLock(irql: u8);
    pub fn ZwYieldExecution() -> NTSTATUS;
    pub fn ZwClose(handle: HANDLE) -> NTSTATUS;
    pub fn ZwOpenKey(key: *mut HANDLE, access: ACCESS_MASK, attributes: *mut OBJECT_ATTRIBUTES) -> NTSTATUS;
    pub fn ZwCreateKey(
        key: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *mut OBJECT_ATTRIBUTES,
        title: u32,
        class: *mut UNICODE_STRING,
        options: u32,
        disposition: *mut u32,
    ) -> NTSTATUS;
    pub fn ZwDeleteKey(key: HANDLE) -> NTSTATUS;
    pub fn ZwQueryValueKey(
        key: HANDLE,
        name: *mut UNICODE_STRING,
        class: i32,
        information: *mut c_void,
        length: u32,
        needed: *mut u32,
    ) -> NTSTATUS;
    pub fn ZwSetValueKey(
        key: HANDLE,
        name: *mut UNICODE_STRING,
        title: u32,
        kind: u32,
        data: *mut c_void,
        size: u32,
    ) -> NTSTATUS;
    pub fn ZwDeleteValueKey(key: HANDLE, name: *mut UNICODE_STRING) -> NTSTATUS;
    pub fn ZwCreateFile(
        file: *mut HANDLE,
        access: ACCESS_MASK,
        attributes: *mut OBJECT_ATTRIBUTES,
        io: *mut IO_STATUS_BLOCK,
        allocation: *mut LARGE_INTEGER,
        file_attributes: u32,
        share: u32,
        disposition: u32,
        options: u32,
        ea: *mut c_void,
        ea_length: u32,
    ) -> NTSTATUS;
    pub fn ZwDeleteFile(attributes: *mut OBJECT_ATTRIBUTES) -> NTSTATUS;
    pub fn ZwReadFile(
        file: HANDLE,
        event: HANDLE,
        apc: *mut c_void,
        context: *mut c_void,
        io: *mut IO_STATUS_BLOCK,
        buffer: *mut c_void,
        length: u32,
        offset: *mut LARGE_INTEGER,
        key: *mut u32,
    ) -> NTSTATUS;
}

// Beside it there is the library that user mode has, which Wine's kernel is made of.
#[cfg_attr(
    windows,
    link(name = "ntdll.dll", kind = "raw-dylib", modifiers = "+verbatim")
)]
unsafe extern "system" {
    pub fn RtlAcquireSRWLockExclusive(lock: *mut usize);
    pub fn RtlReleaseSRWLockExclusive(lock: *mut usize);
    pub fn RtlAcquireSRWLockShared(lock: *mut usize);
    pub fn RtlReleaseSRWLockShared(lock: *mut usize);
    pub fn LdrAddRefDll(flags: u32, module: *mut c_void) -> NTSTATUS;
    pub fn NtTerminateProcess(process: HANDLE, status: NTSTATUS) -> NTSTATUS;
    pub fn NtQueryAttributesFile(attributes: *mut OBJECT_ATTRIBUTES, information: *mut c_void) -> NTSTATUS;
    pub fn NtFlushBuffersFile(file: HANDLE, io: *mut IO_STATUS_BLOCK) -> NTSTATUS;
    pub fn NtSetInformationFile(
        file: HANDLE,
        io: *mut IO_STATUS_BLOCK,
        information: *mut c_void,
        length: u32,
        class: i32,
    ) -> NTSTATUS;
    pub fn NtQueryObject(
        object: HANDLE,
        class: i32,
        information: *mut c_void,
        length: u32,
        needed: *mut u32,
    ) -> NTSTATUS;
}

#[cfg_attr(
    windows,
    link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")
)]
unsafe extern "C" {
    pub fn DbgPrint(format: *const c_char, text: *const u8) -> u32;
}

/// Ends the process that hosts the drivers.
pub fn stop() -> ! {
    const SELF: isize = -1;
    const STATUS_FATAL_APP_EXIT: NTSTATUS = 0x4000_0015;
    loop {
        // SAFETY: the process names itself.
        unsafe {
            NtTerminateProcess(
                core::ptr::without_provenance_mut(SELF.cast_unsigned()),
                STATUS_FATAL_APP_EXIT,
            )
        };
    }
}

/// The size of a structure, as members and parameters of the kernel take it.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "no structure of the kernel is that large"
)]
pub const fn size_u32<T>() -> u32 {
    size_of::<T>() as u32
}

/// A counted string over `text`; nothing writes to it.
#[must_use]
pub fn counted(text: &[u16]) -> UNICODE_STRING {
    let length = u16::try_from(size_of_val(text)).unwrap_or(u16::MAX - 1);
    UNICODE_STRING {
        Length: length,
        MaximumLength: length,
        Buffer: text.as_ptr().cast_mut(),
    }
}
