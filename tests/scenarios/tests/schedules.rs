//! Both drivers under a scheduler that decides about every step.
//!
//! A schedule that fails is printed with what replays it. The environment variable `SCHEDULES` sets how many
//! are tried.

use std::sync::Arc;

use nsemail_contract::{
    LookupFlags, Operation, SetFlags, WsaCode, ioctl,
    wire::{BeginReply, EmptyRequest, EndRequest, NextRequest, REPLY_HEADER, Reply, SetReply},
};
use nsemail_embedded::{Embedded, Options};
use nt_sim::{
    io::{Access, Completion, FileHandle, Identity},
    scheduler::Controlled,
};
use scenarios::{
    kernel::Driver,
    program::{change, message, name, question},
};

const NAME: &str = "alice@example.com";

/// A machine of one schedule, with both drivers running and both providers attached.
fn booted() -> Embedded {
    let options = Options::new()
        .scheduler(Controlled::new())
        .machine(|machine| machine.seed(1).trace_capacity(0));
    Embedded::boot(options).expect("both drivers start")
}

fn open(machine: &Embedded) -> FileHandle {
    machine
        .process(Identity::Administrator)
        .open(r"\\.\NsEmail", Access::READ_WRITE)
        .expect("an administrator opens the device")
}

fn code_of(completion: &Completion) -> WsaCode {
    Reply::parse(&completion.data).expect("a sound reply").code
}

fn register(file: &FileHandle) -> WsaCode {
    let request = change(
        Operation::Register,
        SetFlags::empty(),
        &name(NAME, &["192.0.2.7:25"]),
    );
    code_of(&file.call(ioctl::SET_SERVICE, &request, SetReply::SIZE))
}

fn look_up(file: &FileHandle) -> WsaCode {
    code_of(&file.call(ioctl::LOOKUP, &question(NAME, LookupFlags::RETURN_ALL), 4096))
}

fn a_registration_and_a_look_up_against_a_stop_of_the_provider() {
    let machine = booted();
    let file = Arc::new(open(&machine));
    let program = {
        let file = Arc::clone(&file);
        shuttle::thread::spawn(move || {
            let registered = register(&file);
            let found = look_up(&file);
            let not_found = WsaCode::WSASERVICE_NOT_FOUND;
            assert!(
                matches!(
                    (registered, found),
                    (
                        WsaCode::NO_ERROR,
                        WsaCode::NO_ERROR | WsaCode::WSASERVICE_NOT_FOUND
                    )
                ) || (registered, found) == (not_found, not_found),
                "registration: {registered}, look-up: {found}"
            );
        })
    };
    machine
        .stop(Driver::Provider.service())
        .expect("the provider driver stops");
    program.join().expect("the program ends well");
    drop(file);
    machine.shutdown().assert_clean();
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
            shuttle::thread::spawn(move || assert_eq!(register(&file), WsaCode::NO_ERROR))
        })
        .collect();
    let end = message(|out| EmptyRequest.write(out));
    let ended = file.call(ioctl::END_SESSION, &end, REPLY_HEADER);
    assert_eq!(code_of(&ended), WsaCode::NO_ERROR);
    for program in programs {
        program.join().expect("the program ends well");
    }
    assert_eq!(look_up(&file), WsaCode::NO_ERROR);
    drop(file);
    machine.shutdown().assert_clean();
}

fn a_look_up_is_read_by_two_threads_and_ended_by_a_third() {
    let machine = booted();
    let file = Arc::new(open(&machine));
    assert_eq!(register(&file), WsaCode::NO_ERROR);
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
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (file, next) = (Arc::clone(&file), next.clone());
            shuttle::thread::spawn(move || code_of(&file.call(ioctl::LOOKUP_NEXT, &next, 4096)))
        })
        .collect();
    let end = message(|out| EndRequest { lookup }.write(out));
    assert_eq!(
        code_of(&file.call(ioctl::LOOKUP_END, &end, REPLY_HEADER)),
        WsaCode::NO_ERROR
    );
    let codes: Vec<_> = readers
        .into_iter()
        .map(|reader| reader.join().expect("an answer"))
        .collect();
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
            let found = look_up(&file);
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
    assert_eq!(register(&file), WsaCode::NO_ERROR);
    assert_eq!(look_up(&file), WsaCode::NO_ERROR);
    drop(file);
    machine.shutdown().assert_clean();
}

/// Tries that many schedules of both kinds: any, and those in which threads are rarely preempted.
fn check(schedules: fn()) {
    let count = std::env::var("SCHEDULES")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(25);
    shuttle::check_random(schedules, count);
    shuttle::check_pct(schedules, count, 3);
}

#[test]
fn no_schedule_breaks_a_registration_and_a_look_up_while_the_provider_stops() {
    check(a_registration_and_a_look_up_against_a_stop_of_the_provider);
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
