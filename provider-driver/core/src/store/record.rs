//! One version of an object, packed into bytes that never change.
//!
//! The same bytes stand in memory and in the journal. All integers are little-endian:
//!
//! | size | field |
//! |---|---|
//! | 2 | flags: 1 deregistered, 2 version, 4 comment, 8 blob, 16 narrow |
//! | 2 | UTF-16 units of the name |
//! | 2 | units of the context |
//! | 2 | units of the comment |
//! | 2 | number of addresses |
//! | 2 | zero |
//! | 4 | bytes of the blob |
//! | 4 | the version, only with its flag |
//! | | name, context, comment, blob |
//! | | addresses in normal form, each as [`pack_address`] writes it |
//!
//! In a narrow record all texts are ASCII, and have one byte for each unit; otherwise they have two. What is packed
//! here is narrow if it can be.

use core::cmp::Ordering;

use nsemail_contract::address::Address;
use nsemail_contract::bytes::{Writer, slice_at, u16_at, u32_at};
use nsemail_contract::guid::Guid;
use nsemail_contract::ids;
use nsemail_contract::limits;
use nsemail_contract::queryset::{Addresses, QuerySet, Version, pack_address};
use nsemail_contract::sockaddr::{CsAddr, NormalCsAddr};
use nsemail_contract::text::Text;
use pool_alloc::{Allocator, OutOfMemory, Vec};
use pool_table::{Packed, PackedRef};

use super::key::Key;

const FIXED: usize = 16;
/// Bytes of the longest packed address.
const ADDRESS_MAX: usize = 10 + 2 * limits::SOCKADDR_MAX;

const DEREGISTERED: u16 = 1;
const VERSION: u16 = 2;
const COMMENT: u16 = 4;
const BLOB: u16 = 8;
const NARROW: u16 = 16;

/// Bytes of a text.
#[inline]
fn size_of(flags: u16, units: u16) -> usize {
    usize::from(units).wrapping_mul(if flags & NARROW == 0 { 2 } else { 1 })
}

/// A text as it stands in a record.
#[inline]
fn stored(flags: u16, bytes: &[u8]) -> Text<'_> {
    if flags & NARROW == 0 {
        Text::from_stored_bytes(bytes)
    } else {
        Text::from_stored_ascii(bytes)
    }
}

/// The state that flags say.
const fn state(flags: u16) -> State {
    if flags & DEREGISTERED == 0 {
        State::Registered
    } else {
        State::Deregistered
    }
}

/// Whether an object has been taken out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Look-ups find it.
    Registered,
    /// The object exists, but look-ups find no data.
    Deregistered,
}

/// What a record says, borrowed. A context that is absent is the empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The mail address as it was registered.
    pub name: Text<'a>,
    /// The context, which is the service name in this namespace.
    pub context: Text<'a>,
    /// Whether look-ups find it.
    pub state: State,
    /// Its version, if one was given.
    pub version: Option<u32>,
    /// Its comment, if one was given.
    pub comment: Option<Text<'a>>,
    /// Its opaque data, if some was given.
    pub blob: Option<&'a [u8]>,
}

/// An immutable version of an object. Clones share it.
#[derive(Debug)]
pub struct Record<A: Allocator> {
    bytes: Packed<A>,
}

impl<A: Allocator> Clone for Record<A> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
        }
    }
}

/// A record has more of something than its format can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A text, the blob or the number of addresses is too long.
    TooLong,
    /// No memory.
    OutOfMemory,
}

impl From<OutOfMemory> for EncodeError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl<A: Allocator + Clone> Record<A> {
    /// Packs a record of those fields and addresses.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`].
    pub fn try_new_in(fields: &Fields<'_>, addresses: &AddressSet<A>, alloc: A) -> Result<Self, EncodeError> {
        let comment = fields.comment.unwrap_or_default();
        let blob = fields.blob.unwrap_or_default();
        let texts = [fields.name, fields.context, comment];
        let narrow = texts.iter().all(|text| text.units().all(|unit| unit < 0x80));
        let size = texts
            .iter()
            .fold(addresses.bytes.len().saturating_add(blob.len()), |size, text| {
                size.saturating_add(text.len().saturating_mul(if narrow { 1 } else { 2 }))
            });
        let mut bytes = Vec::try_with_capacity_in(size.saturating_add(FIXED + 4), alloc.clone())?;

        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        let flags = flag(fields.state == State::Deregistered, DEREGISTERED)
            | flag(fields.version.is_some(), VERSION)
            | flag(fields.comment.is_some(), COMMENT)
            | flag(fields.blob.is_some(), BLOB)
            | flag(narrow, NARROW);
        bytes.try_extend_from_slice(&flags.to_le_bytes())?;
        for text in texts {
            let units = u16::try_from(text.len()).map_err(|_| EncodeError::TooLong)?;
            bytes.try_extend_from_slice(&units.to_le_bytes())?;
        }
        bytes.try_extend_from_slice(&addresses.count.to_le_bytes())?;
        bytes.try_extend_from_slice(&[0, 0])?;
        let length = u32::try_from(blob.len()).map_err(|_| EncodeError::TooLong)?;
        bytes.try_extend_from_slice(&length.to_le_bytes())?;
        if let Some(version) = fields.version {
            bytes.try_extend_from_slice(&version.to_le_bytes())?;
        }
        for text in texts {
            for unit in text.units() {
                let unit = unit.to_le_bytes();
                bytes.try_extend_from_slice(unit.get(..if narrow { 1 } else { 2 }).unwrap_or(&unit))?;
            }
        }
        bytes.try_extend_from_slice(blob)?;
        bytes.try_extend_from_slice(&addresses.bytes)?;
        Ok(Self {
            bytes: Packed::try_new_in(&bytes, alloc)?,
        })
    }

    /// Takes bytes that were read back from a journal.
    ///
    /// # Errors
    ///
    /// No memory; `Ok(None)` if they are no record.
    pub fn try_from_bytes_in(bytes: &[u8], alloc: A) -> Result<Option<Self>, OutOfMemory> {
        if RecordRef::parse(bytes).is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            bytes: Packed::try_new_in(bytes, alloc)?,
        }))
    }
}

impl<A: Allocator> Record<A> {
    /// What a record takes beside its packed bytes.
    pub const HEAD: usize = Packed::<A>::HEAD;

    /// A further owner of a version in a table.
    pub(super) fn shared(entry: PackedRef<'_, A>) -> Self {
        Self { bytes: entry.share() }
    }

    /// The version as a table holds it.
    pub(super) fn into_packed(self) -> Packed<A> {
        self.bytes
    }

    /// The packed bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the record says.
    #[must_use]
    pub fn view(&self) -> RecordRef<'_> {
        // Only well-formed bytes become a record, so the empty view is never seen.
        RecordRef::read(&self.bytes).unwrap_or(RecordRef::EMPTY)
    }

    /// The order of two records: by folded name, then by folded context.
    // Never inlined: sorting would inline it dozens of times, and taking records apart is long.
    #[inline(never)]
    #[must_use]
    pub fn cmp_name(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.view(), other.view());
        let [left, right] = [ours, theirs].map(|record| record.name().without_suffix(b'.'));
        let names = left.cmp_folded(&right);
        names.then_with(|| ours.context().cmp_folded(&theirs.context()))
    }
}

/// A record's key, as it stands there.
#[derive(Clone, Copy)]
pub(super) struct PackedKey<'a> {
    /// One byte for each unit, not two.
    pub(super) narrow: bool,
    pub(super) name: &'a [u8],
    pub(super) context: &'a [u8],
}

impl<'a> PackedKey<'a> {
    /// The key, for all but comparing.
    pub(super) fn key(self) -> Key<'a> {
        let flags = if self.narrow { NARROW } else { 0 };
        Key::new(stored(flags, self.name), stored(flags, self.context))
    }
}

/// A record's bytes, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    fields: Fields<'a>,
    count: u16,
    addresses: &'a [u8],
}

impl<'a> RecordRef<'a> {
    pub(super) const EMPTY: Self = Self {
        fields: Fields {
            name: Text::EMPTY,
            context: Text::EMPTY,
            state: State::Deregistered,
            version: None,
            comment: None,
            blob: None,
        },
        count: 0,
        addresses: &[],
    };

    /// Takes bytes apart and checks all that a record promises: a valid name, well-formed texts, whole addresses.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let view = Self::read(bytes)?;
        let flags = u16_at(bytes, 0)?;
        let texts = [
            view.name(),
            view.context(),
            view.fields.comment.unwrap_or_default(),
        ];
        let well_formed = if flags & NARROW == 0 {
            let mut letters = texts.iter().flat_map(|text| char::decode_utf16(text.units()));
            letters.all(|letter| letter.is_ok_and(|letter| letter != '\0'))
        } else {
            // They stand one after the other.
            let start = if flags & VERSION == 0 { FIXED } else { FIXED + 4 };
            let letters = slice_at(bytes, start, texts.iter().map(Text::len).sum())?;
            letters.iter().all(|letter| matches!(letter, 1..0x80))
        };
        if !well_formed {
            return None;
        }
        Address::parse(view.name()).ok()?;
        let addresses = Addresses::packed(view.addresses).ok()?;
        let normal = |address: CsAddr<'_>| {
            address
                .normalize()
                .is_ok_and(|normal| normal.as_cs_addr() == address)
        };
        (addresses.len() == usize::from(view.count) && addresses.iter().all(normal)).then_some(view)
    }

    /// The key of a record that was packed here: a look-up needs no more of those that it passes.
    #[inline]
    pub(super) fn key(bytes: &'a [u8]) -> Option<PackedKey<'a>> {
        let ([f0, f1, n0, n1, c0, c1, ..], _) = bytes.split_first_chunk::<FIXED>()?;
        let flags = u16::from_le_bytes([*f0, *f1]);
        let name = size_of(flags, u16::from_le_bytes([*n0, *n1]));
        let context = size_of(flags, u16::from_le_bytes([*c0, *c1]));
        let rest = bytes.get(if flags & VERSION == 0 { FIXED } else { FIXED + 4 }..)?;
        let (name, rest) = rest.split_at_checked(name)?;
        Some(PackedKey {
            narrow: flags & NARROW != 0,
            name,
            context: rest.get(..context)?,
        })
    }

    /// Number of addresses of a record that was packed here.
    pub(super) fn count(bytes: &[u8]) -> u16 {
        u16_at(bytes, 8).unwrap_or(0)
    }

    /// The state of a record that was packed here.
    pub(super) fn state_of(bytes: &[u8]) -> State {
        state(u16_at(bytes, 0).unwrap_or(DEREGISTERED))
    }

    /// Takes apart bytes that were packed here.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let flags = u16_at(bytes, 0)?;
        if flags & !(DEREGISTERED | VERSION | COMMENT | BLOB | NARROW) != 0 || u16_at(bytes, 10)? != 0 {
            return None;
        }
        let has = |flag: u16| flags & flag != 0;
        let mut at = FIXED;
        let version = if has(VERSION) {
            Some(u32_at(bytes, at)?)
        } else {
            None
        };
        at = at.checked_add(if has(VERSION) { 4 } else { 0 })?;
        let mut take = |length: usize| {
            let taken = slice_at(bytes, at, length)?;
            at = at.checked_add(length)?;
            Some(taken)
        };
        let mut text = |offset: usize| take(size_of(flags, u16_at(bytes, offset)?));
        let (name, context, comment) = (text(2)?, text(4)?, text(6)?);
        let blob = take(usize::try_from(u32_at(bytes, 12)?).ok()?)?;
        if (!has(COMMENT) && !comment.is_empty()) || (!has(BLOB) && !blob.is_empty()) {
            return None;
        }
        Some(Self {
            fields: Fields {
                name: stored(flags, name),
                context: stored(flags, context),
                state: state(flags),
                version,
                comment: has(COMMENT).then(|| stored(flags, comment)),
                blob: has(BLOB).then_some(blob),
            },
            count: u16_at(bytes, 8)?,
            addresses: bytes.get(at..)?,
        })
    }

    /// All but the addresses.
    #[must_use]
    pub const fn fields(&self) -> Fields<'a> {
        self.fields
    }

    /// The mail address as it was registered.
    #[must_use]
    pub const fn name(&self) -> Text<'a> {
        self.fields.name
    }

    /// The context.
    #[must_use]
    pub const fn context(&self) -> Text<'a> {
        self.fields.context
    }

    /// Whether look-ups find it.
    #[must_use]
    pub const fn state(&self) -> State {
        self.fields.state
    }

    /// All that the record says, as the contract has it, of that provider.
    #[must_use]
    pub fn query_set(&self, provider: Guid) -> QuerySet<'a> {
        let fields = self.fields;
        QuerySet {
            name: Some(fields.name),
            version: fields.version.map(|version| Version {
                version,
                comparator: 0,
            }),
            comment: fields.comment,
            namespace: ids::NS_EMAIL,
            provider: Some(provider),
            context: Some(fields.context).filter(|context| !context.is_empty()),
            addresses: self.addresses(),
            blob: fields.blob,
            ..QuerySet::default()
        }
    }

    /// Number of addresses.
    #[must_use]
    pub const fn address_count(&self) -> u16 {
        self.count
    }

    /// The addresses in the order of their registration.
    #[must_use]
    pub const fn addresses(&self) -> Addresses<'a> {
        Addresses::packed_before(self.addresses, self.count as usize)
    }
}

/// Addresses in normal form, each at most once, in the order in which they came.
#[derive(Debug)]
pub struct AddressSet<A: Allocator> {
    bytes: Vec<u8, A>,
    count: u16,
}

impl<A: Allocator> AddressSet<A> {
    /// No addresses.
    pub const fn new_in(alloc: A) -> Self {
        Self {
            bytes: Vec::new_in(alloc),
            count: 0,
        }
    }

    /// Adds an address; gives whether it was not there yet.
    ///
    /// # Errors
    ///
    /// No memory, or too many; the set is as before.
    pub fn try_insert(&mut self, address: &NormalCsAddr) -> Result<bool, EncodeError> {
        if self
            .addresses()
            .iter()
            .any(|present| present == address.as_cs_addr())
        {
            return Ok(false);
        }
        let count = self.count.checked_add(1).ok_or(EncodeError::TooLong)?;
        let mut packed = [0; ADDRESS_MAX];
        let mut writer = Writer::new(&mut packed);
        pack_address(address, &mut writer);
        let size = writer.finish().map_err(|_| EncodeError::TooLong)?;
        self.bytes
            .try_extend_from_slice(packed.get(..size).ok_or(EncodeError::TooLong)?)?;
        self.count = count;
        Ok(true)
    }

    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> Addresses<'_> {
        Addresses::packed_before(&self.bytes, usize::from(self.count))
    }

    /// Number of addresses.
    #[must_use]
    pub const fn len(&self) -> u16 {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}
