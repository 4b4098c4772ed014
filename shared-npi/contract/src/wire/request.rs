//! The frame of every request.

use crate::bytes::{Reader, Writer};
use crate::fault::{Fault, FaultKind, WriteError};
use crate::limits;

/// Version of the messages; a request of another one is malformed.
pub const VERSION: u32 = 1;

/// Bytes before the fields of a request: size and version.
pub const REQUEST_HEADER: usize = 8;

/// Writes a request, or measures it if `out` is empty.
pub(super) fn write(out: &mut [u8], fields: impl FnOnce(&mut Writer<'_>)) -> Result<usize, WriteError> {
    let mut writer = Writer::new(out);
    writer.u32(0);
    writer.u32(VERSION);
    fields(&mut writer);
    writer.align8();
    let size = writer.offset();
    writer.put_size(0, size);
    if size > limits::MESSAGE {
        writer.too_large();
    }
    writer.finish()
}

/// Checks the frame of a request and answers what reads its fields.
pub(super) fn open(bytes: &[u8]) -> Result<Reader<'_>, Fault> {
    if bytes.len() > limits::MESSAGE {
        return Err(Fault::new(FaultKind::TooLarge, limits::MESSAGE));
    }
    let mut reader = Reader::new(bytes);
    let size = reader.u32()? as usize;
    if size != bytes.len() || !size.is_multiple_of(8) {
        return Err(Fault::new(FaultKind::BadHeader, 0));
    }
    if reader.u32()? != VERSION {
        return Err(Fault::new(FaultKind::BadHeader, 4));
    }
    Ok(reader)
}

/// Checks that nothing follows the fields that were read.
pub(super) const fn close(bytes: &[u8], reader: &Reader<'_>) -> Result<(), Fault> {
    if reader.offset() == bytes.len() {
        Ok(())
    } else {
        Err(reader.fault(FaultKind::TooLarge))
    }
}

/// Makes a fault that was found in a part of a message one of the whole.
pub(super) const fn within(start: usize) -> impl Fn(Fault) -> Fault {
    move |fault| Fault::new(fault.kind, start.saturating_add(fault.offset))
}

/// A request without fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EmptyRequest;

impl EmptyRequest {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed.
    pub fn write(self, out: &mut [u8]) -> Result<usize, WriteError> {
        write(out, |_| {})
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let reader = open(bytes)?;
        close(bytes, &reader)?;
        Ok(Self)
    }
}
