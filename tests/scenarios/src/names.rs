//! Names: what programs do with them, and what they are answered.

use nsemail::{Registration, client::Query};
use nsemail_contract::{
    LookupFlags, Operation, SetFlags, WsaCode, ioctl,
    wire::{BeginReply, CounterKind, EndRequest, NextRequest, REPLY_HEADER, RecordsReply, Reply, Tier},
};

use crate::{
    kernel::{Driver, Kernel, Who},
    program::{DEFAULT, EXAMPLE, Session, addresses, answered, code, message, name, question},
};

/// From registration to deletion, with what a look-up answers in between.
pub fn a_name_is_found_until_it_is_deregistered_and_known_until_it_is_deleted(kernel: &dyn Kernel) {
    kernel.start_both();
    let (admin, user) = (kernel.administrator(), kernel.user());
    let addresses = ["192.0.2.7:5060/tcp", "[2001:db8::7]:5060/udp"];
    assert_eq!(
        user.look_up("alice@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );

    let reply = admin.register("alice@example.com", &addresses).unwrap();
    assert_eq!((reply.providers, reply.added, reply.removed), (1, 2, 0));
    assert_eq!(reply.provider, DEFAULT);
    assert_eq!(user.look_up("alice@example.com").unwrap(), addresses);

    let reply = admin.deregister("alice@example.com").unwrap();
    assert_eq!((reply.added, reply.removed), (0, 2));
    assert_eq!(user.look_up("alice@example.com"), Err(WsaCode::WSANO_DATA));

    admin.delete("alice@example.com").unwrap();
    assert_eq!(
        user.look_up("alice@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(
        admin.delete("alice@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(
        admin.deregister("alice@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
}

/// `SERVICE_MULTIPLE` adds to the addresses and takes from them; without it they are replaced.
pub fn single_addresses_are_added_and_removed(kernel: &dyn Kernel) {
    kernel.start_both();
    let (admin, user) = (kernel.administrator(), kernel.user());
    let (a, b, c) = ("192.0.2.1:1/tcp", "192.0.2.2:2/udp", "192.0.2.3:3/tcp");
    let multiple = |operation, addresses: &[&str]| {
        admin.change(operation, SetFlags::MULTIPLE, &name("bob@example.com", addresses))
    };
    multiple(Operation::Register, &[a]).unwrap();
    multiple(Operation::Register, &[b, a]).unwrap();
    assert_eq!(user.look_up("bob@example.com").unwrap(), [a, b]);
    multiple(Operation::Deregister, &[a, c]).unwrap();
    assert_eq!(user.look_up("bob@example.com").unwrap(), [b]);
    multiple(Operation::Deregister, &[b]).unwrap();
    assert_eq!(user.look_up("bob@example.com"), Err(WsaCode::WSANO_DATA));
    multiple(Operation::Register, &[c]).unwrap();
    assert_eq!(user.look_up("bob@example.com").unwrap(), [c]);
    admin.register("bob@example.com", &[a, b]).unwrap();
    assert_eq!(user.look_up("bob@example.com").unwrap(), [a, b]);
    multiple(Operation::Delete, &[a]).unwrap();
    assert_eq!(user.look_up("bob@example.com").unwrap(), [b]);
    multiple(Operation::Delete, &[b]).unwrap();
    assert_eq!(
        user.look_up("bob@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
}

/// Both seeded providers are there, and each takes the names of the domain that it is primary for; the
/// wildcard provider takes those of no one.
pub fn each_provider_answers_for_the_domains_that_it_claims(kernel: &dyn Kernel) {
    kernel.start_both();
    let (admin, user) = (kernel.administrator(), kernel.user());
    let providers = user.client().providers().unwrap();
    assert_eq!(providers.len(), 2);
    for provider in [DEFAULT, EXAMPLE] {
        let entry = providers.iter().find(|entry| entry.guid == provider).unwrap();
        assert!(entry.enabled && entry.attached, "{entry:?}");
    }

    for (who, provider, other, tier) in [
        ("carol@example.com", DEFAULT, EXAMPLE, Tier::Primary),
        ("carol@example.net", EXAMPLE, DEFAULT, Tier::Primary),
        ("carol@elsewhere.example", DEFAULT, EXAMPLE, Tier::Wildcard),
    ] {
        assert_eq!(
            admin.register(who, &["192.0.2.7:25"]).unwrap().provider,
            provider,
            "{who}"
        );
        let found = user.records(&Query::name(who), LookupFlags::RETURN_ALL).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].tier, tier, "{who}");
        assert_eq!(found[0].record.provider, Some(provider), "{who}");
        assert_eq!(
            user.look_up_at(other, who),
            Err(WsaCode::WSASERVICE_NOT_FOUND),
            "{who}"
        );
    }
}

/// A look-up goes on to the secondary provider if the primary one does not have the name, and a deletion
/// goes to both, so that no stale copy comes back to life.
pub fn a_deletion_reaches_the_copy_at_the_secondary_provider(kernel: &dyn Kernel) {
    kernel.start_both();
    let (admin, user) = (kernel.administrator(), kernel.user());
    let at_secondary = Registration {
        provider: Some(EXAMPLE),
        ..name("dave@example.com", &["192.0.2.2:2/tcp"])
    };
    admin
        .change(Operation::Register, SetFlags::empty(), &at_secondary)
        .unwrap();
    let everything = LookupFlags::RETURN_ALL;
    let query = Query::name("dave@example.com");
    assert_eq!(user.records(&query, everything).unwrap()[0].tier, Tier::Secondary);

    admin.register("dave@example.com", &["192.0.2.1:1/tcp"]).unwrap();
    assert_eq!(user.look_up("dave@example.com").unwrap(), ["192.0.2.1:1/tcp"]);
    let both = user
        .records(&query, everything | LookupFlags::NON_AUTHORITATIVE)
        .unwrap();
    let tiers: Vec<Tier> = both.iter().map(|found| found.tier).collect();
    assert_eq!(tiers, [Tier::Primary, Tier::Secondary]);

    assert_eq!(admin.delete("dave@example.com").unwrap().providers, 2);
    for provider in [DEFAULT, EXAMPLE] {
        assert_eq!(
            user.look_up_at(provider, "dave@example.com"),
            Err(WsaCode::WSASERVICE_NOT_FOUND)
        );
    }
}

/// Begin, Next with too little room, Next with just enough, End; and what is answered after each end.
pub fn a_look_up_is_read_record_by_record_with_exactly_the_room_it_asks_for(kernel: &dyn Kernel) {
    kernel.start_both();
    let (admin, user) = (kernel.administrator(), kernel.user());
    for service in ["mail", "chat"] {
        let registration = Registration {
            service: service.to_owned(),
            comment: Some(format!("for {service}")),
            ..name("erin@example.com", &["192.0.2.7:5060/udp"])
        };
        admin
            .change(Operation::Register, SetFlags::empty(), &registration)
            .unwrap();
    }
    let lookup = begin(
        &user,
        "erin@example.com",
        LookupFlags::DEEP | LookupFlags::RETURN_ALL,
    );
    let mut services = Vec::new();
    for _ in 0..2 {
        let probe = next(&user, lookup, REPLY_HEADER);
        assert_eq!(code(&probe), WsaCode::WSAEFAULT);
        let needed = Reply::parse(&probe.bytes).unwrap().needed;
        assert_eq!(code(&next(&user, lookup, needed - 8)), WsaCode::WSAEFAULT);
        let fits = next(&user, lookup, needed);
        assert_eq!((code(&fits), fits.returned), (WsaCode::NO_ERROR, needed));
        let reply = Reply::parse(&fits.bytes).unwrap();
        let record = RecordsReply::read(&reply)
            .unwrap()
            .records()
            .next()
            .unwrap()
            .unwrap();
        services.push(record.record.context.unwrap().to_string());
    }
    services.sort_unstable();
    assert_eq!(services, ["chat", "mail"]);
    for _ in 0..2 {
        assert_eq!(code(&next(&user, lookup, 4096)), WsaCode::WSA_E_NO_MORE);
    }
    let end = message(|out| EndRequest { lookup }.write(out));
    for expected in [WsaCode::NO_ERROR, WsaCode::WSA_INVALID_HANDLE] {
        let ended = user.handle().call(ioctl::LOOKUP_END, &end, REPLY_HEADER);
        assert_eq!(code(&ended), expected);
    }
    assert_eq!(code(&next(&user, lookup, 4096)), WsaCode::WSA_INVALID_HANDLE);
}

/// The number of a look-up means something to its own session only.
pub fn a_look_up_belongs_to_the_handle_that_opened_it(kernel: &dyn Kernel) {
    kernel.start_both();
    kernel
        .administrator()
        .register("frank@example.com", &["192.0.2.7:25"])
        .unwrap();
    let (mine, other) = (kernel.user(), kernel.user());
    let lookup = begin(&mine, "frank@example.com", LookupFlags::RETURN_ALL);
    let others = begin(&other, "frank@example.com", LookupFlags::RETURN_ALL);
    assert_eq!(code(&next(&other, lookup, 4096)), WsaCode::WSA_INVALID_HANDLE);
    assert_eq!(code(&next(&mine, others, 4096)), WsaCode::WSA_INVALID_HANDLE);
    assert_eq!(code(&next(&mine, lookup, 4096)), WsaCode::NO_ERROR);
}

/// A batch has an answer for each of its queries, each its own.
pub fn a_batch_answers_each_query_in_its_place(kernel: &dyn Kernel) {
    kernel.start_both();
    let (admin, user) = (kernel.administrator(), kernel.user());
    let registered = |number: usize| format!("user{number}@example.com");
    for number in (0..40).step_by(2) {
        admin
            .register(
                &registered(number),
                &[&format!("192.0.2.7:{}/tcp", 1000 + number)],
            )
            .unwrap();
    }
    let mut queries: Vec<Query> = (0..40).map(|number| Query::name(registered(number))).collect();
    queries.push(Query::name("no address"));
    let answers = answered(user.client().look_up_many(&queries, LookupFlags::RETURN_ALL)).unwrap();
    assert_eq!(answers.len(), queries.len());
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(records) if number < 40 && number % 2 == 0 => {
                assert_eq!(records.len(), 1);
                assert_eq!(
                    addresses(&records[0].record),
                    [format!("192.0.2.7:{}/tcp", 1000 + number)]
                );
            }
            Err(WsaCode::WSASERVICE_NOT_FOUND) if number % 2 == 1 || number == 40 => {}
            other => panic!("query {number}: {other:?}"),
        }
    }
}

/// What was acknowledged is found again when the provider driver, or both, were unloaded and loaded.
pub fn names_survive_a_restart_of_the_drivers(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    let given = ["192.0.2.7:5060/tcp", "192.0.2.8:5060/udp"];
    for who in [
        "grace@example.com",
        "grace@example.net",
        "grace@elsewhere.example",
    ] {
        admin.register(who, &given).unwrap();
    }
    admin.register("heidi@example.com", &given).unwrap();
    admin.deregister("heidi@example.com").unwrap();
    admin.register("ivan@example.com", &given).unwrap();
    admin.delete("ivan@example.com").unwrap();
    let check = || {
        let user = kernel.user();
        for who in [
            "grace@example.com",
            "grace@example.net",
            "grace@elsewhere.example",
        ] {
            assert_eq!(user.look_up(who).unwrap(), given, "{who}");
        }
        assert_eq!(user.look_up("heidi@example.com"), Err(WsaCode::WSANO_DATA));
        assert_eq!(
            user.look_up("ivan@example.com"),
            Err(WsaCode::WSASERVICE_NOT_FOUND)
        );
    };
    check();
    let stored = kernel.stored();

    // The open handle of the client's device outlives the provider.
    kernel.stop_at_once(Driver::Provider);
    kernel.start(Driver::Provider).unwrap();
    kernel.wait_until_attached();
    check();
    assert_eq!(admin.look_up("grace@example.com").unwrap(), given);
    drop(admin);

    for driver in [Driver::Client, Driver::Provider] {
        kernel.stop_at_once(driver);
    }
    kernel.start_both();
    check();
    assert_eq!(kernel.stored(), stored);
}

/// An ended session loses its look-ups and what the provider kept for it; the next call begins another.
pub fn an_ended_session_starts_again_with_the_next_call(kernel: &dyn Kernel) {
    kernel.start_both();
    let (admin, user) = (kernel.administrator(), kernel.user());
    admin.register("judy@example.com", &["192.0.2.7:25"]).unwrap();
    drop(admin);
    let provider = kernel.program(Who::Administrator).open_admin();
    let sessions = || provider.counted(CounterKind::SESSIONS);
    let cleanups = || provider.counted(CounterKind::CLEANUP);
    assert_eq!((sessions(), cleanups()), (0, 0));

    let lookup = begin(&user, "judy@example.com", LookupFlags::RETURN_ALL);
    assert_eq!(code(&next(&user, lookup, 4096)), WsaCode::NO_ERROR);
    assert_eq!(sessions(), 1);
    user.client().end_session().unwrap();
    assert_eq!((sessions(), cleanups()), (0, 1));
    assert_eq!(code(&next(&user, lookup, 4096)), WsaCode::WSA_INVALID_HANDLE);
    user.look_up("judy@example.com").unwrap();
    // With the provider that was asked, or with more, if that had no memory.
    assert!(sessions() > 0);
    assert_eq!(cleanups(), 1);
}

/// Opens a look-up.
fn begin(session: &Session, name: &str, flags: LookupFlags) -> u64 {
    let answer = session
        .handle()
        .call(ioctl::LOOKUP_BEGIN, &question(name, flags), BeginReply::SIZE);
    assert_eq!(code(&answer), WsaCode::NO_ERROR);
    BeginReply::read(&Reply::parse(&answer.bytes).unwrap())
        .unwrap()
        .lookup
}

/// Asks for the next record.
fn next(session: &Session, lookup: u64, room: usize) -> crate::kernel::Answer {
    let request = NextRequest {
        lookup,
        flags: LookupFlags::empty(),
    };
    session
        .handle()
        .call(ioctl::LOOKUP_NEXT, &message(|out| request.write(out)), room)
}
