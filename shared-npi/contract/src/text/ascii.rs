//! ASCII text, folded eight units at a time.
//!
//! Nearly all names are ASCII, and folding one unit after the other would cost more than finding the name. Whether a
//! text is ASCII does not change by folding, so an ASCII text and another one are never equal.

use super::{Repr, Text};

/// Units that are folded at once.
const STEP: usize = 8;
/// The bits that no ASCII character has.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

/// Eight characters, upcased, and something that is zero only if all are ASCII.
type Word = (u64, u64);

#[inline]
const fn word_of_ascii(characters: [u8; STEP]) -> Word {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(characters);
    // The highest bit of each byte, where the character is above the one before `a`, and above `z`.
    let from_a = word.wrapping_add((0x80 - 0x61) * EACH);
    let above_z = word.wrapping_add((0x80 - 0x7B) * EACH);
    let lower = from_a & !above_z & NOT_ASCII;
    // A small letter is 0x20 above its capital.
    (word & !(lower >> 2), word & NOT_ASCII)
}

/// The lower bytes of four units, of which the upper ones are zero.
#[inline]
const fn narrowed(four: u64) -> u64 {
    let pairs = (four | four >> 8) & 0x0000_FFFF_0000_FFFF;
    (pairs | pairs >> 16) & 0xFFFF_FFFF
}

#[inline]
fn word_of_wide(bytes: &[u8; 2 * STEP]) -> Word {
    let [first, last] = *bytes.as_chunks().0 else {
        return (0, NOT_ASCII);
    };
    let (first, last) = (u64::from_le_bytes(first), u64::from_le_bytes(last));
    let (word, _) = word_of_ascii((narrowed(first) | narrowed(last) << 32).to_le_bytes());
    (word, (first | last) & 0xFF80_FF80_FF80_FF80)
}

#[inline]
fn word_of_units(units: &[u16; STEP]) -> Word {
    let bytes = units.map(u16::to_le_bytes);
    bytes
        .as_flattened()
        .first_chunk()
        .map_or((0, NOT_ASCII), word_of_wide)
}

/// Folds `text`, `N` of which are eight units, into as many bytes, at least eight; false if it is not all ASCII.
#[inline]
fn fold<T, const N: usize>(text: &[T], out: &mut [u8], word: impl Fn(&[T; N]) -> Word) -> bool {
    let step = |eight, place: &mut [u8; STEP]| {
        let (folded, wrong) = word(eight);
        *place = folded.to_le_bytes();
        wrong == 0
    };
    for (eight, place) in text.as_chunks::<N>().0.iter().zip(out.as_chunks_mut::<STEP>().0) {
        // Leaving early also keeps the compiler from doing several steps at once, for which it would first have to
        // gather what they need.
        if !step(eight, place) {
            return false;
        }
    }
    // What is left, with what is before it.
    text.last_chunk()
        .zip(out.last_chunk_mut())
        .is_some_and(|(eight, place)| step(eight, place))
}

/// Whether ASCII characters, folded, are those that [`Text::fold_ascii`] wrote.
#[must_use]
pub fn folds_to(characters: &[u8], folded: &[u8]) -> bool {
    if characters.len() != folded.len() {
        return false;
    }
    if characters.len() < STEP {
        return characters.eq_ignore_ascii_case(folded);
    }
    is(characters, folded, |eight| word_of_ascii(*eight))
}

/// Whether `text`, folded, is those bytes, which are as many as it has units, and at least eight.
#[inline]
fn is<T, const N: usize>(text: &[T], folded: &[u8], word: impl Fn(&[T; N]) -> Word) -> bool {
    let mut differ = 0;
    let mut step = |eight, theirs: &[u8; STEP]| {
        let (ours, wrong) = word(eight);
        differ |= wrong | (ours ^ u64::from_le_bytes(*theirs));
    };
    for (eight, theirs) in text.as_chunks::<N>().0.iter().zip(folded.as_chunks::<STEP>().0) {
        step(eight, theirs);
    }
    if let (Some(eight), Some(theirs)) = (text.last_chunk(), folded.last_chunk()) {
        step(eight, theirs);
    }
    differ == 0
}

impl<'a> Text<'a> {
    /// Writes the text to the front of `out` as names are compared: upcased, a byte for each unit. `None` if it is not
    /// all ASCII, or does not fit.
    #[must_use]
    pub fn fold_ascii<'b>(&self, out: &'b mut [u8]) -> Option<&'b [u8]> {
        let out = out.get_mut(..self.length)?;
        if self.length < STEP {
            return self.fold_short(out);
        }
        let is_ascii = match self.standing() {
            Repr::Narrow(characters) => fold(characters, out, |eight| word_of_ascii(*eight)),
            Repr::Units(units) => fold(units, out, word_of_units),
            Repr::Bytes(bytes) => fold(bytes, out, word_of_wide),
            Repr::Utf8(_) => false,
        };
        is_ascii.then_some(out)
    }

    /// Whether the text, folded, is the one that [`Self::fold_ascii`] wrote.
    #[must_use]
    pub fn folds_to_ascii(&self, folded: &[u8]) -> bool {
        if self.length != folded.len() {
            return false;
        }
        if self.length < STEP {
            return self
                .fold_short(&mut [0; STEP])
                .and_then(|ours| ours.get(..self.length))
                == Some(folded);
        }
        match self.standing() {
            Repr::Narrow(characters) => folds_to(characters, folded),
            Repr::Units(units) => is(units, folded, word_of_units),
            Repr::Bytes(bytes) => is(bytes, folded, word_of_wide),
            Repr::Utf8(_) => false,
        }
    }

    fn fold_short<'b>(&self, out: &'b mut [u8]) -> Option<&'b [u8]> {
        for (to, unit) in out.iter_mut().zip(self.units()) {
            *to = u8::try_from(unit).ok().filter(u8::is_ascii)?.to_ascii_uppercase();
        }
        Some(out)
    }

    /// How the text stands; as bytes for units if it is UTF-8 and all ASCII.
    pub(super) const fn standing(&self) -> Repr<'a> {
        match self.repr {
            // As many bytes as units: all are ASCII.
            Repr::Utf8(text) if text.len() == self.length => Repr::Narrow(text.as_bytes()),
            other => other,
        }
    }
}
