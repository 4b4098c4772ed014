//! What the framework needs of the machine.

use core::ffi::c_void;
use std::{cell::UnsafeCell, sync::Arc};

use kmdf_model::{
    CallbackIrql, Deferred, DeviceObject, DeviceSpec, DriverId, Frame, Host, IrpId, Rule as Broken, Violation,
};

use super::dispatch::{FrameworkDevice, number_of};
use crate::{
    ACCESS_MASK, DRIVER_OBJECT, Finding, HANDLE, KIRQL, KSPIN_LOCK, Machine, NTSTATUS, PDRIVER_OBJECT,
    POOL_FLAG_NON_PAGED, SimPlatform, bugcheck, frames,
    io::{self, NewDevice},
    ntddk,
    ntstatus::NtStatus,
    ob,
    registry::Value,
    thread::{self, irql},
    trace::Kind,
    verifier::{self, CallSite, Rule},
    zw::key_object,
};

/// `WDF_VIOLATION`
const WDF_VIOLATION: u32 = 0x10D;

/// The machine of the calling thread, as the framework's host.
pub(crate) struct SimHost;

/// A spin lock in the simulator's memory.
pub(crate) struct SpinLock(UnsafeCell<KSPIN_LOCK>);

// SAFETY: the word is touched only by the spin-lock functions, which do it atomically.
unsafe impl Send for SpinLock {}
// SAFETY: as above.
unsafe impl Sync for SpinLock {}

/// What a driver object's `DriverUnload` points to, as with the real framework.
unsafe extern "C" fn driver_unload(object: *mut DRIVER_OBJECT) {
    let machine = Machine::current();
    let Some(loaded) = machine.scm_state().by_object(object) else {
        return;
    };
    let state = machine.wdf_state();
    if let Some(driver) = state.driver_id(loaded.driver()) {
        state.kmdf.unload(driver);
    }
}

/// Returns a device's number in the I/O manager.
const fn device_id(device: DeviceObject) -> io::DeviceId {
    io::DeviceId(device.0 as u64)
}

fn text(units: &[u16]) -> Result<String, NtStatus> {
    String::from_utf16(units).map_err(|_| NtStatus::OBJECT_NAME_INVALID)
}

/// Turns an answer of the machine into one of the framework's.
fn answer<T>(answer: Result<T, NtStatus>) -> Result<T, NTSTATUS> {
    answer.map_err(|status| status.0)
}

impl Host for SimHost {
    type Platform = SimPlatform;
    type SpinLock = SpinLock;

    fn callback<R>(&self, frame: Frame, run: impl FnOnce() -> R) -> R {
        let driver = thread::with(|current| current.machine.wdf_state().driver(frame.driver));
        let Some((driver, globals)) = driver else {
            return run();
        };
        let contract = match frame.irql {
            CallbackIrql::Passive => irql::PASSIVE,
            CallbackIrql::UpToDispatch => irql::DISPATCH,
        };
        frames::framework_callback(&driver, globals, frame.callback, contract, run)
    }

    fn violation(&self, violation: &Violation) {
        if matches!(violation.rule, Broken::IrqlTooHigh { .. }) {
            // The verifier has said so, with more to go by.
            return;
        }
        let machine = Machine::current();
        let driver = violation
            .driver
            .and_then(|driver| machine.wdf_state().driver_name(driver))
            .or_else(thread::current_driver);
        verifier::report_finding(
            &machine,
            Finding {
                driver,
                callback: thread::current_frame().map(|frame| frame.callback),
                thread: thread::current_thread(),
                call: Some(violation.call),
                site: Some(CallSite::here()),
                ..Finding::new(
                    Rule::Kmdf,
                    violation.to_string(),
                    violation.rule.remedy().to_owned(),
                )
            },
        );
        // The driver would go on with the null pointer that it gets for a context.
        if violation.call == "WdfObjectGetTypedContextWorker" {
            bugcheck::stop(WDF_VIOLATION, &violation.to_string());
        }
    }

    fn defer(&self, work: Deferred) {
        let machine = Machine::current();
        let here = machine.clone();
        machine.spawn("framework work item", move || {
            here.wdf_state().kmdf.run_deferred(work);
        });
    }

    unsafe fn driver_created(&self, driver: DriverId, object: PDRIVER_OBJECT, can_unload: bool) {
        let _ = driver;
        if can_unload {
            // SAFETY: the object is the one that the entry point got, and only its thread writes to
            // it while it runs.
            unsafe { (*object).DriverUnload = Some(driver_unload) };
        }
    }

    fn create_device(&self, device: &DeviceSpec<'_>) -> Result<DeviceObject, NTSTATUS> {
        let machine = Machine::current();
        let Some(driver) = machine.wdf_state().driver_name(device.driver) else {
            return Err(NtStatus::INVALID_PARAMETER.0);
        };
        let name = answer(device.name.map(text).transpose())?;
        let sddl = answer(text(device.sddl))?;
        let created = answer(machine.io_state().create_device(&NewDevice {
            driver: &driver,
            name: name.as_deref(),
            sddl: &sddl,
            secure_open: device.characteristics & crate::FILE_DEVICE_SECURE_OPEN != 0,
            exclusive: device.exclusive,
            dispatch: Arc::new(FrameworkDevice(device.device)),
        }))?;
        let id = created.id().0;
        let shown = name.unwrap_or_default();
        machine.trace().record(|| Kind::Io {
            what: format!("device {shown} created"),
        });
        machine
            .wdf_state()
            .devices
            .with(|devices| devices.insert(id, shown));
        usize::try_from(id)
            .map(DeviceObject)
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES.0)
    }

    fn finish_device(&self, device: DeviceObject) {
        Machine::current().io_state().finish_device(device_id(device));
    }

    fn delete_device(&self, device: DeviceObject) {
        let machine = Machine::current();
        let id = device_id(device);
        machine.io_state().delete_device(id);
        let name = machine.wdf_state().devices.with(|devices| devices.remove(&id.0));
        machine.trace().record(|| Kind::Io {
            what: format!("device {} deleted", name.unwrap_or_default()),
        });
    }

    fn create_symbolic_link(&self, link: &[u16], device: DeviceObject) -> Result<(), NTSTATUS> {
        let machine = Machine::current();
        let link = answer(text(link))?;
        let id = device_id(device).0;
        let target = machine
            .wdf_state()
            .devices
            .with(|devices| devices.get(&id).cloned());
        let (Some(target), Some(driver)) = (target, thread::current_driver()) else {
            return Err(NtStatus::INVALID_PARAMETER.0);
        };
        answer(machine.io_state().create_symbolic_link(&driver, &link, &target))
    }

    fn delete_symbolic_link(&self, link: &[u16]) {
        if let Ok(link) = text(link) {
            // One that is gone already needs no removal.
            let _ = Machine::current().io_state().delete_symbolic_link(&link);
        }
    }

    fn complete(&self, irp: IrpId, status: NTSTATUS, information: usize) {
        let found = thread::with(|current| {
            let irps = &current.machine.wdf_state().irps;
            irps.with(|irps| irps.remove(number_of(irp)))
        });
        if let Some(irp) = found {
            irp.complete(NtStatus(status), information);
        }
    }

    fn is_cancelled(&self, irp: IrpId) -> bool {
        thread::with(|current| {
            let irps = &current.machine.wdf_state().irps;
            irps.with(|irps| irps.get(number_of(irp)).is_some_and(|irp| irp.is_cancelled()))
        })
    }

    fn allocate(&self, _driver: DriverId, tag: u32, size: usize) -> *mut c_void {
        // SAFETY: the function asks for nothing beyond its signature.
        unsafe { ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, size as u64, tag) }
    }

    unsafe fn free(&self, _driver: DriverId, tag: u32, memory: *mut c_void) {
        // SAFETY: the caller promises that `allocate` gave it and that this is its last use.
        unsafe { ntddk::ExFreePoolWithTag(memory, tag) };
    }

    fn new_spin_lock(&self) -> SpinLock {
        SpinLock(UnsafeCell::new(0))
    }

    fn acquire_spin_lock(&self, lock: &SpinLock) -> KIRQL {
        // SAFETY: the word lives as long as the reference, and longer than it is held: the model
        // keeps the lock while anyone may use it.
        unsafe { ntddk::KeAcquireSpinLockRaiseToDpc(lock.0.get()) }
    }

    fn release_spin_lock(&self, lock: &SpinLock, irql: KIRQL) {
        // SAFETY: the model calls this on the thread that acquired the lock, with what it got.
        unsafe { ntddk::KeReleaseSpinLock(lock.0.get(), irql) };
    }

    fn open_key(
        &self,
        parent: Option<HANDLE>,
        path: &[u16],
        access: ACCESS_MASK,
    ) -> Result<HANDLE, NTSTATUS> {
        answer(key_object::open(&Machine::current(), parent, path, access))
    }

    fn create_key(
        &self,
        parent: Option<HANDLE>,
        path: &[u16],
        access: ACCESS_MASK,
        options: u32,
    ) -> Result<(HANDLE, bool), NTSTATUS> {
        let machine = Machine::current();
        answer(key_object::create(&machine, parent, path, access, options))
    }

    fn close_key(&self, key: HANDLE) {
        drop(ob::close(&Machine::current(), key));
    }

    fn delete_key(&self, key: HANDLE) -> Result<(), NTSTATUS> {
        answer(key_object::delete(&Machine::current(), key))
    }

    fn query_value(&self, key: HANDLE, name: &[u16]) -> Result<(u32, Vec<u8>), NTSTATUS> {
        answer(key_object::query(&Machine::current(), key, name)).map(|value| (value.kind, value.data))
    }

    fn set_value(&self, key: HANDLE, name: &[u16], kind: u32, data: &[u8]) -> Result<(), NTSTATUS> {
        let value = Value {
            kind,
            data: data.to_vec(),
        };
        answer(key_object::set(&Machine::current(), key, name, value))
    }

    fn delete_value(&self, key: HANDLE, name: &[u16]) -> Result<(), NTSTATUS> {
        answer(key_object::delete_value(&Machine::current(), key, name))
    }
}
