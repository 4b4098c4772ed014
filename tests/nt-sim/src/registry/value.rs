//! Values of the registry.

/// The types of values (`REG_*`).
pub mod kind {
    /// `REG_NONE`
    pub const NONE: u32 = 0;
    /// `REG_SZ`: UTF-16 with a terminating NUL.
    pub const SZ: u32 = 1;
    /// `REG_EXPAND_SZ`
    pub const EXPAND_SZ: u32 = 2;
    /// `REG_BINARY`
    pub const BINARY: u32 = 3;
    /// `REG_DWORD`: four bytes, little-endian.
    pub const DWORD: u32 = 4;
    /// `REG_MULTI_SZ`: strings with a NUL each, and one more NUL.
    pub const MULTI_SZ: u32 = 7;
    /// `REG_QWORD`: eight bytes, little-endian.
    pub const QWORD: u32 = 11;
}

/// A typed value. The bytes are what the registry stores; nothing makes sure that they fit the type,
/// as on Windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The type, one of [`kind`].
    pub kind: u32,
    /// The bytes.
    pub data: Vec<u8>,
}

impl Value {
    /// Makes a `REG_SZ`.
    #[must_use]
    pub fn sz(text: &str) -> Self {
        Self {
            kind: kind::SZ,
            data: utf16(text),
        }
    }

    /// Makes a `REG_MULTI_SZ`.
    #[must_use]
    pub fn multi_sz<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut data: Vec<u8> = texts.into_iter().flat_map(utf16).collect();
        data.extend([0, 0]);
        Self {
            kind: kind::MULTI_SZ,
            data,
        }
    }

    /// Makes a `REG_DWORD`.
    #[must_use]
    pub fn dword(number: u32) -> Self {
        Self {
            kind: kind::DWORD,
            data: number.to_le_bytes().to_vec(),
        }
    }

    /// Makes a `REG_BINARY`.
    #[must_use]
    pub const fn binary(data: Vec<u8>) -> Self {
        Self {
            kind: kind::BINARY,
            data,
        }
    }

    /// Returns the text of a `REG_SZ` or `REG_EXPAND_SZ`, without its terminating NUL.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        if !matches!(self.kind, kind::SZ | kind::EXPAND_SZ) || !self.data.len().is_multiple_of(2) {
            return None;
        }
        let mut units: Vec<u16> = self
            .data
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        if units.last() == Some(&0) {
            units.pop();
        }
        String::from_utf16(&units).ok()
    }

    /// Returns the number of a `REG_DWORD`.
    #[must_use]
    pub fn as_dword(&self) -> Option<u32> {
        let bytes = <[u8; 4]>::try_from(self.data.as_slice()).ok()?;
        (self.kind == kind::DWORD).then(|| u32::from_le_bytes(bytes))
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect()
}
