//! Text: borrowed, well-formed UTF-16 without NUL, wherever its units stand.
//!
//! A text may stand as 16-bit units (in the kernel), as little-endian bytes (in a message), as ASCII
//! (in a store), or as UTF-8 (in the tool). Texts compare by their units, so that it makes no difference where they
//! stand.
//!
//! # Folding
//!
//! Names compare without regard to case, by ordinal upcase of single units (decision 22): no
//! locale, no normalisation, never a change of length. A unit is upcased if its upper-case form is
//! one unit that maps back to it. That leaves alone what only looks like a cased letter, such as
//! the dotless i or the long s: no letter outside ASCII ever folds into ASCII.

mod scan;
mod units;

pub use ascii_fold::{STEP as ASCII_STEP, characters_fold_to};
pub use units::Units;

use core::cmp::Ordering;
use core::fmt::{self, Write as _};
use core::hash::{Hash, Hasher};

use crate::bytes::Writer;
use crate::fault::FaultKind;

/// The upper-case form of a unit, or the unit itself. Applying it twice changes nothing more.
#[inline]
#[must_use]
pub fn fold(unit: u16) -> u16 {
    if unit < 0x80 {
        return match unit {
            0x61..=0x7A => unit & !0x20,
            _ => unit,
        };
    }
    fold_beyond_ascii(unit)
}

fn fold_beyond_ascii(unit: u16) -> u16 {
    let Some(letter) = char::from_u32(u32::from(unit)) else {
        return unit;
    };
    let Some(upper) = only(letter.to_uppercase()) else {
        return unit;
    };
    match u16::try_from(u32::from(upper)) {
        Ok(folded) if only(upper.to_lowercase()) == Some(letter) => folded,
        _ => unit,
    }
}

fn only(mut letters: impl Iterator<Item = char>) -> Option<char> {
    let first = letters.next();
    if letters.next().is_some() { None } else { first }
}

/// Well-formed UTF-16 without NUL.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    repr: Repr<'a>,
    /// Length in units; kept because counting UTF-8 is not free.
    length: usize,
}

#[derive(Clone, Copy)]
enum Repr<'a> {
    Units(&'a [u16]),
    /// Always an even number of bytes.
    Bytes(&'a [u8]),
    /// A byte for each unit.
    Narrow(&'a [u8]),
    Utf8(&'a str),
}

/// Why something is no [`Text`], and at which unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TextFault {
    /// `EmbeddedNul`, `LoneSurrogate`, or `BadLength` for half a unit.
    pub kind: FaultKind,
    /// Index of the unit.
    pub unit: usize,
}

impl<'a> Text<'a> {
    /// The empty text.
    pub const EMPTY: Self = Self {
        repr: Repr::Units(&[]),
        length: 0,
    };

    /// A text that stands as units, without terminator.
    ///
    /// # Errors
    /// The first NUL or lone surrogate.
    pub fn from_units(units: &'a [u16]) -> Result<Self, TextFault> {
        Self::from_stored_units(units).validated()
    }

    /// A text that stands as little-endian bytes, without terminator.
    ///
    /// # Errors
    /// The first NUL or lone surrogate, or an odd number of bytes.
    pub fn from_le_bytes(bytes: &'a [u8]) -> Result<Self, TextFault> {
        let length = bytes.len() / 2;
        if !bytes.len().is_multiple_of(2) {
            return Err(TextFault {
                kind: FaultKind::BadLength,
                unit: length,
            });
        }
        Self {
            repr: Repr::Bytes(bytes),
            length,
        }
        .validated()
    }

    /// The text that stands as little-endian bytes at the front of `bytes`, up to its terminator.
    ///
    /// # Errors
    /// `Unterminated`, or the first lone surrogate.
    pub fn from_terminated_bytes(bytes: &'a [u8]) -> Result<Self, TextFault> {
        let unterminated = TextFault {
            kind: FaultKind::Unterminated,
            unit: 0,
        };
        let (length, _) = scan::terminated(bytes).ok_or(unterminated)?;
        let units = bytes.get(..length.saturating_mul(2));
        Self::from_stored_bytes(units.unwrap_or_default()).validated()
    }

    /// As [`Self::from_terminated_bytes`], of a text whose units are all below 0x8000; `None` for any other.
    #[inline]
    pub(crate) fn from_terminated_low(bytes: &'a [u8]) -> Option<Self> {
        let (length, low) = scan::terminated(bytes)?;
        let units = bytes.get(..length.wrapping_mul(2)).filter(|_| low)?;
        Some(Self {
            repr: Repr::Bytes(units),
            length,
        })
    }

    /// A text that stands as UTF-8.
    ///
    /// # Errors
    /// The first NUL.
    #[expect(
        clippy::should_implement_trait,
        reason = "the result borrows, which FromStr cannot express"
    )]
    pub fn from_str(text: &'a str) -> Result<Self, TextFault> {
        if text.is_ascii() && !text.as_bytes().contains(&0) {
            return Ok(Self {
                repr: Repr::Utf8(text),
                length: text.len(),
            });
        }
        let length = text.encode_utf16().count();
        if let Some(unit) = text.encode_utf16().position(|unit| unit == 0) {
            return Err(TextFault {
                kind: FaultKind::EmbeddedNul,
                unit,
            });
        }
        Ok(Self {
            repr: Repr::Utf8(text),
            length,
        })
    }

    /// A text whose units were a [`Text`] before, and need no second look.
    ///
    /// Nothing becomes unsafe if they were not, but what is written may not be read back.
    #[must_use]
    pub const fn from_stored_units(units: &'a [u16]) -> Self {
        Self {
            repr: Repr::Units(units),
            length: units.len(),
        }
    }

    /// Like [`Self::from_stored_units`] for little-endian bytes; half a unit at the end is dropped.
    #[must_use]
    pub fn from_stored_bytes(bytes: &'a [u8]) -> Self {
        let length = bytes.len() / 2;
        let even = bytes.get(..bytes.len() & !1).unwrap_or_default();
        Self {
            repr: Repr::Bytes(even),
            length,
        }
    }

    /// Like [`Self::from_stored_units`] for a text that is all ASCII, and stands as one byte for each unit.
    #[must_use]
    pub const fn from_stored_ascii(characters: &'a [u8]) -> Self {
        Self {
            repr: Repr::Narrow(characters),
            length: characters.len(),
        }
    }

    /// Looks at all units at once: nearly every text has none that need a second look.
    fn validated(self) -> Result<Self, TextFault> {
        let special = |unit: u16| unit == 0 || unit & 0xF800 == 0xD800;
        let some = match self.repr {
            Repr::Units(units) => !scan::is_low(units) && units.iter().copied().any(special),
            Repr::Bytes(bytes) => !scan::is_plain(bytes),
            Repr::Narrow(_) | Repr::Utf8(_) => true,
        };
        if some { self.validated_by_unit() } else { Ok(self) }
    }

    fn validated_by_unit(self) -> Result<Self, TextFault> {
        let mut high = None;
        for (unit, value) in self.units().enumerate() {
            let pairs_up = matches!(value, 0xDC00..=0xDFFF);
            match high.take() {
                Some(start) if !pairs_up => {
                    return Err(TextFault {
                        kind: FaultKind::LoneSurrogate,
                        unit: start,
                    });
                }
                None if pairs_up => {
                    return Err(TextFault {
                        kind: FaultKind::LoneSurrogate,
                        unit,
                    });
                }
                _ => {}
            }
            if value == 0 {
                return Err(TextFault {
                    kind: FaultKind::EmbeddedNul,
                    unit,
                });
            }
            if matches!(value, 0xD800..=0xDBFF) {
                high = Some(unit);
            }
        }
        high.map_or(Ok(self), |unit| {
            Err(TextFault {
                kind: FaultKind::LoneSurrogate,
                unit,
            })
        })
    }

    /// Length in UTF-16 units.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no units.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The UTF-16 units.
    #[must_use]
    pub fn units(&self) -> Units<'a> {
        Units::of(self)
    }

    /// The units, upcased as names are compared.
    pub fn folded_units(&self) -> impl ExactSizeIterator<Item = u16> + Clone + use<'a> {
        self.units().map(fold)
    }

    /// The characters; a lone surrogate, which no validated text has, shows as U+FFFD.
    pub fn chars(&self) -> impl Iterator<Item = char> + Clone + use<'a> {
        char::decode_utf16(self.units()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The order of the texts without regard to case, unit by unit.
    #[must_use]
    pub fn cmp_folded(&self, other: &Self) -> Ordering {
        self.folded_units().cmp(other.folded_units())
    }

    /// Whether the texts are equal without regard to case.
    #[must_use]
    pub fn eq_folded(&self, other: &Self) -> bool {
        let unit = |pair: &[u8; 2]| u16::from_le_bytes(*pair);
        let wide = |character: &u8| u16::from(*character);
        self.length == other.length
            && match (self.repr, other.repr) {
                _ if self.length == 0 => true,
                (Repr::Units(left), Repr::Units(right)) => {
                    same_folded(left.iter().copied().zip(right.iter().copied()))
                }
                (Repr::Units(units), Repr::Bytes(bytes)) | (Repr::Bytes(bytes), Repr::Units(units)) => {
                    same_folded(units.iter().copied().zip(pairs(bytes).iter().map(unit)))
                }
                (Repr::Bytes(left), Repr::Bytes(right)) => {
                    same_folded(pairs(left).iter().map(unit).zip(pairs(right).iter().map(unit)))
                }
                (Repr::Narrow(left), Repr::Units(right)) | (Repr::Units(right), Repr::Narrow(left)) => {
                    same_folded(left.iter().map(wide).zip(right.iter().copied()))
                }
                (Repr::Narrow(left), Repr::Bytes(right)) | (Repr::Bytes(right), Repr::Narrow(left)) => {
                    same_folded(left.iter().map(wide).zip(pairs(right).iter().map(unit)))
                }
                _ => self.folded_units().eq(other.folded_units()),
            }
    }

    /// How the text stands; as characters if it is UTF-8 and all ASCII.
    const fn standing(&self) -> Repr<'a> {
        match self.repr {
            // As many bytes as units: all are ASCII.
            Repr::Utf8(text) if text.len() == self.length => Repr::Narrow(text.as_bytes()),
            other => other,
        }
    }

    /// Writes the text to the front of `out` as names are compared: upcased, a byte for each unit. Answers it with zeros
    /// behind it up to a multiple of [`ASCII_STEP`]. `None` if it is not all ASCII, or `out` has no room for that.
    #[must_use]
    pub fn fold_ascii<'b>(&self, out: &'b mut [u8]) -> Option<&'b [u8]> {
        match self.repr {
            Repr::Narrow(characters) => ascii_fold::fold_characters(characters, out),
            Repr::Units(units) => ascii_fold::fold_units(units, out),
            Repr::Bytes(bytes) => ascii_fold::fold_pairs(pairs(bytes), out),
            Repr::Utf8(text) => ascii_fold::fold_characters(text.as_bytes(), out),
        }
    }

    /// Whether the text, folded, is the one that [`Self::fold_ascii`] wrote, without the zeros.
    #[must_use]
    pub fn folds_to_ascii(&self, folded: &[u8]) -> bool {
        match self.repr {
            Repr::Narrow(characters) => characters_fold_to(characters, folded),
            Repr::Units(units) => ascii_fold::units_fold_to(units, folded),
            Repr::Bytes(bytes) => ascii_fold::pairs_fold_to(pairs(bytes), folded),
            Repr::Utf8(text) => characters_fold_to(text.as_bytes(), folded),
        }
    }

    /// Copies the units to the front of `out`; answers how many, or `None` if they do not fit.
    pub fn copy_to(&self, out: &mut [u16]) -> Option<usize> {
        let place = out.get_mut(..self.length)?;
        if let Repr::Units(units) = self.repr {
            place.copy_from_slice(units);
        } else {
            let mut places = place.iter_mut();
            self.units().for_each(|unit| {
                if let Some(to) = places.next() {
                    *to = unit;
                }
            });
        }
        Some(self.length)
    }

    /// Writes the units as little-endian bytes, without terminator.
    pub fn write_to(&self, writer: &mut Writer<'_>) {
        // In one piece, if it fits; else it is only counted.
        if let Some(place) = writer.place(self.length.saturating_mul(2)) {
            self.lay_out(place);
        }
    }

    /// Writes the units as little-endian bytes, a terminator, and zeros up to a multiple of 8 bytes. The writer stands at
    /// such a multiple, as behind all that a query set has.
    pub(crate) fn write_terminated_to(&self, writer: &mut Writer<'_>) {
        let length = self.length.saturating_mul(2);
        let Some(place) = writer.place(length.saturating_add(2).saturating_add(7) & !7) else {
            return;
        };
        if let Some(last) = place.last_chunk_mut() {
            *last = [0; 8];
        }
        self.lay_out(place.get_mut(..length).unwrap_or_default());
    }

    /// Writes the units as little-endian bytes to `place`, which has room for just these.
    fn lay_out(&self, place: &mut [u8]) {
        match self.standing() {
            Repr::Narrow(characters) => scan::widen(characters, place),
            Repr::Units(units) => scan::lay_out(units, place),
            Repr::Bytes(bytes) => place.copy_from_slice(bytes),
            Repr::Utf8(_) => {
                let mut places = place.as_chunks_mut().0.iter_mut();
                self.units().for_each(|unit| {
                    if let Some(to) = places.next() {
                        *to = unit.to_le_bytes();
                    }
                });
            }
        }
    }

    /// What stands before and after the last unit that is the ASCII character `separator`.
    #[must_use]
    pub fn rsplit_once(&self, separator: u8) -> Option<(Self, Self)> {
        let index = match self.repr {
            Repr::Units(units) => units.iter().rposition(|unit| *unit == u16::from(separator))?,
            Repr::Bytes(bytes) => pairs(bytes).iter().rposition(|pair| *pair == [separator, 0])?,
            Repr::Narrow(characters) => characters.iter().rposition(|unit| *unit == separator)?,
            Repr::Utf8(text) => {
                let (before, after) = text.rsplit_once(char::from(separator))?;
                let tail = after.encode_utf16().count();
                let head = self.length.saturating_sub(tail).saturating_sub(1);
                return Some((
                    Self {
                        repr: Repr::Utf8(before),
                        length: head,
                    },
                    Self {
                        repr: Repr::Utf8(after),
                        length: tail,
                    },
                ));
            }
        };
        Some((
            self.part(0, index)?,
            self.part(index.checked_add(1)?, self.length)?,
        ))
    }

    /// The text without the ASCII character `suffix` at its end, or the text if it does not end so.
    // Made shorter in its place: were one of two texts chosen, both would have to be in memory, and be waited for there.
    #[inline]
    #[must_use]
    pub fn without_suffix(mut self, suffix: u8) -> Self {
        let ends = match &mut self.repr {
            Repr::Units(units) => shorten(units, |[unit]| *unit == u16::from(suffix)),
            Repr::Bytes(bytes) => shorten(bytes, |unit| *unit == [suffix, 0]),
            Repr::Narrow(characters) => shorten(characters, |[unit]| *unit == suffix),
            Repr::Utf8(text) => {
                let rest = text.strip_suffix(char::from(suffix));
                *text = rest.unwrap_or(text);
                rest.is_some()
            }
        };
        self.length = self.length.saturating_sub(usize::from(ends));
        self
    }

    /// What stands before the unit at `index`, and after it up to `end`. Not of a text that stands as UTF-8 and is not all
    /// ASCII.
    pub(crate) fn around(&self, index: usize, end: usize) -> Option<(Self, Self)> {
        let this = Self {
            repr: self.standing(),
            length: self.length,
        };
        Some((this.part(0, index)?, this.part(index.checked_add(1)?, end)?))
    }

    /// The units from `start` up to `end`. Not of a text that stands as UTF-8.
    pub(crate) fn part(&self, start: usize, end: usize) -> Option<Self> {
        let repr = match self.repr {
            Repr::Units(units) => Repr::Units(units.get(start..end)?),
            Repr::Bytes(bytes) => Repr::Bytes(bytes.get(start.checked_mul(2)?..end.checked_mul(2)?)?),
            Repr::Narrow(characters) => Repr::Narrow(characters.get(start..end)?),
            Repr::Utf8(_) => return None,
        };
        Some(Self {
            repr,
            length: end.checked_sub(start)?,
        })
    }
}

/// Takes the last `N` off if they are what is looked for.
#[inline]
fn shorten<T, const N: usize>(all: &mut &[T], is: impl FnOnce(&[T; N]) -> bool) -> bool {
    let Some((rest, last)) = all.split_last_chunk() else {
        return false;
    };
    let ends = is(last);
    if ends {
        *all = rest;
    }
    ends
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.units().eq(other.units())
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.units().cmp(other.units())
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.units().eq(other.encode_utf16())
    }
}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.length);
        self.units().for_each(|unit| state.write_u16(unit));
    }
}

impl fmt::Display for Text<'_> {
    /// The text with control characters escaped, so that it cannot disturb a terminal or a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.chars() {
            if letter.is_control() {
                write!(f, "{}", letter.escape_unicode())?;
            } else {
                f.write_char(letter)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Whether the units of each pair fold to the same. Nearly all that do are the same, or an ASCII letter in two cases,
/// which is seen without a look at each by itself.
#[expect(clippy::needless_bitwise_bool, reason = "a loop without branches")]
fn same_folded(mut both: impl Iterator<Item = (u16, u16)> + Clone) -> bool {
    let nearly = both.clone().fold(true, |so_far, (left, right)| {
        let letter = matches!(left | 0x20, 0x61..=0x7A);
        so_far & ((left == right) | ((left ^ right == 0x20) & letter))
    });
    nearly || both.all(|(left, right)| fold(left) == fold(right))
}

/// The units of a text that stands as bytes.
const fn pairs(bytes: &[u8]) -> &[[u8; 2]] {
    bytes.as_chunks().0
}
