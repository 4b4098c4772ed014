//! The I/O manager: who may open a device, how requests end, and in which order cleanup and close come.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "test code")]

mod support;

use std::{sync::Arc, thread};

use nt_sim::{
    Machine, Rule,
    io::{Access, Identity},
    ntstatus::NtStatus,
};
use support::*;

const EVERYONE: &str = "D:P(A;;GA;;;WD)";
const READERS: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GR;;;WD)(A;;GRGW;;;S-1-5-21-7-7-7-1200)";

fn machine() -> Machine {
    Machine::builder().in_memory().build().unwrap()
}

#[test]
fn the_security_descriptor_decides_who_opens_for_what() {
    let machine = machine();
    let _device = add_device(&machine, READERS, true);
    let member = Identity::member_of("S-1-5-21-7-7-7-1200").unwrap();
    let stranger = Identity::member_of("S-1-5-21-7-7-7-1201").unwrap();
    for (identity, reads, writes) in [
        (Identity::System, true, true),
        (Identity::Administrator, true, true),
        (Identity::User, true, false),
        (member, true, true),
        (stranger, true, false),
    ] {
        let process = machine.process(identity.clone());
        for (access, allowed) in [
            (Access::NONE, reads),
            (Access::READ, reads),
            (Access::WRITE, writes),
            (Access::READ_WRITE, writes),
        ] {
            let opened = process.open(PATH, access).map(|_| ());
            let expected = if allowed {
                Ok(())
            } else {
                Err(NtStatus::ACCESS_DENIED)
            };
            assert_eq!(opened, expected, "{identity:?} {access:?}");
        }
    }
    machine.shutdown().assert_clean();
}

#[test]
fn a_descriptor_for_the_kernel_only_lets_nobody_in() {
    let machine = machine();
    let _device = add_device(&machine, "D:P", true);
    let opened = machine.process(Identity::System).open(PATH, Access::READ);
    assert_eq!(opened.map(|_| ()), Err(NtStatus::ACCESS_DENIED));
}

#[test]
fn names_below_an_unsecured_device_escape_its_descriptor() {
    for (secure, expected) in [(true, Err(NtStatus::ACCESS_DENIED)), (false, Ok(()))] {
        let machine = machine();
        let _device = add_device(&machine, READERS, secure);
        let opened = machine
            .process(Identity::User)
            .open(r"\\.\Test\below", Access::WRITE);
        assert_eq!(opened.map(|_| ()), expected);
    }
}

#[test]
fn names_of_devices_ignore_case_and_unknown_ones_are_not_found() {
    let machine = machine();
    let (_device, id) = add_device(&machine, EVERYONE, true);
    let process = machine.process(Identity::User);
    for name in [
        PATH,
        r"\\.\TEST",
        r"\??\test",
        r"\\?\Test",
        r"\Device\test",
        r"\DosDevices\Global\Test",
    ] {
        assert!(process.open(name, Access::READ).is_ok(), "{name}");
    }
    for name in [r"\\.\Tes", r"\\.\Test2", r"\Device\Nothing"] {
        assert_eq!(
            process.open(name, Access::READ).map(|_| ()),
            Err(NtStatus::OBJECT_NAME_NOT_FOUND)
        );
    }
    machine.delete_device(id);
    assert_eq!(
        process.open(PATH, Access::READ).map(|_| ()),
        Err(NtStatus::OBJECT_NAME_NOT_FOUND)
    );
}

#[test]
fn a_device_that_is_not_finished_cannot_be_opened() {
    let machine = machine();
    let driver = nt_sim::DriverName::new("test.sys");
    let id = machine
        .create_device(&nt_sim::io::NewDevice {
            driver: &driver,
            name: Some(DEVICE),
            sddl: EVERYONE,
            secure_open: true,
            exclusive: true,
            dispatch: Arc::new(TestDevice::default()),
        })
        .unwrap();
    let process = machine.process(Identity::User);
    assert_eq!(
        process.open(DEVICE, Access::READ).map(|_| ()),
        Err(NtStatus::NO_SUCH_DEVICE)
    );
    machine.finish_device(id);
    let first = process.open(DEVICE, Access::READ).unwrap();
    // It was made exclusive.
    assert_eq!(
        process.open(DEVICE, Access::READ).map(|_| ()),
        Err(NtStatus::ACCESS_DENIED)
    );
    first.close();
    assert!(process.open(DEVICE, Access::READ).is_ok());
}

#[test]
fn the_access_bits_of_a_code_are_checked_against_the_handle() {
    let machine = machine();
    let _device = add_device(&machine, EVERYONE, true);
    let process = machine.process(Identity::User);
    for (access, reads, writes) in [
        (Access::NONE, false, false),
        (Access::READ, true, false),
        (Access::WRITE, false, true),
        (Access::READ_WRITE, true, true),
    ] {
        let file = process.open(PATH, access).unwrap();
        let mut output = [0; 3];
        for (code, allowed) in [(ECHO, true), (ECHO_READ, reads), (ECHO_WRITE, writes)] {
            let result = file.device_control(code, b"abc", &mut output);
            let expected = if allowed {
                Ok(3)
            } else {
                Err(NtStatus::ACCESS_DENIED)
            };
            assert_eq!(result, expected, "{access:?} {code:#x}");
        }
        assert_eq!(&output, b"abc");
    }
}

#[test]
fn warnings_return_data_and_errors_do_not() {
    let machine = machine();
    let _device = add_device(&machine, EVERYONE, true);
    let file = machine.process(Identity::User).open(PATH, Access::READ).unwrap();
    for (status, data) in [
        (NtStatus::SUCCESS, vec![7; 6]),
        (NtStatus::BUFFER_OVERFLOW, vec![7; 6]),
        (NtStatus::BUFFER_TOO_SMALL, vec![]),
        (NtStatus::INVALID_PARAMETER, vec![]),
    ] {
        let completion = file.call(ANSWER, &status.0.to_le_bytes(), 6);
        assert_eq!((completion.status, completion.data), (status, data));
    }
    let mut output = [0; 6];
    let result = file.device_control(ANSWER, &NtStatus::BUFFER_OVERFLOW.0.to_le_bytes(), &mut output);
    assert_eq!((result, output), (Err(NtStatus::BUFFER_OVERFLOW), [7; 6]));
    machine.shutdown().assert_clean();
}

#[test]
fn information_beyond_the_output_and_a_second_completion_are_findings() {
    let machine = machine();
    let _device = add_device(&machine, EVERYONE, true);
    let file = machine.process(Identity::User).open(PATH, Access::READ).unwrap();
    assert_eq!(file.call(TOO_MUCH, &[], 10).data.len(), 10);
    assert_eq!(file.call(TWICE, &[], 0).status, NtStatus::SUCCESS);
    file.close();
    let findings = machine.shutdown().findings;
    let [much, twice] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    assert!(much.rule == Rule::Kmdf && much.message.contains("1000"), "{much}");
    assert!(
        twice.rule == Rule::Kmdf && twice.message.contains("second time"),
        "{twice}"
    );
}

#[test]
fn a_refused_create_gets_neither_cleanup_nor_close() {
    let machine = machine();
    let (device, _) = add_device(&machine, EVERYONE, true);
    let opened = machine
        .process(Identity::User)
        .open(r"\\.\Test\refuse", Access::READ);
    assert_eq!(opened.map(|_| ()), Err(NtStatus::INSUFFICIENT_RESOURCES));
    assert_eq!(device.seen(), ["create"]);
}

#[test]
fn cleanup_comes_with_the_last_handle_and_close_after_the_last_request() {
    let machine = machine();
    let (device, _) = add_device(&machine, EVERYONE, true);
    let process = machine.process(Identity::User);
    let file = process.open(PATH, Access::READ).unwrap();
    let second = file.duplicate().unwrap();
    let call = file.submit(PEND, &[], 0);
    file.close();
    assert_eq!(device.seen(), ["create", "pend"]);
    let closer = thread::spawn(move || second.close_and_wait());
    while device.seen().len() < 3 {
        thread::yield_now();
    }
    assert_eq!(device.seen(), ["create", "pend", "cleanup"]);
    assert!(!call.is_complete() && !closer.is_finished());
    device.complete_pended(NtStatus::SUCCESS);
    closer.join().unwrap();
    assert_eq!(call.wait().status, NtStatus::SUCCESS);
    assert_eq!(device.seen(), ["create", "pend", "cleanup", "close"]);
    machine.shutdown().assert_clean();
}

#[test]
fn a_cancelled_call_is_completed_once_and_by_the_driver() {
    let machine = machine();
    let (device, _) = add_device(&machine, EVERYONE, true);
    let file = machine.process(Identity::User).open(PATH, Access::READ).unwrap();
    let call = file.submit(PEND, &[], 8);
    assert!(!call.is_complete());
    assert!(call.cancel());
    assert!(!call.cancel(), "it is over");
    let completion = call.wait();
    assert_eq!(
        (completion.status, completion.data),
        (NtStatus::CANCELLED, vec![])
    );
    // One that does not react goes on until the driver has done with it.
    let deaf = file.submit(PEND_DEAF, &[], 0);
    assert!(deaf.cancel());
    assert!(!deaf.is_complete());
    device.complete_pended(NtStatus::SUCCESS);
    assert_eq!(deaf.wait().status, NtStatus::SUCCESS);
    machine.shutdown().assert_clean();
}

#[test]
fn the_death_of_a_process_cancels_its_calls_then_cleans_up_then_closes() {
    let machine = machine();
    let (device, _) = add_device(&machine, EVERYONE, true);
    let process = machine.process(Identity::User);
    let file = process.open(PATH, Access::READ).unwrap();
    let calls: Vec<_> = (0..3).map(|_| file.submit(PEND, &[], 0)).collect();
    let (file, blocked) = (Arc::new(file), Arc::clone(&device));
    let waiter = thread::spawn({
        let file = Arc::clone(&file);
        move || file.device_control(PEND, &[], &mut [])
    });
    while blocked.pended() < 4 {
        thread::yield_now();
    }
    process.kill();
    assert_eq!(waiter.join().unwrap(), Err(NtStatus::CANCELLED));
    for call in calls {
        assert_eq!(call.wait().status, NtStatus::CANCELLED);
    }
    let mut expected = vec!["create"];
    expected.extend(["pend"; 4]);
    expected.extend(["cancel"; 4]);
    expected.extend(["cleanup", "close"]);
    assert_eq!(device.seen(), expected);
    // The dead process can do nothing any more.
    assert!(process.open(PATH, Access::READ).is_err());
    assert!(file.device_control(ECHO, b"x", &mut [0]).is_err());
    drop(file);
    assert_eq!(device.seen(), expected);
    machine.shutdown().assert_clean();
}

#[test]
fn the_death_of_a_process_waits_for_a_driver_that_does_not_react() {
    let machine = machine();
    let (device, _) = add_device(&machine, EVERYONE, true);
    let process = machine.process(Identity::User);
    let file = process.open(PATH, Access::READ).unwrap();
    let call = file.submit(PEND_DEAF, &[], 0);
    let killer = thread::spawn(move || process.kill());
    thread::sleep(std::time::Duration::from_millis(20));
    assert!(!killer.is_finished());
    assert_eq!(device.seen(), ["create", "pend"]);
    device.complete_pended(NtStatus::SUCCESS);
    killer.join().unwrap();
    assert_eq!(call.wait().status, NtStatus::SUCCESS);
    assert_eq!(device.seen(), ["create", "pend", "cleanup", "close"]);
}

#[test]
fn many_threads_share_a_handle() {
    let machine = machine();
    let (device, _) = add_device(&machine, EVERYONE, true);
    let file = machine.process(Identity::User).open(PATH, Access::READ).unwrap();
    thread::scope(|scope| {
        for number in 0..4_u8 {
            let file = &file;
            scope.spawn(move || {
                for _ in 0..500 {
                    let mut output = [0; 100];
                    assert_eq!(file.device_control(ECHO, &[number; 100], &mut output), Ok(100));
                    assert_eq!(output, [number; 100]);
                }
            });
        }
    });
    file.close_and_wait();
    assert_eq!(device.seen(), ["create", "cleanup", "close"]);
    machine.shutdown().assert_clean();
}

#[test]
fn a_shutdown_ends_processes_that_still_have_files_open() {
    let machine = machine();
    let (device, _) = add_device(&machine, EVERYONE, true);
    let process = machine.process(Identity::User);
    let file = process.open(PATH, Access::READ).unwrap();
    let call = file.submit(PEND, &[], 0);
    machine.shutdown().assert_clean();
    assert!(process.is_dead() && call.is_complete());
    assert_eq!(device.seen(), ["create", "pend", "cancel", "cleanup", "close"]);
}
