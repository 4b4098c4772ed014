//! Reads and checks the INF files of primitive driver packages, and says what they install.
//!
//! Three steps, each total over any text: [`stamp`] fills in what `stampinf` fills in, [`Inf::parse`]
//! takes the text apart, and [`Package::read`] finds the install section for the machine's
//! architecture, checks the rules of a primitive package and returns the services, registry
//! values and files that it asks for. What then happens to registry and services is done by the
//! service control manager.
//!
//! Every fault is an [`InfError`] with the line it was found on. The rules are those of the
//! documentation pages "Creating a primitive driver", "General syntax rules for INF files", "INF
//! AddReg directive" and "INF AddService directive". A package of any other kind (for devices, with
//! co-installers, for several disks) is refused, not half installed.

mod package;
mod parse;
mod registry_values;

use core::fmt;

pub use package::{Package, ServiceEntry};
pub use parse::{Entry, Inf, Section};
pub use registry_values::RegistryValue;

/// A fault in an INF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfError {
    /// The line, counted from one; none where something is missing altogether.
    pub line: Option<u32>,
    /// What is wrong, for a person.
    pub reason: String,
}

impl InfError {
    pub(crate) fn at(line: u32, reason: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            reason: reason.into(),
        }
    }

    pub(crate) fn whole(reason: impl Into<String>) -> Self {
        Self {
            line: None,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for InfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "INF line {line}: {}", self.reason),
            None => write!(f, "INF: {}", self.reason),
        }
    }
}

impl core::error::Error for InfError {}

/// Replaces the tokens that the `stampinf` tool replaces when a package is built: `$ARCH$` and
/// `$KMDFVERSION$`.
#[must_use]
pub fn stamp(inx: &str, architecture: &str, kmdf_version: &str) -> String {
    inx.replace("$ARCH$", architecture)
        .replace("$KMDFVERSION$", kmdf_version)
}

/// Turns the bytes of an INF file into text: UTF-16LE with a byte order mark, or UTF-8 with or
/// without one.
///
/// # Errors
///
/// Returns an error if the bytes are neither.
pub fn decode(bytes: &[u8]) -> Result<String, InfError> {
    if let Some(utf16) = bytes.strip_prefix(&[0xFF, 0xFE]) {
        let units: Vec<u16> = utf16
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        if utf16.len() % 2 != 0 {
            return Err(InfError::whole("half a UTF-16 unit at the end of the file"));
        }
        return String::from_utf16(&units).map_err(|_| InfError::whole("the file is no well-formed UTF-16"));
    }
    let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    core::str::from_utf8(bytes).map(str::to_owned).map_err(|fault| {
        let before = bytes.get(..fault.valid_up_to()).unwrap_or(bytes);
        let line = before.split(|&byte| byte == b'\n').count();
        InfError::at(
            u32::try_from(line).unwrap_or(u32::MAX),
            "neither UTF-8 nor UTF-16 with a mark",
        )
    })
}
