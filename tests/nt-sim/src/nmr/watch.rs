//! Connects the registrar to the machine of the calling thread.

use std::ffi::c_void;

use ::nmr::raw::NPI_REGISTRATION_INSTANCE;
use nmr_model::{
    BindingInfo, Callback, CallbackKind, Event, Lent, Loan, ModuleInfo, ModuleState, Moment, Observer, Owner,
    Role, Rule, Subject, Violation, Work,
};

use super::{Breach, NO_DRIVER, Step, memory, probe};
use crate::{
    Machine,
    faults::{self, Class},
    frames,
    thread::{self, irql},
    trace::Kind,
    verifier::CallSite,
};

/// The observer of the registrar of every machine.
pub(super) struct Watch;

impl Observer for Watch {
    fn current_owner(&self) -> Owner {
        thread::current_driver().map_or(NO_DRIVER, |driver| Machine::current().nmr_state().owner(&driver))
    }

    fn callback<R>(&self, callback: &Callback, run: impl FnOnce() -> R) -> R {
        let machine = Machine::current();
        if machine.verifier_is_on() {
            entering(&machine, callback);
        }
        let run = || probe::around(&machine, callback, run);
        let Some(driver) = machine.nmr_state().driver(callback.module().owner) else {
            return frames::between_points(run);
        };
        // A peer may deregister, or complete its detach, at DISPATCH_LEVEL.
        let contract = match callback.kind {
            CallbackKind::Attach => irql::PASSIVE,
            CallbackKind::Detach | CallbackKind::Cleanup => irql::DISPATCH,
        };
        frames::nmr_callback(&driver, contract, callback, run)
    }

    unsafe fn dispatch(
        &self,
        binding: &BindingInfo,
        npi: [u8; 16],
        whose: Role,
        context: *mut c_void,
        dispatch: *const c_void,
    ) -> *const c_void {
        // SAFETY: the caller's promise is the same.
        unsafe { probe::pass(&Machine::current(), binding, npi, whose, context, dispatch) }
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

    unsafe fn show(
        &self,
        module: ModuleInfo,
        instance: *const NPI_REGISTRATION_INSTANCE,
    ) -> *const NPI_REGISTRATION_INSTANCE {
        let machine = Machine::current();
        if !machine.verifier_is_on() {
            return instance;
        }
        // SAFETY: the caller's promise is the same.
        unsafe { machine.nmr_state().shown.show(module, instance) }
    }

    fn is_sound(&self, module: ModuleInfo) -> bool {
        let machine = Machine::current();
        !machine.verifier_is_on()
            || !machine
                .nmr_state()
                .ledger
                .has(Rule::CharacteristicsLifetime, module.id)
    }

    fn waits(&self, module: ModuleInfo) -> bool {
        let machine = Machine::current();
        if !machine.verifier_is_on() {
            return true;
        }
        let in_call = probe::waits_in_call(&machine, module);
        machine.nmr_state().locks.waiting(&machine, module) && !in_call
    }

    fn allocate(&self) -> bool {
        faults::pass(Class::Registrar, "the registrar's allocation").is_ok()
    }

    fn event(&self, event: &Event) {
        let machine = Machine::current();
        if machine.verifier_is_on() {
            probe::event(&machine, event);
            let ledger = &machine.nmr_state().ledger;
            match event {
                Event::Closed(module) => {
                    ledger.end_module(module.id);
                    machine.nmr_state().locks.waited(*module);
                    machine.nmr_state().shown.end(&machine, *module);
                }
                Event::CleanedUp(binding) => ledger.end_binding(binding.id),
                Event::Attached(binding) => attached(binding),
                Event::Deregistering(module) => leaving(&machine, *module),
                _ => {}
            }
        }
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
        let machine = Machine::current();
        let ledger = &machine.nmr_state().ledger;
        let module = violation.subject.module();
        if violation.rule == Rule::CharacteristicsLifetime
            && module.is_some_and(|module| !ledger.first(violation.rule, module.id, None))
        {
            return;
        }
        Breach::from(violation).report();
    }

    fn mark(&self, moment: Moment) {
        let machine = Machine::current();
        if machine.verifier_is_on() {
            machine.nmr_state().ledger.mark(moment, CallSite::here());
        }
    }

    fn lend(&self, loan: &Loan) {
        let machine = Machine::current();
        if machine.verifier_is_on() {
            memory::lent(&machine, loan);
            if let (Lent::Characteristics, Subject::Module(module)) = (loan.what, loan.subject) {
                machine.nmr_state().locks.registering(&machine, module);
            }
        }
    }
}

/// A pair is attached.
fn attached(binding: &BindingInfo) {
    let owner = binding.client.owner;
    if owner != NO_DRIVER && owner == binding.provider.owner {
        let what = "the driver's client has attached to the driver's own provider";
        Breach::new(Rule::AttachedToItself, (*binding, Role::Client), what)
            .since(Moment::Attached(binding.id, Role::Client))
            .report();
    }
}

/// A module begins to deregister.
fn leaving(machine: &Machine, module: ModuleInfo) {
    let state = machine.nmr_state();
    if module.role == Role::Provider || module.owner == NO_DRIVER {
        return;
    }
    let above = state
        .registrar
        .live_bindings(module.owner)
        .into_iter()
        .find(|binding| {
            let active = state.registrar.module_state(binding.provider.id) == Some(ModuleState::Active);
            binding.provider.owner == module.owner && binding.client.owner != module.owner && active
        });
    if let Some(above) = above {
        let what = "the client deregisters while the driver's own provider still serves a client";
        Breach::new(Rule::ClientDrainedFirst, module, what)
            .since(Moment::Registered(above.provider.id))
            .report();
    }
}

/// Notes that a callback is about to run.
fn entering(machine: &Machine, callback: &Callback) {
    let ledger = &machine.nmr_state().ledger;
    let (binding, role) = (callback.binding.id, callback.role);
    // The code of the callback is the best place to show for what it returns.
    let routine = || CallSite::routine(callback.routine);
    match (callback.kind, role) {
        // The client's attach is where it calls NmrClientAttachProvider.
        (CallbackKind::Attach, Role::Client) => {}
        (CallbackKind::Attach, Role::Provider) => {
            ledger.mark(Moment::Attached(binding, role), routine());
            machine.nmr_state().locks.attaching(machine, callback);
        }
        (CallbackKind::Detach, _) => ledger.mark(Moment::Detached(binding, role), routine()),
        (CallbackKind::Cleanup, _) => ledger.clean_up(binding, role),
    }
}
