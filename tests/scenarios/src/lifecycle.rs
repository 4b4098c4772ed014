//! Starting and stopping the drivers, in every order, whatever programs do meanwhile.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use nsemail_contract::{WsaCode, wire::CounterKind};

use crate::{
    kernel::{Access, Driver, Kernel, Service, Who},
    program::{Ended, Session, until},
};

/// Programs that do what programs do, from several threads.
const PROGRAMS: usize = 4;
/// How often each must have succeeded before something is stopped under it.
const ROUNDS: usize = 3;

/// Provider driver up first, and down first.
pub fn provider_up_first_and_down_first_under_traffic(kernel: &dyn Kernel) {
    up_and_down_under_traffic(kernel, Driver::BOTH, Driver::BOTH);
}

/// Provider driver up first, client driver down first.
pub fn provider_up_first_and_client_down_first_under_traffic(kernel: &dyn Kernel) {
    up_and_down_under_traffic(kernel, Driver::BOTH, [Driver::Client, Driver::Provider]);
}

/// Client driver up first, provider driver down first.
pub fn client_up_first_and_provider_down_first_under_traffic(kernel: &dyn Kernel) {
    up_and_down_under_traffic(kernel, [Driver::Client, Driver::Provider], Driver::BOTH);
}

/// Client driver up first, and down first.
pub fn client_up_first_and_down_first_under_traffic(kernel: &dyn Kernel) {
    let order = [Driver::Client, Driver::Provider];
    up_and_down_under_traffic(kernel, order, order);
}

/// Programs come and go all the time, also before the drivers are there and after they are gone.
fn up_and_down_under_traffic(kernel: &dyn Kernel, up: [Driver; 2], down: [Driver; 2]) {
    let over = AtomicBool::new(false);
    let successes: [AtomicUsize; PROGRAMS] = [const { AtomicUsize::new(0) }; PROGRAMS];
    thread::scope(|scope| {
        let _ended = Ended(&over);
        for (number, succeeded) in successes.iter().enumerate() {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Acquire) {
                    come_and_go(kernel, number, succeeded);
                }
            });
        }
        for _ in 0..2 {
            for driver in up {
                kernel.start(driver).unwrap();
            }
            let before: Vec<usize> = successes
                .iter()
                .map(|count| count.load(Ordering::Acquire))
                .collect();
            until("every program was served", || {
                let counts = successes.iter().map(|count| count.load(Ordering::Acquire));
                counts.zip(&before).all(|(now, before)| now >= before + ROUNDS)
            });
            for driver in down {
                kernel.stop(driver).unwrap();
                kernel.wait_until_stopped(driver);
                assert_eq!(kernel.service(driver), Service::Stopped);
            }
        }
    });
}

/// A program that opens the device if it can, registers its own name, looks it up, and deletes it.
fn come_and_go(kernel: &dyn Kernel, number: usize, succeeded: &AtomicUsize) {
    let Ok(session) = kernel.program(Who::Administrator).try_open(Access::ReadWrite) else {
        thread::yield_now();
        return;
    };
    let name = format!("program{number}@example.com");
    let given = format!("192.0.2.{number}:5060/tcp");
    let not_found = Err(WsaCode::WSASERVICE_NOT_FOUND);
    // Nobody else changes the name, so it is there if the registration says so, as long as somebody is there to
    // ask.
    match session.register(&name, &[&given]) {
        Ok(reply) => {
            assert_eq!(reply.providers, 1);
            let found = session.look_up(&name);
            assert!(
                found == not_found || found.as_deref() == Ok(std::slice::from_ref(&given)),
                "{found:?}"
            );
            let deleted = session.delete(&name).map(|reply| reply.providers);
            assert!(
                matches!(deleted, Ok(1 | 2) | Err(WsaCode::WSASERVICE_NOT_FOUND)),
                "{deleted:?}"
            );
            if found.is_ok() && deleted.is_ok() {
                succeeded.fetch_add(1, Ordering::Release);
            }
        }
        Err(code) => assert_eq!(code, WsaCode::WSASERVICE_NOT_FOUND, "no provider is there"),
    }
}

/// A handle from before any provider is there finds nothing, and finds the names once it is.
pub fn a_device_opened_before_any_provider_answers_when_one_is_there(kernel: &dyn Kernel) {
    kernel.start(Driver::Client).unwrap();
    let session = kernel.administrator();
    assert_eq!(session.attached(), 0);
    assert_eq!(
        session.look_up("mallory@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(
        session.register("mallory@example.com", &["192.0.2.7:25"]),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    kernel.start(Driver::Provider).unwrap();
    kernel.wait_until_attached();
    session
        .register("mallory@example.com", &["192.0.2.7:25"])
        .unwrap();
    assert_eq!(
        session.look_up("mallory@example.com").unwrap(),
        ["192.0.2.7:25/tcp"]
    );
}

/// A provider that goes away under look-ups leaves each with its answer or with none, never with a wrong
/// one, and never without an end.
pub fn look_ups_while_the_provider_stops_have_the_right_answer_or_none(kernel: &dyn Kernel) {
    const NAMES: usize = 8;
    kernel.start_both();
    let admin = kernel.administrator();
    let name = |number: usize| format!("name{number}@example.com");
    let address = |number: usize| format!("192.0.2.{number}:{}/udp", 2000 + number);
    for number in 0..NAMES {
        admin.register(&name(number), &[&address(number)]).unwrap();
    }
    let shared = kernel.user();
    let over = AtomicBool::new(false);
    let answers: [AtomicUsize; PROGRAMS] = [const { AtomicUsize::new(0) }; PROGRAMS];
    thread::scope(|scope| {
        let _ended = Ended(&over);
        for (program, answered) in answers.iter().enumerate() {
            let (over, shared) = (&over, &shared);
            scope.spawn(move || {
                // Half of the threads share a handle.
                let own = kernel.user();
                let session: &Session = if program % 2 == 0 { shared } else { &own };
                for number in (0..NAMES).cycle() {
                    match session.look_up(&name(number)) {
                        Ok(found) => {
                            assert_eq!(found, [address(number)]);
                            answered.fetch_add(1, Ordering::Release);
                        }
                        Err(code) => assert_eq!(code, WsaCode::WSASERVICE_NOT_FOUND),
                    }
                    if over.load(Ordering::Acquire) {
                        break;
                    }
                }
            });
        }
        for _ in 0..4 {
            let before: Vec<usize> = answers
                .iter()
                .map(|count| count.load(Ordering::Acquire))
                .collect();
            until("every thread has answers", || {
                let counts = answers.iter().map(|count| count.load(Ordering::Acquire));
                counts.zip(&before).all(|(now, before)| now > before + NAMES)
            });
            kernel.stop_at_once(Driver::Provider);
            assert_eq!(admin.attached(), 0);
            assert_eq!(admin.look_up(&name(0)), Err(WsaCode::WSASERVICE_NOT_FOUND));
            kernel.start(Driver::Provider).unwrap();
            kernel.wait_until_attached();
        }
    });
}

/// While a file is open, a stop stays pending and the device works; it ends with the last handle.
pub fn a_stop_waits_for_the_last_handle_and_the_device_works_until_then(kernel: &dyn Kernel) {
    kernel.start_both();
    let session = kernel.administrator();
    session.register("niaj@example.com", &["192.0.2.7:25"]).unwrap();
    let second = session.handle().duplicate();
    let provider = kernel.program(Who::Administrator).open_admin();

    for driver in Driver::BOTH {
        assert_eq!(kernel.stop(driver), Ok(Service::StopPending), "{driver:?}");
        assert!(
            kernel.stop(driver).is_err(),
            "{driver:?} is asked to stop only once"
        );
        assert!(
            kernel.start(driver).is_err(),
            "{driver:?} cannot start before it has stopped"
        );
    }
    let refused = kernel.program(Who::Administrator).try_open(Access::Read).err();
    assert!(
        refused.is_some(),
        "a device that waits for its driver's unload is opened no more"
    );
    assert_eq!(session.look_up("niaj@example.com").unwrap(), ["192.0.2.7:25/tcp"]);
    session.register("olivia@example.com", &["192.0.2.8:25"]).unwrap();
    assert_eq!(provider.counted(CounterKind::OBJECTS), 2);

    drop(provider);
    kernel.wait_until_stopped(Driver::Provider);
    assert_eq!(
        session.look_up("niaj@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    drop(session);
    assert_eq!(kernel.service(Driver::Client), Service::StopPending);
    drop(second);
    kernel.wait_until_stopped(Driver::Client);

    kernel.start_both();
    assert_eq!(
        kernel.user().look_up("olivia@example.com").unwrap(),
        ["192.0.2.8:25/tcp"]
    );
}
