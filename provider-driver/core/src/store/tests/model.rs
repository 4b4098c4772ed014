//! The store against the plain model that both drivers are compared with too (`tests/scenarios/tests/model.rs`), and its
//! packed records.

use nsemail_contract::fault::WriteError;
use nsemail_contract::guid::Guid;
use nsemail_model::{self as model, Code, Object, Question, domain, strategy};
use proptest::prelude::*;
use std::collections::BTreeSet;

use super::*;
use crate::lookup::{Lookup, Next};

fn stage(fixture: &mut Fixture, call: &model::Call) -> Result<model::Counts, Code> {
    let (operation, flags) = (call.operation() as u32, call.flags().bits());
    // Which provider a call goes to is not the store's business.
    let call = model::Call {
        provider: None,
        ..call.clone()
    };
    let (added, removed) = call
        .with(&[], |query| fixture.stage_query(operation, flags, &query))
        .map_err(|code| code.0)?;
    Ok(model::Counts {
        added: added.into(),
        removed: removed.into(),
    })
}

/// What a record says.
fn object(view: &RecordRef<'_>) -> Object {
    let fields = view.fields();
    let query = QuerySet {
        name: Some(fields.name),
        context: Some(fields.context),
        version: fields.version.map(|version| Version {
            version,
            comparator: 0,
        }),
        comment: fields.comment,
        blob: fields.blob,
        addresses: view.addresses(),
        ..QuerySet::default()
    };
    Object::read(&query, fields.state == State::Registered)
}

/// A look-up from `Begin` to the end.
fn look_up(store: &Store<Global>, asked: &Question) -> Result<Vec<Object>, Code> {
    let flags = asked.flags();
    let asked = Question {
        provider: None,
        ..asked.clone()
    };
    asked.with(&[], |query| {
        let code = |code: WsaCode| code.0;
        let parsed = Query::from_query(&query, flags).map_err(code)?.unwrap();
        let found = select(store, &parsed);
        let mut lookup = Lookup::try_new(Guid::NIL, flags, query.protocols, found, Global).unwrap();
        let mut objects = Vec::new();
        loop {
            let next = lookup.next(LookupFlags::empty(), |record| {
                objects.push(Object::read(record, true));
                Ok::<_, WriteError>(1)
            });
            match next {
                Next::Written(_) => {}
                Next::None(WsaCode::WSA_E_NO_MORE) => return Ok(objects),
                Next::None(code) => return Err(code.0),
                Next::TooSmall(_) => panic!("there is always room"),
            }
        }
    })
}

/// All objects, by folded name and context.
fn contents(store: &Store<Global>) -> Vec<Object> {
    let mut records = store.snapshot(|_| true).unwrap();
    records.sort_unstable_by(Record::cmp_name);
    records.iter().map(|record| object(&record.view())).collect()
}

fn objects(model: &model::Store) -> Vec<Object> {
    model.objects().cloned().collect()
}

/// Listing each domain shows its objects, having looked at the names of that domain only.
fn domains_hold_their_names(store: &Store<Global>) {
    let all = contents(store);
    let domains: BTreeSet<String> = all.iter().map(|object| domain(&object.name)).collect();
    for of in &domains {
        let spelled = std::format!("{}.", of.to_lowercase());
        let asked = Domain::parse(Text::from_str(&spelled).unwrap()).unwrap();
        let mut listed = store.snapshot_domain(asked, |_| true).unwrap();
        listed.sort_unstable_by(Record::cmp_name);
        let listed: Vec<Object> = listed.iter().map(|record| object(&record.view())).collect();
        let expected: Vec<Object> = all
            .iter()
            .filter(|object| domain(&object.name) == *of)
            .cloned()
            .collect();
        assert_eq!(listed, expected);
        let looked_at = store.domains.objects(store.key.domain(asked)).len();
        assert_eq!(looked_at, listed.len(), "objects of {of}");
    }
    assert_eq!(store.domains.len(), domains.len());
}

proptest! {
    #[test]
    fn the_store_does_what_the_model_does_however_changes_are_batched(
        calls in prop::collection::vec((strategy::call(), any::<bool>()), 0..60),
        asked in prop::collection::vec(strategy::question(), 20),
    ) {
        let (mut fixture, mut model) = (Fixture::new(), model::Store::default());
        for (call, publish) in &calls {
            prop_assert_eq!(stage(&mut fixture, call), model.set(call));
            if *publish {
                fixture.publish();
                prop_assert_eq!(contents(&fixture.store), objects(&model));
                domains_hold_their_names(&fixture.store);
            }
        }
        fixture.publish();
        prop_assert_eq!(contents(&fixture.store), objects(&model));
        prop_assert_eq!(fixture.store.len(), model.len());
        prop_assert_eq!(fixture.store.addresses(), model.objects().map(|object| object.addresses.len() as u64).sum::<u64>());
        prop_assert_eq!(fixture.store.bytes(), fixture.store.contents().map(|bytes| bytes.len() as u64).sum::<u64>());
        for asked in &asked {
            prop_assert_eq!(look_up(&fixture.store, asked), model.look_up(asked), "{:?}", asked);
        }
    }

    #[test]
    fn what_a_batch_writes_makes_the_same_store_again(
        calls in prop::collection::vec(strategy::call(), 0..100),
        together in 1..=3 * TOGETHER,
        guess in 0_usize..100,
    ) {
        let mut fixture = Fixture::new();
        let mut again = Fixture::new();
        let mut read = pool_alloc::Vec::new_in(Global);
        for call in &calls {
            if stage(&mut fixture, call).is_err() {
                continue;
            }
            let change = fixture.batch.entries().next_back().map(|entry| (entry.removed, entry.record.clone()));
            match change {
                Some((true, record)) => {
                    again.store.load_puts(&mut read, guess).unwrap();
                    again.store.load_remove(&Key::of(&record.view())).unwrap();
                }
                Some((false, record)) => {
                    let copy = Record::try_from_bytes_in(record.as_bytes(), Global).unwrap().unwrap();
                    read.try_push(copy).unwrap();
                    if read.len() == together {
                        again.store.load_puts(&mut read, guess).unwrap();
                    }
                }
                None => {}
            }
            fixture.publish();
        }
        again.store.load_puts(&mut read, guess).unwrap();
        prop_assert_eq!(contents(&again.store), contents(&fixture.store));
        prop_assert_eq!(again.store.bytes(), fixture.store.bytes());
        domains_hold_their_names(&again.store);
    }

    #[test]
    fn dropping_a_batch_leaves_the_store_as_it_was(
        before in prop::collection::vec(strategy::call(), 0..10),
        dropped in prop::collection::vec(strategy::call(), 0..10),
        reserved in any::<bool>(),
    ) {
        let mut fixture = Fixture::new();
        for call in &before {
            let _ = stage(&mut fixture, call);
            fixture.publish();
        }
        let contents_before = contents(&fixture.store);
        for call in &dropped {
            let _ = stage(&mut fixture, call);
        }
        if reserved {
            fixture.store.reserve(&fixture.batch).unwrap();
            fixture.store.unreserve(&fixture.batch);
        }
        fixture.batch.clear();
        prop_assert_eq!(contents(&fixture.store), contents_before);
        domains_hold_their_names(&fixture.store);
    }

    #[test]
    fn no_byte_string_is_mistaken_for_a_record_or_makes_reading_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        call in strategy::call(),
        at in any::<prop::sample::Index>(),
    ) {
        let _ = RecordRef::parse(&bytes);
        let mut fixture = Fixture::new();
        let register = model::Call { operation: model::Operation::Register, ..call };
        stage(&mut fixture, &register).unwrap();
        fixture.publish();
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
