//! Requests that change the catalogue of namespace providers. All are answered with a bare reply.

use super::lists::write_length;
use super::request;
use crate::bytes::{Reader, Writer};
use crate::fault::{Fault, FaultKind, WriteError};
use crate::guid::Guid;

/// Bytes of a GUID.
const GUID: usize = 16;

/// Says whether calls may go to a provider. Fields: GUID, 1 or 0, 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnableRequest {
    /// The namespace provider.
    pub provider: Guid,
    /// Whether calls may go to it.
    pub enabled: bool,
}

impl EnableRequest {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| {
            writer.guid(self.provider);
            writer.u32(self.enabled.into());
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
        let enabled = match reader.u32()? {
            0 => false,
            1 => true,
            _ => return Err(bad),
        };
        reader.reserved()?;
        request::close(bytes, &reader)?;
        Ok(Self { provider, enabled })
    }
}

/// Names one namespace provider: the one to take out of the catalogue. Field: GUID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProviderRequest {
    /// The namespace provider.
    pub provider: Guid,
}

impl ProviderRequest {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| writer.guid(self.provider))
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let provider = reader.guid()?;
        request::close(bytes, &reader)?;
        Ok(Self { provider })
    }
}

/// Says in which order the providers are called. Fields: number of GUIDs, 0, GUIDs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderRequest<'a>(&'a [u8]);

impl<'a> OrderRequest<'a> {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed, `TooLarge`.
    pub fn write(providers: &[Guid], out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer: &mut Writer<'_>| {
            write_length(writer, providers.len());
            writer.u32(0);
            for provider in providers {
                writer.guid(*provider);
            }
        })
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader: Reader<'a> = request::open(bytes)?;
        let count = reader.u32()? as usize;
        reader.reserved()?;
        let length = count
            .checked_mul(GUID)
            .ok_or_else(|| reader.fault(FaultKind::BadCount))?;
        let providers = reader.take(length)?;
        request::close(bytes, &reader)?;
        Ok(Self(providers))
    }

    /// The providers in the order in which they are to be called.
    #[must_use]
    pub fn providers(&self) -> impl ExactSizeIterator<Item = Guid> + Clone + use<'a> {
        self.0
            .as_chunks::<GUID>()
            .0
            .iter()
            .map(|bytes| Guid::from_bytes(*bytes))
    }
}
