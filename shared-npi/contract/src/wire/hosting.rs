//! Requests that change which namespace providers the provider driver hosts. All are answered with a bare reply, when
//! the change is made.

use super::lists::{read_text, write_length};
use super::request;
use crate::fault::{Fault, FaultKind, WriteError};
use crate::guid::Guid;
use crate::text::Text;

/// Asks for a namespace provider to be hosted. Fields: GUID, length of identifier (units) and of blob, identifier,
/// blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InstallRequest<'a> {
    /// The namespace provider.
    pub provider: Guid,
    /// Display name.
    pub identifier: Text<'a>,
    /// Installation blob, which says what domains it claims; see [`crate::blob`].
    pub blob: &'a [u8],
}

impl<'a> InstallRequest<'a> {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed, `TooLarge`.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| {
            writer.guid(self.provider);
            write_length(writer, self.identifier.len());
            write_length(writer, self.blob.len());
            self.identifier.write_to(writer);
            writer.align8();
            writer.bytes(self.blob);
        })
    }

    /// Reads the request. The blob is only bytes here; what it says may make no sense.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let provider = reader.guid()?;
        let identifier_length = reader.u32()?;
        let blob_length = reader.u32()?;
        let identifier = read_text(&mut reader, identifier_length)?;
        reader.align8()?;
        let blob = reader.take(blob_length as usize)?;
        reader.align8()?;
        request::close(bytes, &reader)?;
        Ok(Self {
            provider,
            identifier,
            blob,
        })
    }
}

/// Asks for a namespace provider not to be hosted any more. Fields: GUID, 1 to delete its names or 0, 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UninstallRequest {
    /// The namespace provider.
    pub provider: Guid,
    /// Whether its names are deleted. Else they are there again when it is installed again.
    pub delete_names: bool,
}

impl UninstallRequest {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| {
            writer.guid(self.provider);
            writer.u32(self.delete_names.into());
            writer.u32(0);
        })
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let provider = reader.guid()?;
        let bad = reader.fault(FaultKind::BadValue);
        let delete_names = match reader.u32()? {
            0 => false,
            1 => true,
            _ => return Err(bad),
        };
        reader.reserved()?;
        request::close(bytes, &reader)?;
        Ok(Self {
            provider,
            delete_names,
        })
    }
}
