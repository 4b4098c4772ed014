//! Calls through the driver on the simulated machine, to providers that answer at once, later, or never.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code"
)]

mod support;

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use nsemail_contract::dispatch::AsyncStatus;
use nsemail_contract::{Operation, WsaCode};
use support::provider::{Accepted, Held, MINIMAL, Module, primary, secondary};
use support::{PROVIDERS, Rig, eventually, program};

const ANN: &str = "ann@example.com";

fn held() -> Held {
    Held {
        name: ANN.to_owned(),
        ..Held::default()
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is compared with what a look-up answers"
)]
fn found(provider: u8) -> Result<Vec<program::Seen>, WsaCode> {
    Ok(vec![(ANN.to_owned(), provider)])
}

/// A module that accepts calls for the next record and hands them to the test.
fn pending(module: Module) -> (Arc<Module>, Receiver<Accepted>) {
    let (send, receive) = channel();
    let send = Mutex::new(send);
    let module = module.on_next(move |call| {
        send.lock().unwrap().send(call).unwrap();
        AsyncStatus::PENDING
    });
    (module.build(), receive)
}

#[test]
fn the_primary_answers_and_the_secondary_is_not_asked() {
    let (first, second) = (primary(1).has(&[ANN]).build(), secondary(2).has(&[ANN]).build());
    let rig = Rig::new(vec![first.clone(), second.clone()]);
    let program = rig.program();
    assert_eq!(program.look_up("Ann@EXAMPLE.com"), found(1));
    assert_eq!(
        first.trace(),
        ["attach", "startup", "begin", "next", "next", "end"]
    );
    assert_eq!(second.trace(), ["attach"]);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_name_that_the_primary_does_not_know_is_asked_of_the_secondary() {
    let rig = Rig::new(vec![
        primary(1).has(&[]).build(),
        secondary(2).has(&[ANN]).build(),
    ]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(2));
    assert_eq!(
        program.look_up("bob@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(
        program.look_up("bob@example.org"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    drop(program);
    rig.shutdown();
}

#[test]
fn a_call_that_is_completed_later_goes_on_on_a_worker() {
    let (module, accepted) = pending(primary(1).has(&[ANN]));
    let rig = Rig::new(vec![module]);
    let program = rig.program();
    let call = program.submit_look_up(ANN);
    let first = accepted.recv().unwrap();
    assert!(!call.is_complete());
    assert_eq!(first.write(&held()), WsaCode::NO_ERROR);
    first.complete(WsaCode::NO_ERROR, 0);
    let second = accepted.recv().unwrap();
    second.complete(WsaCode::WSA_E_NO_MORE, 0);
    assert_eq!(program::records(&call.wait().data), found(1));
    drop(program);
    rig.shutdown();
}

#[test]
fn a_call_may_be_completed_before_its_entry_returns() {
    let module = primary(1).has(&[ANN]);
    let delivered = Mutex::new(false);
    let module = module.on_next(move |call| {
        let code = if std::mem::replace(&mut *delivered.lock().unwrap(), true) {
            WsaCode::WSA_E_NO_MORE
        } else {
            call.write(&held())
        };
        call.complete(code, 0);
        AsyncStatus::PENDING
    });
    let rig = Rig::new(vec![module.build()]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(1));
    drop(program);
    rig.shutdown();
}

#[test]
fn the_client_asks_for_more_room_until_the_record_fits() {
    let comment = "x".repeat(900);
    let module = primary(1).on_begin(move |name| {
        Ok(vec![Held {
            name: name.to_owned(),
            comment: comment.clone(),
        }])
    });
    let module = module.build();
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(1));
    assert_eq!(module.count("next"), 3, "too small, record, no more");
    drop(program);
    rig.shutdown();
}

#[test]
fn absent_entries_are_no_obstacle_and_changes_fall_through() {
    let first = primary(1).has(&[]).table(&MINIMAL).build();
    let second = secondary(2).has(&[ANN]).build();
    let rig = Rig::new(vec![first.clone(), second.clone()]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(2));
    assert_eq!(
        program.set(Operation::Register, ANN).map(|done| done.provider),
        Ok(second.guid)
    );
    drop(program);
    assert_eq!(first.trace(), ["attach", "begin"]);
    rig.shutdown();
}

#[test]
fn a_startup_that_is_not_supported_does_not_make_a_provider_unavailable() {
    let stub = primary(1)
        .has(&[ANN])
        .on_startup(|| WsaCode::WSAEOPNOTSUPP)
        .build();
    let rig = Rig::new(vec![stub.clone()]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(1));
    let lookup = program.begin(ANN).unwrap();
    program.next(lookup).unwrap();
    assert_eq!(stub.count("startup"), 1);
    program.handle.close_and_wait();
    // It does not want to know of sessions, so it does not hear of their end, but its look-up is closed.
    assert_eq!(stub.trace()[6..], ["begin", "next", "end"]);
    rig.shutdown();
}

#[test]
fn a_startup_that_fails_does() {
    let failing = primary(1).has(&[ANN]).on_startup(|| WsaCode::WSAEACCES).build();
    let second = secondary(2).has(&[ANN]).build();
    let rig = Rig::new(vec![failing.clone(), second]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(2));
    assert_eq!(program.look_up(ANN), found(2));
    assert_eq!(failing.trace(), ["attach", "startup", "startup"]);
    drop(program);
    rig.shutdown();
}

#[test]
fn startup_is_called_once_when_two_calls_need_it_at_the_same_time() {
    let (entered, wait_for_entry) = channel();
    let (release, wait_for_release) = channel::<()>();
    let gates = Mutex::new((entered, wait_for_release));
    let module = primary(1).has(&[ANN]).on_startup(move || {
        let gates = gates.lock().unwrap();
        gates.0.send(()).unwrap();
        gates.1.recv().unwrap();
        WsaCode::NO_ERROR
    });
    let module = module.build();
    let rig = Rig::new(vec![module.clone()]);
    let program = Arc::new(rig.program());
    let other = program.clone();
    let first = std::thread::spawn(move || other.look_up(ANN));
    wait_for_entry.recv().unwrap();
    // This one finds the first inside Startup, and waits without blocking its thread.
    let second = program.submit_look_up(ANN);
    assert!(!second.is_complete());
    release.send(()).unwrap();
    assert_eq!(first.join().unwrap(), found(1));
    assert_eq!(program::records(&second.wait().data), found(1));
    assert_eq!(module.count("startup"), 1);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_cancelled_call_is_answered_at_once_and_its_record_kept_for_the_next() {
    let (module, accepted) = pending(primary(1).has(&[ANN]));
    let rig = Rig::new(vec![module]);
    let program = rig.program();
    let lookup = program.begin(ANN).unwrap();
    let call = program.submit_next(lookup);
    let asked = accepted.recv().unwrap();
    assert!(call.cancel());
    assert_eq!(program::code(&call.wait().data), WsaCode::WSA_E_CANCELLED);
    // The provider still has the buffer.
    asked.write(&held());
    asked.complete(WsaCode::NO_ERROR, 0);
    assert_eq!(program.next(lookup), Ok((ANN.to_owned(), 1)));
    let call = program.submit_next(lookup);
    accepted.recv().unwrap().complete(WsaCode::WSA_E_NO_MORE, 0);
    assert_eq!(program::code(&call.wait().data), WsaCode::WSA_E_NO_MORE);
    assert_eq!(program.end(lookup), WsaCode::NO_ERROR);
    drop(program);
    rig.shutdown();
}

#[test]
fn calls_for_the_next_record_take_turns() {
    let (module, accepted) = pending(primary(1).has(&[ANN]));
    let rig = Rig::new(vec![module]);
    let program = rig.program();
    let lookup = program.begin(ANN).unwrap();
    let first = program.submit_next(lookup);
    let asked = accepted.recv().unwrap();
    let second = program.submit_next(lookup);
    let third = program.submit_next(lookup);
    assert!(third.cancel());
    assert_eq!(program::code(&third.wait().data), WsaCode::WSA_E_CANCELLED);
    asked.write(&held());
    asked.complete(WsaCode::NO_ERROR, 0);
    assert_eq!(program::records(&first.wait().data), found(1));
    accepted.recv().unwrap().complete(WsaCode::WSA_E_NO_MORE, 0);
    assert_eq!(program::code(&second.wait().data), WsaCode::WSA_E_NO_MORE);
    // The turn passes by the cancelled one.
    assert_eq!(program.next(lookup), Err(WsaCode::WSA_E_NO_MORE));
    drop(program);
    rig.shutdown();
}

#[test]
fn ending_a_look_up_cancels_the_call_that_waits_for_its_record() {
    let (module, accepted) = pending(primary(1).has(&[ANN]));
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    let lookup = program.begin(ANN).unwrap();
    let call = program.submit_next(lookup);
    let waiting = program.submit_next(lookup);
    let asked = accepted.recv().unwrap();
    assert_eq!(program.end(lookup), WsaCode::NO_ERROR);
    assert_eq!(module.count("end"), 1);
    asked.complete(WsaCode::WSA_E_CANCELLED, 0);
    assert_eq!(program::code(&call.wait().data), WsaCode::WSA_E_CANCELLED);
    assert_eq!(program::code(&waiting.wait().data), WsaCode::WSA_E_CANCELLED);
    assert_eq!(program.next(lookup), Err(WsaCode::WSA_INVALID_HANDLE));
    assert_eq!(program.end(lookup), WsaCode::WSA_INVALID_HANDLE);
    assert_eq!(module.count("end"), 1, "the query was ended once");
    drop(program);
    rig.shutdown();
}

#[test]
fn a_process_that_dies_leaves_its_call_to_the_provider() {
    let (module, accepted) = pending(primary(1).has(&[ANN]));
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    let call = program.submit_look_up(ANN);
    let asked = accepted.recv().unwrap();
    program.process.kill();
    drop(call);
    eventually("rundown", || module.count("rundown") == 1);
    // The buffer is still there to be written to.
    asked.write(&held());
    asked.complete(WsaCode::NO_ERROR, 0);
    drop(program);
    rig.stop(PROVIDERS[0]);
    assert_eq!(module.trace(), ["attach", "startup", "begin", "next", "rundown"]);
    rig.shutdown();
}

#[test]
fn a_provider_that_stops_completes_its_calls_and_the_next_one_is_asked() {
    let (module, accepted) = pending(primary(1).has(&[ANN]));
    let second = secondary(2).has(&[ANN]).build();
    let rig = Rig::installed(vec![module.clone()], vec![second]);
    for service in [PROVIDERS[0], PROVIDERS[1], nsemail_contract::ids::CLIENT_SERVICE] {
        rig.machine.start(service).unwrap();
    }
    let program = rig.program();
    let call = program.submit_look_up(ANN);
    let asked = accepted.recv().unwrap();
    let machine = rig.machine.clone();
    let stop = std::thread::spawn(move || machine.stop(PROVIDERS[0]));
    eventually("detach", || {
        !program
            .events(nsemail_contract::wire::EventKind::DETACHING)
            .is_empty()
    });
    asked.complete(WsaCode::WSA_E_CANCELLED, 0);
    // The provider gave the call up, not the caller: the other provider is asked.
    assert_eq!(program::records(&call.wait().data), found(2));
    stop.join().unwrap().unwrap();
    assert_eq!(program.look_up(ANN), found(2));
    assert_eq!(module.count("begin"), 1);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_provider_that_detaches_without_completing_leaves_no_call_hanging() {
    let module = primary(1).has(&[ANN]).on_next(|mut call| {
        call.forget();
        AsyncStatus::PENDING
    });
    let second = secondary(2).has(&[ANN]).build();
    let rig = Rig::installed(vec![module.build()], vec![second]);
    for service in [PROVIDERS[0], PROVIDERS[1], nsemail_contract::ids::CLIENT_SERVICE] {
        rig.machine.start(service).unwrap();
    }
    let program = rig.program();
    let call = program.submit_look_up(ANN);
    rig.stop(PROVIDERS[0]);
    assert_eq!(program::records(&call.wait().data), found(2));
    let faults = program.events(nsemail_contract::wire::EventKind::PEER_FAULT);
    assert_eq!(faults, ["detached without completing its calls"]);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_stray_completion_changes_nothing() {
    let module = primary(1).on_begin(|_| Ok(vec![held()])).on_next(|call| {
        // Completes, and answers at once as well.
        call.complete_early(WsaCode::WSAEINVAL, 0);
        call.complete_early(WsaCode::WSAEINVAL, 0);
        WsaCode::WSANO_DATA.into()
    });
    let rig = Rig::new(vec![module.build()]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), Err(WsaCode::WSANO_DATA));
    let faults = program.events(nsemail_contract::wire::EventKind::PEER_FAULT);
    let both = [
        "completed a call that is not open",
        "completed a call that it also answered at once",
    ];
    assert_eq!(faults, both);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_malformed_record_is_an_error_and_the_next_provider_is_asked() {
    type Write = fn(&Accepted);
    let writes: [Write; 5] = [
        |_| {},
        |call| call.scribble(&[0xFF; 112]),
        // A structure of the right size whose name leads nowhere, and into the structure itself.
        |call| {
            call.write(&held());
            call.scribble(&{
                let mut bytes = [0_u8; 16];
                bytes[0] = 112;
                bytes[8..].copy_from_slice(&0xFFFF_8000_0000_0000_u64.to_le_bytes());
                bytes
            });
        },
        |call| {
            call.write(&held());
            call.scribble(&[112, 0, 0, 0, 0, 0, 0, 0, 1]);
        },
        |call| {
            call.write(&held());
            call.scribble(&[0; 4]);
        },
    ];
    for (index, write) in writes.into_iter().enumerate() {
        let broken = primary(1).on_begin(|_| Ok(Vec::new())).on_next(move |call| {
            write(&call);
            WsaCode::NO_ERROR.into()
        });
        let rig = Rig::new(vec![broken.build(), secondary(2).has(&[ANN]).build()]);
        let program = rig.program();
        assert_eq!(program.look_up(ANN), found(2), "{index}");
        let faults = program.events(nsemail_contract::wire::EventKind::PEER_FAULT);
        assert_eq!(faults.len(), 1, "{index}: {faults:?}");
        drop(program);
        rig.shutdown();
    }
}

#[test]
fn a_provider_that_never_has_enough_room_is_given_up() {
    for wanted in [|room: u32| room, |room: u32| room + 8, |_: u32| u32::MAX] {
        let greedy = primary(1).on_begin(|_| Ok(Vec::new())).on_next(move |call| {
            call.set_length(wanted(call.room()));
            WsaCode::WSAEFAULT.into()
        });
        let rig = Rig::new(vec![greedy.build(), secondary(2).has(&[ANN]).build()]);
        let program = rig.program();
        assert_eq!(program.look_up(ANN), found(2));
        drop(program);
        rig.shutdown();
    }
}

#[test]
fn a_handle_that_is_closed_takes_its_calls_with_it() {
    let (module, accepted) = pending(primary(1).has(&[ANN]).table(&MINIMAL));
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    let lookup = program.begin(ANN).unwrap();
    let calls = [
        program.submit_next(lookup),
        program.submit_look_up(ANN),
        program.submit_next(lookup),
    ];
    let asked = [accepted.recv().unwrap(), accepted.recv().unwrap()];
    // The provider does not want to know of sessions, so nothing hurries it up.
    program.handle.close();
    for call in calls {
        assert_eq!(program::code(&call.wait().data), WsaCode::WSA_E_CANCELLED);
    }
    for call in asked {
        call.complete(WsaCode::WSASERVICE_NOT_FOUND, 0);
    }
    eventually("the queries are closed", || module.count("end") == 2);
    rig.shutdown();
}
