//! What an administrator changes while programs look names up.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nsemail::{Registration, client::Query};
use nsemail_contract::{
    Guid, LookupFlags, Operation, SetFlags, WsaCode, ioctl,
    wire::{ChainPart, CounterKind, EnableRequest, EventKind, OrderRequest, ProviderRequest},
};

use crate::{
    kernel::{Driver, Kernel, Who, Win32},
    program::{DEFAULT, EXAMPLE, Session, addresses, answered, code, message, name},
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
        over.store(true, Ordering::Release);
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
