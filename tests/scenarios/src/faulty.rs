//! A simulated kernel on which one call of a driver fails, and whose programs try again.
//!
//! A call of a driver that fails must be an answer that is documented, with nothing changed, after which
//! everything works as before. So a program that is told of a shortage asks again, an administrator whose
//! driver did not start starts it again, and the scenario goes on to its end as if nothing had been. What
//! cannot be tried again, because the answer has changed what the program holds, ends the scenario; it is
//! told by [`Faulty::excuse`].

mod request;

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
};

use nsemail::transport::Device;
use nt_sim::{Machine, faults::Class, files, scm::ServiceState};

use crate::{
    kernel::{Access, Call, Driver, Handle, Hold, Kernel, Process, Service, Who, Win32},
    simulated::Simulated,
};
use request::{FaultyCall, Request};

/// A machine on which both drivers are installed, and one call is to fail.
#[derive(Debug)]
pub struct Faulty {
    simulated: Simulated,
    shared: Arc<Shared>,
}

/// What the parts of the kernel share.
#[derive(Debug)]
struct Shared {
    machine: Machine,
    /// Requests under way, to be looked after by a thread that waits for what they are to bring about.
    calls: Mutex<Vec<Weak<Request>>>,
    /// What a program was told of the shortage that it cannot try again.
    excuse: Mutex<Option<String>>,
    /// How many calls had failed when an installation or a change was cancelled. It goes on after that, and nobody is told
    /// if it fails then.
    cancelled: Mutex<Option<usize>>,
    /// What was answered that is not documented.
    wrong: Mutex<Vec<String>>,
}

/// How often something is tried that fails for one shortage: once for the shortage, once for what the driver has to
/// repair after it.
const ATTEMPTS: usize = 3;
/// What the device of a driver answers that is not loaded, or about to be unloaded.
const IS_GONE: [Win32; 2] = [Win32::FILE_NOT_FOUND, Win32::NO_SUCH_DEVICE];

impl Faulty {
    /// A kernel over a machine, on which a fault is injected already.
    #[must_use]
    pub fn new(simulated: Simulated) -> Self {
        let shared = Arc::new(Shared {
            machine: simulated.machine().clone(),
            calls: Mutex::default(),
            excuse: Mutex::default(),
            cancelled: Mutex::default(),
            wrong: Mutex::default(),
        });
        Self { simulated, shared }
    }

    /// What a program was told, if it could not go on because of it.
    #[must_use]
    pub fn excuse(&self) -> Option<String> {
        let cancelled = *lock(&self.shared.cancelled);
        if cancelled.is_some_and(|hits| self.shared.hits() > hits) {
            self.shared.excuse(
                "something failed after it had been answered as cancelled, or was passed on before"
                    .to_owned(),
            );
        }
        lock(&self.shared.excuse).clone()
    }

    /// What was answered against the documentation.
    #[must_use]
    pub fn wrong_answers(&self) -> Vec<String> {
        lock(&self.shared.wrong).clone()
    }

    /// The machine.
    #[must_use]
    pub fn into_simulated(self) -> Simulated {
        self.simulated
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn hits(&self) -> usize {
        self.machine.faults_hit()
    }

    fn hit_class(&self) -> Option<Class> {
        self.machine.hits().last().map(|hit| hit.class)
    }

    fn wrong(&self, what: String) {
        lock(&self.wrong).push(what);
    }

    fn excuse(&self, what: String) {
        lock(&self.excuse).get_or_insert(what);
    }

    /// Whether the driver of a device is loaded.
    fn is_running(&self, device: Device) -> bool {
        let mut drivers = Driver::BOTH.into_iter();
        let driver = drivers.find(|driver| driver.device() == device);
        driver.is_some_and(|driver| self.machine.query(driver.service()) == Ok(ServiceState::Running))
    }

    /// Whether a failure at NT level is how such a shortage is told.
    fn is_documented(&self, error: Win32) -> bool {
        const ERROR_DISK_FULL: Win32 = Win32(112);
        const ERROR_IO_DEVICE: Win32 = Win32(1117);
        let by_class: &[Win32] = match self.hit_class() {
            Some(Class::File) => &[ERROR_DISK_FULL, ERROR_IO_DEVICE],
            _ => &[],
        };
        error == Win32::NO_SYSTEM_RESOURCES || by_class.contains(&error)
    }

    /// Looks after all requests under way.
    fn look_after_calls(&self) {
        let calls: Vec<Arc<Request>> = {
            let mut calls = lock(&self.calls);
            calls.retain(|call| call.strong_count() > 0);
            calls.iter().filter_map(Weak::upgrade).collect()
        };
        for call in calls {
            // One that is locked is waited for already.
            call.look_after();
        }
    }
}

impl Kernel for Faulty {
    fn start(&self, driver: Driver) -> Result<(), Win32> {
        let before = self.shared.hits();
        for _ in 0..ATTEMPTS {
            if let Err(error) = Kernel::start(&self.simulated, driver) {
                if self.shared.hits() == before {
                    return Err(error);
                }
                if !self.shared.is_documented(error) {
                    self.shared.wrong(format!("{driver:?} does not start: {error:?}"));
                }
                let opened = self
                    .simulated
                    .process(Who::System)
                    .open(driver.device(), Access::Read);
                if opened.err() != Some(Win32::FILE_NOT_FOUND) {
                    self.shared
                        .wrong(format!("{driver:?} did not start and left its device"));
                }
                continue;
            }
            let missing = self.simulated.missing();
            if missing.is_empty() || self.shared.hits() == before {
                return Ok(());
            }
            // Loading and attaching go on after the start. What failed there is recorded, and tried at the next start.
            Kernel::stop(&self.simulated, driver)?;
            Kernel::wait_until_stopped(&self.simulated, driver);
        }
        panic!("{driver:?} still does not start");
    }

    fn stop(&self, driver: Driver) -> Result<Service, Win32> {
        // The closure is that of `seen`.
        let stores = |line: &String| {
            let of_seen =
                ["seen (", "{closure#0} ("].map(|name| format!("{name}client-driver/core/src/store.rs"));
            of_seen.iter().any(|name| line.contains(name))
        };
        let mut hits = self.shared.machine.hits().into_iter();
        if driver == Driver::Client && hits.any(|hit| hit.place.path().iter().any(stores)) {
            self.shared.excuse(
                "a provider's entry could not be stored, and is gone with the client driver".to_owned(),
            );
        }
        Kernel::stop(&self.simulated, driver)
    }

    fn service(&self, driver: Driver) -> Service {
        Kernel::service(&self.simulated, driver)
    }

    fn wait_until_stopped(&self, driver: Driver) {
        Kernel::wait_until_stopped(&self.simulated, driver);
    }

    fn process(&self, who: Who) -> Box<dyn Process> {
        Box::new(FaultyProcess {
            process: self.simulated.process(who),
            shared: Arc::clone(&self.shared),
        })
    }

    fn hold_flush(&self) -> Box<dyn Hold> {
        Box::new(FaultyHold {
            hold: self.shared.machine.hold(files::Operation::FlushFile),
            shared: Arc::clone(&self.shared),
        })
    }
}

struct FaultyProcess {
    process: Box<dyn Process>,
    shared: Arc<Shared>,
}

impl Process for FaultyProcess {
    fn open(&self, device: Device, access: Access) -> Result<Box<dyn Handle>, Win32> {
        let before = self.shared.hits();
        let ran = self.shared.is_running(device);
        let mut opened = self.process.open(device, access);
        if let Err(error) = &opened
            && self.shared.hits() > before
        {
            // What failed may have been the start of the driver, meanwhile.
            let is_there = ran && self.shared.is_running(device);
            if !self.shared.is_documented(*error) && (is_there || !IS_GONE.contains(error)) {
                self.shared.wrong(format!("{device:?} does not open: {error:?}"));
            }
            opened = self.process.open(device, access);
        }
        Ok(Box::new(FaultyHandle {
            handle: opened?.into(),
            shared: Arc::clone(&self.shared),
        }))
    }

    fn kill(&self) {
        self.process.kill();
    }
}

struct FaultyHandle {
    handle: Arc<dyn Handle>,
    shared: Arc<Shared>,
}

impl Handle for FaultyHandle {
    fn submit(&self, code: u32, input: &[u8], output_length: usize) -> Box<dyn Call> {
        let before = self.shared.hits();
        if before > 0 {
            // Perhaps this is to see what an earlier request brings about.
            self.shared.look_after_calls();
        }
        let request = Request::send(&self.handle, &self.shared, code, input, output_length, before);
        lock(&self.shared.calls).push(Arc::downgrade(&request));
        Box::new(FaultyCall(request))
    }

    fn duplicate(&self) -> Box<dyn Handle> {
        Box::new(Self {
            handle: self.handle.duplicate().into(),
            shared: Arc::clone(&self.shared),
        })
    }
}

struct FaultyHold {
    hold: files::Hold,
    shared: Arc<Shared>,
}

impl Hold for FaultyHold {
    fn wait_until_reached(&self) {
        while !self.hold.is_reached() {
            self.shared.look_after_calls();
            thread::yield_now();
        }
    }
}
