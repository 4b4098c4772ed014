//! Reading and writing little-endian bytes without panics: what every format here is built on.

use crate::fault::{Fault, FaultKind, WriteError};
use crate::guid::Guid;

/// Rounds up to a multiple of 8; `None` if that cannot be expressed.
#[must_use]
pub const fn align8(length: usize) -> Option<usize> {
    length.checked_next_multiple_of(8)
}

/// The `length` bytes at `offset`, if all of them exist.
#[must_use]
pub fn slice_at(bytes: &[u8], offset: usize, length: usize) -> Option<&[u8]> {
    bytes.get(offset..offset.checked_add(length)?)
}

/// The `N` bytes at `offset`, if all of them exist.
#[must_use]
pub fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    slice_at(bytes, offset, N)?.try_into().ok()
}

/// The number at `offset`.
#[must_use]
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_le_bytes)
}

/// The number at `offset`.
#[must_use]
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_le_bytes)
}

/// The number at `offset`.
#[must_use]
pub fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array_at(bytes, offset).map(u64::from_le_bytes)
}

/// Reads one item after another.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader that starts at offset 0.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next item.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// A fault at the next item.
    #[must_use]
    pub const fn fault(&self, kind: FaultKind) -> Fault {
        Fault::new(kind, self.at)
    }

    /// Takes `length` bytes.
    ///
    /// # Errors
    /// `Truncated` if fewer are left.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let taken = slice_at(self.bytes, self.at, length).ok_or_else(|| self.fault(FaultKind::Truncated))?;
        self.at = self.at.saturating_add(length);
        Ok(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let taken = array_at(self.bytes, self.at).ok_or_else(|| self.fault(FaultKind::Truncated))?;
        self.at = self.at.saturating_add(N);
        Ok(taken)
    }

    /// Takes a number.
    ///
    /// # Errors
    /// `Truncated` if it is cut off.
    pub fn u32(&mut self) -> Result<u32, Fault> {
        self.take_array().map(u32::from_le_bytes)
    }

    /// Takes a number.
    ///
    /// # Errors
    /// `Truncated` if it is cut off.
    pub fn u64(&mut self) -> Result<u64, Fault> {
        self.take_array().map(u64::from_le_bytes)
    }

    /// Takes a GUID.
    ///
    /// # Errors
    /// `Truncated` if it is cut off.
    pub fn guid(&mut self) -> Result<Guid, Fault> {
        self.take_array().map(Guid::from_bytes)
    }

    /// Skips to the next multiple of 8.
    ///
    /// # Errors
    /// `Truncated` if the bytes end before.
    pub fn align8(&mut self) -> Result<(), Fault> {
        let aligned = align8(self.at).ok_or_else(|| self.fault(FaultKind::Truncated))?;
        self.take(aligned.saturating_sub(self.at)).map(drop)
    }

    /// Takes a reserved number.
    ///
    /// # Errors
    /// `Truncated` if it is cut off, `ReservedNotZero` if it is not 0.
    pub fn reserved(&mut self) -> Result<(), Fault> {
        let fault = self.fault(FaultKind::ReservedNotZero);
        if self.u32()? == 0 { Ok(()) } else { Err(fault) }
    }
}

/// Writes one item after another, and counts.
///
/// What does not fit is counted all the same, so that writing into an empty slice measures; the
/// same code therefore decides size and content.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut [u8],
    at: usize,
    overflow: bool,
}

impl<'b> Writer<'b> {
    /// A writer that starts at offset 0 of `out`.
    #[must_use]
    pub const fn new(out: &'b mut [u8]) -> Self {
        Self {
            out,
            at: 0,
            overflow: false,
        }
    }

    /// A writer that goes on at the offset `at` of `out`.
    #[must_use]
    pub const fn resume(out: &'b mut [u8], at: usize) -> Self {
        Self {
            out,
            at,
            overflow: false,
        }
    }

    /// Goes back to an earlier offset.
    pub const fn rewind(&mut self, offset: usize) {
        if offset < self.at {
            self.at = offset;
        }
    }

    /// Offset of the next item.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Passes over so many bytes; gives them to be written if they fit.
    pub fn place(&mut self, count: usize) -> Option<&mut [u8]> {
        let start = self.at;
        self.skip(count);
        self.out.get_mut(start..start.checked_add(count)?)
    }

    /// Writes bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if let Some(place) = self.place(bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Writes so many bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.put(self.at, bytes);
        self.skip(N);
    }

    /// Writes zeros up to the next multiple of 8.
    pub fn align8(&mut self) {
        if self.at.is_multiple_of(8) {
            return;
        }
        let start = self.at & !7;
        // What was written of these eight bytes stays.
        let mask = !(u64::MAX << (self.at & 7).wrapping_mul(8));
        self.skip(8_usize.wrapping_sub(self.at & 7));
        let last = self.out.get_mut(start..).and_then(<[u8]>::first_chunk_mut);
        if let Some(last) = last {
            *last = (u64::from_le_bytes(*last) & mask).to_le_bytes();
        }
    }

    /// Writes a number.
    pub fn u16(&mut self, value: u16) {
        self.array(value.to_le_bytes());
    }

    /// Writes a number.
    pub fn u32(&mut self, value: u32) {
        self.array(value.to_le_bytes());
    }

    /// Writes a number.
    pub fn u64(&mut self, value: u64) {
        self.array(value.to_le_bytes());
    }

    /// Writes a GUID.
    pub fn guid(&mut self, guid: Guid) {
        self.array(guid.to_bytes());
    }

    /// Overwrites what was written at `offset`; for values known only later, such as sizes.
    #[inline]
    pub fn put<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) {
        let place = self.out.get_mut(offset..);
        if let Some(place) = place.and_then(<[u8]>::first_chunk_mut) {
            *place = bytes;
        }
    }

    /// As [`Self::put`], of numbers.
    #[inline]
    pub fn put_words<const N: usize>(&mut self, offset: usize, words: [u64; N]) {
        let place = self.out.get_mut(offset..);
        let place = place.and_then(|place| place.as_chunks_mut().0.first_chunk_mut());
        if let Some(place) = place {
            *place = words.map(u64::to_le_bytes);
        }
    }

    /// Overwrites the number at `offset`; a value beyond 32 bits makes the write fail.
    pub fn put_size(&mut self, offset: usize, value: usize) {
        match u32::try_from(value) {
            Ok(value) => self.put(offset, value.to_le_bytes()),
            Err(_) => self.overflow = true,
        }
    }

    /// Makes the write fail as too large.
    pub const fn too_large(&mut self) {
        self.overflow = true;
    }

    /// Bytes that everything so far takes, whether or not it fitted.
    ///
    /// # Errors
    /// `TooLarge` if something could not be expressed.
    pub const fn measured(&self) -> Result<usize, WriteError> {
        if self.overflow {
            Err(WriteError::TooLarge)
        } else {
            Ok(self.at)
        }
    }

    /// Ends the write.
    ///
    /// # Errors
    /// `TooSmall` with the bytes needed, or `TooLarge`.
    pub const fn finish(self) -> Result<usize, WriteError> {
        match self.measured() {
            Ok(needed) if needed > self.out.len() => Err(WriteError::TooSmall { needed }),
            other => other,
        }
    }

    const fn skip(&mut self, count: usize) {
        match self.at.checked_add(count) {
            Some(at) => self.at = at,
            None => self.overflow = true,
        }
    }
}
