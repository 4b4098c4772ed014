//! Reading a whole journal file that is in memory, to show it and to say what is wrong with it and where.
//!
//! The conclusions are those of [`Log::open`](super::log::Log::open), and so of the driver; nothing is changed.

use core::fmt;

use super::format::{self, FrameHeader, HEADER_SIZE, Header, HeaderFault, Kind, RECORD_HEADER_SIZE, Step};
use crate::store::RecordRef;

/// A frame that checks out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where it starts.
    pub offset: usize,
    /// Bytes of it, padding included.
    pub size: usize,
    /// Its header.
    pub header: FrameHeader,
}

/// A record of such a frame.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Where it starts.
    pub offset: usize,
    /// What it does.
    pub kind: Kind,
    /// The object, or the key of the one that is gone; none for [`Kind::SnapshotEnd`].
    pub object: Option<RecordRef<'a>>,
}

/// What is found in a file, in its order.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A frame.
    Frame(Frame),
    /// A record of the last frame.
    Record(Entry<'a>),
}

/// What is to say of a file as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Its header, if that checks out.
    pub header: Option<Header>,
    /// Frames that check out.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Where they end.
    pub end: usize,
    /// Zeros behind them up to the end of the file: space that is set aside.
    pub set_aside: usize,
    /// What is wrong.
    pub fault: Option<Fault>,
}

/// Something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub offset: usize,
    /// What.
    pub kind: FaultKind,
}

/// What can be wrong with a journal file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// There is at most a piece of a header.
    Unfinished,
    /// The header is not one.
    Header,
    /// A newer driver wrote it; the version that it names.
    Version(u32),
    /// So many bytes at the end are of a frame that was not finished, without the zeros behind it.
    TornTail(usize),
    /// A frame that was durable once does not check; this frame, which comes later, proves it.
    Damaged(usize),
    /// A frame whose checksum is right holds something that the driver does not write.
    Malformed,
    /// The mark is missing by which a generation counts.
    NotComplete,
}

impl FaultKind {
    /// Whether the driver loads the file all the same, or goes by the other one.
    #[must_use]
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::Unfinished | Self::TornTail(_) | Self::NotComplete)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset;
        match self.kind {
            FaultKind::Unfinished => write!(f, "the header is not finished at offset {offset}"),
            FaultKind::Header => write!(f, "there is no valid journal header at offset {offset}"),
            FaultKind::Version(version) => {
                write!(f, "format version {version} is not known at offset {offset}")
            }
            FaultKind::TornTail(bytes) => write!(f, "a torn tail of {bytes} bytes at offset {offset}"),
            FaultKind::Damaged(later) => write!(
                f,
                "a damaged frame at offset {offset}; there is a later frame at offset {later}"
            ),
            FaultKind::Malformed => write!(f, "a malformed record at offset {offset}"),
            FaultKind::NotComplete => {
                write!(
                    f,
                    "no mark that the file was finished up to its end at offset {offset}"
                )
            }
        }
    }
}

/// Reads a file, and hands what it finds to `each` until something is wrong.
pub fn inspect<'a>(bytes: &'a [u8], mut each: impl FnMut(Item<'a>)) -> Summary {
    let mut summary = Summary::default();
    let zero_from = |offset: usize| bytes.iter().skip(offset).all(|&byte| byte == 0);
    let header = match Header::decode(bytes.get(..HEADER_SIZE).unwrap_or(bytes)) {
        Ok(header) => header,
        Err(fault) => {
            let kind = match fault {
                HeaderFault::Version(version) => FaultKind::Version(version),
                _ if zero_from(HEADER_SIZE) => FaultKind::Unfinished,
                _ => FaultKind::Header,
            };
            let offset = if matches!(kind, FaultKind::Version(_)) {
                8
            } else {
                0
            };
            summary.fault = Some(Fault { offset, kind });
            return summary;
        }
    };
    summary.header = Some(header);
    let mut complete = false;
    let mut at = HEADER_SIZE;
    let mut sequence = 1_u64;
    let fault = loop {
        summary.end = at;
        let rest = bytes.get(at..).unwrap_or_default();
        let Step::Frame { records, size } = format::step(header.salt, sequence, rest, true) else {
            break after_last(header.salt, sequence, at, rest);
        };
        let Some(frame) = FrameHeader::decode(header.salt, rest) else {
            break None;
        };
        each(Item::Frame(Frame {
            offset: at,
            size,
            header: frame,
        }));
        let mut offset = at.saturating_add(format::FRAME_HEADER_SIZE);
        let mut malformed = false;
        for record in records {
            let object = record.map(|record| (record, RecordRef::parse(record.content)));
            let (record, object) = match object {
                Ok((record, object)) if object.is_some() || record.kind == Kind::SnapshotEnd => {
                    (record, object)
                }
                _ => {
                    malformed = true;
                    break;
                }
            };
            complete |= record.kind == Kind::SnapshotEnd;
            each(Item::Record(Entry {
                offset,
                kind: record.kind,
                object,
            }));
            summary.records = summary.records.saturating_add(1);
            let length = record.content.len().saturating_add(RECORD_HEADER_SIZE);
            offset = offset.saturating_add(length);
        }
        if malformed {
            break Some(Fault {
                offset,
                kind: FaultKind::Malformed,
            });
        }
        summary.frames = summary.frames.saturating_add(1);
        at = at.saturating_add(size);
        sequence = sequence.saturating_add(1);
    };
    if fault.is_none() {
        summary.set_aside = bytes.len().saturating_sub(at);
    }
    summary.fault = fault.or_else(|| {
        (!complete).then_some(Fault {
            offset: at,
            kind: FaultKind::NotComplete,
        })
    });
    summary
}

/// What is wrong behind the last frame that checks out.
fn after_last(salt: u64, sequence: u64, at: usize, rest: &[u8]) -> Option<Fault> {
    let kind = match format::find_later(salt, sequence, rest) {
        Some(later) => FaultKind::Damaged(at.saturating_add(later)),
        None => FaultKind::TornTail(rest.iter().rposition(|&byte| byte != 0)?.saturating_add(1)),
    };
    Some(Fault { offset: at, kind })
}
