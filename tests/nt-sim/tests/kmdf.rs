//! KMDF on a machine: a driver written against the raw functions, and what is said when it breaks rules.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "test code")]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{Arc, Mutex},
};

use nt_sim::{
    _WDF_DRIVER_INIT_FLAGS, _WDF_EXECUTION_LEVEL, _WDF_FILEOBJECT_CLASS, _WDF_IO_QUEUE_DISPATCH_TYPE,
    _WDF_SYNCHRONIZATION_SCOPE, _WDF_TRI_STATE, DRIVER_OBJECT, DriverImage, DriverName, Finding, Machine,
    MachineBuilder, NTSTATUS, PCUNICODE_STRING, PWDF_OBJECT_ATTRIBUTES, Rule, STATUS_CANCELLED,
    STATUS_SUCCESS, UNICODE_STRING, WDF_DRIVER_CONFIG, WDF_FILEOBJECT_CONFIG, WDF_IO_QUEUE_CONFIG,
    WDF_OBJECT_ATTRIBUTES, WDFDEVICE, WDFDRIVER, WDFFILEOBJECT, WDFQUEUE, WDFREQUEST, WDFSPINLOCK,
    call_unsafe_wdf_function_binding, frames,
    io::{Access, FileHandle, Identity},
    ntstatus::NtStatus,
    platform::SimEvent,
    registry::{SERVICES, Value},
    scheduler::Controlled,
    scm::{ServiceState, StopOutcome},
    trace::Kind,
};
use sim_platform::Event;

/// `CTL_CODE(FILE_DEVICE_UNKNOWN, function, METHOD_BUFFERED, FILE_ANY_ACCESS)`
const fn code(function: u32) -> u32 {
    (0x22 << 16) | (function << 2)
}

/// Gives back as many bytes as came in.
const ECHO: u32 = code(0x801);
/// Waits until it is cancelled.
const PEND: u32 = code(0x802);
/// Is completed by another thread, unless it is cancelled before.
const ANSWER_LATER: u32 = code(0x803);
/// As [`ANSWER_LATER`], without the lock that this takes.
const ANSWER_CARELESSLY: u32 = code(0x808);
/// Completes twice.
const TWICE: u32 = code(0x804);
/// Waits until it is cancelled, and then calls what may not be called there.
const PEND_AND_READ_REGISTRY: u32 = code(0x805);
/// Takes the device's handle for the request's.
const WRONG_HANDLE: u32 = code(0x806);
/// Takes a reference on the file object and never gives it back.
const LEAK_REFERENCE: u32 = code(0x807);

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
        _ => wdf!(WdfRequestComplete, request, nt_sim::STATUS_INVALID_DEVICE_REQUEST),
    }
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

const IMAGE: &str = "kmdftest.sys";
const SERVICE: &str = "KmdfTest";
const PATH: &str = r"\\.\KmdfTest";

fn installed(builder: MachineBuilder, fails: u32) -> Machine {
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

fn started() -> Machine {
    let machine = installed(Machine::builder(), 0);
    machine.start(SERVICE).unwrap();
    machine
}

fn open(machine: &Machine) -> FileHandle {
    machine
        .process(Identity::System)
        .open(PATH, Access::READ)
        .unwrap()
}

/// The findings of a machine that has shut down.
fn findings(machine: &Machine) -> Vec<Finding> {
    machine.shutdown().findings
}

#[test]
fn a_framework_driver_serves_and_unloads() {
    let machine = started();
    let file = open(&machine);
    let mut output = [0; 3];
    assert_eq!(file.device_control(ECHO, b"abc", &mut output), Ok(3));
    assert_eq!(&output, b"abc");
    file.close_and_wait();
    assert_eq!(machine.stop(SERVICE), Ok(StopOutcome::Stopped));
    machine.shutdown().assert_clean();
}

#[test]
fn a_driver_entry_that_fails_leaves_nothing_behind() {
    let machine = installed(Machine::builder(), 1);
    assert!(machine.start(SERVICE).is_err());
    assert_eq!(machine.query(SERVICE), Ok(ServiceState::Stopped));
    let opened = machine.process(Identity::System).open(PATH, Access::READ);
    assert_eq!(opened.err(), Some(NtStatus::OBJECT_NAME_NOT_FOUND));
    machine.shutdown().assert_clean();
}

#[test]
fn a_stop_waits_for_the_last_handle_and_the_device_works_meanwhile() {
    let machine = started();
    let file = open(&machine);
    assert_eq!(machine.stop(SERVICE), Ok(StopOutcome::StopPending));
    let mut output = [0; 1];
    assert_eq!(file.device_control(ECHO, b"x", &mut output), Ok(1));
    file.close();
    machine.wait_until_stopped(SERVICE);
    machine.shutdown().assert_clean();
}

#[test]
fn a_dying_process_has_its_requests_cancelled_then_cleanup_then_close() {
    let machine = started();
    let process = machine.process(Identity::System);
    let file = process.open(PATH, Access::READ).unwrap();
    let pending = [file.submit(PEND, &[], 0), file.submit(PEND, &[], 0)];
    assert!(pending.iter().all(|call| !call.is_complete()));
    process.kill();
    for call in pending {
        assert_eq!(call.wait().status, NtStatus::CANCELLED);
    }
    machine.stop(SERVICE).unwrap();
    machine.wait_until_stopped(SERVICE);
    let entered: Vec<_> = machine
        .trace()
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            Kind::CallbackEntered { callback } => Some(callback),
            _ => None,
        })
        .skip_while(|callback| *callback != "EvtRequestCancel")
        .collect();
    assert_eq!(
        entered,
        [
            "EvtRequestCancel",
            "EvtRequestCancel",
            "EvtFileCleanup",
            "EvtFileClose",
            "EvtDriverUnload"
        ]
    );
    machine.shutdown().assert_clean();
}

#[test]
fn a_second_completion_is_reported_with_who_did_it_and_where() {
    let machine = started();
    assert_eq!(open(&machine).call(TWICE, &[], 0).status, NtStatus::SUCCESS);
    let findings = findings(&machine);
    let [finding] = findings.as_slice() else {
        panic!("one finding, not {findings:?}")
    };
    assert_eq!(finding.rule, Rule::Kmdf);
    assert_eq!(finding.call, Some("WdfRequestComplete"));
    assert_eq!(finding.callback, Some("EvtIoDeviceControl"));
    assert_eq!(
        finding.driver.as_ref().map(ToString::to_string).as_deref(),
        Some(IMAGE)
    );
    let shown = finding.to_string();
    assert!(
        shown.contains("evt_device_control"),
        "the place is named: {shown}"
    );
}

#[test]
fn a_wrong_handle_is_reported_by_its_type() {
    let machine = started();
    assert_eq!(
        open(&machine).call(WRONG_HANDLE, &[], 0).status,
        NtStatus::SUCCESS
    );
    let findings = findings(&machine);
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0]
            .message
            .contains("is a WDFDEVICE, and a WDFREQUEST is needed")
    );
}

#[test]
fn a_call_that_needs_passive_level_is_reported_in_a_cancel_callback() {
    let machine = started();
    let file = open(&machine);
    let call = file.submit(PEND_AND_READ_REGISTRY, &[], 0);
    assert!(call.cancel());
    assert_eq!(call.wait().status, NtStatus::CANCELLED);
    drop(file);
    let findings = findings(&machine);
    let calls: Vec<_> = findings
        .iter()
        .map(|finding| (finding.rule, finding.call))
        .collect();
    assert_eq!(
        calls,
        [
            (Rule::IrqlTooHigh, Some("WdfRegistryOpenKey")),
            (Rule::IrqlTooHigh, Some("WdfRegistryClose")),
        ]
    );
}

#[test]
fn a_reference_that_is_never_given_back_is_reported_at_unload() {
    let machine = started();
    assert_eq!(
        open(&machine).call(LEAK_REFERENCE, &[], 0).status,
        NtStatus::SUCCESS
    );
    let findings = findings(&machine);
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0].message.contains("WDFFILEOBJECT"),
        "{}",
        findings[0].message
    );
}

#[test]
fn two_machines_run_the_same_driver_side_by_side() {
    let (one, two) = (started(), started());
    let (first, second) = (open(&one), open(&two));
    let (pending, other) = (first.submit(PEND, &[], 0), second.submit(PEND, &[], 0));
    pending.cancel();
    assert_eq!(pending.wait().status, NtStatus::CANCELLED);
    assert!(!other.is_complete());
    first.close_and_wait();
    assert_eq!(one.stop(SERVICE), Ok(StopOutcome::Stopped));
    assert_eq!(two.query(SERVICE), Ok(ServiceState::Running));
    other.cancel();
    assert_eq!(other.wait().status, NtStatus::CANCELLED);
    drop(second);
    one.shutdown().assert_clean();
    two.shutdown().assert_clean();
}

/// A request that another thread answers is cancelled meanwhile.
fn answer_races_with_cancellation(code: u32) {
    let machine = installed(Machine::builder().scheduler(Controlled::new()), 0);
    machine.start(SERVICE).unwrap();
    let file = open(&machine);
    let call = file.submit(code, &[], 0);
    call.cancel();
    let status = call.wait().status;
    assert!(
        status == NtStatus::SUCCESS || status == NtStatus::CANCELLED,
        "answered or cancelled, not {status}"
    );
    file.close_and_wait();
    assert_eq!(machine.stop(SERVICE), Ok(StopOutcome::Stopped));
    machine.shutdown().assert_clean();
}

#[test]
fn no_schedule_completes_a_request_twice_or_never() {
    shuttle::check_random(|| answer_races_with_cancellation(ANSWER_LATER), 300);
    shuttle::check_pct(|| answer_races_with_cancellation(ANSWER_LATER), 300, 3);
}

#[test]
fn some_schedule_shows_a_request_that_is_unmarked_too_late() {
    let broken = catch_unwind(AssertUnwindSafe(|| {
        shuttle::check_random(|| answer_races_with_cancellation(ANSWER_CARELESSLY), 300);
    }));
    assert!(broken.is_err(), "the checker tried only harmless schedules");
}
