//! Names with all that belongs to them, owned.

use nsemail_contract::blob::{Claim, InstallationBlob, Level};
use nsemail_contract::queryset::{Addresses, Version};
use nsemail_contract::wire::{ProviderEntry, ProviderFlags, Record, RecordState, Tier};
use nsemail_contract::{Address, Guid, NormalCsAddr, QuerySet, Text, ids, limits};

use crate::Error;

/// What is registered, or given to take a registration back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registration {
    /// The mail address.
    pub name: String,
    /// The service; empty for none.
    pub service: String,
    /// The addresses.
    pub addresses: Vec<NormalCsAddr>,
    /// The comment.
    pub comment: Option<String>,
    /// The version.
    pub version: Option<u32>,
    /// The blob; an empty one clears.
    pub blob: Option<Vec<u8>>,
    /// The namespace provider to go to; none for whichever is responsible.
    pub provider: Option<Guid>,
}

impl Registration {
    /// Checks what a driver would check, so that the reason can be told.
    ///
    /// # Errors
    /// The first member that is wrong, and why.
    pub fn check(&self) -> Result<(), Error> {
        check_name(&self.name)?;
        let too_long = |what: &str, text: &str, limit: usize| {
            if text.encode_utf16().count() > limit {
                return Err(Error::invalid(format!("the {what} is longer than {limit}")));
            }
            as_text(text).map(drop)
        };
        too_long("service", &self.service, limits::CONTEXT)?;
        too_long(
            "comment",
            self.comment.as_deref().unwrap_or_default(),
            limits::COMMENT,
        )?;
        if self.addresses.len() > limits::ADDRESSES {
            return Err(Error::invalid(format!(
                "more than {} addresses",
                limits::ADDRESSES
            )));
        }
        if self.blob.as_ref().is_some_and(|blob| blob.len() > limits::BLOB) {
            return Err(Error::invalid(format!(
                "the blob is longer than {} bytes",
                limits::BLOB
            )));
        }
        Ok(())
    }

    /// Hands the borrowed form to `use_it`.
    ///
    /// # Errors
    /// If a text contains NUL, or what `use_it` answers.
    pub fn with<R>(&self, use_it: impl FnOnce(QuerySet<'_>) -> Result<R, Error>) -> Result<R, Error> {
        use_it(QuerySet {
            name: Some(as_text(&self.name)?),
            version: self.version.map(|version| Version {
                version,
                comparator: 0,
            }),
            comment: self.comment.as_deref().map(as_text).transpose()?,
            namespace: ids::NS_EMAIL,
            provider: self.provider,
            context: if self.service.is_empty() {
                None
            } else {
                Some(as_text(&self.service)?)
            },
            addresses: Addresses::normal(&self.addresses),
            blob: self.blob.as_deref(),
            ..QuerySet::default()
        })
    }

    /// The same as a driver's record says it.
    #[must_use]
    pub fn from_record(record: &QuerySet<'_>) -> Self {
        let owned = |text: Text<'_>| text.chars().collect::<String>();
        Self {
            name: record.name.map(owned).unwrap_or_default(),
            service: record.context.map(owned).unwrap_or_default(),
            // What a driver stores and returns is normal already.
            addresses: record
                .addresses
                .iter()
                .filter_map(|address| address.normalize().ok())
                .collect(),
            comment: record.comment.map(owned),
            version: record.version.map(|version| version.version),
            blob: record.blob.map(<[u8]>::to_vec),
            provider: record.provider,
        }
    }
}

/// Checks a mail address that is to be changed.
///
/// # Errors
/// Why it is none.
pub fn check_name(name: &str) -> Result<(), Error> {
    let text = as_text(name)?;
    Address::parse(text)
        .map(drop)
        .map_err(|error| Error::Explained(error.set_code(), error.to_string()))
}

/// Checks a mail address that is to be looked up.
///
/// # Errors
/// Why it is none; without an `@` it is merely not found.
pub fn check_query(name: &str) -> Result<(), Error> {
    let text = as_text(name)?;
    Address::parse(text)
        .map(drop)
        .map_err(|error| Error::Explained(error.lookup_code(), error.to_string()))
}

/// Borrows a text for a request.
///
/// # Errors
/// If it contains NUL.
pub fn as_text(text: &str) -> Result<Text<'_>, Error> {
    Text::from_str(text).map_err(|_| Error::invalid("NUL in the text"))
}

/// A record that a look-up found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoundRecord {
    /// As what the provider was asked.
    pub tier: Tier,
    /// The record; only what was asked for is there.
    pub record: Registration,
}

impl FoundRecord {
    /// The owned form of a record in a reply.
    #[must_use]
    pub fn new(record: &Record<'_>) -> Self {
        Self {
            tier: record.tier,
            record: Registration::from_record(&record.record),
        }
    }
}

/// A record that a store keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    /// Whether look-ups find it.
    pub state: RecordState,
    /// All that is kept.
    pub record: Registration,
}

/// A namespace provider of the catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Provider {
    /// The namespace provider.
    pub guid: Guid,
    /// Display name.
    pub name: String,
    /// Place in the order of calls.
    pub order: u32,
    /// Whether calls may go to it.
    pub enabled: bool,
    /// Whether a driver that provides it is attached.
    pub attached: bool,
    /// Version of the implementation.
    pub version: u32,
    /// The installation blob.
    pub blob: Vec<u8>,
}

impl Provider {
    /// The owned form of an entry in a reply.
    #[must_use]
    pub fn new(entry: &ProviderEntry<'_>) -> Self {
        Self {
            guid: entry.provider,
            name: entry.identifier.chars().collect(),
            order: entry.order,
            enabled: entry.flags.contains(ProviderFlags::ENABLED),
            attached: entry.flags.contains(ProviderFlags::ATTACHED),
            version: entry.version,
            blob: entry.blob.to_vec(),
        }
    }

    /// What the blob says, if it is sound.
    #[must_use]
    pub fn installation(&self) -> Option<InstallationBlob<'_>> {
        InstallationBlob::parse(&self.blob).ok()
    }

    /// The domains that it claims.
    #[must_use]
    pub fn domains(&self) -> Vec<(String, Level)> {
        let spelled = |claim: Claim<'_>| (claim.name.chars().collect(), claim.level);
        self.installation()
            .map(|blob| blob.claims().map(spelled).collect())
            .unwrap_or_default()
    }
}

/// The word for a level.
#[must_use]
pub const fn level_name(level: Level) -> &'static str {
    match level {
        Level::None => "none",
        Level::Secondary => "secondary",
        Level::Primary => "primary",
    }
}

/// The word for a tier.
#[must_use]
pub const fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Directed => "directed",
        Tier::Primary => "primary",
        Tier::Secondary => "secondary",
        Tier::Wildcard => "wildcard",
    }
}

/// The word for a state.
#[must_use]
pub const fn state_name(state: RecordState) -> &'static str {
    match state {
        RecordState::Registered => "registered",
        RecordState::Deregistered => "deregistered",
    }
}
