//! Registrations and removals through the driver on the simulated machine.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code"
)]

mod support;

use std::sync::Mutex;
use std::sync::mpsc::channel;

use nsemail_contract::dispatch::AsyncStatus;
use nsemail_contract::{Operation, SetFlags, WsaCode};
use support::provider::{primary, secondary};
use support::{Rig, eventually, program};

const ANN: &str = "ann@example.com";

#[test]
fn a_removal_sweeps_the_chain_and_goes_on_when_its_process_dies_in_the_middle() {
    let (send, accepted) = channel();
    let send = Mutex::new(send);
    let first = primary(1).build();
    let second = secondary(2).on_set(move |call, _| {
        send.lock().unwrap().send(call).unwrap();
        AsyncStatus::PENDING
    });
    let (second, third) = (second.build(), secondary(3).build());
    let rig = Rig::new(vec![first.clone(), second, third.clone()]);
    let program = rig.program();
    let call = program.submit_set(Operation::Delete, ANN);
    let asked = accepted.recv().unwrap();
    assert_eq!(first.count("set"), 1);
    program.process.kill();
    drop(call);
    assert_eq!(
        first.count("rundown"),
        0,
        "the session is needed until the removal is done"
    );
    asked.complete(WsaCode::NO_ERROR, 0);
    eventually("the third provider is told", || third.count("set") == 1);
    eventually("rundown", || {
        third.count("rundown") == 1 && first.count("rundown") == 1
    });
    drop(program);
    rig.shutdown();
}

#[test]
fn a_cancelled_registration_goes_no_further() {
    let (send, accepted) = channel();
    let send = Mutex::new(send);
    let first = primary(1).on_set(move |call, _| {
        send.lock().unwrap().send(call).unwrap();
        AsyncStatus::PENDING
    });
    let second = secondary(2).build();
    let rig = Rig::new(vec![first.build(), second.clone()]);
    let program = rig.program();
    let call = program.submit_set(Operation::Register, ANN);
    let asked = accepted.recv().unwrap();
    assert!(call.cancel());
    assert_eq!(program::code(&call.wait().data), WsaCode::WSA_E_CANCELLED);
    asked.complete(WsaCode::WSAEACCES, 0);
    assert_eq!(
        program.set(Operation::Register, "bob@example.org"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(second.count("set"), 0);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_worker_that_goes_on_with_a_change_does_not_say_that_it_waits() {
    let (send, accepted) = channel();
    let send = Mutex::new(send);
    let first = primary(1).on_set(move |call, _| {
        send.lock().unwrap().send(call).unwrap();
        AsyncStatus::PENDING
    });
    let (first, second) = (first.build(), secondary(2).build());
    let rig = Rig::new(vec![first.clone(), second.clone()]);
    let program = rig.program();
    let call = program.submit_set_with(Operation::Delete, SetFlags::CALLER_WAITS, ANN);
    accepted.recv().unwrap().complete(WsaCode::NO_ERROR, 0);
    assert_eq!(program::code(&call.wait().data), WsaCode::NO_ERROR);
    assert_eq!(first.trace(), ["attach", "startup", "set by who waits"]);
    assert_eq!(second.trace(), ["attach", "startup", "set"]);
    drop(program);
    rig.shutdown();
}

#[test]
fn what_a_change_did_is_told() {
    use nsemail_contract::dispatch::SetInformation;
    let counting = |number: u8| {
        let module = if number == 1 {
            primary(1)
        } else {
            secondary(number)
        };
        let done = SetInformation {
            added: 0,
            removed: number.into(),
        };
        module.on_set(move |call, _| {
            call.complete(WsaCode::NO_ERROR, done.pack());
            AsyncStatus::PENDING
        })
    };
    let rig = Rig::new(vec![counting(1).build(), counting(2).build()]);
    let program = rig.program();
    let done = program.set(Operation::Delete, ANN).unwrap();
    assert_eq!((done.providers, done.removed), (2, 3));
    let done = program.set(Operation::Register, ANN).unwrap();
    assert_eq!((done.providers, done.removed), (1, 1));
    drop(program);
    rig.shutdown();
}
