//! All scenarios on the simulated kernel, each on a machine of its own.

use scenarios::{for_each_scenario, kernel::Kernel, simulated::Simulated};

macro_rules! tests {
    ($($module:ident: [$($scenario:ident,)+],)+) => {
        $(mod $module {
            $(#[test]
            fn $scenario() {
                super::run(scenarios::$module::$scenario);
            })+
        })+
    };
}

for_each_scenario!(tests);

/// Runs a scenario; the machine's verifier must have found nothing by its end.
fn run(scenario: fn(&dyn Kernel)) {
    let machine = Simulated::new();
    scenario(&machine);
    machine.end();
}
