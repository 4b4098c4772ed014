//! Connects the registrar to the machine of the calling thread.

use std::ffi::c_void;

use nmr_model::{
    BindingInfo, Callback, CallbackKind, Event, Loan, ModuleInfo, Moment, Observer, Owner, Role, Violation,
    Work,
};

use super::{Breach, NO_DRIVER, Step, memory, probe};
use crate::{
    Machine, frames,
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
            return run();
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

    fn allocate(&self) -> bool {
        !Machine::current().pool_state().is_to_fail()
    }

    fn event(&self, event: &Event) {
        let machine = Machine::current();
        if machine.verifier_is_on() {
            probe::event(&machine, event);
            let ledger = &machine.nmr_state().ledger;
            match event {
                Event::Closed(module) => ledger.end_module(module.id),
                // Sides without a cleanup callback, too.
                Event::CleanedUp(binding) => {
                    ledger.end_side(binding.id, Role::Client);
                    ledger.end_side(binding.id, Role::Provider);
                }
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
        }
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
        (CallbackKind::Attach, Role::Provider) => ledger.mark(Moment::Attached(binding, role), routine()),
        (CallbackKind::Detach, _) => ledger.mark(Moment::Detached(binding, role), routine()),
        (CallbackKind::Cleanup, _) => ledger.end_side(binding, role),
    }
}
