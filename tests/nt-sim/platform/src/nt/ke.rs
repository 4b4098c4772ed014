//! Executive and kernel-core types: IRQLs, events, locks, threads, pool (wdm.h).

use super::{LIST_ENTRY, LONG, PVOID, UCHAR, ULONG, ULONG_PTR};

pub const PASSIVE_LEVEL: u32 = 0;
pub const LOW_LEVEL: u32 = 0;
pub const APC_LEVEL: u32 = 1;
pub const DISPATCH_LEVEL: u32 = 2;
pub const HIGH_LEVEL: u32 = 15;

pub mod _MODE {
    pub type Type = i32;
    pub const KernelMode: Type = 0;
    pub const UserMode: Type = 1;
    pub const MaximumMode: Type = 2;
}
pub use _MODE::Type as MODE;

pub mod _EVENT_TYPE {
    pub type Type = i32;
    pub const NotificationEvent: Type = 0;
    pub const SynchronizationEvent: Type = 1;
}
pub use _EVENT_TYPE::Type as EVENT_TYPE;

pub mod _WAIT_TYPE {
    pub type Type = i32;
    pub const WaitAll: Type = 0;
    pub const WaitAny: Type = 1;
}
pub use _WAIT_TYPE::Type as WAIT_TYPE;

pub mod _KWAIT_REASON {
    pub type Type = i32;
    pub const Executive: Type = 0;
    pub const FreePage: Type = 1;
    pub const PageIn: Type = 2;
    pub const PoolAllocation: Type = 3;
    pub const DelayExecution: Type = 4;
    pub const Suspended: Type = 5;
    pub const UserRequest: Type = 6;
}
pub use _KWAIT_REASON::Type as KWAIT_REASON;

/// What every object that can be waited for starts with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _DISPATCHER_HEADER {
    pub Type: UCHAR,
    pub Signalling: UCHAR,
    pub Size: UCHAR,
    pub Reserved1: UCHAR,
    pub SignalState: LONG,
    pub WaitListHead: LIST_ENTRY,
}
pub type DISPATCHER_HEADER = _DISPATCHER_HEADER;
pub type PDISPATCHER_HEADER = *mut DISPATCHER_HEADER;

/// An event; only the kernel looks inside.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _KEVENT {
    pub Header: DISPATCHER_HEADER,
}
pub type KEVENT = _KEVENT;
pub type PKEVENT = *mut KEVENT;
pub type PRKEVENT = *mut KEVENT;

const _: () = assert!(size_of::<KEVENT>() == 24);

pub type KSPIN_LOCK = ULONG_PTR;
pub type PKSPIN_LOCK = *mut KSPIN_LOCK;
pub type EX_PUSH_LOCK = ULONG_PTR;
pub type PEX_PUSH_LOCK = *mut EX_PUSH_LOCK;
pub const EX_DEFAULT_PUSH_LOCK_FLAGS: u32 = 0;

pub type EX_SPIN_LOCK = LONG;
pub type PEX_SPIN_LOCK = *mut EX_SPIN_LOCK;

/// A thread object; only the kernel looks inside.
#[repr(C)]
#[derive(Debug)]
pub struct _KTHREAD {
    _unused: [u8; 0],
}
pub type KTHREAD = _KTHREAD;
pub type PKTHREAD = *mut KTHREAD;
pub type PETHREAD = *mut KTHREAD;
pub type PRKTHREAD = *mut KTHREAD;

/// The type of an object; only the kernel looks inside.
#[repr(C)]
#[derive(Debug)]
pub struct _OBJECT_TYPE {
    _unused: [u8; 0],
}
pub type OBJECT_TYPE = _OBJECT_TYPE;
pub type POBJECT_TYPE = *mut OBJECT_TYPE;

/// What a handle grants.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct _OBJECT_HANDLE_INFORMATION {
    pub HandleAttributes: ULONG,
    pub GrantedAccess: ULONG,
}
pub type OBJECT_HANDLE_INFORMATION = _OBJECT_HANDLE_INFORMATION;
pub type POBJECT_HANDLE_INFORMATION = *mut OBJECT_HANDLE_INFORMATION;

pub type KSTART_ROUTINE = Option<unsafe extern "C" fn(StartContext: PVOID)>;
pub type PKSTART_ROUTINE = Option<unsafe extern "C" fn(StartContext: PVOID)>;

pub const POOL_FLAG_USE_QUOTA: u64 = 0x1;
pub const POOL_FLAG_UNINITIALIZED: u64 = 0x2;
pub const POOL_FLAG_SESSION: u64 = 0x4;
pub const POOL_FLAG_CACHE_ALIGNED: u64 = 0x8;
pub const POOL_FLAG_RAISE_ON_FAILURE: u64 = 0x20;
pub const POOL_FLAG_NON_PAGED: u64 = 0x40;
pub const POOL_FLAG_NON_PAGED_EXECUTE: u64 = 0x80;
pub const POOL_FLAG_PAGED: u64 = 0x100;

pub mod _POOL_TYPE {
    pub type Type = i32;
    pub const NonPagedPool: Type = 0;
    pub const PagedPool: Type = 1;
    pub const NonPagedPoolNx: Type = 512;
}
pub use _POOL_TYPE::Type as POOL_TYPE;

pub const IO_NO_INCREMENT: u32 = 0;
pub const EVENT_INCREMENT: u32 = 1;

pub const MAXIMUM_WAIT_OBJECTS: u32 = 64;

pub const DPFLTR_IHVDRIVER_ID: i32 = 77;
pub const DPFLTR_ERROR_LEVEL: u32 = 0;
pub const DPFLTR_WARNING_LEVEL: u32 = 1;
pub const DPFLTR_TRACE_LEVEL: u32 = 2;
pub const DPFLTR_INFO_LEVEL: u32 = 3;
