//! All scenarios on the simulated kernel, each on a machine of its own.

use scenarios::{for_each_scenario, simulated::Simulated};

macro_rules! tests {
    ($($module:ident: [$($scenario:ident,)+],)+) => {
        $(mod $module {
            $(#[test]
            fn $scenario() {
                super::run(stringify!($scenario), scenarios::$module::$scenario);
            })+
        })+
    };
}

for_each_scenario!(tests);

/// Runs a scenario; the machine's verifier must have found nothing by its end.
fn run(name: &'static str, scenario: fn(&dyn scenarios::kernel::Kernel)) {
    let machine = Simulated::new();
    let _watchdog = watchdog::Watchdog::new(name, machine.machine());
    scenario(&machine);
    machine.end();
}

mod watchdog;
