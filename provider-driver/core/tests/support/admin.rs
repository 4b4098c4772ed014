//! What an administrator sees of the driver, and the files that it keeps.

use nsemail_contract::guid::Guid;
use nsemail_contract::ids;
use nsemail_contract::ioctl;
use nsemail_contract::wire::{
    CounterKind, CountersReply, EmptyRequest, EventKind, EventsReply, EventsRequest, HostedReply,
    HostedState, Reply,
};
use nt_sim::Machine;
use nt_sim::io::{Access, FileHandle, Identity};

use super::PROVIDER;

pub const DATA: &str = r"\SystemRoot\System32\drivers\DriverData\nsemail_provider";

/// The path of a journal file.
pub fn journal(provider: Guid, number: u8) -> String {
    format!(r"{DATA}\{provider}-{number}.journal")
}

fn open(machine: &Machine) -> FileHandle {
    let administrator = machine.process(Identity::Administrator);
    administrator.open(ids::PROVIDER_PATH, Access::READ).unwrap()
}

/// The events of the default provider: kind and first number.
pub fn events(machine: &Machine) -> Vec<(EventKind, u64)> {
    let handle = open(machine);
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

/// Waits until the default provider is no longer being loaded, or was left out.
pub fn state(machine: &Machine) -> HostedState {
    let handle = open(machine);
    let state = loop {
        let reply = handle.call(ioctl::HOSTED, &[8, 0, 0, 0, 1, 0, 0, 0], 4096).data;
        let hosted = HostedReply::read(&Reply::parse(&reply).unwrap()).unwrap();
        let ours = hosted
            .hosted()
            .map(Result::unwrap)
            .find(|hosted| hosted.provider == PROVIDER);
        match ours.map(|hosted| hosted.state) {
            None if events(machine)
                .iter()
                .any(|(kind, _)| *kind == EventKind::ENTRY_SKIPPED) =>
            {
                break HostedState::Failed;
            }
            None | Some(HostedState::Loading) => std::thread::yield_now(),
            Some(state) => break state,
        }
    };
    handle.close_and_wait();
    state
}

/// What the driver has counted of that kind.
pub fn counted(machine: &Machine, kind: CounterKind) -> u64 {
    let handle = open(machine);
    let mut request = [0; 16];
    let size = EmptyRequest.write(&mut request).unwrap();
    let reply = handle.call(ioctl::STATISTICS, &request[..size], 1 << 16).data;
    let counters = CountersReply::read(&Reply::parse(&reply).unwrap()).unwrap();
    let of_kind = counters
        .counters()
        .map(Result::unwrap)
        .filter(|counter| counter.kind == kind);
    let sum = of_kind.map(|counter| counter.value).sum();
    handle.close_and_wait();
    sum
}
