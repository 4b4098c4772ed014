//! Status codes as user mode and a person see them.
//!
//! Drivers pass bare `i32` values, as the kernel's headers have it. What leaves the simulator
//! towards tests and tools is an [`NtStatus`] or a [`Win32Error`], which print their names.

use core::fmt;

/// An `NTSTATUS`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NtStatus(pub i32);

/// A Win32 error code, as the service control manager and `GetLastError` give it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Win32Error(pub u32);

macro_rules! statuses {
    ($($name:ident = $value:literal => $win32:literal, $nt:literal;)*) => {
        impl NtStatus {
            $(
                #[doc = concat!("`", $nt, "`")]
                pub const $name: Self = Self(i32::from_ne_bytes(u32::to_ne_bytes($value)));
            )*

            /// Returns the name that the kernel's headers have for this code.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($nt),)*
                    _ => None,
                }
            }

            /// Returns the code that a Win32 program sees for this status, as
            /// `RtlNtStatusToDosError` translates it.
            #[must_use]
            pub const fn to_win32(self) -> Win32Error {
                match self {
                    $(Self::$name => Win32Error($win32),)*
                    // ERROR_MR_MID_NOT_FOUND: a status without a translation.
                    _ => Win32Error(317),
                }
            }
        }
    };
}

statuses! {
    SUCCESS = 0x0000_0000 => 0, "STATUS_SUCCESS";
    PENDING = 0x0000_0103 => 997, "STATUS_PENDING";
    BUFFER_OVERFLOW = 0x8000_0005 => 234, "STATUS_BUFFER_OVERFLOW";
    NO_MORE_FILES = 0x8000_0006 => 18, "STATUS_NO_MORE_FILES";
    NO_MORE_ENTRIES = 0x8000_001A => 259, "STATUS_NO_MORE_ENTRIES";
    UNSUCCESSFUL = 0xC000_0001 => 31, "STATUS_UNSUCCESSFUL";
    NOT_IMPLEMENTED = 0xC000_0002 => 1, "STATUS_NOT_IMPLEMENTED";
    INFO_LENGTH_MISMATCH = 0xC000_0004 => 24, "STATUS_INFO_LENGTH_MISMATCH";
    INVALID_HANDLE = 0xC000_0008 => 6, "STATUS_INVALID_HANDLE";
    INVALID_PARAMETER = 0xC000_000D => 87, "STATUS_INVALID_PARAMETER";
    NO_SUCH_DEVICE = 0xC000_000E => 433, "STATUS_NO_SUCH_DEVICE";
    NO_SUCH_FILE = 0xC000_000F => 2, "STATUS_NO_SUCH_FILE";
    INVALID_DEVICE_REQUEST = 0xC000_0010 => 1, "STATUS_INVALID_DEVICE_REQUEST";
    END_OF_FILE = 0xC000_0011 => 38, "STATUS_END_OF_FILE";
    ACCESS_DENIED = 0xC000_0022 => 5, "STATUS_ACCESS_DENIED";
    BUFFER_TOO_SMALL = 0xC000_0023 => 122, "STATUS_BUFFER_TOO_SMALL";
    OBJECT_TYPE_MISMATCH = 0xC000_0024 => 6, "STATUS_OBJECT_TYPE_MISMATCH";
    OBJECT_NAME_INVALID = 0xC000_0033 => 123, "STATUS_OBJECT_NAME_INVALID";
    OBJECT_NAME_NOT_FOUND = 0xC000_0034 => 2, "STATUS_OBJECT_NAME_NOT_FOUND";
    OBJECT_NAME_COLLISION = 0xC000_0035 => 183, "STATUS_OBJECT_NAME_COLLISION";
    OBJECT_PATH_INVALID = 0xC000_0039 => 161, "STATUS_OBJECT_PATH_INVALID";
    OBJECT_PATH_NOT_FOUND = 0xC000_003A => 3, "STATUS_OBJECT_PATH_NOT_FOUND";
    OBJECT_PATH_SYNTAX_BAD = 0xC000_003B => 161, "STATUS_OBJECT_PATH_SYNTAX_BAD";
    SHARING_VIOLATION = 0xC000_0043 => 32, "STATUS_SHARING_VIOLATION";
    DELETE_PENDING = 0xC000_0056 => 5, "STATUS_DELETE_PENDING";
    DISK_FULL = 0xC000_007F => 112, "STATUS_DISK_FULL";
    INSUFFICIENT_RESOURCES = 0xC000_009A => 1450, "STATUS_INSUFFICIENT_RESOURCES";
    FILE_IS_A_DIRECTORY = 0xC000_00BA => 5, "STATUS_FILE_IS_A_DIRECTORY";
    NOT_SUPPORTED = 0xC000_00BB => 50, "STATUS_NOT_SUPPORTED";
    UNEXPECTED_IO_ERROR = 0xC000_00E9 => 1117, "STATUS_UNEXPECTED_IO_ERROR";
    DIRECTORY_NOT_EMPTY = 0xC000_0101 => 145, "STATUS_DIRECTORY_NOT_EMPTY";
    NOT_A_DIRECTORY = 0xC000_0103 => 267, "STATUS_NOT_A_DIRECTORY";
    IMAGE_ALREADY_LOADED = 0xC000_010E => 1056, "STATUS_IMAGE_ALREADY_LOADED";
    CANCELLED = 0xC000_0120 => 995, "STATUS_CANCELLED";
    CANNOT_DELETE = 0xC000_0121 => 5, "STATUS_CANNOT_DELETE";
    FILE_DELETED = 0xC000_0123 => 5, "STATUS_FILE_DELETED";
    FILE_CLOSED = 0xC000_0128 => 6, "STATUS_FILE_CLOSED";
    KEY_DELETED = 0xC000_017C => 1018, "STATUS_KEY_DELETED";
    CHILD_MUST_BE_VOLATILE = 0xC000_0181 => 1021, "STATUS_CHILD_MUST_BE_VOLATILE";
    INVALID_DEVICE_STATE = 0xC000_0184 => 22, "STATUS_INVALID_DEVICE_STATE";
    IO_DEVICE_ERROR = 0xC000_0185 => 1117, "STATUS_IO_DEVICE_ERROR";
    DRIVER_UNABLE_TO_LOAD = 0xC000_026C => 2001, "STATUS_DRIVER_UNABLE_TO_LOAD";
    NOINTERFACE = 0xC000_02B9 => 632, "STATUS_NOINTERFACE";
}

impl NtStatus {
    /// Tells whether the `NT_SUCCESS` macro holds: a success or informational code.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 >= 0
    }

    /// Tells whether this is a warning: the operation failed in part, yet has data to give.
    #[must_use]
    pub const fn is_warning(self) -> bool {
        (self.0 >> 30) & 3 == 2
    }

    /// Tells whether this is an error: no data goes back to the caller.
    #[must_use]
    pub const fn is_error(self) -> bool {
        (self.0 >> 30) & 3 == 3
    }

    /// Returns `Ok` for success and informational codes, else the status as an error.
    ///
    /// # Errors
    ///
    /// Returns the status itself when it is a warning or an error.
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_success() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} (0x{:08X})", self.0),
            None => write!(f, "NTSTATUS 0x{:08X}", self.0),
        }
    }
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for NtStatus {}

macro_rules! win32_errors {
    ($($name:ident = $value:literal, $header:literal, $text:literal;)*) => {
        impl Win32Error {
            $(
                #[doc = concat!("`", $header, "`: ", $text)]
                pub const $name: Self = Self($value);
            )*

            /// Returns the name that the Windows headers have for this code.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($header),)*
                    _ => None,
                }
            }

            const fn text(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

win32_errors! {
    FILE_NOT_FOUND = 2, "ERROR_FILE_NOT_FOUND", "the file, device or driver image does not exist";
    ACCESS_DENIED = 5, "ERROR_ACCESS_DENIED", "access is denied";
    GEN_FAILURE = 31, "ERROR_GEN_FAILURE", "a device attached to the system does not function";
    INVALID_PARAMETER = 87, "ERROR_INVALID_PARAMETER", "a parameter is wrong";
    INVALID_SERVICE_CONTROL = 1052, "ERROR_INVALID_SERVICE_CONTROL", "the driver cannot be stopped: it has no unload routine";
    SERVICE_ALREADY_RUNNING = 1056, "ERROR_SERVICE_ALREADY_RUNNING", "the service is running already";
    SERVICE_DISABLED = 1058, "ERROR_SERVICE_DISABLED", "the service is disabled";
    SERVICE_DOES_NOT_EXIST = 1060, "ERROR_SERVICE_DOES_NOT_EXIST", "no such service is installed";
    SERVICE_CANNOT_ACCEPT_CTRL = 1061, "ERROR_SERVICE_CANNOT_ACCEPT_CTRL", "the service is being stopped and takes no request now";
    SERVICE_NOT_ACTIVE = 1062, "ERROR_SERVICE_NOT_ACTIVE", "the service is not running";
    SERVICE_MARKED_FOR_DELETE = 1072, "ERROR_SERVICE_MARKED_FOR_DELETE", "the service will be deleted when it has stopped";
    NO_SYSTEM_RESOURCES = 1450, "ERROR_NO_SYSTEM_RESOURCES", "the system has not enough resources";
}

impl fmt::Display for Win32Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.text()) {
            (Some(name), Some(text)) => write!(f, "{name} ({}): {text}", self.0),
            _ => write!(f, "Win32 error {}", self.0),
        }
    }
}

impl fmt::Debug for Win32Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Win32Error {}

impl From<NtStatus> for Win32Error {
    fn from(status: NtStatus) -> Self {
        status.to_win32()
    }
}
