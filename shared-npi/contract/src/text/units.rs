//! The units of a text, one after the other, wherever they stand.

use core::iter::FusedIterator;

use super::{Repr, Text, pairs};

/// The units of a [`Text`].
#[derive(Clone, Debug)]
pub struct Units<'a>(Source<'a>);

#[derive(Clone, Debug)]
enum Source<'a> {
    Units(core::slice::Iter<'a, u16>),
    Bytes(core::slice::Iter<'a, [u8; 2]>),
    Narrow(core::slice::Iter<'a, u8>),
    Utf8 {
        units: core::str::EncodeUtf16<'a>,
        left: usize,
    },
}

impl<'a> Units<'a> {
    #[inline]
    pub(super) fn of(text: &Text<'a>) -> Self {
        Self(match text.repr {
            Repr::Units(units) => Source::Units(units.iter()),
            Repr::Bytes(bytes) => Source::Bytes(pairs(bytes).iter()),
            Repr::Narrow(characters) => Source::Narrow(characters.iter()),
            Repr::Utf8(utf8) => Source::Utf8 {
                units: utf8.encode_utf16(),
                left: text.length,
            },
        })
    }
}

impl Iterator for Units<'_> {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        match &mut self.0 {
            Source::Units(units) => units.next().copied(),
            Source::Bytes(pairs) => pairs.next().map(|pair| u16::from_le_bytes(*pair)),
            Source::Narrow(characters) => characters.next().copied().map(u16::from),
            Source::Utf8 { units, left } => {
                *left = left.saturating_sub(1);
                units.next()
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::Units(units) => units.len(),
            Source::Bytes(pairs) => pairs.len(),
            Source::Narrow(characters) => characters.len(),
            Source::Utf8 { left, .. } => *left,
        };
        (left, Some(left))
    }

    // Which kind of text it is, is asked once here, and not for every unit.
    #[inline]
    fn fold<B, F: FnMut(B, u16) -> B>(self, first: B, mut with: F) -> B {
        match self.0 {
            Source::Units(units) => units.fold(first, |so_far, unit| with(so_far, *unit)),
            Source::Bytes(pairs) => pairs.fold(first, |so_far, pair| with(so_far, u16::from_le_bytes(*pair))),
            Source::Narrow(characters) => {
                characters.fold(first, |so_far, character| with(so_far, u16::from(*character)))
            }
            Source::Utf8 { units, .. } => units.fold(first, with),
        }
    }
}

impl ExactSizeIterator for Units<'_> {}
impl FusedIterator for Units<'_> {}
