//! Each race of the registrar is reached, and has the right outcome in every schedule.

#[macro_use]
mod support;

use schedules::registrar;

/// Enough for every situation by a wide margin.
const SCHEDULES: u32 = 300;

races! {
    SCHEDULES, registrar::SUBJECTS,
    modules_that_register_at_once_meet_exactly_once = "both-register";
    every_pair_of_many_meets_once_whatever_the_order = "many-pairs";
    a_registration_that_fails_beside_a_peer_leaves_no_trace = "failing-registration";
    a_second_registration_is_a_new_module_to_all_peers = "re-registration";
    a_declined_pair_is_offered_again_once = "rejected-and-offered-again";
    an_offer_that_has_not_begun_is_dropped_or_made_all_the_same = "leaving-beside-an-offer";
    a_module_that_leaves_during_its_attach_is_detached_at_once = "leaving-during-an-attach";
    one_of_two_deregistrations_detaches_and_both_waits_see_the_end = "both-deregister";
    a_module_may_leave_inside_its_own_callback = "inside-an-own-callback";
    a_module_may_leave_while_it_registers = "inside-the-own-registration";
    a_cleanup_may_deregister_another_module = "inside-a-cleanup";
    cleanup_runs_once_after_the_second_side_has_stopped = "completions";
    no_completion_is_lost_to_the_return_of_pending = "completion-beside-return";
    completions_do_not_disturb_a_deregistration_under_way = "completion-beside-iteration";
    modules_that_come_and_go_are_treated_right_under_every_policy = "churn";
    misuse_leaves_the_registrar_whole = "misuse";
}
