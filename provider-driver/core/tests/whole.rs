//! Whole look-ups in one call say what look-ups say that are begun, asked for all their records, and ended.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code"
)]

mod support;

use nsemail_contract::codes::WsaCode;
use nsemail_contract::flags::LookupFlags;
use nsemail_contract::guid::Guid;
use nsemail_contract::ids;
use nsemail_contract::queryset::{QuerySet, Version};
use nsemail_contract::text::Text;
use proptest::prelude::*;
use support::{ALL, DEREGISTER, REGISTER, Session, session, stop};

const NAMES: [&str; 4] = [
    "ann@example.com",
    "Bob@Example.com",
    "mül@example.com",
    "eve@example.org",
];

fn query(name: &str) -> QuerySet<'_> {
    QuerySet {
        name: Some(Text::from_str(name).unwrap()),
        ..QuerySet::default()
    }
}

/// The records that entries hold, each checked to be marked as nobody's.
fn records(mut entries: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !entries.is_empty() {
        let size = u32::from_le_bytes(entries[..4].try_into().unwrap()) as usize;
        assert_eq!(entries[4..8], [0; 4]);
        records.push(entries[8..size].to_vec());
        entries = &entries[size..];
    }
    records
}

/// Registers what the questions are about: names with addresses, one that is out of service.
fn fill(session: &Session) {
    for (index, name) in NAMES.iter().enumerate() {
        let addresses: Vec<String> = (0..=index).map(|last| format!("192.0.2.{last}:25")).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        session.set(REGISTER, 0, name, &addresses).unwrap();
    }
    session.set(DEREGISTER, 0, NAMES[3], &[]).unwrap();
}

fn asked() -> impl Strategy<Value = (String, Option<String>, u32, u32)> {
    let name = prop_oneof![
        6 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned),
        2 => prop::sample::select(&["ANN@example.COM.", "nobody@example.com", "no address", "@x", ""][..])
            .prop_map(str::to_owned),
        1 => (1..400_usize).prop_map(|length| format!("{}@example.com", "x".repeat(length))),
    ];
    let context = prop::option::weighted(0.1, Just("chat".to_owned()));
    let namespace = prop_oneof![8 => Just(ids::NS_EMAIL), 2 => Just(ids::NS_ALL), 1 => Just(12_u32)];
    (
        name,
        context,
        namespace,
        prop_oneof![8 => Just(0_u32), 1 => 1..4_u32],
    )
}

fn flags() -> impl Strategy<Value = u32> {
    let some = [
        LookupFlags::RETURN_ALL,
        LookupFlags::RETURN_ADDR,
        LookupFlags::RETURN_NAME.union(LookupFlags::RETURN_ADDR),
        LookupFlags::RETURN_COMMENT,
        LookupFlags::RETURN_TYPE,
        LookupFlags::RETURN_ALL.union(LookupFlags::DEEP),
        LookupFlags::RETURN_ALL.union(LookupFlags::CONTAINERS),
        LookupFlags::RETURN_PREFERRED_NAMES,
        LookupFlags::empty(),
    ];
    prop::sample::select(some.to_vec()).prop_map(|flags| flags.bits())
}

#[test]
fn whole_look_ups_answer_what_those_answer_that_are_begun() {
    let (machine, caller, session) = session();
    fill(&session);
    let cases = (prop::collection::vec(asked(), 0..20), flags());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    runner
        .run(&cases, |(asked, flags)| {
            let queries: Vec<QuerySet<'_>> = asked
                .iter()
                .map(|(name, context, namespace, comparator)| QuerySet {
                    context: context.as_deref().map(|context| Text::from_str(context).unwrap()),
                    namespace: *namespace,
                    version: (*comparator > 0).then_some(Version {
                        version: 1,
                        comparator: *comparator,
                    }),
                    ..query(name)
                })
                .collect();
            let answers = session.whole(&queries, flags, 1 << 16).unwrap();
            prop_assert_eq!(answers.len(), queries.len());
            for (query, (code, entries)) in queries.iter().zip(answers) {
                match code {
                    // It is left to a look-up that is begun.
                    WsaCode::WSAEOPNOTSUPP => {
                        let deep = LookupFlags::from_bits_retain(flags).contains(LookupFlags::DEEP);
                        let long = query.size().unwrap() > 512;
                        prop_assert!((deep || long) && entries.is_empty(), "{:?}", query);
                    }
                    WsaCode::NO_ERROR => {
                        prop_assert_eq!(session.records(query, flags), Ok(records(&entries)));
                    }
                    code => {
                        prop_assert!(entries.is_empty());
                        prop_assert_eq!(session.records(query, flags), Err(code), "{:?}", query);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
    drop(caller);
    stop(&machine);
}

#[test]
fn what_does_not_fit_any_more_is_said_and_the_rest_is_answered() {
    let (machine, caller, session) = session();
    fill(&session);
    let queries = NAMES.map(query);
    let all = session.whole(&queries, ALL, 1 << 16).unwrap();
    let sizes: Vec<usize> = all.iter().map(|(_, entries)| entries.len()).collect();
    // There is room for the first name and no byte more, and for nothing of what is out of service.
    let some = session.whole(&queries, ALL, sizes[0]).unwrap();
    let codes: Vec<WsaCode> = some.iter().map(|(code, _)| *code).collect();
    assert_eq!(
        codes,
        [
            WsaCode::NO_ERROR,
            WsaCode::WSAEFAULT,
            WsaCode::WSAEFAULT,
            WsaCode::WSANO_DATA
        ]
    );
    assert_eq!(some[0], all[0]);
    assert!(some[1..].iter().all(|(_, entries)| entries.is_empty()));
    drop(caller);
    stop(&machine);
}

#[test]
fn without_a_session_or_for_another_provider_no_question_is_answered() {
    let (machine, caller, session) = session();
    fill(&session);
    let queries = [query(NAMES[0])];
    let mut other = session.clone();
    other.session = std::ptr::without_provenance_mut(0x1234);
    assert_eq!(other.whole(&queries, ALL, 4096), Err(WsaCode::WSAEINVAL));
    let mut other = session.clone();
    other.peer.provider = Guid::from_u128(1);
    assert_eq!(other.whole(&queries, ALL, 4096), Err(WsaCode::WSAEINVAL));
    assert_eq!(session.peer.cleanup(session.session), WsaCode::NO_ERROR);
    assert_eq!(session.whole(&queries, ALL, 4096), Err(WsaCode::WSAEINVAL));
    drop(caller);
    stop(&machine);
}

#[test]
fn a_question_that_is_no_query_is_refused_and_others_are_answered() {
    let (machine, caller, session) = session();
    fill(&session);
    let good = query(NAMES[0]);
    let answers = session
        .whole(&[QuerySet::default(), good, query("")], ALL, 4096)
        .unwrap();
    assert_eq!(answers[0].0, WsaCode::WSAEINVAL);
    assert_eq!(answers[1].0, WsaCode::NO_ERROR);
    assert_eq!(answers[2].0, WsaCode::WSASERVICE_NOT_FOUND);
    drop(caller);
    stop(&machine);
}
