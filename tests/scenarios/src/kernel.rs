//! What a scenario needs of the kernel that runs both drivers.
//!
//! Only what user mode has: service control, processes, devices, requests; and one thing more, to keep
//! an operation in flight for as long as a scenario likes. Codes are those that a Win32 program sees.

use core::fmt;

use nsemail::transport::{Device, Transport, TransportError};
use nsemail_contract::ids;

/// One of the two drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The one that hosts namespace providers.
    Provider,
    /// The one that programs talk to.
    Client,
}

impl Driver {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Provider, Self::Client];

    /// The name of its service.
    #[must_use]
    pub const fn service(self) -> &'static str {
        match self {
            Self::Provider => ids::PROVIDER_SERVICE,
            Self::Client => ids::CLIENT_SERVICE,
        }
    }

    /// Its control device.
    #[must_use]
    pub const fn device(self) -> Device {
        match self {
            Self::Provider => Device::Provider,
            Self::Client => Device::Client,
        }
    }
}

/// What service control says that a driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// It is not loaded.
    Stopped,
    /// It is being started.
    StartPending,
    /// It is loaded.
    Running,
    /// It is to be unloaded and is still loaded.
    StopPending,
}

/// On whose behalf a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The operating system.
    System,
    /// An elevated administrator.
    Administrator,
    /// Anyone.
    User,
}

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To look up.
    Read,
    /// To change, too.
    ReadWrite,
}

/// A Win32 error code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Win32(pub u32);

impl Win32 {
    /// `ERROR_INVALID_FUNCTION`: the device does not know the control code.
    pub const INVALID_FUNCTION: Self = Self(1);
    /// `ERROR_FILE_NOT_FOUND`: there is no such device.
    pub const FILE_NOT_FOUND: Self = Self(2);
    /// `ERROR_ACCESS_DENIED`.
    pub const ACCESS_DENIED: Self = Self(5);
    /// `ERROR_INVALID_PARAMETER`: the request is malformed.
    pub const INVALID_PARAMETER: Self = Self(87);
    /// `ERROR_INSUFFICIENT_BUFFER`: the output cannot hold a reply's header.
    pub const INSUFFICIENT_BUFFER: Self = Self(122);
    /// `ERROR_NO_SUCH_DEVICE`: the device's driver is about to be unloaded.
    pub const NO_SUCH_DEVICE: Self = Self(433);
    /// `ERROR_OPERATION_ABORTED`: the request was cancelled.
    pub const OPERATION_ABORTED: Self = Self(995);
    /// `ERROR_NO_SYSTEM_RESOURCES`.
    pub const NO_SYSTEM_RESOURCES: Self = Self(1450);
}

impl fmt::Debug for Win32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::INVALID_FUNCTION => "ERROR_INVALID_FUNCTION",
            Self::FILE_NOT_FOUND => "ERROR_FILE_NOT_FOUND",
            Self::ACCESS_DENIED => "ERROR_ACCESS_DENIED",
            Self::INVALID_PARAMETER => "ERROR_INVALID_PARAMETER",
            Self::INSUFFICIENT_BUFFER => "ERROR_INSUFFICIENT_BUFFER",
            Self::NO_SUCH_DEVICE => "ERROR_NO_SUCH_DEVICE",
            Self::OPERATION_ABORTED => "ERROR_OPERATION_ABORTED",
            Self::NO_SYSTEM_RESOURCES => "ERROR_NO_SYSTEM_RESOURCES",
            Self(number) => return write!(f, "Win32 error {number}"),
        };
        f.write_str(name)
    }
}

/// A machine on which both drivers are installed, and not started.
pub trait Kernel: Send + Sync {
    /// Starts a driver.
    ///
    /// # Errors
    /// What service control answers.
    fn start(&self, driver: Driver) -> Result<(), Win32>;

    /// Stops a driver, and says what has become of it when service control returns: it is unloaded, or
    /// its stop is pending because files of its device are open.
    ///
    /// # Errors
    /// What service control answers.
    fn stop(&self, driver: Driver) -> Result<Service, Win32>;

    /// What a driver does.
    fn service(&self, driver: Driver) -> Service;

    /// Waits until a driver is unloaded.
    fn wait_until_stopped(&self, driver: Driver);

    /// Starts a program.
    fn process(&self, who: Who) -> Box<dyn Process>;

    /// Holds back from now on what the provider driver flushes to its disk.
    fn hold_flush(&self) -> Box<dyn Hold>;
}

/// A program that runs.
pub trait Process: Send + Sync {
    /// Opens a control device.
    ///
    /// # Errors
    /// What `CreateFile` answers.
    fn open(&self, device: Device, access: Access) -> Result<Box<dyn Handle>, Win32>;

    /// Ends the program as task manager does. Returns when it is gone.
    fn kill(&self);
}

/// An open handle of a control device; dropping it closes it.
pub trait Handle: Send + Sync {
    /// Sends a request (`DeviceIoControl`, overlapped).
    fn submit(&self, code: u32, input: &[u8], output_length: usize) -> Box<dyn Call>;

    /// Makes a second handle to the same file (`DuplicateHandle`).
    fn duplicate(&self) -> Box<dyn Handle>;
}

impl dyn Handle + '_ {
    /// Sends a request and waits for its end.
    #[must_use]
    pub fn call(&self, code: u32, input: &[u8], output_length: usize) -> Answer {
        self.submit(code, input, output_length).wait()
    }
}

/// A request that was sent.
pub trait Call: Send {
    /// Asks for its end (`CancelIoEx`); `false` if it has ended already.
    fn cancel(&self) -> bool;

    /// Whether it has ended.
    fn is_complete(&self) -> bool;

    /// Waits for its end.
    fn wait(self: Box<Self>) -> Answer;
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Success, or what `GetLastError` says.
    pub result: Result<(), Win32>,
    /// How many bytes came back, as the driver said it.
    pub returned: usize,
    /// The bytes that came back.
    pub bytes: Vec<u8>,
}

/// Something is held back; dropping this lets it go on.
pub trait Hold: Send + Sync {
    /// Waits until something is held back: it is in flight from then on.
    fn wait_until_reached(&self);
}

/// The tool's client speaks to a handle of any kernel.
impl Transport for dyn Handle {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        let Answer { result, bytes, .. } = self.call(code, input, output.len());
        result.map_err(|error| match error {
            Win32::ACCESS_DENIED => TransportError::AccessDenied,
            Win32::INVALID_PARAMETER | Win32::INVALID_FUNCTION => TransportError::Malformed,
            Win32::OPERATION_ABORTED => TransportError::Cancelled,
            error => TransportError::Other(format!("{error:?}")),
        })?;
        output
            .get_mut(..bytes.len())
            .ok_or_else(|| TransportError::Other("more came back than there is room for".to_owned()))?
            .copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}
