//! Whole look-ups: providers that take them are asked once, and what they leave open is asked as every look-up is.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nsemail_contract::wire::{
    BatchReply, BatchRequest, CounterKind, EventKind, Record, RecordsReply, Reply, Tier,
};
use nsemail_contract::{Guid, LookupFlags, QuerySet, Text, WsaCode, ids, ioctl};
use support::Rig;
use support::program::{self, BUFFER, Program};
use support::provider::{BATCHING, Held, primary, secondary, wildcard};

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";
const EVE: &str = "eve@example.org";
const ALL: LookupFlags = LookupFlags::RETURN_ALL;

const fn guid(provider: u8) -> Guid {
    Guid::from_u128(provider as u128)
}

fn entry(name: &str, provider: u8) -> Vec<u8> {
    let held = Held {
        name: name.to_owned(),
        ..Held::default()
    };
    held.entry(guid(provider))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it is compared with what a look-up answers"
)]
fn found(name: &str, provider: u8) -> Result<Vec<program::Seen>, WsaCode> {
    Ok(vec![(name.to_owned(), provider)])
}

/// What each name of a batch is answered, as far as the answers fit.
fn batch(
    program: &Program,
    names: &[&str],
    flags: LookupFlags,
    room: usize,
) -> Vec<Result<Vec<program::Seen>, WsaCode>> {
    let queries = names.iter().map(|name| QuerySet {
        name: Some(Text::from_str(name).unwrap()),
        ..QuerySet::default()
    });
    let mut request = vec![0; 1 << 16];
    let size = BatchRequest::write(flags, queries, &mut request).unwrap();
    let reply = program.request(ioctl::LOOKUP_BATCH, &request[..size], room);
    let reply = Reply::parse(&reply).unwrap();
    assert_eq!(reply.code, WsaCode::NO_ERROR);
    let answers = BatchReply::read(&reply).unwrap().answers();
    let seen = |record: Record<'_>| {
        let provider = record.record.provider.unwrap().to_u128();
        (
            record.record.name.unwrap().to_string(),
            u8::try_from(provider).unwrap(),
        )
    };
    answers
        .map(|answer| {
            let answer = answer.unwrap();
            answer.code.ok()?;
            Ok(answer.records().map(|record| seen(record.unwrap())).collect())
        })
        .collect()
}

#[test]
fn a_provider_that_takes_whole_look_ups_is_asked_once() {
    let module = primary(1).has(&[ANN]).table(&BATCHING).build();
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(ANN, 1));
    assert_eq!(program.look_up(BOB), Err(WsaCode::WSASERVICE_NOT_FOUND));
    assert_eq!(
        batch(&program, &[ANN, BOB, ANN], ALL, BUFFER),
        [found(ANN, 1), Err(WsaCode::WSASERVICE_NOT_FOUND), found(ANN, 1)]
    );
    assert_eq!(module.trace(), ["attach", "startup", "batch", "batch", "batch"]);
    drop(program);
    rig.shutdown();
}

#[test]
fn each_provider_is_asked_at_once_for_what_those_before_it_do_not_know() {
    let first = primary(1).has(&[ANN]).table(&BATCHING).build();
    let second = secondary(2).has(&[ANN, BOB]).table(&BATCHING).build();
    let third = wildcard(3, &[]).has(&[EVE, BOB]).build();
    let rig = Rig::new(vec![first.clone(), second.clone(), third.clone()]);
    let program = rig.program();
    assert_eq!(
        batch(&program, &[BOB, EVE, ANN, "eva@example.com"], ALL, BUFFER),
        [
            found(BOB, 2),
            found(EVE, 3),
            found(ANN, 1),
            Err(WsaCode::WSASERVICE_NOT_FOUND)
        ]
    );
    assert_eq!(first.trace(), ["attach", "startup", "batch"]);
    assert_eq!(second.trace(), ["attach", "startup", "batch"]);
    assert_eq!(
        (third.count("begin"), third.count("end")),
        (2, 1),
        "it takes none at once"
    );
    let fall_throughs = program.counter(CounterKind::FALL_THROUGHS, WsaCode::NO_ERROR);
    assert_eq!(fall_throughs, 3, "bob's one, eva's two");
    drop(program);
    rig.shutdown();
}

#[test]
fn the_records_say_as_what_their_provider_was_asked() {
    let rig = Rig::new(vec![
        primary(1).has(&[]).table(&BATCHING).build(),
        secondary(2).has(&[ANN]).table(&BATCHING).build(),
    ]);
    let program = rig.program();
    let reply = program.request(ioctl::LOOKUP, &program::look_up_request(ANN, ALL), BUFFER);
    let records = RecordsReply::read(&Reply::parse(&reply).unwrap()).unwrap();
    let tiers: Vec<Tier> = records.records().map(|record| record.unwrap().tier).collect();
    assert_eq!(tiers, [Tier::Secondary]);
    drop(program);
    rig.shutdown();
}

#[test]
fn what_a_provider_leaves_open_is_begun() {
    for code in [WsaCode::WSAEFAULT, WsaCode::WSAEOPNOTSUPP] {
        let module = primary(1).has(&[ANN, BOB]).on_whole(move |name| {
            if name == ANN {
                (code, Vec::new(), 0)
            } else {
                let records = entry(name, 1);
                let size = records.len();
                (WsaCode::NO_ERROR, records, size)
            }
        });
        let module = module.build();
        let rig = Rig::new(vec![module.clone()]);
        let program = rig.program();
        assert_eq!(
            batch(&program, &[ANN, BOB], ALL, BUFFER),
            [found(ANN, 1), found(BOB, 1)]
        );
        assert_eq!(
            module.trace(),
            ["attach", "startup", "batch", "begin", "next", "next", "end"]
        );
        drop(program);
        rig.shutdown();
    }
}

#[test]
fn a_record_that_is_too_large_for_all_at_once_comes_by_itself() {
    let module = primary(1).on_begin(|name| {
        Ok(vec![Held {
            name: name.to_owned(),
            comment: "x".repeat(1000),
        }])
    });
    let module = module.table(&BATCHING).build();
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(ANN, 1));
    assert_eq!(module.count("begin"), 1);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_provider_that_answers_against_the_rules_is_not_believed() {
    let ann = || entry(ANN, 1);
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 8].to_vec();
    let wrong: [(&str, WsaCode, Vec<u8>, usize); 6] = [
        (
            "another provider's",
            WsaCode::NO_ERROR,
            entry(ANN, 2),
            entry(ANN, 2).len(),
        ),
        (
            "a record that is cut off",
            WsaCode::NO_ERROR,
            cut(ann()),
            ann().len() - 8,
        ),
        ("half of a header", WsaCode::NO_ERROR, ann()[..4].to_vec(), 4),
        ("more than there is room", WsaCode::NO_ERROR, Vec::new(), 1 << 20),
        ("success without records", WsaCode::NO_ERROR, Vec::new(), 0),
        ("records without success", WsaCode::WSANO_DATA, ann(), ann().len()),
    ];
    for (what, code, records, size) in wrong {
        let second = secondary(2).has(&[ANN]).build();
        let first = primary(1)
            .on_whole(move |_| (code, records.clone(), size))
            .build();
        let rig = Rig::new(vec![first.clone(), second.clone()]);
        let program = rig.program();
        // As when it writes such a record in an ordinary look-up: the next one is asked.
        assert_eq!(program.look_up(ANN), found(ANN, 2), "{what}");
        assert_eq!(first.trace(), ["attach", "startup", "batch"], "{what}");
        assert_eq!(program.events(EventKind::PEER_FAULT).len(), 1, "{what}");
        drop(program);
        rig.shutdown();
    }
}

#[test]
fn a_wrong_answer_for_one_name_is_not_taken_for_the_next_one() {
    let ann = || entry(ANN, 1);
    let wrong: [(&str, WsaCode, Vec<u8>, usize); 3] = [
        ("records without success", WsaCode::WSANO_DATA, ann(), ann().len()),
        ("more than there is room", WsaCode::NO_ERROR, ann(), 1 << 20),
        ("half of a record", WsaCode::NO_ERROR, ann(), ann().len() / 2),
    ];
    for (what, code, records, size) in wrong {
        let first = primary(1)
            .on_whole(move |name| match name {
                ANN => (code, records.clone(), size),
                _ => (WsaCode::NO_ERROR, entry(BOB, 1), entry(BOB, 1).len()),
            })
            .build();
        let rig = Rig::new(vec![first]);
        let program = rig.program();
        let [anns, bobs] = batch(&program, &[ANN, BOB], ALL, BUFFER).try_into().unwrap();
        assert_eq!(anns, Err(WsaCode::WSAEINVALIDPROVIDER), "{what}");
        assert!(
            bobs == found(BOB, 1) || bobs == Err(WsaCode::WSAEINVALIDPROVIDER),
            "{what}: {bobs:?}"
        );
        drop(program);
        rig.shutdown();
    }
}

#[test]
fn if_several_are_to_speak_they_are_asked_in_the_ordinary_way() {
    let first = primary(1).has(&[ANN]).table(&BATCHING).build();
    let second = secondary(2).has(&[ANN]).table(&BATCHING).build();
    let rig = Rig::new(vec![first.clone(), second.clone()]);
    let program = rig.program();
    let flags = ALL.union(LookupFlags::NON_AUTHORITATIVE);
    let both = Ok(vec![(ANN.to_owned(), 1), (ANN.to_owned(), 2)]);
    assert_eq!(program.look_up_with(ANN, flags), both);
    assert_eq!(
        first.trace(),
        ["attach", "startup", "begin", "next", "next", "end"]
    );
    assert_eq!(
        second.trace(),
        ["attach", "startup", "begin", "next", "next", "end"]
    );
    drop(program);
    rig.shutdown();
}

#[test]
fn a_provider_that_cannot_start_is_passed_over_and_started_once() {
    let first = primary(1).has(&[ANN]).on_startup(|| WsaCode::WSAEACCES);
    let first = first.table(&BATCHING).build();
    let second = secondary(2).has(&[ANN]).table(&BATCHING).build();
    let rig = Rig::new(vec![first.clone(), second]);
    let program = rig.program();
    assert_eq!(program.look_up(ANN), found(ANN, 2));
    assert_eq!(first.trace(), ["attach", "startup"]);
    drop(program);
    rig.shutdown();
}

#[test]
fn a_reply_that_takes_more_than_the_buffer_says_so_or_ends_before() {
    let module = primary(1).has(&[ANN, BOB]).table(&BATCHING).build();
    let rig = Rig::new(vec![module]);
    let program = rig.program();
    let one = entry(ANN, 1).len();
    // One look-up needs all of its reply.
    let request = program::look_up_request(ANN, ALL);
    let reply = program.request(ioctl::LOOKUP, &request, 16 + one - 8);
    let reply = Reply::parse(&reply).unwrap();
    assert_eq!((reply.code, reply.needed), (WsaCode::WSAEFAULT, 16 + one));
    let reply = program.request(ioctl::LOOKUP, &request, 16 + one);
    assert_eq!(program::records(&reply), found(ANN, 1));
    // A batch ends where the buffer does.
    let two = 16 + 2 * (8 + one);
    for (room, answers) in [(two, 2), (two - 8, 1), (16 + 8 + one, 1)] {
        assert_eq!(batch(&program, &[ANN, BOB], ALL, room).len(), answers, "{room}");
    }
    drop(program);
    rig.shutdown();
}

#[test]
fn no_more_names_are_looked_up_together_than_a_small_buffer_wastes() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let module = primary(1).on_whole(move |name| {
        count.fetch_add(1, Ordering::Relaxed);
        let records = entry(name, 1);
        let size = records.len();
        (WsaCode::NO_ERROR, records, size)
    });
    let held = |name: &str| Held {
        name: name.to_owned(),
        ..Held::default()
    };
    let module = module.on_begin(move |name| Ok(vec![held(name)])).build();
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    let names: Vec<String> = (0..200).map(|number| format!("{number}@example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let answers = batch(&program, &names, ALL, 1 << 20);
    let expected: Vec<_> = names.iter().map(|name| found(name, 1)).collect();
    assert_eq!(answers, expected);
    assert_eq!(
        (module.count("batch"), asked.swap(0, Ordering::Relaxed)),
        (4, 200)
    );
    assert_eq!(
        batch(&program, &names, ALL, 16 + 8 + entry(names[0], 1).len()).len(),
        1
    );
    assert_eq!((module.count("batch"), asked.load(Ordering::Relaxed)), (5, 64));
    drop(program);
    rig.shutdown();
}

#[test]
fn a_query_that_is_malformed_makes_all_of_a_batch_so() {
    let module = primary(1).has(&[ANN]).table(&BATCHING).build();
    let rig = Rig::new(vec![module.clone()]);
    let program = rig.program();
    let queries = [ANN, BOB].map(|name| QuerySet {
        name: Some(Text::from_str(name).unwrap()),
        namespace: ids::NS_EMAIL,
        ..QuerySet::default()
    });
    let mut request = vec![0; BUFFER];
    let size = BatchRequest::write(ALL, queries, &mut request).unwrap();
    // The last query's name points far away.
    let last = size - queries[1].size().unwrap();
    request[last + 8..last + 16].copy_from_slice(&u64::MAX.to_le_bytes());
    let completion = program.handle.call(ioctl::LOOKUP_BATCH, &request[..size], BUFFER);
    assert_eq!(completion.status, nt_sim::ntstatus::NtStatus::INVALID_PARAMETER);
    assert_eq!(module.trace(), ["attach"]);
    drop(program);
    rig.shutdown();
}
