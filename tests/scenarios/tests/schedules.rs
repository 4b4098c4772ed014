//! Both drivers under a scheduler that decides about every step.
//!
//! A schedule that fails is printed with what replays it. The environment variable `SCHEDULES` sets how many
//! are tried.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use nsemail_contract::{
    LookupFlags, Operation, SetFlags, WsaCode, ioctl,
    wire::{BeginReply, EmptyRequest, EndRequest, NextRequest, REPLY_HEADER, Reply, SetReply},
};
use nsemail_embedded::{Embedded, Options};
use nt_sim::{
    io::{Access, Completion, FileHandle, Identity, Process},
    scheduler::Controlled,
};
use scenarios::{
    kernel::Driver,
    program::{change, message, name, question},
};

const NAME: &str = "alice@example.com";
const OK: u32 = WsaCode::NO_ERROR.0;
const NOT_FOUND: u32 = WsaCode::WSASERVICE_NOT_FOUND.0;

/// A machine of one schedule, with both drivers running and both providers attached.
fn booted() -> Embedded {
    let options = Options::new()
        .scheduler(Controlled::new())
        .machine(|machine| machine.seed(1).trace_capacity(0));
    Embedded::boot(options).expect("both drivers start")
}

fn open(machine: &Embedded) -> FileHandle {
    open_in(&machine.process(Identity::Administrator))
}

fn open_in(process: &Process) -> FileHandle {
    process
        .open(r"\\.\NsEmail", Access::READ_WRITE)
        .expect("an administrator opens the device")
}

fn code_of(completion: &Completion) -> WsaCode {
    Reply::parse(&completion.data).expect("a sound reply").code
}

fn register(file: &FileHandle, who: &str) -> WsaCode {
    let request = change(
        Operation::Register,
        SetFlags::empty(),
        &name(who, &["192.0.2.7:25"]),
    );
    code_of(&file.call(ioctl::SET_SERVICE, &request, SetReply::SIZE))
}

fn look_up(file: &FileHandle, who: &str) -> WsaCode {
    code_of(&file.call(ioctl::LOOKUP, &question(who, LookupFlags::RETURN_ALL), 4096))
}

/// The pairs of answers to a registration and to a look-up of the same name, over all schedules.
type Seen = Arc<Mutex<BTreeSet<(u32, u32)>>>;

/// How a program leaves the device.
#[derive(Clone, Copy)]
enum Ending {
    /// It closes its handle.
    Close,
    /// Its process is killed with the handle open.
    Kill,
}

/// Two programs, each with a name of its own; if `stopping`, the provider driver is stopped under them.
fn two_programs(stopping: bool, seen: &Seen) {
    let machine = booted();
    let programs = [
        ("alice@example.com", Ending::Close),
        ("bob@example.net", Ending::Kill),
    ]
    .map(|(name, ending)| {
        let process = machine.process(Identity::Administrator);
        shuttle::thread::spawn(move || {
            let file = open_in(&process);
            let answers = (register(&file, name), look_up(&file, name));
            match ending {
                Ending::Close => file.close(),
                Ending::Kill => process.kill(),
            }
            answers
        })
    });
    if stopping {
        machine
            .stop(Driver::Provider.service())
            .expect("the provider driver stops");
    }
    for program in programs {
        let (registered, found) = program.join().expect("the program ends well");
        // What was found was registered before.
        let pair = (registered.0, found.0);
        assert!(
            [(OK, OK), (OK, NOT_FOUND), (NOT_FOUND, NOT_FOUND)].contains(&pair),
            "registration: {registered}, look-up: {found}"
        );
        seen.lock().expect("no panic before").insert(pair);
    }
    let host = machine.machine().clone();
    machine.shutdown().assert_clean();
    assert_eq!(host.pool_usage().blocks, 0, "all pool is freed");
}

fn a_registration_against_its_cancellation_and_the_end_of_its_handle() {
    let machine = booted();
    let file = open(&machine);
    let request = change(
        Operation::Register,
        SetFlags::empty(),
        &name(NAME, &["192.0.2.7:25"]),
    );
    let call = file.submit(ioctl::SET_SERVICE, &request, SetReply::SIZE);
    let canceller = shuttle::thread::spawn(move || {
        call.cancel();
        let code = code_of(&call.wait());
        assert!(
            [WsaCode::NO_ERROR, WsaCode::WSA_E_CANCELLED].contains(&code),
            "{code}"
        );
    });
    file.close();
    canceller.join().expect("the program ends well");
    machine.shutdown().assert_clean();
}

fn two_threads_begin_a_session_while_one_ends_it() {
    let machine = booted();
    let file = Arc::new(open(&machine));
    let programs: Vec<_> = (0..2)
        .map(|_| {
            let file = Arc::clone(&file);
            shuttle::thread::spawn(move || assert_eq!(register(&file, NAME), WsaCode::NO_ERROR))
        })
        .collect();
    let end = message(|out| EmptyRequest.write(out));
    let ended = file.call(ioctl::END_SESSION, &end, REPLY_HEADER);
    assert_eq!(code_of(&ended), WsaCode::NO_ERROR);
    for program in programs {
        program.join().expect("the program ends well");
    }
    assert_eq!(look_up(&file, NAME), WsaCode::NO_ERROR);
    drop(file);
    machine.shutdown().assert_clean();
}

fn a_look_up_is_read_by_two_threads_and_ended_by_a_third() {
    let machine = booted();
    let file = Arc::new(open(&machine));
    assert_eq!(register(&file, NAME), WsaCode::NO_ERROR);
    let begun = file.call(
        ioctl::LOOKUP_BEGIN,
        &question(NAME, LookupFlags::RETURN_ALL),
        BeginReply::SIZE,
    );
    let reply = Reply::parse(&begun.data).expect("a sound reply");
    let lookup = BeginReply::read(&reply).expect("a look-up").lookup;
    let next = message(|out| {
        let flags = LookupFlags::empty();
        NextRequest { lookup, flags }.write(out)
    });
    let readers = [(); 2].map(|()| {
        let (file, next) = (Arc::clone(&file), next.clone());
        shuttle::thread::spawn(move || code_of(&file.call(ioctl::LOOKUP_NEXT, &next, 4096)))
    });
    let end = message(|out| EndRequest { lookup }.write(out));
    assert_eq!(
        code_of(&file.call(ioctl::LOOKUP_END, &end, REPLY_HEADER)),
        WsaCode::NO_ERROR
    );
    let codes = readers.map(|reader| reader.join().expect("an answer"));
    let ends = [
        WsaCode::NO_ERROR,
        WsaCode::WSA_E_NO_MORE,
        WsaCode::WSA_E_CANCELLED,
        WsaCode::WSA_INVALID_HANDLE,
    ];
    assert!(codes.iter().all(|code| ends.contains(code)), "{codes:?}");
    assert!(
        codes.iter().filter(|code| code.is_success()).count() <= 1,
        "one record came twice"
    );
    drop(file);
    machine.shutdown().assert_clean();
}

fn the_drivers_start_and_stop_beside_each_other_under_a_program() {
    let machine = booted();
    let program = {
        let file = open(&machine);
        shuttle::thread::spawn(move || {
            let found = look_up(&file, NAME);
            assert_eq!(found, WsaCode::WSASERVICE_NOT_FOUND);
        })
    };
    let other = machine.machine().clone();
    let stopper = shuttle::thread::spawn(move || {
        other
            .stop(Driver::Client.service())
            .expect("the client driver stops");
        other.wait_until_stopped(Driver::Client.service());
        other
            .start(Driver::Client.service())
            .expect("the client driver starts");
    });
    machine
        .stop(Driver::Provider.service())
        .expect("the provider driver stops");
    machine
        .start(Driver::Provider.service())
        .expect("the provider driver starts");
    program.join().expect("the program ends well");
    stopper.join().expect("the client driver is back");
    machine.wait_until_ready();
    let file = open(&machine);
    assert_eq!(register(&file, NAME), WsaCode::NO_ERROR);
    assert_eq!(look_up(&file, NAME), WsaCode::NO_ERROR);
    drop(file);
    machine.shutdown().assert_clean();
}

/// Tries that many schedules of both kinds: any, and those in which threads are rarely preempted.
fn check(schedules: impl Fn() + Send + Sync + 'static) {
    let count = std::env::var("SCHEDULES")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(25);
    let schedules = Arc::new(schedules);
    let again = Arc::clone(&schedules);
    shuttle::check_random(move || schedules(), count);
    shuttle::check_pct(move || again(), count, 3);
}

#[test]
fn in_every_schedule_what_was_registered_is_found() {
    let seen = Seen::default();
    let seeing = Arc::clone(&seen);
    check(move || two_programs(false, &seeing));
    assert_eq!(*seen.lock().expect("no panic before"), BTreeSet::from([(OK, OK)]));
}

#[test]
fn in_every_schedule_programs_are_answered_while_the_provider_stops() {
    let seen = Seen::default();
    let seeing = Arc::clone(&seen);
    check(move || two_programs(true, &seeing));
    let seen = seen.lock().expect("no panic before").len();
    assert!(seen > 1, "the schedules are all alike");
}

#[test]
fn no_schedule_breaks_a_registration_that_is_cancelled_and_closed() {
    check(a_registration_against_its_cancellation_and_the_end_of_its_handle);
}

#[test]
fn no_schedule_breaks_the_beginning_and_the_end_of_a_session() {
    check(two_threads_begin_a_session_while_one_ends_it);
}

#[test]
fn no_schedule_breaks_a_look_up_that_threads_share() {
    check(a_look_up_is_read_by_two_threads_and_ended_by_a_third);
}

#[test]
fn no_schedule_breaks_drivers_that_come_and_go() {
    check(the_drivers_start_and_stop_beside_each_other_under_a_program);
}
