//! Both drivers, in every schedule that is tried.

use schedules::{check, drivers};

/// A schedule of both drivers takes a good part of a second without optimisation; `cargo soak` tries more.
const SCHEDULES: u32 = 24;

fn in_every_schedule(name: &str) {
    let subject = drivers::SUBJECTS.iter().find(|subject| subject.name == name);
    check(subject.expect("a subject of that name"), SCHEDULES);
}

#[test]
fn in_every_schedule_what_was_registered_is_found() {
    in_every_schedule("programs");
}

#[test]
fn in_every_schedule_programs_are_answered_while_the_provider_stops() {
    in_every_schedule("programs-while-stopping");
}

#[test]
fn no_schedule_breaks_a_registration_that_is_cancelled_and_closed() {
    in_every_schedule("cancellation");
}

#[test]
fn no_schedule_breaks_the_beginning_and_the_end_of_a_session() {
    in_every_schedule("session");
}

#[test]
fn in_every_schedule_changes_are_made_by_who_waits_for_them_or_for_all_who_do_not() {
    in_every_schedule("leading");
}

#[test]
fn no_schedule_breaks_a_look_up_that_threads_share() {
    in_every_schedule("shared-look-up");
}

#[test]
fn no_schedule_breaks_drivers_that_come_and_go() {
    in_every_schedule("coming-and-going");
}

#[test]
fn in_every_schedule_a_call_that_was_answered_is_counted_no_more() {
    in_every_schedule("answered-calls");
}
