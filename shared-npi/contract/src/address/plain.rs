//! Addresses that break no rule, and need none of the finer ones: all ASCII, and without quotes. Nearly all are so, and
//! are read here at once, without a look at which rule they could break.

use super::Domain;
use crate::limits;
use crate::text::Text;

/// What a character is that may not stand everywhere.
mod class {
    /// A control character, or none of ASCII.
    pub const NEVER: u8 = 1;
    /// A space or an `@`.
    pub const QUOTED: u8 = 2;
    /// A quote.
    pub const QUOTE: u8 = 4;
    /// A dot.
    pub const DOT: u8 = 8;
}

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut rest: &mut [u8] = &mut classes;
    let mut character = 0_u32;
    while let Some((class, after)) = rest.split_first_mut() {
        *class = match character {
            0..0x20 | 0x7F.. => class::NEVER,
            0x20 | 0x40 => class::QUOTED,
            0x22 => class::QUOTE,
            0x2E => class::DOT,
            _ => 0,
        };
        rest = after;
        character = character.wrapping_add(1);
    }
    classes
};

fn class_of(character: u8) -> u8 {
    CLASSES
        .get(usize::from(character))
        .copied()
        .unwrap_or(class::NEVER)
}

/// The local part and the domain of an address of this kind; `None` for any other text.
pub fn split(text: Text<'_>) -> Option<(Text<'_>, Domain<'_>)> {
    // One more for the dot that does not count.
    let mut buffer = [0; limits::NAME + 1];
    let characters = text.fold_ascii(&mut buffer)?;
    let at = characters.iter().rposition(|character| *character == b'@')?;
    let (local, domain) = (characters.get(..at)?, characters.get(at.checked_add(1)?..)?);
    if !(1..=limits::LOCAL_PART).contains(&local.len()) || domain.len() > limits::DOMAIN {
        return None;
    }
    let special = local
        .iter()
        .fold(0, |special, character| special | class_of(*character));
    if special & !class::DOT != 0 {
        return None;
    }
    let bare = domain.strip_suffix(b".").unwrap_or(domain);
    // As if it stood behind a dot, and before one.
    let (special, last) = bare.iter().fold((0, class::DOT), |(special, before), character| {
        let class = class_of(*character);
        (special | (class & !class::DOT) | (class & before), class)
    });
    if (special & !class::QUOTE) | (last & class::DOT) != 0 {
        return None;
    }
    let (local, domain) = text.around(at)?;
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
                    let unusual = letters.contains('"') || !letters.is_ascii();
                    prop_assert!(by_rule.is_err() || unusual, "{:?}", letters);
                }
            }
        }
    }
}
