//! One entry of the catalogue: an installed provider.

use allocator_api2::alloc::Allocator;
use nsemail_contract::blob::{InstallationBlob, Level};
use nsemail_contract::{Domain, Fault, Guid};
use pool_alloc::{OutOfMemory, Vec};

/// A provider claims a domain at a level.
#[derive(Debug)]
pub struct Claim<A: Allocator> {
    domain: Vec<u16, A>,
    level: Level,
}

impl<A: Allocator> Claim<A> {
    /// The domain's units as domains are compared: upcased, without a dot at the end.
    #[must_use]
    pub fn domain(&self) -> &[u16] {
        &self.domain
    }

    /// The level at which it is claimed.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }
}

/// An installed provider. Immutable: a change makes a new entry.
#[derive(Debug)]
pub struct Entry<A: Allocator> {
    provider: Guid,
    identifier: Vec<u16, A>,
    blob: Vec<u8, A>,
    claims: Vec<Claim<A>, A>,
    version: u32,
    wildcard: bool,
    enabled: bool,
    order: u32,
}

/// Why an entry cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// There is no memory for it.
    OutOfMemory,
    /// The installation blob is malformed.
    Blob(Fault),
}

impl From<OutOfMemory> for EntryError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// What an entry is made from.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    /// The provider's GUID.
    pub provider: Guid,
    /// Its display name.
    pub identifier: &'a [u16],
    /// Its installation blob.
    pub blob: &'a [u8],
    /// The version of its implementation.
    pub version: u32,
    /// Whether it may be used.
    pub enabled: bool,
    /// Its place in the catalogue order.
    pub order: u32,
}

impl<A: Allocator + Clone> Entry<A> {
    /// Makes an entry with copies of what is described.
    ///
    /// # Errors
    /// When there is no memory, or when the blob is malformed.
    pub fn try_new(description: Description<'_>, alloc: A) -> Result<Self, EntryError> {
        let Description {
            provider,
            identifier,
            blob,
            version,
            enabled,
            order,
        } = description;
        let parsed = InstallationBlob::parse(blob).map_err(EntryError::Blob)?;
        let mut claims = Vec::try_with_capacity_in(parsed.count() as usize, alloc.clone())?;
        for claim in parsed.claims() {
            let domain = Vec::try_from_iter_in(claim.domain.key_units(), alloc.clone())?;
            claims.try_push(Claim {
                domain,
                level: claim.level,
            })?;
        }
        Ok(Self {
            provider,
            identifier: Vec::try_from_slice_in(identifier, alloc.clone())?,
            blob: Vec::try_from_slice_in(blob, alloc)?,
            claims,
            version,
            wildcard: parsed.wildcard,
            enabled,
            order,
        })
    }

    /// The same provider, enabled or not, at a place of the catalogue order.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn changed(&self, enabled: bool, order: u32, alloc: A) -> Result<Self, OutOfMemory> {
        let description = Description {
            provider: self.provider,
            identifier: &self.identifier,
            blob: &self.blob,
            version: self.version,
            enabled,
            order,
        };
        // The blob is sound: the entry was made from it.
        Self::try_new(description, alloc).map_err(|_| OutOfMemory)
    }

    /// The provider's GUID.
    #[must_use]
    pub const fn provider(&self) -> Guid {
        self.provider
    }

    /// Where the provider's GUID is, for as long as anybody has the entry.
    #[must_use]
    pub const fn provider_ref(&self) -> &Guid {
        &self.provider
    }

    /// The provider's display name.
    #[must_use]
    pub fn identifier(&self) -> &[u16] {
        &self.identifier
    }

    /// The installation blob as the provider gave it.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The domains that the provider claims. No domain occurs twice.
    #[must_use]
    pub fn claims(&self) -> &[Claim<A>] {
        &self.claims
    }

    /// The version of the provider's implementation.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Whether the provider takes names of domains that it does not claim.
    #[must_use]
    pub const fn wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether the provider may be used. One that is not is skipped, even when it is asked for by its GUID.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// The place in the catalogue order; lower comes first.
    #[must_use]
    pub const fn order(&self) -> u32 {
        self.order
    }

    /// Whether the entry says the same of the provider as these.
    #[must_use]
    pub fn describes(&self, identifier: &[u16], blob: &[u8], version: u32) -> bool {
        *self.identifier == *identifier && *self.blob == *blob && self.version == version
    }

    /// The level at which the provider claims a domain.
    #[must_use]
    pub fn level(&self, domain: Domain<'_>) -> Option<Level> {
        let same = |claim: &&Claim<A>| domain.key_units().eq(claim.domain().iter().copied());
        self.claims.iter().find(same).map(Claim::level)
    }
}
