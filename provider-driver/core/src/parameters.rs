//! The driver's registry key.
//!
//! | value of `Parameters` | type | meaning, and what it is if absent |
//! |---|---|---|
//! | `Durability` | DWORD | 0: changes are answered when written, and made durable when the driver stops; 1 |
//! | `MaxObjects` | DWORD | objects of one provider; 16,000,000 |
//! | `MaxStoreMegabytes` | DWORD | size of one provider's records; 4096 |
//! | `MaxContextsPerName` | DWORD | 64 |
//! | `MaxAddressesPerObject` | DWORD | at most 64, which is the interface's own cap; 64 |
//! | `MaxBlobBytes` | DWORD | at most 65536, which is the interface's own cap; 65536 |
//! | `MaxSessions` | DWORD | sessions of one client; 65,536 |
//! | `MaxLookupsPerSession` | DWORD | 1024 |
//! | `MaxPendingChanges` | DWORD | changes of one provider that wait for its journal; 65,536 |
//! | `MaxProviders` | DWORD | hosted providers beyond which none is installed; 64 |
//! | `EventRing` | DWORD | events that are kept; 1024 |
//! | `CompactionPercent` | DWORD | see below; 200, at least 110 |
//! | `CompactionSlackKilobytes` | DWORD | see below; 1024 |
//! | `CompactionPieceBytes` | DWORD | see below; 1,048,576, at most 4,194,304 |
//!
//! A journal is written anew, while it is used, when it is longer than `CompactionPercent` of the records in its store
//! and `CompactionSlackKilobytes`. It is written in pieces of about `CompactionPieceBytes`; a change waits for one of
//! them at most.
//!
//! Each key `Parameters\Providers\{GUID}` is one hosted provider: `Identifier` (SZ, its display name), `Blob` (BINARY,
//! its installation blob), `Enabled` (DWORD, 1 if absent), `PreferredName` (SZ, the address that it publishes as its
//! own, optional).

use nsemail_contract::address::Address;
use nsemail_contract::blob::InstallationBlob;
use nsemail_contract::guid::Guid;
use nsemail_contract::limits;
use nsemail_contract::text::Text;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::registry::Key;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::utf16;
use pool_alloc::Vec;

use crate::memory::Memory;
use crate::store::Limits;

/// What the driver was configured to do.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A change is answered only when it is durable.
    pub durable: bool,
    /// Caps of each store.
    pub store: Limits,
    /// Sessions of one client.
    pub sessions: usize,
    /// Look-ups of one session.
    pub lookups: usize,
    /// Changes of one provider that wait for its journal.
    pub pending: usize,
    /// Hosted providers beyond which none is installed.
    pub providers: usize,
    /// Events that are kept.
    pub events: usize,
    /// When a journal is written anew.
    pub compaction: Compaction,
}

/// When a journal is written anew: if it is longer than a share of the live records, and some bytes.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// The share.
    pub percent: u32,
    /// The bytes.
    pub slack: u64,
    /// About so many bytes are written at a time.
    pub piece: usize,
}

impl Compaction {
    /// Whether a journal is too long.
    pub const fn is_due(self, journal: u64, live: u64) -> bool {
        let share = live.saturating_mul(self.percent as u64) / 100;
        journal > share.saturating_add(self.slack)
    }
}

impl Settings {
    /// Reads the values; one that is absent, of another type or zero is as if it were not there.
    pub fn read(key: Option<&Key>, passive: Passive<'_>) -> Self {
        let number = |name: &[u16], otherwise: u32| {
            let value = key.and_then(|key| key.dword(passive, name).ok().flatten());
            value.filter(|&value| value != 0).unwrap_or(otherwise)
        };
        let durability = key.and_then(|key| key.dword(passive, utf16!("Durability")).ok().flatten());
        let default = Limits::DEFAULT;
        let addresses = number(utf16!("MaxAddressesPerObject"), default.addresses.into());
        Self {
            durable: durability != Some(0),
            store: Limits {
                records: number(utf16!("MaxObjects"), 16_000_000).into(),
                bytes: u64::from(number(utf16!("MaxStoreMegabytes"), 4096)).saturating_mul(1 << 20),
                contexts: number(utf16!("MaxContextsPerName"), default.contexts),
                addresses: u16::try_from(addresses)
                    .unwrap_or(u16::MAX)
                    .min(default.addresses),
                blob: number(utf16!("MaxBlobBytes"), default.blob).min(default.blob),
            },
            sessions: number(utf16!("MaxSessions"), 65_536) as usize,
            lookups: number(utf16!("MaxLookupsPerSession"), 1024) as usize,
            pending: number(utf16!("MaxPendingChanges"), 65_536) as usize,
            providers: number(utf16!("MaxProviders"), 64) as usize,
            events: number(utf16!("EventRing"), 1024).min(65_536) as usize,
            compaction: Compaction {
                percent: number(utf16!("CompactionPercent"), 200).max(110),
                slack: u64::from(number(utf16!("CompactionSlackKilobytes"), 1024)).saturating_mul(1 << 10),
                piece: number(utf16!("CompactionPieceBytes"), 1 << 20).min(4 << 20) as usize,
            },
        }
    }
}

/// One hosted provider, as its key describes it.
#[derive(Debug)]
pub struct Entry {
    /// The namespace provider.
    pub provider: Guid,
    /// Its display name.
    pub identifier: Vec<u16, Memory>,
    /// Its installation blob, which is well-formed.
    pub blob: Vec<u8, Memory>,
    /// The address that it publishes as its own.
    pub preferred: Option<Vec<u16, Memory>>,
}

/// Why an entry is not hosted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// An administrator switched it off.
    Disabled,
    /// This is wrong with it.
    Malformed(&'static str),
    /// The registry's answer.
    Status(NtStatus),
}

impl From<NtStatus> for Skipped {
    fn from(status: NtStatus) -> Self {
        match status {
            NtStatus::OBJECT_TYPE_MISMATCH => Self::Malformed("a value has the wrong type"),
            status => Self::Status(status),
        }
    }
}

/// Reads one hosted provider's key.
///
/// # Errors
///
/// Why it is not to be hosted.
pub fn read_entry(key: &Key, provider: Guid, passive: Passive<'_>) -> Result<Entry, Skipped> {
    if key.dword(passive, utf16!("Enabled"))? == Some(0) {
        return Err(Skipped::Disabled);
    }
    let identifier = key.string(passive, utf16!("Identifier"), Memory::default())?;
    let identifier = identifier.ok_or(Skipped::Malformed("there is no Identifier"))?;
    if identifier.is_empty()
        || identifier.len() > limits::IDENTIFIER
        || Text::from_units(&identifier).is_err()
    {
        return Err(Skipped::Malformed("Identifier is no text of 1 to 256 units"));
    }
    let blob = key.binary(passive, utf16!("Blob"), Memory::default())?;
    let blob = blob.ok_or(Skipped::Malformed("there is no Blob"))?;
    if InstallationBlob::parse(&blob).is_err() {
        return Err(Skipped::Malformed("Blob is no valid installation blob"));
    }
    let preferred = key.string(passive, utf16!("PreferredName"), Memory::default())?;
    if let Some(name) = &preferred {
        let address = Text::from_units(name)
            .ok()
            .and_then(|text| Address::parse(text).ok());
        address.ok_or(Skipped::Malformed("PreferredName is no mail address"))?;
    }
    Ok(Entry {
        provider,
        identifier,
        blob,
        preferred,
    })
}
