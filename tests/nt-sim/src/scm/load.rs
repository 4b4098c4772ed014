//! Loading and unloading a driver.

use core::{cell::UnsafeCell, ptr};
use std::sync::Arc;

use super::registry_path;
use crate::{
    DRIVER_OBJECT, DriverImage, DriverName, Finding, Machine, PDRIVER_OBJECT, Rule, UNICODE_STRING,
    image::DriverEntry, ntstatus::NtStatus, scheduler::SchedulerEvent, sync::StateLock, thread, trace::Kind,
    verifier, wdf,
};

/// `IO_TYPE_DRIVER`
const IO_TYPE_DRIVER: i16 = 4;

/// A driver in memory, with the driver object that the kernel made for it.
#[derive(Debug)]
pub(crate) struct Loaded {
    service: String,
    driver: DriverName,
    /// The driver and its framework write to it.
    object: Object,
    /// What `DriverName` of the object points to.
    _name: Vec<u16>,
    /// What DriverEntry gets as its registry path.
    path: Vec<u16>,
}

/// A driver object at a fixed address.
#[derive(Debug)]
struct Object(Box<UnsafeCell<DRIVER_OBJECT>>);

// SAFETY: the driver object is plain data with pointers into the `Loaded` that holds it; it is written
// by the thread that runs DriverEntry and read afterwards.
#[expect(clippy::non_send_fields_in_send_ty, reason = "that is what the type is for")]
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

/// Returns a counted string over units that outlive it; empty if there are too many.
fn unicode(units: &[u16]) -> UNICODE_STRING {
    let bytes = u16::try_from(size_of_val(units)).unwrap_or(0);
    UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: units.as_ptr().cast_mut(),
    }
}

impl Loaded {
    pub(super) fn new(service: &str, driver: DriverName, image: &DriverImage) -> Self {
        let name: Vec<u16> = format!(r"\Driver\{service}").encode_utf16().collect();
        let object = DRIVER_OBJECT {
            Type: IO_TYPE_DRIVER,
            Size: i16::try_from(size_of::<DRIVER_OBJECT>()).unwrap_or(0),
            DeviceObject: ptr::null_mut(),
            Flags: 0,
            DriverStart: image.entry as *mut _,
            DriverSize: 0,
            DriverSection: ptr::null_mut(),
            DriverExtension: ptr::null_mut(),
            DriverName: unicode(&name),
            HardwareDatabase: ptr::null_mut(),
            FastIoDispatch: ptr::null_mut(),
            DriverInit: None,
            DriverStartIo: ptr::null_mut(),
            DriverUnload: None,
            MajorFunction: [ptr::null_mut(); 28],
        };
        Self {
            service: service.to_owned(),
            driver,
            object: Object(Box::new(UnsafeCell::new(object))),
            _name: name,
            path: registry_path(service).encode_utf16().collect(),
        }
    }

    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    pub(crate) const fn driver(&self) -> &DriverName {
        &self.driver
    }

    pub(crate) const fn object(&self) -> PDRIVER_OBJECT {
        self.object.0.get()
    }

    /// Tells whether the driver, or its framework, has given an unload routine.
    pub(super) fn can_unload(&self) -> bool {
        // SAFETY: the object is initialised, and nobody writes to it once DriverEntry has returned.
        unsafe { (*self.object()).DriverUnload.is_some() }
    }
}

/// Runs something on a system thread and waits for what it returns.
fn on_system_thread<R: Send + 'static>(
    machine: &Machine,
    name: &str,
    work: impl FnOnce() -> R + Send + 'static,
) -> Option<R> {
    let result = Arc::new(StateLock::new(None));
    let done: Arc<dyn SchedulerEvent> = machine.scheduler().event().into();
    let (place, signal) = (Arc::clone(&result), Arc::clone(&done));
    machine.spawn(name, move || {
        let value = work();
        place.with(|place| *place = Some(value));
        signal.set();
    });
    done.wait();
    result.with(Option::take)
}

/// Calls DriverEntry. If it fails, nothing of the driver stays.
pub(super) fn load(machine: &Machine, loaded: &Arc<Loaded>, entry: DriverEntry) -> Result<(), NtStatus> {
    let (here, driver) = (machine.clone(), Arc::clone(loaded));
    let status = on_system_thread(machine, "DriverEntry", move || {
        let name = driver.driver().clone();
        here.trace()
            .record(|| Kind::DriverLoading { driver: name.clone() });
        wdf::bind(&here, &name);
        let path = unicode(&driver.path);
        let status = crate::frames::callback(&name, "DriverEntry", || {
            // SAFETY: the image's entry point is called once, on a thread at PASSIVE_LEVEL, with a
            // driver object that outlives the driver and a path that outlives the call.
            unsafe { entry(driver.object(), &raw const path) }
        });
        let status = NtStatus(status);
        here.trace().record(|| Kind::DriverLoaded {
            driver: name.clone(),
            status: status.0,
        });
        if !status.is_success() {
            gone(&here, &name, true);
        }
        status
    });
    status.unwrap_or(NtStatus::UNSUCCESSFUL).ok()
}

/// Calls the unload routine. Runs on a system thread, once no file of the driver's devices is open.
pub(super) fn unload(machine: &Machine, loaded: &Loaded) {
    let name = loaded.driver();
    machine
        .trace()
        .record(|| Kind::DriverUnloading { driver: name.clone() });
    // SAFETY: the object is initialised, and nobody writes to it once DriverEntry has returned.
    let routine = unsafe { (*loaded.object()).DriverUnload };
    if let Some(routine) = routine {
        // SAFETY: the routine was put there by the driver or its framework for this call; it comes
        // once, at PASSIVE_LEVEL, with no file open.
        unsafe { routine(loaded.object()) };
    }
    gone(machine, name, false);
    machine
        .trace()
        .record(|| Kind::DriverUnloaded { driver: name.clone() });
}

/// Clears away what a driver has left, and reports what it should not have left.
fn gone(machine: &Machine, driver: &DriverName, failed: bool) {
    wdf::unbind(machine, driver);
    for what in machine.io_state().end_unload(driver) {
        verifier::report_finding(
            machine,
            Finding {
                driver: Some(driver.clone()),
                callback: Some("unload"),
                thread: thread::current_thread(),
                ..Finding::new(
                    Rule::LiveAtUnload,
                    format!("the {what} is still there"),
                    "delete each device and each symbolic link before the driver is gone".to_owned(),
                )
            },
        );
    }
    machine.check_gone(driver, failed);
}
