//! Requests and replies: what is written is read back, no bytes make a parser panic, and short
//! outputs are answered as documented.

mod common;

use common::{OwnedQuerySet, damage, query_set, text, written};
use nsemail_contract::wire::{
    BatchReply, BatchRequest, BeginReply, Counter, CounterKind, CountersReply, DoesNotFit, EmptyRequest,
    EnableRequest, EndRequest, Event, EventKind, EventsReply, EventsRequest, ExplainReply, ExplainRequest,
    Hosted, HostedReply, HostedState, InstallRequest, ListReply, ListRequest, ListedRecord, LookupRequest,
    NextRequest, OrderRequest, ProviderEntry, ProviderFlags, ProviderRequest, ProvidersReply, REPLY_HEADER,
    Record, RecordState, RecordsReply, Reply, ReplyWriter, SessionsReply, SessionsRequest, SetReply,
    SetRequest, Tail, Tier, UninstallRequest, adopt,
};
use nsemail_contract::{Fault, FaultKind, Guid, LookupFlags, QuerySet, Text, WsaCode, ids, limits};
use proptest::collection::vec;
use proptest::prelude::*;

/// Writes a reply into enough space.
fn reply(write: impl FnOnce(&mut ReplyWriter<'_>), tail: Tail) -> Vec<u8> {
    reply_into(1 << 16, write, tail)
}

/// Writes a reply into an output of this length, and checks that nothing is written behind it.
fn reply_into(length: usize, write: impl FnOnce(&mut ReplyWriter<'_>), tail: Tail) -> Vec<u8> {
    let mut bytes = vec![0xA5; length + 16];
    let mut writer = ReplyWriter::new(&mut bytes[..length]).unwrap();
    write(&mut writer);
    let size = writer.finish(WsaCode::NO_ERROR, tail);
    assert!(size <= length);
    assert_eq!(bytes[length..], [0xA5; 16]);
    bytes.truncate(size);
    bytes
}

/// Reads bytes as every message there is, following everything.
fn visit(bytes: &[u8]) {
    let _ = EmptyRequest::parse(bytes);
    let _ = LookupRequest::parse(bytes);
    let _ = NextRequest::parse(bytes);
    let _ = EndRequest::parse(bytes);
    let _ = SetRequest::parse(bytes);
    let _ = EventsRequest::parse(bytes);
    let _ = ListRequest::parse(bytes);
    let _ = ExplainRequest::parse(bytes);
    let _ = EnableRequest::parse(bytes);
    let _ = ProviderRequest::parse(bytes);
    let _ = InstallRequest::parse(bytes);
    let _ = SessionsRequest::parse(bytes);
    let _ = UninstallRequest::parse(bytes);
    let _ = OrderRequest::parse(bytes).map(|order| order.providers().count());
    if let Ok(batch) = BatchRequest::parse(bytes) {
        assert_eq!(batch.queries().count(), batch.len());
    }
    let _ = adopt(&mut bytes.to_vec(), Tier::Primary, Guid::NIL);
    let Ok(reply) = Reply::parse(bytes) else { return };
    let _ = BeginReply::read(&reply);
    let _ = SetReply::read(&reply);
    let _ = RecordsReply::read(&reply).map(|reply| reply.records().count());
    let _ = ProvidersReply::read(&reply).map(|reply| reply.providers().count());
    let _ = HostedReply::read(&reply).map(|reply| reply.hosted().count());
    let _ = ListReply::read(&reply).map(|reply| reply.records().count());
    let _ = CountersReply::read(&reply).map(|reply| reply.counters().count());
    let _ = EventsReply::read(&reply).map(|reply| reply.events().count());
    let _ = SessionsReply::read(&reply).map(|reply| reply.sessions().count());
    let _ = ExplainReply::read(&reply).map(|reply| reply.providers().count());
    if let Ok(batch) = BatchReply::read(&reply) {
        for answer in batch.answers().flatten() {
            assert!(answer.records().count() <= bytes.len());
        }
    }
}

fn tier() -> impl Strategy<Value = Tier> {
    (0..4_u32).prop_map(|number| Tier::from_u32(number).unwrap())
}

proptest! {
    #[test]
    fn requests_with_a_query_are_read_back(owned in query_set(), flags in any::<u32>(), operation in any::<u32>()) {
        owned.with(|query| {
            let request = LookupRequest { flags: LookupFlags::from_bits_retain(flags), query };
            let bytes = written(|out| request.write(out));
            prop_assert_eq!(LookupRequest::parse(&bytes), Ok(request));
            let request = SetRequest { operation, flags, registration: query };
            let bytes = written(|out| request.write(out));
            prop_assert_eq!(SetRequest::parse(&bytes), Ok(request));
            Ok(())
        })?;
    }

    #[test]
    fn small_requests_are_read_back(lookup in any::<u64>(), flags in any::<u32>(), guid in any::<u128>()) {
        let flags = LookupFlags::from_bits_retain(flags);
        let next = NextRequest { lookup, flags };
        prop_assert_eq!(NextRequest::parse(&written(|out| next.write(out))), Ok(next));
        let end = EndRequest { lookup };
        prop_assert_eq!(EndRequest::parse(&written(|out| end.write(out))), Ok(end));
        let events = EventsRequest { after: lookup };
        prop_assert_eq!(EventsRequest::parse(&written(|out| events.write(out))), Ok(events));
        let list = ListRequest::all(Guid::from_u128(guid), lookup);
        let bytes = written(|out| list.write(out));
        prop_assert_eq!(ListRequest::parse(&bytes), Ok(list));
        prop_assert_eq!(EmptyRequest::parse(&written(|out| EmptyRequest.write(out))), Ok(EmptyRequest));
    }

    #[test]
    fn batches_are_read_back(owned in vec(query_set(), 0..6), flags in any::<u32>()) {
        let flags = LookupFlags::from_bits_retain(flags);
        with_all(&owned, &[], &mut |queries| {
            let bytes = written(|out| BatchRequest::write(flags, queries.iter().copied(), out));
            let batch = BatchRequest::parse(&bytes).unwrap();
            assert_eq!(batch.flags, flags);
            let read = batch.queries().map(|query| QuerySet::parse_wire(query).unwrap());
            assert!(read.eq(queries.iter().copied()));
        });
    }

    #[test]
    fn records_that_a_provider_wrote_are_marked_with_their_tier(owned in vec(query_set(), 0..5), tier in tier(), wrong in any::<prop::sample::Index>()) {
        let provider = Guid::from_u128(7);
        let mut entries = Vec::new();
        let mut records = Vec::new();
        with_all(&owned, &[], &mut |queries| {
            for query in queries {
                let record = QuerySet { provider: Some(provider), namespace: ids::NS_EMAIL, ..*query };
                let entry = Record { tier: Tier::Directed, record };
                let mut bytes = vec![0xFF; record.size().unwrap() + 8];
                assert_eq!(entry.write_entry(&mut bytes), Ok(bytes.len()));
                records.push((tier, bytes[8..].to_vec()));
                entries.extend_from_slice(&bytes);
            }
        });
        prop_assert_eq!(adopt(&mut entries, tier, provider), Ok(()));
        let bytes = reply(|writer| writer.entries_of(&entries).unwrap(), Tail::Required);
        let read = RecordsReply::read(&Reply::parse(&bytes).unwrap()).unwrap();
        let read: Vec<_> = read.records().map(|record| {
            let record = record.unwrap();
            let mut bytes = vec![0; record.record.size().unwrap()];
            record.record.write_wire(&mut bytes).unwrap();
            (record.tier, bytes)
        }).collect();
        prop_assert_eq!(read, records);
        // Somebody else's, or cut off, they are not taken.
        if !entries.is_empty() {
            prop_assert!(adopt(&mut entries, tier, Guid::from_u128(8)).is_err());
            let cut = 1 + wrong.index(entries.len() - 1);
            let whole = adopt(&mut entries[..cut], tier, provider).is_ok();
            let mut ends = owned.len();
            let mut at = 0;
            while at < cut && ends > 0 {
                at += u32::from_le_bytes(entries[at..at + 4].try_into().unwrap()) as usize;
                ends -= 1;
            }
            prop_assert_eq!(whole, at == cut);
        }
    }

    #[test]
    fn records_are_read_back(owned in vec((query_set(), tier()), 0..5)) {
        let bytes = reply(|writer| {
            for (owned, tier) in &owned {
                owned.with(|record| Record { tier: *tier, record }.write(writer)).unwrap();
            }
        }, Tail::Required);
        let reply = Reply::parse(&bytes).unwrap();
        prop_assert_eq!((reply.code, reply.needed), (WsaCode::NO_ERROR, bytes.len()));
        let records: Vec<_> = RecordsReply::read(&reply).unwrap().records().collect();
        prop_assert_eq!(records.len(), owned.len());
        for (read, (owned, tier)) in records.iter().zip(&owned) {
            owned.with(|record| assert_eq!(*read, Ok(Record { tier: *tier, record })));
        }
    }

    #[test]
    fn batch_answers_are_read_back_across_suspensions(
        owned in vec((any::<u32>(), vec(query_set(), 0..3)), 0..4),
    ) {
        let mut bytes = vec![0; 1 << 16];
        let mut progress = ReplyWriter::new(&mut bytes).unwrap().suspend();
        for (code, records) in &owned {
            let mut writer = ReplyWriter::resume(&mut bytes, progress);
            let start = writer.open();
            progress = writer.suspend();
            for owned in records {
                let mut writer = ReplyWriter::resume(&mut bytes, progress);
                owned.with(|record| Record { tier: Tier::Primary, record }.write_nested(&mut writer)).unwrap();
                progress = writer.suspend();
            }
            let mut writer = ReplyWriter::resume(&mut bytes, progress);
            writer.close(start, *code).unwrap();
            progress = writer.suspend();
        }
        let size = ReplyWriter::resume(&mut bytes, progress).finish(WsaCode::NO_ERROR, Tail::Continued);
        let reply = Reply::parse(&bytes[..size]).unwrap();
        let answers: Vec<_> = BatchReply::read(&reply).unwrap().answers().collect::<Result<_, Fault>>().unwrap();
        prop_assert_eq!(answers.len(), owned.len());
        for (answer, (code, records)) in answers.iter().zip(&owned) {
            prop_assert_eq!(answer.code, WsaCode(*code));
            let read: Vec<_> = answer.records().collect::<Result<_, Fault>>().unwrap();
            prop_assert_eq!(read.len(), records.len());
            for (read, owned) in read.iter().zip(records) {
                owned.with(|record| assert_eq!(*read, Record { tier: Tier::Primary, record }));
            }
        }
    }

    #[test]
    fn lists_are_read_back(name in text(), blob in vec(any::<u8>(), 0..40), numbers in any::<[u32; 5]>(), guid in any::<u128>()) {
        let [flags, order, version, namespace, state] = numbers;
        let identifier = Text::from_str(&name).unwrap();
        let provider = Guid::from_u128(guid);
        let entry = ProviderEntry {
            flags: ProviderFlags::from_bits_retain(flags), order, version, namespace, provider, identifier, blob: &blob,
        };
        let bytes = reply(|writer| [entry, entry].iter().for_each(|entry| entry.write(writer).unwrap()), Tail::Required);
        let read: Vec<_> = ProvidersReply::read(&Reply::parse(&bytes).unwrap()).unwrap().providers().collect();
        prop_assert_eq!(read, [Ok(entry), Ok(entry)]);

        let hosted = Hosted {
            state: HostedState::from_u32(state % 4).unwrap(), objects: u64::from(order) << 7, addresses: 3, log_bytes: 9, provider, identifier,
        };
        let bytes = reply(|writer| hosted.write(writer).unwrap(), Tail::Required);
        let read: Vec<_> = HostedReply::read(&Reply::parse(&bytes).unwrap()).unwrap().hosted().collect();
        prop_assert_eq!(read, [Ok(hosted)]);

        let event = Event {
            kind: EventKind(flags), sequence: 7, time: 8, numbers: [9, u64::MAX], subject: provider, text: identifier,
        };
        let bytes = reply(|writer| event.write(writer).unwrap(), Tail::Continued);
        let read: Vec<_> = EventsReply::read(&Reply::parse(&bytes).unwrap()).unwrap().events().collect();
        prop_assert_eq!(read, [Ok(event)]);

        let counter = Counter { kind: CounterKind(flags), code: WsaCode(order), value: u64::from(version) };
        let bytes = reply(|writer| counter.write(writer).unwrap(), Tail::Required);
        let read: Vec<_> = CountersReply::read(&Reply::parse(&bytes).unwrap()).unwrap().counters().collect();
        prop_assert_eq!(read, [Ok(counter)]);
    }

    #[test]
    fn pages_are_read_back_with_their_cursor(owned in query_set(), next in any::<u64>()) {
        owned.with(|record| {
            let entry = ListedRecord { state: RecordState::Deregistered, record };
            let bytes = reply(|writer| {
                ListReply::start(writer);
                entry.write(writer).unwrap();
                ListReply::put_next(writer, next);
            }, Tail::Continued);
            let reply = Reply::parse(&bytes).unwrap();
            let page = ListReply::read(&reply).unwrap();
            assert_eq!(page.next, next);
            assert_eq!(page.records().collect::<Vec<_>>(), [Ok(entry)]);
        });
    }

    #[test]
    fn damage_never_makes_a_parser_panic(owned in vec(query_set(), 1..4), damages in vec(damage(), 1..4)) {
        with_all(&owned, &[], &mut |queries| {
            let record = Record { tier: Tier::Primary, record: queries[0] };
            let messages = [
                written(|out| LookupRequest { flags: LookupFlags::DEEP, query: queries[0] }.write(out)),
                written(|out| BatchRequest::write(LookupFlags::DEEP, queries.iter().copied(), out)),
                reply(|writer| record.write(writer).unwrap(), Tail::Required),
                reply(|writer| {
                    let start = writer.open();
                    record.write_nested(writer).unwrap();
                    writer.close(start, 0).unwrap();
                }, Tail::Required),
            ];
            for mut bytes in messages {
                for damage in &damages {
                    if bytes.len() > 8 {
                        damage.apply(&mut bytes);
                    }
                }
                visit(&bytes);
            }
        });
    }

    #[test]
    fn no_bytes_make_a_parser_panic(mut bytes in vec(any::<u8>(), 0..300)) {
        visit(&bytes);
        // The same with a frame that lets the parsers go on.
        let length = bytes.len() & !7;
        bytes.truncate(length);
        if length >= REPLY_HEADER {
            bytes[..4].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
            bytes[4..8].copy_from_slice(&1_u32.to_le_bytes());
            bytes[12] = 1;
            bytes[13..16].fill(0);
            visit(&bytes);
        }
    }
}

/// Hands all query sets, borrowed, to `use_them`.
fn with_all<'a>(
    owned: &'a [OwnedQuerySet],
    borrowed: &[QuerySet<'_>],
    use_them: &mut dyn FnMut(&[QuerySet<'_>]),
) {
    match owned.split_first() {
        None => use_them(borrowed),
        Some((first, rest)) => first.with(|query| {
            let longer = [borrowed, &[query]].concat();
            with_all(rest, &longer, use_them);
        }),
    }
}

#[test]
fn replies_with_fields_are_read_back() {
    let set = SetReply {
        providers: 2,
        added: 3,
        removed: 4,
        provider: Guid::from_u128(5),
    };
    let mut bytes = [0; SetReply::SIZE];
    assert_eq!(set.write(&mut bytes), Some(SetReply::SIZE));
    assert_eq!(SetReply::read(&Reply::parse(&bytes).unwrap()), Ok(set));
    let begin = BeginReply { lookup: u64::MAX };
    let mut bytes = [0; BeginReply::SIZE];
    assert_eq!(begin.write(&mut bytes), Some(BeginReply::SIZE));
    assert_eq!(BeginReply::read(&Reply::parse(&bytes).unwrap()), Ok(begin));
    assert_eq!(begin.write(&mut [0; REPLY_HEADER - 1]), None);
}

#[test]
fn a_bare_reply_carries_its_code() {
    let mut bytes = [0; 64];
    let size = ReplyWriter::bare(&mut bytes, WsaCode::WSASERVICE_NOT_FOUND).unwrap();
    assert_eq!(size, REPLY_HEADER);
    let reply = Reply::parse(&bytes[..size]).unwrap();
    assert_eq!(
        (reply.code, reply.needed),
        (WsaCode::WSASERVICE_NOT_FOUND, REPLY_HEADER)
    );
    let size = ReplyWriter::too_small(&mut bytes, 280).unwrap();
    let reply = Reply::parse(&bytes[..size]).unwrap();
    assert_eq!((reply.code, reply.needed), (WsaCode::WSAEFAULT, 280));
    assert!(ReplyWriter::bare(&mut bytes[..15], WsaCode::NO_ERROR).is_none());
}

/// Three counters of 24 bytes each, into an output of this length.
fn three_counters(length: usize, tail: Tail) -> (WsaCode, usize, usize, usize) {
    let counter = Counter {
        kind: CounterKind::LOOKUP,
        code: WsaCode::NO_ERROR,
        value: 1,
    };
    let bytes = reply_into(
        length,
        |writer| {
            (0..3).for_each(|_| {
                let _: Result<(), DoesNotFit> = counter.write(writer);
            });
        },
        tail,
    );
    let reply = Reply::parse(&bytes).unwrap();
    (
        reply.code,
        reply.needed,
        bytes.len(),
        CountersReply::read(&reply).unwrap().counters().count(),
    )
}

#[test]
fn a_reply_that_must_be_whole_says_what_it_needs() {
    assert_eq!(three_counters(88, Tail::Required), (WsaCode::NO_ERROR, 88, 88, 3));
    for length in REPLY_HEADER..88 {
        assert_eq!(
            three_counters(length, Tail::Required),
            (WsaCode::WSAEFAULT, 88, 16, 0)
        );
    }
}

#[test]
fn a_reply_that_can_be_continued_holds_what_fits() {
    assert_eq!(
        three_counters(40, Tail::Continued),
        (WsaCode::NO_ERROR, 88, 40, 1)
    );
    assert_eq!(
        three_counters(87, Tail::Continued),
        (WsaCode::NO_ERROR, 88, 64, 2)
    );
    assert_eq!(
        three_counters(39, Tail::Continued),
        (WsaCode::WSAEFAULT, 88, 16, 0)
    );
}

#[test]
fn a_request_of_another_size_or_version_is_malformed() {
    let mut bytes = written(|out| EmptyRequest.write(out));
    bytes[4] = 2;
    assert_eq!(
        EmptyRequest::parse(&bytes),
        Err(Fault::new(FaultKind::BadHeader, 4))
    );
    let mut bytes = written(|out| EmptyRequest.write(out));
    bytes.extend([0; 8]);
    assert_eq!(
        EmptyRequest::parse(&bytes),
        Err(Fault::new(FaultKind::BadHeader, 0))
    );
    bytes[0] = 16;
    assert_eq!(
        EmptyRequest::parse(&bytes),
        Err(Fault::new(FaultKind::TooLarge, 8))
    );
    let large = vec![0; limits::MESSAGE + 1];
    assert_eq!(EmptyRequest::parse(&large).unwrap_err().kind, FaultKind::TooLarge);
}

#[test]
fn a_batch_of_more_than_the_limit_is_refused() {
    let queries = vec![QuerySet::default(); limits::BATCH + 1];
    let mut bytes = vec![0; limits::MESSAGE];
    let result = BatchRequest::write(LookupFlags::empty(), queries, &mut bytes);
    assert_eq!(result, Err(nsemail_contract::WriteError::TooLarge));
}
