//! Messages that list namespace providers and the records of a hosted one.

use bitflags::bitflags;

use super::reply::{DoesNotFit, Entries, Entry, Reply, ReplyWriter};
use super::request;
use crate::bytes::{Reader, Writer};
use crate::fault::{Fault, FaultKind, WriteError};
use crate::guid::Guid;
use crate::queryset::QuerySet;
use crate::text::Text;

bitflags! {
    /// State of a namespace provider in the client driver's catalogue.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct ProviderFlags: u32 {
        /// Calls may go to it.
        const ENABLED = 0x1;
        /// A driver that provides it is attached.
        const ATTACHED = 0x2;
        const _ = !0;
    }
}

/// One namespace provider of the catalogue.
///
/// An entry whose number is the state; in it order, version, namespace, length of identifier
/// (units) and of blob, 0, GUID, identifier, blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProviderEntry<'a> {
    /// State.
    pub flags: ProviderFlags,
    /// Place in the order of calls, from 0.
    pub order: u32,
    /// Version of the provider's implementation.
    pub version: u32,
    /// Its namespace.
    pub namespace: u32,
    /// The namespace provider.
    pub provider: Guid,
    /// Display name.
    pub identifier: Text<'a>,
    /// Installation blob, which says what domains it claims; see [`crate::blob`].
    pub blob: &'a [u8],
}

impl<'a> ProviderEntry<'a> {
    /// Writes the entry.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn write(&self, reply: &mut ReplyWriter<'_>) -> Result<(), DoesNotFit> {
        reply.entry(self.flags.bits(), |writer| {
            writer.u32(self.order);
            writer.u32(self.version);
            writer.u32(self.namespace);
            write_length(writer, self.identifier.len());
            write_length(writer, self.blob.len());
            writer.u32(0);
            writer.guid(self.provider);
            self.identifier.write_to(writer);
            writer.align8();
            writer.bytes(self.blob);
        })
    }

    fn read(entry: Entry<'a>) -> Result<Self, Fault> {
        let mut reader = Reader::new(entry.content);
        let order = reader.u32()?;
        let version = reader.u32()?;
        let namespace = reader.u32()?;
        let identifier_length = reader.u32()?;
        let blob_length = reader.u32()?;
        reader.reserved()?;
        let provider = reader.guid()?;
        let identifier = read_text(&mut reader, identifier_length)?;
        reader.align8()?;
        let blob = reader.take(blob_length as usize)?;
        let flags = ProviderFlags::from_bits_retain(entry.number);
        Ok(Self {
            flags,
            order,
            version,
            namespace,
            provider,
            identifier,
            blob,
        })
    }
}

/// Writes a length, which a reader takes as 32 bits.
pub(super) fn write_length(writer: &mut Writer<'_>, length: usize) {
    match u32::try_from(length) {
        Ok(length) => writer.u32(length),
        Err(_) => writer.too_large(),
    }
}

/// Takes a text of `length` units.
pub(super) fn read_text<'a>(reader: &mut Reader<'a>, length: u32) -> Result<Text<'a>, Fault> {
    let start = reader.offset();
    let too_long = reader.fault(FaultKind::Truncated);
    let bytes = reader.take((length as usize).checked_mul(2).ok_or(too_long)?)?;
    Text::from_le_bytes(bytes)
        .map_err(|fault| Fault::new(fault.kind, start.saturating_add(fault.unit.saturating_mul(2))))
}

/// The namespace providers in the order of calls. Makes sense only as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProvidersReply<'a>(Entries<'a>);

impl<'a> ProvidersReply<'a> {
    /// Reads the frame.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'a>) -> Result<Self, Fault> {
        reply.entries(&reply.fields()).map(Self)
    }

    /// The providers, each of which may be malformed in itself.
    pub fn providers(&self) -> impl Iterator<Item = Result<ProviderEntry<'a>, Fault>> + use<'a> {
        self.0.clone().map(ProviderEntry::read)
    }
}

/// State of a hosted namespace provider; the number of its entry.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HostedState {
    /// Its records are being loaded.
    Loading = 0,
    /// It is registered and serves.
    Serving = 1,
    /// It could not be loaded; an event says why.
    Failed = 2,
    /// It is being stopped.
    Stopping = 3,
}

impl HostedState {
    /// The state with this number.
    #[must_use]
    pub const fn from_u32(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Loading),
            1 => Some(Self::Serving),
            2 => Some(Self::Failed),
            3 => Some(Self::Stopping),
            _ => None,
        }
    }
}

/// One namespace provider that the provider driver hosts.
///
/// An entry whose number is the state; in it objects, addresses, bytes of the log, GUID, length of
/// identifier (units), 0, identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hosted<'a> {
    /// State.
    pub state: HostedState,
    /// Objects in the store, whether or not they are registered.
    pub objects: u64,
    /// Addresses in the store.
    pub addresses: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// The namespace provider.
    pub provider: Guid,
    /// Display name.
    pub identifier: Text<'a>,
}

impl<'a> Hosted<'a> {
    /// Writes the entry.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn write(&self, reply: &mut ReplyWriter<'_>) -> Result<(), DoesNotFit> {
        reply.entry(self.state as u32, |writer| {
            writer.u64(self.objects);
            writer.u64(self.addresses);
            writer.u64(self.log_bytes);
            writer.guid(self.provider);
            write_length(writer, self.identifier.len());
            writer.u32(0);
            self.identifier.write_to(writer);
        })
    }

    fn read(entry: Entry<'a>) -> Result<Self, Fault> {
        let mut reader = Reader::new(entry.content);
        let state = HostedState::from_u32(entry.number).ok_or_else(|| reader.fault(FaultKind::BadValue))?;
        let objects = reader.u64()?;
        let addresses = reader.u64()?;
        let log_bytes = reader.u64()?;
        let provider = reader.guid()?;
        let length = reader.u32()?;
        reader.reserved()?;
        let identifier = read_text(&mut reader, length)?;
        Ok(Self {
            state,
            objects,
            addresses,
            log_bytes,
            provider,
            identifier,
        })
    }
}

/// The hosted namespace providers. Makes sense only as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostedReply<'a>(Entries<'a>);

impl<'a> HostedReply<'a> {
    /// Reads the frame.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'a>) -> Result<Self, Fault> {
        reply.entries(&reply.fields()).map(Self)
    }

    /// The providers, each of which may be malformed in itself.
    pub fn hosted(&self) -> impl Iterator<Item = Result<Hosted<'a>, Fault>> + use<'a> {
        self.0.clone().map(Hosted::read)
    }
}

/// State of a stored object; the number of its entry.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RecordState {
    /// Look-ups find it.
    Registered = 1,
    /// Look-ups answer `WSANO_DATA`.
    Deregistered = 2,
}

impl RecordState {
    /// The state with this number.
    #[must_use]
    pub const fn from_u32(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Registered),
            2 => Some(Self::Deregistered),
            _ => None,
        }
    }
}

/// Asks for a page of the objects of a hosted provider. Fields: cursor, GUID, state or 0 for any, length of the domain
/// (units), domain.
///
/// What is listed is decided by the request for the first page; those for others only name the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListRequest<'a> {
    /// Where the page starts: 0, or what the page before said.
    pub cursor: u64,
    /// The hosted namespace provider.
    pub provider: Guid,
    /// Only objects in this state.
    pub state: Option<RecordState>,
    /// Only names of this domain; empty for all.
    pub domain: Text<'a>,
}

impl<'a> ListRequest<'a> {
    /// Asks for all objects.
    #[must_use]
    pub const fn all(provider: Guid, cursor: u64) -> Self {
        Self {
            cursor,
            provider,
            state: None,
            domain: Text::EMPTY,
        }
    }

    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| {
            writer.u64(self.cursor);
            writer.guid(self.provider);
            writer.u32(self.state.map_or(0, |state| state as u32));
            write_length(writer, self.domain.len());
            self.domain.write_to(writer);
        })
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let cursor = reader.u64()?;
        let provider = reader.guid()?;
        let bad = reader.fault(FaultKind::BadValue);
        let state = match reader.u32()? {
            0 => None,
            number => Some(RecordState::from_u32(number).ok_or(bad)?),
        };
        let length = reader.u32()?;
        let domain = read_text(&mut reader, length)?;
        reader.align8()?;
        request::close(bytes, &reader)?;
        Ok(Self {
            cursor,
            provider,
            state,
            domain,
        })
    }
}

/// One object of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedRecord<'a> {
    /// State.
    pub state: RecordState,
    /// All that is stored.
    pub record: QuerySet<'a>,
}

impl<'a> ListedRecord<'a> {
    /// Writes the object as an entry.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn write(&self, reply: &mut ReplyWriter<'_>) -> Result<(), DoesNotFit> {
        reply.entry(self.state as u32, |writer| self.record.write_wire_to(writer))
    }

    fn read(entry: Entry<'a>) -> Result<Self, Fault> {
        let state = RecordState::from_u32(entry.number).ok_or_else(|| Fault::new(FaultKind::BadValue, 0))?;
        Ok(Self {
            state,
            record: QuerySet::parse_wire(entry.content)?,
        })
    }
}

/// A page of objects; can be continued. Field: cursor of the next page, 0 after the last one.
///
/// The cursor is a number that only the store understands. An object that exists during all of a
/// listing is listed exactly once; one that comes or goes meanwhile may or may not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListReply<'a> {
    /// Cursor of the next page, 0 after the last one.
    pub next: u64,
    records: Entries<'a>,
}

impl<'a> ListReply<'a> {
    /// Starts the reply: the cursor is [`Self::put_next`] once it is known.
    pub fn start(reply: &mut ReplyWriter<'_>) {
        reply.fields(|writer| writer.u64(0));
    }

    /// Says where the next page starts.
    pub fn put_next(reply: &mut ReplyWriter<'_>, next: u64) {
        reply.put_field(0, next);
    }

    /// Reads the frame.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'a>) -> Result<Self, Fault> {
        let mut reader = reply.fields();
        let next = reader.u64()?;
        Ok(Self {
            next,
            records: reply.entries(&reader)?,
        })
    }

    /// The objects, each of which may be malformed in itself.
    pub fn records(&self) -> impl Iterator<Item = Result<ListedRecord<'a>, Fault>> + use<'a> {
        self.records.clone().map(ListedRecord::read)
    }
}
