//! Which providers the driver attaches to, and what it keeps of them.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code"
)]

mod support;

use nsemail_contract::WsaCode;
use nsemail_contract::dispatch::ProviderCharacteristics;
use nsemail_contract::ids::CLIENT_SERVICE;
use nsemail_contract::wire::EventKind;
use nt_sim::registry::Value;
use support::provider::{BROKEN, primary, secondary};
use support::{PROVIDERS, Rig};

const ANN: &str = "ann@example.com";
const ATTACHED: u32 = 2;
const ENABLED: u32 = 1;
const CATALOG: &str =
    r"\Registry\Machine\System\CurrentControlSet\Services\nsemail_client\Parameters\Catalog";

fn key(number: u8) -> String {
    format!(r"{CATALOG}\{}", nsemail_contract::Guid::from_u128(number.into()))
}

#[test]
fn malformed_characteristics_are_declined_with_an_event() {
    type Tweak = fn(&mut ProviderCharacteristics);
    let tweaks: [(Tweak, &str); 9] = [
        (
            |it| it.version = 0x0002_0000,
            "characteristics of another version or size",
        ),
        (|it| it.size -= 8, "characteristics of another version or size"),
        (|it| it.provider = nsemail_contract::Guid::NIL, "no provider GUID"),
        (|it| it.namespace = 12, "another namespace"),
        (
            |it| it.identifier_length = 257,
            "identifier too long or misaligned",
        ),
        (|it| it.blob_length = 0x1_0001, "installation blob too large"),
        (|it| it.blob = std::ptr::null(), "a pointer is null"),
        (|it| it.blob_length = 0, "installation blob: "),
        (|it| it.blob_length = 30, "installation blob: "),
    ];
    for (tweak, reason) in tweaks {
        let module = primary(1).has(&[ANN]).on_register(tweak).build();
        let rig = Rig::new(vec![module.clone(), secondary(2).has(&[ANN]).build()]);
        let program = rig.program();
        let declined = program.events(EventKind::ATTACH_DECLINED);
        assert!(
            matches!(&declined[..], [text] if text.starts_with(reason)),
            "{reason}: {declined:?}"
        );
        assert_eq!(module.trace(), [] as [&str; 0], "the provider heard nothing");
        assert_eq!(program.providers(), [(2, ENABLED | ATTACHED)]);
        assert_eq!(program.look_up(ANN).unwrap()[0].1, 2);
        drop(program);
        rig.shutdown();
    }
}

#[test]
fn a_provider_that_declines_or_has_no_usable_table_is_in_the_catalogue_and_not_attached() {
    let declining = primary(1).has(&[ANN]).declines().build();
    let broken = secondary(2).has(&[ANN]).table(&BROKEN).build();
    let rig = Rig::new(vec![declining, broken, secondary(3).has(&[ANN]).build()]);
    let program = rig.program();
    assert_eq!(
        program.events(EventKind::ATTACH_DECLINED),
        ["the provider declined", "its dispatch table is not usable"]
    );
    assert_eq!(
        program.providers(),
        [(1, ENABLED), (2, ENABLED), (3, ENABLED | ATTACHED)]
    );
    assert_eq!(program.look_up(ANN).unwrap()[0].1, 3);
    drop(program);
    rig.shutdown();
}

#[test]
fn of_two_modules_with_one_guid_the_second_is_declined() {
    let (first, second) = (primary(1).has(&[ANN]).build(), primary(1).has(&[]).build());
    let rig = Rig::installed(vec![first], vec![second.clone()]);
    for service in [CLIENT_SERVICE, PROVIDERS[0], PROVIDERS[1]] {
        rig.machine.start(service).unwrap();
    }
    let program = rig.program();
    let declined = program.events(EventKind::ATTACH_DECLINED);
    assert_eq!(declined, ["another module with this GUID is attached"]);
    assert!(second.trace().is_empty());
    assert_eq!(program.providers(), [(1, ENABLED | ATTACHED)]);
    assert!(program.look_up(ANN).is_ok());
    // When the first is gone, the second may attach, when it registers again.
    rig.stop(PROVIDERS[0]);
    rig.stop(PROVIDERS[1]);
    assert_eq!(program.providers(), [(1, ENABLED)]);
    assert_eq!(program.look_up(ANN), Err(WsaCode::WSASERVICE_NOT_FOUND));
    rig.machine.start(PROVIDERS[1]).unwrap();
    assert_eq!(second.trace(), ["attach"]);
    drop(program);
    rig.shutdown();
}

#[test]
fn the_device_works_before_any_provider_exists_and_after_the_last_is_gone() {
    let rig = Rig::installed(vec![primary(1).has(&[ANN]).build()], Vec::new());
    rig.machine.start(CLIENT_SERVICE).unwrap();
    let program = rig.program();
    assert_eq!(program.look_up(ANN), Err(WsaCode::WSASERVICE_NOT_FOUND));
    assert_eq!(program.providers(), []);
    for _ in 0..2 {
        rig.machine.start(PROVIDERS[0]).unwrap();
        assert!(program.look_up(ANN).is_ok());
        rig.stop(PROVIDERS[0]);
        assert_eq!(program.look_up(ANN), Err(WsaCode::WSASERVICE_NOT_FOUND));
    }
    assert_eq!(program.events(EventKind::DETACHED).len(), 2);
    drop(program);
    rig.shutdown();
}

#[test]
fn the_catalogue_outlives_the_driver_and_keeps_the_order_of_first_sight() {
    let rig = Rig::installed(
        vec![secondary(2).has(&[ANN]).build()],
        vec![secondary(1).has(&[ANN]).build()],
    );
    for service in [CLIENT_SERVICE, PROVIDERS[0], PROVIDERS[1]] {
        rig.machine.start(service).unwrap();
    }
    let program = rig.program();
    assert_eq!(
        program.events(EventKind::CATALOGUE_ADDED),
        ["appended", "appended"]
    );
    assert_eq!(program.look_up(ANN).unwrap()[0].1, 2, "first seen");
    program.handle.close_and_wait();
    for service in [PROVIDERS[0], PROVIDERS[1], CLIENT_SERVICE] {
        rig.stop(service);
    }
    // An administrator swaps them.
    rig.machine
        .registry()
        .put(&key(2), "Order", Value::dword(5))
        .unwrap();
    for service in [PROVIDERS[0], PROVIDERS[1], CLIENT_SERVICE] {
        rig.machine.start(service).unwrap();
    }
    let program = rig.program();
    assert!(program.events(EventKind::CATALOGUE_ADDED).is_empty());
    assert_eq!(
        program.providers(),
        [(1, ENABLED | ATTACHED), (2, ENABLED | ATTACHED)]
    );
    assert_eq!(program.look_up(ANN).unwrap()[0].1, 1);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_disabled_provider_is_attached_and_not_asked() {
    let rig = Rig::new(vec![
        primary(1).has(&[ANN]).build(),
        secondary(2).has(&[ANN]).build(),
    ]);
    rig.stop(CLIENT_SERVICE);
    rig.machine
        .registry()
        .put(&key(1), "Enabled", Value::dword(0))
        .unwrap();
    rig.machine.start(CLIENT_SERVICE).unwrap();
    let program = rig.program();
    assert_eq!(program.providers(), [(1, ATTACHED), (2, ENABLED | ATTACHED)]);
    assert_eq!(program.look_up(ANN).unwrap()[0].1, 2);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_damaged_entry_counts_as_disabled_and_harms_no_other() {
    let rig = Rig::new(vec![
        primary(1).has(&[ANN]).build(),
        secondary(2).has(&[ANN]).build(),
    ]);
    rig.stop(CLIENT_SERVICE);
    rig.machine
        .registry()
        .put(&key(1), "Blob", Value::binary(vec![1, 2, 3]))
        .unwrap();
    rig.machine
        .registry()
        .create_path(&format!(r"{CATALOG}\not a GUID"))
        .unwrap();
    rig.machine.start(CLIENT_SERVICE).unwrap();
    let program = rig.program();
    assert_eq!(program.events(EventKind::ENTRY_SKIPPED).len(), 2);
    assert_eq!(program.providers(), [(2, ENABLED | ATTACHED), (1, ATTACHED)]);
    assert_eq!(program.look_up(ANN).unwrap()[0].1, 2);
    drop(program);
    rig.shutdown();
}

#[test]
fn an_entry_that_was_not_written_to_its_end_is_appended_again() {
    let rig = Rig::new(vec![
        primary(1).has(&[ANN]).build(),
        secondary(2).has(&[ANN]).build(),
    ]);
    rig.stop(CLIENT_SERVICE);
    let registry = rig.machine.registry();
    let entry = registry.open_key(None, &key(1)).unwrap();
    registry.delete_value(entry, "Enabled").unwrap();
    rig.machine.start(CLIENT_SERVICE).unwrap();
    let program = rig.program();
    let both = ENABLED | ATTACHED;
    assert_eq!(program.providers(), [(2, both), (1, both)]);
    assert_eq!(program.look_up(ANN).unwrap()[0].1, 1, "it is the primary again");
    drop(program);
    rig.shutdown();
}

#[test]
fn both_orders_of_loading_and_unloading_are_fine() {
    for services in [[PROVIDERS[0], CLIENT_SERVICE], [CLIENT_SERVICE, PROVIDERS[0]]] {
        for unload in [services, [services[1], services[0]]] {
            let rig = Rig::installed(vec![primary(1).has(&[ANN]).build()], Vec::new());
            for service in services {
                rig.machine.start(service).unwrap();
            }
            let program = rig.program();
            assert!(program.look_up(ANN).is_ok());
            program.handle.close_and_wait();
            for service in unload {
                rig.stop(service);
            }
            rig.shutdown();
        }
    }
}
