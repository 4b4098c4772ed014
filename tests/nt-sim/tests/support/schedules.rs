//! The schedules under which a test runs: the same in every run, so that none fails, or finds nothing, by bad luck.

use std::panic::{AssertUnwindSafe, catch_unwind};

use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler},
};

/// Under how many schedules of each kind a test runs that none may break.
const SCHEDULES: usize = 300;

/// The first schedule that breaks a test ends the search: this only bounds it when none does.
const UNTIL_FOUND: usize = 10_000;

/// Runs `test` under schedules at random and by priorities.
pub fn none_breaks(test: fn()) {
    Runner::new(RandomScheduler::new_from_seed(1, SCHEDULES), Config::default()).run(test);
    Runner::new(PctScheduler::new_from_seed(1, 3, SCHEDULES), Config::default()).run(test);
}

/// Looks for a schedule that breaks `test`.
///
/// # Panics
///
/// There is none: the checker would not find such an error elsewhere either.
pub fn some_breaks(test: fn()) {
    let broken = catch_unwind(AssertUnwindSafe(|| {
        Runner::new(RandomScheduler::new_from_seed(1, UNTIL_FOUND), Config::default()).run(test);
    }));
    assert!(broken.is_err(), "the checker tried only harmless schedules");
}
