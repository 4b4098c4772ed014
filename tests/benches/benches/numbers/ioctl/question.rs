//! Questions, and who answers them.

use std::hash::BuildHasherDefault;
use std::hint::black_box;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use anyhow::Result;
use fastrand::Rng;
use nsemail_benches::names::Names;
use nsemail_contract::text::fold;
use nsemail_contract::wire::{
    BatchReply, BatchRequest, LookupRequest, Record, RecordsReply, Reply, ReplyWriter, Tail, Tier,
};
use nsemail_contract::{LookupFlags, QuerySet, Text, WsaCode, ids, ioctl};
use nt_sim::io::FileHandle;

use crate::drivers::{Content, Drivers};
use siphasher::sip::SipHasher13;

/// The hash of the store, with a key that everybody knows, which costs the same.
pub type Hasher = BuildHasherDefault<SipHasher13>;

/// Names of one batch.
pub const BATCH: usize = 64;
/// Room for the reply to one name.
const ROOM: usize = 1024;
/// One look-up in so many asks for a name that is not there.
const MISS_EVERY: usize = 20;

/// Answers messages.
pub trait Service {
    /// Answers one look-up; gives the reply's size.
    fn look_up(&self, request: &[u8], reply: &mut [u8]) -> usize;
    /// Answers a batch; gives the reply's size.
    fn look_up_batch(&self, request: &[u8], reply: &mut [u8]) -> usize;
}

/// Names as someone spelled them.
pub struct Questions {
    names: Vec<Vec<u16>>,
    hits: usize,
}

impl Questions {
    /// So many names, in an order of their own.
    pub fn new(names: Names, count: usize) -> Self {
        let mut rng = Rng::with_seed(77);
        let mut hits = 0;
        let asked = (0..count).map(|index| {
            let hit = index % MISS_EVERY != 0;
            hits += usize::from(hit);
            let number = rng.usize(..names.count) + if hit { 0 } else { names.count };
            names.spelled_otherwise(number, &mut rng).encode_utf16().collect()
        });
        Self {
            names: asked.collect(),
            hits,
        }
    }

    /// Asks for all names, so many at a time, and all of that so often; gives the nanoseconds that a name takes.
    pub fn ask(&self, service: &impl Service, batch: usize, times: usize) -> f64 {
        let mut request = vec![0; BATCH * ROOM];
        let mut reply = vec![0; BATCH * ROOM];
        let start = Instant::now();
        for _ in 0..times {
            let found: usize = if batch == 1 {
                let one = |name: &Vec<u16>| ask_one(service, name, &mut request, &mut reply[..ROOM]);
                self.names.iter().map(one).sum()
            } else {
                let some = |names| ask_some(service, names, &mut request, &mut reply);
                self.names.chunks(batch).map(some).sum()
            };
            assert_eq!(found, self.hits, "all is found that is there");
        }
        let elapsed = start.elapsed();
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let names = (self.names.len() * times) as f64;
        elapsed.as_secs_f64() * 1e9 / names
    }
}

fn query(name: &[u16]) -> QuerySet<'_> {
    QuerySet {
        name: Some(Text::from_units(name).expect("a text")),
        namespace: ids::NS_EMAIL,
        ..QuerySet::default()
    }
}

fn ask_one(service: &impl Service, name: &[u16], request: &mut [u8], reply: &mut [u8]) -> usize {
    let message = LookupRequest {
        flags: LookupFlags::RETURN_ALL,
        query: query(name),
    };
    let size = message.write(request).expect("there is room");
    let size = service.look_up(&request[..size], reply);
    let reply = Reply::parse(&reply[..size]).expect("a sound reply");
    if reply.code == WsaCode::WSASERVICE_NOT_FOUND {
        return 0;
    }
    assert_eq!(reply.code, WsaCode::NO_ERROR);
    let records = RecordsReply::read(&reply).expect("a sound reply");
    records
        .records()
        .map(|record| read(&record.expect("a sound record")))
        .sum()
}

fn ask_some(service: &impl Service, names: &[Vec<u16>], request: &mut [u8], reply: &mut [u8]) -> usize {
    let queries = names.iter().map(|name| query(name));
    let size = BatchRequest::write(LookupFlags::RETURN_ALL, queries, request).expect("there is room");
    let size = service.look_up_batch(&request[..size], reply);
    let reply = Reply::parse(&reply[..size]).expect("a sound reply");
    assert_eq!(reply.code, WsaCode::NO_ERROR);
    let answers = BatchReply::read(&reply).expect("a sound reply").answers();
    assert_eq!(answers.len(), names.len(), "all fit one reply");
    let found = answers.map(|answer| {
        let records = answer.expect("a sound answer").records();
        records
            .map(|record| read(&record.expect("a sound record")))
            .sum::<usize>()
    });
    found.sum()
}

/// What a program does with a record: it looks at its members.
fn read(record: &Record<'_>) -> usize {
    let set = &record.record;
    black_box((set.name, set.comment, set.provider));
    for address in &set.addresses {
        black_box(address);
    }
    1
}

/// The client driver's device.
pub struct Device(FileHandle);

impl Device {
    /// Opens it.
    pub fn open(drivers: &Drivers) -> Result<Self> {
        drivers.open().map(Self)
    }
}

impl Service for Device {
    fn look_up(&self, request: &[u8], reply: &mut [u8]) -> usize {
        self.0
            .device_control(ioctl::LOOKUP, request, reply)
            .expect("an answer")
    }

    fn look_up_batch(&self, request: &[u8], reply: &mut [u8]) -> usize {
        self.0
            .device_control(ioctl::LOOKUP_BATCH, request, reply)
            .expect("an answer")
    }
}

/// A map in the program itself.
pub struct Map(RwLock<hashbrown::HashMap<Box<[u16]>, Content, Hasher>>);

impl Map {
    /// A map of those names.
    pub fn of(names: Names) -> Self {
        let mut map = hashbrown::HashMap::with_capacity_and_hasher(names.count, Hasher::default());
        for number in 0..names.count {
            let content = Content::of(names, number);
            let folded = content.name().iter().map(|unit| fold(*unit)).collect();
            map.insert(folded, content);
        }
        Self(RwLock::new(map))
    }

    fn find<R>(&self, query: &QuerySet<'_>, found: impl FnOnce(Option<&Content>) -> R) -> R {
        let mut buffer = [0; 320];
        let name = query.name.unwrap_or_default();
        let folded = &mut buffer[..name.len()];
        for (to, unit) in folded.iter_mut().zip(name.folded_units()) {
            *to = unit;
        }
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        found(map.get(&*folded))
    }
}

fn record(content: &Content) -> Record<'_> {
    Record {
        tier: Tier::Wildcard,
        record: content.query_set(),
    }
}

impl Service for Map {
    fn look_up(&self, request: &[u8], reply: &mut [u8]) -> usize {
        let mut query = QuerySet::default();
        LookupRequest::read(request, &mut query).expect("a sound request");
        self.find(&query, |content| {
            let mut reply = ReplyWriter::new(reply).expect("there is room");
            let code = content.map_or(WsaCode::WSASERVICE_NOT_FOUND, |content| {
                record(content).write(&mut reply).expect("there is room");
                WsaCode::NO_ERROR
            });
            reply.finish(code, Tail::Required)
        })
    }

    fn look_up_batch(&self, request: &[u8], reply: &mut [u8]) -> usize {
        let request = BatchRequest::parse(request).expect("a sound request");
        let mut reply = ReplyWriter::new(reply).expect("there is room");
        let mut query = QuerySet::default();
        for asked in request.queries() {
            query.read_wire(asked).expect("a sound query");
            let start = reply.open();
            let code = self.find(&query, |content| {
                content.map_or(WsaCode::WSASERVICE_NOT_FOUND, |content| {
                    record(content).write_nested(&mut reply).expect("there is room");
                    WsaCode::NO_ERROR
                })
            });
            reply.close(start, code.0).expect("there is room");
        }
        reply.finish(WsaCode::NO_ERROR, Tail::Continued)
    }
}
