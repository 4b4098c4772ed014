//! Rules of the store. Numbers are those of the table and the decisions that the module `change` speaks of.

mod adversaries;
mod edges;
mod look_ups;
mod memory;
mod model;
mod scans;
mod table;

use allocator_api2::alloc::Global;
use nsemail_contract::address::Domain;
use nsemail_contract::codes::WsaCode;
use nsemail_contract::dispatch::SetInformation;
use nsemail_contract::flags::LookupFlags;
use nsemail_contract::queryset::{Addresses, Protocols, QuerySet, Version};
use nsemail_contract::sockaddr::{CsAddr, Protocol, SOCK_DGRAM, SOCK_STREAM, SockAddr};
use nsemail_contract::text::Text;
use pool_table::Thin as _;
use std::string::{String, ToString as _};
use std::vec::Vec;

use super::*;

const REGISTER: u32 = 0;
const DEREGISTER: u32 = 1;
const DELETE: u32 = 2;
const MULTIPLE: u32 = 1;

/// A call as a test spells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Call {
    operation: u32,
    flags: u32,
    name: String,
    context: Option<String>,
    version: Option<u32>,
    comment: Option<String>,
    blob: Option<Vec<u8>>,
    addresses: Vec<(String, i32, i32)>,
    namespace: u32,
}

fn call(operation: u32, flags: u32, addresses: &[&str]) -> Call {
    Call {
        operation,
        flags,
        name: "bob@example.com".to_string(),
        addresses: addresses
            .iter()
            .map(|address| (address.to_string(), SOCK_STREAM, 0))
            .collect(),
        ..Call::default()
    }
}

/// The answer to a call: the numbers of addresses that came and went.
type Answer = Result<(u16, u16), WsaCode>;

/// What an object looks like: state, addresses, version, comment, blob.
type Seen = (State, Vec<String>, Option<u32>, Option<String>, Option<Vec<u8>>);

struct Fixture {
    store: Store<Global>,
    batch: Batch<Global>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(Limits::DEFAULT)
    }

    fn with(limits: Limits) -> Self {
        Self {
            store: Store::try_new_in(HashKey::new([1, 2]), limits, Global).unwrap(),
            batch: Batch::new_in(Global),
        }
    }

    /// Makes a change on the pending tip.
    fn stage(&mut self, call: &Call) -> Answer {
        let sockets: Vec<_> = call
            .addresses
            .iter()
            .map(|(text, ..)| SockAddr::from_socket_addr(text.parse().unwrap()))
            .collect();
        let addresses: Vec<_> = sockets
            .iter()
            .zip(&call.addresses)
            .map(|(socket, &(_, socket_type, protocol))| CsAddr {
                local: &[],
                remote: socket.as_bytes(),
                socket_type,
                protocol,
            })
            .collect();
        let query = QuerySet {
            name: Some(Text::from_str(&call.name).unwrap()),
            context: call.context.as_deref().map(|text| Text::from_str(text).unwrap()),
            version: call.version.map(|version| Version {
                version,
                comparator: 0,
            }),
            comment: call.comment.as_deref().map(|text| Text::from_str(text).unwrap()),
            blob: call.blob.as_deref(),
            addresses: Addresses::new(&addresses),
            namespace: call.namespace,
            ..QuerySet::default()
        };
        self.stage_query(call.operation, call.flags, &query)
    }

    fn stage_query(&mut self, operation: u32, flags: u32, query: &QuerySet<'_>) -> Answer {
        let change = Change::from_query(operation, flags, query, self.store.limits(), Global)?;
        let SetInformation { added, removed } = self
            .batch
            .stage(&self.store, &change)
            .map_err(|refusal| refusal.code)?
            .counts;
        Ok((added, removed))
    }

    fn publish(&mut self) {
        self.store.reserve(&self.batch).unwrap();
        self.store.publish(&self.batch);
        self.batch.clear();
    }

    /// Makes a change and publishes it.
    fn set(&mut self, call: &Call) -> Answer {
        let answer = self.stage(call);
        self.publish();
        answer
    }

    fn seen_as(&self, name: &str, context: &str) -> Option<Seen> {
        let key = Key::new(Text::from_str(name).unwrap(), Text::from_str(context).unwrap());
        self.store.find(&key).map(|record| see(&record.view()))
    }

    fn seen(&self) -> Option<Seen> {
        self.seen_as("bob@example.com", "")
    }

    /// State and addresses alone.
    fn bob(&self) -> Option<(State, Vec<String>)> {
        self.seen().map(|(state, addresses, ..)| (state, addresses))
    }
}

fn see(record: &RecordRef<'_>) -> Seen {
    let fields = record.fields();
    let addresses = record.addresses().iter().map(|address| {
        let socket = SockAddr::normalize(address.remote).unwrap();
        std::format!("{socket}/{}", address.protocol)
    });
    (
        fields.state,
        addresses.collect(),
        fields.version,
        fields.comment.map(|comment| comment.to_string()),
        fields.blob.map(<[u8]>::to_vec),
    )
}

/// Answers a question; one for one object in both ways, which agree.
fn select(store: &Store<Global>, query: &Query<'_>) -> Found<Global> {
    let found = store.select(query).unwrap();
    if !query.is_deep() {
        let alone = store.finder().select(0, query).unwrap();
        let bytes = |found: &Found<Global>| -> Vec<Vec<u8>> {
            let records = found.records.iter();
            records.map(|record| record.as_bytes().to_vec()).collect()
        };
        assert_eq!((found.known, bytes(&found)), (alone.known, bytes(&alone)));
    }
    found
}

/// What a look-up finds: names of the records with their contexts, or the code that `NextEx` would answer.
fn look_up(
    fixture: &Fixture,
    query: &QuerySet<'_>,
    flags: LookupFlags,
) -> Result<Vec<(String, String)>, WsaCode> {
    let query = Query::from_query(query, flags)?.unwrap();
    let found = select(&fixture.store, &query);
    if found.records.is_empty() {
        return Err(if found.known {
            WsaCode::WSANO_DATA
        } else {
            WsaCode::WSASERVICE_NOT_FOUND
        });
    }
    let names = found.records.iter().map(|record| {
        let view = record.view();
        (view.name().to_string(), view.context().to_string())
    });
    Ok(names.collect())
}

fn query(name: &str) -> QuerySet<'_> {
    QuerySet {
        name: Some(Text::from_str(name).unwrap()),
        ..QuerySet::default()
    }
}

const A: &str = "192.0.2.1:1";
const B: &str = "192.0.2.2:2";

fn states(fixture: &Fixture) -> Option<(State, usize)> {
    fixture
        .seen()
        .map(|(state, addresses, ..)| (state, addresses.len()))
}

/// A store with bob after those calls, all of which succeed.
fn after(calls: &[Call]) -> Fixture {
    let mut fixture = Fixture::new();
    for call in calls {
        fixture.set(call).unwrap();
    }
    fixture
}

fn full() -> Call {
    Call {
        version: Some(3),
        comment: Some("office".to_string()),
        blob: Some(std::vec![1, 2]),
        ..call(REGISTER, 0, &[A])
    }
}

fn details(fixture: &Fixture) -> (Option<u32>, Option<String>, Option<Vec<u8>>) {
    let (_, _, version, comment, blob) = fixture.seen().unwrap();
    (version, comment, blob)
}

fn all_details() -> (Option<u32>, Option<String>, Option<Vec<u8>>) {
    (Some(3), Some("office".to_string()), Some(std::vec![1, 2]))
}
