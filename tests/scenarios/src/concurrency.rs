//! Many threads at once.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nsemail::{Registration, client::Query, record::FoundRecord};
use nsemail_contract::{LookupFlags, Operation, SetFlags, WsaCode};

use crate::{
    kernel::Kernel,
    program::{Session, answered, name},
};

const THREADS: usize = 4;
const NAMES: usize = 50;

fn name_of(number: usize) -> String {
    format!("user{number}@example.com")
}

fn address_of(number: usize) -> String {
    format!("192.0.2.{number}:{}/tcp", 3000 + number)
}

fn register_all(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    for number in 0..NAMES {
        admin.register(&name_of(number), &[&address_of(number)]).unwrap();
    }
}

fn look_up_all(session: &Session, thread: usize) {
    for step in 0..4 * NAMES {
        // Each thread in an order of its own.
        let number = (step * (2 * thread + 1) + thread) % NAMES;
        assert_eq!(session.look_up(&name_of(number)).unwrap(), [address_of(number)]);
        assert_eq!(
            session.look_up(&format!("nobody{number}@example.com")),
            Err(WsaCode::WSASERVICE_NOT_FOUND)
        );
    }
}

/// Threads that share a handle are answered what each has asked.
pub fn threads_that_share_a_handle_get_their_own_answers(kernel: &dyn Kernel) {
    register_all(kernel);
    let session = kernel.user();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let session = &session;
            scope.spawn(move || look_up_all(session, thread));
        }
    });
}

/// So are threads with a handle each.
pub fn threads_with_a_handle_each_get_their_own_answers(kernel: &dyn Kernel) {
    register_all(kernel);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || look_up_all(&kernel.user(), thread));
        }
    });
}

/// A look-up that threads share delivers each of its records once, to one of them.
pub fn threads_that_share_a_look_up_get_each_record_once(kernel: &dyn Kernel) {
    const SERVICES: usize = 30;
    kernel.start_both();
    let admin = kernel.administrator();
    for number in 0..SERVICES {
        let registration = Registration {
            service: format!("service{number}"),
            ..name("ursula@example.com", &["192.0.2.7:25"])
        };
        admin
            .change(Operation::Register, SetFlags::empty(), &registration)
            .unwrap();
    }
    let user = kernel.user();
    let flags = LookupFlags::DEEP | LookupFlags::RETURN_ALL;
    let look_up = answered(user.client().begin(&Query::name("ursula@example.com"), flags)).unwrap();
    let services = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(found) = answered(look_up.next(LookupFlags::empty())).unwrap() {
                    services.lock().unwrap().push(found.record.service);
                }
            });
        }
    });
    let services = services.into_inner().unwrap();
    assert_eq!(services.len(), SERVICES);
    assert_eq!(services.iter().collect::<BTreeSet<_>>().len(), SERVICES);
    answered(look_up.end()).unwrap();
}

/// Whoever looks a name up while it changes finds one of its versions, never a mixture, or that it is not there in one of
/// the two ways in which it is not (decision 32).
pub fn a_look_up_beside_changes_finds_a_whole_version(kernel: &dyn Kernel) {
    const NAME: &str = "victor@example.com";
    let version = |number: u8| Registration {
        version: Some(number.into()),
        comment: Some(format!("version {number}")),
        // Of different sizes, so that a mixture would not even have the right length.
        blob: Some(vec![number; 100 * usize::from(number)]),
        ..name(
            NAME,
            &[
                &format!("192.0.2.{number}:1/tcp"),
                &format!("192.0.2.{number}:2/udp"),
            ],
        )
    };
    let versions = [version(1), version(2), version(3)];
    kernel.start_both();
    let admin = kernel.administrator();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 1..THREADS {
            let (versions, over) = (&versions, &over);
            scope.spawn(move || {
                let user = kernel.user();
                while !over.load(Ordering::Acquire) {
                    let found = if reader % 2 == 0 {
                        user.records(&Query::name(NAME), LookupFlags::RETURN_ALL)
                    } else {
                        record_by_record(&user, NAME)
                    };
                    match found {
                        Ok(found) => {
                            let [found] = found.as_slice() else {
                                panic!("{found:?}")
                            };
                            let mut record = found.record.clone();
                            record.provider = None;
                            assert!(versions.contains(&record), "{record:?}");
                        }
                        Err(code) => assert!(
                            [WsaCode::WSASERVICE_NOT_FOUND, WsaCode::WSANO_DATA].contains(&code),
                            "{code:?}"
                        ),
                    }
                }
            });
        }
        let writer = scope.spawn(|| {
            for round in 0..120 {
                let version = &versions[round % versions.len()];
                let set = |operation| admin.change(operation, SetFlags::empty(), version).unwrap();
                assert_eq!(set(Operation::Register).added, 2);
                match round % 6 {
                    2 => assert_eq!(set(Operation::Deregister).removed, 2),
                    4 => assert_eq!(set(Operation::Delete).removed, 2),
                    _ => {}
                }
            }
        });
        let written = writer.join();
        over.store(true, Ordering::Release);
        written.unwrap();
    });
}

/// Reads a look-up to its end.
fn record_by_record(session: &Session, name: &str) -> Result<Vec<FoundRecord>, WsaCode> {
    let look_up = answered(
        session
            .client()
            .begin(&Query::name(name), LookupFlags::RETURN_ALL),
    )?;
    let mut found = Vec::new();
    while let Some(record) = answered(look_up.next(LookupFlags::empty()))? {
        found.push(record);
    }
    Ok(found)
}

/// Threads that add to one name lose none of each other's additions.
pub fn additions_from_many_threads_all_hold(kernel: &dyn Kernel) {
    const EACH: usize = 8;
    kernel.start_both();
    let shared = kernel.administrator();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let shared = &shared;
            scope.spawn(move || {
                for number in 0..EACH {
                    let address = format!("192.0.2.{thread}:{}/tcp", 4000 + number);
                    let addition = name("wendy@example.com", &[&address]);
                    let reply = shared.change(Operation::Register, SetFlags::MULTIPLE, &addition);
                    assert_eq!(reply.unwrap().added, 1);
                }
            });
        }
    });
    let found = shared.look_up("wendy@example.com").unwrap();
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), THREADS * EACH);
    for thread in 0..THREADS {
        // Each thread's own additions are in the order in which it made them.
        let start = format!("192.0.2.{thread}:");
        let own: Vec<&String> = found.iter().filter(|text| text.starts_with(&start)).collect();
        assert!(own.is_sorted(), "{own:?}");
    }
}
