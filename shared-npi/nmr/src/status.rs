//! The status codes of the kernel.

use core::fmt;

/// An `NTSTATUS`.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub struct NtStatus(pub i32);

impl NtStatus {
    /// `STATUS_SUCCESS`.
    pub const SUCCESS: Self = Self(0);
    /// `STATUS_PENDING`. A *success* code for `NT_SUCCESS`: compare, never test with
    /// [`Self::is_success`], where a function may return it.
    pub const PENDING: Self = Self(0x0000_0103);
    /// `STATUS_BUFFER_OVERFLOW`, a warning: some of the data was returned.
    pub const BUFFER_OVERFLOW: Self = Self::code(0x8000_0005);
    /// `STATUS_NO_MORE_ENTRIES`, a warning: an enumeration is at its end.
    pub const NO_MORE_ENTRIES: Self = Self::code(0x8000_001A);
    /// `STATUS_UNSUCCESSFUL`.
    pub const UNSUCCESSFUL: Self = Self::code(0xC000_0001);
    /// `STATUS_INVALID_HANDLE`.
    pub const INVALID_HANDLE: Self = Self::code(0xC000_0008);
    /// `STATUS_INVALID_PARAMETER`.
    pub const INVALID_PARAMETER: Self = Self::code(0xC000_000D);
    /// `STATUS_INVALID_DEVICE_REQUEST`.
    pub const INVALID_DEVICE_REQUEST: Self = Self::code(0xC000_0010);
    /// `STATUS_END_OF_FILE`.
    pub const END_OF_FILE: Self = Self::code(0xC000_0011);
    /// `STATUS_NO_MEMORY`.
    pub const NO_MEMORY: Self = Self::code(0xC000_0017);
    /// `STATUS_ACCESS_DENIED`.
    pub const ACCESS_DENIED: Self = Self::code(0xC000_0022);
    /// `STATUS_BUFFER_TOO_SMALL`.
    pub const BUFFER_TOO_SMALL: Self = Self::code(0xC000_0023);
    /// `STATUS_OBJECT_TYPE_MISMATCH`.
    pub const OBJECT_TYPE_MISMATCH: Self = Self::code(0xC000_0024);
    /// `STATUS_OBJECT_NAME_INVALID`.
    pub const OBJECT_NAME_INVALID: Self = Self::code(0xC000_0033);
    /// `STATUS_OBJECT_NAME_NOT_FOUND`.
    pub const OBJECT_NAME_NOT_FOUND: Self = Self::code(0xC000_0034);
    /// `STATUS_OBJECT_NAME_COLLISION`.
    pub const OBJECT_NAME_COLLISION: Self = Self::code(0xC000_0035);
    /// `STATUS_OBJECT_PATH_NOT_FOUND`.
    pub const OBJECT_PATH_NOT_FOUND: Self = Self::code(0xC000_003A);
    /// `STATUS_DISK_FULL`.
    pub const DISK_FULL: Self = Self::code(0xC000_007F);
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub const INSUFFICIENT_RESOURCES: Self = Self::code(0xC000_009A);
    /// `STATUS_DEVICE_NOT_READY`.
    pub const DEVICE_NOT_READY: Self = Self::code(0xC000_00A3);
    /// `STATUS_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: Self = Self::code(0xC000_00BB);
    /// `STATUS_CANCELLED`.
    pub const CANCELLED: Self = Self::code(0xC000_0120);
    /// `STATUS_INVALID_DEVICE_STATE`.
    pub const INVALID_DEVICE_STATE: Self = Self::code(0xC000_0184);
    /// `STATUS_NOT_FOUND`.
    pub const NOT_FOUND: Self = Self::code(0xC000_0225);
    /// `STATUS_NOINTERFACE`: between network modules, "healthy, but not for me".
    pub const NOINTERFACE: Self = Self::code(0xC000_02B9);

    /// A status from the unsigned form in which the documentation writes it.
    pub const fn code(code: u32) -> Self {
        Self(code.cast_signed())
    }

    /// `NT_SUCCESS`: success and informational codes, [`Self::PENDING`] among them.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 0
    }

    /// `Ok` for what [`Self::is_success`] accepts.
    ///
    /// # Errors
    /// The status itself, if it is a warning or an error.
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_success() { Ok(()) } else { Err(self) }
    }

    /// The symbol of the codes that this crate knows.
    #[must_use]
    pub const fn symbol(self) -> Option<&'static str> {
        Some(match self {
            Self(0) => "STATUS_SUCCESS",
            Self(0x0000_0103) => "STATUS_PENDING",
            Self(other) => match other.cast_unsigned() {
                0x8000_0005 => "STATUS_BUFFER_OVERFLOW",
                0x8000_001A => "STATUS_NO_MORE_ENTRIES",
                0xC000_0001 => "STATUS_UNSUCCESSFUL",
                0xC000_0008 => "STATUS_INVALID_HANDLE",
                0xC000_000D => "STATUS_INVALID_PARAMETER",
                0xC000_0010 => "STATUS_INVALID_DEVICE_REQUEST",
                0xC000_0011 => "STATUS_END_OF_FILE",
                0xC000_0017 => "STATUS_NO_MEMORY",
                0xC000_0022 => "STATUS_ACCESS_DENIED",
                0xC000_0023 => "STATUS_BUFFER_TOO_SMALL",
                0xC000_0024 => "STATUS_OBJECT_TYPE_MISMATCH",
                0xC000_0033 => "STATUS_OBJECT_NAME_INVALID",
                0xC000_0034 => "STATUS_OBJECT_NAME_NOT_FOUND",
                0xC000_0035 => "STATUS_OBJECT_NAME_COLLISION",
                0xC000_003A => "STATUS_OBJECT_PATH_NOT_FOUND",
                0xC000_007F => "STATUS_DISK_FULL",
                0xC000_009A => "STATUS_INSUFFICIENT_RESOURCES",
                0xC000_00A3 => "STATUS_DEVICE_NOT_READY",
                0xC000_00BB => "STATUS_NOT_SUPPORTED",
                0xC000_0120 => "STATUS_CANCELLED",
                0xC000_0184 => "STATUS_INVALID_DEVICE_STATE",
                0xC000_0225 => "STATUS_NOT_FOUND",
                0xC000_02B9 => "STATUS_NOINTERFACE",
                _ => return None,
            },
        })
    }
}

/// `STATUS_NOINTERFACE (0xC00002B9)`, or the number alone for codes unknown here.
impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => write!(f, "{symbol} (0x{:08X})", self.0),
            None => write!(f, "0x{:08X}", self.0),
        }
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
