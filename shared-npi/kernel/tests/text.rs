//! UTF-16 literals and names.

use nsemail_contract::Guid;
use nsemail_kernel::unicode::guid_text;
use nsemail_kernel::utf16;

#[test]
fn literals_are_what_the_standard_library_encodes() {
    macro_rules! same {
        ($($text:expr),* $(,)?) => {
            $(assert_eq!(utf16!($text), $text.encode_utf16().collect::<Vec<_>>());)*
        };
    }
    same!(
        "",
        r"\Device\NsEmail",
        "\0\u{7F}",
        "\u{80}\u{7FF}ß",
        "\u{800}\u{D7FF}\u{E000}\u{FFFF}",
        "\u{10000}\u{10FFFF}🦀",
        "a\u{E9}\u{20AC}\u{1F980}z",
        nsemail_contract::ids::CLIENT_DEVICE,
    );
}

#[test]
fn a_guid_is_named_in_braces_and_upper_case() {
    let guid = Guid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
    let text = String::from_utf16(&guid_text(&guid)).unwrap();
    assert_eq!(text, "{01234567-89AB-CDEF-0011-223344556677}");
}
