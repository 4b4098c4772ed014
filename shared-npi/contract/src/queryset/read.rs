//! The one routine that reads a query set, checking everything it follows.

use super::layout::{self, Slot};
use super::{Addresses, Protocols, QuerySet, Version};
use crate::bytes::{u16_at, u32_at};
use crate::fault::{Fault, FaultKind};
use crate::guid::Guid;
use crate::sockaddr::CsAddr;
use crate::text::Text;

/// Makes `set` the query set at the start of `bytes`, which were written for the address `base`.
pub fn read<'a>(bytes: &'a [u8], base: u64, set: &mut QuerySet<'a>) -> Result<(), Fault> {
    let source = Source { bytes, base };
    let size = source.u32(layout::SIZE)? as usize;
    let Some(header) = bytes.first_chunk::<{ layout::HEADER }>() else {
        return Err(Fault::new(FaultKind::Truncated, bytes.len()));
    };
    // A larger structure is one of a later version, whose tail means nothing here (decision 28).
    if size < layout::HEADER {
        return Err(Fault::new(FaultKind::BadHeader, layout::SIZE));
    }
    *set = QuerySet {
        namespace: half(header, layout::NAMESPACE),
        output_flags: half(header, layout::OUTPUT_FLAGS),
        ..QuerySet::default()
    };
    // Most members are absent from most query sets.
    if let Some(pointer) = pointer(header, layout::NAME) {
        source.text(pointer, &mut set.name)?;
    }
    if let Some(pointer) = pointer(header, layout::COMMENT) {
        source.text(pointer, &mut set.comment)?;
    }
    if let Some(pointer) = pointer(header, layout::CONTEXT) {
        source.text(pointer, &mut set.context)?;
    }
    if let Some(pointer) = pointer(header, layout::QUERY_STRING) {
        source.text(pointer, &mut set.query_string)?;
    }
    if let Some(pointer) = pointer(header, layout::VERSION) {
        set.version = Some(source.version(pointer)?);
    }
    if let Some(pointer) = pointer(header, layout::PROVIDER) {
        source.provider(pointer, &mut set.provider)?;
    }
    if let Some(array) = array(header, layout::PROTOCOLS)? {
        set.protocols = Protocols::encoded(source.elements(array, layout::PAIR)?);
    }
    if let Some(array) = array(header, layout::ADDRESSES)? {
        source.addresses(array, &mut set.addresses)?;
    }
    if let Some(pointer) = pointer(header, layout::BLOB) {
        set.blob = Some(source.blob(pointer)?);
    }
    Ok(())
}

/// A number of a structure, at a multiple of its size.
#[inline]
fn word(structure: &[u8], offset: usize) -> u64 {
    let words = structure.as_chunks().0;
    words.get(offset / 8).map_or(0, |word| u64::from_le_bytes(*word))
}

/// As [`word`].
#[inline]
fn half(structure: &[u8], offset: usize) -> u32 {
    let halves = structure.as_chunks().0;
    halves.get(offset / 4).map_or(0, |half| u32::from_le_bytes(*half))
}

/// A pointer that is not null, and where it stands.
#[derive(Clone, Copy)]
struct Pointer {
    address: u64,
    place: usize,
}

/// The pointer that stands at a place of a structure; `None` if it is null.
#[inline]
fn pointer(structure: &[u8], place: usize) -> Option<Pointer> {
    let address = word(structure, place);
    (address != 0).then_some(Pointer { address, place })
}

/// The pointer of a structure's slot and how many it points to, if there are any. It must be there then (decisions 20
/// and 35).
#[inline]
fn array(structure: &[u8], slot: Slot) -> Result<Option<(Pointer, usize)>, Fault> {
    let count = half(structure, slot.count);
    if count == 0 {
        return Ok(None);
    }
    pointer(structure, slot.pointer)
        .map(|pointer| Some((pointer, count as usize)))
        .ok_or_else(|| Fault::new(FaultKind::OutOfBounds, slot.pointer))
}

impl Pointer {
    /// As part of a structure that stands at `start`.
    const fn within(self, start: usize) -> Self {
        Self {
            address: self.address,
            place: self.place.saturating_add(start),
        }
    }

    const fn fault(self, kind: FaultKind) -> Fault {
        Fault::new(kind, self.place)
    }
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

    /// All bytes from where a pointer leads to on. That is behind the structure, but whether the item fits is for the
    /// caller to see.
    #[inline]
    fn from(self, pointer: Pointer) -> Result<&'a [u8], Fault> {
        // Before the first byte is beyond the last one.
        let offset = usize::try_from(pointer.address.wrapping_sub(self.base)).ok();
        offset
            .filter(|offset| *offset >= layout::HEADER)
            .and_then(|offset| self.bytes.get(offset..))
            .ok_or_else(|| self.astray(pointer))
    }

    /// Why a pointer leads nowhere.
    #[cold]
    #[inline(never)]
    const fn astray(self, pointer: Pointer) -> Fault {
        match pointer.address.checked_sub(self.base) {
            Some(offset) if offset < layout::HEADER as u64 => pointer.fault(FaultKind::InHeader),
            _ => pointer.fault(FaultKind::OutOfBounds),
        }
    }

    /// The offset of some of the bytes that go up to the last one.
    const fn offset_of(self, rest: &[u8]) -> usize {
        self.bytes.len().saturating_sub(rest.len())
    }

    /// The bytes to which a pointer leads.
    #[inline]
    fn item(self, pointer: Pointer, length: usize) -> Result<&'a [u8], Fault> {
        self.from(pointer)?
            .get(..length)
            .ok_or_else(|| pointer.fault(FaultKind::OutOfBounds))
    }

    /// The elements of `size` bytes each to which a pointer leads.
    fn elements(self, (pointer, count): (Pointer, usize), size: usize) -> Result<&'a [u8], Fault> {
        self.item(pointer, count.saturating_mul(size))
    }

    fn text(self, pointer: Pointer, text: &mut Option<Text<'a>>) -> Result<(), Fault> {
        let rest = self.from(pointer)?;
        *text = Text::from_terminated_low(rest);
        if text.is_some() {
            return Ok(());
        }
        let any = Text::from_terminated_bytes(rest).map_err(|fault| {
            let offset = self.offset_of(rest);
            Fault::new(fault.kind, offset.saturating_add(fault.unit.saturating_mul(2)))
        })?;
        *text = Some(any);
        Ok(())
    }

    fn version(self, pointer: Pointer) -> Result<Version, Fault> {
        let item = self.item(pointer, layout::PAIR)?;
        Ok(Version {
            version: half(item, 0),
            comparator: half(item, 4),
        })
    }

    fn provider(self, pointer: Pointer, provider: &mut Option<Guid>) -> Result<(), Fault> {
        let item = self.item(pointer, Guid::SIZE)?;
        *provider = item.first_chunk().copied().map(Guid::from_bytes);
        Ok(())
    }

    fn addresses(self, array: (Pointer, usize), addresses: &mut Addresses<'a>) -> Result<(), Fault> {
        let entries = self.elements(array, layout::ADDRESS)?;
        let mut start = self.offset_of(self.from(array.0)?);
        for entry in entries.as_chunks().0 {
            self.address(entry, start)?;
            start = start.saturating_add(layout::ADDRESS);
        }
        *addresses = Addresses::encoded(self, entries);
        Ok(())
    }

    /// An address, whose structure stands at `start`.
    pub fn address(self, entry: &[u8; layout::ADDRESS], start: usize) -> Result<CsAddr<'a>, Fault> {
        Ok(CsAddr {
            local: self.socket_address(entry, layout::ADDRESS_LOCAL, start)?,
            remote: self.socket_address(entry, layout::ADDRESS_REMOTE, start)?,
            socket_type: half(entry, layout::ADDRESS_TYPE).cast_signed(),
            protocol: half(entry, layout::ADDRESS_PROTOCOL).cast_signed(),
        })
    }

    /// Null and length 0 is absent; null with a length, no null with length 0, or a negative
    /// length is wrong (decision 15).
    #[inline]
    fn socket_address(
        self,
        entry: &[u8; layout::ADDRESS],
        slot: Slot,
        start: usize,
    ) -> Result<&'a [u8], Fault> {
        let length = half(entry, slot.count);
        match (pointer(entry, slot.pointer), length.cast_signed()) {
            (None, 0) => Ok(&[]),
            (Some(pointer), 1..) => self.item(pointer.within(start), length as usize),
            _ => Err(Fault::new(FaultKind::BadLength, start.saturating_add(slot.count))),
        }
    }

    fn blob(self, at: Pointer) -> Result<&'a [u8], Fault> {
        let structure = self.item(at, layout::BLOB_STRUCTURE)?;
        let start = self.offset_of(self.from(at)?);
        let within = |fault: Fault| Fault::new(fault.kind, fault.offset.saturating_add(start));
        match array(structure, layout::BLOB_DATA).map_err(within)? {
            Some((data, length)) => self.item(data.within(start), length),
            None => Ok(&[]),
        }
    }
}

/// The family that a socket address names; 0 if it has none.
pub fn family_of(socket_address: &[u8]) -> u16 {
    u16_at(socket_address, 0).unwrap_or(0)
}
