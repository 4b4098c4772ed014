//! Addresses that break no rule, and need none of the finer ones: all ASCII, without quotes, and without dots in a row or
//! beside the `@`. Nearly all are so, and are read here at once, without a look at which rule they could break.

use super::Domain;
use crate::limits;
use crate::text::{ASCII_STEP, Text};

/// Characters that are looked at at once.
const STEP: usize = 8;
/// The highest bit of each character, which ASCII does not have.
const HIGH: u64 = each(0x80);

/// The same character so often.
const fn each(character: u8) -> u64 {
    u64::from_le_bytes([character; STEP])
}

/// Has the highest bit of each ASCII character that is another one than this.
#[inline]
const fn others(eight: u64, character: u8) -> u64 {
    (eight ^ each(character)).wrapping_add(each(0x7F))
}

/// Where the only `@` of these ASCII characters stands, if none is a control character, a space or a quote, and neither
/// two dots nor a dot and the `@` stand side by side, and none of them at the front.
fn only_at<'c>(steps: impl Iterator<Item = &'c [u8; STEP]>) -> Option<usize> {
    let mut at = None;
    let (mut usual, mut wrong) = (HIGH, 0);
    // As if there was one before the first character.
    let mut bound_before = 0x80;
    for (index, eight) in steps.enumerate() {
        let eight = u64::from_le_bytes(*eight);
        usual &= eight.wrapping_add(each(0x7F - b' ')) & others(eight, b'"') & others(eight, 0x7F);
        let others_than_at = others(eight, b'@');
        let bounds = !(others_than_at & others(eight, b'.')) & HIGH;
        wrong |= bounds & (bounds << 8 | bound_before);
        bound_before = bounds >> 56;
        let ats = !others_than_at & HIGH;
        if ats != 0 {
            let another = ats & ats.wrapping_sub(1);
            let place = index
                .saturating_mul(STEP)
                .saturating_add(ats.trailing_zeros() as usize / 8);
            if another != 0 || at.replace(place).is_some() {
                return None;
            }
        }
    }
    at.filter(|_| usual == HIGH && wrong == 0)
}

/// The local part and the domain of an address of this kind; `None` for any other text.
pub fn split(text: Text<'_>) -> Option<(Text<'_>, Domain<'_>)> {
    const ROOM: usize = limits::NAME.next_multiple_of(ASCII_STEP);
    let bare = text.without_suffix(b'.');
    let mut buffer = [0; ROOM + STEP];
    bare.fold_ascii(buffer.get_mut(..ROOM)?)?;
    let length = bare.len();
    if matches!(buffer.get(length.checked_sub(1)?), Some(b'.' | b'@')) {
        return None;
    }
    // The last step is filled with what may stand anywhere.
    *buffer.get_mut(length..)?.first_chunk_mut()? = [b'x'; STEP];
    let at = only_at(buffer.as_chunks().0.iter().take(length.div_ceil(STEP)))?;
    let (local, domain) = bare.around(at)?;
    // The dot counts that means nothing.
    if local.len() > limits::LOCAL_PART || text.len().saturating_sub(at) > limits::DOMAIN.saturating_add(1) {
        return None;
    }
    Some((local, Domain(domain)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::Address;

    proptest! {
        #[test]
        fn what_is_read_at_once_is_what_the_rules_say(letters in "[a-cA.@ \"\\\\é\u{1}\u{7F}]{0,14}", long in prop::option::of(0..330_usize)) {
            let mut letters = letters;
            if let Some(long) = long {
                let at = letters.chars().next().map_or(0, char::len_utf8);
                letters.insert_str(at, &"x".repeat(long));
            }
            let text = Text::from_str(&letters).unwrap();
            let units: std::vec::Vec<u16> = letters.encode_utf16().collect();
            for text in [text, Text::from_units(&units).unwrap()] {
                let by_rule = Address::parse_by_rule(text);
                let at_once = split(text);
                if let Some((local, domain)) = at_once {
                    let address = by_rule.as_ref().unwrap();
                    prop_assert_eq!((address.local(), address.domain().text()), (local, domain.text()));
                } else {
                    let unusual = ["\"", "..", ".@", "@."].iter().any(|unusual| letters.contains(unusual));
                    let unusual = unusual || !letters.is_ascii();
                    prop_assert!(by_rule.is_err() || unusual, "{:?}", letters);
                }
            }
        }
    }
}
