//! What an administrator sets in the registry.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use nsemail::client::Query;
use nsemail_contract::{
    Guid, LookupFlags, QuerySet, WsaCode,
    flags::OutputFlags,
    ids, ioctl,
    wire::{CounterKind, EventKind, LookupRequest, RecordsReply, Reply},
};
use nsemail_embedded::{CLIENT_PARAMETERS, PROVIDER_PARAMETERS};
use nt_sim::{
    io::{self, Identity},
    ntstatus::NtStatus,
    registry::Value,
};
use scenarios::{
    kernel::{Access, Driver, Who, Win32},
    program::{DEFAULT, EXAMPLE, code, message, until},
    simulated::Simulated,
};

const ADDRESS: &str = "192.0.2.7:5060/tcp";

#[test]
fn a_damaged_entry_disables_its_provider_with_an_event_and_no_other() {
    let entry = format!(r"{PROVIDER_PARAMETERS}\Providers\{EXAMPLE}");
    let damages: [(&str, Value); 5] = [
        ("Blob", Value::binary(vec![1, 2, 3])),
        ("Blob", Value::sz("not a blob")),
        ("Identifier", Value::sz("")),
        ("Identifier", Value::dword(1)),
        ("PreferredName", Value::sz("no address")),
    ];
    for (value, damage) in damages {
        let machine = Simulated::new();
        let kernel = machine.kernel();
        let registry = machine.machine().registry();
        let good = registry.get(&entry, value);
        registry.put(&entry, value, damage.clone()).unwrap();
        registry
            .put(
                &format!(r"{PROVIDER_PARAMETERS}\Providers\nonsense"),
                "Enabled",
                Value::dword(1),
            )
            .unwrap();
        machine.start();
        let provider = kernel.program(Who::Administrator).open_admin();
        assert_eq!(
            provider.events(EventKind::ENTRY_SKIPPED, EXAMPLE),
            1,
            "{value}: {damage:?}"
        );
        assert_eq!(provider.events(EventKind::ENTRY_SKIPPED, Guid::NIL), 1);
        assert_eq!(provider.client().hosted().unwrap().len(), 1);
        drop(provider);
        let admin = kernel.administrator();
        assert_eq!(admin.attached(), 1);
        // The other one is secondary for this domain.
        let reply = admin.register("grace@example.net", &[ADDRESS]).unwrap();
        assert_eq!(reply.provider, DEFAULT);

        let key = registry.open_key(None, &entry).unwrap();
        match good {
            Some(good) => registry.set(key, value, good).unwrap(),
            None => registry.delete_value(key, value).unwrap(),
        }
        kernel.stop_at_once(Driver::Provider);
        kernel.start(Driver::Provider).unwrap();
        kernel.wait_until_attached();
        assert_eq!(
            admin.register("heidi@example.net", &[ADDRESS]).unwrap().provider,
            EXAMPLE
        );
        drop(admin);
        machine.end();
    }
}

#[test]
fn a_provider_that_is_switched_off_is_not_hosted() {
    let machine = Simulated::new();
    let entry = format!(r"{PROVIDER_PARAMETERS}\Providers\{DEFAULT}");
    machine
        .machine()
        .registry()
        .put(&entry, "Enabled", Value::dword(0))
        .unwrap();
    machine.start();
    let admin = machine.kernel().administrator();
    assert_eq!(admin.attached(), 1);
    assert_eq!(
        admin.register("ivan@example.com", &[ADDRESS]).unwrap().provider,
        EXAMPLE
    );
    assert_eq!(
        admin.register("ivan@elsewhere.example", &[ADDRESS]),
        Err(WsaCode::WSASERVICE_NOT_FOUND),
        "the wildcard provider is off"
    );
    drop(admin);
    machine.end();
}

#[test]
fn members_of_the_configured_group_may_register() {
    const GROUP: &str = "S-1-5-21-1-2-3-1105";
    let machine = Simulated::new();
    let host = machine.machine();
    host.registry()
        .put(CLIENT_PARAMETERS, "WriteGroup", Value::sz(GROUP))
        .unwrap();
    machine.start();
    let open = |identity| {
        host.process(identity)
            .open(r"\\.\NsEmail", io::Access::READ_WRITE)
            .err()
    };
    assert_eq!(open(Identity::member_of(GROUP).unwrap()), None);
    let denied = Some(NtStatus::ACCESS_DENIED);
    assert_eq!(open(Identity::member_of("S-1-5-21-1-2-3-1106").unwrap()), denied);
    assert_eq!(open(Identity::User), denied);
    machine.end();
}

#[test]
fn a_limit_that_is_hit_is_an_answer_and_an_event() {
    let machine = Simulated::new();
    let registry = machine.machine().registry();
    for (limit, value) in [("MaxCalls", 1), ("MaxSessions", 3), ("MaxLookUpsPerSession", 2)] {
        registry
            .put(CLIENT_PARAMETERS, limit, Value::dword(value))
            .unwrap();
    }
    machine.start();
    let kernel = machine.kernel();
    let admin = kernel.administrator();
    let limits = || {
        let events = admin.client().events(0).unwrap();
        events
            .iter()
            .filter(|event| event.kind == EventKind::LIMIT_HIT)
            .count()
    };
    assert_eq!(limits(), 0);

    let hold = kernel.hold_flush();
    let call = admin.submit_register("judy@example.com", &[ADDRESS]);
    hold.wait_until_reached();
    assert_eq!(
        admin.register("mallory@example.com", &[ADDRESS]),
        Err(WsaCode::WSA_NOT_ENOUGH_MEMORY)
    );
    assert_eq!(limits(), 1);
    drop(hold);
    assert_eq!(code(&call.wait()), WsaCode::NO_ERROR);
    until("the call is over", || admin.counted(CounterKind::CALLS) == 0);
    admin.register("mallory@example.com", &[ADDRESS]).unwrap();

    let others = [kernel.user(), kernel.user()];
    let refused = kernel.program(Who::User).try_open(Access::Read).err();
    assert_eq!(refused, Some(Win32::NO_SYSTEM_RESOURCES));
    assert_eq!(limits(), 2);
    drop(others);

    let query = Query::name("judy@example.com");
    let flags = LookupFlags::RETURN_ALL;
    let open = [
        admin.client().begin(&query, flags).unwrap(),
        admin.client().begin(&query, flags).unwrap(),
    ];
    let third = admin.client().begin(&query, flags).map(drop);
    assert_eq!(third.unwrap_err().code(), Some(WsaCode::WSA_NOT_ENOUGH_MEMORY));
    assert_eq!(limits(), 3);
    drop(open);
    admin.client().begin(&query, flags).unwrap().end().unwrap();
    drop(admin);
    machine.end();
}

#[test]
fn a_look_up_for_preferred_names_finds_what_each_provider_publishes() {
    let machine = Simulated::new();
    let registry = machine.machine().registry();
    let publishes = [(DEFAULT, "postmaster@example.com"), (EXAMPLE, "Post@example.net")];
    for (provider, name) in publishes {
        let entry = format!(r"{PROVIDER_PARAMETERS}\Providers\{provider}");
        registry.put(&entry, "PreferredName", Value::sz(name)).unwrap();
    }
    machine.start();
    let user = machine.kernel().user();
    let preferred = LookupFlags::RETURN_PREFERRED_NAMES | LookupFlags::RETURN_ALL;
    let ask = |provider: Option<Guid>| {
        let query = QuerySet {
            namespace: ids::NS_EMAIL,
            provider,
            ..QuerySet::default()
        };
        let request = LookupRequest {
            flags: preferred,
            query,
        };
        let answer = user
            .handle()
            .call(ioctl::LOOKUP, &message(|out| request.write(out)), 4096);
        let reply = Reply::parse(&answer.bytes).unwrap();
        assert_eq!(reply.code, WsaCode::NO_ERROR);
        let records = RecordsReply::read(&reply).unwrap();
        let mut found: Vec<(Guid, String)> = (records.records())
            .map(|record| {
                let record = record.unwrap().record;
                assert!(record.addresses.is_empty());
                assert_eq!(record.output_flags, OutputFlags::PREFERRED_NAMES.bits());
                (record.provider.unwrap(), record.name.unwrap().to_string())
            })
            .collect();
        found.sort();
        found
    };
    let mut both = publishes.map(|(provider, name)| (provider, name.to_owned()));
    both.sort();
    assert_eq!(ask(None), both);
    assert_eq!(ask(Some(EXAMPLE)), [(EXAMPLE, "Post@example.net".to_owned())]);
    // They are published, not registered; and whoever asks for them gives no name.
    let unregistered = user.look_up("postmaster@example.com");
    assert_eq!(unregistered, Err(WsaCode::WSASERVICE_NOT_FOUND));
    let named = user.records(&Query::name("postmaster@example.com"), preferred);
    assert_eq!(named, Err(WsaCode::WSAEINVAL));
    drop(user);
    machine.end();
}

#[test]
fn a_provider_that_publishes_no_name_has_no_data() {
    let machine = Simulated::new();
    machine.start();
    let user = machine.kernel().user();
    let found = user.records(&Query::default(), LookupFlags::RETURN_PREFERRED_NAMES);
    assert_eq!(found, Err(WsaCode::WSANO_DATA));
    drop(user);
    machine.end();
}

#[test]
fn the_limits_in_force_are_shown_among_the_statistics() {
    let machine = Simulated::new();
    let of_the_client = [
        ("MaxSessions", CounterKind::MAX_SESSIONS, 7),
        ("MaxLookUpsPerSession", CounterKind::MAX_LOOKUPS, 8),
        ("MaxCalls", CounterKind::MAX_CALLS, 9),
        ("MaxProviders", CounterKind::MAX_PROVIDERS, 10),
    ];
    let of_the_provider = [
        ("MaxObjects", CounterKind::MAX_OBJECTS, 11),
        ("MaxContextsPerName", CounterKind::MAX_CONTEXTS, 12),
        ("MaxAddressesPerObject", CounterKind::MAX_ADDRESSES, 13),
        ("MaxBlobBytes", CounterKind::MAX_BLOB, 14),
        ("MaxSessions", CounterKind::MAX_SESSIONS, 15),
        ("MaxLookupsPerSession", CounterKind::MAX_LOOKUPS, 16),
        ("MaxPendingChanges", CounterKind::MAX_CALLS, 17),
        ("MaxProviders", CounterKind::MAX_PROVIDERS, 18),
    ];
    let registry = machine.machine().registry();
    for (key, settings) in [
        (CLIENT_PARAMETERS, &of_the_client[..]),
        (PROVIDER_PARAMETERS, &of_the_provider[..]),
    ] {
        for (name, _, value) in settings {
            registry.put(key, name, Value::dword(*value)).unwrap();
        }
    }
    machine.start();
    let session = machine.kernel().administrator();
    let admin = machine.kernel().program(Who::Administrator).open_admin();
    for (name, kind, value) in of_the_client {
        assert_eq!(session.counted(kind), u64::from(value), "{name}");
    }
    for (name, kind, value) in of_the_provider {
        assert_eq!(admin.counted(kind), u64::from(value), "{name}");
    }
    assert_eq!(
        admin.counted(CounterKind::MAX_STORE_BYTES),
        4096 << 20,
        "the default"
    );
    // They are no counters.
    admin.client().reset_statistics().unwrap();
    session.client().reset_statistics().unwrap();
    assert_eq!(admin.counted(CounterKind::MAX_OBJECTS), 11);
    assert_eq!(session.counted(CounterKind::MAX_CALLS), 9);
    drop((session, admin));
    machine.end();
}

#[test]
fn no_more_providers_are_installed_than_may_be_hosted() {
    let machine = Simulated::new();
    let registry = machine.machine().registry();
    registry
        .put(PROVIDER_PARAMETERS, "MaxProviders", Value::dword(2))
        .unwrap();
    machine.start();
    let admin = machine.kernel().program(Who::Administrator).open_admin();
    let third = Guid::from_u128(3);
    // A blob without domains, for any name.
    let mut blob = [0; 20];
    (blob[4], blob[8]) = (1, 1);
    let install = || admin.client().install(third, "one too many", &blob);
    assert_eq!(
        install().unwrap_err().code(),
        Some(WsaCode::WSA_NOT_ENOUGH_MEMORY)
    );
    assert_eq!(admin.events(EventKind::LIMIT_HIT, third), 1);
    assert_eq!(admin.client().hosted().unwrap().len(), 2);
    let entry = format!(r"{PROVIDER_PARAMETERS}\Providers\{third}");
    assert_eq!(registry.get(&entry, "Blob"), None);
    admin.client().uninstall(EXAMPLE, false).unwrap();
    install().unwrap();
    assert_eq!(admin.client().hosted().unwrap().len(), 2);
    drop(admin);
    machine.end();
}
