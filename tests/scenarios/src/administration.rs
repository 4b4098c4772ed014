//! What an administrator changes while programs look names up.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nsemail::{Registration, client::Query, transport::Device};
use nsemail_contract::{
    Domain, Guid, LookupFlags, Operation, SetFlags, Text, WsaCode,
    blob::{self, Level},
    ioctl,
    wire::{
        ChainPart, CounterKind, EnableRequest, EventKind, InstallRequest, ListRequest, OpenSession,
        OrderRequest, ProviderRequest, RecordState, UninstallRequest,
    },
};

use crate::{
    kernel::{Access, Driver, Handle, Kernel, Who, Win32},
    program::{Admin, DEFAULT, EXAMPLE, Ended, Session, addresses, answered, code, message, name, until},
};

const ADDRESS: &str = "192.0.2.7:5060/tcp";
/// A namespace provider that nobody knows.
const UNKNOWN: Guid = Guid::from_u128(0x0DD);

/// The catalogue's order.
fn order(session: &Session) -> Vec<Guid> {
    let providers = session.client().providers().expect("the list of providers");
    providers.iter().map(|provider| provider.guid).collect()
}

/// Who would be asked about a name.
fn chain(session: &Session, name: &str) -> Vec<(Guid, ChainPart)> {
    let told = session.client().explain(name).expect("an explanation");
    let asked = told.iter().filter(|provider| provider.part.is_asked());
    asked.map(|provider| (provider.guid, provider.part)).collect()
}

/// Who would be asked is told with the reasons, and is who is asked; nobody is asked by telling.
pub fn an_explanation_names_who_is_asked_and_asks_nobody(kernel: &dyn Kernel) {
    kernel.start_both();
    let user = kernel.user();
    let of_example_net = [(EXAMPLE, ChainPart::Primary), (DEFAULT, ChainPart::Secondary)];
    assert_eq!(chain(&user, "alice@example.net"), of_example_net);
    assert_eq!(chain(&user, "alice@EXAMPLE.net."), of_example_net);
    assert_eq!(
        chain(&user, "alice@elsewhere.example"),
        [(DEFAULT, ChainPart::Wildcard)]
    );
    let told = user.client().explain("alice@elsewhere.example").unwrap();
    assert_eq!((told.len(), told[1].part), (2, ChainPart::NoClaim));
    assert_eq!(
        answered(user.client().explain("alice")),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(
        answered(user.client().explain("@example.net")),
        Err(WsaCode::WSAEINVAL)
    );
    let admin = kernel.program(Who::Administrator).open_admin();
    for kind in [CounterKind::STARTUP, CounterKind::LOOKUP_BEGIN] {
        assert_eq!(admin.counted(kind), 0);
    }
    let reply = kernel
        .administrator()
        .register("alice@example.net", &[ADDRESS])
        .unwrap();
    assert_eq!(reply.provider, of_example_net[0].0);
}

/// A disabled provider is not asked, and the next claimant takes its place; both without a restart, and beside
/// look-ups that always find an answer.
pub fn a_disabled_provider_is_passed_over_at_once_and_until_it_is_enabled(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    let registered = |name| admin.register(name, &[ADDRESS]).unwrap().provider;
    assert_eq!(registered("bob@example.net"), EXAMPLE);
    answered(admin.client().enable(EXAMPLE, false)).unwrap();
    assert_eq!(
        chain(&admin, "bob@example.net"),
        [(DEFAULT, ChainPart::Secondary)]
    );
    assert_eq!(
        admin.look_up("bob@example.net"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(
        admin.look_up_at(EXAMPLE, "bob@example.net"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(registered("carol@example.net"), DEFAULT);

    drop(admin);
    for driver in Driver::BOTH {
        kernel.stop_at_once(driver);
    }
    kernel.start_both();
    let admin = kernel.administrator();
    assert_eq!(
        admin.look_up("bob@example.net"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    answered(admin.client().enable(EXAMPLE, true)).unwrap();
    assert_eq!(admin.look_up("bob@example.net").unwrap(), [ADDRESS]);
    assert_eq!(
        admin.look_up("carol@example.net").unwrap(),
        [ADDRESS],
        "of the secondary"
    );
    let events = admin.client().events(0).unwrap();
    let enabled = events
        .iter()
        .filter(|event| event.kind == EventKind::CATALOGUE_ENABLED);
    assert!(enabled.map(|event| event.subject).eq([EXAMPLE]));
}

/// A look-up that is open keeps the catalogue that it began with; the next one has the new one, also after a restart.
pub fn a_changed_catalogue_is_for_look_ups_that_begin_later(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    // Both providers have a copy, and both are asked.
    for (provider, address) in [(DEFAULT, "192.0.2.1:1/tcp"), (EXAMPLE, "192.0.2.2:2/tcp")] {
        let registration = Registration {
            provider: Some(provider),
            ..name("dave@example.com", &[address])
        };
        let registered = admin.change(Operation::Register, SetFlags::empty(), &registration);
        assert_eq!(registered.unwrap().provider, provider);
    }
    let query = Query::name("dave@example.com");
    let flags = LookupFlags::NON_AUTHORITATIVE | LookupFlags::RETURN_ALL;
    let open = answered(admin.client().begin(&query, flags)).unwrap();
    let reversed: Vec<Guid> = order(&admin).into_iter().rev().collect();
    answered(admin.client().order(&reversed)).unwrap();
    answered(admin.client().enable(DEFAULT, false)).unwrap();
    let mut found = Vec::new();
    while let Some(record) = answered(open.next(flags)).unwrap() {
        found.extend(addresses(&record.record));
    }
    assert_eq!(found, ["192.0.2.1:1/tcp", "192.0.2.2:2/tcp"]);
    answered(open.end()).unwrap();
    let found = admin.records(&query, flags).unwrap();
    assert_eq!(found.len(), 1, "one of them is disabled");
    answered(admin.client().enable(DEFAULT, true)).unwrap();
    assert_eq!(admin.records(&query, flags).unwrap().len(), 2);
    drop(admin);
    kernel.stop_at_once(Driver::Client);
    kernel.start(Driver::Client).unwrap();
    kernel.wait_until_attached();
    assert_eq!(order(&kernel.user()), reversed);
}

/// Look-ups go on, and always find what is there, while the catalogue changes under them.
pub fn look_ups_go_on_while_the_catalogue_changes(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    admin.register("erin@example.com", &[ADDRESS]).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let ended = Ended(&over);
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let user = kernel.user();
                    let mut rounds = 0_usize;
                    while !over.load(Ordering::Acquire) || rounds == 0 {
                        assert_eq!(user.look_up("erin@example.com").unwrap(), [ADDRESS]);
                        rounds += 1;
                    }
                })
            })
            .collect();
        let mut providers = order(&admin);
        for round in 0..40 {
            providers.reverse();
            answered(admin.client().order(&providers)).unwrap();
            answered(admin.client().enable(EXAMPLE, round % 2 == 1)).unwrap();
        }
        drop(ended);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(chain(&admin, "erin@example.com").len(), 2);
}

/// Requests that make no sense, or come from somebody who may not make them, change nothing.
pub fn the_catalogue_is_changed_by_nobody_else_and_not_by_nonsense(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    let before = admin.client().providers().unwrap();
    let client = admin.client();
    for wrong in [
        &[][..],
        &[DEFAULT],
        &[DEFAULT, DEFAULT],
        &[DEFAULT, UNKNOWN],
        &[DEFAULT, EXAMPLE, UNKNOWN],
        &[DEFAULT, EXAMPLE, EXAMPLE],
    ] {
        assert_eq!(
            answered(client.order(wrong)),
            Err(WsaCode::WSAEINVAL),
            "{wrong:?}"
        );
    }
    assert_eq!(answered(client.enable(UNKNOWN, false)), Err(WsaCode::WSAEINVAL));
    assert_eq!(answered(client.forget(UNKNOWN)), Err(WsaCode::WSAEINVAL));
    assert_eq!(
        answered(client.forget(DEFAULT)),
        Err(WsaCode::WSATRY_AGAIN),
        "it is attached"
    );

    let requests = [
        (ioctl::ENABLE, {
            let request = EnableRequest {
                provider: DEFAULT,
                enabled: false,
            };
            message(|out| request.write(out))
        }),
        (
            ioctl::ORDER,
            message(|out| OrderRequest::write(&[EXAMPLE, DEFAULT], out)),
        ),
        (
            ioctl::FORGET,
            message(|out| ProviderRequest { provider: DEFAULT }.write(out)),
        ),
    ];
    let user = kernel.user();
    for (code, request) in &requests {
        let answer = user.handle().call(*code, request, 64);
        assert_eq!((answer.result, answer.returned), (Err(Win32::ACCESS_DENIED), 0));
        for length in 0..request.len() {
            let answer = admin.handle().call(*code, &request[..length], 64);
            assert_eq!(answer.result, Err(Win32::INVALID_PARAMETER), "{length} bytes");
        }
    }
    assert_eq!(client.providers().unwrap(), before);
}

/// A provider that is gone can be taken out of the catalogue, and is appended anew when it comes back.
pub fn a_provider_that_is_gone_can_be_forgotten(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.administrator();
    kernel.stop_at_once(Driver::Provider);
    answered(admin.client().enable(DEFAULT, false)).unwrap();
    answered(admin.client().forget(DEFAULT)).unwrap();
    assert_eq!(order(&admin), [EXAMPLE]);
    let request = message(|out| ProviderRequest { provider: DEFAULT }.write(out));
    let again = admin.handle().call(ioctl::FORGET, &request, 64);
    assert_eq!(code(&again), WsaCode::WSAEINVAL);
    drop(admin);
    kernel.stop_at_once(Driver::Client);
    kernel.start(Driver::Client).unwrap();
    assert_eq!(order(&kernel.user()), [EXAMPLE], "also after a restart");
    kernel.start(Driver::Provider).unwrap();
    kernel.wait_until_attached();
    let providers = kernel.user().client().providers().unwrap();
    assert!(providers.iter().all(|provider| provider.enabled));
    assert_eq!(order(&kernel.user()), [EXAMPLE, DEFAULT]);
}

/// A namespace provider to install.
const THIRD: Guid = Guid::from_u128(0x0F9A_2C44_6E0B_4D1B_9C55_2B8C_1E7A_6F03);

/// The blob of a provider that is primary for a domain and claims nothing else.
pub(crate) fn primary_for(domain: &str) -> Vec<u8> {
    let domain = Domain::parse(Text::from_str(domain).unwrap()).unwrap();
    message(|out| blob::write(1, false, [(Level::Primary, domain)].into_iter(), out))
}

/// The message that asks to install the third provider.
fn installation() -> Vec<u8> {
    let blob = primary_for("example.org");
    let request = InstallRequest {
        provider: THIRD,
        identifier: Text::from_str("Third").unwrap(),
        blob: &blob,
    };
    message(|out| request.write(out))
}

fn uninstallation(provider: Guid) -> Vec<u8> {
    let request = UninstallRequest {
        provider,
        delete_names: false,
    };
    message(|out| request.write(out))
}

fn open_provider(kernel: &dyn Kernel) -> Box<dyn Handle> {
    let program = kernel.program(Who::Administrator);
    program
        .process()
        .open(Device::Provider, Access::ReadWrite)
        .unwrap()
}

fn hosted(admin: &Admin) -> Vec<Guid> {
    let hosted = admin.client().hosted().expect("what is hosted");
    hosted.iter().map(|hosted| hosted.guid).collect()
}

/// Providers come and go while look-ups run, which find what is there all the time, and of the third what is there at
/// that time.
pub fn a_provider_is_installed_and_uninstalled_beside_look_ups(kernel: &dyn Kernel) {
    kernel.start_both();
    let session = kernel.administrator();
    let admin = kernel.program(Who::Administrator).open_admin();
    session.register("frank@example.com", &[ADDRESS]).unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let ended = Ended(&over);
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let user = kernel.user();
                    let mut rounds = 0_usize;
                    while !over.load(Ordering::Acquire) || rounds == 0 {
                        assert_eq!(user.look_up("frank@example.com").unwrap(), [ADDRESS]);
                        match user.look_up("frank@example.org") {
                            Ok(found) => assert_eq!(found, [ADDRESS]),
                            Err(code) => assert_eq!(code, WsaCode::WSASERVICE_NOT_FOUND),
                        }
                        rounds += 1;
                    }
                })
            })
            .collect();
        for round in 0..10 {
            answered(
                admin
                    .client()
                    .install(THIRD, "Third", &primary_for("example.org")),
            )
            .unwrap();
            until("the third provider is attached", || session.attached() == 3);
            // Its names are still there unless they were deleted.
            let found = session.look_up("frank@example.org");
            if round % 2 == 1 {
                assert_eq!(found.unwrap(), [ADDRESS]);
            } else {
                assert_eq!(found, Err(WsaCode::WSASERVICE_NOT_FOUND));
                let reply = session.register("frank@example.org", &[ADDRESS]).unwrap();
                assert_eq!(reply.provider, THIRD);
            }
            answered(admin.client().uninstall(THIRD, round % 2 == 1)).unwrap();
            assert_eq!(session.attached(), 2, "every client has detached");
            assert_eq!(hosted(&admin).len(), 2);
            answered(session.client().forget(THIRD)).unwrap();
        }
        drop(ended);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    for kind in [EventKind::INSTALLED, EventKind::UNINSTALLED] {
        assert_eq!(admin.events(kind, THIRD), 10, "{kind:?}");
    }
}

/// What was installed is there after a restart, in its place, and what was uninstalled is not.
pub fn what_is_hosted_survives_a_restart(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.program(Who::Administrator).open_admin();
    answered(
        admin
            .client()
            .install(THIRD, "Third", &primary_for("example.org")),
    )
    .unwrap();
    answered(admin.client().uninstall(EXAMPLE, false)).unwrap();
    let session = kernel.administrator();
    until("the third provider is attached", || session.attached() == 2);
    answered(session.client().forget(EXAMPLE)).unwrap();
    answered(session.client().order(&[THIRD, DEFAULT])).unwrap();
    session.register("grace@example.org", &[ADDRESS]).unwrap();
    let stored = admin.stored(THIRD);
    drop((admin, session));
    for driver in Driver::BOTH {
        kernel.stop_at_once(driver);
    }
    kernel.start_both();
    let admin = kernel.program(Who::Administrator).open_admin();
    assert_eq!(admin.stored(THIRD), stored);
    let user = kernel.user();
    assert_eq!(order(&user), [THIRD, DEFAULT]);
    assert_eq!(user.look_up("grace@example.org").unwrap(), [ADDRESS]);
    assert_eq!(
        chain(&user, "grace@example.net"),
        [(DEFAULT, ChainPart::Secondary)],
        "its primary is gone"
    );
}

/// An uninstallation waits for the changes that are accepted, and nothing else waits for it.
pub fn an_uninstallation_waits_for_changes_in_flight_and_blocks_nobody(kernel: &dyn Kernel) {
    kernel.start_both();
    let session = kernel.administrator();
    let admin = kernel.program(Who::Administrator).open_admin();
    let provider = open_provider(kernel);
    session.register("heidi@example.com", &[ADDRESS]).unwrap();
    let hold = kernel.hold_flush();
    let change = session.submit_register("heidi@example.net", &[ADDRESS]);
    hold.wait_until_reached();
    let uninstall = provider.submit(ioctl::UNINSTALL, &uninstallation(EXAMPLE), 64);
    until("the provider detaches", || session.attached() == 1);
    assert!(!uninstall.is_complete() && !change.is_complete());
    assert_eq!(hosted(&admin).len(), 2, "the device answers");
    assert_eq!(session.look_up("heidi@example.com").unwrap(), [ADDRESS]);
    drop(hold);
    assert_eq!(code(&change.wait()), WsaCode::NO_ERROR);
    assert_eq!(code(&uninstall.wait()), WsaCode::NO_ERROR);
    assert_eq!(hosted(&admin), [DEFAULT]);
}

/// A cancelled installation is answered at once, and happens wholly or not at all.
pub fn a_cancelled_installation_happens_wholly_or_not_at_all(kernel: &dyn Kernel) {
    kernel.start_both();
    let session = kernel.administrator();
    let admin = kernel.program(Who::Administrator).open_admin();
    let provider = open_provider(kernel);
    let hold = kernel.hold_flush();
    let begun = provider.submit(ioctl::INSTALL, &installation(), 64);
    // Its journal is being begun.
    hold.wait_until_reached();
    assert!(begun.cancel());
    assert_eq!(code(&begun.wait()), WsaCode::WSA_E_CANCELLED);
    // Uninstalling it waits until it can be taken down; cancelled before it was begun, it is not done.
    drop(hold);
    until("it is installed", || session.attached() == 3);
    assert_eq!(hosted(&admin).len(), 3);
    answered(admin.client().uninstall(THIRD, true)).unwrap();
    assert_eq!(hosted(&admin).len(), 2);
}

/// What makes no sense, or comes from somebody who may not, changes nothing of what is hosted.
pub fn what_is_hosted_is_changed_by_nobody_else_and_not_by_nonsense(kernel: &dyn Kernel) {
    kernel.start_both();
    let admin = kernel.program(Who::Administrator).open_admin();
    let client = admin.client();
    let before = client.hosted().unwrap();
    let good = primary_for("example.org");
    let install = |guid, name: &str, blob: &[u8]| answered(client.install(guid, name, blob));
    assert_eq!(install(DEFAULT, "again", &good), Err(WsaCode::WSANO_RECOVERY));
    assert_eq!(install(Guid::NIL, "nil", &good), Err(WsaCode::WSAEINVAL));
    assert_eq!(install(THIRD, "", &good), Err(WsaCode::WSAEINVAL));
    assert_eq!(install(THIRD, &"x".repeat(257), &good), Err(WsaCode::WSAEINVAL));
    for length in 0..good.len() {
        assert_eq!(install(THIRD, "short", &good[..length]), Err(WsaCode::WSAEINVAL));
    }
    let mut other_kind = good;
    other_kind[4] = 2;
    assert_eq!(
        install(THIRD, "service", &other_kind),
        Err(WsaCode::WSAEOPNOTSUPP)
    );
    assert_eq!(answered(client.uninstall(THIRD, true)), Err(WsaCode::WSAEINVAL));

    let provider = open_provider(kernel);
    let program = kernel.program(Who::Administrator);
    let reader = program.process().open(Device::Provider, Access::Read).unwrap();
    for (code, request) in [
        (ioctl::INSTALL, installation()),
        (ioctl::UNINSTALL, uninstallation(DEFAULT)),
    ] {
        let answer = reader.call(code, &request, 64);
        assert_eq!(answer.result, Err(Win32::ACCESS_DENIED));
        let answer = provider.call(code, &request, 15);
        assert_eq!(answer.result, Err(Win32::INSUFFICIENT_BUFFER));
        for length in 0..request.len() {
            let answer = provider.call(code, &request[..length], 64);
            assert_eq!(answer.result, Err(Win32::INVALID_PARAMETER), "{length} bytes");
        }
        let answer = kernel.administrator().handle().call(code, &request, 64);
        assert_eq!(answer.result, Err(Win32::INVALID_FUNCTION), "of the other device");
    }
    assert_eq!(client.hosted().unwrap(), before);
    assert_eq!(kernel.user().attached(), 2);
}

/// Counters are set back to zero, and what counts the things that are there now is not.
pub fn counters_are_reset_and_gauges_are_not(kernel: &dyn Kernel) {
    kernel.start_both();
    let session = kernel.administrator();
    let admin = kernel.program(Who::Administrator).open_admin();
    session.register("ivan@example.com", &[ADDRESS]).unwrap();
    let query = Query::name("ivan@example.com");
    let open = answered(session.client().begin(&query, LookupFlags::RETURN_ALL)).unwrap();
    answered(open.next(LookupFlags::empty())).unwrap();
    assert!(session.counted(CounterKind::LOOKUP_BEGIN) > 0 && admin.counted(CounterKind::LOG_RECORDS) > 0);
    answered(session.client().reset_statistics()).unwrap();
    answered(admin.client().reset_statistics()).unwrap();
    for kind in [
        CounterKind::LOOKUP_BEGIN,
        CounterKind::LOOKUP_NEXT,
        CounterKind::REGISTER,
        CounterKind::STARTUP,
        CounterKind::LOG_RECORDS,
    ] {
        assert_eq!((session.counted(kind), admin.counted(kind)), (0, 0), "{kind:?}");
    }
    assert_eq!(session.counted(CounterKind::LOOKUPS), 1);
    assert_eq!(admin.counted(CounterKind::LOOKUPS), 1);
    assert_eq!(admin.counted(CounterKind::OBJECTS), 1);
    answered(open.end()).unwrap();
    assert_eq!(admin.counted(CounterKind::LOOKUPS), 0);
    let user = kernel.user();
    let reset = user
        .client()
        .reset_statistics()
        .map_err(|error| error.exit_code());
    assert_eq!(reset, Err(nsemail::ExitCode::AccessDenied));
}

/// A listing has the names of the domain and the state that are asked for and no others, however many pages it takes.
pub fn a_listing_is_filtered_by_domain_and_state(kernel: &dyn Kernel) {
    const NAMES: usize = 120;
    kernel.start_both();
    let session = kernel.administrator();
    let admin = kernel.program(Who::Administrator).open_admin();
    for number in 0..NAMES {
        let domain = ["example.com", "Example.COM.", "elsewhere.example"][number % 3];
        let name = format!("user{number:03}@{domain}");
        session.register(&name, &[ADDRESS]).unwrap();
        if number % 2 == 0 {
            session.deregister(&name).unwrap();
        }
    }
    let list = |domain: &str, state| {
        let mut asked = ListRequest {
            cursor: 0,
            provider: DEFAULT,
            state,
            domain: Text::from_str(domain).unwrap(),
        };
        let mut found = Vec::new();
        loop {
            let (page, next) = admin.client().list_matching(&asked).unwrap();
            found.extend(page);
            asked.cursor = next;
            if next == 0 {
                return found;
            }
        }
    };
    let of_domain = list("EXAMPLE.com", None);
    assert_eq!(of_domain.len(), NAMES / 3 * 2);
    assert!(
        of_domain
            .iter()
            .all(|it| it.record.name.to_lowercase().contains("@example.com"))
    );
    let names: Vec<_> = of_domain.iter().map(|it| &it.record.name).collect();
    assert!(names.is_sorted(), "in the order of names");
    let deregistered = list("example.com", Some(RecordState::Deregistered));
    assert_eq!(deregistered.len(), NAMES / 3);
    assert!(
        deregistered
            .iter()
            .all(|it| it.state == RecordState::Deregistered)
    );
    assert_eq!(list("", Some(RecordState::Registered)).len(), NAMES / 2);
    assert_eq!(list("mail.example.com", None).len(), 0, "domains match exactly");
    let wrong = ListRequest {
        domain: Text::from_str("no domain").unwrap(),
        ..ListRequest::all(DEFAULT, 0)
    };
    assert_eq!(
        answered(admin.client().list_matching(&wrong)),
        Err(WsaCode::WSAEINVAL)
    );
}

/// What is open is told for each handle and for each hosted provider, and is gone when it is closed.
pub fn what_is_open_is_told_by_session_and_by_provider(kernel: &dyn Kernel) {
    kernel.start_both();
    let session = kernel.administrator();
    let admin = kernel.program(Who::Administrator).open_admin();
    session.register("judy@example.com", &[ADDRESS]).unwrap();
    let own = answered(session.client().sessions()).unwrap();
    assert_eq!(own.len(), 1);
    let user = kernel.user();
    let query = Query::name("judy@example.com");
    let open = answered(user.client().begin(&query, LookupFlags::RETURN_ALL)).unwrap();
    answered(open.next(LookupFlags::empty())).unwrap();
    let hold = kernel.hold_flush();
    let change = session.submit_register("judy@example.net", &[ADDRESS]);
    hold.wait_until_reached();

    let sessions = answered(session.client().sessions()).unwrap();
    let seen: Vec<_> = sessions.iter().map(|it| (it.look_ups, it.calls)).collect();
    assert_eq!(seen, [(0, 1), (1, 0)]);
    assert_eq!(sessions[0], OpenSession { calls: 1, ..own[0] });
    let at = |provider: Guid| {
        let sessions = answered(admin.client().sessions()).unwrap();
        let open = sessions
            .into_iter()
            .find(|open| open.provider == provider)
            .unwrap();
        (open.sessions, open.look_ups, open.calls)
    };
    assert_eq!(at(DEFAULT), (2, 1, 0));
    assert_eq!(at(EXAMPLE), (1, 0, 1));
    drop(hold);
    assert_eq!(code(&change.wait()), WsaCode::NO_ERROR);
    answered(open.end()).unwrap();
    drop(user);
    until("the other session is gone", || {
        answered(session.client().sessions()).unwrap().len() == 1
    });
    until("its sessions with the providers, too", || {
        at(DEFAULT) == (1, 0, 0)
    });
    assert_eq!(at(EXAMPLE), (1, 0, 0));
    let numbered = answered(kernel.user().client().sessions()).unwrap();
    assert!(
        numbered[1].number > sessions[1].number,
        "no number is given twice"
    );
}
