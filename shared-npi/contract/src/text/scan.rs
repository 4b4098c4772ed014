//! Looking through UTF-16 that stands as bytes, and writing it, four units at a time.
//!
//! Texts are most of every message, and one unit after the other would be most of the work.

/// Units that are looked at at once.
const STEP: usize = 4;
/// The highest bit of each unit.
const HIGH: u64 = 0x8000_8000_8000_8000;

/// The highest bit of each unit that is zero.
#[inline]
const fn zeros(four: u64) -> u64 {
    let low = !HIGH;
    !((four & low).wrapping_add(low) | four) & HIGH
}

/// As [`zeros`], in fewer steps, as far as the lowest of these bits: what is borrowed for it may set others above.
#[inline]
const fn first_zero(four: u64) -> u64 {
    four.wrapping_sub(0x0001_0001_0001_0001) & !four & HIGH
}

/// The highest bit of each unit that is half of a surrogate pair.
#[inline]
const fn surrogates(four: u64) -> u64 {
    zeros((four & 0xF800_F800_F800_F800) ^ 0xD800_D800_D800_D800)
}

const fn is_surrogate(unit: u16) -> bool {
    unit & 0xF800 == 0xD800
}

/// How many units stand before the first that is zero, and whether all of them are below 0x8000, and so no half of a
/// surrogate pair; `None` if none is zero.
pub fn terminated(bytes: &[u8]) -> Option<(usize, bool)> {
    let (steps, rest) = bytes.as_chunks();
    let mut length = 0_usize;
    let mut all = 0;
    for four in steps {
        let four = u64::from_le_bytes(*four);
        let ends = first_zero(four);
        if ends != 0 {
            // What stands below the lowest of those bits.
            let before = (ends & ends.wrapping_neg()).wrapping_sub(1);
            let low = (all | four & before) & HIGH == 0;
            return Some((length.wrapping_add(ends.trailing_zeros() as usize / 16), low));
        }
        all |= four;
        length = length.wrapping_add(STEP);
    }
    let mut low = all & HIGH == 0;
    for unit in rest.as_chunks().0 {
        match u16::from_le_bytes(*unit) {
            0 => return Some((length, low)),
            unit => low &= unit < 0x8000,
        }
        length = length.wrapping_add(1);
    }
    None
}

/// Whether no unit is zero or half of a surrogate pair.
pub fn is_plain(bytes: &[u8]) -> bool {
    let (steps, rest) = bytes.as_chunks();
    let special = steps.iter().fold(0, |some, four| {
        let four = u64::from_le_bytes(*four);
        some | zeros(four) | surrogates(four)
    });
    let mut units = rest.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit));
    special == 0 && units.all(|unit| unit != 0 && !is_surrogate(unit))
}

/// Whether no unit is zero, and all are below 0x8000, as those of nearly all texts are.
pub fn is_low(units: &[u16]) -> bool {
    let (steps, rest) = units.as_chunks::<STEP>();
    let (mut ends, mut all) = (0, 0);
    for four in steps {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(four.map(u16::to_le_bytes).as_flattened());
        let four = u64::from_le_bytes(bytes);
        ends |= first_zero(four);
        all |= four;
    }
    (ends | all) & HIGH == 0 && rest.iter().all(|unit| matches!(unit, 1..0x8000))
}

/// Writes ASCII characters as units to `out`, which has room for just these.
pub fn widen(characters: &[u8], out: &mut [u8]) {
    let (steps, rest) = characters.as_chunks::<STEP>();
    let (places, places_left) = out.as_chunks_mut::<8>();
    for (four, place) in steps.iter().zip(places) {
        let four = u64::from(u32::from_le_bytes(*four));
        let pairs = (four | four << 16) & 0x0000_FFFF_0000_FFFF;
        *place = ((pairs | pairs << 8) & 0x00FF_00FF_00FF_00FF).to_le_bytes();
    }
    for (character, place) in rest.iter().zip(places_left.as_chunks_mut().0) {
        *place = [*character, 0];
    }
}

/// Writes units to `out`, which has room for just these.
pub fn lay_out(units: &[u16], out: &mut [u8]) {
    let (steps, rest) = units.as_chunks::<STEP>();
    let (places, places_left) = out.as_chunks_mut::<8>();
    for (four, place) in steps.iter().zip(places) {
        place.copy_from_slice(four.map(u16::to_le_bytes).as_flattened());
    }
    for (unit, place) in rest.iter().zip(places_left.as_chunks_mut().0) {
        *place = unit.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::*;

    fn unit() -> impl Strategy<Value = u16> {
        prop_oneof![
            8 => 1..0x80_u16,
            2 => any::<u16>(),
            1 => Just(0_u16),
            1 => 0xD7FE..0xE002_u16,
        ]
    }

    proptest! {
        #[test]
        fn four_at_a_time_see_what_one_at_a_time_sees(units in prop::collection::vec(unit(), 0..40), odd in any::<bool>()) {
            let mut bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            if odd {
                bytes.push(0);
            }
            let end = units.iter().position(|unit| *unit == 0);
            let plain = |units: &[u16]| !units.iter().copied().any(is_surrogate);
            let low = |units: &[u16]| units.iter().all(|unit| *unit < 0x8000);
            prop_assert_eq!(terminated(&bytes), end.map(|end| (end, low(&units[..end]))));
            prop_assert_eq!(is_plain(&bytes), end.is_none() && plain(&units));
            prop_assert_eq!(is_low(&units), end.is_none() && low(&units));
        }

        #[test]
        fn what_is_written_four_at_a_time_are_the_units(characters in prop::collection::vec(0..0x80_u8, 0..40), units in prop::collection::vec(any::<u16>(), 0..40)) {
            let mut out = std::vec![0xFF; characters.len() * 2];
            widen(&characters, &mut out);
            let wide: Vec<u8> = characters.iter().flat_map(|character| [*character, 0]).collect();
            prop_assert_eq!(out, wide);
            let mut out = std::vec![0xFF; units.len() * 2];
            lay_out(&units, &mut out);
            let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            prop_assert_eq!(out, bytes);
        }
    }
}
