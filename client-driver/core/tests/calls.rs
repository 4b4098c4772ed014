//! Calls through the driver on the simulated machine, to providers that answer at once, later, or never.
#![allow(missing_docs, clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used, reason = "test code")]

mod support;

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use nsemail_contract::dispatch::AsyncStatus;
use nsemail_contract::{Operation, WsaCode};
use support::provider::{Accepted, Held, MINIMAL, Module, primary, secondary};
use support::{PROVIDERS, Rig, eventually, program};

const ANN: &str = "ann@example.com";

fn held() -> Held {
    Held { name: ANN.to_owned(), ..Held::default() }
}

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
    assert_eq!(first.trace(), ["attach", "startup", "begin", "next", "next", "end"]);
    assert_eq!(second.trace(), ["attach"]);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_name_that_the_primary_does_not_know_is_asked_of_the_secondary() {
    let rig = Rig::new(vec![primary(1).has(&[]).build(), secondary(2).has(&[ANN]).build()]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(2));
    assert_eq!(program.look_up("bob@example.com"), Err(WsaCode::WSASERVICE_NOT_FOUND));
    assert_eq!(program.look_up("bob@example.org"), Err(WsaCode::WSASERVICE_NOT_FOUND));
    drop(program);
    rig.shutdown();
}
