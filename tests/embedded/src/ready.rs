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
    Machine, SimPlatform,
    io::{Access, FileHandle, Identity},
};
use sim_platform::Platform;

use crate::PROVIDER_PARAMETERS;

/// Room for a reply; there are few providers.
const ROOM: usize = 64 * 1024;

/// Waits until all providers of the provider driver's registry are attached, have failed, or were
/// skipped.
pub(crate) fn wait(machine: &Machine) {
    let process = machine.process(Identity::System);
    let open = |path| process.open(path, Access::READ).ok();
    let (Some(provider), Some(client)) = (open(ids::PROVIDER_PATH), open(ids::CLIENT_PATH)) else {
        return;
    };
    let expected = expected(machine);
    let entered = machine.enter();
    while is_ready(&expected, &provider, &client) == Some(false) {
        SimPlatform::yield_point();
    }
    drop(entered);
}

/// Tells whether all is done that a wait waits for; `None` if a driver does not answer.
fn is_ready(expected: &[Guid], provider: &FileHandle, client: &FileHandle) -> Option<bool> {
    let hosted = hosted(provider)?;
    let state = |guid| {
        hosted
            .iter()
            .find(|(hosted, _)| *hosted == guid)
            .map(|(_, state)| *state)
    };
    if expected.iter().any(|guid| state(*guid).is_none()) {
        // Not looked at yet, or looked at and found wanting.
        let skipped = skipped(provider)?;
        let known = |guid: &Guid| skipped.contains(guid) || skipped.contains(&Guid::NIL);
        if !expected.iter().all(|guid| state(*guid).is_some() || known(guid)) {
            return Some(false);
        }
    }
    let attached = attached(client)?;
    Some(hosted.iter().all(|(guid, state)| match state {
        HostedState::Loading => false,
        HostedState::Serving => attached.contains(guid),
        HostedState::Failed | HostedState::Stopping => true,
    }))
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
    let completion = file.call(code, request, ROOM);
    let reply = Reply::parse(&completion.data).ok()?;
    if reply.code == WsaCode::NO_ERROR {
        read(&reply)
    } else {
        None
    }
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

/// Returns the subjects of the events about entries that were skipped; nil if it was all of them. A key
/// that is not named by a GUID is no entry, and its event has no status.
fn skipped(file: &FileHandle) -> Option<Vec<Guid>> {
    let mut request = [0; 64];
    let size = EventsRequest { after: 0 }.write(&mut request).ok()?;
    ask_with(file, ioctl::EVENTS, request.get(..size)?, |reply| {
        let events = EventsReply::read(reply).ok()?;
        let events: Vec<_> = events.events().collect::<Result<_, _>>().ok()?;
        let skipped = events.iter().filter(|event| {
            event.kind == EventKind::ENTRY_SKIPPED && (!event.subject.is_nil() || event.numbers != [0; 2])
        });
        Some(skipped.map(|event| event.subject).collect())
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
