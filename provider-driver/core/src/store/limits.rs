//! How much a store takes.

use nsemail_contract::limits;

/// Caps of one store. Each is configurable downwards from what the interface allows at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects in the store.
    pub records: u64,
    /// Bytes of all objects' packed records.
    pub bytes: u64,
    /// Contexts of one name.
    pub contexts: u32,
    /// Addresses of one object.
    pub addresses: u16,
    /// Bytes of one blob.
    pub blob: u32,
}

impl Limits {
    /// What a store takes unless it is configured otherwise.
    #[expect(clippy::cast_possible_truncation, reason = "the interface's caps are small")]
    pub const DEFAULT: Self = Self {
        records: 16_000_000,
        bytes: 4 << 30,
        contexts: 64,
        addresses: limits::ADDRESSES as u16,
        blob: limits::BLOB as u32,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
