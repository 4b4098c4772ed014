//! What the driver makes of the journal files that it finds.

mod support;

use nsemail_contract::codes::WsaCode;
use nsemail_contract::guid::Guid;
use nsemail_contract::ids;
use nsemail_contract::ioctl;
use nsemail_contract::limits;
use nsemail_contract::queryset::QuerySet;
use nsemail_contract::text::Text;
use nsemail_contract::wire::{EventKind, EventsReply, EventsRequest, HostedReply, HostedState, Reply};
use nt_sim::Machine;
use nt_sim::io::{Access, Identity};
use support::*;

const DATA: &str = r"\SystemRoot\System32\drivers\DriverData\nsemail_provider";
const ADDRESS: &str = "192.0.2.1:1";

fn journal(provider: Guid, number: u8) -> String {
    format!(r"{DATA}\{provider}-{number}.journal")
}

/// A machine whose default provider has these names in its journal, in as many frames, and is stopped.
fn machine_with(names: &[&str]) -> Machine {
    let machine = started();
    let caller = Caller::register(&machine);
    let session = caller.provider(PROVIDER).session();
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

/// The events of the default provider: kind and first number.
fn events(machine: &Machine) -> Vec<(EventKind, u64)> {
    let handle = machine
        .process(Identity::Administrator)
        .open(ids::PROVIDER_PATH, Access::READ)
        .unwrap();
    let mut request = [0; 16];
    let size = EventsRequest { after: 0 }.write(&mut request).unwrap();
    let reply = handle.call(ioctl::EVENTS, &request[..size], 1 << 16).data;
    let events = EventsReply::read(&Reply::parse(&reply).unwrap()).unwrap();
    let ours = events
        .events()
        .map(Result::unwrap)
        .filter(|event| event.subject == PROVIDER);
    let events = ours.map(|event| (event.kind, event.numbers[0])).collect();
    handle.close_and_wait();
    events
}

/// Waits until the default provider is no longer being loaded.
fn state(machine: &Machine) -> HostedState {
    let handle = machine
        .process(Identity::Administrator)
        .open(ids::PROVIDER_PATH, Access::READ)
        .unwrap();
    let state = loop {
        let reply = handle.call(ioctl::HOSTED, &[8, 0, 0, 0, 1, 0, 0, 0], 4096).data;
        let hosted = HostedReply::read(&Reply::parse(&reply).unwrap()).unwrap();
        let ours = hosted
            .hosted()
            .map(Result::unwrap)
            .find(|hosted| hosted.provider == PROVIDER);
        match ours.map(|hosted| hosted.state) {
            None | Some(HostedState::Loading) => std::thread::yield_now(),
            Some(state) => break state,
        }
    };
    handle.close_and_wait();
    state
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let names = ["a@example.com", "b@example.com"];
    let machine = machine_with(&names);
    let path = journal(PROVIDER, 1);
    let whole = machine.files().read(&path).unwrap();
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
    let mut damaged = machine.files().read(&path).unwrap();
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
fn a_journal_that_is_mostly_past_is_written_anew_when_it_is_loaded() {
    let machine = started();
    let caller = Caller::register(&machine);
    let session = caller.provider(PROVIDER).session();
    for round in 0..60_u8 {
        let blob = vec![round; limits::BLOB];
        let form = Form::new(&QuerySet {
            name: Some(Text::from_str("bob@example.com").unwrap()),
            blob: Some(&blob),
            ..QuerySet::default()
        });
        // SAFETY: the form is valid.
        let call = unsafe { session.set_raw(form.as_ptr(), REGISTER, 0) };
        call.unwrap().unwrap().wait().unwrap();
    }
    session.set(REGISTER, 0, "gone@example.com", &[]).unwrap();
    session.set(DELETE, 0, "gone@example.com", &[]).unwrap();
    caller.deregister();
    machine.stop(SERVICE).unwrap();
    let before = machine.files().read(&journal(PROVIDER, 1)).unwrap().len();
    assert_eq!(
        found(&machine, &["bob@example.com", "gone@example.com"]),
        [true, false]
    );
    assert!(!machine.files().exists(&journal(PROVIDER, 1)));
    let after = machine.files().read(&journal(PROVIDER, 0)).unwrap().len();
    assert!(after * 50 < before, "{before} to {after}");
    machine.stop(SERVICE).unwrap();
    assert_eq!(
        found(&machine, &["bob@example.com", "gone@example.com"]),
        [true, false]
    );
    stop(&machine);
}

#[test]
fn without_durability_changes_are_flushed_when_the_driver_stops() {
    let machine = installed();
    set_parameter(&machine, "Durability", 0);
    machine.start(SERVICE).unwrap();
    // Nothing is flushed for a change: one that waited for it would never end.
    let caller = Caller::register(&machine);
    let session = caller.provider(PROVIDER).session();
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
