//! When the namespace providers are there.
//!
//! The provider driver loads its stores on its own threads after it has started, and each provider
//! registers when it is loaded. Whoever wants to use one asks both drivers by their devices.

use nsemail_contract::{
    Guid, WsaCode, ids, ioctl,
    wire::{
        EmptyRequest, EventKind, EventsReply, EventsRequest, HostedReply, HostedState, ProviderFlags,
        ProvidersReply, Reply,
    },
};
use nt_sim::{
    Machine,
    io::{Access, FileHandle, Identity},
};

use crate::PROVIDER_PARAMETERS;

/// Room for a reply; there are few providers.
const ROOM: usize = 64 * 1024;

/// Waits until all providers of the provider driver's registry are registered, have failed, or were skipped, and tells
/// which of them do not answer look-ups now: they have not been loaded, or a client driver that runs has not attached
/// them.
pub(crate) fn wait(machine: &Machine) -> Vec<Guid> {
    let process = machine.process(Identity::System);
    let open = |path| process.open(path, Access::READ).ok();
    let Some(provider) = open(ids::PROVIDER_PATH) else {
        return Vec::new();
    };
    let client = open(ids::CLIENT_PATH);
    let expected = expected(machine);
    let entered = machine.enter();
    let missing = loop {
        match settled(&expected, &provider, client.as_ref()) {
            Some(Progress::Over(missing)) => break missing,
            Some(Progress::UnderWay) => machine.give_way(),
            None => break expected,
        }
    };
    drop(entered);
    missing
}

/// How far loading and attaching have come.
enum Progress {
    /// There is more to wait for.
    UnderWay,
    /// All is done; the providers that are missing.
    Over(Vec<Guid>),
}

/// Tells how far all is done that a wait waits for; `None` if a driver does not answer.
fn settled(expected: &[Guid], provider: &FileHandle, client: Option<&FileHandle>) -> Option<Progress> {
    let hosted = hosted(provider)?;
    let events = events(provider)?;
    let (skipped, registered) = (skipped(&events), registered(&events));
    let known = |guid: &Guid| {
        let hosted = hosted.iter().any(|(hosted, _)| hosted == guid);
        hosted || skipped.contains(guid) || skipped.contains(&Guid::NIL)
    };
    let under_way = |guid: &Guid, state| match state {
        HostedState::Loading => true,
        // Attaching is a part of registering.
        HostedState::Serving => !registered.contains(guid),
        HostedState::Failed | HostedState::Stopping => false,
    };
    if !expected.iter().all(known) || hosted.iter().any(|(guid, state)| under_way(guid, *state)) {
        return Some(Progress::UnderWay);
    }
    let attached = match client {
        Some(client) => attached(client)?,
        None => registered,
    };
    let serving = |guid: &Guid| {
        let serving = hosted
            .iter()
            .any(|(hosted, state)| hosted == guid && *state == HostedState::Serving);
        serving && attached.contains(guid)
    };
    let missing = expected.iter().filter(|guid| !serving(guid));
    Some(Progress::Over(missing.copied().collect()))
}

/// Returns the providers that the provider driver's parameters name and enable.
fn expected(machine: &Machine) -> Vec<Guid> {
    let registry = machine.registry();
    let path = format!(r"{PROVIDER_PARAMETERS}\Providers");
    let names = registry
        .open_key(None, &path)
        .and_then(|key| registry.subkeys(key));
    let enabled = |name: &String| {
        let enabled = registry.get(&format!(r"{path}\{name}"), "Enabled");
        enabled.and_then(|enabled| enabled.as_dword()).unwrap_or(0) != 0
    };
    let names = names.unwrap_or_default().into_iter().filter(enabled);
    names.filter_map(|name| name.parse().ok()).collect()
}

/// Sends a request without content.
fn ask<R>(file: &FileHandle, code: u32, read: impl FnOnce(&Reply<'_>) -> Option<R>) -> Option<R> {
    let mut request = [0; 64];
    let size = EmptyRequest.write(&mut request).ok()?;
    ask_with(file, code, request.get(..size)?, read)
}

fn ask_with<R>(
    file: &FileHandle,
    code: u32,
    request: &[u8],
    read: impl FnOnce(&Reply<'_>) -> Option<R>,
) -> Option<R> {
    // A driver that was out of memory may have some now.
    let answers = (0..2).map(|_| file.call(code, request, ROOM).data);
    let good = |answer: &Vec<u8>| Reply::parse(answer).is_ok_and(|reply| reply.code == WsaCode::NO_ERROR);
    let answer = answers.into_iter().find(good)?;
    read(&Reply::parse(&answer).ok()?)
}

fn hosted(file: &FileHandle) -> Option<Vec<(Guid, HostedState)>> {
    ask(file, ioctl::HOSTED, |reply| {
        let entries = HostedReply::read(reply).ok()?;
        entries
            .hosted()
            .map(|entry| entry.ok().map(|entry| (entry.provider, entry.state)))
            .collect()
    })
}

/// What an event says: its kind, its subject, its numbers.
type Happened = (EventKind, Guid, [u64; 2]);

/// Returns the subjects of the events about entries that were skipped; nil if it was all of them. A key
/// that is not named by a GUID is no entry, and its event has no status.
fn skipped(events: &[Happened]) -> Vec<Guid> {
    let skipped = events.iter().filter(|(kind, subject, numbers)| {
        *kind == EventKind::ENTRY_SKIPPED && (!subject.is_nil() || *numbers != [0; 2])
    });
    skipped.map(|(_, subject, _)| *subject).collect()
}

/// Returns the providers that were registered.
fn registered(events: &[Happened]) -> Vec<Guid> {
    let registered = events.iter().filter(|(kind, ..)| *kind == EventKind::REGISTERED);
    registered.map(|(_, subject, _)| *subject).collect()
}

fn events(file: &FileHandle) -> Option<Vec<Happened>> {
    let mut request = [0; 64];
    let size = EventsRequest { after: 0 }.write(&mut request).ok()?;
    ask_with(file, ioctl::EVENTS, request.get(..size)?, |reply| {
        let events = EventsReply::read(reply).ok()?;
        let events = events.events().map(|event| {
            let event = event.ok()?;
            Some((event.kind, event.subject, event.numbers))
        });
        events.collect()
    })
}

fn attached(file: &FileHandle) -> Option<Vec<Guid>> {
    ask(file, ioctl::PROVIDERS, |reply| {
        let entries = ProvidersReply::read(reply).ok()?;
        let entries: Vec<_> = entries.providers().collect::<Result<_, _>>().ok()?;
        let attached = entries
            .iter()
            .filter(|entry| entry.flags.contains(ProviderFlags::ATTACHED));
        Some(attached.map(|entry| entry.provider).collect())
    })
}
