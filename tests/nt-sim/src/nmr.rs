//! The Network Module Registrar of a machine: the functions of netio.sys over the model.
//!
//! The nine functions are exported by symbol name, because the registrar's users find them at link
//! time: in a driver from netio.lib, in everything else from here.

use std::{ffi::c_void, fmt};

use ::nmr::raw;
use nmr_model::{
    CallbackKind, Event, ModuleInfo, Observer, Owner, Registrar, Role, Severity, Violation, Work,
};

use crate::{
    DriverName, Machine, SimPlatform, frames,
    machine::Config,
    sync::StateLock,
    thread::{self, irql},
    trace::Kind,
    verifier::{self, Finding, Rule},
};

/// The owner of modules that are registered by code outside any driver, such as a test.
const NO_DRIVER: Owner = 0;

/// What this module keeps per machine.
pub(crate) struct State {
    registrar: Registrar<SimPlatform, Watch>,
    /// The drivers that have registered modules; an [`Owner`] is a place in this list, from 1.
    owners: StateLock<Vec<DriverName>>,
}

impl State {
    /// The state of a machine that was just built.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            registrar: Registrar::new(Watch, config.nmr_policy),
            owners: StateLock::default(),
        }
    }

    fn owner(&self, driver: &DriverName) -> Owner {
        self.owners.with(|owners| {
            let known = owners.iter().position(|owner| owner == driver);
            let index = known.unwrap_or_else(|| {
                owners.push(driver.clone());
                owners.len() - 1
            });
            index + 1
        })
    }

    fn driver(&self, owner: Owner) -> Option<DriverName> {
        let index = owner.checked_sub(1)?;
        self.owners.with(|owners| owners.get(index).cloned())
    }
}

/// Reports what a driver that was just unloaded left behind here.
pub(crate) fn check_unloaded(machine: &Machine, driver: &DriverName) {
    let state = machine.nmr_state();
    let owner = state.owner(driver);
    for module in state.registrar.live_modules(owner) {
        verifier::report_finding(
            machine,
            Finding {
                rule: Rule::LiveAtUnload,
                driver: Some(driver.clone()),
                callback: None,
                thread: thread::current_thread(),
                call: None,
                site: None,
                message: format!(
                    "the driver was unloaded while its {} module {} was registered",
                    role_name(module.role),
                    module.id
                ),
                remedy: "deregister every module and wait for it before the unload routine, or a \
                         failing DriverEntry, returns"
                    .into(),
            },
        );
    }
    for binding in state.registrar.live_bindings(owner) {
        verifier::report_finding(
            machine,
            Finding {
                rule: Rule::LiveAtUnload,
                driver: Some(driver.clone()),
                callback: None,
                thread: thread::current_thread(),
                call: None,
                site: None,
                message: format!(
                    "the driver was unloaded while binding {} between client module {} and provider \
                     module {} was alive",
                    binding.id, binding.client.id, binding.provider.id
                ),
                remedy: "wait for the deregistration: it returns when every binding is cleaned up".into(),
            },
        );
    }
}

/// A step of the registrar, with the drivers that it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What happened.
    pub event: Event,
    /// The driver of the client module, if one takes part and is a driver's.
    pub client: Option<DriverName>,
    /// The driver of the provider module, if one takes part and is a driver's.
    pub provider: Option<DriverName>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = |f: &mut fmt::Formatter<'_>, info: &ModuleInfo, verb: &str| {
            write!(f, "NMR: {} module {} {verb}", role_name(info.role), info.id)
        };
        match &self.event {
            Event::Registered(info) => module(f, info, "registered"),
            Event::Deregistering(info) => module(f, info, "deregisters"),
            Event::Drained(info) => module(f, info, "is drained: no callback will run any more"),
            Event::Closed(info) => module(f, info, "is gone"),
            Event::Proposed(binding) => write!(
                f,
                "NMR: binding {} offers provider module {} to client module {}",
                binding.id, binding.provider.id, binding.client.id
            ),
            Event::Accepted(binding) => write!(
                f,
                "NMR: binding {}: the provider accepts, contexts and dispatch tables are exchanged",
                binding.id
            ),
            Event::Rejected(binding, status) => {
                write!(f, "NMR: binding {} is declined with {status:#010X}", binding.id)
            }
            Event::Attached(binding) => write!(f, "NMR: binding {} is attached", binding.id),
            Event::Detaching(binding) => write!(f, "NMR: binding {} detaches", binding.id),
            Event::SideDetached(binding, side) => write!(
                f,
                "NMR: binding {}: the {} has stopped calling",
                binding.id,
                role_name(side.role)
            ),
            Event::CleanedUp(binding) => write!(f, "NMR: binding {} is cleaned up", binding.id),
        }
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Provider => "provider",
    }
}

/// Connects the registrar to the machine of the calling thread.
struct Watch;

impl Observer for Watch {
    fn current_owner(&self) -> Owner {
        thread::current_driver().map_or(NO_DRIVER, |driver| Machine::current().nmr_state().owner(&driver))
    }

    fn callback<R>(&self, module: ModuleInfo, kind: CallbackKind, callback: impl FnOnce() -> R) -> R {
        let Some(driver) = Machine::current().nmr_state().driver(module.owner) else {
            return callback();
        };
        // A peer may deregister, or complete its detach, at DISPATCH_LEVEL.
        let contract = match kind {
            CallbackKind::Attach => irql::PASSIVE,
            CallbackKind::Detach | CallbackKind::Cleanup => irql::DISPATCH,
        };
        frames::callback_at(&driver, kind.name(module.role), contract, callback)
    }

    fn raised<R>(&self, level: u8, callback: impl FnOnce() -> R) -> R {
        let before = thread::with(|current| current.state.irql.replace(level));
        let result = callback();
        thread::with(|current| current.state.irql.set(before));
        result
    }

    fn in_critical_region(&self) -> bool {
        thread::with(|current| current.state.critical_regions.get() > 0)
    }

    fn queue(&self, work: Work) -> bool {
        let machine = Machine::current();
        let worker = machine.clone();
        machine.spawn("NMR worker", move || worker.nmr_state().registrar.run(work));
        true
    }

    fn allocate(&self) -> bool {
        !Machine::current().pool_state().is_to_fail()
    }

    fn event(&self, event: &Event) {
        let machine = Machine::current();
        machine.trace().record(|| {
            let state = machine.nmr_state();
            let driver = |module: &ModuleInfo| state.driver(module.owner);
            let (client, provider) = match event {
                Event::Registered(module)
                | Event::Deregistering(module)
                | Event::Drained(module)
                | Event::Closed(module) => match module.role {
                    Role::Client => (driver(module), None),
                    Role::Provider => (None, driver(module)),
                },
                Event::Proposed(binding)
                | Event::Accepted(binding)
                | Event::Rejected(binding, _)
                | Event::Attached(binding)
                | Event::Detaching(binding)
                | Event::SideDetached(binding, _)
                | Event::CleanedUp(binding) => (driver(&binding.client), driver(&binding.provider)),
            };
            Kind::Nmr(Step {
                event: *event,
                client,
                provider,
            })
        });
    }

    fn violation(&self, violation: &Violation) {
        let severity = match violation.rule.severity() {
            // Legal, if unusual: nothing to act on.
            Severity::Lint => return,
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let subject = match violation.subject {
            nmr_model::state::Subject::Caller => String::new(),
            nmr_model::state::Subject::Module(module) => {
                format!(" ({} module {})", role_name(module.role), module.id)
            }
            nmr_model::state::Subject::Side(binding, role) => {
                format!(" ({} side of binding {})", role_name(role), binding.id)
            }
        };
        verifier::report(
            Rule::Nmr,
            None,
            format!("{severity}: {}: {}{subject}", violation.rule, violation.what),
            violation.rule.instead(),
        );
    }
}

fn with<R>(call: impl FnOnce(&Registrar<SimPlatform, Watch>) -> R) -> R {
    let machine = Machine::current();
    call(&machine.nmr_state().registrar)
}

// SAFETY: nothing else in a process that simulates a kernel has the names of netio.sys.
#[unsafe(no_mangle)]
unsafe extern "system" fn NmrRegisterClient(
    characteristics: *const raw::NPI_CLIENT_CHARACTERISTICS,
    context: *mut c_void,
    handle: *mut raw::HANDLE,
) -> raw::NTSTATUS {
    // SAFETY: the caller keeps the contract of the function.
    with(|nmr| unsafe { nmr.register_client(characteristics, context, handle) })
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn NmrRegisterProvider(
    characteristics: *const raw::NPI_PROVIDER_CHARACTERISTICS,
    context: *mut c_void,
    handle: *mut raw::HANDLE,
) -> raw::NTSTATUS {
    // SAFETY: the caller keeps the contract of the function.
    with(|nmr| unsafe { nmr.register_provider(characteristics, context, handle) })
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn NmrClientAttachProvider(
    binding: raw::HANDLE,
    client_context: *mut c_void,
    client_dispatch: *const c_void,
    provider_context: *mut *mut c_void,
    provider_dispatch: *mut *const c_void,
) -> raw::NTSTATUS {
    // SAFETY: the caller keeps the contract of the function.
    with(|nmr| unsafe {
        nmr.attach_provider(
            binding,
            client_context,
            client_dispatch,
            provider_context,
            provider_dispatch,
        )
    })
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrDeregisterClient(handle: raw::HANDLE) -> raw::NTSTATUS {
    with(|nmr| nmr.deregister(Role::Client, handle))
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrDeregisterProvider(handle: raw::HANDLE) -> raw::NTSTATUS {
    with(|nmr| nmr.deregister(Role::Provider, handle))
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrWaitForClientDeregisterComplete(handle: raw::HANDLE) -> raw::NTSTATUS {
    with(|nmr| nmr.wait(Role::Client, handle))
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrWaitForProviderDeregisterComplete(handle: raw::HANDLE) -> raw::NTSTATUS {
    with(|nmr| nmr.wait(Role::Provider, handle))
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrClientDetachProviderComplete(binding: raw::HANDLE) {
    with(|nmr| nmr.detach_complete(Role::Client, binding));
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrProviderDetachClientComplete(binding: raw::HANDLE) {
    with(|nmr| nmr.detach_complete(Role::Provider, binding));
}
