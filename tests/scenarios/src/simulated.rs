//! The simulated kernel, for scenarios.

use nsemail::transport::Device;
use nsemail_contract::Guid;
use nsemail_embedded::{Embedded, Options, Order};
use nt_sim::{
    files::{self, Operation},
    io::{self, FileHandle, Identity, PendingCall},
    ntstatus::NtStatus,
    scm::{ServiceState, StopOutcome, Win32Error},
};

use crate::{
    kernel::{Access, Answer, Call, Driver, Handle, Hold, Kernel, Process, Service, Who, Win32},
    watchdog::Watchdog,
};

/// A simulated machine with both drivers installed. A test that hangs with one is ended.
#[derive(Debug)]
pub struct Simulated {
    embedded: Embedded,
    _watchdog: Watchdog,
}

impl Simulated {
    /// A machine in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Options::new())
    }

    /// A machine made in another way.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn with(options: Options) -> Self {
        match Embedded::boot(options.order(Order::InstallOnly)) {
            Ok(embedded) => Self {
                _watchdog: Watchdog::new(embedded.machine()),
                embedded,
            },
            Err(error) => panic!("{error}"),
        }
    }

    /// The machine.
    #[must_use]
    pub const fn machine(&self) -> &nt_sim::Machine {
        self.embedded.machine()
    }

    /// Starts both drivers and waits until every namespace provider that can be hosted is attached.
    ///
    /// # Panics
    /// If a driver does not start.
    pub fn start(&self) {
        for driver in Driver::BOTH {
            Kernel::start(self, driver).expect("the driver starts");
        }
        self.embedded.wait_until_ready();
    }

    /// Waits until every namespace provider that is hosted is there or could not be, and tells which are missing.
    #[must_use]
    pub fn missing(&self) -> Vec<Guid> {
        self.embedded.missing()
    }

    /// The machine, as scenarios see it.
    #[must_use]
    pub fn kernel(&self) -> &dyn Kernel {
        self
    }

    /// Stops both drivers, and demands that the verifier has found nothing.
    ///
    /// # Panics
    /// If it has.
    pub fn end(self) {
        self.embedded.shutdown().assert_clean();
    }
}

impl Default for Simulated {
    fn default() -> Self {
        Self::new()
    }
}

const fn error(error: Win32Error) -> Win32 {
    Win32(error.0)
}

const fn status(status: NtStatus) -> Win32 {
    Win32(status.to_win32().0)
}

impl Kernel for Simulated {
    fn start(&self, driver: Driver) -> Result<(), Win32> {
        self.machine().start(driver.service()).map_err(error)
    }

    fn stop(&self, driver: Driver) -> Result<Service, Win32> {
        let outcome = self.machine().stop(driver.service()).map_err(error)?;
        Ok(match outcome {
            StopOutcome::Stopped => Service::Stopped,
            StopOutcome::StopPending => Service::StopPending,
        })
    }

    fn service(&self, driver: Driver) -> Service {
        match self.machine().query(driver.service()) {
            Ok(ServiceState::StartPending) => Service::StartPending,
            Ok(ServiceState::Running) => Service::Running,
            Ok(ServiceState::StopPending) => Service::StopPending,
            Ok(ServiceState::Stopped) | Err(_) => Service::Stopped,
        }
    }

    fn wait_until_stopped(&self, driver: Driver) {
        self.machine().wait_until_stopped(driver.service());
    }

    fn process(&self, who: Who) -> Box<dyn Process> {
        let identity = match who {
            Who::System => Identity::System,
            Who::Administrator => Identity::Administrator,
            Who::User => Identity::User,
        };
        Box::new(self.machine().process(identity))
    }

    fn hold_flush(&self) -> Box<dyn Hold> {
        Box::new(self.machine().hold(Operation::FlushFile))
    }
}

impl Process for io::Process {
    fn open(&self, device: Device, access: Access) -> Result<Box<dyn Handle>, Win32> {
        let access = match access {
            Access::Read => io::Access::READ,
            Access::ReadWrite => io::Access::READ_WRITE,
        };
        let handle = Self::open(self, device.path(), access).map_err(status)?;
        Ok(Box::new(handle))
    }

    fn kill(&self) {
        Self::kill(self);
    }
}

impl Handle for FileHandle {
    fn submit(&self, code: u32, input: &[u8], output_length: usize) -> Box<dyn Call> {
        Box::new(Self::submit(self, code, input, output_length))
    }

    fn duplicate(&self) -> Box<dyn Handle> {
        match Self::duplicate(self) {
            Ok(handle) => Box::new(handle),
            Err(status) => panic!("a handle cannot be duplicated: {status}"),
        }
    }
}

impl Call for PendingCall {
    fn cancel(&self) -> bool {
        Self::cancel(self)
    }

    fn is_complete(&self) -> bool {
        Self::is_complete(self)
    }

    fn wait(self: Box<Self>) -> Answer {
        let completion = Self::wait(*self);
        Answer {
            result: completion.status.ok().map_err(status),
            returned: completion.information,
            bytes: completion.data,
        }
    }
}

impl Hold for files::Hold {
    fn wait_until_reached(&self) {
        Self::wait_until_reached(self);
    }
}
