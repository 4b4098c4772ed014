//! What the framework needs of Wine.

use alloc::{collections::BTreeSet, string::String, sync::Arc, vec::Vec};
use core::{cell::UnsafeCell, ffi::c_void, ptr};

use kmdf_model::{
    Deferred, DeviceId, DeviceObject, DeviceSpec, DriverId, FileId, Frame, Host, IrpId, Violation,
};
use sim_platform::{
    Event, Lock,
    nt::{ACCESS_MASK, HANDLE, KIRQL, KSPIN_LOCK, NTSTATUS, PDRIVER_OBJECT, STATUS_NO_SUCH_DEVICE},
};
use wine_kernel::{
    KernelEvent, WinePlatform, log,
    nt::{self, Irp},
};

use crate::{
    bind::driver_unload,
    irp, key,
    state::{self, Device, Shared, State, kmdf},
};

/// The process that hosts the drivers.
pub struct WineHost(Shared);

/// A spin lock of Wine's kernel.
pub struct SpinLock(UnsafeCell<KSPIN_LOCK>);

// SAFETY: the word is touched only by the spin-lock functions, which do it atomically.
unsafe impl Send for SpinLock {}
// SAFETY: as above.
unsafe impl Sync for SpinLock {}

/// What the rest of this module asks of the host.
impl WineHost {
    pub fn new() -> Self {
        Self(state::new())
    }

    /// Runs one step on the state.
    pub fn state<R>(&self, step: impl FnOnce(&mut State) -> R) -> R {
        self.0.with(step)
    }

    pub fn add_driver(&self, name: String, object: PDRIVER_OBJECT) -> DriverId {
        self.state(|state| state.add_driver(name, object))
    }

    pub fn driver_named(&self, name: &str) -> Option<DriverId> {
        self.state(|state| {
            let mut drivers = state.drivers.iter();
            drivers.find(|driver| driver.name == name).map(|driver| driver.id)
        })
    }

    pub fn remove_driver(&self, id: DriverId) {
        self.state(|state| state.drivers.retain(|driver| driver.id != id));
    }

    /// Lets no further file of the driver be opened; its identity, name, and the event that tells
    /// of closed files.
    pub fn begin_unload(&self, object: PDRIVER_OBJECT) -> Option<(DriverId, String, Arc<KernelEvent>)> {
        self.state(|state| {
            let driver = state.driver_of(object)?;
            driver.unloading = true;
            Some((driver.id, driver.name.clone(), Arc::clone(&driver.closed)))
        })
    }

    pub fn has_files(&self, driver: DriverId) -> bool {
        self.state(|state| state.has_files(driver))
    }

    pub fn device_id(&self, device: DeviceObject) -> Option<DeviceId> {
        self.state(|state| state.devices.get(&device).map(|device| device.id))
    }

    /// Who may open a device.
    pub fn security(&self, device: DeviceObject) -> Vec<u16> {
        self.state(|state| state.devices.get(&device).map(|device| device.security.clone()))
            .unwrap_or_default()
    }

    /// Takes note of a file that is about to be opened, unless its driver is being unloaded; names
    /// the request.
    pub fn admit_open(&self, device: DeviceObject, file: FileId, irp: *mut Irp) -> Option<IrpId> {
        self.state(|state| {
            let driver = state.devices.get(&device)?.driver;
            if state.driver(driver)?.unloading {
                return None;
            }
            state.devices.get_mut(&device)?.files.insert(file);
            Some(state.add_irp(irp, Some((device, file))))
        })
    }

    /// Takes note that a file is gone.
    pub fn forget_file(&self, device: DeviceObject, file: FileId) {
        if let Some(closed) = self.state(|state| state.forget_file(device, file)) {
            closed.set();
        }
    }
}

impl Host for WineHost {
    type Platform = WinePlatform;
    type SpinLock = SpinLock;

    fn callback<R>(&self, _frame: Frame, run: impl FnOnce() -> R) -> R {
        run()
    }

    fn violation(&self, violation: &Violation) {
        let name = self.state(|state| {
            let driver = violation.driver.and_then(|id| state.driver(id));
            driver.map(|driver| driver.name.clone())
        });
        log!(
            "KMDF VIOLATION: {}: {violation}; instead: {}",
            name.as_deref().unwrap_or("a driver"),
            violation.rule.remedy()
        );
        // The driver would go on with the null pointer that it gets for a context.
        if violation.call == "WdfObjectGetTypedContextWorker" {
            nt::stop();
        }
    }

    fn defer(&self, work: Deferred) {
        wine_kernel::spawn(move || kmdf().run_deferred(work));
    }

    unsafe fn driver_created(&self, _driver: DriverId, object: PDRIVER_OBJECT, can_unload: bool) {
        // SAFETY: the object is the one that the entry point got, and only its thread writes to it
        // while it runs.
        let object = unsafe { &mut *object };
        for major in irp::MAJOR_FUNCTIONS {
            if let Some(function) = object.MajorFunction.get_mut(major as usize) {
                *function = irp::dispatch as *mut c_void;
            }
        }
        if can_unload {
            object.DriverUnload = Some(driver_unload);
        }
    }

    fn create_device(&self, spec: &DeviceSpec<'_>) -> Result<DeviceObject, NTSTATUS> {
        let object = self.state(|state| state.driver(spec.driver).map(|driver| driver.object));
        let object = object.ok_or(STATUS_NO_SUCH_DEVICE)?;
        let mut name = nt::counted(spec.name.unwrap_or_default());
        let mut device = ptr::null_mut();
        // SAFETY: the driver object is that of a loaded driver; name and out parameter are valid.
        let status = unsafe {
            nt::IoCreateDevice(
                object.0,
                0,
                if spec.name.is_some() {
                    &raw mut name
                } else {
                    ptr::null_mut()
                },
                spec.device_type,
                spec.characteristics,
                u8::from(spec.exclusive),
                &raw mut device,
            )
        };
        if status < 0 {
            return Err(status);
        }
        // SAFETY: the device was just made, and nobody else has it yet.
        unsafe { (*device).Flags |= nt::DO_BUFFERED_IO };
        let object = DeviceObject(device.expose_provenance());
        self.state(|state| {
            state.devices.insert(
                object,
                Device {
                    id: spec.device,
                    driver: spec.driver,
                    name: spec.name.unwrap_or_default().to_vec(),
                    security: spec.sddl.to_vec(),
                    files: BTreeSet::new(),
                    closing: BTreeSet::new(),
                },
            )
        });
        Ok(object)
    }

    fn finish_device(&self, device: DeviceObject) {
        let device: *mut nt::DeviceObject = ptr::with_exposed_provenance_mut(device.0);
        // SAFETY: the model names a device that was created and not deleted.
        unsafe { (*device).Flags &= !nt::DO_DEVICE_INITIALIZING };
    }

    fn delete_device(&self, device: DeviceObject) {
        self.state(|state| state.devices.remove(&device));
        // SAFETY: the model names a device that was created and not deleted.
        unsafe { nt::IoDeleteDevice(ptr::with_exposed_provenance_mut(device.0)) };
    }

    fn create_symbolic_link(&self, link: &[u16], device: DeviceObject) -> Result<(), NTSTATUS> {
        let target = self.state(|state| state.devices.get(&device).map(|device| device.name.clone()));
        let target = target.ok_or(STATUS_NO_SUCH_DEVICE)?;
        let mut link = nt::counted(link);
        let mut target = nt::counted(&target);
        // SAFETY: both strings are valid during the call.
        let status = unsafe { nt::IoCreateSymbolicLink(&raw mut link, &raw mut target) };
        if status < 0 { Err(status) } else { Ok(()) }
    }

    fn delete_symbolic_link(&self, link: &[u16]) {
        let mut link = nt::counted(link);
        // SAFETY: the string is valid during the call.
        unsafe { nt::IoDeleteSymbolicLink(&raw mut link) };
    }

    fn complete(&self, packet: IrpId, status: NTSTATUS, information: usize) {
        irp::complete(self, packet, status, information);
    }

    fn is_cancelled(&self, packet: IrpId) -> bool {
        irp::is_cancelled(self, packet)
    }

    fn allocate(&self, _driver: DriverId, tag: u32, size: usize) -> *mut c_void {
        // SAFETY: the function asks for nothing beyond its signature.
        let memory = unsafe { nt::ExAllocatePoolWithTag(nt::NON_PAGED_POOL, size, tag) };
        if !memory.is_null() {
            // SAFETY: the block is as large.
            unsafe { memory.write_bytes(0, size) };
        }
        memory
    }

    unsafe fn free(&self, _driver: DriverId, tag: u32, memory: *mut c_void) {
        // SAFETY: the caller promises that `allocate` gave it and that this is its last use.
        unsafe { nt::ExFreePoolWithTag(memory, tag) };
    }

    fn new_spin_lock(&self) -> SpinLock {
        SpinLock(UnsafeCell::new(0))
    }

    fn acquire_spin_lock(&self, lock: &SpinLock) -> KIRQL {
        // SAFETY: the word lives as long as the reference, and longer than it is held: the model
        // keeps the lock while anyone may use it.
        unsafe { nt::KeAcquireSpinLockRaiseToDpc(lock.0.get()) }
    }

    fn release_spin_lock(&self, lock: &SpinLock, irql: KIRQL) {
        // SAFETY: the model calls this on the thread that acquired the lock, with what it got.
        unsafe { nt::KeReleaseSpinLock(lock.0.get(), irql) };
    }

    fn open_key(
        &self,
        parent: Option<HANDLE>,
        path: &[u16],
        access: ACCESS_MASK,
    ) -> Result<HANDLE, NTSTATUS> {
        key::open(parent, path, access)
    }

    fn create_key(
        &self,
        parent: Option<HANDLE>,
        path: &[u16],
        access: ACCESS_MASK,
        options: u32,
    ) -> Result<(HANDLE, bool), NTSTATUS> {
        key::create(parent, path, access, options)
    }

    fn close_key(&self, key: HANDLE) {
        key::close(key);
    }

    fn delete_key(&self, key: HANDLE) -> Result<(), NTSTATUS> {
        key::delete(key)
    }

    fn query_value(&self, key: HANDLE, name: &[u16]) -> Result<(u32, Vec<u8>), NTSTATUS> {
        key::query(key, name)
    }

    fn set_value(&self, key: HANDLE, name: &[u16], kind: u32, data: &[u8]) -> Result<(), NTSTATUS> {
        key::set(key, name, kind, data)
    }

    fn delete_value(&self, key: HANDLE, name: &[u16]) -> Result<(), NTSTATUS> {
        key::delete_value(key, name)
    }
}
