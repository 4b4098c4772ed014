//! What can go wrong, and how the tool says so: by a line and by its exit code.

use nsemail_contract::{Fault, WriteError, WsaCode};

use crate::transport::TransportError;

/// How the tool ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything was done.
    Ok = 0,
    /// There is no such name, or nothing that matches.
    NotFound = 1,
    /// The command line or the input is wrong.
    Usage = 2,
    /// The caller may not do that.
    AccessDenied = 3,
    /// The driver is not there.
    NotRunning = 4,
    /// Anything else.
    Other = 5,
}

impl ExitCode {
    /// The exit code for what a driver answered.
    #[must_use]
    pub const fn of(code: WsaCode) -> Self {
        match code {
            WsaCode::NO_ERROR => Self::Ok,
            WsaCode::WSASERVICE_NOT_FOUND
            | WsaCode::WSANO_DATA
            | WsaCode::WSAHOST_NOT_FOUND
            | WsaCode::WSATYPE_NOT_FOUND
            | WsaCode::WSA_E_NO_MORE
            | WsaCode::WSAENOMORE => Self::NotFound,
            WsaCode::WSAEINVAL | WsaCode::WSA_INVALID_PARAMETER => Self::Usage,
            WsaCode::WSAEACCES => Self::AccessDenied,
            WsaCode::WSASYSNOTREADY | WsaCode::WSANOTINITIALISED => Self::NotRunning,
            _ => Self::Other,
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A driver answered with a code, and its general meaning is all there is to say.
    #[error("{0}")]
    Code(WsaCode),
    /// The tool found out by itself what a driver would answer with this code, and knows why.
    #[error("{}", explained(*.0, .1))]
    Explained(WsaCode, String),
    /// The request did not reach a driver, or was refused by the system.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A driver's reply makes no sense.
    #[error("the driver's reply is malformed: {0}")]
    MalformedReply(#[from] Fault),
    /// A request would exceed the published limits.
    #[error(
        "{}",
        explained(WsaCode::WSAEINVAL, "the request exceeds the published limits")
    )]
    TooLarge,
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The command line asks for something that cannot be done.
    #[error("{0}")]
    Usage(String),
    /// A person was asked and said no.
    #[error("{0}")]
    Declined(&'static str),
    /// Some lines of an import were refused; each was reported already.
    #[error("{refused} of {total} entries were refused")]
    Refused {
        /// Entries that were refused.
        refused: usize,
        /// Entries that there were.
        total: usize,
        /// The exit code of the first refusal.
        exit_code: ExitCode,
    },
    /// The verifier found broken rules in the drivers.
    #[error("{0}")]
    RulesBroken(String),
    /// The results cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

/// A code with a better explanation than its general meaning.
fn explained(code: WsaCode, explanation: &str) -> String {
    let symbol = code.symbol().unwrap_or("UNKNOWN");
    format!("{symbol} {} (0x{:X}): {explanation}", code.0, code.0)
}

impl Error {
    /// A wrong argument, as a driver would judge it.
    pub fn invalid(explanation: impl Into<String>) -> Self {
        Self::Explained(WsaCode::WSAEINVAL, explanation.into())
    }

    /// The Winsock code, if there is one.
    #[must_use]
    pub const fn code(&self) -> Option<WsaCode> {
        match self {
            Self::Code(code) | Self::Explained(code, _) => Some(*code),
            Self::TooLarge => Some(WsaCode::WSAEINVAL),
            Self::Transport(TransportError::AccessDenied) => Some(WsaCode::WSAEACCES),
            Self::Transport(TransportError::NotRunning(_)) => Some(WsaCode::WSASYSNOTREADY),
            _ => None,
        }
    }

    /// The exit code for it.
    #[must_use]
    pub const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Code(code) | Self::Explained(code, _) => ExitCode::of(*code),
            Self::Transport(TransportError::AccessDenied) => ExitCode::AccessDenied,
            Self::Transport(TransportError::NotRunning(_)) => ExitCode::NotRunning,
            Self::TooLarge | Self::Usage(_) => ExitCode::Usage,
            Self::Refused { exit_code, .. } => *exit_code,
            _ => ExitCode::Other,
        }
    }
}

impl From<WriteError> for Error {
    fn from(_: WriteError) -> Self {
        Self::TooLarge
    }
}
