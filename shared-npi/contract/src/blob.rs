//! The installation blob of a namespace provider: which domains it claims
//! (`NAPI_PROVIDER_INSTALLATION_BLOB`, nsemail.h).
//!
//! All numbers are little-endian, all offsets count from the start of the blob.
//!
//! | offset | header | | offset | domain description |
//! |---|---|---|---|---|
//! | 0 | version, of the provider's choice | | 0 | level: 0 none, 1 secondary, 2 primary |
//! | 4 | provider type | | 4 | length of the domain in UTF-16 units |
//! | 8 | not 0: any domain (wildcard) | | 8 | offset of the next description |
//! | 12 | number of domain descriptions | | 12 | offset of the domain |
//! | 16 | offset of the first one | | | |
//!
//! Descriptions form a list by offsets, at multiples of 4. They and the domains, at multiples of
//! 2, may stand anywhere and in any order, but descriptions may overlap nothing. Domains may share
//! bytes with each other, and need no terminator. The last "next" offset means nothing, nor do
//! bytes that nothing refers to. Provider type 1 (application) is the one supported; 0 is taken
//! for it, because Microsoft's sample provider writes that.
//!
//! # Cost
//!
//! Without memory of its own the parser compares every description with every other one. The size
//! cap bounds that; only administrators and other drivers supply blobs.

use crate::address::{Domain, DomainError};
use crate::bytes::{Writer, slice_at, u32_at};
use crate::codes::WsaCode;
use crate::fault::{Fault, FaultKind, WriteError};
use crate::limits;
use crate::text::Text;

/// Bytes of the header.
pub const HEADER: usize = 20;
/// Bytes of a domain description.
pub const DESCRIPTION: usize = 16;
/// Provider type of a namespace provider for applications (`ProviderType_Application`).
pub const TYPE_APPLICATION: u32 = 1;
/// Provider type of a service, which is not supported (`ProviderType_Service`).
pub const TYPE_SERVICE: u32 = 2;

const TYPE_AT: usize = 4;
const WILDCARD_AT: usize = 8;
const COUNT_AT: usize = 12;
const FIRST_AT: usize = 16;

/// How authoritative a provider is for a domain (`NAPI_PROVIDER_LEVEL`).
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Switched off for this domain for now.
    None = 0,
    /// Answers if the primary provider cannot, and the same as it.
    Secondary = 1,
    /// The provider to ask first.
    Primary = 2,
}

impl Level {
    /// The level with this number.
    #[must_use]
    pub const fn from_u32(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Secondary),
            2 => Some(Self::Primary),
            _ => None,
        }
    }
}

/// A domain that a blob describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    /// How authoritative the provider is for it.
    pub level: Level,
    /// The domain as it is spelled in the blob.
    pub name: Text<'a>,
    /// The domain, without a dot that may end it.
    pub domain: Domain<'a>,
    /// Where its description stands.
    pub description_offset: usize,
    /// Where its name stands.
    pub name_offset: usize,
}

/// A valid installation blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InstallationBlob<'a> {
    /// Version, of the provider's choice.
    pub version: u32,
    /// Provider type as written, 0 or 1.
    pub provider_type: u32,
    /// Whether the provider takes names of any domain.
    pub wildcard: bool,
    bytes: &'a [u8],
}

/// The fields of a description, of which only the offsets were not yet followed.
#[derive(Clone, Copy)]
struct Description {
    offset: usize,
    level: u32,
    units: usize,
    next: usize,
    name: usize,
}

/// The Winsock code that answers the installation of a blob with such a fault.
#[must_use]
pub const fn fault_code(kind: FaultKind) -> WsaCode {
    match kind {
        FaultKind::UnsupportedProviderType => WsaCode::WSAEOPNOTSUPP,
        _ => WsaCode::WSAEINVAL,
    }
}

impl<'a> InstallationBlob<'a> {
    /// Reads a blob and checks all of it.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.len() > limits::INSTALLATION_BLOB {
            return Err(Fault::new(FaultKind::TooLarge, limits::INSTALLATION_BLOB));
        }
        let blob = Self::parse_header(bytes)?;
        let mut reference = FIRST_AT;
        let mut offset = blob.u32(FIRST_AT)?;
        for index in 0..blob.count() {
            if index > 0 && offset == 0 {
                return Err(Fault::new(FaultKind::ChainEnds, reference));
            }
            let description = blob.check_description(index, offset as usize, reference)?;
            reference = description.offset.saturating_add(8);
            offset = blob.u32(reference)?;
        }
        blob.descriptions()
            .try_for_each(|description| blob.check_name_is_apart(description))?;
        Ok(blob)
    }

    fn parse_header(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.len() < HEADER {
            return Err(Fault::new(FaultKind::Truncated, bytes.len()));
        }
        let mut blob = Self {
            version: 0,
            provider_type: 0,
            wildcard: false,
            bytes,
        };
        blob.version = blob.u32(0)?;
        blob.provider_type = blob.u32(TYPE_AT)?;
        blob.wildcard = blob.u32(WILDCARD_AT)? != 0;
        match blob.provider_type {
            0 | TYPE_APPLICATION => {}
            TYPE_SERVICE => return Err(Fault::new(FaultKind::UnsupportedProviderType, TYPE_AT)),
            _ => return Err(Fault::new(FaultKind::BadProviderType, TYPE_AT)),
        }
        let room = bytes.len().saturating_sub(HEADER) / DESCRIPTION;
        if blob.count() as usize > room {
            return Err(Fault::new(FaultKind::BadCount, COUNT_AT));
        }
        Ok(blob)
    }

    /// Checks the description at `offset`, which stands in the field at `reference`, against
    /// everything before it.
    fn check_description(&self, index: u32, offset: usize, reference: usize) -> Result<Description, Fault> {
        let bad_offset = |kind| Fault::new(kind, reference);
        if !offset.is_multiple_of(4) {
            return Err(bad_offset(FaultKind::Misaligned));
        }
        if offset < HEADER {
            return Err(bad_offset(FaultKind::InHeader));
        }
        let description = self
            .description(offset)
            .ok_or_else(|| bad_offset(FaultKind::OutOfBounds))?;
        let mut earlier = self.descriptions().take(index as usize);
        if earlier.any(|other| other.offset.abs_diff(offset) < DESCRIPTION) {
            return Err(bad_offset(FaultKind::Overlap));
        }
        if Level::from_u32(description.level).is_none() {
            return Err(Fault::new(FaultKind::BadLevel, offset));
        }
        let domain = self.check_name(description)?;
        let mut earlier = self.descriptions().take(index as usize);
        if earlier.any(|other| self.is_domain(other, &domain)) {
            return Err(Fault::new(FaultKind::DuplicateDomain, description.name));
        }
        Ok(description)
    }

    fn check_name(&self, description: Description) -> Result<Domain<'a>, Fault> {
        if !(1..=limits::DOMAIN).contains(&description.units) {
            return Err(Fault::new(
                FaultKind::BadLength,
                description.offset.saturating_add(4),
            ));
        }
        let bad_offset = |kind| Fault::new(kind, description.offset.saturating_add(12));
        if !description.name.is_multiple_of(2) {
            return Err(bad_offset(FaultKind::Misaligned));
        }
        if description.name < HEADER {
            return Err(bad_offset(FaultKind::InHeader));
        }
        let bytes = self
            .name_bytes(description)
            .ok_or_else(|| bad_offset(FaultKind::OutOfBounds))?;
        let at =
            |kind, unit: usize| Fault::new(kind, description.name.saturating_add(unit.saturating_mul(2)));
        let text = Text::from_le_bytes(bytes).map_err(|fault| at(fault.kind, fault.unit))?;
        Domain::parse(text).map_err(|error| match error {
            DomainError::BadCharacter(unit) => at(FaultKind::BadCharacter, unit),
            DomainError::EmptyLabel(unit) => at(FaultKind::EmptyLabel, unit),
            DomainError::Empty | DomainError::TooLong => at(FaultKind::BadLength, 0),
        })
    }

    /// Checks that a name overlaps no description; that it is behind the header is known.
    fn check_name_is_apart(&self, named: Description) -> Result<(), Fault> {
        let end = named.name.saturating_add(named.units.saturating_mul(2));
        let overlaps =
            |other: Description| named.name < other.offset.saturating_add(DESCRIPTION) && other.offset < end;
        if self.descriptions().any(overlaps) {
            return Err(Fault::new(FaultKind::Overlap, named.offset.saturating_add(12)));
        }
        Ok(())
    }

    /// Number of domains.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32_at(self.bytes, COUNT_AT).unwrap_or(0)
    }

    /// The bytes of the blob.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether any name can reach the provider; if not, only a query that names it does.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.wildcard || self.count() > 0
    }

    /// The domains, in the order of the list.
    pub fn claims(&self) -> impl Iterator<Item = Claim<'a>> + Clone + use<'a> {
        let blob = *self;
        self.descriptions().filter_map(move |description| {
            Some(Claim {
                level: Level::from_u32(description.level)?,
                name: blob.name(description)?,
                domain: blob.domain(description)?,
                description_offset: description.offset,
                name_offset: description.name,
            })
        })
    }

    /// How authoritative the provider is for a domain; `None` if the blob does not describe it.
    #[must_use]
    pub fn level_of(&self, domain: &Domain<'_>) -> Option<Level> {
        self.claims()
            .find(|claim| claim.domain == *domain)
            .map(|claim| claim.level)
    }

    fn u32(&self, offset: usize) -> Result<u32, Fault> {
        u32_at(self.bytes, offset).ok_or_else(|| Fault::new(FaultKind::Truncated, offset))
    }

    fn description(&self, offset: usize) -> Option<Description> {
        let bytes = slice_at(self.bytes, offset, DESCRIPTION)?;
        Some(Description {
            offset,
            level: u32_at(bytes, 0)?,
            units: u32_at(bytes, 4)? as usize,
            next: u32_at(bytes, 8)? as usize,
            name: u32_at(bytes, 12)? as usize,
        })
    }

    /// The descriptions along the list. It ends where the list leads outside the blob, but does
    /// not end by itself if the list is a circle and the count wrong; parsing excludes both.
    fn descriptions(&self) -> impl Iterator<Item = Description> + Clone + use<'a> {
        let blob = *self;
        let first = u32_at(self.bytes, FIRST_AT).and_then(|offset| blob.description(offset as usize));
        core::iter::successors(first, move |description| blob.description(description.next))
            .take(self.count() as usize)
    }

    fn name_bytes(&self, description: Description) -> Option<&'a [u8]> {
        slice_at(self.bytes, description.name, description.units.checked_mul(2)?)
    }

    fn name(&self, description: Description) -> Option<Text<'a>> {
        self.name_bytes(description).map(Text::from_stored_bytes)
    }

    /// Whether a description that was checked before is of `domain`.
    fn is_domain(&self, description: Description, domain: &Domain<'_>) -> bool {
        // Almost all differ in length or in the first unit, so look at these before the rest.
        let length = domain.text().len();
        if description.units.abs_diff(length) > 1 {
            return false;
        }
        self.name(description).is_some_and(|name| {
            let name = name.without_suffix(b'.');
            name.eq_folded(&domain.text())
        })
    }

    fn domain(&self, description: Description) -> Option<Domain<'a>> {
        Domain::parse(self.name(description)?).ok()
    }
}

/// Writes a blob: header, descriptions, names back to back; answers its size.
///
/// # Errors
/// `TooSmall` with the size needed; `TooLarge` if the blob would exceed its cap. That no domain
/// occurs twice is for the caller to see, or for the parser.
pub fn write<'d>(
    version: u32,
    wildcard: bool,
    claims: impl Iterator<Item = (Level, Domain<'d>)> + Clone,
    out: &mut [u8],
) -> Result<usize, WriteError> {
    let mut writer = Writer::new(out);
    writer.u32(version);
    writer.u32(TYPE_APPLICATION);
    writer.u32(u32::from(wildcard));
    let count = claims.clone().count();
    write_offset(&mut writer, count);
    write_offset(&mut writer, if count == 0 { 0 } else { HEADER });

    let mut name_at = count.saturating_mul(DESCRIPTION).saturating_add(HEADER);
    for (index, (level, domain)) in claims.clone().enumerate() {
        let units = domain.text().len();
        let end = writer.offset().saturating_add(DESCRIPTION);
        let is_last = index.saturating_add(1) == count;
        writer.u32(level as u32);
        write_offset(&mut writer, units);
        write_offset(&mut writer, if is_last { 0 } else { end });
        write_offset(&mut writer, name_at);
        name_at = name_at.saturating_add(units.saturating_mul(2));
    }
    for (_, domain) in claims {
        domain.text().write_to(&mut writer);
    }
    if writer.offset() > limits::INSTALLATION_BLOB {
        writer.too_large();
    }
    writer.finish()
}

fn write_offset(writer: &mut Writer<'_>, value: usize) {
    match u32::try_from(value) {
        Ok(value) => writer.u32(value),
        Err(_) => writer.too_large(),
    }
}
