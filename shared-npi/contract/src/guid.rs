//! Globally unique identifiers: of the interface, of modules, of namespace providers.

use core::fmt;
use core::str::FromStr;

/// A GUID with the memory layout of the Windows type of that name.
///
/// It is shown in upper case and in braces, as Windows' own tools print provider ids.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Guid {
    /// First group of digits.
    pub data1: u32,
    /// Second group of digits.
    pub data2: u16,
    /// Third group of digits.
    pub data3: u16,
    /// Fourth and fifth group of digits, in the order in which they are written.
    pub data4: [u8; 8],
}

const _: () = assert!(size_of::<Guid>() == Guid::SIZE && align_of::<Guid>() == 4);

impl Guid {
    /// Bytes that a GUID takes in memory and in every format here.
    pub const SIZE: usize = 16;
    /// The GUID whose digits are all zero; it never names anything.
    pub const NIL: Self = Self::from_u128(0);

    /// Builds a GUID from its 32 digits, read from left to right.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each cast takes the digits of one group"
    )]
    pub const fn from_u128(digits: u128) -> Self {
        Self {
            data1: (digits >> 96) as u32,
            data2: (digits >> 80) as u16,
            data3: (digits >> 64) as u16,
            data4: (digits as u64).to_be_bytes(),
        }
    }

    /// The 32 digits, read from left to right.
    #[must_use]
    pub const fn to_u128(self) -> u128 {
        ((self.data1 as u128) << 96)
            | ((self.data2 as u128) << 80)
            | ((self.data3 as u128) << 64)
            | u64::from_be_bytes(self.data4) as u128
    }

    /// The bytes as they stand in memory on a little-endian machine.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::SIZE] {
        self.swapped().to_u128().to_be_bytes()
    }

    /// The inverse of [`Self::to_bytes`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self::from_u128(u128::from_be_bytes(bytes)).swapped()
    }

    /// The first three groups stand little-endian in memory, the last two in written order.
    const fn swapped(self) -> Self {
        Self {
            data1: self.data1.swap_bytes(),
            data2: self.data2.swap_bytes(),
            data3: self.data3.swap_bytes(),
            data4: self.data4,
        }
    }

    /// Whether this is [`Self::NIL`].
    #[must_use]
    pub const fn is_nil(self) -> bool {
        self.to_u128() == 0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, rest @ ..] = self.data4;
        write!(
            f,
            "{{{:08X}-{:04X}-{:04X}-{a:02X}{b:02X}-",
            self.data1, self.data2, self.data3
        )?;
        for byte in rest {
            write!(f, "{byte:02X}")?;
        }
        f.write_str("}")
    }
}

/// The text is not a GUID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidGuid;

impl fmt::Display for InvalidGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a GUID of the form {XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}")
    }
}

impl core::error::Error for InvalidGuid {}

impl FromStr for Guid {
    type Err = InvalidGuid;

    /// Reads `{XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}`, in either case, with or without the braces.
    fn from_str(text: &str) -> Result<Self, InvalidGuid> {
        let bare = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}').ok_or(InvalidGuid)?,
            None => text,
        };
        let mut digits = 0_u128;
        let mut groups = bare.split('-');
        for length in [8_usize, 4, 4, 4, 12] {
            let group = groups
                .next()
                .filter(|group| group.len() == length)
                .ok_or(InvalidGuid)?;
            for letter in group.chars() {
                let digit = letter.to_digit(16).ok_or(InvalidGuid)?;
                digits = (digits << 4) | u128::from(digit);
            }
        }
        if groups.next().is_some() {
            return Err(InvalidGuid);
        }
        Ok(Self::from_u128(digits))
    }
}
