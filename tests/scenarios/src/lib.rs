//! Scenarios through both drivers, and what they are written against.
//!
//! A scenario is a function over a [`kernel::Kernel`]: a machine on which both drivers are installed and
//! not started. It does with service control, processes and requests what people and programs do, and
//! checks what they are answered. It knows nothing of the kernel that it runs on, so that the same list
//! runs on each of them; [`for_each_scenario`] is the list.
//!
//! - [`kernel`] is what a kernel has to offer; [`simulated`] is the simulated one;
//! - [`program`] is what programs do, in the words of the scenarios;
//! - the other modules are the scenarios, each named after the rule that it checks.
//!
//! A scenario never depends on time. What is in flight is held there, and what is to happen is waited for.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a scenario panics to say that it failed"
)]

pub mod access;
pub mod administration;
pub mod concurrency;
pub mod faulty;
pub mod in_flight;
pub mod kernel;
pub mod lifecycle;
pub mod malformed;
pub mod names;
pub mod program;
pub mod simulated;
mod watchdog;

/// Calls a macro with the list of all scenarios, by module.
#[macro_export]
macro_rules! for_each_scenario {
    ($with:ident) => {
        $with! {
            names: [
                a_name_is_found_until_it_is_deregistered_and_known_until_it_is_deleted,
                single_addresses_are_added_and_removed,
                each_provider_answers_for_the_domains_that_it_claims,
                a_deletion_reaches_the_copy_at_the_secondary_provider,
                a_look_up_is_read_record_by_record_with_exactly_the_room_it_asks_for,
                a_look_up_belongs_to_the_handle_that_opened_it,
                a_batch_answers_each_query_in_its_place,
                names_survive_a_restart_of_the_drivers,
                an_ended_session_starts_again_with_the_next_call,
            ],
            lifecycle: [
                provider_up_first_and_down_first_under_traffic,
                provider_up_first_and_client_down_first_under_traffic,
                client_up_first_and_provider_down_first_under_traffic,
                client_up_first_and_down_first_under_traffic,
                a_device_opened_before_any_provider_answers_when_one_is_there,
                look_ups_while_the_provider_stops_have_the_right_answer_or_none,
                a_stop_waits_for_the_last_handle_and_the_device_works_until_then,
            ],
            in_flight: [
                stopping_the_provider_waits_for_a_registration_in_flight,
                a_change_is_seen_when_it_is_durable_and_not_before,
                stopping_the_client_leaves_calls_in_flight_their_end,
                the_client_is_unloaded_after_the_provider_has_completed_its_last_call,
                killing_a_program_cancels_its_calls_and_runs_its_session_down,
                closing_a_handle_cancels_its_calls_and_runs_its_session_down,
                a_cancelled_change_is_answered_at_once_and_happens_wholly_or_not_at_all,
                a_call_that_has_ended_cannot_be_cancelled,
                cancelling_races_with_completing_and_the_answer_is_true,
                a_cancelled_removal_leaves_no_copy_behind,
            ],
            concurrency: [
                threads_that_share_a_handle_get_their_own_answers,
                threads_with_a_handle_each_get_their_own_answers,
                threads_that_share_a_look_up_get_each_record_once,
                a_look_up_beside_changes_finds_a_whole_version,
                additions_from_many_threads_all_hold,
            ],
            administration: [
                an_explanation_names_who_is_asked_and_asks_nobody,
                a_disabled_provider_is_passed_over_at_once_and_until_it_is_enabled,
                a_changed_catalogue_is_for_look_ups_that_begin_later,
                look_ups_go_on_while_the_catalogue_changes,
                the_catalogue_is_changed_by_nobody_else_and_not_by_nonsense,
                a_provider_that_is_gone_can_be_forgotten,
                a_provider_is_installed_and_uninstalled_beside_look_ups,
                what_is_hosted_survives_a_restart,
                an_uninstallation_waits_for_changes_in_flight_and_blocks_nobody,
                a_cancelled_installation_happens_wholly_or_not_at_all,
                what_is_hosted_is_changed_by_nobody_else_and_not_by_nonsense,
                counters_are_reset_and_gauges_are_not,
                a_listing_is_filtered_by_domain_and_state,
                what_is_open_is_told_by_session_and_by_provider,
            ],
            access: [
                a_user_looks_up_and_does_not_register,
                the_system_and_administrators_register,
                only_administrators_open_the_providers_device,
            ],
            malformed: [
                an_unknown_code_is_refused,
                an_output_without_room_for_a_header_is_refused,
                an_output_with_room_for_only_a_part_loses_nothing,
                every_truncation_of_each_message_is_refused,
                every_number_of_each_message_takes_every_awkward_value,
                damaged_messages_do_no_harm,
                noise_does_no_harm,
                a_well_formed_request_for_nonsense_is_answered_with_a_code,
            ],
        }
    };
}
