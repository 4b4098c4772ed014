//! The Network Module Registrar of a machine: the functions of netio.sys over the model.
//!
//! The nine functions are exported by symbol name, because the registrar's users find them at link
//! time: in a driver from netio.lib, in everything else from here.
//!
//! The rules of the contract ([`nmr_model::Rule`]) are seen broken in two places: the model reports what it
//! is told by its callers, and this module, with the pool, the locks and the frames of callbacks, what
//! drivers do with their memory and where they do it. `RULES.md` beside this crate lists them.

mod breach;
mod drains;
mod ledger;
mod locks;
mod memory;
pub mod probe;
mod shown;
mod step;
mod unload;
mod watch;

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{Arc, atomic::AtomicU64},
};

use ::nmr::raw;
use nmr_model::{BindingId, Callback, Class, Owner, Registrar, Role, Rule};

use crate::{
    DriverName, Machine, SimPlatform, machine::Config, platform, scheduler::Point, sync::StateLock,
    thread::irql, verifier,
};

pub use step::Step;

pub(crate) use breach::Breach;
pub(crate) use drains::check as check_drains;
pub(crate) use memory::{Past, allocating, freed, stack_gone};
pub(crate) use unload::check_unloaded;

use ledger::Ledger;
use locks::Locks;
use probe::Tap;
use shown::Shown;
use watch::Watch;

/// The owner of modules that are registered by code outside any driver, such as a test.
const NO_DRIVER: Owner = 0;

/// What this module keeps per machine.
pub(crate) struct State {
    registrar: Registrar<SimPlatform, Watch>,
    /// The drivers that have registered modules; an [`Owner`] is a place in this list, from 1.
    owners: StateLock<Vec<DriverName>>,
    ledger: Ledger,
    locks: Locks,
    shown: Shown,
    /// The bindings whose calls a probe sees.
    taps: StateLock<HashMap<BindingId, Arc<Tap>>>,
    /// How many calls between modules were seen.
    calls: AtomicU64,
    /// Lasts as long as the machine.
    alive: Arc<()>,
}

impl State {
    /// The state of a machine that was just built.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            registrar: Registrar::new(Watch, config.nmr_policy),
            owners: StateLock::default(),
            ledger: Ledger::default(),
            locks: Locks::default(),
            shown: Shown::default(),
            taps: StateLock::default(),
            calls: AtomicU64::new(0),
            alive: Arc::new(()),
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

/// A callback of a module takes a lock.
pub(crate) fn taking_lock(machine: &Machine, callback: &Callback, address: usize) {
    machine.nmr_state().locks.taking(machine, callback, address);
}

/// Tells whether a rule is broken for the first time in the callbacks of a side.
pub(crate) fn first_in(rule: Rule, callback: &Callback) -> bool {
    let machine = Machine::current();
    let ledger = &machine.nmr_state().ledger;
    ledger.first(rule, callback.binding.id, Some(callback.role))
}

/// Looks for what can be seen only at the end.
pub(crate) fn check_end(machine: &Machine) {
    probe::check_end(machine);
    check_drains(machine, None);
    machine.nmr_state().shown.check();
}

/// Every thread of the machine is blocked.
pub(crate) fn stuck(machine: &Machine) {
    check_drains(machine, None);
    machine.nmr_state().registrar.give_up_waits();
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Provider => "provider",
    }
}

/// A rule of the registrar that was not checked, or not wholly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// The rule.
    pub rule: Rule,
    /// What it would take.
    pub why: &'static str,
}

/// The rules that this machine does not check.
pub(crate) fn unchecked(machine: &Machine) -> Vec<Unchecked> {
    let why = |rule: &Rule| {
        if !machine.verifier_is_on() {
            return Some("the verifier is off");
        }
        match rule.class() {
            Class::Simulator | Class::Advisory => None,
            Class::Probe if !machine.config().probes.is_empty() => None,
            Class::Probe => Some("no NPI gave this machine a builder of shadow dispatch tables"),
            Class::AddressSanitizer if machine.config().sanitizer => None,
            Class::AddressSanitizer => Some("reads of dead memory are seen by AddressSanitizer only"),
        }
    };
    Rule::ALL
        .iter()
        .filter_map(|rule| why(rule).map(|why| Unchecked { rule: *rule, why }))
        .collect()
}

fn with<R>(call: impl FnOnce(&Registrar<SimPlatform, Watch>) -> R) -> R {
    platform::preemption_point(Point::Registrar);
    let machine = Machine::current();
    let result = call(&machine.nmr_state().registrar);
    platform::preemption_point(Point::Registrar);
    result
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
    verifier::require_irql_at_most("NmrDeregisterClient", irql::DISPATCH);
    with(|nmr| nmr.deregister(Role::Client, handle))
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrDeregisterProvider(handle: raw::HANDLE) -> raw::NTSTATUS {
    verifier::require_irql_at_most("NmrDeregisterProvider", irql::DISPATCH);
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
    verifier::require_irql_at_most("NmrClientDetachProviderComplete", irql::DISPATCH);
    with(|nmr| nmr.detach_complete(Role::Client, binding));
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrProviderDetachClientComplete(binding: raw::HANDLE) {
    verifier::require_irql_at_most("NmrProviderDetachClientComplete", irql::DISPATCH);
    with(|nmr| nmr.detach_complete(Role::Provider, binding));
}
