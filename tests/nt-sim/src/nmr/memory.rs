//! Rules about the memory that drivers lend to the registrar and to their peers.

use nmr_model::{
    Callback, CallbackKind, Lent, Loan, ModuleInfo, ModuleState, Moment, Rule, Severity, Subject,
};

use super::{
    Breach,
    ledger::{Held, Phase},
};
use crate::{Finding, Machine, thread, verifier::CallSite};

/// Looks at memory that a driver lends from now on.
pub(super) fn lent(machine: &Machine, loan: &Loan) {
    let ledger = &machine.nmr_state().ledger;
    let paged = machine.pool_state().live_at(loan.start);
    let in_pool = paged.is_some();
    let held = |phase| Held {
        loan: *loan,
        phase,
        in_pool,
    };
    match (loan.what, loan.subject) {
        (Lent::Handle, Subject::Module(module)) => ledger.lend_handle(module, *loan),
        (Lent::RefusedContext, _) => {
            if in_pool {
                ledger.lend(held(Phase::Refused));
            }
        }
        (Lent::BindingContext, subject) => {
            ledger.lend(held(Phase::Live));
            if in_pool && !loan.has_cleanup {
                let what = "the binding context lies in pool, and the module has no cleanup callback";
                Breach::new(Rule::NoCleanup, subject, what).report();
            }
        }
        (what, subject) => {
            ledger.lend(held(Phase::Live));
            if paged == Some(true) && what != Lent::RegistrationContext {
                let what = format!("the {} lies in paged pool", what.name());
                Breach::new(Rule::CharacteristicsLifetime, subject, what).report();
            }
            if let Subject::Module(module) = subject {
                note_stack(module, loan);
            }
        }
    }
}

/// Remembers memory that goes when a callback that runs now returns.
fn note_stack(module: ModuleInfo, loan: &Loan) {
    let here = 0_u8;
    let here = (&raw const here).addr();
    thread::with(|current| {
        let mut frames = current.state.frames.borrow_mut();
        // Stacks grow downwards: a callback's variables lie between its entry and here.
        let owner = frames
            .iter_mut()
            .rev()
            .find(|frame| (here..frame.base).contains(&loan.start));
        if let Some(frame) = owner {
            frame.lent.push((module, loan.what));
        }
    });
}

/// A callback has returned, and with it went what it had on its stack.
pub(crate) fn stack_gone(machine: &Machine, callback: &'static str, lent: &[(ModuleInfo, Lent)]) {
    let ledger = &machine.nmr_state().ledger;
    for (module, what) in lent {
        if ledger.is_lending(module.id) && ledger.first(Rule::CharacteristicsLifetime, module.id, None) {
            let message = format!(
                "{callback} has returned, the {} lie on its stack, and the module is registered",
                what.name()
            );
            Breach::new(Rule::CharacteristicsLifetime, *module, message)
                .since(Moment::Registered(module.id))
                .report();
        }
    }
}

/// What a freed block was to the registrar.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    rule: Rule,
    subject: Subject,
    since: Moment,
    what: &'static str,
}

impl Past {
    /// The finding that the block was written to after it was freed.
    pub(crate) fn written(&self, machine: &Machine, message: &str, freed: &CallSite) -> Finding {
        Breach::new(self.rule, self.subject, format!("{}: {message}", self.what))
            .at(Severity::Error)
            .since(self.since)
            .placed(Some(freed.clone()))
            .finding(machine)
    }
}

/// A driver frees pool: reports what of it is lent, and tells what to say if it is used again.
pub(crate) fn freed(machine: &Machine, call: &'static str, start: usize, size: usize) -> Option<Past> {
    let state = machine.nmr_state();
    let mut past = None;
    for Held { loan, phase, .. } in state.ledger.take_in(start, size) {
        let what = format!("{call} was called for the {}", loan.what.name());
        let (rule, since) = match (phase, loan.subject) {
            (Phase::Refused, Subject::Side(binding, role)) => {
                past = Some(Past {
                    rule: Rule::RejectedContext,
                    subject: loan.subject,
                    since: Moment::Attached(binding.id, role),
                    what: "the context of a failed attach was used after its client had freed it",
                });
                continue;
            }
            (Phase::CleanedUp, Subject::Side(binding, role)) => {
                past = Some(Past {
                    rule: Rule::ContextAfterCleanup,
                    subject: loan.subject,
                    since: Moment::Completed(binding.id, role),
                    what: "the binding context was used after its cleanup",
                });
                continue;
            }
            (_, Subject::Side(binding, role)) => {
                (Rule::ContextFreedEarly, Moment::Attached(binding.id, role))
            }
            (_, Subject::Module(module)) => match state.registrar.module_state(module.id) {
                Some(ModuleState::Active) => {
                    if !state.ledger.first(Rule::CharacteristicsLifetime, module.id, None) {
                        continue;
                    }
                    (Rule::CharacteristicsLifetime, Moment::Registered(module.id))
                }
                Some(ModuleState::Deregistering | ModuleState::Drained) => {
                    if !state.ledger.first(Rule::NoWait, module.id, None) {
                        continue;
                    }
                    (Rule::NoWait, Moment::Deregistered(module.id))
                }
                None => continue,
            },
            (_, Subject::Caller) => continue,
        };
        Breach::new(rule, loan.subject, what)
            .by(call)
            .since(since)
            .report();
    }
    past
}

/// A driver allocates pool.
pub(crate) fn allocating(call: &'static str, callback: &Callback) {
    let (binding, role) = (callback.binding.id, callback.role);
    let machine = Machine::current();
    let ledger = &machine.nmr_state().ledger;
    if callback.kind == CallbackKind::Detach && ledger.first(Rule::AllocationInDetach, binding, Some(role)) {
        let what = format!("{call} was called in {}", callback.name());
        Breach::in_callback(Rule::AllocationInDetach, callback, what)
            .by(call)
            .report();
    }
}

/// Reports contexts that a driver which was unloaded has not freed.
pub(super) fn check_unloaded(machine: &Machine, owner: nmr_model::Owner) {
    for Held { loan, phase, .. } in machine.nmr_state().ledger.take_unfreed(owner) {
        let Subject::Side(binding, role) = loan.subject else {
            continue;
        };
        if machine.pool_state().live_at(loan.start).is_none() {
            continue;
        }
        let since = Moment::Attached(binding.id, role);
        let breach = if phase == Phase::Refused {
            let what = "NmrClientAttachProvider had failed, and its context was never freed";
            Breach::new(Rule::RejectedContext, loan.subject, what)
        } else {
            let what = "the cleanup of the binding has run, and its context was never freed";
            Breach::new(Rule::ContextLeaked, loan.subject, what)
        };
        breach
            .since(since)
            .placed(machine.nmr_state().ledger.site(since))
            .report();
    }
}
