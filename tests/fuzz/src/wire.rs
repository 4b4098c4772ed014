//! The wire form in both directions: the parsers are total, and what they accept is written and read back the same.

use nsemail_contract::{
    QuerySet, WriteError, WsaCode, ids,
    wire::{
        BatchReply, BatchRequest, BeginReply, CountersReply, EmptyRequest, EnableRequest, EndRequest,
        EventsReply, EventsRequest, ExplainReply, ExplainRequest, HostedReply, InstallRequest, ListReply,
        ListRequest, LookupRequest, NextRequest, OrderRequest, ProviderRequest, ProvidersReply, REPLY_HEADER,
        RecordsReply, Reply, ReplyWriter, SessionsReply, SessionsRequest, SetReply, SetRequest, Tail, Tier,
        UninstallRequest, adopt,
    },
};

/// Where structures of the kernel form lie that are made of the input: any address that is none.
const BASE: u64 = 0xFFFF_9000_0000_0000;

/// A request that is accepted is written, and what is written is read as the same request.
macro_rules! round_trip {
    ($request:ident, $bytes:expr) => {
        if let Ok(request) = $request::parse($bytes)
            && let Some(again) = written(|out| request.write(out))
        {
            assert_eq!($request::parse(&again), Ok(request));
        }
    };
}

/// The first byte says which message the others are: a request, a reply, or a query set in either form.
///
/// # Panics
/// If the property does not hold.
pub fn check(input: &[u8]) {
    let Some((&which, bytes)) = input.split_first() else {
        return;
    };
    match which % 19 {
        0 => round_trip!(EmptyRequest, bytes),
        1 => round_trip!(NextRequest, bytes),
        2 => round_trip!(EndRequest, bytes),
        3 => round_trip!(EventsRequest, bytes),
        4 => round_trip!(EnableRequest, bytes),
        5 => round_trip!(ProviderRequest, bytes),
        6 => round_trip!(SessionsRequest, bytes),
        7 => round_trip!(UninstallRequest, bytes),
        8 => round_trip!(LookupRequest, bytes),
        9 => round_trip!(SetRequest, bytes),
        10 => round_trip!(ListRequest, bytes),
        11 => round_trip!(ExplainRequest, bytes),
        12 => round_trip!(InstallRequest, bytes),
        13 => order(bytes),
        14 => batch(bytes),
        15 => query_set(bytes),
        16 => records(bytes),
        _ => reply(bytes),
    }
}

/// Writes into just enough room, and checks that less does not do.
fn written(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Option<Vec<u8>> {
    let needed = match write(&mut []) {
        Err(WriteError::TooSmall { needed }) => needed,
        Err(WriteError::TooLarge) => return None,
        Ok(size) => panic!("a message of {size} bytes in no room"),
    };
    let mut bytes = vec![0; needed];
    assert_eq!(
        write(&mut bytes[..needed - 1]),
        Err(WriteError::TooSmall { needed })
    );
    assert_eq!(write(&mut bytes), Ok(needed));
    Some(bytes)
}

fn order(bytes: &[u8]) {
    let Ok(request) = OrderRequest::parse(bytes) else {
        return;
    };
    let providers: Vec<_> = request.providers().collect();
    let again = written(|out| OrderRequest::write(&providers, out)).expect("as many as there were");
    let read: Vec<_> = OrderRequest::parse(&again)
        .expect("a request of our own")
        .providers()
        .collect();
    assert_eq!(read, providers);
}

fn batch(bytes: &[u8]) {
    let Ok(request) = BatchRequest::parse(bytes) else {
        return;
    };
    assert_eq!(request.queries().count(), request.len());
    let Ok(queries) = request
        .queries()
        .map(QuerySet::parse_wire)
        .collect::<Result<Vec<_>, _>>()
    else {
        return;
    };
    let Some(again) = written(|out| BatchRequest::write(request.flags, queries.iter().copied(), out)) else {
        return;
    };
    let read = BatchRequest::parse(&again).expect("a request of our own");
    assert_eq!(read.flags, request.flags);
    let read: Result<Vec<_>, _> = read.queries().map(QuerySet::parse_wire).collect();
    assert_eq!(read, Ok(queries));
}

/// Records of a provider that are taken are what a program reads, each marked with the tier.
fn records(bytes: &[u8]) {
    let mut entries = bytes.to_vec();
    let provider = ids::DEFAULT_PROVIDER;
    if adopt(&mut entries, Tier::Primary, provider).is_err() {
        return;
    }
    let mut reply = vec![0; entries.len() + REPLY_HEADER];
    let mut writer = ReplyWriter::new(&mut reply).expect("there is room");
    writer.entries_of(&entries).expect("there is room");
    let size = writer.finish(WsaCode::NO_ERROR, Tail::Required);
    let reply = Reply::parse(&reply[..size]).expect("a reply of our own");
    for record in RecordsReply::read(&reply)
        .expect("entries that were taken")
        .records()
    {
        let record = record.expect("a record that was taken");
        assert_eq!(
            (record.tier, record.record.provider),
            (Tier::Primary, Some(provider))
        );
    }
}

fn query_set(bytes: &[u8]) {
    for query in [QuerySet::parse_wire(bytes), QuerySet::parse_kernel(bytes, BASE)] {
        let Ok(query) = query else { continue };
        assert_eq!(query.addresses.iter().count(), query.addresses.len());
        let Some(wire) = written(|out| query.write_wire(out)) else {
            continue;
        };
        assert_eq!(query.size(), Ok(wire.len()));
        assert_eq!(QuerySet::parse_wire(&wire), Ok(query));
        let kernel = written(|out| query.write_kernel(out, BASE)).expect("both forms have one size");
        assert_eq!(kernel.len(), wire.len());
        assert_eq!(QuerySet::parse_kernel(&kernel, BASE), Ok(query));
    }
}

fn reply(bytes: &[u8]) {
    let Ok(reply) = Reply::parse(bytes) else { return };
    // An entry takes room: nobody is led to read on for ever.
    let bounded = |count: usize| assert!(count <= bytes.len());
    let _ = BeginReply::read(&reply);
    let _ = SetReply::read(&reply);
    let _ = RecordsReply::read(&reply).map(|it| bounded(it.records().count()));
    let _ = ProvidersReply::read(&reply).map(|it| bounded(it.providers().count()));
    let _ = HostedReply::read(&reply).map(|it| bounded(it.hosted().count()));
    let _ = ListReply::read(&reply).map(|it| bounded(it.records().count()));
    let _ = CountersReply::read(&reply).map(|it| bounded(it.counters().count()));
    let _ = EventsReply::read(&reply).map(|it| bounded(it.events().count()));
    let _ = SessionsReply::read(&reply).map(|it| bounded(it.sessions().count()));
    let _ = ExplainReply::read(&reply).map(|it| bounded(it.providers().count()));
    if let Ok(batch) = BatchReply::read(&reply) {
        for answer in batch.answers().flatten() {
            bounded(answer.records().count());
        }
    }
}
