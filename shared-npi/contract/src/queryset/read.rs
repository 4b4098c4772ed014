//! The one routine that reads a query set, checking everything it follows.

use super::layout::{self, Slot};
use super::{Addresses, Protocols, QuerySet, Version};
use crate::bytes::{array_at, slice_at, u16_at, u32_at, u64_at};
use crate::fault::{Fault, FaultKind};
use crate::guid::Guid;
use crate::sockaddr::CsAddr;
use crate::text::Text;

/// Reads the query set at the start of `bytes`, which were written for the address `base`.
pub fn read(bytes: &[u8], base: u64) -> Result<QuerySet<'_>, Fault> {
    let source = Source { bytes, base };
    let size = source.u32(layout::SIZE)? as usize;
    let Some(header) = bytes.first_chunk::<{ layout::HEADER }>() else {
        return Err(Fault::new(FaultKind::Truncated, bytes.len()));
    };
    // A larger structure is one of a later version, whose tail means nothing here (decision 28).
    if size < layout::HEADER {
        return Err(Fault::new(FaultKind::BadHeader, layout::SIZE));
    }
    Ok(QuerySet {
        name: source.text(header, layout::NAME)?,
        version: source.version(header)?,
        comment: source.text(header, layout::COMMENT)?,
        namespace: source.u32(layout::NAMESPACE)?,
        provider: source.provider(header)?,
        context: source.text(header, layout::CONTEXT)?,
        protocols: source.protocols()?,
        query_string: source.text(header, layout::QUERY_STRING)?,
        addresses: source.addresses()?,
        output_flags: source.u32(layout::OUTPUT_FLAGS)?,
        blob: source.blob(header)?,
    })
}

/// The structure itself.
type Header = [u8; layout::HEADER];

/// Whether a slot of the structure has no pointer, as most have none.
#[inline]
fn is_null(header: &Header, slot: Slot) -> bool {
    header.as_chunks::<8>().0.get(slot.pointer / 8) == Some(&[0; 8])
}

/// The bytes of one query set, and the address that its pointers take its first byte to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    bytes: &'a [u8],
    base: u64,
}

impl<'a> Source<'a> {
    fn u32(self, offset: usize) -> Result<u32, Fault> {
        u32_at(self.bytes, offset).ok_or_else(|| Fault::new(FaultKind::Truncated, offset))
    }

    /// The offset to which the slot points; `None` for a null pointer. It is behind the structure,
    /// but whether the item fits is for the caller to see.
    fn follow(self, slot: Slot) -> Result<Option<usize>, Fault> {
        let fault = |kind| Fault::new(kind, slot.pointer);
        let pointer = match u64_at(self.bytes, slot.pointer).ok_or_else(|| fault(FaultKind::Truncated))? {
            0 => return Ok(None),
            pointer => pointer,
        };
        let offset = pointer
            .checked_sub(self.base)
            .and_then(|offset| usize::try_from(offset).ok())
            .ok_or_else(|| fault(FaultKind::OutOfBounds))?;
        if offset < layout::HEADER {
            return Err(fault(FaultKind::InHeader));
        }
        Ok(Some(offset))
    }

    /// The `count` elements of `size` bytes at `offset`, to which `slot` points.
    fn elements(self, slot: Slot, offset: usize, count: usize, size: usize) -> Result<&'a [u8], Fault> {
        count
            .checked_mul(size)
            .and_then(|length| slice_at(self.bytes, offset, length))
            .ok_or_else(|| Fault::new(FaultKind::OutOfBounds, slot.pointer))
    }

    #[inline]
    fn text(self, header: &Header, slot: Slot) -> Result<Option<Text<'a>>, Fault> {
        if is_null(header, slot) {
            return Ok(None);
        }
        self.text_at(slot)
    }

    fn text_at(self, slot: Slot) -> Result<Option<Text<'a>>, Fault> {
        let Some(offset) = self.follow(slot)? else {
            return Ok(None);
        };
        let rest = self
            .bytes
            .get(offset..)
            .ok_or_else(|| Fault::new(FaultKind::OutOfBounds, slot.pointer))?;
        Text::from_terminated_bytes(rest)
            .map(Some)
            .map_err(|fault| Fault::new(fault.kind, offset.saturating_add(fault.unit.saturating_mul(2))))
    }

    /// An item of which there is one or none.
    fn single(self, slot: Slot, size: usize) -> Result<Option<&'a [u8]>, Fault> {
        self.follow(slot)?
            .map(|offset| self.elements(slot, offset, 1, size))
            .transpose()
    }

    #[inline]
    fn version(self, header: &Header) -> Result<Option<Version>, Fault> {
        if is_null(header, layout::VERSION) {
            return Ok(None);
        }
        let item = self.single(layout::VERSION, layout::PAIR)?;
        Ok(item.and_then(|item| {
            Some(Version {
                version: u32_at(item, 0)?,
                comparator: u32_at(item, 4)?,
            })
        }))
    }

    #[inline]
    fn provider(self, header: &Header) -> Result<Option<Guid>, Fault> {
        if is_null(header, layout::PROVIDER) {
            return Ok(None);
        }
        let item = self.single(layout::PROVIDER, Guid::SIZE)?;
        Ok(item.and_then(|item| array_at(item, 0)).map(Guid::from_bytes))
    }

    /// An array with its offset; it must be there if its count is not 0 (decisions 20 and 35).
    fn array(self, slot: Slot, size: usize) -> Result<Option<(usize, &'a [u8])>, Fault> {
        let count = match slot.count {
            Some(place) => self.u32(place)? as usize,
            None => 1,
        };
        if count == 0 {
            return Ok(None);
        }
        match self.follow(slot)? {
            Some(offset) => Ok(Some((offset, self.elements(slot, offset, count, size)?))),
            None => Err(Fault::new(FaultKind::OutOfBounds, slot.pointer)),
        }
    }

    fn protocols(self) -> Result<Protocols<'a>, Fault> {
        let array = self.array(layout::PROTOCOLS, layout::PAIR)?;
        Ok(array.map_or(Protocols::NONE, |(_, bytes)| Protocols::encoded(bytes)))
    }

    fn addresses(self) -> Result<Addresses<'a>, Fault> {
        let Some((offset, array)) = self.array(layout::ADDRESSES, layout::ADDRESS)? else {
            return Ok(Addresses::NONE);
        };
        let count = array.len() / layout::ADDRESS;
        for index in 0..count {
            self.address(offset, index)?;
        }
        Ok(Addresses::encoded(self, offset, count))
    }

    /// The address with this index in the array at `array`.
    pub fn address(self, array: usize, index: usize) -> Result<CsAddr<'a>, Fault> {
        let start = index.saturating_mul(layout::ADDRESS).saturating_add(array);
        Ok(CsAddr {
            local: self.socket_address(layout::ADDRESS_LOCAL.within(start))?,
            remote: self.socket_address(layout::ADDRESS_REMOTE.within(start))?,
            socket_type: self
                .u32(start.saturating_add(layout::ADDRESS_TYPE))?
                .cast_signed(),
            protocol: self
                .u32(start.saturating_add(layout::ADDRESS_PROTOCOL))?
                .cast_signed(),
        })
    }

    /// Null and length 0 is absent; null with a length, no null with length 0, or a negative
    /// length is wrong (decision 15).
    fn socket_address(self, slot: Slot) -> Result<&'a [u8], Fault> {
        let place = slot.count.unwrap_or(slot.pointer);
        let length = self.u32(place)?.cast_signed();
        match (self.follow(slot)?, usize::try_from(length)) {
            (None, Ok(0)) => Ok(&[]),
            (Some(offset), Ok(length @ 1..)) => self.elements(slot, offset, length, 1),
            _ => Err(Fault::new(FaultKind::BadLength, place)),
        }
    }

    #[inline]
    fn blob(self, header: &Header) -> Result<Option<&'a [u8]>, Fault> {
        if is_null(header, layout::BLOB) {
            return Ok(None);
        }
        let Some(structure) = self.follow(layout::BLOB)? else {
            return Ok(None);
        };
        self.elements(layout::BLOB, structure, 1, layout::BLOB_STRUCTURE)?;
        let data = self.array(layout::BLOB_DATA.within(structure), 1)?;
        Ok(Some(data.map_or(&[][..], |(_, bytes)| bytes)))
    }
}

/// The family that a socket address names; 0 if it has none.
pub fn family_of(socket_address: &[u8]) -> u16 {
    u16_at(socket_address, 0).unwrap_or(0)
}
