//! Addresses that break no rule, and need none of the finer ones: all ASCII, without quotes, and without dots in a row or
//! beside the `@`. Nearly all are so, and are read here at once, without a look at which rule they could break.

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

/// Where the `@` of an address of this kind stands, and where its domain ends; `None` for any other text.
pub fn places(text: Text<'_>) -> Option<(usize, usize)> {
    const ROOM: usize = limits::NAME.saturating_add(1).next_multiple_of(ASCII_STEP);
    let mut buffer = [0; ROOM + STEP];
    text.fold_ascii(buffer.get_mut(..ROOM)?)?;
    let characters = buffer.get(..text.len())?;
    let end = characters.strip_suffix(b".").unwrap_or(characters).len();
    let rest = buffer.get_mut(end.checked_sub(1)?..)?;
    if matches!(rest.first(), Some(b'.' | b'@')) {
        return None;
    }
    // The last step is filled with what may stand anywhere.
    *rest.get_mut(1..)?.first_chunk_mut()? = [b'x'; STEP];
    let at = only_at(buffer.as_chunks().0.iter().take(end.div_ceil(STEP)))?;
    // The dot counts that means nothing.
    let domain = text.len().saturating_sub(at).saturating_sub(1);
    (at <= limits::LOCAL_PART && domain <= limits::DOMAIN).then_some((at, end))
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
                prop_assert_eq!(Address::check(text), by_rule.map(drop));
                prop_assert_eq!(
                    Address::domain_of(text).map(|domain| domain.text()),
                    by_rule.map(|address| address.domain().text())
                );
                if places(text).is_some() {
                    let (by_rule, at_once) = (by_rule.unwrap(), Address::parse(text).unwrap());
                    prop_assert_eq!(at_once.local(), by_rule.local());
                    prop_assert_eq!(at_once.domain().text(), by_rule.domain().text());
                } else {
                    let unusual = ["\"", "..", ".@", "@."].iter().any(|unusual| letters.contains(unusual));
                    let unusual = unusual || letters.starts_with('.') || !letters.is_ascii();
                    prop_assert!(by_rule.is_err() || unusual, "{:?}", letters);
                }
            }
        }
    }
}
