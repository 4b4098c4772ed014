//! A panic in a driver, and `KeBugCheckEx`, end the process with a report that names the culprit.
//!
//! Each test runs itself again as a child process, which is the one that dies.

use std::process::{Command, Output};

use nt_sim::{DriverName, Machine, frames, ntddk};

/// Tells the child what to do.
const ROLE: &str = "NT_SIM_BUGCHECK_CHILD";

fn run_as_child(test: &str) -> Output {
    Command::new(std::env::current_exe().expect("the test's own file"))
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, "1")
        .output()
        .expect("the child ran")
}

fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

fn assert_dies_with(output: &Output, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "the child lived on:\n{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    let reports = text.matches("BUG CHECK").count();
    assert_eq!(reports, 1, "one report, not {reports}:\n{text}");
}

extern "C" fn evt_io_device_control() {
    panic!("the catalogue is upside down");
}

#[test]
fn a_panic_is_printed_with_driver_callback_and_place() {
    if is_child() {
        let machine = Machine::builder().build().expect("a machine in memory");
        let _entered = machine.enter();
        frames::callback(&DriverName::new("broken.sys"), "EvtIoDeviceControl", || {
            evt_io_device_control();
        });
        return;
    }
    assert_dies_with(
        &run_as_child("a_panic_is_printed_with_driver_callback_and_place"),
        &[
            "broken.sys, EvtIoDeviceControl",
            "the catalogue is upside down",
            "bugcheck.rs:",
            "PASSIVE_LEVEL",
        ],
    );
}

#[test]
fn a_bug_check_is_printed_with_its_parameters() {
    if is_child() {
        let machine = Machine::builder().build().expect("a machine in memory");
        let _entered = machine.enter();
        frames::callback(&DriverName::new("broken.sys"), "EvtDriverUnload", || {
            // SAFETY: has no conditions.
            unsafe { ntddk::KeBugCheckEx(0xCE, 1, 2, 3, 4) };
        });
        return;
    }
    assert_dies_with(
        &run_as_child("a_bug_check_is_printed_with_its_parameters"),
        &["broken.sys, EvtDriverUnload", "KeBugCheckEx(0xCE, 0x1, 0x2"],
    );
}

#[test]
fn taking_a_spin_lock_twice_is_a_bug_check_and_not_a_hang() {
    if is_child() {
        let machine = Machine::builder().build().expect("a machine in memory");
        let _entered = machine.enter();
        let mut lock = 0_u64;
        frames::callback(&DriverName::new("broken.sys"), "EvtIoStop", || {
            for _ in 0..2 {
                // SAFETY: wrong on purpose.
                unsafe { ntddk::KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
            }
        });
        return;
    }
    assert_dies_with(
        &run_as_child("taking_a_spin_lock_twice_is_a_bug_check_and_not_a_hang"),
        &[
            "broken.sys, EvtIoStop",
            "which this thread holds",
            "holds  spin lock",
        ],
    );
}
