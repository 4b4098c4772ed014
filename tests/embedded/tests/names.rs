//! Names registered through the client driver are kept by the provider driver: also while the disk is
//! slow, after a restart, and when programs die.

use std::thread;

use nsemail_contract::{
    LookupFlags, Operation, QuerySet, SetFlags, Text, WsaCode, ids, ioctl,
    wire::{LookupRequest, RecordsReply, Reply, SetRequest},
};
use nsemail_embedded::{Embedded, Options};
use nt_sim::{
    files::Operation as FileOperation,
    io::{Access, FileHandle, Identity, PendingCall},
    nmr::probe::calls_seen,
    ntstatus::NtStatus,
    scm::{ServiceState, StopOutcome},
};

const NAME: &str = "alice@example.com";

fn message(write: impl Fn(&mut [u8]) -> Option<usize>) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let size = write(&mut bytes).expect("a message of less than a page");
    bytes.truncate(size);
    bytes
}

fn query(name: &str) -> QuerySet<'_> {
    QuerySet {
        name: Some(Text::from_str(name).expect("a text")),
        namespace: ids::NS_EMAIL,
        ..QuerySet::default()
    }
}

/// Registers a name with an empty blob, which needs no address.
fn register(file: &FileHandle, name: &str) -> PendingCall {
    let registration = QuerySet {
        comment: Some(Text::from_str("a comment").expect("a text")),
        blob: Some(b"some bytes"),
        ..query(name)
    };
    let request = SetRequest {
        operation: Operation::Register as u32,
        flags: SetFlags::default().bits(),
        registration,
    };
    file.submit(ioctl::SET_SERVICE, &message(|out| request.write(out).ok()), 4096)
}

fn code(call: PendingCall) -> WsaCode {
    let completion = call.wait();
    assert_eq!(completion.status, NtStatus::SUCCESS);
    Reply::parse(&completion.data).expect("a reply").code
}

fn look_up(file: &FileHandle, name: &str) -> Result<Vec<String>, WsaCode> {
    let request = LookupRequest {
        flags: LookupFlags::RETURN_ALL,
        query: query(name),
    };
    let completion = file.call(ioctl::LOOKUP, &message(|out| request.write(out).ok()), 1 << 16);
    assert_eq!(completion.status, NtStatus::SUCCESS);
    let reply = Reply::parse(&completion.data).expect("a reply");
    if reply.code != WsaCode::NO_ERROR {
        return Err(reply.code);
    }
    let records = RecordsReply::read(&reply).expect("records");
    let name = |record: QuerySet<'_>| record.name.expect("a name").to_string();
    Ok(records
        .records()
        .map(|record| name(record.expect("a record").record))
        .collect())
}

fn boot() -> Embedded {
    Embedded::boot(Options::new()).expect("both drivers start")
}

fn administrator(machine: &Embedded) -> FileHandle {
    let process = machine.process(Identity::Administrator);
    process
        .open(ids::CLIENT_PATH, Access::READ_WRITE)
        .expect("the device opens")
}

#[test]
fn a_name_is_registered_found_and_found_again_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    for run in 0..3 {
        let machine = Embedded::boot(Options::new().state_dir(folder.path())).expect("boot");
        let file = administrator(&machine);
        if run == 0 {
            assert_eq!(look_up(&file, NAME), Err(WsaCode::WSASERVICE_NOT_FOUND));
            assert_eq!(code(register(&file, NAME)), WsaCode::NO_ERROR);
        }
        assert_eq!(
            look_up(&file, "ALICE@EXAMPLE.com"),
            Ok(vec![NAME.to_owned()]),
            "run {run}"
        );
        file.close();
        machine.shutdown().assert_clean();
    }
}

#[test]
fn a_registration_is_not_acknowledged_before_its_flush() {
    let machine = boot();
    let file = administrator(&machine);
    let hold = machine.hold(FileOperation::FlushFile);
    let call = register(&file, NAME);
    hold.wait_until_reached();
    assert!(!call.is_complete());
    assert_eq!(look_up(&file, NAME), Err(WsaCode::WSASERVICE_NOT_FOUND));
    hold.release();
    assert_eq!(code(call), WsaCode::NO_ERROR);
    assert_eq!(look_up(&file, NAME), Ok(vec![NAME.to_owned()]));
    file.close();
    machine.shutdown().assert_clean();
}

#[test]
fn a_cancelled_registration_answers_at_once_and_still_happens_wholly() {
    let machine = boot();
    let file = administrator(&machine);
    let hold = machine.hold(FileOperation::FlushFile);
    let call = register(&file, NAME);
    hold.wait_until_reached();
    call.cancel();
    assert_eq!(code(call), WsaCode::WSA_E_CANCELLED);
    hold.release();
    while look_up(&file, NAME).is_err() {
        thread::yield_now();
    }
    file.close();
    machine.shutdown().assert_clean();
}

#[test]
fn a_process_that_dies_while_the_disk_is_slow_is_gone_at_once_and_its_name_stays() {
    let machine = boot();
    let hold = machine.hold(FileOperation::FlushFile);
    let process = machine.process(Identity::Administrator);
    let file = process
        .open(ids::CLIENT_PATH, Access::READ_WRITE)
        .expect("the device opens");
    let call = register(&file, NAME);
    hold.wait_until_reached();
    process.kill();
    assert!(call.is_complete());
    hold.release();
    let other = administrator(&machine);
    while look_up(&other, NAME).is_err() {
        thread::yield_now();
    }
    other.close();
    machine.shutdown().assert_clean();
}

#[test]
fn the_provider_stops_with_a_registration_in_flight_and_the_call_is_answered() {
    let machine = boot();
    let file = administrator(&machine);
    let hold = machine.hold(FileOperation::FlushFile);
    let call = register(&file, NAME);
    hold.wait_until_reached();
    let stopper = thread::spawn({
        let machine = machine.machine().clone();
        move || machine.stop(ids::PROVIDER_SERVICE)
    });
    thread::sleep(std::time::Duration::from_millis(50));
    assert!(!stopper.is_finished(), "the detach waits for the call");
    hold.release();
    assert_eq!(stopper.join().expect("no panic"), Ok(StopOutcome::Stopped));
    assert_eq!(code(call), WsaCode::NO_ERROR);
    assert_eq!(look_up(&file, NAME), Err(WsaCode::WSASERVICE_NOT_FOUND));
    machine.start(ids::PROVIDER_SERVICE).expect("it starts again");
    while look_up(&file, NAME).is_err() {
        thread::yield_now();
    }
    file.close();
    machine.shutdown().assert_clean();
}

#[test]
fn the_client_waits_to_be_unloaded_while_a_handle_is_open_and_answers_meanwhile() {
    let machine = boot();
    let file = administrator(&machine);
    assert_eq!(code(register(&file, NAME)), WsaCode::NO_ERROR);
    assert_eq!(machine.stop(ids::CLIENT_SERVICE), Ok(StopOutcome::StopPending));
    assert_eq!(look_up(&file, NAME), Ok(vec![NAME.to_owned()]));
    file.close();
    machine.wait_until_stopped(ids::CLIENT_SERVICE);
    assert_eq!(machine.query(ids::CLIENT_SERVICE), Ok(ServiceState::Stopped));
    machine.shutdown().assert_clean();
}

#[test]
fn a_full_disk_refuses_registrations_and_look_ups_go_on() {
    let machine = boot();
    let file = administrator(&machine);
    assert_eq!(code(register(&file, NAME)), WsaCode::NO_ERROR);
    machine.inject(nt_sim::files::Fault {
        operation: FileOperation::WriteFile,
        after: 0,
        times: usize::MAX,
        status: NtStatus::DISK_FULL,
    });
    assert_ne!(code(register(&file, "bob@example.com")), WsaCode::NO_ERROR);
    assert_eq!(look_up(&file, NAME), Ok(vec![NAME.to_owned()]));
    assert_eq!(
        look_up(&file, "bob@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    machine.clear_faults();
    file.close();
    machine.shutdown().assert_clean();
}

/// The verifier's probe is between the drivers on every machine that has the verifier.
#[test]
fn calls_between_the_drivers_are_seen_and_none_breaks_a_rule() {
    for verifier in [true, false] {
        let machine = Embedded::boot(Options::new().verifier(verifier)).expect("both drivers start");
        let file = machine
            .process(Identity::Administrator)
            .open(ids::CLIENT_PATH, Access::READ_WRITE)
            .expect("an administrator opens the device");
        assert_eq!(code(register(&file, NAME)), WsaCode::NO_ERROR);
        drop(file);
        // Startup, SetServiceEx, CompleteAsyncCall and Cleanup or ClientSessionRundown, if nothing else.
        assert_eq!(calls_seen(machine.machine()) >= 4, verifier);
        let report = machine.shutdown();
        let unchecked = |number| report.unchecked.iter().any(|off| off.rule.number() == number);
        assert_eq!([15, 23, 24, 25, 26, 27, 28, 39].map(unchecked), [!verifier; 8]);
        report.assert_clean();
    }
}
