//! The registrar's documentation leaves some of its behaviour open; the drivers may not depend on it.

use nmr_model::{DetachOrder, Policy};
use nsemail_embedded::Options;
use scenarios::{in_flight, kernel::Kernel, lifecycle, names, simulated::Simulated};

/// The scenarios in which modules come and go.
const SCENARIOS: [fn(&dyn Kernel); 8] = [
    names::names_survive_a_restart_of_the_drivers,
    lifecycle::provider_up_first_and_down_first_under_traffic,
    lifecycle::provider_up_first_and_client_down_first_under_traffic,
    lifecycle::client_up_first_and_provider_down_first_under_traffic,
    lifecycle::client_up_first_and_down_first_under_traffic,
    in_flight::stopping_the_provider_waits_for_a_registration_in_flight,
    in_flight::the_client_is_unloaded_after_the_provider_has_completed_its_last_call,
    in_flight::killing_a_program_cancels_its_calls_and_runs_its_session_down,
];

fn run_all(policy: Policy) {
    for scenario in SCENARIOS {
        let machine = Simulated::with(Options::new().machine(|machine| machine.nmr_policy(policy)));
        scenario(&machine);
        machine.end();
    }
}

#[test]
fn the_initiator_of_a_detach_may_be_told_first() {
    let policy = Policy {
        detach_order: DetachOrder::InitiatorFirst,
        ..Policy::default()
    };
    run_all(policy);
}

#[test]
fn the_provider_may_clean_up_first() {
    let policy = Policy {
        provider_cleanup_first: true,
        ..Policy::default()
    };
    run_all(policy);
}

#[test]
fn the_registration_handle_may_be_written_before_the_attach_callbacks() {
    let policy = Policy {
        handle_before_attach: true,
        ..Policy::default()
    };
    run_all(policy);
}

#[test]
fn a_peer_may_be_offered_although_it_deregisters() {
    let policy = Policy {
        offer_after_deregister: true,
        ..Policy::default()
    };
    run_all(policy);
}

#[test]
fn cleanup_may_come_while_a_detach_callback_still_runs() {
    let policy = Policy {
        cleanup_after_callbacks: false,
        ..Policy::default()
    };
    run_all(policy);
}
