//! Callers that wait for their changes in their calls, and make them durable by themselves when nobody else does.

mod support;

use std::thread;

use nsemail_contract::codes::WsaCode;
use nsemail_contract::wire::{CounterKind, EventKind};
use nt_sim::Machine;
use nt_sim::files::{Fault, Operation};
use nt_sim::ntstatus::NtStatus;
use support::admin::{counted, events};
use support::*;

const A: &str = "192.0.2.1:1";
const B: &str = "192.0.2.2:2";

/// Registers a name on a thread of its own, which waits in its call.
fn waiting(session: &Session, name: String) -> Waiting {
    let session = session.clone();
    thread::spawn(move || {
        let completion = session.submit(REGISTER, WAITS, &name, &[A]).unwrap().unwrap();
        assert!(completion.is_there(), "it is answered in its own call");
        completion.wait()
    })
}

/// As [`waiting`], with its flush held back when this returns.
fn leading(machine: &Machine, session: &Session, name: &str) -> (Hold, Waiting) {
    let hold = machine.hold_file(Operation::FlushFile, &PROVIDER.to_string());
    let leader = waiting(session, name.to_owned());
    hold.wait_until_reached();
    (hold, leader)
}

type Hold = nt_sim::files::Hold;
type Waiting = thread::JoinHandle<Result<(u16, u16), WsaCode>>;

/// Waits until so many changes are accepted and not complete.
fn until_accepted(machine: &Machine, count: u64) {
    while counted(machine, CounterKind::CALLS) < count {
        thread::yield_now();
    }
}

#[test]
fn a_caller_that_waits_is_answered_before_its_call_returns() {
    let (machine, caller, session) = session();
    for n in 0..20 {
        let name = format!("user{n}@example.com");
        let completion = session.submit(REGISTER, WAITS, &name, &[A]).unwrap().unwrap();
        assert!(completion.is_there());
        assert_eq!(completion.wait(), Ok((1, 0)));
        assert_eq!(session.addresses(&name), Ok(vec![A.to_owned()]));
    }
    caller.deregister();
    stop(&machine);
}

#[test]
fn whoever_comes_while_a_caller_leads_is_served_afterwards_and_waits_only_if_it_says_so() {
    let (machine, caller, session) = session();
    let (hold, leader) = leading(&machine, &session, "bob@example.com");
    let others: Vec<_> = (0..3)
        .map(|n| {
            let name = format!("user{n}@example.com");
            session.submit(REGISTER, 0, &name, &[A]).unwrap().unwrap()
        })
        .collect();
    assert!(others.iter().all(|completion| !completion.is_there()));
    let waiters = [3, 4].map(|n| waiting(&session, format!("user{n}@example.com")));
    until_accepted(&machine, 6);
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    assert_eq!(
        session.look_up("bob@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND),
        "readers see what is durable"
    );
    hold.release();
    assert_eq!(leader.join().unwrap(), Ok((1, 0)));
    for completion in others {
        assert_eq!(completion.wait(), Ok((1, 0)));
    }
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap(), Ok((1, 0)));
    }
    caller.deregister();
    stop(&machine);
}

#[test]
fn rundown_cancels_what_waits_behind_a_caller_that_leads_and_not_its_own_change() {
    let (machine, caller, session) = session();
    let (hold, leader) = leading(&machine, &session, "bob@example.com");
    let queued = session
        .submit(REGISTER, 0, "eve@example.com", &[A])
        .unwrap()
        .unwrap();
    let waiter = waiting(&session, "carol@example.com".to_owned());
    until_accepted(&machine, 3);
    session.peer.rundown(session.session);
    assert_eq!(queued.wait(), Err(WsaCode::WSA_E_CANCELLED));
    assert_eq!(waiter.join().unwrap(), Err(WsaCode::WSA_E_CANCELLED));
    hold.release();
    assert_eq!(leader.join().unwrap(), Ok((1, 0)));
    let other = session.peer.session();
    assert_eq!(other.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
    assert_eq!(
        other.look_up("eve@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    caller.deregister();
    stop(&machine);
}

#[test]
fn the_driver_stops_when_the_caller_that_leads_has_ended() {
    let (machine, caller, session) = session();
    let (hold, leader) = leading(&machine, &session, "bob@example.com");
    let stopping = {
        let machine = machine.clone();
        thread::spawn(move || machine.stop(SERVICE).unwrap())
    };
    while session.peer.call(|_, _| ()).is_some() {
        thread::yield_now();
    }
    assert!(!leader.is_finished() && !stopping.is_finished());
    hold.release();
    assert_eq!(leader.join().unwrap(), Ok((1, 0)));
    stopping.join().unwrap();
    machine.wait_until_stopped(SERVICE);
    caller.deregister();
    machine.shutdown().assert_clean();
}

#[test]
fn a_failed_write_or_flush_is_told_to_the_caller_that_leads_and_leaves_no_trace() {
    for operation in [Operation::WriteFile, Operation::FlushFile] {
        let (machine, caller, session) = session();
        session.set(REGISTER, WAITS, "bob@example.com", &[A]).unwrap();
        machine.inject(Fault {
            operation,
            after: 0,
            times: 1,
            status: NtStatus::DISK_FULL,
        });
        let answer = session.set(REGISTER, WAITS, "bob@example.com", &[B]);
        assert_eq!(answer, Err(WsaCode::WSASYSCALLFAILURE));
        assert_eq!(session.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
        for flags in [WAITS, 0] {
            let name = format!("eve{flags}@example.com");
            assert_eq!(session.set(REGISTER, flags, &name, &[B]), Ok((1, 0)));
        }
        caller.deregister();
        machine.stop(SERVICE).unwrap();
        machine.start(SERVICE).unwrap();
        let (caller, session) = client(&machine);
        assert_eq!(session.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
        caller.deregister();
        stop(&machine);
    }
}

/// Starts the driver, which writes its journals anew when they are a bit longer than they need be.
fn compacting(machine: &Machine) -> (Caller, Session) {
    set_parameter(machine, "CompactionSlackKilobytes", 1);
    set_parameter(machine, "CompactionPercent", 110);
    machine.start(SERVICE).unwrap();
    client(machine)
}

#[test]
fn a_journal_that_callers_make_too_long_by_themselves_is_written_anew() {
    let machine = installed();
    let (caller, session) = compacting(&machine);
    for n in 0..100 {
        session
            .set(REGISTER, WAITS, "bob@example.com", &[[A, B][n % 2]])
            .unwrap();
    }
    while !events(&machine)
        .iter()
        .any(|(kind, _)| *kind == EventKind::LOG_COMPACTED)
    {
        thread::yield_now();
    }
    assert_eq!(session.addresses("bob@example.com"), Ok(vec![B.to_owned()]));
    caller.deregister();
    stop(&machine);
}

#[test]
fn what_callers_replace_by_themselves_is_freed() {
    let (machine, caller, session) = session();
    let change = |n: usize| {
        let address = [A, B][n % 2];
        session
            .set(REGISTER, WAITS, "bob@example.com", &[address])
            .unwrap();
        machine.pool_usage().blocks
    };
    // The other provider may still be starting, which takes a few blocks. Without care, sixty-four versions are kept
    // before anybody frees them.
    let blocks: Vec<usize> = (0..60).map(change).collect();
    assert!(blocks[59] < blocks[3] + 30, "{blocks:?}");
    caller.deregister();
    stop(&machine);
}

/// How long a journal was at most: where its frames ended. Larger writes set space aside.
fn longest_journal(machine: &Machine) -> usize {
    let files = machine.files();
    let writes = (0..files.steps()).filter_map(|step| {
        let step = files.describe_step(step)?;
        let (bytes, offset) = step.split_once(": write ")?.1.split_once(" bytes at ")?;
        Some((bytes.parse().unwrap(), offset.parse().unwrap()))
    });
    let frames = writes.filter(|(bytes, _): &(usize, usize)| *bytes <= 512);
    frames.map(|(bytes, offset)| offset + bytes).max().unwrap()
}

#[test]
fn a_caller_that_never_pauses_does_not_keep_its_journal_from_being_written_anew() {
    let machine = installed_on(Machine::builder().record_disk());
    let (caller, session) = compacting(&machine);
    for n in 0..500 {
        let address = [A, B][n % 2];
        session
            .set(REGISTER, WAITS, "bob@example.com", &[address])
            .unwrap();
    }
    // With what a generation begins with, and the few changes that are made while the next one is written.
    let longest = longest_journal(&machine);
    assert!(longest <= 2048, "{longest} bytes");
    caller.deregister();
    stop(&machine);
}
