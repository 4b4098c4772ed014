//! What the timeline says about requests.

use core::fmt;

use super::{
    device::FileId,
    irp::{IrpId, Major},
};
use crate::ntstatus::NtStatus;

/// A request on its way, for the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestStep {
    /// The request.
    pub irp: IrpId,
    /// What is asked for.
    pub major: Major,
    /// The file object that it is sent through.
    pub file: FileId,
    /// What happens to it.
    pub what: RequestEvent,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEvent {
    /// It is sent to the driver.
    Sent,
    /// The caller no longer wants it.
    Cancelled,
    /// The driver has completed it.
    Completed {
        /// The final status.
        status: NtStatus,
        /// How many bytes go back to the caller.
        length: usize,
    },
}

impl fmt::Display for RequestStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} on file {}", self.major.name(), self.irp.0, self.file.0)?;
        if let Major::DeviceControl(code) = self.major {
            write!(f, ", code 0x{code:08X}")?;
        }
        match self.what {
            RequestEvent::Sent => Ok(()),
            RequestEvent::Cancelled => f.write_str(": cancelled by the caller"),
            RequestEvent::Completed { status, length } => write!(f, ": completed, {status}, {length} bytes"),
        }
    }
}
