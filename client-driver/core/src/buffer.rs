//! Memory that providers read queries from and write records to.
//!
//! Both kinds stay where they are for as long as they exist, wherever their owner is moved, because a provider that
//! answers later keeps pointers into them.

use nsemail_contract::QuerySet;
use nsemail_contract::fault::{Fault, WriteError};
use nsemail_contract::limits;
use pool_alloc::{OutOfMemory, Vec};

use crate::memory::BufferPool;

/// What every item in a buffer is aligned to.
const ALIGNMENT: usize = 8;
/// In front of the room for a record: its length, which the provider reads and may overwrite.
const LENGTH_CELL: usize = 8;

/// Bytes that start at a multiple of 8.
#[derive(Debug)]
struct Aligned {
    bytes: Vec<u8, BufferPool>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Zeroed, so that nothing of an earlier use of the memory shows.
    fn try_new(len: usize) -> Result<Self, OutOfMemory> {
        let room = len.checked_add(ALIGNMENT).ok_or(OutOfMemory)?;
        let mut bytes = Vec::new_in(BufferPool::default());
        bytes.try_resize(room, 0_u8)?;
        let start = bytes.as_ptr().addr().wrapping_neg() & (ALIGNMENT.wrapping_sub(1));
        Ok(Self { bytes, start, len })
    }

    fn get(&self) -> &[u8] {
        self.bytes
            .get(self.start..)
            .and_then(|rest| rest.get(..self.len))
            .unwrap_or_default()
    }

    fn get_mut(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(self.start..)
            .and_then(|rest| rest.get_mut(..self.len))
            .unwrap_or_default()
    }
}

/// A query or registration in the form in which drivers pass it: a `WSAQUERYSET2W` with everything that it points to.
#[derive(Debug)]
pub struct Query(Aligned);

impl Query {
    /// Copies a query.
    ///
    /// # Errors
    /// When there is no memory, or when the query is too large for any provider.
    pub fn try_new(query: &QuerySet<'_>) -> Result<Self, OutOfMemory> {
        let size = query.size().map_err(|_: WriteError| OutOfMemory)?;
        let mut memory = Aligned::try_new(size)?;
        let base = memory.get().as_ptr().expose_provenance() as u64;
        query
            .write_kernel(memory.get_mut(), base)
            .map_err(|_: WriteError| OutOfMemory)?;
        Ok(Self(memory))
    }

    /// Its first byte, where the structure is.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.0.get().as_ptr()
    }

    /// The query, read back.
    ///
    /// # Errors
    /// Never for what was written here, unless a provider overwrote what it may only read.
    pub fn read(&self) -> Result<QuerySet<'_>, Fault> {
        QuerySet::parse_kernel(self.0.get(), self.as_ptr().addr() as u64)
    }
}

/// Room for a record, and the length that goes with it.
#[derive(Debug)]
pub struct Room {
    memory: Aligned,
    /// The bytes that the provider was told of.
    offered: usize,
}

impl Room {
    /// No room at all.
    #[must_use]
    pub const fn none() -> Self {
        let bytes = Vec::new_in(nsemail_kernel::pool::Pool);
        Self {
            memory: Aligned {
                bytes,
                start: 0,
                len: 0,
            },
            offered: 0,
        }
    }

    /// Makes room for a record of `len` bytes, all zero, and sets the length that the provider is told.
    ///
    /// # Errors
    /// When there is no memory; `len` is capped to what a message may have.
    pub fn prepare(&mut self, len: usize) -> Result<(), OutOfMemory> {
        let len = len.min(limits::MESSAGE);
        let needed = len.saturating_add(LENGTH_CELL);
        if self.memory.len < needed {
            self.memory = Aligned::try_new(needed)?;
        } else {
            self.memory.get_mut().fill(0);
        }
        self.offered = len;
        let length = u32::try_from(len).unwrap_or(u32::MAX);
        if let Some(cell) = self.memory.get_mut().first_chunk_mut() {
            *cell = length.to_ne_bytes();
        }
        Ok(())
    }

    /// Where the length is, for the provider to read and overwrite.
    #[must_use]
    pub fn length_ptr(&mut self) -> *mut u32 {
        self.memory.get_mut().as_mut_ptr().cast()
    }

    /// Where the record is to be written.
    #[must_use]
    pub fn record_ptr(&mut self) -> *mut u8 {
        self.memory
            .get_mut()
            .get_mut(LENGTH_CELL..)
            .unwrap_or_default()
            .as_mut_ptr()
    }

    /// The bytes that the provider was told of.
    #[must_use]
    pub const fn offered(&self) -> usize {
        self.offered
    }

    /// The length as the provider left it.
    #[must_use]
    pub fn length(&self) -> usize {
        self.memory
            .get()
            .first_chunk()
            .map_or(0, |cell| u32::from_ne_bytes(*cell) as usize)
    }

    /// The record that a provider wrote. Whatever is there, every pointer is checked against the room.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(&self) -> Result<QuerySet<'_>, Fault> {
        let record = self
            .memory
            .get()
            .get(LENGTH_CELL..)
            .and_then(|rest| rest.get(..self.offered));
        let record = record.unwrap_or_default();
        QuerySet::parse_kernel(record, record.as_ptr().addr() as u64)
    }
}
