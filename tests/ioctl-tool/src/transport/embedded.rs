//! A simulated machine with both drivers, in the same process.

use nsemail_embedded::{BootError, Embedded, Options};
use nt_sim::{
    io::{Access, FileHandle, Identity, Process},
    ntstatus::NtStatus,
};

use super::{Device, System, Transport, TransportError};

impl Transport for FileHandle {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        self.device_control(code, input, output).map_err(error)
    }
}

fn error(status: NtStatus) -> TransportError {
    match status {
        NtStatus::ACCESS_DENIED => TransportError::AccessDenied,
        NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND | NtStatus::NO_SUCH_DEVICE => {
            TransportError::NotRunning(status.to_string())
        }
        NtStatus::INVALID_PARAMETER | NtStatus::INVALID_DEVICE_REQUEST => TransportError::Malformed,
        NtStatus::CANCELLED => TransportError::Cancelled,
        _ => TransportError::Other(status.to_string()),
    }
}

/// Opens a device in a process of a machine.
///
/// # Errors
/// If its driver is not running, or the process may not.
pub fn open(process: &Process, device: Device, write: bool) -> Result<FileHandle, TransportError> {
    let access = if write { Access::READ_WRITE } else { Access::READ };
    process.open(device.path(), access).map_err(error)
}

/// A machine that was booted for one run of the tool.
#[derive(Debug)]
pub struct EmbeddedSystem {
    machine: Embedded,
    process: Process,
}

impl EmbeddedSystem {
    /// Boots a machine; the tool runs on it as `identity`.
    ///
    /// # Errors
    /// If the state folder cannot be used, or a driver does not start.
    pub fn boot(options: Options, identity: Identity) -> Result<Self, BootError> {
        let machine = Embedded::boot(options)?;
        let process = machine.process(identity);
        Ok(Self { machine, process })
    }

    /// The machine.
    #[must_use]
    pub const fn machine(&self) -> &Embedded {
        &self.machine
    }

    /// The process that the tool is on the machine.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }
}

impl System for EmbeddedSystem {
    fn open(&self, device: Device, write: bool) -> Result<Box<dyn Transport>, TransportError> {
        open(&self.process, device, write).map(|handle| Box::new(handle) as Box<dyn Transport>)
    }

    fn close(self: Box<Self>) -> Result<(), String> {
        let report = self.machine.shutdown();
        if report.is_clean() {
            Ok(())
        } else {
            Err(report.to_string())
        }
    }
}
