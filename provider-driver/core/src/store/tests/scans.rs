//! A pass over the store while it changes.

use proptest::prelude::*;
use std::{collections::BTreeMap, format};

use super::*;

fn named(operation: u32, number: u16, port: u16) -> Call {
    Call {
        name: format!("n{number}@example.com"),
        ..call(operation, 0, &[&format!("192.0.2.1:{port}")])
    }
}

/// The object's name and all of it, for the copy that a pass makes.
fn entry(bytes: &[u8]) -> (String, Vec<u8>) {
    let record = RecordRef::parse(bytes).unwrap();
    (record.name().to_string(), bytes.to_vec())
}

#[test]
fn a_listing_shows_what_is_kept_of_a_domain_of_any_size() {
    let mut fixture = Fixture::new();
    let domain = Domain::parse(Text::from_str("example.com").unwrap()).unwrap();
    let is_kept = |name: &str| !name.starts_with("n3") && !name.starts_with("n64");
    for size in 1..130 {
        let change = named(REGISTER, size, 1);
        fixture.set(&change).unwrap();
        if !is_kept(&change.name) {
            fixture.set(&named(DEREGISTER, size, 1)).unwrap();
        }
        let listed = fixture
            .store
            .snapshot_domain(domain, |state| state == State::Registered);
        let mut listed: Vec<_> = listed
            .unwrap()
            .iter()
            .map(|record| record.view().name().to_string())
            .collect();
        listed.sort_unstable();
        let names = (1..=size).map(|number| named(REGISTER, number, 1).name);
        let mut expected: Vec<_> = names.filter(|name| is_kept(name)).collect();
        expected.sort_unstable();
        assert_eq!(listed, expected);
    }
}

proptest! {
    // A case makes hundreds of changes.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_a_pass_shows_and_what_changes_meanwhile_make_the_store(
        before in 0..300_u16,
        changes in prop::collection::vec((0..400_u16, any::<bool>()), 0..600),
        at_a_time in 1..20_usize,
    ) {
        let mut fixture = Fixture::new();
        for number in 0..before {
            fixture.set(&named(REGISTER, number, 1)).unwrap();
        }
        let mut copy: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut scan = fixture.store.begin_scan();
        let mut changes = changes.into_iter().zip(2..);
        loop {
            let mut left = at_a_time;
            let over = fixture.store.scan(&mut scan, |bytes| {
                copy.extend([entry(bytes)]);
                left -= 1;
                Ok::<_, ()>(left > 0)
            });
            if over == Ok(true) {
                break;
            }
            // Fewer changes than objects are shown, so that the pass ends.
            for ((number, register), port) in changes.by_ref().take(at_a_time) {
                let operation = if register { REGISTER } else { DELETE };
                let change = named(operation, number, port);
                if fixture.set(&change).is_ok() {
                    if register {
                        let name = Text::from_str(&change.name).unwrap();
                        let new = fixture.store.contents().find(|bytes| RecordRef::parse(bytes).unwrap().name() == name);
                        copy.extend(new.map(entry));
                    } else {
                        copy.remove(&change.name);
                    }
                }
            }
        }
        let store: BTreeMap<_, _> = fixture.store.contents().map(entry).collect();
        prop_assert_eq!(copy, store);
    }
}
