//! Both drivers on a simulated machine, with programs, stops and kills beside each other.

mod watched;

use std::sync::Arc;

use nsemail_contract::{
    LookupFlags, Operation, SetFlags, WsaCode, ioctl,
    wire::{
        BeginReply, CounterKind, CountersReply, EmptyRequest, EndRequest, NextRequest, REPLY_HEADER, Reply,
        SetReply,
    },
};
use nsemail_embedded::{Embedded, Options};
use nt_sim::{
    io::{Access, Completion, FileHandle, Identity, Process},
    trace::Event,
};
use scenarios::{
    kernel::Driver,
    program::{change, message, name, question},
};

use crate::{Subject, Witness};
pub(crate) use watched::Watched;

const NAME: &str = "alice@example.com";
const OK: u32 = WsaCode::NO_ERROR.0;
const NOT_FOUND: u32 = WsaCode::WSASERVICE_NOT_FOUND.0;

/// A machine of one schedule, with both drivers running and both providers attached.
fn booted(witness: &Arc<Witness>) -> Embedded {
    let options = Options::new()
        .scheduler(Watched::new(witness))
        .machine(|machine| machine.seed(1).trace_capacity(0));
    let machine = Embedded::boot(options).expect("both drivers start");
    if witness.keeps_timeline() {
        let witness = Arc::clone(witness);
        let note = move |event: &Event| {
            let thread = event.thread.map_or(0, |thread| thread.0);
            witness.note(|| format!("thread {thread}: {}", event.kind));
        };
        machine.machine().trace().subscribe(Arc::new(note));
    }
    machine
}

/// Ends the machine: no rule was broken, and nothing is left of either driver.
fn shut_down(machine: Embedded) {
    let host = machine.machine().clone();
    machine.shutdown().assert_clean();
    assert_eq!(host.pool_usage().blocks, 0, "all pool is freed");
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

fn register(file: &FileHandle, who: &str, flags: SetFlags) -> WsaCode {
    let request = change(Operation::Register, flags, &name(who, &["192.0.2.7:25"]));
    code_of(&file.call(ioctl::SET_SERVICE, &request, SetReply::SIZE))
}

fn look_up(file: &FileHandle, who: &str) -> WsaCode {
    code_of(&file.call(ioctl::LOOKUP, &question(who, LookupFlags::RETURN_ALL), 4096))
}

/// How a program leaves the device.
#[derive(Clone, Copy)]
enum Ending {
    /// It closes its handle.
    Close,
    /// Its process is killed with the handle open.
    Kill,
}

/// Two programs, each with a name of its own; if `stopping`, the provider driver is stopped under them.
fn two_programs(stopping: bool, witness: &Arc<Witness>) {
    let machine = booted(witness);
    let programs = [
        ("alice@example.com", SetFlags::CALLER_WAITS, Ending::Close),
        ("bob@example.net", SetFlags::empty(), Ending::Kill),
    ]
    .map(|(name, flags, ending)| {
        let process = machine.process(Identity::Administrator);
        shuttle::thread::spawn(move || {
            let file = open_in(&process);
            let answers = (register(&file, name, flags), look_up(&file, name));
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
        witness.reach(match pair {
            (OK, OK) => "a name is registered and found",
            (OK, _) => "a name is registered, and its provider is gone before it is looked up",
            _ => "the provider is gone before the name is registered",
        });
    }
    shut_down(machine);
}

fn programs(witness: &Arc<Witness>) {
    two_programs(false, witness);
}

fn programs_while_stopping(witness: &Arc<Witness>) {
    two_programs(true, witness);
}

/// A registration against its cancellation and the end of its handle.
fn cancellation(witness: &Arc<Witness>) {
    let machine = booted(witness);
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
        code
    });
    file.close();
    let code = canceller.join().expect("the program ends well");
    witness.reach(if code.is_success() {
        "the registration is faster than its cancellation"
    } else {
        "the cancellation is faster than the registration"
    });
    shut_down(machine);
}

/// Two threads begin a session while one ends it.
fn session(witness: &Arc<Witness>) {
    let machine = booted(witness);
    let file = Arc::new(open(&machine));
    let programs: Vec<_> = (0..2)
        .map(|_| {
            let file = Arc::clone(&file);
            shuttle::thread::spawn(move || {
                let code = register(&file, NAME, SetFlags::CALLER_WAITS);
                assert_eq!(code, WsaCode::NO_ERROR);
            })
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
    shut_down(machine);
}

/// Programs that wait make their changes durable by themselves, beside one that does not wait, whose change is the
/// journal thread's.
fn leading(witness: &Arc<Witness>) {
    let machine = booted(witness);
    let provider = machine
        .process(Identity::Administrator)
        .open(r"\\.\NsEmailProvider", Access::READ)
        .expect("an administrator opens the device");
    let before = counted(&provider, CounterKind::LOG_FLUSHES);
    let programs = [
        ("alice@example.com", SetFlags::CALLER_WAITS),
        ("bob@example.com", SetFlags::CALLER_WAITS),
        ("carol@example.com", SetFlags::empty()),
    ]
    .map(|(who, flags)| {
        let file = open(&machine);
        shuttle::thread::spawn(move || {
            let request = change(Operation::Register, flags, &name(who, &["192.0.2.7:25"]));
            let call = file.submit(ioctl::SET_SERVICE, &request, SetReply::SIZE);
            let at_once = call.is_complete();
            assert_eq!(code_of(&call.wait()), WsaCode::NO_ERROR);
            assert_eq!(look_up(&file, who), WsaCode::NO_ERROR);
            at_once
        })
    });
    let at_once = programs.map(|program| program.join().expect("the program ends well"));
    let flushes = counted(&provider, CounterKind::LOG_FLUSHES) - before;
    assert!((1..=3).contains(&flushes), "{flushes} flushes for three changes");
    assert!(
        matches!(at_once, [true, true, _]),
        "who waits does so in its call"
    );
    witness.reach(if flushes < 3 {
        "changes share a flush"
    } else {
        "each change has its own flush"
    });
    drop(provider);
    shut_down(machine);
}

/// A look up is read by two threads and ended by a third.
fn shared_look_up(witness: &Arc<Witness>) {
    let machine = booted(witness);
    let file = Arc::new(open(&machine));
    assert_eq!(register(&file, NAME, SetFlags::empty()), WsaCode::NO_ERROR);
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
    let read = codes.iter().filter(|code| code.is_success()).count();
    assert!(read <= 1, "one record came twice");
    witness.reach(if read == 1 {
        "the record is read"
    } else {
        "the look-up ends before the record is read"
    });
    drop(file);
    shut_down(machine);
}

/// The drivers start and stop beside each other under a program.
fn coming_and_going(witness: &Arc<Witness>) {
    let machine = booted(witness);
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
    assert_eq!(register(&file, NAME, SetFlags::empty()), WsaCode::NO_ERROR);
    assert_eq!(look_up(&file, NAME), WsaCode::NO_ERROR);
    drop(file);
    shut_down(machine);
}

/// What a driver has counted.
fn counted(file: &FileHandle, kind: CounterKind) -> u64 {
    let request = message(|out| EmptyRequest.write(out));
    let completion = file.call(ioctl::STATISTICS, &request, 4096);
    let reply = Reply::parse(&completion.data).expect("a sound reply");
    let counters = CountersReply::read(&reply).expect("counters");
    counters
        .counters()
        .map(|counter| counter.expect("a sound counter"))
        .filter(|counter| counter.kind == kind)
        .map(|counter| counter.value)
        .sum()
}

/// Whoever has an answer finds nothing of the call any more, whichever thread of the driver gave it.
fn answered_calls(witness: &Arc<Witness>) {
    let machine = booted(witness);
    let file = open(&machine);
    assert_eq!(register(&file, NAME, SetFlags::empty()), WsaCode::NO_ERROR);
    assert_eq!(counted(&file, CounterKind::CALLS), 0, "after a registration");
    assert_eq!(look_up(&file, NAME), WsaCode::NO_ERROR);
    assert_eq!(counted(&file, CounterKind::CALLS), 0, "after a look-up");
    drop(file);
    shut_down(machine);
}

/// All that is run with both drivers.
pub const SUBJECTS: &[Subject] = &[
    Subject {
        name: "programs",
        body: programs,
        reaches: &["a name is registered and found"],
    },
    Subject {
        name: "programs-while-stopping",
        body: programs_while_stopping,
        reaches: &[
            "a name is registered and found",
            "a name is registered, and its provider is gone before it is looked up",
        ],
    },
    Subject {
        name: "cancellation",
        body: cancellation,
        reaches: &["the cancellation is faster than the registration"],
    },
    Subject {
        name: "session",
        body: session,
        reaches: &[],
    },
    Subject {
        name: "leading",
        body: leading,
        reaches: &["changes share a flush", "each change has its own flush"],
    },
    Subject {
        name: "shared-look-up",
        body: shared_look_up,
        reaches: &["the record is read"],
    },
    Subject {
        name: "coming-and-going",
        body: coming_and_going,
        reaches: &[],
    },
    Subject {
        name: "answered-calls",
        body: answered_calls,
        reaches: &[],
    },
];
