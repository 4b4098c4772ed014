//! The provider driver under load, while it stops, with files that fail, and without memory.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nsemail_contract::codes::WsaCode;
use nsemail_contract::ids;
use nsemail_contract::queryset::QuerySet;
use nsemail_contract::text::Text;
use nt_sim::Machine;
use nt_sim::files::{Fault, Operation};
use nt_sim::ntstatus::NtStatus;
use support::*;

const A: &str = "192.0.2.1:1";
const B: &str = "192.0.2.2:2";
/// `LUP_DEEP`
const DEEP: u32 = 1;

#[test]
fn a_change_is_answered_when_its_flush_is_done_and_not_before() {
    let (machine, caller, session) = session();
    let hold = machine.hold(Operation::FlushFile);
    let completion = session
        .submit(REGISTER, 0, "bob@example.com", &[A])
        .unwrap()
        .unwrap();
    hold.wait_until_reached();
    assert!(!completion.is_there());
    assert_eq!(
        session.look_up("bob@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND),
        "readers see what is durable"
    );
    hold.release();
    assert_eq!(completion.wait(), Ok((1, 0)));
    assert_eq!(session.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
    caller.deregister();
    stop(&machine);
}

#[test]
fn rundown_cancels_what_waits_for_the_journal_and_not_what_is_being_written() {
    let (machine, caller, session) = session();
    let other = session.peer.session();
    let hold = machine.hold(Operation::FlushFile);
    let written = session
        .submit(REGISTER, 0, "bob@example.com", &[A])
        .unwrap()
        .unwrap();
    hold.wait_until_reached();
    let waiting = session
        .submit(REGISTER, 0, "eve@example.com", &[A])
        .unwrap()
        .unwrap();
    let of_other = other
        .submit(REGISTER, 0, "carol@example.com", &[A])
        .unwrap()
        .unwrap();
    session.peer.rundown(session.session);
    assert_eq!(waiting.wait(), Err(WsaCode::WSA_E_CANCELLED));
    hold.release();
    assert_eq!((written.wait(), of_other.wait()), (Ok((1, 0)), Ok((1, 0))));
    assert_eq!(
        other.look_up("eve@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(other.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
    caller.deregister();
    stop(&machine);
}

#[test]
fn detach_is_pending_while_an_accepted_change_is_not_complete() {
    let (machine, caller, session) = session();
    let hold = machine.hold(Operation::FlushFile);
    let completion = session
        .submit(REGISTER, 0, "bob@example.com", &[A])
        .unwrap()
        .unwrap();
    hold.wait_until_reached();
    let stopping = {
        let machine = machine.clone();
        thread::spawn(move || machine.stop(SERVICE).unwrap())
    };
    while session.peer.call(|_, _| ()).is_some() {
        thread::yield_now();
    }
    assert!(
        session.submit(REGISTER, 0, "eve@example.com", &[A]).is_none(),
        "nothing new is accepted"
    );
    assert!(!completion.is_there());
    hold.release();
    assert_eq!(completion.wait(), Ok((1, 0)), "what was accepted completes");
    stopping.join().unwrap();
    machine.wait_until_stopped(SERVICE);
    machine.start(SERVICE).unwrap();
    let session = caller.provider(PROVIDER).session();
    let _ = session;
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_failed_write_or_flush_is_answered_with_an_error_and_leaves_no_trace() {
    for operation in [Operation::WriteFile, Operation::FlushFile] {
        let (machine, caller, session) = session();
        session.set(REGISTER, 0, "bob@example.com", &[A]).unwrap();
        let fault = Fault {
            operation,
            after: 0,
            times: 1,
            status: NtStatus::DISK_FULL,
        };
        machine.inject(fault);
        assert_eq!(
            session.set(DELETE, 0, "bob@example.com", &[]),
            Err(WsaCode::WSASYSCALLFAILURE)
        );
        assert_eq!(session.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
        assert_eq!(
            session.set(REGISTER, 0, "eve@example.com", &[B]),
            Ok((1, 0)),
            "it works again"
        );
        caller.deregister();
        machine.stop(SERVICE).unwrap();
        machine.start(SERVICE).unwrap();
        let (caller, session) = client(&machine);
        assert_eq!(session.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
        assert_eq!(session.addresses("eve@example.com"), Ok(vec![B.to_owned()]));
        caller.deregister();
        stop(&machine);
    }
}

#[test]
fn many_callers_at_once_all_get_their_names() {
    let (machine, caller, session) = session();
    let threads: Vec<_> = (0..6)
        .map(|n| {
            let peer = session.peer.clone();
            thread::spawn(move || {
                let session = peer.session();
                let flags = if n % 2 == 0 { WAITS } else { 0 };
                for i in 0..40 {
                    let name = format!("user{n}.{i}@example.com");
                    session.set(REGISTER, flags, &name, &[A]).unwrap();
                    assert_eq!(session.addresses(&name), Ok(vec![A.to_owned()]));
                    if i % 3 == 0 {
                        session.set(DELETE, 0, &name, &[]).unwrap();
                    }
                }
                peer.rundown(session.session);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(session.addresses("user3.38@example.com"), Ok(vec![A.to_owned()]));
    assert_eq!(
        session.look_up("user3.39@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    caller.deregister();
    stop(&machine);
}

#[test]
fn edge_32_a_look_up_of_all_contexts_is_of_one_moment() {
    let (machine, caller, session) = session();
    let of = |context| QuerySet {
        name: Some(Text::from_str("bob@example.com").unwrap()),
        namespace: ids::NS_EMAIL,
        context: Some(Text::from_str(context).unwrap()),
        ..QuerySet::default()
    };
    let change = |operation, context| {
        let form = Form::new(&of(context));
        // SAFETY: the form is valid.
        let accepted = unsafe { session.set_raw(form.as_ptr(), operation, 0) };
        accepted.unwrap().unwrap().wait().unwrap();
    };
    change(REGISTER, "home");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (watcher, done) = (session.clone(), &done);
        let seen = scope.spawn(move || {
            let mut looks = 0;
            while !done.load(Ordering::Relaxed) {
                let contexts = watcher.answers(&of(""), ALL | DEEP).unwrap();
                let contexts: Vec<_> = contexts.iter().map(|answer| answer.context.as_str()).collect();
                // One moves in before the other moves out.
                assert!(
                    [&["home"][..], &["home", "work"], &["work"]].contains(&contexts.as_slice()),
                    "{contexts:?}"
                );
                looks += 1;
            }
            looks
        });
        for _ in 0..200 {
            change(REGISTER, "work");
            change(DELETE, "home");
            change(REGISTER, "home");
            change(DELETE, "work");
        }
        done.store(true, Ordering::Relaxed);
        assert!(seen.join().unwrap() > 0);
    });
    caller.deregister();
    stop(&machine);
}

#[test]
fn the_driver_stops_under_traffic() {
    for _ in 0..5 {
        let (machine, caller, session) = session();
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let session = session.clone();
                thread::spawn(move || {
                    let mut done = 0;
                    let flags = if n % 2 == 0 { WAITS } else { 0 };
                    for i in 0.. {
                        match session.submit(REGISTER, flags, &format!("user{n}.{i}@example.com"), &[A]) {
                            None => break,
                            Some(Ok(completion)) => drop(completion.wait().unwrap()),
                            Some(Err(code)) => assert_eq!(code, WsaCode::WSASYSNOTREADY),
                        }
                        done = i;
                    }
                    done
                })
            })
            .collect();
        session.set(REGISTER, 0, "bob@example.com", &[A]).unwrap();
        machine.stop(SERVICE).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        machine.wait_until_stopped(SERVICE);
        caller.deregister();
        machine.shutdown().assert_clean();
    }
}

#[test]
fn a_start_that_runs_out_of_memory_anywhere_is_undone_or_serves() {
    for skip in 0..400 {
        let machine = installed_on(Machine::builder());
        machine.fail_allocation(skip);
        let started = machine.start(SERVICE).is_ok();
        if started {
            machine.stop(SERVICE).unwrap();
            machine.wait_until_stopped(SERVICE);
        }
        let failed = machine.allocation_has_failed();
        machine.shutdown().assert_clean();
        if !failed {
            assert!(started);
            return;
        }
    }
    panic!("there is no end to the allocations of a start");
}

#[test]
fn completions_are_counted_once_each() {
    let (machine, caller, session) = session();
    let completions: Vec<Arc<Completion>> = (0..100)
        .map(|n| {
            session
                .submit(REGISTER, 0, &format!("user{n}@example.com"), &[A])
                .unwrap()
                .unwrap()
        })
        .collect();
    for completion in completions {
        assert_eq!(completion.wait(), Ok((1, 0)));
    }
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_call_that_runs_out_of_memory_anywhere_is_told_so_and_changes_nothing() {
    let (machine, caller, session) = session();
    // Nothing but the calls is to run out of memory.
    caller.provider(OTHER);
    session.set(REGISTER, 0, "bob@example.com", &[A]).unwrap();
    let mut skip = 0;
    loop {
        machine.fail_allocation(skip);
        let before = session.addresses("bob@example.com");
        if machine.allocation_has_failed() {
            assert_eq!(before, Err(WsaCode::WSA_NOT_ENOUGH_MEMORY), "{skip}");
            skip += 1;
            continue;
        }
        assert_eq!(before, Ok(vec![A.to_owned()]));
        break;
    }
    assert!(skip > 2);
    skip = 0;
    loop {
        machine.fail_allocation(skip);
        // By the journal thread, or by the caller itself.
        let flags = 1 | if skip % 2 == 0 { WAITS } else { 0 };
        let answer = session.set(REGISTER, flags, "bob@example.com", &[A, B]);
        let failed = machine.allocation_has_failed();
        if answer.is_ok() {
            assert!(!failed, "{skip}");
            break;
        }
        assert!(failed, "{skip}");
        assert_eq!(answer, Err(WsaCode::WSA_NOT_ENOUGH_MEMORY), "{skip}");
        assert_eq!(
            session.addresses("bob@example.com"),
            Ok(vec![A.to_owned()]),
            "{skip}"
        );
        skip += 1;
    }
    assert!(skip > 5);
    assert_eq!(
        session.addresses("bob@example.com"),
        Ok(vec![A.to_owned(), B.to_owned()])
    );
    caller.deregister();
    stop(&machine);
}
