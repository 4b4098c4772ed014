//! UTF-16 text for the kernel: literals, and views as `UNICODE_STRING`.

use wdk_sys::UNICODE_STRING;

use crate::status::NtStatus;

/// The most UTF-16 units that a `UNICODE_STRING` can hold, its length being a 16-bit number of bytes.
pub const MAX_UNITS: usize = 0x7FFF;

/// A `UNICODE_STRING` that borrows its text, for passing to kernel calls that only read it.
///
/// A `UNICODE_STRING` has a pointer to mutable text; no kernel call that takes a `PCUNICODE_STRING`, or that
/// this crate passes one to, writes through it.
pub(crate) struct UnicodeStr<'a> {
    raw: UNICODE_STRING,
    borrows: core::marker::PhantomData<&'a [u16]>,
}

impl<'a> UnicodeStr<'a> {
    /// A view of `text`.
    ///
    /// # Errors
    /// `STATUS_OBJECT_NAME_INVALID` if it is longer than [`MAX_UNITS`].
    pub(crate) fn new(text: &'a [u16]) -> Result<Self, NtStatus> {
        let bytes = text
            .len()
            .checked_mul(2)
            .and_then(|bytes| u16::try_from(bytes).ok())
            .ok_or(NtStatus::OBJECT_NAME_INVALID)?;
        Ok(Self {
            raw: UNICODE_STRING {
                Length: bytes,
                MaximumLength: bytes,
                Buffer: text.as_ptr().cast_mut(),
            },
            borrows: core::marker::PhantomData,
        })
    }

    /// The view, for a call that reads it.
    pub(crate) const fn as_raw(&mut self) -> *mut UNICODE_STRING {
        &raw mut self.raw
    }
}

/// The number of UTF-16 units of `text`. For [`utf16!`].
#[doc(hidden)]
#[must_use]
#[expect(
    clippy::indexing_slicing,
    reason = "the index is checked; runs at compile time, where iterators cannot"
)]
pub const fn utf16_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut units, mut at) = (0, 0);
    while at < bytes.len() {
        // Every character starts with a byte that is no continuation; those of four bytes take two units.
        if bytes[at] & 0xC0 != 0x80 {
            units += if bytes[at] >= 0xF0 { 2 } else { 1 };
        }
        at += 1;
    }
    units
}

/// `text` in UTF-16; `N` is [`utf16_len`]. For [`utf16!`].
#[doc(hidden)]
#[must_use]
#[expect(
    clippy::indexing_slicing,
    reason = "runs at compile time, where a wrong index is a build error"
)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the values are below 2^16 by UTF-16's arithmetic"
)]
pub const fn encode<const N: usize>(text: &str) -> [u16; N] {
    let bytes = text.as_bytes();
    let mut units = [0; N];
    let (mut unit, mut at) = (0, 0);
    while at < bytes.len() {
        let lead = bytes[at] as u32;
        let (mut value, length) = match lead {
            0xF0.. => (lead & 0x07, 4),
            0xE0.. => (lead & 0x0F, 3),
            0xC0.. => (lead & 0x1F, 2),
            _ => (lead, 1),
        };
        let mut next = at + 1;
        at += length;
        while next < at {
            value = (value << 6) | (bytes[next] as u32 & 0x3F);
            next += 1;
        }
        if value >= 0x1_0000 {
            units[unit] = (0xD800 + ((value - 0x1_0000) >> 10)) as u16;
            units[unit + 1] = (0xDC00 + ((value - 0x1_0000) & 0x3FF)) as u16;
            unit += 2;
        } else {
            units[unit] = value as u16;
            unit += 1;
        }
    }
    units
}

/// A string literal, or constant expression of type `&str`, as `&'static [u16]`.
#[macro_export]
macro_rules! utf16 {
    ($text:expr) => {{
        const TEXT: &str = $text;
        const UNITS: [u16; $crate::unicode::utf16_len(TEXT)] = $crate::unicode::encode(TEXT);
        const REF: &[u16] = &UNITS;
        REF
    }};
}

/// The text form of a GUID in braces, upper case, as key and file names have it.
#[must_use]
pub fn guid_text(guid: &nsemail_contract::Guid) -> [u16; 38] {
    use core::fmt::Write;

    struct Units {
        text: [u16; 38],
        len: usize,
    }
    impl Write for Units {
        fn write_str(&mut self, piece: &str) -> core::fmt::Result {
            for unit in piece.encode_utf16() {
                *self.text.get_mut(self.len).ok_or(core::fmt::Error)? = unit;
                self.len = self.len.saturating_add(1);
            }
            Ok(())
        }
    }
    let mut units = Units {
        text: [0; 38],
        len: 0,
    };
    // 38 units is exactly the length of this form.
    let _ = write!(units, "{guid}");
    units.text
}
