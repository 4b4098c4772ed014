//! A simulated machine with both drivers, installed from the files in `inf/`.
//!
//! [`Embedded::boot`] makes the machine, installs the two packages as they are in the repository, and
//! starts both services. With a state folder, registry and files stay there, so a name that one run
//! registers is found by the next; the folder is locked while a machine uses it. In it are
//! `registry.json`, which can be read and edited while no machine runs, and `volume`, the disk. A package that is
//! installed already is left as it is, so an administrator's changes to the parameters last.

mod ready;

use std::{
    fmt,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use nsemail_contract::{
    Guid,
    ids::{CLIENT_SERVICE, PROVIDER_SERVICE},
};
use nsemail_probe::EmailProbe;
use nt_sim::{
    DriverImage, Machine, MachineBuilder, Report, inf::InfError, scheduler::Scheduler, scm::Win32Error,
};

/// The package of the provider driver.
pub const PROVIDER_INF: &str = include_str!("../../../inf/nsemail_provider.inx");
/// The package of the client driver.
pub const CLIENT_INF: &str = include_str!("../../../inf/nsemail_client.inx");

/// The registry key below which the provider driver keeps its parameters.
pub const PROVIDER_PARAMETERS: &str =
    r"\Registry\Machine\System\CurrentControlSet\Services\nsemail_provider\Parameters";
/// The registry key below which the client driver keeps its parameters.
pub const CLIENT_PARAMETERS: &str =
    r"\Registry\Machine\System\CurrentControlSet\Services\nsemail_client\Parameters";

/// Which driver starts first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The provider driver, then the client driver.
    #[default]
    ProviderFirst,
    /// The client driver, then the provider driver.
    ClientFirst,
    /// Neither: both are installed only.
    InstallOnly,
}

/// How the machine is made.
#[derive(Debug)]
#[must_use]
pub struct Options {
    machine: MachineBuilder,
    state_dir: Option<PathBuf>,
    order: Order,
    wait: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            machine: Machine::builder(),
            state_dir: None,
            order: Order::default(),
            wait: true,
        }
    }
}

impl Options {
    /// A machine in memory, with the verifier, that starts the provider driver first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps registry and files in a folder, which is made if it is missing.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(folder.into());
        self
    }

    /// Says which driver starts first.
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Whether [`Embedded::boot`] returns only when the namespace providers are attached, as a program
    /// expects that is used by hand (the default), or as soon as both drivers have started.
    pub const fn wait_until_ready(mut self, wait: bool) -> Self {
        self.wait = wait;
        self
    }

    /// Switches the verifier on (the default) or off.
    pub fn verifier(mut self, on: bool) -> Self {
        self.machine = self.machine.verifier(on);
        self
    }

    /// Runs threads by another scheduler than the native one.
    pub fn scheduler(mut self, scheduler: Arc<dyn Scheduler>) -> Self {
        self.machine = self.machine.scheduler(scheduler);
        self
    }

    /// Changes whatever else can be said about a machine.
    pub fn machine(mut self, change: impl FnOnce(MachineBuilder) -> MachineBuilder) -> Self {
        self.machine = change(self.machine);
        self
    }
}

/// Why there is no machine.
#[derive(Debug)]
pub enum BootError {
    /// The state folder cannot be used.
    State(PathBuf, io::Error),
    /// Another process uses the state folder.
    InUse(PathBuf),
    /// A package cannot be installed.
    Install(InfError),
    /// A driver does not start.
    Start(&'static str, Win32Error),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(folder, error) => write!(f, "the state folder {}: {error}", folder.display()),
            Self::InUse(folder) => {
                write!(
                    f,
                    "the state folder {} is used by another process",
                    folder.display()
                )
            }
            Self::Install(error) => error.fmt(f),
            Self::Start(service, error) => write!(f, "service {service} does not start: {error}"),
        }
    }
}

impl core::error::Error for BootError {}

/// A machine with both drivers installed.
///
/// Dropping it leaves the machine as it is; [`Embedded::shutdown`] stops the drivers and says what the
/// verifier has found.
#[derive(Debug)]
pub struct Embedded {
    machine: Machine,
    /// Keeps others away from the state folder.
    lock: Option<File>,
}

impl Embedded {
    /// Makes the machine, installs both drivers, and starts them.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used, a package is faulty, or a driver does not start.
    pub fn boot(options: Options) -> Result<Self, BootError> {
        let Options {
            mut machine,
            state_dir,
            order,
            wait,
        } = options;
        let mut lock = None;
        if let Some(folder) = &state_dir {
            lock = Some(lock_folder(folder)?);
            machine = machine.state_dir(folder);
        }
        let machine = machine
            .probe(EmailProbe)
            .build()
            .map_err(|error| BootError::State(state_dir.unwrap_or_default(), error))?;
        for image in images() {
            machine.add_image(image);
        }
        for inf in [PROVIDER_INF, CLIENT_INF] {
            if !machine.is_installed(inf).map_err(BootError::Install)? {
                machine.install(inf).map_err(BootError::Install)?;
            }
        }
        let embedded = Self { machine, lock };
        let services: &[&'static str] = match order {
            Order::ProviderFirst => &[PROVIDER_SERVICE, CLIENT_SERVICE],
            Order::ClientFirst => &[CLIENT_SERVICE, PROVIDER_SERVICE],
            Order::InstallOnly => &[],
        };
        for &service in services {
            if let Err(error) = embedded.machine.start(service) {
                // What is running already must not stay behind.
                let _ = embedded.shutdown();
                return Err(BootError::Start(service, error));
            }
        }
        if wait && order != Order::InstallOnly {
            embedded.wait_until_ready();
        }
        Ok(embedded)
    }

    /// Waits until every namespace provider that the provider driver hosts is attached to the client
    /// driver, or could not be. Returns at once if the provider driver is not running.
    pub fn wait_until_ready(&self) {
        let _: Vec<Guid> = self.missing();
    }

    /// As [`Self::wait_until_ready`], and tells which providers could not be loaded, or not be attached to a client
    /// driver that runs, though they are enabled.
    #[must_use]
    pub fn missing(&self) -> Vec<Guid> {
        ready::wait(&self.machine)
    }

    /// Returns the machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Ends all processes, stops both drivers, and says what the verifier has found.
    pub fn shutdown(self) -> Report {
        let report = self.machine.shutdown();
        drop(self.lock);
        report
    }
}

impl core::ops::Deref for Embedded {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        &self.machine
    }
}

/// Returns the images of both drivers.
#[must_use]
pub fn images() -> [DriverImage; 2] {
    [
        DriverImage {
            file_name: "nsemail_provider.sys".to_owned(),
            entry: nsemail_provider_core::driver_entry,
            pool_tag_prefix: *b"Nsp",
        },
        DriverImage {
            file_name: "nsemail_client.sys".to_owned(),
            entry: nsemail_client_core::driver_entry,
            pool_tag_prefix: *b"Nsc",
        },
    ]
}

fn lock_folder(folder: &Path) -> Result<File, BootError> {
    let fault = |error| BootError::State(folder.to_owned(), error);
    std::fs::create_dir_all(folder).map_err(fault)?;
    let lock = File::create(folder.join("lock")).map_err(fault)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(BootError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(fault(error)),
    }
}
