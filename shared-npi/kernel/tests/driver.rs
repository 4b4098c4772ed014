//! A driver over the wrappers: it loads, serves, and unloads, or fails to, and never leaves anything behind.

mod support;

use nt_sim::io::{Access, Identity};
use nt_sim::ntstatus::NtStatus;
use support::driver::{CHECK, CLAIM, COUNTS, ECHO, FORGET};
use support::{PATH, SERVICE, machine, started, stop};

#[test]
fn a_driver_serves_between_load_and_unload() {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    let reply = handle.call(ECHO, b"abc", 10);
    assert_eq!(
        (reply.status, reply.data.as_slice()),
        (NtStatus::SUCCESS, b"cba".as_slice())
    );
    handle.close_and_wait();
    stop(&machine);
}

#[test]
fn input_and_output_are_bounded_and_output_holds_what_was_written() {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    let empty = handle.call(ECHO, b"", 0);
    assert_eq!((empty.status, empty.data.len()), (NtStatus::SUCCESS, 0));
    let short = handle.call(ECHO, b"abc", 2);
    assert_eq!((short.status, short.data.len()), (NtStatus::BUFFER_TOO_SMALL, 0));
    // Claiming more than was written does not return what the memory held before.
    let claimed = handle.call(CLAIM, b"", 100);
    assert_eq!(
        (claimed.status, claimed.data.as_slice()),
        (NtStatus::SUCCESS, b"four".as_slice())
    );
    handle.close_and_wait();
    stop(&machine);
}

#[test]
fn an_unknown_code_and_a_forgotten_request_are_answered() {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    let unknown = handle.call(support::code(100), b"", 0);
    assert_eq!(unknown.status, NtStatus::INVALID_DEVICE_REQUEST);
    let forgotten = handle.call(FORGET, b"", 0);
    assert_eq!(forgotten.status, NtStatus::UNSUCCESSFUL);
    handle.close_and_wait();
    stop(&machine);
}

#[test]
fn every_open_has_a_state_that_is_given_back_once() {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let observer = process.open(PATH, Access::READ).unwrap();
    let counts = || {
        let data = observer.call(COUNTS, b"", 100).data;
        let numbers: Vec<u64> = data
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()))
            .collect();
        // created, cleaned up, closed, live states
        (numbers[0], numbers[1], numbers[2], numbers[3])
    };
    assert_eq!(counts(), (1, 0, 0, 1));
    let handles: Vec<_> = (0..5)
        .map(|_| process.open(PATH, Access::READ).unwrap())
        .collect();
    assert_eq!(counts(), (6, 0, 0, 6));
    for handle in handles {
        handle.close_and_wait();
    }
    assert_eq!(counts(), (6, 5, 5, 1));
    let other = machine.process(Identity::System);
    let handle = other.open(PATH, Access::READ).unwrap();
    other.kill();
    drop(handle);
    assert_eq!(counts(), (7, 6, 6, 1));
    observer.close_and_wait();
    stop(&machine);
}

#[test]
fn the_device_is_closed_to_those_its_descriptor_leaves_out() {
    let machine = started();
    let process = machine.process(Identity::User);
    assert_eq!(
        process.open(PATH, Access::READ).map(drop),
        Err(NtStatus::ACCESS_DENIED)
    );
    assert_eq!(
        process.open(r"\\.\Echo\below", Access::READ).map(drop),
        Err(NtStatus::ACCESS_DENIED)
    );
    stop(&machine);
}

#[test]
fn a_start_that_fails_at_any_step_is_undone() {
    for step in 1..=4 {
        let machine = machine(step);
        assert!(machine.start(SERVICE).is_err(), "step {step}");
        let process = machine.process(Identity::Administrator);
        assert!(process.open(PATH, Access::READ).is_err(), "step {step}");
        machine.shutdown().assert_clean();
    }
}

#[test]
fn a_start_that_runs_out_of_memory_anywhere_is_undone() {
    for skip in 0.. {
        let machine = machine(0);
        machine.fail_allocation(skip);
        let outcome = machine.start(SERVICE);
        let failed = machine.allocation_has_failed();
        assert_eq!(outcome.is_err(), failed, "allocation {skip}: {outcome:?}");
        if outcome.is_ok() {
            assert!(skip > 2, "starting allocates more than that");
            stop(&machine);
            return;
        }
        machine.shutdown().assert_clean();
    }
}

fn check(name: &str) {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    let fault = handle.call(CHECK, name.as_bytes(), 1000);
    assert_eq!(fault.status, NtStatus::SUCCESS);
    assert_eq!(String::from_utf8_lossy(&fault.data), "");
    handle.close_and_wait();
    stop(&machine);
}

#[test]
fn what_is_written_to_the_registry_is_read_back() {
    check("registry");
}

#[test]
fn what_is_written_to_files_is_read_back() {
    check("files");
}

#[test]
fn threads_run_once_and_are_joined() {
    check("threads");
}

#[test]
fn locks_exclude() {
    check("locks");
}

#[test]
fn events_wake_as_their_kind_says() {
    check("events");
}

#[test]
fn entropy_and_time_are_there() {
    check("entropy");
}

#[test]
fn a_device_that_cannot_be_made_leaves_nothing() {
    check("device");
}
