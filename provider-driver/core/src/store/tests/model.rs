//! The store against a plain model, and its packed records.

use proptest::prelude::*;
use std::collections::BTreeMap;

use super::*;

/// Objects by lower-case name and context.
type Model = BTreeMap<(String, String), Seen>;

/// A name as names are compared.
fn plain(name: &str) -> String {
    name.to_lowercase().trim_end_matches('.').to_string()
}

/// The rules again, as plainly as they can be said.
fn expect(model: &mut Model, call: &Call) -> Answer {
    let context = call.context.clone().unwrap_or_default();
    let key = (plain(&call.name), context.to_lowercase());
    let mut given: Vec<String> = Vec::new();
    for (address, ..) in &call.addresses {
        let address = std::format!("{address}/6");
        if !given.contains(&address) {
            given.push(address);
        }
    }
    let multiple = call.flags == MULTIPLE;
    let blob = call.blob.clone().filter(|blob| !blob.is_empty());
    let old = model.get(&key).cloned();
    let before = old.as_ref().map_or_else(Vec::new, |old| old.1.clone());
    let new = match (call.operation, old) {
        (REGISTER, Some((_, mut addresses, version, comment, old_blob))) if multiple => {
            addresses.extend(given.into_iter().filter(|address| !before.contains(address)));
            let blob = if call.blob.is_some() { blob } else { old_blob };
            Some((
                State::Registered,
                addresses,
                call.version.or(version),
                call.comment.clone().or(comment),
                blob,
            ))
        }
        (REGISTER, _) => Some((State::Registered, given, call.version, call.comment.clone(), blob)),
        (_, None) => return Err(WsaCode::WSASERVICE_NOT_FOUND),
        (operation, Some((state, mut addresses, version, comment, blob))) => {
            if multiple {
                addresses.retain(|address| !given.contains(address));
            } else {
                addresses.clear();
            }
            match (addresses.is_empty(), operation == DELETE) {
                (true, true) => None,
                (true, false) => Some((State::Deregistered, addresses, version, comment, blob)),
                (false, _) => Some((state, addresses, version, comment, blob)),
            }
        }
    };
    let after = new.as_ref().map_or_else(Vec::new, |new| new.1.clone());
    match new {
        Some(new) => model.insert(key, new),
        None => model.remove(&key),
    };
    let missing = |from: &[String], other: &[String]| {
        u16::try_from(from.iter().filter(|a| !other.contains(a)).count()).unwrap()
    };
    Ok((missing(&after, &before), missing(&before, &after)))
}

fn any_call() -> impl Strategy<Value = Call> {
    let name = prop::sample::select(std::vec!["a@x", "A@X.", "b@x", "c@y", "\"a@x\"@Y", "d@z.x"])
        .prop_map(str::to_string);
    let context = prop::option::of(prop::sample::select(std::vec!["", "im", "IM"]).prop_map(str::to_string));
    let addresses = prop::collection::vec(
        (1..5_u8).prop_map(|n| (std::format!("192.0.2.{n}:{n}"), 1, 0)),
        0..4,
    );
    let comment = prop::option::of(prop::sample::select(std::vec!["", "desk"]).prop_map(str::to_string));
    let blob = prop::option::of(prop::collection::vec(any::<u8>(), 0..3));
    (
        0..3_u32,
        0..2_u32,
        name,
        context,
        prop::option::of(0..3_u32),
        comment,
        blob,
        addresses,
    )
        .prop_map(
            |(operation, flags, name, context, version, comment, blob, addresses)| Call {
                operation,
                flags,
                name,
                context,
                version,
                comment,
                blob,
                addresses,
                namespace: 0,
            },
        )
}

fn contents(store: &Store<Global>) -> Model {
    let records = store.snapshot(|_| true).unwrap();
    let objects = records.iter().map(|record| {
        let view = record.view();
        (
            (
                plain(&view.name().to_string()),
                view.context().to_string().to_lowercase(),
            ),
            see(&view),
        )
    });
    objects.collect()
}

/// Listing each domain shows its objects, having looked at the names of that domain only.
fn domains_hold_their_names(store: &Store<Global>, model: &Model) {
    let domain_of = |name: &String| name.rsplit_once('@').unwrap().1.to_string();
    let mut domains: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for (name, _) in model.keys() {
        domains.entry(domain_of(name)).or_default().push(name);
    }
    for (domain, names) in &domains {
        let spelled = std::format!("{}.", domain.to_uppercase());
        let asked = Domain::parse(Text::from_str(&spelled).unwrap()).unwrap();
        let listed = store.snapshot_domain(asked, |_| true).unwrap();
        let mut listed: Vec<_> = listed
            .iter()
            .map(|record| plain(&record.view().name().to_string()))
            .collect();
        listed.sort();
        assert_eq!(
            listed,
            names.iter().map(|name| (*name).clone()).collect::<Vec<_>>()
        );
        listed.dedup();
        let looked_at = store.domains.names(store.key.domain(asked)).count();
        assert_eq!(looked_at, listed.len(), "names of {domain}");
    }
    assert_eq!(store.domains.len(), domains.len());
}

proptest! {
    #[test]
    fn the_store_does_what_the_model_does_however_changes_are_batched(
        calls in prop::collection::vec((any_call(), any::<bool>()), 0..60),
    ) {
        let (mut fixture, mut model) = (Fixture::new(), Model::new());
        for (call, publish) in &calls {
            prop_assert_eq!(fixture.stage(call), expect(&mut model, call));
            if *publish {
                fixture.publish();
                prop_assert_eq!(contents(&fixture.store), model.clone());
                domains_hold_their_names(&fixture.store, &model);
            }
        }
        fixture.publish();
        prop_assert_eq!(contents(&fixture.store), model.clone());
        prop_assert_eq!(fixture.store.len(), model.len());
        prop_assert_eq!(fixture.store.addresses(), model.values().map(|object| object.1.len() as u64).sum::<u64>());
        prop_assert_eq!(fixture.store.bytes(), fixture.store.contents().map(|bytes| bytes.len() as u64).sum::<u64>());
    }

    #[test]
    fn what_a_batch_writes_makes_the_same_store_again(calls in prop::collection::vec(any_call(), 0..40)) {
        let mut fixture = Fixture::new();
        let mut again = Fixture::new();
        for call in &calls {
            if fixture.stage(call).is_err() {
                continue;
            }
            let change = fixture.batch.entries_mut().last().map(|entry| (entry.removed, entry.record.clone()));
            match change {
                Some((true, record)) => again.store.load_remove(&Key::of(&record.view())),
                Some((false, record)) => {
                    let copy = Record::try_from_bytes_in(record.as_bytes(), Global).unwrap().unwrap();
                    again.store.load_put(copy).unwrap();
                }
                None => {}
            }
            fixture.publish();
        }
        prop_assert_eq!(contents(&again.store), contents(&fixture.store));
        domains_hold_their_names(&again.store, &contents(&again.store));
        prop_assert_eq!(again.store.bytes(), fixture.store.bytes());
    }

    #[test]
    fn dropping_a_batch_leaves_the_store_as_it_was(
        before in prop::collection::vec(any_call(), 0..10),
        dropped in prop::collection::vec(any_call(), 0..10),
    ) {
        let mut fixture = Fixture::new();
        for call in &before {
            let _ = fixture.set(call);
        }
        let contents_before = contents(&fixture.store);
        for call in &dropped {
            let _ = fixture.stage(call);
        }
        // Also with room for it.
        fixture.store.reserve(&fixture.batch).unwrap();
        fixture.batch.clear();
        prop_assert_eq!(&contents(&fixture.store), &contents_before);
        domains_hold_their_names(&fixture.store, &contents_before);
    }

    #[test]
    fn no_byte_string_is_mistaken_for_a_record_or_makes_reading_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        call in any_call(),
        at in any::<prop::sample::Index>(),
    ) {
        let _ = RecordRef::parse(&bytes);
        let mut fixture = Fixture::new();
        fixture.set(&Call { operation: REGISTER, ..call }).unwrap();
        let mut changed = fixture.store.contents().next().unwrap().to_vec();
        prop_assert!(RecordRef::parse(&changed).is_some());
        for shorter in 0..changed.len() {
            prop_assert!(RecordRef::parse(&changed[..shorter]).is_none());
        }
        let at = at.index(changed.len());
        changed[at] ^= bytes.first().copied().unwrap_or(1);
        if let Some(view) = RecordRef::parse(&changed) {
            let _ = see(&view);
        }
    }
}
