//! Messages of look-ups and changes.

use super::reply::{DoesNotFit, Entries, Reply, ReplyWriter, Tail};
use super::request;
use crate::bytes::Writer;
use crate::codes::WsaCode;
use crate::fault::{Fault, FaultKind, WriteError};
use crate::flags::LookupFlags;
use crate::guid::Guid;
use crate::ids;
use crate::limits;
use crate::queryset::QuerySet;

/// Offset of the query set in the requests that carry one.
const QUERY: usize = 16;

/// Opens a look-up, or does all of it in one call.
///
/// Fields: flags, 0, the query set. The query's `provider` directs it to one namespace provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LookupRequest<'a> {
    /// How to look up, and what to return.
    pub flags: LookupFlags,
    /// What to look for.
    pub query: QuerySet<'a>,
}

impl<'a> LookupRequest<'a> {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed, or `TooLarge`.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| {
            writer.u32(self.flags.bits());
            writer.u32(0);
            self.query.write_wire_to(writer);
        })
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut query = QuerySet::default();
        let flags = Self::read(bytes, &mut query)?;
        Ok(Self { flags, query })
    }

    /// Reads the request, what to look for to `query`, and gives the flags.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(bytes: &'a [u8], query: &mut QuerySet<'a>) -> Result<LookupFlags, Fault> {
        let mut reader = request::open(bytes)?;
        let flags = LookupFlags::from_bits_retain(reader.u32()?);
        reader.reserved()?;
        read_query(bytes, query)?;
        Ok(flags)
    }
}

/// The wire form of the query in a [`LookupRequest`] that was read.
#[must_use]
pub fn encoded_query(request: &[u8]) -> &[u8] {
    request.get(QUERY..).unwrap_or_default()
}

fn read_query<'a>(bytes: &'a [u8], query: &mut QuerySet<'a>) -> Result<(), Fault> {
    let rest = bytes
        .get(QUERY..)
        .ok_or_else(|| Fault::new(FaultKind::Truncated, bytes.len()))?;
    query.read_wire(rest).map_err(request::within(QUERY))
}

/// A look-up was opened. Field: its number, which means something to its session only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BeginReply {
    /// The number of the look-up.
    pub lookup: u64,
}

impl BeginReply {
    /// Writes the reply; answers its size, or `None` if not even a header fits.
    #[must_use]
    pub fn write(self, out: &mut [u8]) -> Option<usize> {
        let mut reply = ReplyWriter::new(out)?;
        reply.fields(|writer| writer.u64(self.lookup));
        Some(reply.finish(WsaCode::NO_ERROR, Tail::Required))
    }

    /// Bytes of the reply.
    pub const SIZE: usize = super::REPLY_HEADER + 8;

    /// Reads the fields.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'_>) -> Result<Self, Fault> {
        Ok(Self {
            lookup: reply.fields().u64()?,
        })
    }
}

/// Fetches the next record of a look-up. Fields: its number, flags, 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextRequest {
    /// The number of the look-up.
    pub lookup: u64,
    /// Flags of this call; see [`LookupFlags::effective`].
    pub flags: LookupFlags,
}

impl NextRequest {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed.
    pub fn write(self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| {
            writer.u64(self.lookup);
            writer.u32(self.flags.bits());
            writer.u32(0);
        })
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let lookup = reader.u64()?;
        let flags = LookupFlags::from_bits_retain(reader.u32()?);
        reader.reserved()?;
        request::close(bytes, &reader)?;
        Ok(Self { lookup, flags })
    }
}

/// Closes a look-up. Field: its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndRequest {
    /// The number of the look-up.
    pub lookup: u64,
}

impl EndRequest {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed.
    pub fn write(self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| writer.u64(self.lookup))
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let lookup = reader.u64()?;
        request::close(bytes, &reader)?;
        Ok(Self { lookup })
    }
}

/// As what the provider of a record was asked; the number of a record's entry.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tier {
    /// The query named the provider.
    Directed = 0,
    /// Primary provider of the domain.
    Primary = 1,
    /// Secondary provider of the domain.
    Secondary = 2,
    /// Provider for any domain.
    Wildcard = 3,
}

impl Tier {
    /// The tier with this number.
    #[must_use]
    pub const fn from_u32(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Directed),
            1 => Some(Self::Primary),
            2 => Some(Self::Secondary),
            3 => Some(Self::Wildcard),
            _ => None,
        }
    }
}

/// One record of a look-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// As what its provider was asked.
    pub tier: Tier,
    /// The record; `provider` says who answered.
    pub record: QuerySet<'a>,
}

impl<'a> Record<'a> {
    /// Writes the record as an entry.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn write(&self, reply: &mut ReplyWriter<'_>) -> Result<(), DoesNotFit> {
        reply.entry(self.tier as u32, |writer| self.record.write_wire_to(writer))
    }

    /// Writes the record into an answer of a batch that was opened.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn write_nested(&self, reply: &mut ReplyWriter<'_>) -> Result<(), DoesNotFit> {
        reply.nested(self.tier as u32, |writer| self.record.write_wire_to(writer))
    }

    /// Writes the record as an entry at the start of `out`, as providers pass records on; answers its
    /// size. Whoever passes it on to a program says the tier.
    ///
    /// # Errors
    /// `TooSmall` with the size needed, or `TooLarge`.
    pub fn write_entry(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        let mut writer = Writer::new(out);
        writer.u32(0);
        writer.u32(self.tier as u32);
        self.record.write_wire_to(&mut writer);
        writer.put_size(0, writer.offset());
        writer.finish()
    }

    fn read(entry: super::Entry<'a>) -> Result<Self, Fault> {
        let tier = Tier::from_u32(entry.number).ok_or_else(|| Fault::new(FaultKind::BadValue, 0))?;
        Ok(Self {
            tier,
            record: QuerySet::parse_wire(entry.content)?,
        })
    }
}

/// Checks entries that a provider wrote by [`Record::write_entry`], which a program is going to read,
/// and marks each with the tier that the provider was asked as.
///
/// # Errors
/// The first fault: of the entries, of a record, or that a record says that somebody else answered.
/// Some of them may be marked then.
pub fn adopt(entries: &mut [u8], tier: Tier, provider: Guid) -> Result<(), Fault> {
    let mut at = 0_usize;
    while let Some(rest) = entries.get_mut(at..).filter(|rest| !rest.is_empty()) {
        let entry = Entries::first(rest).map_err(request::within(at))?;
        let content = at.saturating_add(super::reply::ENTRY_HEADER);
        let mut record = QuerySet::default();
        record
            .read_wire(entry.content)
            .map_err(request::within(content))?;
        if record.provider != Some(provider) || record.namespace != ids::NS_EMAIL {
            return Err(Fault::new(FaultKind::BadValue, content));
        }
        at = content.saturating_add(entry.content.len());
        let mut header = Writer::new(rest);
        header.put(4, (tier as u32).to_le_bytes());
    }
    Ok(())
}

/// Records of a look-up: one for a next-record call, all for a look-up in one call. Makes sense
/// only as a whole ([`Tail::Required`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordsReply<'a>(Entries<'a>);

impl<'a> RecordsReply<'a> {
    /// Reads the frame.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'a>) -> Result<Self, Fault> {
        reply.entries(&reply.fields()).map(Self)
    }

    /// The records, each of which may be malformed in itself.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'a>, Fault>> + use<'a> {
        self.0.clone().map(Record::read)
    }
}

/// Looks up many names in one call. Fields: flags, number of queries, and a query set per entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchRequest<'a> {
    /// Flags of every look-up.
    pub flags: LookupFlags,
    queries: Entries<'a>,
}

impl<'a> BatchRequest<'a> {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed, or `TooLarge` also for more than [`limits::BATCH`] queries.
    pub fn write<'q>(
        flags: LookupFlags,
        queries: impl IntoIterator<Item = QuerySet<'q>>,
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        request::write(out, |writer| {
            writer.u32(flags.bits());
            let count_at = writer.offset();
            writer.u32(0);
            let mut count = 0_usize;
            for query in queries {
                write_entry(writer, &query);
                count = count.saturating_add(1);
            }
            writer.put_size(count_at, count);
            if count > limits::BATCH {
                writer.too_large();
            }
        })
    }

    /// Reads the request, but for its queries: each may be malformed in itself.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let flags = LookupFlags::from_bits_retain(reader.u32()?);
        let count_fault = reader.fault(FaultKind::BadCount);
        let count = reader.u32()?;
        if count as usize > limits::BATCH {
            return Err(count_fault);
        }
        let start = reader.offset();
        let queries = Entries::exactly(bytes.get(start..).unwrap_or_default(), count)
            .map_err(request::within(start))?;
        Ok(Self { flags, queries })
    }

    /// Number of queries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    /// Whether there are no queries.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.queries.is_empty()
    }

    /// The queries in order, each in the wire form that [`QuerySet::parse_wire`] reads.
    #[must_use]
    pub fn queries(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        self.queries.clone().map(|entry| entry.content)
    }
}

fn write_entry(writer: &mut Writer<'_>, query: &QuerySet<'_>) {
    let start = writer.offset();
    writer.u64(0);
    query.write_wire_to(writer);
    writer.align8();
    writer.put_size(start, writer.offset().saturating_sub(start));
}

/// What one query of a batch was answered: an entry whose number is the code, and in it a record
/// per entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchAnswer<'a> {
    /// `NO_ERROR` if there are records, otherwise why there are none.
    pub code: WsaCode,
    records: Entries<'a>,
}

impl<'a> BatchAnswer<'a> {
    /// The records, each of which may be malformed in itself.
    pub fn records(&self) -> impl Iterator<Item = Result<Record<'a>, Fault>> + use<'a> {
        self.records.clone().map(Record::read)
    }
}

/// Answers to a batch, in the order of its queries. If they do not all fit, the first ones are
/// there ([`Tail::Continued`]), and the program asks again for the rest.
///
/// A driver writes each answer with [`ReplyWriter::open`], [`Record::write_nested`] and
/// [`ReplyWriter::close`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchReply<'a>(Entries<'a>);

impl<'a> BatchReply<'a> {
    /// Reads the frame.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'a>) -> Result<Self, Fault> {
        reply.entries(&reply.fields()).map(Self)
    }

    /// The answers.
    #[must_use]
    pub fn answers(&self) -> impl ExactSizeIterator<Item = Result<BatchAnswer<'a>, Fault>> + use<'a> {
        self.0.clone().map(|entry| {
            let records = Entries::filling(entry.content)?;
            Ok(BatchAnswer {
                code: WsaCode(entry.number),
                records,
            })
        })
    }
}

/// Changes a name. Fields: operation, flags, the query set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetRequest<'a> {
    /// The number of an [`crate::flags::Operation`], not yet validated.
    pub operation: u32,
    /// [`crate::flags::SetFlags`], not yet validated.
    pub flags: u32,
    /// What to register or remove; its `provider` directs the change to one namespace provider.
    pub registration: QuerySet<'a>,
}

impl<'a> SetRequest<'a> {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed, or `TooLarge`.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| {
            writer.u32(self.operation);
            writer.u32(self.flags);
            self.registration.write_wire_to(writer);
        })
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let operation = reader.u32()?;
        let flags = reader.u32()?;
        let mut registration = QuerySet::default();
        read_query(bytes, &mut registration)?;
        Ok(Self {
            operation,
            flags,
            registration,
        })
    }
}

/// What a change did. Fields: number of providers that did it, addresses added, addresses removed,
/// 0, and the (first) provider that did it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetReply {
    /// Providers that did the change: one for a registration, perhaps more for a removal.
    pub providers: u32,
    /// Addresses added, in all providers together.
    pub added: u32,
    /// Addresses removed, in all providers together.
    pub removed: u32,
    /// The first provider that did the change.
    pub provider: Guid,
}

impl SetReply {
    /// Bytes of the reply.
    pub const SIZE: usize = super::REPLY_HEADER + 32;

    /// Writes the reply; answers its size, or `None` if not even a header fits.
    ///
    /// The change is done and cannot be asked for again, so a driver checks for [`Self::SIZE`]
    /// before it starts.
    #[must_use]
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut reply = ReplyWriter::new(out)?;
        reply.fields(|writer| {
            writer.u32(self.providers);
            writer.u32(self.added);
            writer.u32(self.removed);
            writer.u32(0);
            writer.guid(self.provider);
        });
        Some(reply.finish(WsaCode::NO_ERROR, Tail::Required))
    }

    /// Reads the fields.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'_>) -> Result<Self, Fault> {
        let mut reader = reply.fields();
        let providers = reader.u32()?;
        let added = reader.u32()?;
        let removed = reader.u32()?;
        reader.reserved()?;
        Ok(Self {
            providers,
            added,
            removed,
            provider: reader.guid()?,
        })
    }
}
