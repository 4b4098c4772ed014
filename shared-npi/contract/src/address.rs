//! Mail addresses as names of objects, and their domains (decisions 21 to 23).
//!
//! An address is split at its last `@`. The local part has 1 to 64 units, the domain 1 to 255. The
//! local part may hold quoted words, in which spaces and `@` may stand; outside of quotes neither
//! may. Controls, DEL and NUL stand nowhere. `*` is an ordinary character. The domain has no empty
//! label, but may end in one dot, which means nothing.

mod plain;

use core::fmt;

use crate::codes::WsaCode;
use crate::limits;
use crate::text::{Text, fold};

/// A valid mail address.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    text: Text<'a>,
    local: Text<'a>,
    domain: Domain<'a>,
}

/// A valid domain, without the dot that may have ended it.
///
/// Domains are equal without regard to case. No domain belongs to another: `mail.example.com` is
/// not part of `example.com` here.
#[derive(Clone, Copy, Debug)]
pub struct Domain<'a>(Text<'a>);

/// Why a text is no mail address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no `@`: not a name of this namespace at all.
    NoAt,
    /// Nothing stands before the last `@`.
    EmptyLocalPart,
    /// The local part is longer than 64 units.
    LocalPartTooLong,
    /// A control character, DEL, an unquoted space or an unquoted `@`.
    BadCharacterInLocalPart,
    /// A quoted word does not end, begins or ends inside a word, or ends in a lone backslash.
    BadQuoting,
    /// The domain is wrong.
    Domain(DomainError),
}

/// Why a text is no domain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DomainError {
    /// Nothing is there.
    Empty,
    /// Longer than 255 units.
    TooLong,
    /// A control character, DEL, a space or `@`, at this unit.
    BadCharacter(usize),
    /// A leading dot or two dots in a row, at this unit.
    EmptyLabel(usize),
}

impl AddressError {
    /// What a look-up for such a name answers: another namespace may know a name without `@`.
    #[must_use]
    pub const fn lookup_code(self) -> WsaCode {
        match self {
            Self::NoAt => WsaCode::WSASERVICE_NOT_FOUND,
            _ => WsaCode::WSAEINVAL,
        }
    }

    /// What a change of such a name answers.
    #[must_use]
    pub const fn set_code(self) -> WsaCode {
        WsaCode::WSAEINVAL
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAt => f.write_str("no '@' in the address"),
            Self::EmptyLocalPart => f.write_str("nothing before the '@'"),
            Self::LocalPartTooLong => f.write_str("the part before the '@' is longer than 64"),
            Self::BadCharacterInLocalPart => {
                f.write_str("a control character, or a space or '@' outside of quotes, before the last '@'")
            }
            Self::BadQuoting => f.write_str("the quotes before the '@' do not enclose whole words"),
            Self::Domain(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for AddressError {}

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the domain is empty"),
            Self::TooLong => f.write_str("the domain is longer than 255"),
            Self::BadCharacter(_) => f.write_str("a control character or a space in the domain"),
            Self::EmptyLabel(_) => f.write_str("the domain has an empty label"),
        }
    }
}

impl core::error::Error for DomainError {}

impl<'a> Address<'a> {
    /// Reads an address.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: Text<'a>) -> Result<Self, AddressError> {
        let plain = plain::places(text).and_then(|(at, end)| text.around(at, end));
        plain.map_or_else(
            || Self::parse_by_rule(text),
            |(local, domain)| {
                let domain = Domain(domain);
                Ok(Self { text, local, domain })
            },
        )
    }

    /// The domain of an address.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn domain_of(text: Text<'a>) -> Result<Domain<'a>, AddressError> {
        let plain = plain::places(text).and_then(|(at, end)| text.part(at.checked_add(1)?, end));
        plain.map_or_else(
            || Self::parse_by_rule(text).map(|address| address.domain),
            |domain| Ok(Domain(domain)),
        )
    }

    /// Whether the text is an address.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn check(text: Text<'a>) -> Result<(), AddressError> {
        if plain::places(text).is_some() {
            return Ok(());
        }
        Self::parse_by_rule(text).map(drop)
    }

    fn parse_by_rule(text: Text<'a>) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once(b'@').ok_or(AddressError::NoAt)?;
        check_local_part(local)?;
        let domain = Domain::parse(domain).map_err(AddressError::Domain)?;
        Ok(Self { text, local, domain })
    }

    /// The whole address as it is spelled.
    #[must_use]
    pub const fn text(&self) -> Text<'a> {
        self.text
    }

    /// What stands before the last `@`.
    #[must_use]
    pub const fn local(&self) -> Text<'a> {
        self.local
    }

    /// What stands after the last `@`.
    #[must_use]
    pub const fn domain(&self) -> Domain<'a> {
        self.domain
    }

    /// The units by which the address is compared: upcased, without a dot at the end.
    ///
    /// At most [`limits::NAME`] of them.
    pub fn key_units(&self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        self.local
            .folded_units()
            .chain(core::iter::once(u16::from(b'@')))
            .chain(self.domain.key_units())
    }

    /// Number of [`Self::key_units`].
    #[must_use]
    pub const fn key_len(&self) -> usize {
        self.local
            .len()
            .saturating_add(1)
            .saturating_add(self.domain.0.len())
    }

    /// Whether both are the same name.
    #[must_use]
    pub fn same_name(&self, other: &Address<'_>) -> bool {
        self.key_len() == other.key_len() && self.key_units().eq(other.key_units())
    }
}

fn check_local_part(local: Text<'_>) -> Result<(), AddressError> {
    if local.is_empty() {
        return Err(AddressError::EmptyLocalPart);
    }
    if local.len() > limits::LOCAL_PART {
        return Err(AddressError::LocalPartTooLong);
    }
    let mut place = Place::WordStart;
    for unit in local.units() {
        if is_control(unit) {
            return Err(AddressError::BadCharacterInLocalPart);
        }
        place = match (place, u8::try_from(unit).unwrap_or(b'x')) {
            (Place::Quoted, b'\\') => Place::Escaped,
            (Place::Quoted, b'"') => Place::QuoteEnd,
            (Place::Quoted | Place::Escaped, _) | (Place::WordStart, b'"') => Place::Quoted,
            (_, b' ' | b'@') => return Err(AddressError::BadCharacterInLocalPart),
            (_, b'.') => Place::WordStart,
            (Place::QuoteEnd, _) | (_, b'"') => return Err(AddressError::BadQuoting),
            _ => Place::Word,
        };
    }
    match place {
        Place::Quoted | Place::Escaped => Err(AddressError::BadQuoting),
        _ => Ok(()),
    }
}

/// Where in a local part the next unit stands.
#[derive(Clone, Copy)]
enum Place {
    WordStart,
    Word,
    Quoted,
    Escaped,
    QuoteEnd,
}

/// Whether the unit is a C0 control or DEL.
const fn is_control(unit: u16) -> bool {
    unit < 0x20 || unit == 0x7F
}

impl<'a> Domain<'a> {
    /// Reads a domain; one dot at its end is dropped.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: Text<'a>) -> Result<Self, DomainError> {
        if text.is_empty() {
            return Err(DomainError::Empty);
        }
        if text.len() > limits::DOMAIN {
            return Err(DomainError::TooLong);
        }
        let bare = text.without_suffix(b'.');
        let mut label_is_empty = true;
        for (index, unit) in bare.units().enumerate() {
            if is_control(unit) || unit == u16::from(b' ') || unit == u16::from(b'@') {
                return Err(DomainError::BadCharacter(index));
            }
            let dot = unit == u16::from(b'.');
            if dot && label_is_empty {
                return Err(DomainError::EmptyLabel(index));
            }
            label_is_empty = dot;
        }
        if label_is_empty {
            return Err(DomainError::EmptyLabel(bare.len()));
        }
        Ok(Self(bare))
    }

    /// The domain as it is spelled, without a dot at its end.
    #[must_use]
    pub const fn text(&self) -> Text<'a> {
        self.0
    }

    /// The units by which domains are compared.
    pub fn key_units(&self) -> impl ExactSizeIterator<Item = u16> + Clone + use<'a> {
        self.0.units().map(fold)
    }
}

impl PartialEq for Domain<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_folded(&other.0)
    }
}

impl Eq for Domain<'_> {}

impl fmt::Display for Domain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}
