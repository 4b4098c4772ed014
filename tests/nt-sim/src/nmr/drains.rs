//! Detaches that are pending and will not be completed.
//!
//! Time says nothing here: a completion may always come a little later. So it is decided where nothing can
//! come any more: when the driver is unloaded, when the machine ends, when its owner says so
//! ([`Machine::check_drains`]), and on a closed machine ([`crate::scheduler::Closed`]) when every thread is blocked.

use nmr_model::{Moment, Rule};

use super::{Breach, role_name};
use crate::{DriverName, Machine};

/// Reports the sides that have not completed their detach, of one driver's modules or of all.
pub(crate) fn check(machine: &Machine, driver: Option<&DriverName>) {
    if !machine.verifier_is_on() {
        return;
    }
    let state = machine.nmr_state();
    let owner = driver.map(|driver| state.owner(driver));
    for (binding, role) in state.registrar.pending_sides() {
        let of_driver = owner.is_none_or(|owner| binding.side(role).owner == owner);
        if !of_driver || !state.ledger.first(Rule::NeverCompleted, binding.id, Some(role)) {
            continue;
        }
        let moment = Moment::Detached(binding.id, role);
        Breach::new(
            Rule::NeverCompleted,
            (binding, role),
            format!(
                "the detach callback of the {} returned STATUS_PENDING, nobody has completed the detach, and \
                 nobody can any more",
                role_name(role)
            ),
        )
        .since(moment)
        .placed(state.ledger.site(moment))
        .report();
    }
}

impl Machine {
    /// Says that nothing is to come any more: no call in flight returns, no thread acts. Detaches that are
    /// pending now are reported as never completed, and those who wait for them get
    /// `STATUS_POSSIBLE_DEADLOCK`.
    pub fn check_drains(&self) {
        let _entered = self.enter();
        check(self, None);
        self.nmr_state().registrar.give_up_waits();
    }
}
