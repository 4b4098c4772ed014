//! Messages that explain who would be asked about a name.

use super::lists::{ProviderFlags, read_text, write_length};
use super::reply::{DoesNotFit, Entries, Entry, Reply, ReplyWriter};
use super::request;
use crate::bytes::Reader;
use crate::fault::{Fault, FaultKind, WriteError};
use crate::guid::Guid;
use crate::text::Text;

/// Asks who would be asked about a name. Fields: length of the name (units), 0, name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExplainRequest<'a> {
    /// The name, a mail address.
    pub name: Text<'a>,
}

impl<'a> ExplainRequest<'a> {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| {
            write_length(writer, self.name.len());
            writer.u32(0);
            self.name.write_to(writer);
        })
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let length = reader.u32()?;
        reader.reserved()?;
        let name = read_text(&mut reader, length)?;
        reader.align8()?;
        request::close(bytes, &reader)?;
        Ok(Self { name })
    }
}

/// What part a provider has in the candidate chain of a name; the number of its entry.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChainPart {
    /// Asked: the first that claims the domain as primary.
    Primary = 1,
    /// Asked: it claims the domain as secondary.
    Secondary = 2,
    /// Asked: it takes any name, and claims nothing about the domain.
    Wildcard = 3,
    /// Asked: it takes any name, and its claim to the domain is switched off.
    WildcardSwitchedOff = 4,
    /// Asked: it takes any name, and its claim as primary is ignored, because another one came first.
    WildcardClaimIgnored = 5,
    /// Not asked: it is disabled.
    Disabled = 0x100,
    /// Not asked: it claims nothing about the domain.
    NoClaim = 0x101,
    /// Not asked: its claim to the domain is switched off.
    SwitchedOff = 0x102,
    /// Not asked: its claim as primary is ignored, because another one came first.
    ClaimIgnored = 0x103,
}

impl ChainPart {
    /// All parts.
    pub const ALL: [Self; 9] = [
        Self::Primary,
        Self::Secondary,
        Self::Wildcard,
        Self::WildcardSwitchedOff,
        Self::WildcardClaimIgnored,
        Self::Disabled,
        Self::NoClaim,
        Self::SwitchedOff,
        Self::ClaimIgnored,
    ];

    /// The part with this number.
    #[must_use]
    pub fn from_u32(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|part| *part as u32 == number)
    }

    /// Whether the provider is in the chain.
    #[must_use]
    pub const fn is_asked(self) -> bool {
        (self as u32) < 0x100
    }

    /// Name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Wildcard => "wildcard",
            Self::WildcardSwitchedOff => "wildcard-switched-off",
            Self::WildcardClaimIgnored => "wildcard-claim-ignored",
            Self::Disabled => "disabled",
            Self::NoClaim => "no-claim",
            Self::SwitchedOff => "switched-off",
            Self::ClaimIgnored => "claim-ignored",
        }
    }

    /// The reason, for people.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Primary => "primary for the domain",
            Self::Secondary => "secondary for the domain",
            Self::Wildcard => "takes any name",
            Self::WildcardSwitchedOff => "takes any name; its claim to the domain is switched off",
            Self::WildcardClaimIgnored => {
                "takes any name; its claim as primary is ignored, another provider comes first"
            }
            Self::Disabled => "disabled",
            Self::NoClaim => "does not claim the domain",
            Self::SwitchedOff => "its claim to the domain is switched off",
            Self::ClaimIgnored => "its claim as primary is ignored, another provider comes first",
        }
    }
}

/// One provider and its part.
///
/// An entry whose number is the part; in it state, order in the catalogue, GUID, length of identifier
/// (units), 0, identifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explained<'a> {
    /// Its part in the chain.
    pub part: ChainPart,
    /// Its state.
    pub flags: ProviderFlags,
    /// Its place in the catalogue, from 0.
    pub order: u32,
    /// The namespace provider.
    pub provider: Guid,
    /// Display name.
    pub identifier: Text<'a>,
}

impl<'a> Explained<'a> {
    /// Writes the entry.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn write(&self, reply: &mut ReplyWriter<'_>) -> Result<(), DoesNotFit> {
        reply.entry(self.part as u32, |writer| {
            writer.u32(self.flags.bits());
            writer.u32(self.order);
            writer.guid(self.provider);
            write_length(writer, self.identifier.len());
            writer.u32(0);
            self.identifier.write_to(writer);
        })
    }

    fn read(entry: Entry<'a>) -> Result<Self, Fault> {
        let mut reader = Reader::new(entry.content);
        let part = ChainPart::from_u32(entry.number).ok_or_else(|| reader.fault(FaultKind::BadValue))?;
        let flags = ProviderFlags::from_bits_retain(reader.u32()?);
        let order = reader.u32()?;
        let provider = reader.guid()?;
        let length = reader.u32()?;
        reader.reserved()?;
        let identifier = read_text(&mut reader, length)?;
        Ok(Self {
            part,
            flags,
            order,
            provider,
            identifier,
        })
    }
}

/// All providers of the catalogue: first those that are asked, in the order in which they are asked, then the others
/// in the order of the catalogue. Makes sense only as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExplainReply<'a>(Entries<'a>);

impl<'a> ExplainReply<'a> {
    /// Reads the frame.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'a>) -> Result<Self, Fault> {
        reply.entries(&reply.fields()).map(Self)
    }

    /// The providers, each of which may be malformed in itself.
    pub fn providers(&self) -> impl Iterator<Item = Result<Explained<'a>, Fault>> + use<'a> {
        self.0.clone().map(Explained::read)
    }
}
