//! One journal file: reading it at start-up, and appending to it.
//!
//! The rules that make an acknowledged change survive, and one that was answered with an error leave no trace:
//!
//! - A frame is written at the acknowledged end and flushed; only then has the end moved, and only then may a caller
//!   be told of success.
//! - After a failed write or flush it is unknown what the file holds beyond the acknowledged end. Nothing is appended
//!   until the file was cut back to that end and the cut was flushed.
//!
//! A file that is in use has space set aside behind its end, zeros that were flushed with some frame before: to flush a
//! frame that fits there, the file system need not write down where it lies. The space grows with the file, up to
//! `MOST_AHEAD` at a time.

use core::fmt;

use pool_alloc::{Allocator, OutOfMemory, Vec};

use super::JournalFile;
use super::format::{
    self, ALIGNMENT, FRAME_HEADER_SIZE, FrameBuilder, HEADER_SIZE, Header, HeaderFault, Kind, Record, Step,
};

/// The least that is set aside at a time, and what the end of that is a multiple of.
const LEAST_AHEAD: u64 = 4 << 10;
/// The most that is set aside at a time.
const MOST_AHEAD: u64 = 256 << 10;

/// Bytes that are read at a time; a longer frame is read whole.
const READ_SIZE: usize = 64 << 10;

/// An open journal file, ready to be appended to.
#[derive(Debug)]
pub struct Log<F> {
    file: F,
    header: Header,
    /// Where the next frame goes: all before it is acknowledged.
    end: u64,
    /// The next frame's sequence.
    sequence: u64,
    /// Where the zeros behind `end` end: there the file does.
    reserved: u64,
    /// Space is set aside behind frames that end there or later.
    ahead_from: u64,
    /// The file may hold something else than zeros beyond `end`.
    must_cut: bool,
    /// Frames that no flush has covered: the last so many.
    unflushed: u32,
}

/// What reading a file found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Records that were passed on.
    pub records: u64,
    /// Bytes of a torn tail, which are cut off, without the zeros behind it.
    pub cut: u64,
    /// The file holds the mark that its first writing was finished; without it, it does not count.
    pub complete: bool,
}

/// Why a file could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError<E> {
    /// The file system's answer.
    File(E),
    /// There is nothing but at most a piece of a header: the file's creation never finished.
    Unfinished,
    /// A newer driver wrote the file; the version that it names.
    Version(u32),
    /// The file belongs to another namespace provider.
    Foreign,
    /// The file was damaged after it had been written, at this offset.
    Damaged(u64),
    /// No memory for what it holds.
    OutOfMemory,
    /// The receiver of the records asked to stop.
    Stopped,
}

impl<E> From<OutOfMemory> for LoadError<E> {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "the file system answered {error}"),
            Self::Unfinished => f.write_str("it has no header"),
            Self::Version(version) => write!(
                f,
                "it has format version {version}, which this driver does not know"
            ),
            Self::Foreign => f.write_str("it belongs to another provider"),
            Self::Damaged(offset) => write!(f, "it is damaged at offset {offset}"),
            Self::OutOfMemory => f.write_str("there is not enough memory"),
            Self::Stopped => f.write_str("the driver is stopping"),
        }
    }
}

/// What the receiver of a record says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is no record of the store's.
    Malformed,
    /// No memory to keep it.
    OutOfMemory,
    /// Loading is to stop.
    Stop,
}

impl<F> Log<F> {
    /// The same with the file as another thread uses it.
    pub fn with<G>(self, file: impl FnOnce(F) -> G) -> Log<G> {
        Log {
            file: file(self.file),
            header: self.header,
            end: self.end,
            sequence: self.sequence,
            reserved: self.reserved,
            ahead_from: self.ahead_from,
            must_cut: self.must_cut,
            unflushed: self.unflushed,
        }
    }
}

impl<F: JournalFile> Log<F> {
    /// Begins a file: writes its header and makes it durable. No space is set aside in it before it is
    /// [in use](Self::use_from_now_on).
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn create(mut file: F, header: Header) -> Result<Self, F::Error> {
        file.write_at(0, &header.encode())?;
        file.flush()?;
        Ok(Self {
            file,
            header,
            end: HEADER_SIZE as u64,
            sequence: 1,
            reserved: HEADER_SIZE as u64,
            ahead_from: u64::MAX,
            must_cut: false,
            unflushed: 0,
        })
    }

    /// Reads a file, hands each record to `receive` in order, and [takes it over](Self::take_over).
    ///
    /// # Errors
    ///
    /// See [`LoadError`]. The file is then as it was.
    pub fn open<A: Allocator>(
        file: F,
        provider: [u8; 16],
        alloc: A,
        receive: impl FnMut(Record<'_>) -> Result<(), Refused>,
    ) -> Result<(Self, Loaded), LoadError<F::Error>> {
        let (mut log, loaded) = Self::read(file, provider, alloc, receive)?;
        log.take_over().map_err(LoadError::File)?;
        Ok((log, loaded))
    }

    /// Reads a file, and hands each record to `receive` in order. The file stays as it is.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn read<A: Allocator>(
        file: F,
        provider: [u8; 16],
        alloc: A,
        mut receive: impl FnMut(Record<'_>) -> Result<(), Refused>,
    ) -> Result<(Self, Loaded), LoadError<F::Error>> {
        let size = file.size().map_err(LoadError::File)?;
        let mut window = Window::new(&file, size, alloc);
        window.at_least(HEADER_SIZE)?;
        let header = match Header::decode(window.view()) {
            Ok(header) => header,
            Err(HeaderFault::Version(version)) => return Err(LoadError::Version(version)),
            // A file whose creation finished holds a frame.
            Err(_) if window.end_of_content(HEADER_SIZE as u64)? <= HEADER_SIZE as u64 => {
                return Err(LoadError::Unfinished);
            }
            Err(_) => return Err(LoadError::Damaged(0)),
        };
        if header.provider != provider {
            return Err(LoadError::Foreign);
        }
        let mut loaded = Loaded::default();
        let mut end = HEADER_SIZE as u64;
        let mut sequence = 1_u64;
        let mut wanted = FRAME_HEADER_SIZE;
        window.pass(HEADER_SIZE);
        loop {
            window.at_least(wanted)?;
            match format::step(header.salt, sequence, window.view(), window.is_last()) {
                Step::More(more) => wanted = more,
                Step::Frame { records, size } => {
                    for record in records {
                        let record = record.map_err(|_| LoadError::Damaged(end))?;
                        loaded.complete |= record.kind == Kind::SnapshotEnd;
                        receive(record).map_err(|refused| match refused {
                            Refused::Malformed => LoadError::Damaged(end),
                            Refused::OutOfMemory => LoadError::OutOfMemory,
                            Refused::Stop => LoadError::Stopped,
                        })?;
                        loaded.records = loaded.records.saturating_add(1);
                    }
                    window.pass(size);
                    end = end.saturating_add(size as u64);
                    sequence = sequence.saturating_add(1);
                    wanted = FRAME_HEADER_SIZE;
                }
                Step::End | Step::Bad => break,
            }
        }
        if window.later_frame(header.salt, sequence, end)? {
            return Err(LoadError::Damaged(end));
        }
        loaded.cut = window.end_of_content(end)?.saturating_sub(end);
        let torn = loaded.cut > 0;
        drop(window);
        let log = Self {
            file,
            header,
            end,
            sequence,
            reserved: size,
            ahead_from: 0,
            must_cut: torn,
            unflushed: 0,
        };
        Ok((log, loaded))
    }

    /// Makes of a file that was read one that is gone on with: cuts a torn tail off.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn take_over(&mut self) -> Result<(), F::Error> {
        if self.must_cut {
            self.cut()
        } else {
            // What was read need not be on the medium, if the driver was stopped when it could not be flushed.
            self.file.flush()
        }
    }

    /// Appends a frame of those records and returns when it is durable; without `durable`, when it is written.
    ///
    /// # Errors
    ///
    /// The file system's, or no memory. The records are then no part of the journal, and nothing will be appended
    /// before the file could be cut back.
    pub fn append<A: Allocator>(
        &mut self,
        frame: &mut FrameBuilder<A>,
        durable: bool,
    ) -> Result<(), AppendError<F::Error>> {
        self.cut().map_err(AppendError::File)?;
        let end = self.end.saturating_add(frame.size() as u64);
        let zeros = self.zeros_behind(end);
        match self.write(frame, zeros, durable) {
            Err(AppendError::File(_)) if zeros > 0 => {
                // It may be the zeros that did not fit. They are tried again when what they would have held is full.
                self.ahead_from = end.saturating_add(LEAST_AHEAD);
                self.cut().map_err(AppendError::File)?;
                self.write(frame, 0, durable)
            }
            appended => appended,
        }
    }

    /// Writes a frame at the end, with so many zeros behind it.
    fn write<A: Allocator>(
        &mut self,
        frame: &mut FrameBuilder<A>,
        zeros: usize,
        durable: bool,
    ) -> Result<(), AppendError<F::Error>> {
        let end = self.end.saturating_add(frame.size() as u64);
        let bytes = frame.finish(self.header.salt, self.sequence, self.unflushed, zeros)?;
        self.must_cut = true;
        self.file.write_at(self.end, bytes).map_err(AppendError::File)?;
        if durable {
            self.file.flush().map_err(AppendError::File)?;
            self.unflushed = 0;
        } else {
            self.unflushed = self.unflushed.saturating_add(1);
        }
        self.must_cut = false;
        self.reserved = self.reserved.max(self.end.saturating_add(bytes.len() as u64));
        self.end = end;
        self.sequence = self.sequence.saturating_add(1);
        Ok(())
    }

    /// Sets space aside from the next frame on.
    pub const fn use_from_now_on(&mut self) {
        self.ahead_from = 0;
    }

    /// How many zeros are written behind a frame that ends there.
    fn zeros_behind(&self, end: u64) -> usize {
        if end < self.ahead_from || end <= self.reserved {
            return 0;
        }
        let reserved = end
            .saturating_add(end.clamp(LEAST_AHEAD, MOST_AHEAD))
            .next_multiple_of(LEAST_AHEAD);
        usize::try_from(reserved.saturating_sub(end)).unwrap_or(0)
    }

    /// Makes durable what was appended without being.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn flush(&mut self) -> Result<(), F::Error> {
        if self.unflushed > 0 {
            self.file.flush()?;
            self.unflushed = 0;
        }
        Ok(())
    }

    /// Cuts off whatever a failed attempt may have left.
    fn cut(&mut self) -> Result<(), F::Error> {
        if self.must_cut {
            self.file.truncate(self.end)?;
            self.file.flush()?;
            self.reserved = self.end;
            self.must_cut = false;
            self.unflushed = 0;
        }
        Ok(())
    }

    /// The file's header.
    pub const fn header(&self) -> Header {
        self.header
    }

    /// Bytes of the file that count.
    pub const fn size(&self) -> u64 {
        self.end
    }

    /// Whether a failed attempt was not yet undone: changes are refused until it can be.
    pub const fn is_suspended(&self) -> bool {
        self.must_cut
    }
}

/// Why a frame was not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError<E> {
    /// The file system's answer.
    File(E),
    /// No memory.
    OutOfMemory,
}

impl<E> From<OutOfMemory> for AppendError<E> {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// A piece of a file that is in memory.
struct Window<'f, F, A: Allocator> {
    file: &'f F,
    size: u64,
    /// Offset in the file of the first byte in memory.
    start: u64,
    bytes: Vec<u8, A>,
    /// Bytes in memory that were passed.
    passed: usize,
}

impl<'f, F: JournalFile, A: Allocator> Window<'f, F, A> {
    const fn new(file: &'f F, size: u64, alloc: A) -> Self {
        Self {
            file,
            size,
            start: 0,
            bytes: Vec::new_in(alloc),
            passed: 0,
        }
    }

    /// The bytes from the present place on.
    fn view(&self) -> &[u8] {
        self.bytes.get(self.passed..).unwrap_or_default()
    }

    /// Moves `count` bytes on, at most to the end of what is in memory.
    fn pass(&mut self, count: usize) {
        self.passed = self.passed.saturating_add(count).min(self.bytes.len());
    }

    /// Sees to it that `wanted` bytes are in view, or all that are left.
    fn at_least(&mut self, wanted: usize) -> Result<(), LoadError<F::Error>> {
        let have = self.view().len();
        let missing = wanted.saturating_sub(have);
        if missing == 0 || self.is_last() {
            return Ok(());
        }
        drop(self.bytes.drain(..self.passed));
        self.start = self.start.saturating_add(self.passed as u64);
        self.passed = 0;
        let left = self.size.saturating_sub(self.start).saturating_sub(have as u64);
        let more = missing
            .max(READ_SIZE)
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        self.bytes.try_resize(have.saturating_add(more), 0)?;
        let buffer = self.bytes.get_mut(have..).unwrap_or_default();
        let read = self
            .file
            .read_at(self.start.saturating_add(have as u64), buffer)
            .map_err(LoadError::File)?;
        if read < more {
            // The file is shorter than it said: what there is, is all.
            self.bytes.truncate(have.saturating_add(read));
            self.size = self.start.saturating_add(self.bytes.len() as u64);
        }
        Ok(())
    }

    /// Whether the bytes in memory reach to the file's end.
    fn is_last(&self) -> bool {
        self.start.saturating_add(self.bytes.len() as u64) >= self.size
    }

    /// Starts again at `offset`.
    fn restart(&mut self, offset: u64) {
        self.bytes.clear();
        (self.start, self.passed) = (offset, 0);
    }

    /// Where the zeros begin that the file ends with, at `offset` if it holds nothing else from there on.
    fn end_of_content(&mut self, offset: u64) -> Result<u64, LoadError<F::Error>> {
        let mut end = offset;
        self.restart(offset);
        loop {
            self.at_least(READ_SIZE)?;
            if let Some(last) = self.view().iter().rposition(|&byte| byte != 0) {
                let within = self.passed.saturating_add(last).saturating_add(1);
                end = self.start.saturating_add(within as u64);
            }
            if self.is_last() {
                return Ok(end);
            }
            self.pass(usize::MAX);
        }
    }

    /// Whether the header of a frame stands anywhere from `offset` on that proves frame `sequence`.
    fn later_frame(&mut self, salt: u64, sequence: u64, offset: u64) -> Result<bool, LoadError<F::Error>> {
        self.restart(offset);
        loop {
            self.at_least(READ_SIZE)?;
            if format::find_later(salt, sequence, self.view()).is_some() {
                return Ok(true);
            }
            if self.is_last() {
                return Ok(false);
            }
            // A header that begins at the end of this piece is seen whole with the next.
            let judged = self.view().len().saturating_sub(FRAME_HEADER_SIZE);
            self.pass(judged & !(ALIGNMENT - 1));
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
