//! Both drivers under a scheduler that decides about every step.
//!
//! The shuttle checker runs all threads of the machine, those of the drivers included, one step at a
//! time, in many different orders. Whatever the order: every request is answered, what was registered is
//! found, both drivers unload, and the verifier finds nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use nsemail::{
    Client, Error, Registration,
    client::Query,
    transport::{Device, embedded},
};
use nsemail_contract::{LookupFlags, Operation, SetFlags, WsaCode, ids::PROVIDER_SERVICE};
use nsemail_embedded::{Embedded, Options};
use nt_sim::{Machine, io::Identity, scheduler::Controlled};
use shuttle::thread;

/// What a thread was answered: to its registration, and to its look-up of the same name.
type Answers = (WsaCode, WsaCode);

/// How often each pair of answers came, over all schedules.
type Seen = Arc<Mutex<BTreeMap<(u32, u32), u32>>>;

/// How a thread leaves the device.
#[derive(Clone, Copy)]
enum Ending {
    /// It closes its handle.
    Close,
    /// Its process is killed with the handle open.
    Kill,
}

fn code<T>(answer: Result<T, Error>) -> WsaCode {
    match answer {
        Ok(_) => WsaCode::NO_ERROR,
        Err(Error::Code(code)) => code,
        Err(error) => panic!("no answer of a driver: {error}"),
    }
}

fn register_and_look_up(machine: &Machine, name: &str, ending: Ending) -> Answers {
    let process = machine.process(Identity::Administrator);
    let handle = embedded::open(&process, Device::Client, true).expect("the device opens");
    let client = Client::new(handle);
    let registration = Registration {
        name: name.to_owned(),
        ..Registration::default()
    };
    let registered = code(client.set(Operation::Register, SetFlags::empty(), &registration));
    let found = code(client.look_up(&Query::name(name), LookupFlags::RETURN_NAME));
    match ending {
        Ending::Close => drop(client),
        Ending::Kill => process.kill(),
    }
    (registered, found)
}

/// Two programs use the drivers; if `stopping`, the provider driver is stopped at the same time.
fn one_schedule(stopping: bool, seen: &Seen) {
    let system = Embedded::boot(Options::new().scheduler(Controlled::new())).expect("the drivers start");
    let machine = system.machine().clone();
    let programs = [
        ("ann@example.com", Ending::Close),
        ("bob@example.com", Ending::Kill),
    ]
    .map(|(name, ending)| {
        let machine = machine.clone();
        thread::spawn(move || register_and_look_up(&machine, name, ending))
    });
    if stopping {
        machine.stop(PROVIDER_SERVICE).expect("the service stops");
    }
    for program in programs {
        let (registered, found) = program.join().expect("the program ends");
        let pair = (registered.0, found.0);
        *seen.lock().expect("no panic before").entry(pair).or_default() += 1;
    }
    system.shutdown().assert_clean();
    assert_eq!(machine.pool_usage().blocks, 0, "all pool is freed");
}

fn all_schedules(stopping: bool) -> BTreeMap<(u32, u32), u32> {
    let seen = Seen::default();
    let random = Arc::clone(&seen);
    shuttle::check_random(move || one_schedule(stopping, &random), 100);
    let priorities = Arc::clone(&seen);
    shuttle::check_pct(move || one_schedule(stopping, &priorities), 100, 3);
    let seen = seen.lock().expect("no panic before").clone();
    println!("registered, found: {seen:?}");
    seen
}

const OK: u32 = WsaCode::NO_ERROR.0;
const NOT_FOUND: u32 = WsaCode::WSASERVICE_NOT_FOUND.0;

#[test]
fn in_every_schedule_what_was_registered_is_found() {
    let seen = all_schedules(false);
    // A program may be faster than the attachment of the providers; then it is told that nobody has
    // the name. But a name that was registered is there.
    let late = seen.get(&(NOT_FOUND, OK));
    assert_eq!(late, None, "found what nobody registered");
    assert_eq!(seen.get(&(OK, NOT_FOUND)), None, "lost what was registered");
    assert!(seen.contains_key(&(OK, OK)), "{seen:?}");
}

#[test]
fn in_every_schedule_stopping_the_provider_driver_answers_every_request() {
    let seen = all_schedules(true);
    assert!(seen.len() > 1, "the schedules differ: {seen:?}");
}
