//! Everything at once: look-ups, changes, cancellations and dying processes on several threads, while providers that
//! answer at once or later come and go. Every call ends with an answer that makes sense, nothing leaks, no rule is
//! broken.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code"
)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nsemail_contract::dispatch::AsyncStatus;
use nsemail_contract::ids::CLIENT_SERVICE;
use nsemail_contract::{Operation, WsaCode};
use support::program::{Program, code};
use support::provider::{Accepted, Held, Module, primary, secondary};
use support::{PROVIDERS, Rig};

const ANN: &str = "ann@example.com";
const FOR: Duration = Duration::from_millis(1500);

type Later = Sender<(Accepted, WsaCode)>;

fn held() -> Held {
    Held {
        name: ANN.to_owned(),
        ..Held::default()
    }
}

/// A module of which every second call is completed by another thread.
fn sometimes_later(module: Module, later: &Later) -> Arc<Module> {
    let asked = Arc::new(AtomicU64::new(0));
    let (next, set) = (Mutex::new(later.clone()), Mutex::new(later.clone()));
    let counter = asked.clone();
    module
        .has(&[ANN])
        .on_next(move |call| {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            let code = if number.is_multiple_of(3) {
                WsaCode::WSA_E_NO_MORE
            } else {
                call.write(&held())
            };
            if number.is_multiple_of(2) && call.is_acceptable() {
                next.lock().unwrap().send((call, code)).unwrap();
                AsyncStatus::PENDING
            } else {
                code.into()
            }
        })
        .on_set(move |call, _| {
            if asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) && call.is_acceptable() {
                set.lock().unwrap().send((call, WsaCode::NO_ERROR)).unwrap();
                AsyncStatus::PENDING
            } else {
                WsaCode::NO_ERROR.into()
            }
        })
        .build()
}

/// Completes what was accepted, after a moment.
fn complete_later(calls: &Receiver<(Accepted, WsaCode)>) {
    for (index, (call, code)) in calls.iter().enumerate() {
        if index % 4 == 0 {
            std::thread::sleep(Duration::from_micros(300));
        }
        call.complete(code, 0);
    }
}

fn allowed(code: WsaCode) {
    let fine = [
        WsaCode::NO_ERROR,
        WsaCode::WSA_E_NO_MORE,
        WsaCode::WSASERVICE_NOT_FOUND,
        WsaCode::WSA_E_CANCELLED,
        WsaCode::WSA_INVALID_HANDLE,
    ];
    assert!(fine.contains(&code), "{code:?}");
}

/// One round of what a program may do.
fn round(program: &Program, number: u64) {
    let answered = |code: Result<(), WsaCode>| allowed(code.err().unwrap_or(WsaCode::NO_ERROR));
    match number % 6 {
        0 => answered(program.look_up(ANN).map(drop)),
        1 => {
            let lookup = program.begin(ANN);
            answered(lookup.map(drop));
            if let Ok(lookup) = lookup {
                let calls = [program.submit_next(lookup), program.submit_next(lookup)];
                calls[0].cancel();
                allowed(program.end(lookup));
                for call in calls {
                    allowed(code(&call.wait().data));
                }
            }
        }
        2 => {
            let call = program.submit_look_up(ANN);
            call.cancel();
            allowed(code(&call.wait().data));
        }
        3 => answered(program.set(Operation::Register, ANN).map(drop)),
        4 => {
            let call = program.submit_set(Operation::Delete, ANN);
            if number.is_multiple_of(4) {
                call.cancel();
            }
            allowed(code(&call.wait().data));
        }
        _ => allowed(program.end_session()),
    }
}

#[test]
fn programs_and_providers_come_and_go_under_traffic() {
    let (later, calls) = channel();
    let rig = Rig::installed(
        vec![
            sometimes_later(primary(1), &later),
            secondary(2).has(&[ANN]).build(),
        ],
        vec![sometimes_later(secondary(3), &later)],
    );
    drop(later);
    rig.machine.start(CLIENT_SERVICE).unwrap();
    let completer = std::thread::spawn(move || complete_later(&calls));
    let over = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for thread in 0..3_u64 {
        let (machine, over) = (rig.machine.clone(), over.clone());
        threads.push(std::thread::spawn(move || {
            let mut number = thread;
            while !over.load(Ordering::Relaxed) {
                let program = Program::open(&machine);
                for _ in 0..40 {
                    round(&program, number);
                    number += 1;
                }
                if thread == 0 {
                    // A process that dies with a call in flight.
                    let call = program.submit_look_up(ANN);
                    program.process.kill();
                    drop(call);
                }
            }
        }));
    }
    let started = Instant::now();
    while started.elapsed() < FOR {
        for service in PROVIDERS {
            rig.machine.start(service).unwrap();
        }
        std::thread::sleep(Duration::from_millis(15));
        for service in PROVIDERS {
            rig.stop(service);
        }
    }
    over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    rig.shutdown();
    completer.join().unwrap();
}
