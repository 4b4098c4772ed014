//! A driver against the raw functions of the framework; its device does what the control code says.

use std::{
    hint::black_box,
    ptr,
    sync::{Arc, Mutex},
};

use nt_sim::{
    _WDF_DRIVER_INIT_FLAGS, _WDF_EXECUTION_LEVEL, _WDF_FILEOBJECT_CLASS, _WDF_IO_QUEUE_DISPATCH_TYPE,
    _WDF_SYNCHRONIZATION_SCOPE, _WDF_TRI_STATE, DRIVER_OBJECT, DriverImage, DriverName, Machine,
    MachineBuilder, NTSTATUS, PCUNICODE_STRING, PWDF_OBJECT_ATTRIBUTES, STATUS_CANCELLED, STATUS_SUCCESS,
    UNICODE_STRING, WDF_DRIVER_CONFIG, WDF_FILEOBJECT_CONFIG, WDF_IO_QUEUE_CONFIG, WDF_OBJECT_ATTRIBUTES,
    WDFDEVICE, WDFDRIVER, WDFFILEOBJECT, WDFQUEUE, WDFREQUEST, WDFSPINLOCK, call_unsafe_wdf_function_binding,
    frames,
    io::{Access, FileHandle, Identity},
    platform::SimEvent,
    registry::{SERVICES, Value},
};
use sim_platform::Event;

/// `CTL_CODE(FILE_DEVICE_UNKNOWN, function, METHOD_BUFFERED, FILE_ANY_ACCESS)`
const fn code(function: u32) -> u32 {
    (0x22 << 16) | (function << 2)
}

/// Gives back as many bytes as came in.
pub const ECHO: u32 = code(0x801);
/// Waits until it is cancelled.
pub const PEND: u32 = code(0x802);
/// Is completed by another thread, unless it is cancelled before.
pub const ANSWER_LATER: u32 = code(0x803);
/// As [`ANSWER_LATER`], without the lock that this takes.
pub const ANSWER_CARELESSLY: u32 = code(0x808);
/// Completes twice.
pub const TWICE: u32 = code(0x804);
/// Waits until it is cancelled, and then calls what may not be called there.
pub const PEND_AND_READ_REGISTRY: u32 = code(0x805);
/// Takes the device's handle for the request's.
pub const WRONG_HANDLE: u32 = code(0x806);
/// Takes a reference on the file object and never gives it back.
pub const LEAK_REFERENCE: u32 = code(0x807);
/// Reads a byte more than came in.
pub const READ_TOO_MUCH: u32 = code(0x809);
/// Reads what came in after it was answered.
pub const READ_TOO_LATE: u32 = code(0x80A);

macro_rules! wdf {
    ($($call:tt)*) => {{
        // SAFETY: this driver passes handles it was given and pointers to its own variables, except
        // where a test is about a wrong handle, which the framework checks.
        unsafe { call_unsafe_wdf_function_binding!($($call)*) }
    }};
}

fn size<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap()
}

fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn unicode(units: &[u16]) -> UNICODE_STRING {
    let length = u16::try_from(size_of_val(units)).unwrap();
    UNICODE_STRING {
        Length: length,
        MaximumLength: length,
        Buffer: units.as_ptr().cast_mut(),
    }
}

const NO_ATTRIBUTES: PWDF_OBJECT_ATTRIBUTES = ptr::null_mut();

unsafe extern "system" fn entry(object: *mut DRIVER_OBJECT, path: PCUNICODE_STRING) -> NTSTATUS {
    let mut config = WDF_DRIVER_CONFIG {
        Size: size::<WDF_DRIVER_CONFIG>(),
        EvtDriverUnload: Some(evt_unload),
        DriverInitFlags: _WDF_DRIVER_INIT_FLAGS::WdfDriverInitNonPnpDriver.cast_unsigned(),
        DriverPoolTag: u32::from_le_bytes(*b"KmdT"),
        ..WDF_DRIVER_CONFIG::default()
    };
    let mut driver = ptr::null_mut();
    let status = wdf!(
        WdfDriverCreate,
        object,
        path,
        NO_ATTRIBUTES,
        &raw mut config,
        &raw mut driver
    );
    if status != STATUS_SUCCESS {
        return status;
    }
    let mut key = ptr::null_mut();
    let mut fails = 0;
    let name = wide("Fails");
    let name = unicode(&name);
    let status = wdf!(
        WdfDriverOpenParametersRegistryKey,
        driver,
        nt_sim::KEY_READ,
        NO_ATTRIBUTES,
        &raw mut key
    );
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(
        wdf!(WdfRegistryQueryULong, key, &raw const name, &raw mut fails),
        STATUS_SUCCESS
    );
    wdf!(WdfRegistryClose, key);
    make_lock();
    make_device(driver);
    // What was made until here goes without the unload routine.
    if fails == 0 {
        STATUS_SUCCESS
    } else {
        nt_sim::STATUS_INSUFFICIENT_RESOURCES
    }
}

fn make_device(driver: WDFDRIVER) {
    let sddl = wide("D:P(A;;GA;;;SY)(A;;GA;;;BA)");
    let sddl = unicode(&sddl);
    let mut init = wdf!(WdfControlDeviceInitAllocate, driver, &raw const sddl);
    assert!(!init.is_null());
    let name = wide(r"\Device\KmdfTest");
    let name = unicode(&name);
    assert_eq!(
        wdf!(WdfDeviceInitAssignName, init, &raw const name),
        STATUS_SUCCESS
    );
    let mut files = WDF_FILEOBJECT_CONFIG {
        Size: size::<WDF_FILEOBJECT_CONFIG>(),
        EvtDeviceFileCreate: Some(evt_file_create),
        EvtFileClose: Some(evt_file),
        EvtFileCleanup: Some(evt_file),
        AutoForwardCleanupClose: _WDF_TRI_STATE::WdfUseDefault,
        FileObjectClass: _WDF_FILEOBJECT_CLASS::WdfFileObjectWdfCannotUseFsContexts,
    };
    wdf!(
        WdfDeviceInitSetFileObjectConfig,
        init,
        &raw mut files,
        NO_ATTRIBUTES
    );
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        Size: size::<WDF_OBJECT_ATTRIBUTES>(),
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelPassive,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeNone,
        ..WDF_OBJECT_ATTRIBUTES::default()
    };
    let mut device = ptr::null_mut();
    let status = wdf!(
        WdfDeviceCreate,
        &raw mut init,
        &raw mut attributes,
        &raw mut device
    );
    assert_eq!(status, STATUS_SUCCESS);
    let link = wide(r"\DosDevices\KmdfTest");
    let link = unicode(&link);
    assert_eq!(
        wdf!(WdfDeviceCreateSymbolicLink, device, &raw const link),
        STATUS_SUCCESS
    );
    let mut config = WDF_IO_QUEUE_CONFIG {
        Size: size::<WDF_IO_QUEUE_CONFIG>(),
        DispatchType: _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel,
        PowerManaged: _WDF_TRI_STATE::WdfUseDefault,
        DefaultQueue: 1,
        EvtIoDeviceControl: Some(evt_device_control),
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    config.Settings.Parallel.NumberOfPresentedRequests = u32::MAX;
    let status = wdf!(
        WdfIoQueueCreate,
        device,
        &raw mut config,
        NO_ATTRIBUTES,
        ptr::null_mut()
    );
    assert_eq!(status, STATUS_SUCCESS);
    wdf!(WdfControlFinishInitializing, device);
}

/// No thread of the driver runs when this returns.
extern "C" fn evt_unload(_driver: WDFDRIVER) {
    let mut answerers = ANSWERERS.lock().unwrap();
    let ours: Vec<_> = answerers
        .extract_if(.., |(machine, _)| *machine == here())
        .collect();
    drop(answerers);
    for (_, done) in ours {
        done.wait();
    }
}

extern "C" fn evt_file_create(_device: WDFDEVICE, request: WDFREQUEST, _file: WDFFILEOBJECT) {
    wdf!(WdfRequestComplete, request, STATUS_SUCCESS);
}

const extern "C" fn evt_file(_file: WDFFILEOBJECT) {}

extern "C" fn evt_device_control(
    queue: WDFQUEUE,
    request: WDFREQUEST,
    output_length: usize,
    input_length: usize,
    code: u32,
) {
    match code {
        ECHO => {
            let information = input_length.min(output_length) as u64;
            wdf!(
                WdfRequestCompleteWithInformation,
                request,
                STATUS_SUCCESS,
                information
            );
        }
        PEND => mark(request, evt_cancel),
        PEND_AND_READ_REGISTRY => mark(request, evt_cancel_with_registry),
        ANSWER_LATER => answer_later(request, true),
        ANSWER_CARELESSLY => answer_later(request, false),
        TWICE => {
            wdf!(WdfRequestComplete, request, STATUS_SUCCESS);
            wdf!(WdfRequestComplete, request, STATUS_SUCCESS);
        }
        WRONG_HANDLE => {
            let device = wdf!(WdfIoQueueGetDevice, queue);
            wdf!(WdfRequestComplete, device.cast(), STATUS_SUCCESS);
            wdf!(WdfRequestComplete, request, STATUS_SUCCESS);
        }
        LEAK_REFERENCE => {
            let file = wdf!(WdfRequestGetFileObject, request);
            wdf!(
                WdfObjectReferenceActual,
                file.cast(),
                ptr::null_mut(),
                0,
                ptr::null()
            );
            wdf!(WdfRequestComplete, request, STATUS_SUCCESS);
        }
        READ_TOO_MUCH => {
            // SAFETY: wrong on purpose: the input ends there.
            let end = unsafe { input(request).add(input_length) };
            // SAFETY: as above.
            black_box(unsafe { end.read_volatile() });
            wdf!(WdfRequestComplete, request, STATUS_SUCCESS);
        }
        READ_TOO_LATE => {
            let input = input(request);
            wdf!(WdfRequestComplete, request, STATUS_SUCCESS);
            // SAFETY: wrong on purpose: the buffer went with the request.
            black_box(unsafe { input.read_volatile() });
        }
        _ => wdf!(WdfRequestComplete, request, nt_sim::STATUS_INVALID_DEVICE_REQUEST),
    }
}

/// The first byte of what came in.
fn input(request: WDFREQUEST) -> *const u8 {
    let (mut buffer, mut length) = (ptr::null_mut(), 0);
    let status = wdf!(
        WdfRequestRetrieveInputBuffer,
        request,
        1,
        &raw mut buffer,
        &raw mut length
    );
    assert_eq!(status, STATUS_SUCCESS);
    buffer.cast()
}

fn mark(request: WDFREQUEST, callback: unsafe extern "C" fn(WDFREQUEST)) {
    if wdf!(WdfRequestMarkCancelableEx, request, Some(callback)) != STATUS_SUCCESS {
        wdf!(WdfRequestComplete, request, STATUS_CANCELLED);
    }
}

extern "C" fn evt_cancel(request: WDFREQUEST) {
    wdf!(WdfRequestComplete, request, STATUS_CANCELLED);
}

extern "C" fn evt_cancel_with_registry(request: WDFREQUEST) {
    let mut key = ptr::null_mut();
    let name = wide(SERVICES);
    let name = unicode(&name);
    let status = wdf!(
        WdfRegistryOpenKey,
        ptr::null_mut(),
        &raw const name,
        nt_sim::KEY_READ,
        NO_ATTRIBUTES,
        &raw mut key
    );
    if status == STATUS_SUCCESS {
        wdf!(WdfRegistryClose, key);
    }
    evt_cancel(request);
}

/// The requests that wait for an answer; whoever takes one out completes it.
static WAITING: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());
/// What the threads that answer set when they end.
static ANSWERERS: Mutex<Vec<(usize, Arc<SimEvent>)>> = Mutex::new(Vec::new());
/// The spin lock of each machine's driver.
static LOCKS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Tells the machines of tests that run at once apart.
fn here() -> usize {
    ptr::from_ref(Machine::current().trace()).addr()
}

fn make_lock() {
    let mut lock = ptr::null_mut();
    assert_eq!(
        wdf!(WdfSpinLockCreate, NO_ATTRIBUTES, &raw mut lock),
        STATUS_SUCCESS
    );
    let mut locks = LOCKS.lock().unwrap();
    locks.retain(|(machine, _)| *machine != here());
    locks.push((here(), lock.addr()));
}

/// Runs `body` under the driver's spin lock.
fn locked<R>(body: impl FnOnce() -> R) -> R {
    let found = LOCKS
        .lock()
        .unwrap()
        .iter()
        .find(|(machine, _)| *machine == here())
        .copied();
    let lock: WDFSPINLOCK = ptr::without_provenance_mut(found.unwrap().1);
    wdf!(WdfSpinLockAcquire, lock);
    let result = body();
    wdf!(WdfSpinLockRelease, lock);
    result
}

/// Takes a request out, unless someone else has.
fn take(request: WDFREQUEST) -> bool {
    let mut waiting = WAITING.lock().unwrap();
    let before = waiting.len();
    waiting.retain(|entry| *entry != (here(), request.addr()));
    waiting.len() < before
}

/// The answer gets the request back, unless it was cancelled.
fn unmark(request: WDFREQUEST) -> bool {
    let there = WAITING.lock().unwrap().contains(&(here(), request.addr()));
    // Without the lock, the cancel callback may complete the request here, between two steps.
    there && wdf!(WdfRequestUnmarkCancelable, request) == STATUS_SUCCESS && take(request)
}

extern "C" fn evt_cancel_waiting(request: WDFREQUEST) {
    assert!(
        locked(|| take(request)),
        "a cancelled request is left to its callback"
    );
    wdf!(WdfRequestComplete, request, STATUS_CANCELLED);
}

fn answer_later(request: WDFREQUEST, careful: bool) {
    let raw = request.addr();
    let marked = locked(|| {
        WAITING.lock().unwrap().push((here(), raw));
        let status = wdf!(WdfRequestMarkCancelableEx, request, Some(evt_cancel_waiting));
        status == STATUS_SUCCESS || !take(request)
    });
    if !marked {
        wdf!(WdfRequestComplete, request, STATUS_CANCELLED);
        return;
    }
    let done = Arc::new(SimEvent::new());
    ANSWERERS.lock().unwrap().push((here(), Arc::clone(&done)));
    Machine::current().spawn("answer", move || {
        frames::callback(&DriverName::new(IMAGE), "answer", || {
            let request: WDFREQUEST = ptr::without_provenance_mut(raw);
            let ours = if careful {
                locked(|| unmark(request))
            } else {
                unmark(request)
            };
            if ours {
                wdf!(WdfRequestComplete, request, STATUS_SUCCESS);
            }
        });
        done.set();
    });
}

pub const IMAGE: &str = "kmdftest.sys";
pub const SERVICE: &str = "KmdfTest";
pub const PATH: &str = r"\\.\KmdfTest";

pub fn installed(builder: MachineBuilder, fails: u32) -> Machine {
    let machine = builder.build().unwrap();
    machine.add_image(DriverImage {
        file_name: IMAGE.to_owned(),
        entry,
        pool_tag_prefix: *b"Kmd",
    });
    let key = format!(r"{SERVICES}\{SERVICE}");
    machine
        .registry()
        .create_path(&format!(r"{key}\Parameters"))
        .unwrap();
    let put = |key: &str, name, value| machine.registry().put(key, name, value).unwrap();
    put(
        &key,
        "ImagePath",
        Value::sz(r"\SystemRoot\System32\drivers\kmdftest.sys"),
    );
    put(&key, "Start", Value::dword(3));
    put(&format!(r"{key}\Parameters"), "Fails", Value::dword(fails));
    machine
}

pub fn started() -> Machine {
    let machine = installed(Machine::builder(), 0);
    machine.start(SERVICE).unwrap();
    machine
}

pub fn open(machine: &Machine) -> FileHandle {
    machine
        .process(Identity::System)
        .open(PATH, Access::READ)
        .unwrap()
}
