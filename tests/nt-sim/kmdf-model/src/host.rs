//! What the model needs from the kernel that it runs in.
//!
//! Everything that is not the framework's own business goes through [`Host`]: devices and their
//! names, request packets, keys, pool memory, and the way into driver code. The model calls a host
//! with no lock held.

use core::ffi::c_void;

use alloc::vec::Vec;

use sim_platform::{
    Platform,
    nt::{ACCESS_MASK, DEVICE_TYPE, HANDLE, KIRQL, NTSTATUS, PDRIVER_OBJECT},
};

use crate::{Deferred, Violation};

/// Names a driver; chosen by the host when it [binds](crate::Kmdf::bind) the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriverId(pub usize);

/// Names a device object; chosen by the host in [`Host::create_device`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceObject(pub usize);

/// Names a framework device, for the host to say which device a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub(crate) usize);

/// Names an open file; chosen by the host, and unlike that of any other file of the device that is
/// open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub usize);

/// Names a request packet; chosen by the host, and unlike that of any other packet that is under
/// way, or that [`Kmdf::cancel`](crate::Kmdf::cancel) may still be called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IrpId(pub usize);

/// The level at which a driver expects a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackIrql {
    /// `PASSIVE_LEVEL`.
    Passive,
    /// Any level up to `DISPATCH_LEVEL`, as suits the framework. A host that looks for mistakes
    /// raises to `DISPATCH_LEVEL` around such a call.
    UpToDispatch,
}

/// A call of the framework into a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whose code is called.
    pub driver: DriverId,
    /// Documented name of the callback.
    pub callback: &'static str,
    /// The level that the callback is written for.
    pub irql: CallbackIrql,
}

/// A control device that a driver wants.
#[derive(Clone, Copy, Debug)]
pub struct DeviceSpec<'a> {
    /// By which name the host is to refer to the device.
    pub device: DeviceId,
    /// Whose device it is.
    pub driver: DriverId,
    /// Full name in the object manager's namespace, if it has one.
    pub name: Option<&'a [u16]>,
    /// Who may open it, in the security descriptor definition language.
    pub sddl: &'a [u16],
    /// `FILE_DEVICE_…` constant.
    pub device_type: DEVICE_TYPE,
    /// Device characteristics, such as `FILE_DEVICE_SECURE_OPEN`.
    pub characteristics: u32,
    /// Whether at most one file of it may be open.
    pub exclusive: bool,
}

/// The kernel that the model runs in.
///
/// A `HANDLE` is an open key of the host's registry.
pub trait Host: Send + Sync + Sized + 'static {
    /// Locks, events and threads.
    type Platform: Platform;
    /// The kernel's spin lock.
    type SpinLock: Send + Sync;

    /// Runs a call into driver code: `run` makes the call.
    fn callback<R>(&self, frame: Frame, run: impl FnOnce() -> R) -> R;

    /// Takes note that a driver broke a rule of the framework.
    ///
    /// Where [`Violation::is_fatal`], the real framework stops the machine. A host may do the like
    /// by not returning; if it returns, the model answers the call with a failure or ignores it.
    fn violation(&self, violation: &Violation);

    /// Runs `work` later, at `PASSIVE_LEVEL`, on a thread of the system's, by
    /// [`Kmdf::run_deferred`](crate::Kmdf::run_deferred).
    fn defer(&self, work: Deferred);

    /// Takes note that a driver made its driver object. The host is to call
    /// [`Kmdf::unload`](crate::Kmdf::unload) when the driver is unloaded; one without
    /// `EvtDriverUnload` cannot be unloaded.
    ///
    /// # Safety
    /// `object` is the driver object that the kernel passed to `DriverEntry`, which still runs.
    unsafe fn driver_created(&self, driver: DriverId, object: PDRIVER_OBJECT, can_unload: bool);

    /// Creates a device object, which cannot be opened before [`finish_device`](Self::finish_device).
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_COLLISION` and whatever else `IoCreateDeviceSecure` may answer.
    fn create_device(&self, device: &DeviceSpec<'_>) -> Result<DeviceObject, NTSTATUS>;

    /// Lets the device be opened.
    fn finish_device(&self, device: DeviceObject);

    /// Deletes a device object. Its files, if any are open, no longer reach the driver.
    fn delete_device(&self, device: DeviceObject);

    /// Gives a device a name by which user mode reaches it.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_COLLISION` and whatever else `IoCreateSymbolicLink` may answer.
    fn create_symbolic_link(&self, link: &[u16], device: DeviceObject) -> Result<(), NTSTATUS>;

    /// Removes a name that [`create_symbolic_link`](Self::create_symbolic_link) gave.
    fn delete_symbolic_link(&self, link: &[u16]);

    /// Completes a request packet; its buffer is not used any more.
    fn complete(&self, irp: IrpId, status: NTSTATUS, information: usize);

    /// Tells whether a request packet was cancelled. A host marks the packet before it calls
    /// [`Kmdf::cancel`](crate::Kmdf::cancel), so that a cancellation that overtakes its packet is
    /// not lost.
    fn is_cancelled(&self, irp: IrpId) -> bool;

    /// Allocates `size` bytes of zeroed non-paged pool, aligned to 16; null if there is none.
    fn allocate(&self, driver: DriverId, tag: u32, size: usize) -> *mut c_void;

    /// Frees what [`allocate`](Self::allocate) gave.
    ///
    /// # Safety
    /// `memory` came from `allocate` with this driver and tag, and nobody uses it any more.
    unsafe fn free(&self, driver: DriverId, tag: u32, memory: *mut c_void);

    /// Makes a spin lock.
    fn new_spin_lock(&self) -> Self::SpinLock;

    /// Takes a spin lock and raises to `DISPATCH_LEVEL`; returns the level before.
    fn acquire_spin_lock(&self, lock: &Self::SpinLock) -> KIRQL;

    /// Releases a spin lock and returns to the level before.
    fn release_spin_lock(&self, lock: &Self::SpinLock, irql: KIRQL);

    /// Opens a key by its path below `parent`, or by its full path.
    ///
    /// # Errors
    /// As `ZwOpenKey`.
    fn open_key(&self, parent: Option<HANDLE>, path: &[u16], access: ACCESS_MASK)
    -> Result<HANDLE, NTSTATUS>;

    /// Opens or creates a key; tells also whether it is new.
    ///
    /// # Errors
    /// As `ZwCreateKey`.
    fn create_key(
        &self,
        parent: Option<HANDLE>,
        path: &[u16],
        access: ACCESS_MASK,
        options: u32,
    ) -> Result<(HANDLE, bool), NTSTATUS>;

    /// Closes a key.
    fn close_key(&self, key: HANDLE);

    /// Deletes a key, which stays open.
    ///
    /// # Errors
    /// As `ZwDeleteKey`.
    fn delete_key(&self, key: HANDLE) -> Result<(), NTSTATUS>;

    /// Reads a value: its type and data.
    ///
    /// # Errors
    /// As `ZwQueryValueKey`; `STATUS_OBJECT_NAME_NOT_FOUND` if there is no such value.
    fn query_value(&self, key: HANDLE, name: &[u16]) -> Result<(u32, Vec<u8>), NTSTATUS>;

    /// Writes a value.
    ///
    /// # Errors
    /// As `ZwSetValueKey`.
    fn set_value(&self, key: HANDLE, name: &[u16], kind: u32, data: &[u8]) -> Result<(), NTSTATUS>;

    /// Deletes a value.
    ///
    /// # Errors
    /// As `ZwDeleteValueKey`.
    fn delete_value(&self, key: HANDLE, name: &[u16]) -> Result<(), NTSTATUS>;
}
