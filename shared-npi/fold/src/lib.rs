//! ASCII text without regard to case, sixteen characters at a time.
//!
//! Nearly all names are ASCII, and folding one unit after the other would cost more than finding the name does. These
//! loops are a crate of their own because they are worth little unless the compiler makes vector instructions of them,
//! and it does so only where it does not optimise for size. There are no intrinsics: sixteen bytes are a register on
//! every processor that Windows runs on.
//!
//! Text is folded by upcasing. Whether it is ASCII does not change by that, so an ASCII text and another one are never
//! equal.
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![expect(
    clippy::inline_always,
    reason = "a step that is called is not worth it; left to itself, the compiler calls some"
)]

/// Characters that are folded at once.
pub const STEP: usize = 16;
type Step = [u8; STEP];

#[inline(always)]
const fn upcase(character: u8) -> u8 {
    let small = character.wrapping_sub(b'a') < 26;
    character ^ ((small as u8) << 5)
}

/// How a unit of text stands in memory.
trait Unit: Copy + Default {
    /// Folds a step; false if it is not all ASCII.
    fn fold(units: &[Self; STEP], out: &mut Step) -> bool;
    /// Whether a step, folded, is those ASCII characters.
    fn fold_to(units: &[Self; STEP], theirs: &Step) -> bool;
}

impl Unit for u8 {
    #[inline(always)]
    fn fold(characters: &Step, out: &mut Step) -> bool {
        let mut all = 0;
        for (to, character) in out.iter_mut().zip(characters) {
            all |= character;
            *to = upcase(*character);
        }
        all < 0x80
    }

    #[inline(always)]
    fn fold_to(characters: &Step, theirs: &Step) -> bool {
        let mut differ = 0;
        for (theirs, character) in theirs.iter().zip(characters) {
            differ |= theirs ^ upcase(*character);
        }
        differ == 0
    }
}

/// The lower halves of units, and whether all are ASCII.
#[inline(always)]
fn narrowed(units: impl Iterator<Item = u16>) -> (Step, bool) {
    let (mut characters, mut all) = ([0; STEP], 0);
    for (to, unit) in characters.iter_mut().zip(units) {
        all |= unit;
        [*to, _] = unit.to_le_bytes();
    }
    (characters, all < 0x80)
}

impl Unit for u16 {
    #[inline(always)]
    fn fold(units: &[Self; STEP], out: &mut Step) -> bool {
        let (characters, ascii) = narrowed(units.iter().copied());
        u8::fold(&characters, out) & ascii
    }

    #[inline(always)]
    fn fold_to(units: &[Self; STEP], theirs: &Step) -> bool {
        let (characters, ascii) = narrowed(units.iter().copied());
        u8::fold_to(&characters, theirs) & ascii
    }
}

impl Unit for [u8; 2] {
    #[inline(always)]
    fn fold(units: &[Self; STEP], out: &mut Step) -> bool {
        let (characters, ascii) = narrowed(units.iter().map(|unit| u16::from_le_bytes(*unit)));
        u8::fold(&characters, out) & ascii
    }

    #[inline(always)]
    fn fold_to(units: &[Self; STEP], theirs: &Step) -> bool {
        let (characters, ascii) = narrowed(units.iter().map(|unit| u16::from_le_bytes(*unit)));
        u8::fold_to(&characters, theirs) & ascii
    }
}

/// What is shorter than a step, as one.
fn padded<U: Unit>(units: &[U]) -> [U; STEP] {
    let mut step = [U::default(); STEP];
    for (to, unit) in step.iter_mut().zip(units) {
        *to = *unit;
    }
    step
}

#[inline(never)]
fn fold_short<U: Unit>(units: &[U], out: &mut Step) -> bool {
    U::fold(&padded(units), out)
}

#[inline(never)]
fn short_folds_to<U: Unit>(units: &[U], theirs: &[u8]) -> bool {
    units.len() == theirs.len() && U::fold_to(&padded(units), &padded(theirs))
}

#[inline(always)]
fn fold<'o, U: Unit>(units: &[U], out: &'o mut [u8]) -> Option<&'o [u8]> {
    let out = out.as_chunks_mut().0.get_mut(..units.len().div_ceil(STEP))?;
    let (whole, rest) = units.as_chunks();
    let mut places = out.iter_mut();
    for (units, place) in whole.iter().zip(&mut places) {
        // Leaving early also keeps the compiler from doing several steps at once, for which it would first have to
        // gather what they need.
        if !U::fold(units, place) {
            return None;
        }
    }
    if let Some(place) = places.next() {
        let Some(last) = units.last_chunk() else {
            return fold_short(units, place).then_some(out.as_flattened());
        };
        // What is left, with what is before it, which is then shifted out. Stored over what is there, the two could not
        // be read together before both have reached the cache.
        let mut step = [0; STEP];
        if !U::fold(last, &mut step) {
            return None;
        }
        let before = STEP.saturating_sub(rest.len());
        let left = u128::from_le_bytes(step).unbounded_shr(8_u32.saturating_mul(u32::try_from(before).ok()?));
        *place = left.to_le_bytes();
    }
    Some(out.as_flattened())
}

#[inline(always)]
fn folds_to<U: Unit>(units: &[U], theirs: &[u8]) -> bool {
    if theirs.len() < STEP {
        return short_folds_to(units, theirs);
    }
    // The text may have to be waited for, with its length. How many steps there are, is known by the other one.
    let mut rest = units;
    for theirs in theirs.as_chunks().0 {
        let Some((step, after)) = rest.split_first_chunk() else {
            return false;
        };
        if !U::fold_to(step, theirs) {
            return false;
        }
        rest = after;
    }
    units.len() == theirs.len()
        && units
            .last_chunk()
            .zip(theirs.last_chunk())
            .is_some_and(|(last, theirs)| U::fold_to(last, theirs))
}

// Never inlined, where the caller's optimisation would apply.

/// Folds characters to the front of `out`, and answers them with zeros behind them up to a multiple of [`STEP`]; `None` if
/// they are not all ASCII, or `out` has no room for those.
#[inline(never)]
#[must_use]
pub fn fold_characters<'o>(characters: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
    fold(characters, out)
}

/// As [`fold_characters`], of UTF-16 units.
#[inline(never)]
#[must_use]
pub fn fold_units<'o>(units: &[u16], out: &'o mut [u8]) -> Option<&'o [u8]> {
    fold(units, out)
}

/// As [`fold_units`], of units as they stand in a message: little-endian, and not aligned.
#[inline(never)]
#[must_use]
pub fn fold_pairs<'o>(units: &[[u8; 2]], out: &'o mut [u8]) -> Option<&'o [u8]> {
    fold(units, out)
}

/// Whether characters are all ASCII, and folded are those.
#[inline(never)]
#[must_use]
pub fn characters_fold_to(characters: &[u8], folded: &[u8]) -> bool {
    folds_to(characters, folded)
}

/// As [`characters_fold_to`], of UTF-16 units.
#[inline(never)]
#[must_use]
pub fn units_fold_to(units: &[u16], folded: &[u8]) -> bool {
    folds_to(units, folded)
}

/// As [`units_fold_to`], of units as they stand in a message: little-endian, and not aligned.
#[inline(never)]
#[must_use]
pub fn pairs_fold_to(units: &[[u8; 2]], folded: &[u8]) -> bool {
    folds_to(units, folded)
}
