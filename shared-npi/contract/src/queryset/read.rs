//! The one routine that reads a query set in either form, checking everything it follows.

use super::form::{Form, KERNEL_BLOB, KERNEL_BLOB_SIZE, Slot, WIRE_RESERVED};
use super::{Addresses, Protocols, QuerySet, Version};
use crate::bytes::{array_at, slice_at, u16_at, u32_at, u64_at};
use crate::fault::{Fault, FaultKind};
use crate::guid::Guid;
use crate::sockaddr::CsAddr;
use crate::text::Text;

/// Reads the query set that stands at the start of `bytes`.
pub fn read(bytes: &[u8], form: Form) -> Result<QuerySet<'_>, Fault> {
    let source = Source { bytes, form };
    let slots = form.slots();
    source.check_header()?;
    Ok(QuerySet {
        name: source.text(slots.name)?,
        version: source.version(slots.version)?,
        comment: source.text(slots.comment)?,
        namespace: source.u32(slots.namespace)?,
        provider: source.provider(slots.provider)?,
        context: source.text(slots.context)?,
        protocols: source.protocols(slots.protocols)?,
        query_string: source.text(slots.query_string)?,
        addresses: source.addresses(slots.addresses)?,
        output_flags: source.u32(slots.output_flags)?,
        blob: source.blob(slots.blob)?,
    })
}

/// The bytes of one query set and how to read references in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    pub bytes: &'a [u8],
    pub form: Form,
}

impl<'a> Source<'a> {
    fn check_header(self) -> Result<(), Fault> {
        let header = self.form.slots().header;
        let size = self.u32(0)? as usize;
        if self.bytes.len() < header {
            return Err(Fault::new(FaultKind::Truncated, self.bytes.len()));
        }
        match self.form {
            Form::Wire => {
                if size != self.bytes.len() {
                    return Err(Fault::new(FaultKind::BadHeader, 0));
                }
                if !size.is_multiple_of(8) {
                    return Err(Fault::new(FaultKind::Misaligned, 0));
                }
                if self.u32(WIRE_RESERVED)? != 0 {
                    return Err(Fault::new(FaultKind::ReservedNotZero, WIRE_RESERVED));
                }
            }
            // A larger structure is of a later version, whose tail means nothing here (decision 28).
            Form::Kernel { .. } if size < header => return Err(Fault::new(FaultKind::BadHeader, 0)),
            Form::Kernel { .. } => {}
        }
        Ok(())
    }

    fn u32(self, offset: usize) -> Result<u32, Fault> {
        u32_at(self.bytes, offset).ok_or_else(|| Fault::new(FaultKind::Truncated, offset))
    }

    fn count(self, slot: Slot) -> Result<usize, Fault> {
        match slot.count {
            Some(place) => self.u32(place).map(|count| count as usize),
            None => Ok(1),
        }
    }

    /// The offset that the slot refers to; `None` if the item is absent. The offset is behind the
    /// header, but whether the item fits is for the caller to see.
    fn refer(self, slot: Slot) -> Result<Option<usize>, Fault> {
        let fault = |kind| Fault::new(kind, slot.reference);
        let offset = match self.form {
            Form::Wire => match (self.u32(slot.reference)? as usize, self.count(slot)?) {
                (0, 0) => return Ok(None),
                (offset, _) if !offset.is_multiple_of(8) => return Err(fault(FaultKind::Misaligned)),
                (offset, _) => offset,
            },
            Form::Kernel { base } => {
                match u64_at(self.bytes, slot.reference).ok_or_else(|| fault(FaultKind::Truncated))? {
                    0 => return Ok(None),
                    pointer => pointer
                        .checked_sub(base)
                        .and_then(|offset| usize::try_from(offset).ok())
                        .ok_or_else(|| fault(FaultKind::OutOfBounds))?,
                }
            }
        };
        if offset < self.form.slots().header {
            return Err(fault(FaultKind::InHeader));
        }
        Ok(Some(offset))
    }

    /// The `count` elements of `size` bytes at `offset`, to which `slot` refers.
    fn elements(self, slot: Slot, offset: usize, count: usize, size: usize) -> Result<&'a [u8], Fault> {
        count
            .checked_mul(size)
            .and_then(|length| slice_at(self.bytes, offset, length))
            .ok_or_else(|| Fault::new(FaultKind::OutOfBounds, slot.reference))
    }

    fn text(self, slot: Slot) -> Result<Option<Text<'a>>, Fault> {
        let Some(offset) = self.refer(slot)? else {
            return Ok(None);
        };
        let length = match self.form {
            Form::Wire => self.count(slot)?,
            Form::Kernel { .. } => self.terminated(slot, offset)?,
        };
        let bytes = self.elements(slot, offset, length, 2)?;
        Text::from_le_bytes(bytes)
            .map(Some)
            .map_err(|fault| Fault::new(fault.kind, offset.saturating_add(fault.unit.saturating_mul(2))))
    }

    /// Units before the terminator.
    fn terminated(self, slot: Slot, offset: usize) -> Result<usize, Fault> {
        let rest = self
            .bytes
            .get(offset..)
            .ok_or_else(|| Fault::new(FaultKind::OutOfBounds, slot.reference))?;
        rest.chunks_exact(2)
            .position(|unit| unit == [0, 0])
            .ok_or_else(|| Fault::new(FaultKind::Unterminated, offset))
    }

    /// An item of which there is one or none.
    fn single(self, slot: Slot, size: usize) -> Result<Option<&'a [u8]>, Fault> {
        let Some(offset) = self.refer(slot)? else {
            return Ok(None);
        };
        if self.count(slot)? != 1 {
            return Err(Fault::new(
                FaultKind::BadCount,
                slot.count.unwrap_or(slot.reference),
            ));
        }
        self.elements(slot, offset, 1, size).map(Some)
    }

    fn version(self, slot: Slot) -> Result<Option<Version>, Fault> {
        let item = self.single(slot, 8)?;
        Ok(item.and_then(|item| {
            Some(Version {
                version: u32_at(item, 0)?,
                comparator: u32_at(item, 4)?,
            })
        }))
    }

    fn provider(self, slot: Slot) -> Result<Option<Guid>, Fault> {
        let item = self.single(slot, Guid::SIZE)?;
        Ok(item.and_then(|item| array_at(item, 0)).map(Guid::from_bytes))
    }

    fn protocols(self, slot: Slot) -> Result<Protocols<'a>, Fault> {
        let bytes = self.array(slot, 8)?.map_or(&[][..], |(_, bytes)| bytes);
        Ok(Protocols::encoded(bytes))
    }

    /// An array, which must not be absent if its count is not 0 (decision 35).
    fn array(self, slot: Slot, size: usize) -> Result<Option<(usize, &'a [u8])>, Fault> {
        let count = self.count(slot)?;
        if count == 0 {
            return Ok(None);
        }
        match self.refer(slot)? {
            Some(offset) => Ok(Some((offset, self.elements(slot, offset, count, size)?))),
            None => Err(Fault::new(FaultKind::OutOfBounds, slot.reference)),
        }
    }

    fn addresses(self, slot: Slot) -> Result<Addresses<'a>, Fault> {
        let count = self.count(slot)?;
        let Some((offset, _)) = self.array(slot, self.form.slots().address.size)? else {
            return Ok(Addresses::NONE);
        };
        for index in 0..count {
            self.address(offset, index)?;
        }
        Ok(Addresses::encoded(self, offset, count))
    }

    /// The address with this index in the array at `array`.
    pub fn address(self, array: usize, index: usize) -> Result<CsAddr<'a>, Fault> {
        let slots = &self.form.slots().address;
        let start = index.saturating_mul(slots.size).saturating_add(array);
        let within = |slot: Slot| Slot {
            reference: start.saturating_add(slot.reference),
            count: slot.count.map(|count| start.saturating_add(count)),
        };
        let number = |offset: usize| self.u32(start.saturating_add(offset)).map(u32::cast_signed);
        Ok(CsAddr {
            local: self.socket_address(within(slots.local))?,
            remote: self.socket_address(within(slots.remote))?,
            socket_type: number(slots.socket_type)?,
            protocol: number(slots.protocol)?,
        })
    }

    /// Null and length 0 is absent; null with a length, a length of 0, or a negative one is wrong
    /// (decision 15).
    fn socket_address(self, slot: Slot) -> Result<&'a [u8], Fault> {
        let length = self.count(slot)?;
        let bad_length = Fault::new(FaultKind::BadLength, slot.count.unwrap_or(slot.reference));
        match self.refer(slot)? {
            None if length == 0 => Ok(&[]),
            Some(offset) if (1..=i32::MAX as usize).contains(&length) => {
                self.elements(slot, offset, length, 1)
            }
            _ => Err(bad_length),
        }
    }

    fn blob(self, slot: Slot) -> Result<Option<&'a [u8]>, Fault> {
        match self.form {
            Form::Wire => match self.refer(slot)? {
                Some(offset) => self.elements(slot, offset, self.count(slot)?, 1).map(Some),
                None => Ok(None),
            },
            Form::Kernel { .. } => {
                let Some(structure) = self.refer(slot)? else {
                    return Ok(None);
                };
                self.elements(slot, structure, 1, KERNEL_BLOB_SIZE)?;
                let data = Slot {
                    reference: structure.saturating_add(KERNEL_BLOB.reference),
                    count: KERNEL_BLOB.count.map(|count| structure.saturating_add(count)),
                };
                Ok(Some(self.array(data, 1)?.map_or(&[][..], |(_, bytes)| bytes)))
            }
        }
    }
}

/// The family that a socket address names; 0 if it has none.
pub fn family_of(socket_address: &[u8]) -> u16 {
    u16_at(socket_address, 0).unwrap_or(0)
}
