//! Sessions, look-up handles and the buffer protocol through the device.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code"
)]

mod support;

use nsemail_contract::ids::CLIENT_SERVICE;
use nsemail_contract::wire::{BeginReply, CounterKind, REPLY_HEADER, SetReply};
use nsemail_contract::{LookupFlags, Operation, WsaCode, ioctl};
use nt_sim::io::{Access, Identity};
use nt_sim::ntstatus::NtStatus;
use nt_sim::scm::StopOutcome;
use support::provider::{Held, primary};
use support::{PROVIDERS, Rig, program};

const ANN: &str = "ann@example.com";

#[test]
fn an_ended_session_sends_cleanup_after_its_look_ups_and_may_begin_anew() {
    let module = primary(1).has(&[ANN]).build();
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    let lookup = program.begin(ANN).unwrap();
    program.next(lookup).unwrap();
    assert_eq!(program.end_session(), WsaCode::NO_ERROR);
    assert_eq!(program.next(lookup), Err(WsaCode::WSA_INVALID_HANDLE));
    program.look_up(ANN).unwrap();
    program.handle.close_and_wait();
    assert_eq!(
        module.trace(),
        [
            "attach", "startup", "begin", "next", "end", "cleanup", "startup", "begin", "next", "next",
            "end", "rundown",
        ]
    );
    rig.shutdown();
}

#[test]
fn a_session_that_met_no_provider_says_no_farewell() {
    let module = primary(1).build();
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    program.begin(ANN).unwrap();
    program.handle.close_and_wait();
    assert_eq!(module.trace(), ["attach"]);
    rig.shutdown();
}

#[test]
fn sessions_are_apart_and_so_are_their_handles() {
    let module = primary(1).has(&[ANN]).build();
    let rig = Rig::new(vec![module.clone()]);
    let (one, two) = (rig.program(), rig.program());
    let lookup = one.begin(ANN).unwrap();
    assert_eq!(two.next(lookup), Err(WsaCode::WSA_INVALID_HANDLE));
    assert_eq!(two.end(lookup), WsaCode::WSA_INVALID_HANDLE);
    two.begin(ANN).unwrap();
    assert_eq!(two.next(lookup), Err(WsaCode::WSA_INVALID_HANDLE));
    assert!(one.next(lookup).is_ok());
    two.look_up(ANN).unwrap();
    assert_eq!(module.count("startup"), 2);
    drop((one, two));
    rig.shutdown();
}

#[test]
fn the_size_that_is_needed_is_exact_and_the_record_stays() {
    let rig = Rig::new(vec![primary(1).has(&[ANN]).build()]);
    let program = rig.program();
    let lookup = program.begin(ANN).unwrap();
    let none = LookupFlags::empty();
    let (code, needed) = program.next_within(lookup, none, REPLY_HEADER).unwrap_err();
    assert_eq!(code, WsaCode::WSAEFAULT);
    assert_eq!(
        program.next_within(lookup, none, needed - 1),
        Err((WsaCode::WSAEFAULT, needed))
    );
    assert_eq!(program.next_within(lookup, none, needed), Ok((ANN.to_owned(), 1)));
    assert_eq!(
        program.next_within(lookup, none, needed).unwrap_err().0,
        WsaCode::WSA_E_NO_MORE
    );

    let request = program::look_up_request(ANN, LookupFlags::RETURN_ALL);
    let whole = program.request(ioctl::LOOKUP, &request, needed);
    assert_eq!(program::records(&whole).unwrap().len(), 1);
    let short = program.request(ioctl::LOOKUP, &request, needed - 1);
    assert_eq!(program::code(&short), WsaCode::WSAEFAULT);
    drop(program);
    rig.shutdown();
}

#[test]
fn several_records_come_in_one_reply_or_one_by_one() {
    let module = primary(1).on_begin(|name| {
        Ok((0..3)
            .map(|_| Held {
                name: name.to_owned(),
                ..Held::default()
            })
            .collect())
    });
    let rig = Rig::new(vec![module.build()]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN).unwrap().len(), 3);
    let lookup = program.begin(ANN).unwrap();
    for _ in 0..3 {
        program.next(lookup).unwrap();
    }
    assert_eq!(program.next(lookup), Err(WsaCode::WSA_E_NO_MORE));
    assert_eq!(program.next(lookup), Err(WsaCode::WSA_E_NO_MORE));
    drop(program);
    rig.shutdown();
}

#[test]
fn a_batch_answers_each_name_by_itself_as_far_as_the_output_goes() {
    use nsemail_contract::wire::{BatchReply, BatchRequest, Reply};
    use nsemail_contract::{QuerySet, Text};
    let rig = Rig::new(vec![primary(1).has(&[ANN, "bob@example.com"]).build()]);
    let program = rig.program();
    let named = |name| QuerySet {
        name: Some(Text::from_str(name).unwrap()),
        ..QuerySet::default()
    };
    let queries = [
        named(ANN),
        named("nobody@example.com"),
        named("no address"),
        named("bob@example.com"),
    ];
    let mut request = vec![0; 4096];
    let size = BatchRequest::write(LookupFlags::RETURN_ALL, queries, &mut request).unwrap();
    let answers = |output| {
        let reply = program.request(ioctl::LOOKUP_BATCH, &request[..size], output);
        let reply = Reply::parse(&reply).unwrap();
        let needed = reply.needed;
        let answers = BatchReply::read(&reply).unwrap().answers().map(Result::unwrap);
        let answers: Vec<_> = answers
            .map(|answer| (answer.code, answer.records().count()))
            .collect();
        (reply.code, needed, answers)
    };
    let all = [
        (WsaCode::NO_ERROR, 1),
        (WsaCode::WSASERVICE_NOT_FOUND, 0),
        (WsaCode::WSASERVICE_NOT_FOUND, 0),
        (WsaCode::NO_ERROR, 1),
    ];
    let (code, needed, whole) = answers(4096);
    assert_eq!((code, whole.as_slice()), (WsaCode::NO_ERROR, &all[..]));
    assert_eq!(answers(needed).2, all);
    let (code, larger, part) = answers(needed - 8);
    assert_eq!((code, part.as_slice()), (WsaCode::NO_ERROR, &all[..3]));
    assert_eq!(larger, needed);
    let (code, _, none) = answers(REPLY_HEADER + 8);
    assert_eq!((code, none.len()), (WsaCode::WSAEFAULT, 0));
    drop(program);
    rig.shutdown();
}

#[test]
fn malformed_requests_fail_and_are_counted() {
    let rig = Rig::new(vec![primary(1).has(&[ANN]).build()]);
    let program = rig.program();
    let mut malformed = 0;
    for &code in ioctl::ALL {
        // Functions from 0x840 on are those of the provider's device only.
        let ours = (code >> 2) & 0xFFF < 0x840;
        for input in [&[][..], &[0xFF; 7], &[0; 8], &[0xFF; 64], &[64; 64]] {
            let completion = program.handle.call(code, input, 4096);
            let expected = if ours {
                NtStatus::INVALID_PARAMETER
            } else {
                NtStatus::INVALID_DEVICE_REQUEST
            };
            assert_eq!(
                (completion.status, completion.information),
                (expected, 0),
                "{code:X}"
            );
            malformed += u64::from(ours);
        }
        let short = program
            .handle
            .call(code, &program::empty_request(), REPLY_HEADER - 1);
        assert_eq!(
            (short.status, short.information),
            (NtStatus::BUFFER_TOO_SMALL, 0),
            "{code:X}"
        );
    }
    let unknown = program.handle.call(0x8037_6FFC, &[], 4096);
    assert_eq!(unknown.status, NtStatus::INVALID_DEVICE_REQUEST);
    assert_eq!(
        program.counter(CounterKind::MALFORMED, WsaCode::NO_ERROR),
        malformed
    );
    assert!(program.look_up(ANN).is_ok());
    drop(program);
    rig.shutdown();
}

/// Cuts and bit flips of valid requests: each is either answered or refused, and the driver lives on.
#[test]
fn damaged_requests_are_answered_or_refused() {
    let rig = Rig::new(vec![primary(1).has(&[ANN]).build()]);
    let program = rig.program();
    let look_up = program::look_up_request(ANN, LookupFlags::RETURN_ALL);
    let set = program::set_request(Operation::Register, ANN);
    for (code, request) in [
        (ioctl::LOOKUP, &look_up),
        (ioctl::LOOKUP_BEGIN, &look_up),
        (ioctl::SET_SERVICE, &set),
    ] {
        for at in 0..request.len() {
            for damaged in [
                request[..at].to_vec(),
                request
                    .iter()
                    .enumerate()
                    .map(|(i, byte)| if i == at { byte ^ 0x81 } else { *byte })
                    .collect(),
            ] {
                let completion = program.handle.call(code, &damaged, 4096);
                let refused = completion.status == NtStatus::INVALID_PARAMETER;
                assert!(
                    refused || completion.status.is_success(),
                    "{:?}",
                    completion.status
                );
            }
        }
    }
    assert!(program.look_up(ANN).is_ok());
    drop(program);
    rig.shutdown();
}

#[test]
fn a_reply_that_must_not_be_lost_is_refused_before_anything_is_done() {
    let module = primary(1).has(&[ANN]).build();
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    let request = program::set_request(Operation::Register, ANN);
    let reply = program.request(ioctl::SET_SERVICE, &request, SetReply::SIZE - 8);
    assert_eq!(program::code(&reply), WsaCode::WSAEFAULT);
    assert_eq!(module.count("set"), 0);
    let request = program::look_up_request(ANN, LookupFlags::RETURN_ALL);
    let reply = program.request(ioctl::LOOKUP_BEGIN, &request, BeginReply::SIZE - 1);
    assert_eq!(program::code(&reply), WsaCode::WSAEFAULT);
    assert_eq!(program.counter(CounterKind::LOOKUPS, WsaCode::NO_ERROR), 0);
    drop(program);
    rig.shutdown();
}

#[test]
fn everyone_reads_and_not_everyone_writes() {
    let rig = Rig::new(vec![primary(1).has(&[ANN]).build()]);
    let user = rig.machine.process(Identity::User);
    let path = nsemail_contract::ids::CLIENT_PATH;
    assert!(user.open(path, Access::READ_WRITE).is_err());
    let handle = user.open(path, Access::READ).unwrap();
    let request = program::look_up_request(ANN, LookupFlags::RETURN_ALL);
    let reply = handle.call(ioctl::LOOKUP, &request, 4096);
    assert_eq!(program::records(&reply.data).unwrap().len(), 1);
    let request = program::set_request(Operation::Register, ANN);
    assert_eq!(
        handle.call(ioctl::SET_SERVICE, &request, 4096).status,
        NtStatus::ACCESS_DENIED
    );
    handle.close();
    rig.shutdown();
}

#[test]
fn limits_of_sessions_and_look_ups_hold() {
    use nt_sim::registry::Value;
    let rig = Rig::installed(vec![primary(1).has(&[ANN]).build()], Vec::new());
    let parameters = r"\Registry\Machine\System\CurrentControlSet\Services\nsemail_client\Parameters";
    for (name, value) in [("MaxSessions", 2), ("MaxLookUpsPerSession", 3), ("MaxCalls", 1)] {
        rig.machine
            .registry()
            .put(parameters, name, Value::dword(value))
            .unwrap();
    }
    rig.machine.start(PROVIDERS[0]).unwrap();
    rig.machine.start(CLIENT_SERVICE).unwrap();
    let (one, two) = (rig.program(), rig.program());
    let process = rig.machine.process(Identity::Administrator);
    let refused = process
        .open(nsemail_contract::ids::CLIENT_PATH, Access::READ)
        .map(drop);
    assert_eq!(refused, Err(NtStatus::INSUFFICIENT_RESOURCES));
    for _ in 0..3 {
        one.begin(ANN).unwrap();
    }
    assert_eq!(one.begin(ANN), Err(WsaCode::WSA_NOT_ENOUGH_MEMORY));
    assert!(two.begin(ANN).is_ok());
    two.handle.close_and_wait();
    process
        .open(nsemail_contract::ids::CLIENT_PATH, Access::READ)
        .unwrap()
        .close_and_wait();
    drop(one);
    rig.shutdown();
}

#[test]
fn stop_stays_pending_while_a_handle_is_open_and_the_device_works() {
    let rig = Rig::new(vec![primary(1).has(&[ANN]).build()]);
    let program = rig.program();
    assert_eq!(rig.stop(CLIENT_SERVICE), StopOutcome::StopPending);
    assert!(program.look_up(ANN).is_ok());
    program.handle.close_and_wait();
    rig.machine.wait_until_stopped(CLIENT_SERVICE);
    rig.machine.start(CLIENT_SERVICE).unwrap();
    let program = rig.program();
    assert!(program.look_up(ANN).is_ok());
    drop(program);
    rig.shutdown();
}

#[test]
fn a_record_of_any_size_is_found_in_one_call_whatever_the_flags() {
    let comment = "x".repeat(1000);
    let module = primary(1).on_begin(move |name| {
        Ok(vec![Held {
            name: name.to_owned(),
            comment: comment.clone(),
        }])
    });
    let rig = Rig::new(vec![module.build()]);
    let program = rig.program();
    let flags = LookupFlags::RETURN_ALL | LookupFlags::FLUSHPREVIOUS;
    assert_eq!(program.look_up_with(ANN, flags).unwrap().len(), 1);
    drop(program);
    rig.shutdown();
}
