//! The bytes of a journal file: a header, then frames. Pure: no file and no kernel is named here.
//!
//! All integers are little-endian. A file starts with a [`Header`] of 64 bytes:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `NSEMLJNL` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | size of this header, 64 |
//! | 16 | 8 | generation of the file, 1 or more, and below [`GENERATIONS`]: others have to follow |
//! | 24 | 8 | salt, random per file |
//! | 32 | 16 | GUID of the namespace provider the file belongs to, in memory order |
//! | 48 | 12 | zero |
//! | 60 | 4 | CRC-32C of bytes 0..60 |
//!
//! Frames follow, each at a multiple of [`ALIGNMENT`] and padded to it with zeros. A frame is one batch of changes
//! that became durable together:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | `NSJF` |
//! | 4 | 4 | payload bytes, padding excluded |
//! | 8 | 8 | sequence: 1 for a file's first frame, then one more each |
//! | 16 | 4 | number of records |
//! | 20 | 4 | CRC-32C of the payload |
//! | 24 | 4 | how many of the frames before it no flush had covered when it was written; 0 unless `Durability` is off |
//! | 28 | 4 | CRC-32C of the salt and bytes 0..28 |
//! | 32 | | payload: records one after the other |
//!
//! and a record is a kind (1 byte), three zero bytes, a length (4 bytes) and that many bytes.
//!
//! # Space set aside
//!
//! Behind the last frame zeros may follow, up to the end of the file. They were written in advance, so that a frame
//! that is written over them changes neither the file's size nor where its content lies, and its flush writes only
//! the frame. How many there are means nothing: a frame that does not fit them is written beyond the file's end, with
//! more zeros behind it. Where zeros and a frame were written together and the power failed, any of it may be missing,
//! also the zeros, and what is read is the same: a frame, or a torn one.
//!
//! # What a reader concludes
//!
//! A frame is written only after the flush of the one before it, so at most one frame of a file can be unfinished,
//! and nothing but zeros follows it; if changes need not be durable, a frame says how many before it may be unfinished
//! too. Therefore, with *n* the sequence that is due:
//!
//! - Nothing but zeros up to the end: the file ends here ([`Step::End`]).
//! - A frame that checks out with sequence *n*: take it.
//! - Anything else, with a frame header behind it that was written when frame *n* had been flushed: **damage**. Frame
//!   *n* had reached the disk once, and no longer reads back. The file is left alone.
//! - Anything else: a **torn tail**. It was never acknowledged as durable, and is cut.
//!
//! Remains of a failed attempt to write frame *n* carry sequence *n* and do not count as "behind". The salt is secret
//! to those who register names, so a stored blob cannot pass for a frame header; it also keeps the search linear,
//! since a candidate's header checks before its payload is looked at.

use crc::{CRC_32_ISCSI, Crc, Table};
use nsemail_contract::bytes::{array_at, u32_at, u64_at};
use pool_alloc::{Allocator, OutOfMemory, Vec};

/// Frames start at multiples of this many bytes.
pub const ALIGNMENT: usize = 8;
/// Bytes of a file header.
pub const HEADER_SIZE: usize = 64;
/// No file has this generation, nor a higher one: to get there, a driver that writes its journal anew every microsecond
/// takes 290,000 years.
pub const GENERATIONS: u64 = 1 << 63;
/// Where a header names the generation.
pub(super) const GENERATION_AT: usize = 16;
/// Bytes of a frame before its payload.
pub const FRAME_HEADER_SIZE: usize = 32;
/// Bytes of a record before its content.
pub const RECORD_HEADER_SIZE: usize = 8;
/// The longest payload of a frame.
pub const MAX_PAYLOAD: usize = 16 << 20;
/// The version of the format that is written.
pub const VERSION: u32 = 1;

const FILE_MAGIC: [u8; 8] = *b"NSEMLJNL";
const FRAME_MAGIC: [u8; 4] = *b"NSJF";

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
/// The tables of the checksum, once in the image.
static CRC_32C: Crc<u32, Table<16>> = CRC;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which writing of the store this file is; a higher one replaces a lower one.
    pub generation: u64,
    /// Enters every frame's checksum.
    pub salt: u64,
    /// The namespace provider, in memory order.
    pub provider: [u8; 16],
}

/// Why a header was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Shorter than a header, or nothing but zeros: its creation never finished.
    Unfinished,
    /// Written by a newer driver; the version that it names.
    Version(u32),
    /// No journal, or one whose header does not check.
    Damaged,
}

impl Header {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        put(&mut bytes, 0, &FILE_MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &64_u32.to_le_bytes());
        put(&mut bytes, GENERATION_AT, &self.generation.to_le_bytes());
        put(&mut bytes, 24, &self.salt.to_le_bytes());
        put(&mut bytes, 32, &self.provider);
        let crc = CRC_32C.checksum(bytes.get(..60).unwrap_or_default());
        put(&mut bytes, 60, &crc.to_le_bytes());
        bytes
    }

    /// Reads the first bytes of a file, which are all of it if it is shorter than a header.
    ///
    /// # Errors
    ///
    /// What is wrong with it. A file that is short, or zero throughout its header, is [`HeaderFault::Unfinished`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let Some(bytes) = bytes.get(..HEADER_SIZE) else {
            return Err(HeaderFault::Unfinished);
        };
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(HeaderFault::Unfinished);
        }
        let head = (
            array_at(bytes, 0),
            u32_at(bytes, 8),
            u32_at(bytes, 60),
            u32_at(bytes, 12),
        );
        let (Some(magic), Some(version), Some(crc), Some(size)) = head else {
            return Err(HeaderFault::Damaged);
        };
        if magic != FILE_MAGIC || crc != CRC_32C.checksum(bytes.get(..60).unwrap_or_default()) {
            return Err(HeaderFault::Damaged);
        }
        if version != VERSION {
            return Err(HeaderFault::Version(version));
        }
        let fields = (
            u64_at(bytes, GENERATION_AT),
            u64_at(bytes, 24),
            array_at(bytes, 32),
        );
        match fields {
            (Some(generation), Some(salt), Some(provider))
                if size == 64 && (1..GENERATIONS).contains(&generation) =>
            {
                Ok(Self {
                    generation,
                    salt,
                    provider,
                })
            }
            _ => Err(HeaderFault::Damaged),
        }
    }
}

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The object is now as the content says.
    Put,
    /// The object whose key the content gives is gone.
    Remove,
    /// What was before this record is the whole store at the time the file was begun. A file without it was never
    /// finished and does not count. No content.
    SnapshotEnd,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Put => 1,
            Self::Remove => 2,
            Self::SnapshotEnd => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Put),
            2 => Some(Self::Remove),
            3 => Some(Self::SnapshotEnd),
            _ => None,
        }
    }
}

/// Builds one frame.
///
/// The buffer is kept from frame to frame, so that a frame no longer than an earlier one needs no memory.
#[derive(Debug)]
pub struct FrameBuilder<A: Allocator> {
    bytes: Vec<u8, A>,
    records: u32,
    /// Bytes at the end that finishing the frame has added.
    padding: usize,
}

/// A frame would not take another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The payload would become longer than [`MAX_PAYLOAD`].
    Full,
    /// No memory.
    OutOfMemory,
}

impl From<OutOfMemory> for FrameError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl<A: Allocator> FrameBuilder<A> {
    /// An empty frame.
    ///
    /// # Errors
    ///
    /// No memory for the frame's header.
    pub fn try_new_in(alloc: A) -> Result<Self, OutOfMemory> {
        let mut bytes = Vec::try_with_capacity_in(4096, alloc)?;
        bytes.try_resize(FRAME_HEADER_SIZE, 0)?;
        Ok(Self {
            bytes,
            records: 0,
            padding: 0,
        })
    }

    /// Appends a record.
    ///
    /// # Errors
    ///
    /// The frame is full, or memory ran out; it is as before.
    pub fn try_push(&mut self, kind: Kind, content: &[u8]) -> Result<(), FrameError> {
        let needed = content.len().saturating_add(RECORD_HEADER_SIZE);
        if self.payload().saturating_add(needed) > MAX_PAYLOAD {
            return Err(FrameError::Full);
        }
        let (Ok(length), Some(records)) = (u32::try_from(content.len()), self.records.checked_add(1)) else {
            return Err(FrameError::Full);
        };
        // The padding of the finished frame is set aside too, so that finishing cannot fail.
        self.bytes.try_reserve(needed.saturating_add(ALIGNMENT))?;
        self.remove_padding();
        self.bytes.try_extend_from_slice(&[kind.code(), 0, 0, 0])?;
        self.bytes.try_extend_from_slice(&length.to_le_bytes())?;
        self.bytes.try_extend_from_slice(content)?;
        self.records = records;
        Ok(())
    }

    /// Appends all records of another frame.
    ///
    /// # Errors
    ///
    /// The frame is full, or memory ran out; it is as before.
    pub fn try_append<B: Allocator>(&mut self, other: &FrameBuilder<B>) -> Result<(), FrameError> {
        let needed = other.payload();
        if self.payload().saturating_add(needed) > MAX_PAYLOAD {
            return Err(FrameError::Full);
        }
        let Some(records) = self.records.checked_add(other.records) else {
            return Err(FrameError::Full);
        };
        let end = needed.saturating_add(FRAME_HEADER_SIZE);
        let payload = other.bytes.get(FRAME_HEADER_SIZE..end).unwrap_or_default();
        self.bytes.try_reserve(needed.saturating_add(ALIGNMENT))?;
        self.remove_padding();
        self.bytes.try_extend_from_slice(payload)?;
        self.records = records;
        Ok(())
    }

    /// Number of records so far.
    #[must_use]
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Bytes of the payload so far.
    #[must_use]
    pub fn payload(&self) -> usize {
        let tail = self.padding.saturating_add(FRAME_HEADER_SIZE);
        self.bytes.len().saturating_sub(tail)
    }

    fn remove_padding(&mut self) {
        let length = self.bytes.len().saturating_sub(self.padding);
        self.bytes.truncate(length);
        self.padding = 0;
    }

    /// Takes back the records after the first `records`, whose payload was `payload` bytes long.
    pub fn truncate(&mut self, records: u32, payload: usize) {
        self.remove_padding();
        self.bytes.truncate(payload.saturating_add(FRAME_HEADER_SIZE));
        self.records = self.records.min(records);
    }

    /// Empties the frame.
    pub fn clear(&mut self) {
        self.truncate(0, 0);
    }

    /// Bytes of the finished frame, zeros behind it excluded.
    #[must_use]
    pub fn size(&self) -> usize {
        let size = self.payload().saturating_add(FRAME_HEADER_SIZE);
        size.next_multiple_of(ALIGNMENT)
    }

    /// Writes the frame's header and padding, and gives all its bytes, with so many zeros behind them; with none if
    /// there is no memory for them.
    ///
    /// # Errors
    ///
    /// No memory for the padding of a frame without records.
    pub fn finish(
        &mut self,
        salt: u64,
        sequence: u64,
        unflushed: u32,
        zeros: usize,
    ) -> Result<&[u8], OutOfMemory> {
        self.remove_padding();
        let payload = self.payload();
        let unpadded = self.bytes.len();
        let size = self.size();
        if self.bytes.try_resize(size.saturating_add(zeros), 0).is_err() {
            self.bytes.try_resize(size, 0)?;
        }
        self.padding = self.bytes.len().saturating_sub(unpadded);
        let length = u32::try_from(payload).map_err(|_| OutOfMemory)?;
        let end = payload.saturating_add(FRAME_HEADER_SIZE);
        let crc = CRC_32C.checksum(self.bytes.get(FRAME_HEADER_SIZE..end).unwrap_or_default());
        let header = FrameHeader {
            length,
            sequence,
            records: self.records,
            crc,
            unflushed,
        };
        put(&mut self.bytes, 0, &header.encode(salt));
        Ok(&self.bytes)
    }
}

/// A frame's header, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Payload bytes.
    pub length: u32,
    /// Place of the frame among those of its file.
    pub sequence: u64,
    /// Number of records in the payload.
    pub records: u32,
    /// Checksum of the payload.
    pub crc: u32,
    /// How many of the frames before it no flush had covered when it was written.
    pub unflushed: u32,
}

impl FrameHeader {
    fn encode(&self, salt: u64) -> [u8; FRAME_HEADER_SIZE] {
        let mut bytes = [0; FRAME_HEADER_SIZE];
        put(&mut bytes, 0, &FRAME_MAGIC);
        put(&mut bytes, 4, &self.length.to_le_bytes());
        put(&mut bytes, 8, &self.sequence.to_le_bytes());
        put(&mut bytes, 16, &self.records.to_le_bytes());
        put(&mut bytes, 20, &self.crc.to_le_bytes());
        put(&mut bytes, 24, &self.unflushed.to_le_bytes());
        let crc = salted(salt, bytes.get(..28).unwrap_or_default());
        put(&mut bytes, 28, &crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of `bytes`; `None` if there is none that checks.
    #[must_use]
    pub fn decode(salt: u64, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER_SIZE)?;
        if array_at::<4>(bytes, 0)? != FRAME_MAGIC || u32_at(bytes, 28)? != salted(salt, bytes.get(..28)?) {
            return None;
        }
        let header = Self {
            length: u32_at(bytes, 4)?,
            sequence: u64_at(bytes, 8)?,
            records: u32_at(bytes, 16)?,
            crc: u32_at(bytes, 20)?,
            unflushed: u32_at(bytes, 24)?,
        };
        (usize::try_from(header.length).ok()? <= MAX_PAYLOAD).then_some(header)
    }

    /// Whether frame `sequence` had been flushed when this one was written.
    #[must_use]
    pub fn proves(&self, sequence: u64) -> bool {
        self.sequence
            .checked_sub(u64::from(self.unflushed))
            .is_some_and(|first| first > sequence)
    }

    /// Bytes of the whole frame, padding included.
    #[must_use]
    pub fn frame_size(&self) -> u64 {
        u64::from(self.length)
            .saturating_add(FRAME_HEADER_SIZE as u64)
            .next_multiple_of(ALIGNMENT as u64)
    }
}

/// What stands at a frame's place.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// More bytes of the file are needed to tell: this many from the frame's place on, all that is left if that is
    /// less. The answer is only given while `bytes` is not yet the rest of the file.
    More(usize),
    /// The frame that was due; the next one's place is `size` further.
    Frame {
        /// Its records.
        records: Records<'a>,
        /// Bytes of the frame, padding included.
        size: usize,
    },
    /// No frame, and nothing but zeros in `bytes`.
    End,
    /// No frame that is due here.
    Bad,
}

/// Looks at the place where frame `sequence` is due. `bytes` are the file's from there on; `last` says that they are
/// all.
#[must_use]
pub fn step(salt: u64, sequence: u64, bytes: &[u8], last: bool) -> Step<'_> {
    if bytes.len() < FRAME_HEADER_SIZE {
        return match (last, bytes.iter().all(|&byte| byte == 0)) {
            (false, _) => Step::More(FRAME_HEADER_SIZE),
            (true, true) => Step::End,
            (true, false) => Step::Bad,
        };
    }
    let Some(header) = FrameHeader::decode(salt, bytes) else {
        return if bytes.iter().all(|&byte| byte == 0) {
            Step::End
        } else {
            Step::Bad
        };
    };
    let Ok(size) = usize::try_from(header.frame_size()) else {
        return Step::Bad;
    };
    if header.sequence != sequence {
        return Step::Bad;
    }
    if bytes.len() < size {
        return if last { Step::Bad } else { Step::More(size) };
    }
    let end = (header.length as usize).saturating_add(FRAME_HEADER_SIZE);
    let Some(payload) = bytes.get(FRAME_HEADER_SIZE..end) else {
        return Step::Bad;
    };
    if CRC_32C.checksum(payload) != header.crc {
        return Step::Bad;
    }
    Step::Frame {
        records: Records {
            payload,
            left: header.records,
        },
        size,
    }
}

/// Looks in `bytes`, which start at a multiple of [`ALIGNMENT`], for the header of a frame that was written when frame
/// `sequence` had been flushed. Gives the offset of the first.
///
/// The last `FRAME_HEADER_SIZE - ALIGNMENT` bytes cannot be judged yet and must lead the next piece of the file.
#[must_use]
pub fn find_later(salt: u64, sequence: u64, bytes: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    while let Some(rest) = bytes.get(at..) {
        if rest.len() < FRAME_HEADER_SIZE {
            break;
        }
        if FrameHeader::decode(salt, rest).is_some_and(|header| header.proves(sequence)) {
            return Some(at);
        }
        at = at.checked_add(ALIGNMENT)?;
    }
    None
}

/// A record of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it does.
    pub kind: Kind,
    /// To what.
    pub content: &'a [u8],
}

/// A frame's payload holds something else than its header says, although its checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The records of a frame, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<'a> {
    payload: &'a [u8],
    left: u32,
}

impl<'a> Records<'a> {
    fn take(&mut self) -> Option<Record<'a>> {
        let (&[kind, 0, 0, 0, l0, l1, l2, l3], rest) =
            self.payload.split_first_chunk::<RECORD_HEADER_SIZE>()?
        else {
            return None;
        };
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        let kind = Kind::from_code(kind)?;
        let (content, rest) = rest.split_at_checked(length)?;
        self.payload = rest;
        Some(Record { kind, content })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        match (self.left.checked_sub(1), self.payload.is_empty()) {
            (None, true) => None,
            (None, false) => {
                self.payload = &[];
                Some(Err(Malformed))
            }
            (Some(left), _) => {
                self.left = left;
                let record = self.take();
                if record.is_none() {
                    (self.left, self.payload) = (0, &[]);
                }
                Some(record.ok_or(Malformed))
            }
        }
    }
}

fn salted(salt: u64, bytes: &[u8]) -> u32 {
    let mut digest = CRC_32C.digest();
    digest.update(&salt.to_le_bytes());
    digest.update(bytes);
    digest.finalize()
}

/// Writes `source` at `offset`, which the callers choose within the buffer.
fn put(bytes: &mut [u8], offset: usize, source: &[u8]) {
    if let Some(target) = bytes.get_mut(offset..offset.saturating_add(source.len())) {
        target.copy_from_slice(source);
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
