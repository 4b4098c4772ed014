//! The frame of every reply, and the entries in it.

use crate::bytes::{Reader, Writer, slice_at, u32_at};
use crate::codes::WsaCode;
use crate::fault::{Fault, FaultKind};

/// Bytes before everything else of a reply: size, code, needed size, number of entries.
pub const REPLY_HEADER: usize = 16;
/// Bytes before the content of an entry: size, number.
pub const ENTRY_HEADER: usize = 8;

/// An entry was left out because the output is too short; what it takes was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DoesNotFit;

/// What a reply means whose last entries did not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// It makes sense only as a whole: none of it is sent.
    Required,
    /// It can be continued: what did fit is sent.
    Continued,
}

/// Writes a reply into the output buffer of a call.
#[derive(Debug)]
pub struct ReplyWriter<'b> {
    writer: Writer<'b>,
    progress: ReplyProgress,
}

/// How far a reply is, without the buffer; for a call that waits and goes on later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyProgress {
    /// Bytes measured so far, whether or not they fitted.
    at: usize,
    /// Bytes of what did fit, up to the end of a complete entry.
    complete: usize,
    /// Entries that did fit.
    entries: u32,
    /// Length of the output.
    capacity: usize,
}

impl<'b> ReplyWriter<'b> {
    /// Starts a reply; `None` if `out` cannot hold even the header, which a driver answers with
    /// `STATUS_BUFFER_TOO_SMALL`.
    #[must_use]
    pub fn new(out: &'b mut [u8]) -> Option<Self> {
        let capacity = out.len();
        if capacity < REPLY_HEADER {
            return None;
        }
        let mut writer = Writer::new(out);
        writer.array([0; REPLY_HEADER]);
        let progress = ReplyProgress {
            at: REPLY_HEADER,
            complete: REPLY_HEADER,
            entries: 0,
            capacity,
        };
        Some(Self { writer, progress })
    }

    /// Writes a reply that is only a code; answers its size, or `None` like [`Self::new`].
    #[must_use]
    pub fn bare(out: &mut [u8], code: WsaCode) -> Option<usize> {
        Some(ReplyWriter::new(out)?.finish(code, Tail::Required))
    }

    /// Writes a reply that says only how long the output must be; answers its size.
    #[must_use]
    pub fn too_small(out: &mut [u8], needed: usize) -> Option<usize> {
        let at = needed.max(REPLY_HEADER);
        let progress = ReplyProgress {
            at,
            ..ReplyWriter::new(out)?.suspend()
        };
        Some(ReplyWriter::resume(out, progress).finish(WsaCode::WSAEFAULT, Tail::Required))
    }

    /// Lets go of the buffer.
    #[must_use]
    pub const fn suspend(self) -> ReplyProgress {
        ReplyProgress {
            at: self.writer.offset(),
            ..self.progress
        }
    }

    /// Goes on with a suspended reply in the same buffer.
    #[must_use]
    pub const fn resume(out: &'b mut [u8], progress: ReplyProgress) -> Self {
        Self {
            writer: Writer::resume(out, progress.at),
            progress,
        }
    }

    /// Bytes left for the content of one more entry.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.progress
            .capacity
            .saturating_sub(self.writer.offset())
            .saturating_sub(ENTRY_HEADER)
    }

    /// Writes the fixed fields, before any entry.
    pub fn fields(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        write(&mut self.writer);
        self.writer.align8();
        if self.writer.offset() <= self.progress.capacity {
            self.progress.complete = self.writer.offset();
        }
    }

    /// Overwrites a number among the fixed fields.
    pub fn put_field(&mut self, offset: usize, value: u64) {
        let place = REPLY_HEADER.saturating_add(offset);
        if place.saturating_add(8) <= self.progress.complete {
            self.writer.put(place, value.to_le_bytes());
        }
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// [`DoesNotFit`]; what it takes was counted, and more entries may be written to count them.
    pub fn entry(&mut self, number: u32, content: impl FnOnce(&mut Writer<'_>)) -> Result<(), DoesNotFit> {
        let start = self.open();
        content(&mut self.writer);
        self.close(start, number)
    }

    /// Starts an entry that is written in several steps. Answers what ends it.
    #[must_use]
    pub fn open(&mut self) -> usize {
        let start = self.writer.offset();
        self.writer.array([0; ENTRY_HEADER]);
        start
    }

    /// Writes an entry inside an entry that was opened.
    ///
    /// # Errors
    /// [`DoesNotFit`]; the outer entry will not fit either.
    pub fn nested(&mut self, number: u32, content: impl FnOnce(&mut Writer<'_>)) -> Result<(), DoesNotFit> {
        let start = self.open();
        content(&mut self.writer);
        self.seal(start, number)
    }

    /// Writes entries inside an entry that was opened, which stand encoded in `entries`.
    pub fn nested_entries(&mut self, entries: &[u8]) {
        self.writer.bytes(entries);
    }

    /// Writes entries that stand encoded in `entries`.
    ///
    /// # Errors
    /// [`DoesNotFit`], as for [`Self::entry`].
    pub fn entries_of(&mut self, entries: &[u8]) -> Result<(), DoesNotFit> {
        let mut fit = Ok(());
        for entry in Entries::filling(entries).into_iter().flatten() {
            let written = self.entry(entry.number, |writer| writer.bytes(entry.content));
            fit = fit.and(written);
        }
        fit
    }

    /// Drops what was written since `open` answered `start`.
    pub const fn abandon(&mut self, start: usize) {
        self.writer.rewind(start);
    }

    /// Ends an entry that was opened.
    ///
    /// # Errors
    /// [`DoesNotFit`], as for [`Self::entry`].
    pub fn close(&mut self, start: usize, number: u32) -> Result<(), DoesNotFit> {
        self.seal(start, number)?;
        self.progress.complete = self.writer.offset();
        self.progress.entries = self.progress.entries.saturating_add(1);
        Ok(())
    }

    fn seal(&mut self, start: usize, number: u32) -> Result<(), DoesNotFit> {
        self.writer.align8();
        let end = self.writer.offset();
        self.writer.put_size(start, end.saturating_sub(start));
        self.writer.put(start.saturating_add(4), number.to_le_bytes());
        if end > self.progress.capacity {
            Err(DoesNotFit)
        } else {
            Ok(())
        }
    }

    /// Number of complete entries so far.
    #[must_use]
    pub const fn entries(&self) -> u32 {
        self.progress.entries
    }

    /// Ends the reply; answers its size, which never exceeds the output.
    #[must_use]
    pub fn finish(mut self, code: WsaCode, tail: Tail) -> usize {
        let measured = self.writer.offset();
        let fits = measured <= self.progress.capacity;
        let usable = fits || (tail == Tail::Continued && self.progress.entries > 0);
        let (size, code, entries) = if usable {
            (self.progress.complete, code, self.progress.entries)
        } else if code.is_success() {
            (REPLY_HEADER, WsaCode::WSAEFAULT, 0)
        } else {
            (REPLY_HEADER, code, 0)
        };
        self.writer.put_size(0, size);
        self.writer.put(4, code.0.to_le_bytes());
        self.writer.put_size(8, measured);
        self.writer.put(12, entries.to_le_bytes());
        size
    }
}

/// A reply whose frame and entries are known to be sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply<'a> {
    /// What the call answers.
    pub code: WsaCode,
    /// Bytes that a complete reply takes.
    pub needed: usize,
    count: u32,
    payload: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Reads the frame. Bytes beyond the stated size are ignored.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let size = reader.u32()? as usize;
        let code = WsaCode(reader.u32()?);
        let needed = reader.u32()? as usize;
        let count = reader.u32()?;
        let length = size
            .checked_sub(REPLY_HEADER)
            .filter(|_| size.is_multiple_of(8))
            .ok_or_else(|| Fault::new(FaultKind::BadHeader, 0))?;
        Ok(Self {
            code,
            needed,
            count,
            payload: reader.take(length)?,
        })
    }

    /// The reader of the fixed fields, and the size of the message before them.
    pub(super) const fn fields(&self) -> Reader<'a> {
        Reader::new(self.payload)
    }

    /// The entries after the fixed fields that `reader` has read; offsets of faults count from the
    /// start of the message.
    pub(super) fn entries(&self, reader: &Reader<'a>) -> Result<Entries<'a>, Fault> {
        let rest = self.payload.get(reader.offset()..).unwrap_or_default();
        let start = REPLY_HEADER.saturating_add(reader.offset());
        let entries = Entries {
            rest,
            left: self.count,
        };
        entries.check(start)?;
        Ok(entries)
    }
}

/// One entry of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// What it means depends on the reply.
    pub number: u32,
    /// The content.
    pub content: &'a [u8],
}

/// Entries one after another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Entries<'a> {
    /// Entries that fill `bytes`.
    pub(super) fn filling(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut left = 0_u32;
        let mut walk = Entries {
            rest: bytes,
            left: u32::MAX,
        };
        while !walk.rest.is_empty() {
            walk.step()?;
            left = left.saturating_add(1);
        }
        Ok(Self { rest: bytes, left })
    }

    /// The entry at the start of `bytes`.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Entry<'a>, Fault> {
        let mut walk = Entries { rest: bytes, left: 1 };
        walk.step()
    }

    /// `count` entries at the start of `bytes`, after which nothing follows.
    pub(super) fn exactly(bytes: &'a [u8], count: u32) -> Result<Self, Fault> {
        let entries = Self {
            rest: bytes,
            left: count,
        };
        entries.check(0)?;
        Ok(entries)
    }

    /// Walks all entries once; `start` is where they start in the message.
    fn check(&self, start: usize) -> Result<(), Fault> {
        let mut walk = self.clone();
        while walk.left > 0 {
            let at = start.saturating_add(self.rest.len().saturating_sub(walk.rest.len()));
            walk.step().map_err(|fault| Fault::new(fault.kind, at))?;
        }
        if walk.rest.is_empty() {
            return Ok(());
        }
        let at = start.saturating_add(self.rest.len().saturating_sub(walk.rest.len()));
        Err(Fault::new(FaultKind::BadCount, at))
    }

    fn step(&mut self) -> Result<Entry<'a>, Fault> {
        let truncated = Fault::new(FaultKind::Truncated, 0);
        let size = u32_at(self.rest, 0).ok_or(truncated)? as usize;
        let number = u32_at(self.rest, 4).ok_or(truncated)?;
        let length = size
            .checked_sub(ENTRY_HEADER)
            .filter(|_| size.is_multiple_of(8))
            .ok_or_else(|| Fault::new(FaultKind::BadLength, 0))?;
        let content = slice_at(self.rest, ENTRY_HEADER, length).ok_or(truncated)?;
        self.rest = self.rest.get(size..).unwrap_or_default();
        self.left = self.left.saturating_sub(1);
        Ok(Entry { number, content })
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.left == 0 { None } else { self.step().ok() }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl ExactSizeIterator for Entries<'_> {
    fn len(&self) -> usize {
        self.left as usize
    }
}
