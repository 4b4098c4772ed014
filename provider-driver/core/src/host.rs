//! The driver's own thread: which namespace providers are hosted.
//!
//! The thread alone registers with NMR and deregisters. It reads the entries of the registry, starts a journal thread
//! for each, registers the module of each whose store is loaded, installs and uninstalls as administrators ask
//! (`change`), and waits to be stopped. Then it deregisters all modules, waits for all, and only then stops and joins
//! the journal threads: until NMR was waited for, there may be accepted changes that only they complete, and callers that commit.

mod change;

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nmr::{Deregistering, ModuleId, ProviderRegistration, ProviderRole, RegistrationConfig};
use nsemail_contract::codes::WsaCode;
use nsemail_contract::guid::Guid;
use nsemail_contract::wire::{EventKind, HostedState};
use nsemail_kernel::event::Event;
use nsemail_kernel::events::Ring;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::lock::PushLock;
use nsemail_kernel::npi;
use nsemail_kernel::pool::Pool;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::thread::Thread;
use nsemail_kernel::wdf::DriverHandle;
use nsemail_kernel::{random, utf16};
use pool_alloc::{Arc, OutOfMemory, Vec};

use crate::committer;
use crate::counters::Counters;
use crate::guid;
use crate::handles::Handle;
use crate::hosting::{Call, Queue};
use crate::memory::{Memory, Modules};
use crate::module::Module;
use crate::parameters::{Entry, Settings, Skipped, read_entry};
use crate::service::{Service, number};
use crate::store::HashKey;

/// What all parts of the driver share.
pub struct Common {
    settings: Settings,
    events: Ring<Memory>,
    counters: Counters,
    /// The serial that the next handle gets.
    serial: AtomicU64,
    /// The host thread has something to do.
    wake: Event<Memory>,
}

impl Common {
    /// The shared state of a driver with those settings.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn try_new(settings: Settings) -> Result<Self, OutOfMemory> {
        Ok(Self {
            settings,
            events: Ring::new_in("nsemail_provider", settings.events, Memory::default())?,
            counters: Counters::new(),
            serial: AtomicU64::new(1),
            wake: Event::synchronization_in(false, Memory::default())?,
        })
    }

    /// What the driver was configured to do.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the driver counts.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The events that are kept.
    pub const fn events(&self) -> &Ring<Memory> {
        &self.events
    }

    /// Records an event.
    pub fn event(
        &self,
        kind: EventKind,
        subject: Option<Guid>,
        numbers: [u64; 2],
        text: core::fmt::Arguments<'_>,
    ) {
        self.events.record(kind, subject, numbers, text);
    }

    /// A serial that nothing had before.
    pub fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the number can be a handle that was given out once, to whomever.
    pub fn was_given(&self, handle: Handle) -> bool {
        handle.serial() != 0 && handle.serial() < self.serial.load(Ordering::Relaxed)
    }

    /// Has the host thread look after its providers.
    pub fn wake_host(&self) {
        self.wake.set();
    }
}

/// The providers that are hosted, for the device to see.
pub struct Host {
    common: Arc<Common, Memory>,
    services: PushLock<Vec<Arc<Service, Memory>, Memory>>,
    /// Changes that administrators have asked for.
    changes: PushLock<Queue>,
    stop: AtomicBool,
}

impl Host {
    /// A host without providers yet.
    pub const fn new(common: Arc<Common, Memory>) -> Self {
        Self {
            common,
            services: PushLock::new(Vec::new_in(Pool)),
            changes: PushLock::new(Queue::new()),
            stop: AtomicBool::new(false),
        }
    }

    /// What all parts of the driver share.
    pub fn common(&self) -> &Common {
        &self.common
    }

    /// Runs `section` with each hosted provider until it answers false.
    pub fn each(&self, passive: Passive<'_>, mut section: impl FnMut(&Service) -> bool) {
        for service in &*self.services.read(passive) {
            if !section(service) {
                break;
            }
        }
    }

    /// The hosted provider with that GUID.
    pub fn find(&self, passive: Passive<'_>, provider: Guid) -> Option<Arc<Service, Memory>> {
        self.services
            .read(passive)
            .iter()
            .find(|service| service.provider() == provider)
            .cloned()
    }

    /// Has the host thread make a change, and then answer it.
    ///
    /// # Errors
    ///
    /// The code that it is to be answered with now.
    pub fn request(&self, passive: Passive<'_>, call: Arc<Call, Memory>) -> Result<(), WsaCode> {
        self.changes.write(passive).push(call)?;
        self.common.wake_host();
        Ok(())
    }

    /// Asks the host thread to take everything down and end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.common.wake_host();
    }

    /// The body of the host thread.
    pub fn run(&self, driver: DriverHandle, passive: Passive<'_>) {
        let mut hosted = Vec::new_in(Memory::default());
        if let Err(status) = self.start_all(driver, &mut hosted, passive) {
            let text = format_args!("the hosted providers could not be read: {status}");
            self.common
                .event(EventKind::ENTRY_SKIPPED, None, [0, number(status)], text);
        }
        while !self.stop.load(Ordering::Acquire) {
            // In the registry's order, whichever store is loaded first: a client that meets the providers for the
            // first time puts them into its catalogue in the order in which they come.
            for hosted in &mut hosted {
                if hosted.service.state() == HostedState::Loading {
                    break;
                }
                hosted.register(passive);
            }
            self.finish_installing(driver, &mut hosted, passive);
            let next = self.changes.write(passive).pop();
            match next {
                Some(call) => self.change(driver, &mut hosted, &call, passive),
                None => self.common.wake.wait(passive),
            }
        }
        self.refuse_changes(&mut hosted, passive);
        self.take_down(hosted, passive);
    }

    /// Starts a provider for each entry that is in order.
    fn start_all(
        &self,
        driver: DriverHandle,
        hosted: &mut Vec<Hosted, Memory>,
        passive: Passive<'_>,
    ) -> Result<(), NtStatus> {
        let Some(providers) = driver.parameters(passive)?.open(passive, utf16!("Providers"))? else {
            return Ok(());
        };
        let mut index = 0_u32;
        while let Some(name) = providers.subkey_name(passive, index, Memory::default())? {
            index = index.saturating_add(1);
            let Some(provider) = guid::parse(&name) else {
                let text = format_args!("a key of Providers is not named by a GUID");
                self.common.event(EventKind::ENTRY_SKIPPED, None, [0; 2], text);
                continue;
            };
            let Some(key) = providers.open(passive, &name)? else {
                continue;
            };
            let started = read_entry(&key, provider, passive)
                .and_then(|entry| self.start_one(driver, entry, hosted, passive));
            if let Err(reason) = started {
                let skipped = |numbers, text: core::fmt::Arguments<'_>| {
                    self.common
                        .event(EventKind::ENTRY_SKIPPED, Some(provider), numbers, text);
                };
                match reason {
                    Skipped::Disabled => {}
                    Skipped::Malformed(what) => skipped([0; 2], format_args!("{what}")),
                    Skipped::Status(status) => skipped([0, number(status)], format_args!("{status}")),
                }
            }
        }
        Ok(())
    }

    fn start_one(
        &self,
        driver: DriverHandle,
        entry: Entry,
        hosted: &mut Vec<Hosted, Memory>,
        passive: Passive<'_>,
    ) -> Result<(), Skipped> {
        if hosted
            .iter()
            .any(|present| present.service.provider() == entry.provider)
        {
            return Err(Skipped::Malformed("the provider is there twice"));
        }
        let directory = driver.data_directory(passive)?;
        let secret = HashKey::new(random::seed(passive)?);
        let service = Service::try_new(self.common.clone(), entry, secret).map_err(no_memory)?;
        let service = Arc::try_new_in(service, Memory::default()).map_err(no_memory)?;
        // All memory first: a thread that runs must be kept.
        hosted.try_reserve(1).map_err(no_memory)?;
        self.services
            .write(passive)
            .try_push(service.clone())
            .map_err(no_memory)?;
        let committing = service.clone();
        let body = move |passive: Passive<'_>| committer::run(&committing, directory, passive);
        let thread = match Thread::spawn(passive, Memory::default(), body) {
            Ok(thread) => Some(thread),
            Err(not_started) => {
                service.set_state(HostedState::Failed);
                let text = format_args!("the journal thread did not start: {}", not_started.status);
                service.event(EventKind::LOAD_FAILED, [0, number(not_started.status)], text);
                None
            }
        };
        let started = Hosted {
            service,
            thread,
            registration: Registration::None,
            installing: None,
        };
        if let Err(Hosted {
            service,
            thread: Some(thread),
            ..
        }) = hosted.push_within_capacity(started)
        {
            service.stop();
            thread.join(passive);
        }
        Ok(())
    }

    fn take_down(&self, mut hosted: Vec<Hosted, Memory>, passive: Passive<'_>) {
        self.common.event(
            EventKind::STOPPING,
            None,
            [0; 2],
            format_args!("the driver is being stopped"),
        );
        for hosted in &mut hosted {
            hosted.begin_deregister();
        }
        for hosted in &mut hosted {
            hosted.wait(passive);
        }
        for hosted in &hosted {
            hosted.service.stop();
        }
        for hosted in hosted {
            if let Some(thread) = hosted.thread {
                thread.join(passive);
            }
        }
        let services = core::mem::replace(&mut *self.services.write(passive), Vec::new_in(Pool));
        drop(services);
    }
}

/// A provider, its journal thread, and what NMR knows of it.
struct Hosted {
    service: Arc<Service, Memory>,
    thread: Option<Thread>,
    registration: Registration,
    /// Who is answered when it is registered.
    installing: Option<Arc<Call, Memory>>,
}

/// How a module stands with NMR.
enum Registration {
    None,
    Registered(ProviderRegistration<Module>),
    Deregistering(Deregistering<ProviderRole<Module>>),
}

impl Hosted {
    /// Registers the module if its store is loaded and it is not registered yet.
    fn register(&mut self, passive: Passive<'_>) {
        if self.service.state() != HostedState::Serving || !matches!(self.registration, Registration::None) {
            return;
        }
        let module = Module::new(self.service.clone());
        let config = RegistrationConfig::new(ModuleId::Guid(npi::guid(self.service.provider())));
        match ProviderRegistration::<Module>::register(passive, module, config, Modules::default()) {
            Ok(registration) => {
                self.registration = Registration::Registered(registration);
                self.service.event(
                    EventKind::REGISTERED,
                    [0; 2],
                    format_args!("the provider is registered"),
                );
            }
            Err(error) => {
                self.service.set_state(HostedState::Failed);
                let text = format_args!("the provider was not registered: {}", error.status);
                self.service
                    .event(EventKind::REGISTRATION_FAILED, [0, number(error.status)], text);
            }
        }
    }

    fn begin_deregister(&mut self) {
        if self.service.state() == HostedState::Serving {
            self.service.set_state(HostedState::Stopping);
        }
        self.registration = match core::mem::replace(&mut self.registration, Registration::None) {
            Registration::Registered(registration) => {
                Registration::Deregistering(registration.begin_deregister())
            }
            other => other,
        };
    }

    fn wait(&mut self, passive: Passive<'_>) {
        match core::mem::replace(&mut self.registration, Registration::None) {
            Registration::Deregistering(deregistering) => drop(deregistering.wait(passive)),
            other => self.registration = other,
        }
    }
}

/// For `map_err`.
const fn no_memory(_: OutOfMemory) -> Skipped {
    Skipped::Status(NtStatus::INSUFFICIENT_RESOURCES)
}
