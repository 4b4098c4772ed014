//! Text is folded as one character after the other is.

use ascii_fold::{
    STEP, characters_fold_to, fold_characters, fold_pairs, fold_units, pairs_fold_to, units_fold_to,
};
use proptest::prelude::*;

/// All ways to fold agree on what that is, and on what it is equal to.
fn check(units: &[u16], folded: Option<&[u8]>, asked: &[u8]) {
    let mut out = [0xAA; 64 + 1];
    let size = units.len().next_multiple_of(STEP);
    let padded = folded.map(|folded| {
        let mut padded = folded.to_vec();
        padded.resize(size, 0);
        padded
    });
    let padded = padded.as_deref();
    let pairs: Vec<_> = units.iter().map(|unit| unit.to_le_bytes()).collect();
    assert_eq!(fold_units(units, &mut out), padded);
    assert_eq!(fold_pairs(&pairs, &mut out), padded);
    let same = folded == Some(asked);
    assert_eq!(units_fold_to(units, asked), same);
    assert_eq!(pairs_fold_to(&pairs, asked), same);
    let characters: Result<Vec<u8>, _> = units.iter().map(|unit| u8::try_from(*unit)).collect();
    if let Ok(characters) = characters {
        assert_eq!(fold_characters(&characters, &mut out), padded);
        assert_eq!(characters_fold_to(&characters, asked), same);
    }
    assert!(
        out[size..].iter().all(|byte| *byte == 0xAA),
        "nothing is written behind it"
    );
    if let Some(short) = size.checked_sub(1) {
        assert_eq!(fold_units(units, &mut out[..short]), None, "it does not fit");
    }
}

#[test]
fn every_unit_at_every_place_of_a_text_of_every_length() {
    for length in (1..20).chain([31, 32, 33, 47, 48]) {
        for at in 0..length {
            let mut units = vec![u16::from(b'x'); length];
            for unit in (0..=0xFF).chain([0x0161, 0x2061, 0x7F61, 0x8061, 0xFF61, 0xFFFF]) {
                units[at] = unit;
                let one = u8::try_from(unit).ok().filter(u8::is_ascii);
                let mut folded = vec![b'X'; length];
                folded[at] = one.unwrap_or(0).to_ascii_uppercase();
                check(&units, one.map(|_| folded.as_slice()), &folded);
                if one.is_some() {
                    let right = folded.clone();
                    folded[at] ^= 1;
                    check(&units, Some(&right), &folded);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn texts_are_equal_without_regard_to_case(text in "[ -~]{0,60}", other in "[ -~]{0,60}") {
        let units: Vec<u16> = text.encode_utf16().collect();
        let folded = text.to_ascii_uppercase();
        for asked in [&other, &text, &folded, &text.to_ascii_lowercase()] {
            check(&units, Some(folded.as_bytes()), asked.as_bytes());
            prop_assert_eq!(units_fold_to(&units, asked.to_ascii_uppercase().as_bytes()), asked.eq_ignore_ascii_case(&text));
        }
    }
}
