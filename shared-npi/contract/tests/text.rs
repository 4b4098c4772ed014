//! Texts, wherever they stand.

use nsemail_contract::Text;
use nsemail_contract::text::ASCII_STEP;
use proptest::prelude::*;

/// The text as it may stand.
fn standings(text: &str, check: impl Fn(Text<'_>)) {
    let units: Vec<u16> = text.encode_utf16().collect();
    let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    check(Text::from_stored_units(&units));
    check(Text::from_stored_bytes(&bytes));
    check(Text::from_str(text).expect("no NUL"));
    if text.is_ascii() {
        check(Text::from_stored_ascii(text.as_bytes()));
    }
}

proptest! {
    #[test]
    fn ascii_is_folded_as_all_text_is(
        text in prop_oneof!["[ -~]{0,40}", "[a-zA-Z@.]{0,12}[\u{e9}\u{17f}\u{131}\u{ff41}]?[a-z]{0,12}"],
        other in "[ -~]{0,40}",
    ) {
        let mut buffer = [1; 48];
        let reference: Vec<u16> = Text::from_str(&text).expect("no NUL").folded_units().collect();
        standings(&text, |standing| {
            let mut out = [1; 48];
            let folded = standing.fold_ascii(&mut out).map(|folded| folded.iter().copied().map(u16::from).collect());
            let mut padded = reference.clone();
            padded.resize(reference.len().next_multiple_of(ASCII_STEP), 0);
            assert_eq!(folded, text.is_ascii().then_some(padded));
        });
        for asked in [&other, &text, &text.to_ascii_uppercase(), &text.to_ascii_lowercase()] {
            if let Some(folded) = Text::from_str(asked).expect("no NUL").fold_ascii(&mut buffer) {
                let same = asked.eq_ignore_ascii_case(&text);
                let folded = &folded[..asked.len()];
                standings(&text, |standing| assert_eq!(standing.folds_to_ascii(folded), same));
            }
        }
    }

    #[test]
    fn texts_are_equal_wherever_they_stand(text in "[ -~]{0,20}", at in any::<prop::sample::Index>()) {
        let narrow = Text::from_stored_ascii(text.as_bytes());
        standings(&text, |standing| {
            assert_eq!(standing, narrow);
            assert!(standing.eq_folded(&narrow));
            let rest = text.strip_suffix('.').unwrap_or(&text);
            assert_eq!(standing.without_suffix(b'.'), Text::from_stored_ascii(rest.as_bytes()));
        });
        prop_assert_eq!(narrow.units().len(), text.len());
        let cut = at.index(text.len() + 1);
        let with: String = [&text[..cut], "@", &text[cut..]].concat();
        let (before, after) = Text::from_stored_ascii(with.as_bytes()).rsplit_once(b'@').expect("it is there");
        prop_assert_eq!(before.len() + 1 + after.len(), with.len());
        prop_assert!(!after.units().any(|unit| unit == u16::from(b'@')));
    }
}
