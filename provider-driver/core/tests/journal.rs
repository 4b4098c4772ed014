//! What the driver makes of the journal files that it finds.

mod support;

use std::time::{Duration, Instant};

use nsemail_contract::codes::WsaCode;
use nsemail_contract::limits;
use nsemail_contract::queryset::QuerySet;
use nsemail_contract::text::Text;
use nsemail_contract::wire::{EventKind, HostedState};
use nsemail_provider_core::journal::inspect::inspect;
use nt_sim::Machine;
use support::admin::{events, journal, state};
use support::*;

const ADDRESS: &str = "192.0.2.1:1";

/// A machine whose default provider has these names in its journal, in as many frames, and is stopped.
fn machine_with(names: &[&str]) -> Machine {
    let machine = started();
    let (caller, session) = client(&machine);
    for name in names {
        session.set(REGISTER, 0, name, &[ADDRESS]).unwrap();
    }
    caller.deregister();
    machine.stop(SERVICE).unwrap();
    machine
}

/// Starts the driver again, and says which of the names are there.
fn found(machine: &Machine, names: &[&str]) -> Vec<bool> {
    machine.start(SERVICE).unwrap();
    let caller = Caller::register(machine);
    let session = caller.provider(PROVIDER).session();
    let found = names.iter().map(|name| session.look_up(name).is_ok()).collect();
    caller.deregister();
    found
}

/// What is in a journal file of the default provider, without the space that is set aside behind it.
fn frames(machine: &Machine, number: u8) -> Vec<u8> {
    let mut bytes = machine.files().read(&journal(PROVIDER, number)).unwrap();
    let summary = inspect(&bytes, |_| {});
    assert_eq!(summary.end + summary.set_aside, bytes.len());
    bytes.truncate(summary.end);
    bytes
}

fn wait_until_gone(machine: &Machine, path: &str) {
    let start = Instant::now();
    while machine.files().exists(path) {
        assert!(start.elapsed() < Duration::from_mins(1), "{path} is still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let names = ["a@example.com", "b@example.com"];
    let machine = machine_with(&names);
    let path = journal(PROVIDER, 1);
    let whole = frames(&machine, 1);
    machine.files().write(&path, &whole[..whole.len() - 3]).unwrap();
    assert_eq!(found(&machine, &names), [true, false]);
    let events = events(&machine);
    let cut = events
        .iter()
        .find(|(kind, _)| *kind == EventKind::LOG_CUT)
        .unwrap();
    assert_eq!(machine.files().read(&path).unwrap().len() as u64, cut.1);
    stop(&machine);
}

#[test]
fn a_damaged_journal_is_not_loaded_and_stays_as_it_is_while_other_providers_serve() {
    let machine = machine_with(&["a@example.com", "b@example.com", "c@example.com"]);
    let path = journal(PROVIDER, 1);
    let mut damaged = frames(&machine, 1);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    machine.files().write(&path, &damaged).unwrap();
    machine.start(SERVICE).unwrap();
    assert_eq!(state(&machine), HostedState::Failed);
    let caller = Caller::register(&machine);
    let other = caller.provider(OTHER).session();
    other.set(REGISTER, 0, "a@example.com", &[ADDRESS]).unwrap();
    assert_eq!(caller.attached(), 1);
    let events = events(&machine);
    let (_, offset) = events
        .iter()
        .find(|(kind, _)| *kind == EventKind::LOAD_FAILED)
        .unwrap();
    assert!(
        *offset > 64 && *offset < damaged.len() as u64,
        "the event tells where: {offset}"
    );
    assert_eq!(machine.files().read(&path).unwrap(), damaged);
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_journal_of_another_provider_is_not_loaded() {
    let machine = machine_with(&["a@example.com"]);
    let foreign = machine.files().read(&journal(OTHER, 1)).unwrap();
    machine.files().write(&journal(PROVIDER, 1), &foreign).unwrap();
    machine.start(SERVICE).unwrap();
    assert_eq!(state(&machine), HostedState::Failed);
    stop(&machine);
}

#[test]
fn a_journal_that_is_mostly_past_is_written_anew_while_it_is_used() {
    let machine = started();
    let (caller, session) = client(&machine);
    session.set(REGISTER, 0, "gone@example.com", &[]).unwrap();
    session.set(DELETE, 0, "gone@example.com", &[]).unwrap();
    let hold = machine.hold_file(nt_sim::files::Operation::FlushFile, "-0.journal");
    for round in 0..60_u8 {
        let blob = vec![round; limits::BLOB];
        let form = Form::new(&QuerySet {
            name: Some(Text::from_str("bob@example.com").unwrap()),
            blob: Some(&blob),
            ..QuerySet::default()
        });
        // SAFETY: the form is valid.
        let call = unsafe { session.set_raw(form.as_ptr(), REGISTER, 0) };
        let completion = call.unwrap().unwrap();
        while !completion.is_there() && !hold.is_reached() {
            std::thread::yield_now();
        }
        if hold.is_reached() {
            // The thread is at the next generation, and readers do not wait for it.
            assert!(session.look_up("bob@example.com").is_ok());
            break;
        }
        completion.wait().unwrap();
    }
    assert!(hold.is_reached(), "4 MiB of journal for 64 KiB of records");
    let before = frames(&machine, 1).len();
    hold.release();
    wait_until_gone(&machine, &journal(PROVIDER, 1));
    session.set(REGISTER, 0, "eve@example.com", &[ADDRESS]).unwrap();
    let after = frames(&machine, 0).len();
    assert!(after * 5 < before, "{before} to {after}");
    let compacted = |(kind, _): &&(EventKind, u64)| *kind == EventKind::LOG_COMPACTED;
    assert_eq!(events(&machine).iter().filter(compacted).count(), 1);
    caller.deregister();
    machine.stop(SERVICE).unwrap();
    let names = ["bob@example.com", "gone@example.com", "eve@example.com"];
    assert_eq!(found(&machine, &names), [true, false, true]);
    stop(&machine);
}

#[test]
fn the_rule_for_writing_a_journal_anew_is_configurable_and_kept_at_start() {
    let names: Vec<String> = (0..60).map(|number| format!("n{number}@example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let machine = machine_with(&names);
    let before = frames(&machine, 1).len();
    set_parameter(&machine, "CompactionSlackKilobytes", 1);
    set_parameter(&machine, "CompactionPercent", 110);
    assert_eq!(found(&machine, &names), [true; 60]);
    wait_until_gone(&machine, &journal(PROVIDER, 1));
    // What is gone is the frames: all records are in one.
    let after = frames(&machine, 0).len();
    assert!(after + 59 * 32 <= before, "{before} to {after}");
    machine.stop(SERVICE).unwrap();
    assert_eq!(found(&machine, &names), [true; 60]);
    stop(&machine);
}

#[test]
fn without_durability_changes_are_flushed_when_the_driver_stops() {
    let machine = installed();
    set_parameter(&machine, "Durability", 0);
    machine.start(SERVICE).unwrap();
    // Nothing is flushed for a change: one that waited for it would never end.
    let (caller, session) = client(&machine);
    let hold = machine.hold(nt_sim::files::Operation::FlushFile);
    session.set(REGISTER, 0, "bob@example.com", &[ADDRESS]).unwrap();
    assert!(!hold.is_reached());
    assert_eq!(
        session.look_up("eve@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    hold.release();
    caller.deregister();
    machine.stop(SERVICE).unwrap();
    assert_eq!(found(&machine, &["bob@example.com"]), [true]);
    stop(&machine);
}
