//! How requests reach a driver.

pub mod embedded;
#[cfg(windows)]
pub mod windows;

pub use embedded::EmbeddedSystem;

/// An open handle of a control device. Requests may be sent from many threads at once.
pub trait Transport: Send + Sync {
    /// Sends a request and waits for its reply, which is put into `output`; answers its size.
    ///
    /// # Errors
    /// If the system refused the request; not if a driver answered it, whatever the answer.
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError>;
}

impl<T: Transport + ?Sized> Transport for &T {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        (**self).ioctl(code, input, output)
    }
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        (**self).ioctl(code, input, output)
    }
}

/// Why the system refused a request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransportError {
    /// There is no such device, because its driver is not running.
    #[error("WSASYSNOTREADY 10091 (0x276B): the driver is not running: {0}")]
    NotRunning(String),
    /// The handle, or the caller, does not have the access that is needed.
    #[error("WSAEACCES 10013 (0x271D): access denied")]
    AccessDenied,
    /// The driver does not know the request, or finds it malformed.
    #[error("the driver refused the request as malformed")]
    Malformed,
    /// The request was cancelled.
    #[error("the request was cancelled")]
    Cancelled,
    /// Anything else; what the system calls it.
    #[error("the system refused the request: {0}")]
    Other(String),
}

/// Which control device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    /// The client driver's, for everyone.
    Client,
    /// The provider driver's, for administrators.
    Provider,
}

impl Device {
    /// What a program opens.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Client => nsemail_contract::ids::CLIENT_PATH,
            Self::Provider => nsemail_contract::ids::PROVIDER_PATH,
        }
    }
}

/// A system with the drivers: the Windows that runs this, or a simulated machine.
pub trait System {
    /// Opens a control device; for writing only if `write`, because not everyone may.
    ///
    /// # Errors
    /// If the driver is not running, or the caller may not.
    fn open(&self, device: Device, write: bool) -> Result<Box<dyn Transport>, TransportError>;

    /// Ends the use of the system.
    ///
    /// # Errors
    /// What a simulated machine found wrong with the drivers.
    fn close(self: Box<Self>) -> Result<(), String>;
}
