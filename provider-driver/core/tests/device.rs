//! The administrator's device.

mod support;

use nsemail_contract::codes::WsaCode;
use nsemail_contract::guid::Guid;
use nsemail_contract::ids;
use nsemail_contract::ioctl;
use nsemail_contract::wire::{
    CounterKind, CountersReply, EmptyRequest, EventKind, EventsReply, EventsRequest, HostedReply,
    HostedState, ListReply, ListRequest, RecordState, Reply,
};
use nt_sim::Machine;
use nt_sim::io::{Access, FileHandle, Identity};
use nt_sim::ntstatus::NtStatus;
use support::*;

fn open(machine: &Machine) -> FileHandle {
    machine
        .process(Identity::Administrator)
        .open(ids::PROVIDER_PATH, Access::READ)
        .unwrap()
}

fn empty() -> Vec<u8> {
    let mut request = vec![0; 64];
    let size = EmptyRequest.write(&mut request).unwrap();
    request.truncate(size);
    request
}

fn list(provider: Guid, cursor: u64) -> Vec<u8> {
    let mut request = vec![0; 64];
    let size = ListRequest::all(provider, cursor).write(&mut request).unwrap();
    request.truncate(size);
    request
}

fn events(after: u64) -> Vec<u8> {
    let mut request = vec![0; 64];
    let size = EventsRequest { after }.write(&mut request).unwrap();
    request.truncate(size);
    request
}

/// Calls with plenty of room.
fn call(handle: &FileHandle, code: u32, request: &[u8]) -> Vec<u8> {
    let reply = handle.call(code, request, 1 << 16);
    assert_eq!(reply.status, NtStatus::SUCCESS);
    reply.data
}

/// One page: names with their states, and the cursor of the next.
fn page(
    handle: &FileHandle,
    cursor: u64,
    length: usize,
) -> Result<(Vec<(String, RecordState)>, u64), WsaCode> {
    let reply = handle.call(ioctl::LIST, &list(PROVIDER, cursor), length);
    assert_eq!(reply.status, NtStatus::SUCCESS);
    let reply = Reply::parse(&reply.data).unwrap();
    reply.code.ok()?;
    let page = ListReply::read(&reply).unwrap();
    let records = page.records().map(|record| {
        let record = record.unwrap();
        (record.record.name.unwrap().to_string(), record.state)
    });
    Ok((records.collect(), page.next))
}

#[test]
fn only_system_and_administrators_open_the_device() {
    let machine = started();
    for (identity, opens) in [
        (Identity::System, true),
        (Identity::Administrator, true),
        (Identity::User, false),
    ] {
        let opened = machine.process(identity).open(ids::PROVIDER_PATH, Access::READ);
        assert_eq!(opened.is_ok(), opens);
    }
    stop(&machine);
}

#[test]
fn a_listing_goes_on_page_by_page_as_things_were_when_it_began() {
    let machine = started();
    let (caller, session) = client(&machine);
    let mut names: Vec<String> = (0..50).map(|n| format!("user{n:02}@example.com")).collect();
    for name in &names {
        session.set(REGISTER, 0, name, &["192.0.2.1:1"]).unwrap();
    }
    session.set(DEREGISTER, 0, &names[7], &[]).unwrap();
    let handle = open(&machine);
    let (mut listed, mut next) = page(&handle, 0, 1000).unwrap();
    assert!(listed.len() < 50);
    session.set(DELETE, 0, &names[49], &[]).unwrap();
    session.set(REGISTER, 0, "zoe@example.com", &[]).unwrap();
    while next != 0 {
        let (more, following) = page(&handle, next, 1000).unwrap();
        assert!(!more.is_empty());
        listed.extend(more);
        next = following;
    }
    assert_eq!(listed[7].1, RecordState::Deregistered);
    assert_eq!(
        listed.into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        names
    );
    names[49] = "zoe@example.com".to_owned();
    let (listed, next) = page(&handle, 0, 1 << 16).unwrap();
    assert_eq!(
        (listed.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), next),
        (names, 0)
    );
    handle.close_and_wait();
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_cursor_of_another_listing_a_page_too_small_and_an_unknown_provider_are_told() {
    let machine = started();
    let (caller, session) = client(&machine);
    for name in ["a@example.com", "b@example.com"] {
        session.set(REGISTER, 0, name, &["192.0.2.1:1"]).unwrap();
    }
    let (first, second) = (open(&machine), open(&machine));
    let reply = first.call(ioctl::LIST, &list(PROVIDER, 0), 32);
    let reply = Reply::parse(&reply.data).unwrap();
    assert_eq!(reply.code, WsaCode::WSAEFAULT);
    let (listed, next) = page(&first, 0, reply.needed).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(page(&second, next, 4096), Err(WsaCode::WSAEINVAL));
    assert_eq!(page(&first, next, 4096).unwrap().0.len(), 1);
    assert_eq!(
        page(&first, next, 4096),
        Err(WsaCode::WSAEINVAL),
        "that listing is over"
    );
    let unknown = call(&first, ioctl::LIST, &list(Guid::from_u128(1), 0));
    assert_eq!(
        Reply::parse(&unknown).unwrap().code,
        WsaCode::WSASERVICE_NOT_FOUND
    );
    first.close_and_wait();
    second.close_and_wait();
    caller.deregister();
    stop(&machine);
}

#[test]
fn hosted_providers_statistics_and_events_are_told() {
    let machine = started();
    let (caller, session) = client(&machine);
    session
        .set(REGISTER, 0, "bob@example.com", &["192.0.2.1:1", "192.0.2.1:2"])
        .unwrap();
    session.look_up("bob@example.com").unwrap();
    caller.provider(OTHER);
    assert_eq!(
        session.set(DELETE, 0, "eve@example.com", &[]),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    let handle = open(&machine);

    let reply = call(&handle, ioctl::HOSTED, &empty());
    let hosted = HostedReply::read(&Reply::parse(&reply).unwrap()).unwrap();
    let hosted: Vec<_> = hosted.hosted().map(Result::unwrap).collect();
    assert_eq!(hosted.len(), 2);
    let ours = hosted.iter().find(|hosted| hosted.provider == PROVIDER).unwrap();
    assert_eq!(
        (ours.state, ours.objects, ours.addresses),
        (HostedState::Serving, 1, 2)
    );
    assert_eq!(ours.identifier, *"Default e-mail names");
    assert!(ours.log_bytes > 64);

    let reply = call(&handle, ioctl::STATISTICS, &empty());
    let counters = CountersReply::read(&Reply::parse(&reply).unwrap()).unwrap();
    let counters: Vec<_> = counters.counters().map(Result::unwrap).collect();
    let value = |kind, code| {
        let counter = counters
            .iter()
            .find(|counter| counter.kind == kind && counter.code == code);
        counter.map_or(0, |counter| counter.value)
    };
    assert_eq!(value(CounterKind::STARTUP, WsaCode::NO_ERROR), 1);
    assert_eq!(value(CounterKind::REGISTER, WsaCode::NO_ERROR), 1);
    assert_eq!(value(CounterKind::DELETE, WsaCode::WSASERVICE_NOT_FOUND), 1);
    assert_eq!(value(CounterKind::LOOKUP_BEGIN, WsaCode::NO_ERROR), 1);
    assert_eq!(value(CounterKind::LOOKUP_NEXT, WsaCode::WSA_E_NO_MORE), 1);
    let gauges = [
        (CounterKind::SESSIONS, 1),
        (CounterKind::LOOKUPS, 0),
        (CounterKind::CALLS, 0),
        (CounterKind::BINDINGS, 2),
        (CounterKind::PROVIDERS, 2),
        (CounterKind::OBJECTS, 1),
        (CounterKind::ADDRESSES, 2),
        (CounterKind::LOG_RECORDS, 1),
    ];
    for (kind, expected) in gauges {
        assert_eq!(value(kind, WsaCode::NO_ERROR), expected, "{kind:?}");
    }

    let reply = call(&handle, ioctl::EVENTS, &events(0));
    let read = EventsReply::read(&Reply::parse(&reply).unwrap()).unwrap();
    let kinds: Vec<_> = read.events().map(|event| event.unwrap().kind).collect();
    for kind in [
        EventKind::STARTED,
        EventKind::LOADED,
        EventKind::REGISTERED,
        EventKind::ATTACHED,
    ] {
        assert!(kinds.contains(&kind), "{kind:?} in {kinds:?}");
    }
    let reply = call(&handle, ioctl::EVENTS, &events(kinds.len() as u64));
    assert_eq!(
        EventsReply::read(&Reply::parse(&reply).unwrap())
            .unwrap()
            .events()
            .count(),
        0
    );
    handle.close_and_wait();
    caller.deregister();
    stop(&machine);
}

#[test]
fn malformed_requests_fail_and_are_counted() {
    let machine = started();
    let handle = open(&machine);
    for code in [ioctl::LIST, ioctl::HOSTED, ioctl::STATISTICS, ioctl::EVENTS] {
        for request in [&[][..], &[1, 2, 3], &[0; 8], &[0xFF; 24], &[0; 4096]] {
            assert_eq!(
                handle.call(code, request, 4096).status,
                NtStatus::INVALID_PARAMETER
            );
        }
    }
    for (code, request) in [
        (ioctl::LIST, list(PROVIDER, 0)),
        (ioctl::HOSTED, empty()),
        (ioctl::STATISTICS, empty()),
        (ioctl::EVENTS, events(0)),
    ] {
        for length in [0, 15] {
            let reply = handle.call(code, &request, length);
            assert_eq!((reply.status, reply.information), (NtStatus::BUFFER_TOO_SMALL, 0));
        }
    }
    for code in [ioctl::LOOKUP, ioctl::SET_SERVICE, 0, !3] {
        let status = handle.call(code, &empty(), 4096).status;
        assert!(
            matches!(status, NtStatus::INVALID_DEVICE_REQUEST | NtStatus::ACCESS_DENIED),
            "{status}"
        );
    }
    let reply = call(&handle, ioctl::STATISTICS, &empty());
    let counters = CountersReply::read(&Reply::parse(&reply).unwrap()).unwrap();
    let malformed = counters
        .counters()
        .map(Result::unwrap)
        .find(|counter| counter.kind == CounterKind::MALFORMED);
    assert_eq!(malformed.unwrap().value, 20);
    handle.close_and_wait();
    stop(&machine);
}

#[test]
fn a_limit_that_is_hit_is_told_once_until_there_is_room() {
    let machine = installed();
    set_parameter(&machine, "MaxObjects", 1);
    machine.start(SERVICE).unwrap();
    let (caller, session) = client(&machine);
    let register = |name| session.set(REGISTER, 0, name, &[]);
    let handle = open(&machine);
    let told = || {
        let reply = call(&handle, ioctl::EVENTS, &events(0));
        let events = EventsReply::read(&Reply::parse(&reply).unwrap()).unwrap();
        events
            .events()
            .filter(|event| event.unwrap().kind == EventKind::LIMIT_HIT)
            .count()
    };
    register("a@example.com").unwrap();
    for _ in 0..3 {
        assert_eq!(register("b@example.com"), Err(WsaCode::WSA_NOT_ENOUGH_MEMORY));
    }
    assert_eq!(told(), 1);
    session.set(DELETE, 0, "a@example.com", &[]).unwrap();
    register("b@example.com").unwrap();
    assert_eq!(register("a@example.com"), Err(WsaCode::WSA_NOT_ENOUGH_MEMORY));
    assert_eq!(told(), 2);
    handle.close_and_wait();
    caller.deregister();
    stop(&machine);
}
