//! The registrar's documentation leaves some of its behaviour open; the drivers may not depend on it.

use nmr_model::Policy;
use nsemail_embedded::Options;
use scenarios::{administration, in_flight, kernel::Kernel, lifecycle, names, simulated::Simulated};

/// Pairs scenarios with their names, for the output of a test that fails.
macro_rules! named {
    ($($scenario:path,)+) => {
        [$((stringify!($scenario), $scenario),)+]
    };
}

type Scenarios = [(&'static str, fn(&dyn Kernel))];

/// Both sides leave, with calls under way and with a call in flight.
const LEAVING: &Scenarios = &named![
    lifecycle::provider_up_first_and_client_down_first_under_traffic,
    lifecycle::client_up_first_and_provider_down_first_under_traffic,
    in_flight::stopping_the_provider_waits_for_a_registration_in_flight,
    in_flight::the_client_is_unloaded_after_the_provider_has_completed_its_last_call,
];

/// More in which modules come and go.
const MORE: &Scenarios = &named![
    names::names_survive_a_restart_of_the_drivers,
    lifecycle::provider_up_first_and_down_first_under_traffic,
    lifecycle::client_up_first_and_down_first_under_traffic,
    in_flight::killing_a_program_cancels_its_calls_and_runs_its_session_down,
    administration::a_provider_is_installed_and_uninstalled_beside_look_ups,
];

#[test]
fn the_drivers_leave_in_order_under_each_policy() {
    for (name, policy) in Policy::singles().skip(1) {
        run_all(name, policy, LEAVING);
    }
}

#[test]
fn the_drivers_stand_all_policies_at_once() {
    run_all("hostile", Policy::hostile(), LEAVING);
    run_all("hostile", Policy::hostile(), MORE);
}

fn run_all(name: &str, policy: Policy, scenarios: &Scenarios) {
    for (scenario, run) in scenarios {
        println!("{scenario}, policy: {name}");
        let machine = Simulated::with(Options::new().machine(|machine| machine.nmr_policy(policy)));
        run(&machine);
        machine.end();
    }
}
