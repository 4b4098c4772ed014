//! Rules about the memory that drivers lend to the registrar and to their peers.

use nmr_model::{Lent, Loan, ModuleState, Moment, Rule, Subject};

use super::Breach;
use crate::Machine;

/// Looks at memory that a driver lends from now on.
pub(super) fn lent(machine: &Machine, loan: &Loan) {
    machine.nmr_state().ledger.lend(*loan);
    let Some(paged) = machine.pool_state().live_at(loan.start) else {
        return;
    };
    match loan.what {
        Lent::BindingContext if !loan.has_cleanup => {
            Breach::new(
                Rule::NoCleanup,
                loan.subject,
                "the binding context lies in pool, and the module has no cleanup callback",
            )
            .report();
        }
        Lent::BindingContext | Lent::RegistrationContext => {}
        _ if paged => {
            let what = format!("the {} lies in paged pool", loan.what.name());
            Breach::new(Rule::CharacteristicsLifetime, loan.subject, what).report();
        }
        _ => {}
    }
}

/// A driver frees pool: reports what of it is lent.
pub(crate) fn freed(machine: &Machine, call: &'static str, start: usize, size: usize) {
    let state = machine.nmr_state();
    for loan in state.ledger.take_lent_in(start, size) {
        let what = format!("{call} was called for the {}", loan.what.name());
        let (rule, moment) = match loan.subject {
            Subject::Caller => continue,
            Subject::Side(binding, role) => (Rule::ContextFreedEarly, Moment::Attached(binding.id, role)),
            Subject::Module(module) => match state.registrar.module_state(module.id) {
                Some(ModuleState::Active) => (Rule::CharacteristicsLifetime, Moment::Registered(module.id)),
                Some(ModuleState::Deregistering | ModuleState::Drained) => {
                    (Rule::NoWait, Moment::Deregistered(module.id))
                }
                None => continue,
            },
        };
        Breach::new(rule, loan.subject, what)
            .by(call)
            .since(moment)
            .report();
    }
}
