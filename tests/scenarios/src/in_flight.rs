//! Calls that are provably in flight: their provider has accepted them and has not completed them,
//! because what it writes to its disk is held back.

use std::thread;

use nsemail::{Registration, record::StoredRecord};
use nsemail_contract::{Operation, SetFlags, WsaCode, wire::CounterKind};

use crate::{
    kernel::{Call, Driver, Kernel, Service, Who},
    program::{DEFAULT, EXAMPLE, Program, Session, addresses, code, name, until},
};

/// What the registration in flight is about, and what is there before.
const NAME: &str = "peggy@example.com";
const OLD: &str = "192.0.2.1:1/tcp";
const NEW: [&str; 3] = ["192.0.2.7:7/tcp", "192.0.2.8:8/udp", "192.0.2.9:9/tcp"];

/// Stopping the provider waits for the registration that it has accepted, which is answered as if
/// nothing had happened; meanwhile nothing new goes to the provider.
pub fn stopping_the_provider_waits_for_a_registration_in_flight(kernel: &dyn Kernel) {
    kernel.start_both();
    let (admin, user) = (kernel.administrator(), kernel.user());
    admin.register(NAME, &[OLD]).unwrap();
    let hold = kernel.hold_flush();
    let call = admin.submit_register(NAME, &NEW);
    hold.wait_until_reached();
    thread::scope(|scope| {
        let stop = scope.spawn(|| kernel.stop(Driver::Provider));
        until("the providers are going away", || user.attached() == 0);
        assert_eq!(kernel.service(Driver::Provider), Service::StopPending);
        assert_eq!(user.look_up(NAME), Err(WsaCode::WSASERVICE_NOT_FOUND));
        assert_eq!(
            admin.register("quentin@example.com", &[OLD]),
            Err(WsaCode::WSASERVICE_NOT_FOUND)
        );
        assert!(!call.is_complete());
        assert!(!stop.is_finished());
        drop(hold);
        assert_eq!(stop.join().unwrap(), Ok(Service::Stopped));
    });
    assert_eq!(code(&call.wait()), WsaCode::NO_ERROR);
    kernel.start(Driver::Provider).unwrap();
    kernel.wait_until_attached();
    assert_eq!(user.look_up(NAME).unwrap(), NEW);
}

/// A look-up is answered while a registration waits for the disk, and finds what was there before.
pub fn a_change_is_seen_when_it_is_durable_and_not_before(kernel: &dyn Kernel) {
    kernel.start_both();
    let (admin, user) = (kernel.administrator(), kernel.user());
    admin.register(NAME, &[OLD]).unwrap();
    let hold = kernel.hold_flush();
    let call = admin.submit_register(NAME, &NEW);
    hold.wait_until_reached();
    assert_eq!(user.look_up(NAME).unwrap(), [OLD]);
    assert_eq!(admin.look_up(NAME).unwrap(), [OLD]);
    assert!(!call.is_complete());
    drop(hold);
    assert_eq!(code(&call.wait()), WsaCode::NO_ERROR);
    assert_eq!(user.look_up(NAME).unwrap(), NEW);
}

/// The client driver cannot be unloaded under an open handle; its calls in flight end as they would.
pub fn stopping_the_client_leaves_calls_in_flight_their_end(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    let hold = kernel.hold_flush();
    let call = admin.submit_register(NAME, &NEW);
    hold.wait_until_reached();
    assert_eq!(kernel.stop(Driver::Client), Ok(Service::StopPending));
    assert_eq!(admin.look_up(NAME), Err(WsaCode::WSASERVICE_NOT_FOUND));
    assert!(!call.is_complete());
    drop(hold);
    assert_eq!(code(&call.wait()), WsaCode::NO_ERROR);
    assert_eq!(admin.look_up(NAME).unwrap(), NEW);
    drop(admin);
    kernel.wait_until_stopped(Driver::Client);
}

/// A program that is gone holds nobody up, but the provider that still works for it does: the client
/// driver is unloaded when the provider has completed the call that nobody waits for.
pub fn the_client_is_unloaded_after_the_provider_has_completed_its_last_call(kernel: &dyn Kernel) {
    kernel.start_both();
    let program = kernel.program(Who::Administrator);
    let session = program.open_to_write();
    let hold = kernel.hold_flush();
    let call = session.submit_register(NAME, &NEW);
    hold.wait_until_reached();
    program.kill();
    assert_eq!(code(&call.wait()), WsaCode::WSA_E_CANCELLED);
    drop(session);
    thread::scope(|scope| {
        let stop = scope.spawn(|| kernel.stop(Driver::Client));
        until("the client driver is being stopped", || {
            kernel.service(Driver::Client) == Service::StopPending
        });
        // The provider's own device says that its side of the binding is still there.
        let provider = kernel.program(Who::Administrator).open_admin();
        assert_eq!(provider.counted(CounterKind::CALLS), 1);
        assert!(!stop.is_finished());
        drop(hold);
        assert_eq!(stop.join().unwrap(), Ok(Service::Stopped));
        assert_eq!(provider.counted(CounterKind::CALLS), 0);
        assert_eq!(provider.counted(CounterKind::BINDINGS), 0);
    });
    kernel.start(Driver::Client).unwrap();
    kernel.wait_until_attached();
    happened_wholly_or_not_at_all(kernel, None);
}

/// A killed program is gone at once; its calls are answered as cancelled; each change happened wholly or
/// not at all; every provider hears that the session is over.
pub fn killing_a_program_cancels_its_calls_and_runs_its_session_down(kernel: &dyn Kernel) {
    gone_with_calls_in_flight(kernel, |program, session| {
        program.kill();
        drop(session);
    });
}

/// Closing the last handle ends its calls in the same way.
pub fn closing_a_handle_cancels_its_calls_and_runs_its_session_down(kernel: &dyn Kernel) {
    gone_with_calls_in_flight(kernel, |_, session| drop(session));
}

fn gone_with_calls_in_flight(kernel: &dyn Kernel, leave: fn(Program, Session)) {
    kernel.start_both();
    let user = kernel.user();
    let provider = kernel.program(Who::Administrator).open_admin();
    let admin = kernel.administrator();
    admin.register(NAME, &[OLD]).unwrap();
    drop(admin);

    let program = kernel.program(Who::Administrator);
    let session = program.open_to_write();
    session.look_up(NAME).unwrap();
    let (rundowns, sessions) = (
        provider.counted(CounterKind::RUNDOWN),
        provider.counted(CounterKind::SESSIONS),
    );
    // Of the one provider that was asked, or of more, if that had no memory.
    assert!(sessions > 0);
    let hold = kernel.hold_flush();
    let written = session.submit_register(NAME, &NEW);
    hold.wait_until_reached();
    // The journal is at the first change, so this one waits behind it.
    let waiting = session.submit_register("rupert@example.com", &NEW);
    assert!(!written.is_complete() && !waiting.is_complete());

    leave(program, session);
    // The disk is still held: nobody waited for it.
    for call in [written, waiting] {
        assert!(call.is_complete(), "a call outlives its program");
        assert_eq!(code(&call.wait()), WsaCode::WSA_E_CANCELLED);
    }
    assert_eq!(provider.counted(CounterKind::RUNDOWN), rundowns + sessions);
    assert_eq!(provider.counted(CounterKind::SESSIONS), 0);
    drop(hold);
    user.wait_until_idle();
    happened_wholly_or_not_at_all(kernel, Some(OLD));
    let second = user.look_up("rupert@example.com");
    assert!(
        second == Err(WsaCode::WSASERVICE_NOT_FOUND) || second.as_deref() == Ok(&NEW.map(str::to_owned)),
        "{second:?}"
    );
    // What is found is also what is stored.
    let before = kernel.stored();
    drop(provider);
    kernel.stop_at_once(Driver::Provider);
    kernel.start(Driver::Provider).unwrap();
    kernel.wait_until_attached();
    assert_eq!(kernel.stored(), before);
}

/// A cancelled call is answered at once, whether its change is being written or waits for another one;
/// the provider completes it later and nobody notices.
pub fn a_cancelled_change_is_answered_at_once_and_happens_wholly_or_not_at_all(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    admin.register(NAME, &[OLD]).unwrap();
    let hold = kernel.hold_flush();
    let written = admin.submit_register(NAME, &NEW);
    hold.wait_until_reached();
    let waiting = admin.submit_register("sybil@example.com", &NEW);
    let kept = admin.submit_register("trent@example.com", &NEW);
    for call in [written, waiting] {
        assert!(call.cancel());
        assert!(call.is_complete(), "a cancelled call is answered at once");
        assert!(!call.cancel(), "it has ended");
        assert_eq!(code(&call.wait()), WsaCode::WSA_E_CANCELLED);
    }
    assert!(!kept.is_complete());
    // The handle is as good as before.
    assert_eq!(admin.look_up(NAME).unwrap(), [OLD]);
    drop(hold);
    assert_eq!(code(&kept.wait()), WsaCode::NO_ERROR);
    admin.wait_until_idle();
    assert_eq!(admin.counted(CounterKind::CANCELLED), 2);
    happened_wholly_or_not_at_all(kernel, Some(OLD));
    assert_eq!(admin.look_up("trent@example.com").unwrap(), NEW);
}

/// To cancel a call that has ended is to do nothing.
pub fn a_call_that_has_ended_cannot_be_cancelled(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    let call = admin.submit_register(NAME, &NEW);
    until("the call has ended", || call.is_complete());
    assert!(!call.cancel());
    assert_eq!(code(&call.wait()), WsaCode::NO_ERROR);
    assert_eq!(admin.look_up(NAME).unwrap(), NEW);
}

/// Cancelling races with completing; whoever wins, the call has one end, and the answer tells the truth.
pub fn cancelling_races_with_completing_and_the_answer_is_true(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    for round in 0..40 {
        let name = format!("round{round}@example.com");
        let call = admin.submit_register(&name, &NEW);
        // In every other round the journal gets a head start.
        if round % 2 == 0 {
            thread::yield_now();
        }
        call.cancel();
        let answer = code(&call.wait());
        admin.wait_until_idle();
        match (answer, admin.look_up(&name)) {
            (WsaCode::NO_ERROR | WsaCode::WSA_E_CANCELLED, Ok(found)) => assert_eq!(found, NEW),
            (WsaCode::WSA_E_CANCELLED, Err(WsaCode::WSASERVICE_NOT_FOUND)) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// A removal goes to every provider that may have the name. Cancelled after the first one has made it,
/// it still reaches the others, so that the name does not come back to life from there.
pub fn a_cancelled_removal_leaves_no_copy_behind(kernel: &dyn Kernel) {
    for kill in [false, true] {
        let machine_is_fresh = !kill;
        if machine_is_fresh {
            kernel.start_both();
        }
        let user = kernel.user();
        let program = kernel.program(Who::Administrator);
        let admin = program.open_to_write();
        for provider in [DEFAULT, EXAMPLE] {
            let registration = Registration {
                provider: Some(provider),
                ..name(NAME, &NEW)
            };
            admin
                .change(Operation::Register, SetFlags::empty(), &registration)
                .unwrap();
        }
        let hold = kernel.hold_flush();
        let call: Box<dyn Call> = admin.submit(Operation::Delete, &name(NAME, &[]));
        hold.wait_until_reached();
        if kill {
            program.kill();
        } else {
            call.cancel();
        }
        assert_eq!(code(&call.wait()), WsaCode::WSA_E_CANCELLED);
        drop(hold);
        user.wait_until_idle();
        let copies = [DEFAULT, EXAMPLE].map(|provider| user.look_up_at(provider, NAME).is_ok());
        assert_eq!(
            copies[0], copies[1],
            "the name was removed at one provider only (killed: {kill})"
        );
        drop(admin);
    }
}

/// Checks that a registration of [`NEW`] in place of `old` happened wholly or not at all, and that what is
/// found is what is stored.
fn happened_wholly_or_not_at_all(kernel: &dyn Kernel, old: Option<&str>) {
    let found = kernel.user().look_up(NAME);
    let before = old.map_or(Err(WsaCode::WSASERVICE_NOT_FOUND), |old| Ok(vec![old.to_owned()]));
    assert!(
        found == before || found.as_deref() == Ok(&NEW.map(str::to_owned)),
        "half a change: {found:?}"
    );
    let stored = kernel.stored();
    let stored: Option<&StoredRecord> = stored.iter().find(|record| record.record.name == NAME);
    assert_eq!(
        stored.map(|record| addresses(&record.record)),
        found.ok(),
        "what is stored is not what is found"
    );
}
