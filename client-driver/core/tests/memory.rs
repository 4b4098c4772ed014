//! Every allocation fails once: the answer is an error, nothing leaks, and the driver goes on.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code"
)]

mod support;

use nsemail_contract::dispatch::ProviderDispatch;
use nsemail_contract::ids::{CLIENT_PATH, CLIENT_SERVICE};
use nsemail_contract::{Operation, WsaCode};
use nt_sim::Machine;
use nt_sim::io::{Access, Identity};
use support::provider::{BATCHING, FULL, primary, secondary};
use support::{PROVIDERS, Rig};

const ANN: &str = "ann@example.com";

/// Does something again and again, the first time with the first allocation failing, then with the second, until none
/// was left to fail.
fn with_each_allocation_failing(machine: &Machine, mut action: impl FnMut(u64)) {
    for skip in 0..10_000 {
        machine.fail_allocation(skip);
        action(skip);
        if !machine.allocation_has_failed() {
            assert!(skip > 2, "it allocates something");
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn starting_the_driver() {
    let rig = Rig::installed(vec![primary(1).has(&[ANN]).build()], Vec::new());
    rig.machine.start(PROVIDERS[0]).unwrap();
    with_each_allocation_failing(&rig.machine, |_| {
        if rig.machine.start(CLIENT_SERVICE).is_ok() {
            rig.stop(CLIENT_SERVICE);
        }
    });
    rig.machine.start(CLIENT_SERVICE).unwrap();
    let program = rig.program();
    assert!(program.look_up(ANN).is_ok());
    drop(program);
    rig.shutdown();
}

#[test]
fn attaching_a_provider() {
    let rig = Rig::installed(vec![primary(1).has(&[ANN]).build()], Vec::new());
    rig.machine.start(CLIENT_SERVICE).unwrap();
    let program = rig.program();
    with_each_allocation_failing(&rig.machine, |_| {
        if rig.machine.start(PROVIDERS[0]).is_ok() {
            rig.stop(PROVIDERS[0]);
        }
    });
    rig.machine.start(PROVIDERS[0]).unwrap();
    assert!(program.look_up(ANN).is_ok());
    drop(program);
    rig.shutdown();
}

#[test]
fn looking_up_and_changing() {
    looking_up_and_changing_at(&FULL);
}

#[test]
fn looking_up_at_once_and_changing() {
    looking_up_and_changing_at(&BATCHING);
}

fn looking_up_and_changing_at(table: &'static ProviderDispatch) {
    let rig = Rig::new(vec![
        primary(1).has(&[]).table(table).build(),
        secondary(2).has(&[ANN]).table(table).build(),
    ]);
    let process = rig.machine.process(Identity::Administrator);
    with_each_allocation_failing(&rig.machine, |skip| {
        let Ok(handle) = process.open(CLIENT_PATH, Access::READ_WRITE) else {
            return;
        };
        let program = support::program::Program {
            process: process.clone(),
            handle,
        };
        let memory = Some(WsaCode::WSA_NOT_ENOUGH_MEMORY);
        let fine = |code: Option<WsaCode>| assert!(code.is_none() || code == memory, "{skip}: {code:?}");
        fine(program.look_up(ANN).err());
        let lookup = program.begin(ANN);
        fine(lookup.err());
        if let Ok(lookup) = lookup {
            // Without memory the record stays where it is.
            let next = program.next(lookup);
            fine(next.as_ref().err().copied());
            if next.is_err() {
                assert!(program.next(lookup).is_ok(), "{skip}");
            }
            fine(program.end(lookup).ok().err());
        }
        fine(program.set(Operation::Delete, ANN).err());
        program.handle.close_and_wait();
    });
    rig.shutdown();
}
