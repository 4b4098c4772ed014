//! Journal files whose checksums are right, so that what is behind them is reached; and what happens to them then.

use allocator_api2::alloc::Global;
use arbitrary::Arbitrary;
use nsemail::{Registration, notation};
use nsemail_provider_core::{
    journal::format::{FrameBuilder, Header, Kind},
    store::{Change, Limits, Record},
};

use super::PROVIDER;

/// A file, as it is made.
#[derive(Arbitrary, Debug)]
pub struct Script {
    generation: Generation,
    salt: u8,
    /// Of another namespace provider.
    foreign: bool,
    frames: Vec<Frame>,
    damage: Vec<Damage>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Generation {
    Small(u8),
    Any(u64),
}

/// A frame of the file.
#[derive(Arbitrary, Debug)]
struct Frame {
    records: Vec<Entry>,
    /// What its sequence is away from the one that is due; for most frames nothing.
    astray: u8,
    unflushed: u8,
    /// Zeros behind it.
    zeros: u8,
}

/// A record of a frame.
#[derive(Arbitrary, Debug)]
enum Entry {
    /// A name as the driver writes it.
    Put { name: u8, addresses: u8, comment: bool },
    /// A key as the driver writes it.
    Remove { name: u8 },
    /// The mark that the file counts.
    End,
    /// Any bytes.
    Bytes { kind: u8, content: Vec<u8> },
}

/// What becomes of the bytes of a file.
#[derive(Arbitrary, Debug)]
enum Damage {
    Flip { at: u16, with: u8 },
    Cut { by: u16 },
    Append(Vec<u8>),
    Zeros(u16),
}

impl Script {
    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let generation = match self.generation {
            Generation::Small(number) => u64::from(number % 8),
            Generation::Any(number) => number,
        };
        let header = Header {
            generation,
            salt: self.salt.into(),
            provider: if self.foreign { [0xEE; 16] } else { PROVIDER },
        };
        let mut bytes = header.encode().to_vec();
        for (due, frame) in (1_u64..).zip(self.frames.iter().take(16)) {
            let mut builder = FrameBuilder::try_new_in(Global).expect("memory");
            for entry in frame.records.iter().take(16) {
                let (kind, content) = entry.record();
                builder.try_push(kind, &content).expect("memory");
            }
            // One frame in eight.
            let sequence = if frame.astray < 32 {
                due.wrapping_add(u64::from(frame.astray)).wrapping_sub(16)
            } else {
                due
            };
            let finished = builder.finish(header.salt, sequence, frame.unflushed.into(), frame.zeros.into());
            bytes.extend_from_slice(finished.expect("memory"));
        }
        for damage in self.damage.iter().take(8) {
            damage.to(&mut bytes);
        }
        bytes
    }
}

impl Entry {
    fn record(&self) -> (Kind, Vec<u8>) {
        match self {
            Self::Put {
                name,
                addresses,
                comment,
            } => {
                let change = registration(*name, *addresses, *comment);
                let outcome = change.apply(None, &Limits::DEFAULT, &Global).expect("a new name");
                let nsemail_provider_core::store::Effect::Put(record) = outcome.effect else {
                    panic!("a registration is put");
                };
                (Kind::Put, record.as_bytes().to_vec())
            }
            Self::Remove { name } => {
                let key: Record<Global> = registration(*name, 0, false)
                    .try_key_record(Global)
                    .expect("memory");
                (Kind::Remove, key.as_bytes().to_vec())
            }
            Self::End => (Kind::SnapshotEnd, Vec::new()),
            Self::Bytes { kind, content } => {
                let kind = [Kind::Put, Kind::Remove, Kind::SnapshotEnd][usize::from(*kind) % 3];
                (kind, content.clone())
            }
        }
    }
}

/// The registration of one of some names.
pub fn registration(name: u8, addresses: u8, comment: bool) -> Change<Global> {
    let address = |number| notation::parse(&format!("192.0.2.{number}:{number}/udp")).expect("an address");
    let registration = Registration {
        name: format!("user{}@example.com", name % 16),
        addresses: (0..addresses % 4).map(address).collect(),
        comment: comment.then(|| "a comment".to_owned()),
        ..Registration::default()
    };
    let change = registration.with(|query| Ok(Change::from_query(0, 0, &query, &Limits::DEFAULT, Global)));
    change.expect("a name").expect("a registration")
}

impl Damage {
    fn to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { at, with } => {
                let length = bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(usize::from(*at) % length) {
                    *byte ^= with;
                }
            }
            Self::Cut { by } => bytes.truncate(bytes.len().saturating_sub((*by).into())),
            Self::Append(more) => bytes.extend_from_slice(more),
            Self::Zeros(count) => bytes.resize(bytes.len() + usize::from(*count), 0),
        }
    }
}
