//! Service control: installing, starting, stopping and removing drivers.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "test code")]
#![allow(clippy::missing_const_for_fn, reason = "drivers are no constants")]

mod support;
#[path = "support/zw.rs"]
mod zw;

use std::{sync::Arc, thread};

use nt_sim::{
    DRIVER_OBJECT, DriverImage, DriverName, FILE_CREATE, Machine, NTSTATUS, PCUNICODE_STRING, Rule,
    io::{Access, FileHandle, Identity, NewDevice},
    ntstatus::NtStatus,
    registry::{SERVICES, Value},
    scm::{ServiceState, StopOutcome, Win32Error},
    trace::Kind,
};
use support::{DEVICE, ECHO, LINK, PATH, TestDevice};

const INF: &str = r#"
[Version]
Signature = "$WINDOWS NT$"
Class = Test
ClassGuid = {00000000-1111-2222-3333-444444444444}
Provider = Test
CatalogFile = test.cat
DriverVer =
PnpLockdown = 1
[DestinationDirs]
DefaultDestDir = 13
[SourceDisksNames]
1 = Disk
[SourceDisksFiles]
test.sys = 1
[DefaultInstall.NT$ARCH$]
CopyFiles = @test.sys
[DefaultInstall.NT$ARCH$.Services]
AddService = Test,, Service
[Service]
DisplayName = "A test"
ServiceType = 1
StartType = 3
ErrorControl = 1
ServiceBinary = %13%\test.sys
AddReg = Values
[Values]
HKR, Parameters, Kept, 0x00010003, 1
HKR, Parameters, Replaced, 0x00010001, 1
HKR, Parameters\Below, Text, 0x00000002, hello
"#;

const PARAMETERS: &str = r"\Registry\Machine\System\CurrentControlSet\Services\Test\Parameters";

fn driver() -> DriverName {
    DriverName::new("test.sys")
}

/// A driver with a device, that deletes it again.
unsafe extern "system" fn entry(driver_object: *mut DRIVER_OBJECT, path: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: service control passes a valid path.
    let path = unsafe { &*path };
    // SAFETY: as above.
    let units = unsafe { std::slice::from_raw_parts(path.Buffer, usize::from(path.Length) / 2) };
    assert_eq!(String::from_utf16(units).unwrap(), format!(r"{SERVICES}\Test"));
    let machine = Machine::current();
    let id = machine
        .create_device(&NewDevice {
            driver: &driver(),
            name: Some(DEVICE),
            sddl: "D:P(A;;GA;;;WD)",
            secure_open: true,
            exclusive: false,
            dispatch: Arc::new(TestDevice::default()),
        })
        .unwrap();
    machine.create_symbolic_link(&driver(), LINK, DEVICE).unwrap();
    machine.finish_device(id);
    // SAFETY: service control passes a driver object that the driver may write to.
    unsafe { (*driver_object).DriverUnload = Some(unload) };
    machine
        .registry()
        .put(PARAMETERS, "Device", Value::binary(id.0.to_le_bytes().to_vec()))
        .unwrap();
    0
}

unsafe extern "C" fn unload(_driver: *mut DRIVER_OBJECT) {
    let machine = Machine::current();
    let id = machine.registry().get(PARAMETERS, "Device").unwrap().data;
    machine.delete_symbolic_link(LINK).unwrap();
    machine.delete_device(nt_sim::io::DeviceId(u64::from_le_bytes(id.try_into().unwrap())));
}

/// A driver that leaves its device behind.
unsafe extern "system" fn sloppy(driver_object: *mut DRIVER_OBJECT, path: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: what service control passes is passed on.
    let status = unsafe { entry(driver_object, path) };
    // SAFETY: service control passes a driver object that the driver may write to.
    unsafe { (*driver_object).DriverUnload = Some(unload_nothing) };
    status
}

unsafe extern "C" fn unload_nothing(_driver: *mut DRIVER_OBJECT) {}

unsafe extern "system" fn failing(_: *mut DRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
    NtStatus::INSUFFICIENT_RESOURCES.0
}

/// A driver that leaves a file open.
unsafe extern "system" fn leaking(driver_object: *mut DRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
    zw::open_file(r"\SystemRoot\left open", zw::RIGHTS, FILE_CREATE).unwrap();
    // SAFETY: service control passes a driver object that the driver may write to.
    unsafe { (*driver_object).DriverUnload = Some(unload_nothing) };
    0
}

/// A driver without an unload routine.
unsafe extern "system" fn staying(_: *mut DRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
    0
}

fn machine_with(entry: nt_sim::image::DriverEntry) -> Machine {
    let machine = Machine::builder().in_memory().build().unwrap();
    machine.add_image(DriverImage {
        file_name: "test.sys".to_owned(),
        entry,
        pool_tag_prefix: *b"Tst",
    });
    assert_eq!(machine.install(INF).unwrap(), ["Test"]);
    machine
}

fn open(machine: &Machine) -> Result<FileHandle, NtStatus> {
    machine.process(Identity::User).open(PATH, Access::READ)
}

#[test]
fn a_driver_is_loaded_serves_and_is_unloaded() {
    let machine = machine_with(entry);
    assert_eq!(machine.query("test"), Ok(ServiceState::Stopped));
    machine.start("TEST").unwrap();
    assert_eq!(machine.query("Test"), Ok(ServiceState::Running));
    let file = open(&machine).unwrap();
    assert_eq!(file.device_control(ECHO, b"hi", &mut [0; 2]), Ok(2));
    file.close();
    assert_eq!(machine.stop("Test"), Ok(StopOutcome::Stopped));
    assert_eq!(machine.query("Test"), Ok(ServiceState::Stopped));
    assert_eq!(open(&machine).map(|_| ()), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
    // And again.
    machine.start("Test").unwrap();
    machine.shutdown().assert_clean();
    let steps: Vec<Kind> = machine
        .trace()
        .events()
        .into_iter()
        .map(|event| event.kind)
        .collect();
    let unloaded = steps
        .iter()
        .filter(|step| **step == Kind::DriverUnloaded { driver: driver() });
    assert_eq!(unloaded.count(), 2);
}

#[test]
fn service_control_answers_with_the_codes_of_windows() {
    let machine = machine_with(entry);
    for service in ["Other", "", r"Test\Parameters"] {
        assert_eq!(machine.start(service), Err(Win32Error::SERVICE_DOES_NOT_EXIST));
        assert_eq!(machine.query(service), Err(Win32Error::SERVICE_DOES_NOT_EXIST));
        assert_eq!(
            machine.uninstall(service),
            Err(Win32Error::SERVICE_DOES_NOT_EXIST)
        );
    }
    assert_eq!(machine.stop("Test"), Err(Win32Error::SERVICE_NOT_ACTIVE));
    machine.start("Test").unwrap();
    assert_eq!(machine.start("Test"), Err(Win32Error::SERVICE_ALREADY_RUNNING));
    machine.stop("Test").unwrap();
    machine
        .registry()
        .put(&format!(r"{SERVICES}\Test"), "Start", Value::dword(4))
        .unwrap();
    assert_eq!(machine.start("Test"), Err(Win32Error::SERVICE_DISABLED));
    machine
        .registry()
        .put(
            &format!(r"{SERVICES}\Gone"),
            "ImagePath",
            Value::sz(r"\x\gone.sys"),
        )
        .unwrap();
    assert_eq!(machine.start("Gone"), Err(Win32Error::FILE_NOT_FOUND));
    assert_eq!(Win32Error::SERVICE_ALREADY_RUNNING.0, 1056);
    assert_eq!(Win32Error::SERVICE_DOES_NOT_EXIST.0, 1060);
    assert_eq!(Win32Error::SERVICE_NOT_ACTIVE.0, 1062);
}

#[test]
fn a_failing_driver_entry_leaves_nothing_and_its_status_is_translated() {
    let machine = machine_with(failing);
    assert_eq!(machine.start("Test"), Err(Win32Error::NO_SYSTEM_RESOURCES));
    assert_eq!(machine.query("Test"), Ok(ServiceState::Stopped));
    // It can be tried again.
    assert_eq!(machine.start("Test"), Err(Win32Error::NO_SYSTEM_RESOURCES));
    machine.shutdown().assert_clean();
}

#[test]
fn a_driver_without_an_unload_routine_cannot_be_stopped() {
    let machine = machine_with(staying);
    machine.start("Test").unwrap();
    assert_eq!(machine.stop("Test"), Err(Win32Error::INVALID_SERVICE_CONTROL));
    assert_eq!(machine.query("Test"), Ok(ServiceState::Running));
}

#[test]
fn what_a_driver_leaves_behind_at_unload_is_a_finding_and_is_cleared_away() {
    let machine = machine_with(sloppy);
    machine.start("Test").unwrap();
    machine.stop("Test").unwrap();
    let findings = machine.report();
    let [device, link] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    assert!(
        device.rule == Rule::LiveAtUnload && device.message.contains(DEVICE),
        "{device}"
    );
    assert!(
        link.rule == Rule::LiveAtUnload && link.message.contains("symbolic link"),
        "{link}"
    );
    assert_eq!(open(&machine).map(|_| ()), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
}

#[test]
fn a_handle_that_a_driver_leaves_open_is_a_finding() {
    let machine = machine_with(leaking);
    machine.start("Test").unwrap();
    machine.stop("Test").unwrap();
    let findings = machine.shutdown().findings;
    let [file] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    assert!(
        file.rule == Rule::LiveAtUnload && file.message.contains("file handle"),
        "{file}"
    );
    assert_eq!(file.driver, Some(driver()));
}

#[test]
fn a_machine_that_was_shut_down_is_gone_although_a_driver_left_a_handle_open() {
    let machine = machine_with(leaking);
    let subscribed = Arc::new(());
    let held = Arc::clone(&subscribed);
    machine.trace().subscribe(Arc::new(move |_| {
        let _ = &held;
    }));
    machine.start("Test").unwrap();
    machine.stop("Test").unwrap();
    assert_eq!(machine.shutdown().findings.len(), 1);
    drop(machine);
    // A thread of it may still be on its way out.
    let start = std::time::Instant::now();
    while Arc::strong_count(&subscribed) > 1 {
        assert!(start.elapsed().as_secs() < 60, "the machine is there");
        thread::yield_now();
    }
}

#[test]
fn while_a_file_is_open_a_stop_stays_pending_and_the_device_works() {
    let machine = machine_with(entry);
    machine.start("Test").unwrap();
    let process = machine.process(Identity::User);
    let file = process.open(PATH, Access::READ).unwrap();
    let second = file.duplicate().unwrap();
    assert_eq!(machine.stop("Test"), Ok(StopOutcome::StopPending));
    assert_eq!(machine.query("Test"), Ok(ServiceState::StopPending));
    assert_eq!(machine.start("Test"), Err(Win32Error::SERVICE_ALREADY_RUNNING));
    assert_eq!(machine.stop("Test"), Err(Win32Error::SERVICE_CANNOT_ACCEPT_CTRL));
    assert_eq!(file.device_control(ECHO, b"hi", &mut [0; 2]), Ok(2));
    assert_eq!(open(&machine).map(|_| ()), Err(NtStatus::NO_SUCH_DEVICE));
    file.close();
    assert_eq!(machine.query("Test"), Ok(ServiceState::StopPending));
    let waiter = thread::spawn({
        let machine = machine.clone();
        move || machine.wait_until_stopped("Test")
    });
    second.close();
    waiter.join().unwrap();
    assert_eq!(machine.query("Test"), Ok(ServiceState::Stopped));
    machine.start("Test").unwrap();
    machine.shutdown().assert_clean();
}

#[test]
fn a_pending_stop_ends_with_the_death_of_the_process_that_held_it_up() {
    let machine = machine_with(entry);
    machine.start("Test").unwrap();
    let process = machine.process(Identity::User);
    let _file = process.open(PATH, Access::READ).unwrap();
    assert_eq!(machine.stop("Test"), Ok(StopOutcome::StopPending));
    process.kill();
    machine.wait_until_stopped("Test");
    assert_eq!(machine.query("Test"), Ok(ServiceState::Stopped));
    machine.shutdown().assert_clean();
}

#[test]
fn a_second_installation_keeps_an_administrators_values() {
    let machine = machine_with(entry);
    let registry = machine.registry();
    assert_eq!(registry.get(PARAMETERS, "Kept").unwrap().as_dword(), Some(1));
    registry.put(PARAMETERS, "kept", Value::dword(5)).unwrap();
    registry.put(PARAMETERS, "Replaced", Value::dword(5)).unwrap();
    registry
        .put(&format!(r"{PARAMETERS}\Below"), "Text", Value::sz("mine"))
        .unwrap();
    assert!(machine.is_installed(INF).unwrap());
    let newer = format!("{INF}; a new version\n");
    assert!(!machine.is_installed(&newer).unwrap());
    machine.install(&newer).unwrap();
    assert!(machine.is_installed(&newer).unwrap());
    assert_eq!(registry.get(PARAMETERS, "Kept").unwrap().as_dword(), Some(5));
    assert_eq!(registry.get(PARAMETERS, "Replaced").unwrap().as_dword(), Some(1));
    let text = registry.get(&format!(r"{PARAMETERS}\Below"), "Text").unwrap();
    assert_eq!(text.as_text().as_deref(), Some("mine"));
}

#[test]
fn uninstalling_removes_the_service_at_once_or_when_it_has_stopped() {
    let machine = machine_with(entry);
    machine.start("Test").unwrap();
    let file = open(&machine).unwrap();
    machine.uninstall("Test").unwrap();
    assert_eq!(
        machine.uninstall("Test"),
        Err(Win32Error::SERVICE_MARKED_FOR_DELETE)
    );
    assert_eq!(machine.start("Test"), Err(Win32Error::SERVICE_MARKED_FOR_DELETE));
    assert_eq!(machine.services(), ["Test"]);
    machine.stop("Test").unwrap();
    file.close();
    machine.wait_until_stopped("Test");
    assert_eq!(machine.query("Test"), Err(Win32Error::SERVICE_DOES_NOT_EXIST));
    machine.install(INF).unwrap();
    machine.uninstall("Test").unwrap();
    assert!(machine.services().is_empty());
    assert!(machine.registry().get(PARAMETERS, "Kept").is_none());
}

#[test]
fn a_package_whose_image_is_missing_is_not_installed() {
    let machine = Machine::builder().in_memory().build().unwrap();
    let error = machine.install(INF).unwrap_err();
    assert!(error.reason.contains("test.sys"), "{error}");
    assert!(machine.services().is_empty());
}
