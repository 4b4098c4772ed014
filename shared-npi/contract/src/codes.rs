//! Winsock error codes: the numbers, symbols and meanings that calls answer with.

use core::fmt;

/// A Winsock code; 0 is success. Layout and values are those of winerror.h.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WsaCode(pub u32);

macro_rules! codes {
    ($($name:ident = $value:literal, $text:literal;)+) => {
        impl WsaCode {
            $(#[doc = $text] pub const $name: Self = Self($value);)+

            /// Every code that has a name here.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The code's name in winerror.h, without which it is only a number.
            #[must_use]
            pub const fn symbol(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)+
                    _ => None,
                }
            }

            /// What the code means for this namespace, in one line for a person.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self.0 {
                    $($value => $text,)+
                    _ => "unknown error",
                }
            }
        }
    };
}

codes! {
    NO_ERROR = 0, "success";
    WSA_INVALID_HANDLE = 6, "no such look-up is open";
    WSA_NOT_ENOUGH_MEMORY = 8, "not enough memory, or the store is full";
    WSA_INVALID_PARAMETER = 87, "invalid parameter";
    WSA_IO_PENDING = 997, "the operation completes later";
    WSAEACCES = 10013, "access denied";
    WSAEFAULT = 10014, "the buffer is too small";
    WSAEINVAL = 10022, "invalid argument";
    WSAEWOULDBLOCK = 10035, "the operation would block";
    WSAEALREADY = 10037, "the operation is already in progress";
    WSAEOPNOTSUPP = 10045, "operation not supported";
    WSAENOBUFS = 10055, "no buffer space available";
    WSASYSNOTREADY = 10091, "the service is not ready";
    WSANOTINITIALISED = 10093, "the session was not started";
    WSAENOMORE = 10102, "no more results";
    WSAECANCELLED = 10103, "the call was cancelled";
    WSAEINVALIDPROCTABLE = 10104, "the provider's dispatch table is invalid";
    WSAEINVALIDPROVIDER = 10105, "the provider is invalid";
    WSAEPROVIDERFAILEDINIT = 10106, "the provider failed to start";
    WSASYSCALLFAILURE = 10107, "a system call failed";
    WSASERVICE_NOT_FOUND = 10108, "no such name";
    WSATYPE_NOT_FOUND = 10109, "no such service class";
    WSA_E_NO_MORE = 10110, "no more results";
    WSA_E_CANCELLED = 10111, "the call was cancelled";
    WSAEREFUSED = 10112, "the query was refused";
    WSAHOST_NOT_FOUND = 11001, "no such host";
    WSATRY_AGAIN = 11002, "temporary failure, try again";
    WSANO_RECOVERY = 11003, "unrecoverable failure";
    WSANO_DATA = 11004, "the name exists but has no matching data";
}

impl WsaCode {
    /// Whether the code says that the call succeeded.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.0 == 0
    }

    /// Whether the code says that all results were delivered, in the modern or the legacy spelling.
    #[must_use]
    pub const fn is_no_more(self) -> bool {
        matches!(self, Self::WSA_E_NO_MORE | Self::WSAENOMORE)
    }

    /// Whether the code says that the call was cancelled, in the modern or the legacy spelling.
    #[must_use]
    pub const fn is_cancelled(self) -> bool {
        matches!(self, Self::WSA_E_CANCELLED | Self::WSAECANCELLED)
    }

    /// `Ok` for success, the code itself otherwise.
    ///
    /// # Errors
    /// The code, unless it is [`Self::NO_ERROR`].
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_success() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for WsaCode {
    /// Symbol, decimal, hexadecimal and meaning: `WSASERVICE_NOT_FOUND 10108 (0x277C): no such name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = self.symbol().unwrap_or("UNKNOWN");
        write!(f, "{symbol} {} (0x{:X}): {}", self.0, self.0, self.message())
    }
}

impl fmt::Debug for WsaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.symbol() {
            Some(symbol) => f.write_str(symbol),
            None => write!(f, "WsaCode({})", self.0),
        }
    }
}

impl core::error::Error for WsaCode {}
