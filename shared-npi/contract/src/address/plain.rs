//! Addresses that break no rule, and need none of the finer ones: all ASCII, without quotes, and without dots in a row or
//! beside the `@`. Nearly all are so, and are read here at once, without a look at which rule they could break.

use super::Domain;
use crate::limits;
use crate::text::Text;

/// What a character is that may not stand everywhere.
mod class {
    /// A control character, a space or a quote, or none of ASCII.
    pub const UNUSUAL: u8 = 1;
    /// A dot or an `@`: a label of a domain stands between two of them, or behind the last.
    pub const BOUND: u8 = 2;
}

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut rest: &mut [u8] = &mut classes;
    let mut character = 0_u32;
    while let Some((class, after)) = rest.split_first_mut() {
        *class = match character {
            0..=0x20 | 0x22 | 0x7F.. => class::UNUSUAL,
            0x2E | 0x40 => class::BOUND,
            _ => 0,
        };
        rest = after;
        character = character.wrapping_add(1);
    }
    classes
};

/// The local part and the domain of an address of this kind; `None` for any other text.
pub fn split(text: Text<'_>) -> Option<(Text<'_>, Domain<'_>)> {
    // One more for the dot that does not count.
    let mut buffer = [0; limits::NAME + 1];
    let characters = text.fold_ascii(&mut buffer)?;
    let characters = characters.strip_suffix(b".").unwrap_or(characters);
    let is_at = |character: &u8| *character == b'@';
    let at = characters.iter().position(is_at)?;
    let (unusual, last) = characters.iter().fold((0, 0), |(unusual, before), character| {
        let class = CLASSES
            .get(usize::from(*character))
            .copied()
            .unwrap_or(class::UNUSUAL);
        // Two bounds in a row share their bit.
        (unusual | (class & (before | class::UNUSUAL)), class)
    });
    if unusual != 0 || last & class::BOUND != 0 || characters.iter().rposition(is_at) != Some(at) {
        return None;
    }
    let (local, domain) = text.around(at)?;
    if !(1..=limits::LOCAL_PART).contains(&local.len()) || domain.len() > limits::DOMAIN {
        return None;
    }
    Some((local, Domain(domain.strip_suffix(b'.').unwrap_or(domain))))
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
