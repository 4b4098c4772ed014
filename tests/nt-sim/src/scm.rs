//! The service control manager: install, start, stop, query, uninstall.
//!
//! Services are keys of the registry, so they outlive the machine. Starting one loads the image that
//! its `ImagePath` names, from those given by [`Machine::add_image`]. Codes are those that the real
//! service control functions return.
//!
//! - DriverEntry and the unload routine run on a system thread at PASSIVE_LEVEL.
//! - A driver whose DriverEntry fails is gone at once, and its unload routine is not called.
//! - While a file of one of the driver's devices is open, a stop stays pending
//!   ([`StopOutcome::StopPending`]): the driver works on, new opens are refused, and the unload
//!   happens when the last file is closed.

mod install;
mod load;

use std::{collections::HashMap, fmt, sync::Arc};

pub use crate::ntstatus::Win32Error;
use load::Loaded;

use crate::{
    DriverName, Machine, PDRIVER_OBJECT,
    machine::Config,
    ntstatus::NtStatus,
    registry::{self, SERVICES, Value},
    scheduler::SchedulerEvent,
    sync::StateLock,
    trace::Kind,
};

/// `SERVICE_DISABLED`
const SERVICE_DISABLED: u32 = 4;

/// What a service is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceState {
    /// The driver is not loaded.
    Stopped,
    /// DriverEntry runs.
    StartPending,
    /// The driver is loaded.
    Running,
    /// A stop was asked for, and the driver is still loaded.
    StopPending,
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "STOPPED",
            Self::StartPending => "START_PENDING",
            Self::Running => "RUNNING",
            Self::StopPending => "STOP_PENDING",
        })
    }
}

/// How far a stop has come when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopOutcome {
    /// The driver is unloaded.
    Stopped,
    /// Files are open; the driver is unloaded when the last one is closed.
    StopPending,
}

/// What this module keeps per machine.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Services that are not stopped, by folded name.
    active: StateLock<HashMap<String, Active>>,
}

#[derive(Debug)]
struct Active {
    name: String,
    state: ServiceState,
    loaded: Option<Arc<Loaded>>,
    /// Who waits for the service to be stopped.
    waiters: Vec<Arc<dyn SchedulerEvent>>,
    /// The service is deleted when it has stopped.
    delete: bool,
}

impl State {
    /// The state of a machine that was just built.
    pub(crate) fn new(_config: &Config) -> Self {
        Self::default()
    }

    /// Finds a loaded driver by its driver object.
    pub(crate) fn by_object(&self, object: PDRIVER_OBJECT) -> Option<Arc<Loaded>> {
        self.active.with(|active| {
            let mut loaded = active.values().filter_map(|service| service.loaded.as_ref());
            loaded.find(|loaded| loaded.object() == object).cloned()
        })
    }

    fn by_driver(&self, driver: &DriverName) -> Option<Arc<Loaded>> {
        self.active.with(|active| {
            let mut loaded = active.values().filter_map(|service| service.loaded.as_ref());
            loaded.find(|loaded| loaded.driver() == driver).cloned()
        })
    }
}

fn fold(service: &str) -> String {
    service.to_uppercase()
}

fn key_path(service: &str) -> String {
    format!(r"{SERVICES}\{service}")
}

impl Machine {
    /// Starts a service: loads its driver and calls DriverEntry.
    ///
    /// # Errors
    ///
    /// `SERVICE_DOES_NOT_EXIST`, `SERVICE_ALREADY_RUNNING` (also while it is stopping),
    /// `SERVICE_DISABLED`, `SERVICE_MARKED_FOR_DELETE`, `FILE_NOT_FOUND` without an image, or what
    /// DriverEntry returned, translated.
    pub fn start(&self, service: &str) -> Result<(), Win32Error> {
        let _entered = self.enter();
        let (name, image) = self.service_image(service)?;
        let driver = DriverName::new(&image.file_name);
        self.scm_state().active.with(|active| {
            if let Some(service) = active.get(&fold(&name)) {
                return Err(if service.delete {
                    Win32Error::SERVICE_MARKED_FOR_DELETE
                } else {
                    Win32Error::SERVICE_ALREADY_RUNNING
                });
            }
            let loaded = active.values().filter_map(|other| other.loaded.as_ref());
            if loaded.into_iter().any(|loaded| *loaded.driver() == driver) {
                return Err(NtStatus::IMAGE_ALREADY_LOADED.to_win32());
            }
            active.insert(
                fold(&name),
                Active {
                    name: name.clone(),
                    state: ServiceState::StartPending,
                    loaded: None,
                    waiters: Vec::new(),
                    delete: false,
                },
            );
            Ok(())
        })?;
        self.trace_service(&name, ServiceState::StartPending);
        let loaded = Arc::new(Loaded::new(&name, driver, &image));
        // Known before DriverEntry runs, which may ask for the driver's directories.
        self.scm_state().active.with(|active| {
            if let Some(service) = active.get_mut(&fold(&name)) {
                service.loaded = Some(Arc::clone(&loaded));
            }
        });
        match load::load(self, &loaded, image.entry) {
            Ok(()) => {
                self.scm_state().active.with(|active| {
                    if let Some(service) = active.get_mut(&fold(&name)) {
                        service.state = ServiceState::Running;
                    }
                });
                self.trace_service(&name, ServiceState::Running);
                Ok(())
            }
            Err(status) => {
                self.stopped(&name);
                Err(status.to_win32())
            }
        }
    }

    /// Asks a service to stop. Its driver is unloaded when this returns, unless files are open.
    ///
    /// # Errors
    ///
    /// `SERVICE_DOES_NOT_EXIST`, `SERVICE_NOT_ACTIVE`, `SERVICE_CANNOT_ACCEPT_CTRL` while it is starting
    /// or stopping, `INVALID_SERVICE_CONTROL` if the driver has no unload routine.
    pub fn stop(&self, service: &str) -> Result<StopOutcome, Win32Error> {
        let _entered = self.enter();
        let name = self.service_name(service)?;
        let loaded = self.scm_state().active.with(|active| {
            let service = active
                .get_mut(&fold(&name))
                .ok_or(Win32Error::SERVICE_NOT_ACTIVE)?;
            if service.state != ServiceState::Running {
                return Err(Win32Error::SERVICE_CANNOT_ACCEPT_CTRL);
            }
            let loaded = service.loaded.clone().ok_or(Win32Error::SERVICE_NOT_ACTIVE)?;
            if !loaded.can_unload() {
                return Err(Win32Error::INVALID_SERVICE_CONTROL);
            }
            service.state = ServiceState::StopPending;
            Ok(loaded)
        })?;
        self.trace_service(&name, ServiceState::StopPending);
        if !self.io_state().begin_unload(loaded.driver()) {
            return Ok(StopOutcome::StopPending);
        }
        let done: Arc<dyn SchedulerEvent> = self.scheduler().event().into();
        let (machine, signal) = (self.clone(), Arc::clone(&done));
        self.spawn("unload", move || {
            load::unload(&machine, &loaded);
            machine.stopped(loaded.service());
            signal.set();
        });
        done.wait();
        Ok(StopOutcome::Stopped)
    }

    /// Waits until a service is stopped; returns at once if it is.
    pub fn wait_until_stopped(&self, service: &str) {
        let _entered = self.enter();
        let waiter = self.scm_state().active.with(|active| {
            let service = active.get_mut(&fold(service))?;
            let event: Arc<dyn SchedulerEvent> = self.scheduler().event().into();
            service.waiters.push(Arc::clone(&event));
            Some(event)
        });
        if let Some(event) = waiter {
            event.wait();
        }
    }

    /// Says what a service is doing.
    ///
    /// # Errors
    ///
    /// `SERVICE_DOES_NOT_EXIST`.
    pub fn query(&self, service: &str) -> Result<ServiceState, Win32Error> {
        let name = self.service_name(service)?;
        Ok(self.scm_state().active.with(|active| {
            active
                .get(&fold(&name))
                .map_or(ServiceState::Stopped, |service| service.state)
        }))
    }

    /// Returns the names of all services, in alphabetical order.
    #[must_use]
    pub fn services(&self) -> Vec<String> {
        let registry = self.registry();
        let key = registry.open_key(None, SERVICES);
        key.and_then(|key| registry.subkeys(key)).unwrap_or_default()
    }

    /// Removes a service with all its parameters, as the removal of its package does; if it is not
    /// stopped, as soon as it is.
    ///
    /// # Errors
    ///
    /// `SERVICE_DOES_NOT_EXIST`, or `SERVICE_MARKED_FOR_DELETE` if that was asked before.
    pub fn uninstall(&self, service: &str) -> Result<(), Win32Error> {
        let _entered = self.enter();
        let name = self.service_name(service)?;
        let active = self
            .scm_state()
            .active
            .with(|active| match active.get_mut(&fold(&name)) {
                None => Ok(false),
                Some(service) if service.delete => Err(Win32Error::SERVICE_MARKED_FOR_DELETE),
                Some(service) => {
                    service.delete = true;
                    Ok(true)
                }
            })?;
        if !active {
            self.registry().delete_path(&key_path(&name))?;
        }
        Ok(())
    }

    /// Returns a service's name in the case it was installed with.
    fn service_name(&self, service: &str) -> Result<String, Win32Error> {
        let registry = self.registry();
        if service.is_empty() || service.contains('\\') {
            return Err(Win32Error::SERVICE_DOES_NOT_EXIST);
        }
        let key = registry
            .open_key(None, &key_path(service))
            .map_err(|_| Win32Error::SERVICE_DOES_NOT_EXIST)?;
        Ok(registry.info(key)?.name)
    }

    /// Returns a service's name and the image that its key names.
    fn service_image(&self, service: &str) -> Result<(String, crate::DriverImage), Win32Error> {
        let name = self.service_name(service)?;
        let value = |value: &str| self.registry().get(&key_path(&name), value);
        if value("Start").and_then(|start| start.as_dword()) == Some(SERVICE_DISABLED) {
            return Err(Win32Error::SERVICE_DISABLED);
        }
        let path = value("ImagePath").and_then(|path| path.as_text());
        let path = path.ok_or(Win32Error::FILE_NOT_FOUND)?;
        let file = path.rsplit('\\').next().unwrap_or(&path);
        let image = self.image(file).ok_or(Win32Error::FILE_NOT_FOUND)?;
        Ok((name, image))
    }

    /// Returns the folder that a service's image is in.
    pub(crate) fn image_folder(&self, service: &str) -> String {
        let path = self.registry().get(&key_path(service), "ImagePath");
        let path = path.and_then(|path| path.as_text()).unwrap_or_default();
        path.rsplit_once('\\')
            .map_or_else(String::new, |(folder, _)| folder.to_owned())
    }

    /// Takes note that a service is stopped, and lets go who waited for it.
    fn stopped(&self, service: &str) {
        let gone = self
            .scm_state()
            .active
            .with(|active| active.remove(&fold(service)));
        let Some(gone) = gone else { return };
        if gone.delete {
            // A key that cannot be deleted stays; the service can be uninstalled again.
            let _ = self.registry().delete_path(&key_path(&gone.name));
        }
        self.trace_service(&gone.name, ServiceState::Stopped);
        for waiter in gone.waiters {
            waiter.set();
        }
    }

    fn trace_service(&self, service: &str, state: ServiceState) {
        self.trace().record(|| Kind::ServiceState {
            service: service.to_owned(),
            state,
        });
    }
}

/// The last file of a driver that is to be unloaded was closed.
pub(crate) fn unload_now(machine: &Machine, driver: &DriverName) {
    let Some(loaded) = machine.scm_state().by_driver(driver) else {
        return;
    };
    let here = machine.clone();
    machine.spawn("unload", move || {
        load::unload(&here, &loaded);
        here.stopped(loaded.service());
    });
}

/// Stops every running service; the first step of a shutdown. Processes end first, as they would
/// keep drivers loaded.
pub(crate) fn shutdown(machine: &Machine) {
    crate::io::shutdown(machine);
    let names: Vec<String> = machine
        .scm_state()
        .active
        .with(|active| active.values().map(|service| service.name.clone()).collect());
    for name in &names {
        // A service that stops already, or cannot be stopped, is no reason to stay.
        let _ = machine.stop(name);
    }
    for name in &names {
        let stops = machine.query(name) == Ok(ServiceState::StopPending);
        if stops {
            machine.wait_until_stopped(name);
        }
    }
}

/// Returns the registry path of a service, as DriverEntry gets it.
fn registry_path(service: &str) -> String {
    key_path(service)
}

/// Sets a value below a service's key.
fn put(machine: &Machine, service: &str, name: &str, value: Value) -> Result<(), NtStatus> {
    let registry: &registry::Registry = machine.registry();
    registry.put(&key_path(service), name, value)
}
