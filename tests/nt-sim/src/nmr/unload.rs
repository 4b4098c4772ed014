//! What a driver leaves behind in the registrar when it goes.

use nmr_model::{ModuleState, Moment, Rule};

use super::Breach;
use crate::{DriverName, Machine};

/// Reports what a driver that was just unloaded, or whose DriverEntry has `failed`, left behind here.
pub(crate) fn check_unloaded(machine: &Machine, driver: &DriverName, failed: bool) {
    let state = machine.nmr_state();
    let owner = state.owner(driver);
    let gone = if failed {
        "its DriverEntry failed"
    } else {
        "its driver was unloaded"
    };
    super::check_drains(machine, Some(driver));
    super::memory::check_unloaded(machine, owner);
    for module in state.registrar.live_modules(owner) {
        if let Some(second) = state.ledger.overwriter(module.id) {
            let what =
                "the handle of another registration was stored over that of this one, which is still live";
            Breach::new(Rule::HandleOverwritten, module, what)
                .since(Moment::Registered(module.id))
                .placed(state.ledger.site(Moment::Registered(second)))
                .report();
        }
        let (rule, moment, what) = match state.registrar.module_state(module.id) {
            Some(ModuleState::Active) => (
                Rule::LiveAtUnload,
                Moment::Registered(module.id),
                "is still registered",
            ),
            Some(ModuleState::Deregistering) => (
                Rule::NoWait,
                Moment::Deregistered(module.id),
                "still has bindings, as nobody waited for its deregistration",
            ),
            Some(ModuleState::Drained) => (
                Rule::NoWait,
                Moment::Deregistered(module.id),
                "is deregistered, and nobody waited for it",
            ),
            None => continue,
        };
        // What can be pointed at is the call that was not followed up.
        let site = state.ledger.site(moment);
        Breach::new(rule, module, format!("{gone}, and the module {what}"))
            .placed(site.clone())
            .report();
        if rule == Rule::NoWait {
            Breach::new(
                Rule::PendingTakenForDone,
                module,
                "the deregistration returned STATUS_PENDING, and no wait followed",
            )
            .placed(site.clone())
            .report();
        }
        if failed {
            Breach::new(
                Rule::FailedEntryLeft,
                module,
                "DriverEntry failed after the registration had succeeded",
            )
            .placed(site)
            .report();
        }
    }
}
