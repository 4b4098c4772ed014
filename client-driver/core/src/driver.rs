//! Loading and unloading.
//!
//! Up, in this order: parameters and catalogue, workers, the device, the registration with NMR, and then the device may
//! be opened. The registration comes when everything that a provider or a program could ask for is there, and nothing
//! that can fail comes after it.
//!
//! Down, in the reverse order, whatever of it is up: the registration ends and every binding with it, thus every call
//! that a provider had accepted; then the workers, which end when no call is ready; then the device.

use core::sync::atomic::Ordering;

use nmr::{ClientRegistration, ModuleId, RegisterError, RegistrationConfig};
use nsemail_contract::ids;
use nsemail_contract::wire::EventKind;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::npi;
use nsemail_kernel::status::{NtStatus, out_of_memory};
use nsemail_kernel::thread::{NotStarted, Thread};
use nsemail_kernel::utf16;
use nsemail_kernel::wdf::{ControlDevice, ControlDeviceConfig, Driver, DriverHandle};
use pool_alloc::{Arc, Vec};

use crate::attach::Attacher;
use crate::calls::table::Table;
use crate::control::Control;
use crate::limits::{self, Limits};
use crate::memory::{BindingPool, ServicePool};
use crate::service::Service;
use crate::{calls, store};

/// The driver while it is loaded.
pub struct ClientDriver {
    service: Arc<Service, ServicePool>,
    workers: Vec<Thread, ServicePool>,
    device: Option<ControlDevice<Control>>,
    registration: Option<ClientRegistration<Attacher>>,
}

impl ClientDriver {
    /// Reads the parameters and makes a driver that does nothing yet.
    ///
    /// # Errors
    /// When the parameters cannot be opened, or when there is no memory.
    pub fn new(driver: DriverHandle, passive: Passive<'_>) -> Result<Self, NtStatus> {
        let parameters = driver.parameters(passive)?;
        let limits = Limits::read(passive, &parameters);
        let service = Service::try_new(limits).map_err(out_of_memory)?;
        store::load(passive, &service, &parameters)?;
        let workers =
            Vec::try_with_capacity_in(limits.workers, ServicePool::default()).map_err(out_of_memory)?;
        Ok(Self {
            service,
            workers,
            device: None,
            registration: None,
        })
    }

    fn start_workers(&mut self, passive: Passive<'_>) -> Result<(), NtStatus> {
        for _ in 0..self.service.limits.workers {
            let service = self.service.clone();
            let body = move |passive: Passive<'_>| work(&service, passive);
            match Thread::spawn(passive, ServicePool::default(), body) {
                // There is room, made when the vector was.
                Ok(thread) => {
                    if let Err(thread) = self.workers.push_within_capacity(thread) {
                        self.stop_workers(passive);
                        thread.join(passive);
                        return Err(NtStatus::INSUFFICIENT_RESOURCES);
                    }
                }
                Err(NotStarted { status, .. }) => return Err(status),
            }
        }
        Ok(())
    }

    fn stop_workers(&mut self, passive: Passive<'_>) {
        self.service.stopping.store(true, Ordering::Release);
        self.service.work.set();
        while let Some(worker) = self.workers.pop() {
            worker.join(passive);
        }
    }
}

/// A worker: goes on with calls that were parked.
fn work(service: &Service, passive: Passive<'_>) {
    loop {
        while let Some((wake, task)) = service.calls(Table::next_ready) {
            if service.calls(|calls| calls.has_ready()) {
                // The event wakes one worker, however many calls became ready meanwhile.
                service.work.set();
            }
            calls::run(service, passive, task, Some(wake));
        }
        if service.stopping.load(Ordering::Acquire) {
            // The event wakes one thread; each passes the end on to the next.
            service.work.set();
            return;
        }
        service.work.wait(passive);
    }
}

impl Driver for ClientDriver {
    fn start(&mut self, driver: DriverHandle, passive: Passive<'_>) -> Result<(), NtStatus> {
        self.start_workers(passive)?;
        let parameters = driver.parameters(passive)?;
        let sddl = limits::security(passive, &parameters).map_err(out_of_memory)?;
        let config = ControlDeviceConfig {
            name: utf16!(ids::CLIENT_DEVICE),
            link: utf16!(ids::CLIENT_LINK),
            sddl: &sddl,
        };
        let control = Control::new(self.service.clone());
        let device = self
            .device
            .insert(ControlDevice::create(driver, passive, config, control)?);
        let module = RegistrationConfig::new(ModuleId::Guid(npi::guid(ids::CLIENT_MODULE_ID)));
        let attacher = Attacher::new(self.service.clone());
        match ClientRegistration::register(passive, attacher, module, BindingPool::default()) {
            Ok(registration) => self.registration = Some(registration),
            Err(RegisterError { status, .. }) => return Err(status),
        }
        device.finish_initializing(passive);
        self.service
            .event(EventKind::STARTED, None, [0, 0], format_args!(""));
        Ok(())
    }

    fn unload(mut self, passive: Passive<'_>) {
        self.service
            .event(EventKind::STOPPING, None, [0, 0], format_args!(""));
        if let Some(registration) = self.registration.take() {
            drop(registration.deregister(passive));
        }
        self.stop_workers(passive);
        if let Some(device) = self.device.take() {
            device.delete(passive);
        }
        drop(self.service.store.write(passive).take());
    }
}
