//! The races together take every legal transition of the registrar's machines, and no other.

use nmr_model::transitions::{BindingStage, ModuleStage, SideStage, Stage, Transitions};
use schedules::{check, registrar, table};

/// Of each subject; fewer than the tests of the single races run, as this is about all of them together.
const SCHEDULES: u32 = 150;

#[test]
fn the_races_take_every_legal_transition_and_no_other() {
    let all = Transitions::default();
    for subject in registrar::SUBJECTS {
        all.merge(&check(subject, SCHEDULES).transitions);
    }
    let (table, gaps) = table(&all);
    println!("{table}");
    assert!(
        gaps.missing.is_empty() && gaps.illegal.is_empty(),
        "{gaps}\n{table}"
    );
}

/// Every state of `S` is on a legal way from its first to its last.
fn every_state_is_passed<S: Stage>() {
    for (place, stage) in S::ALL.iter().enumerate() {
        let entered = S::LEGAL.iter().any(|(from, to)| to == stage && from != stage);
        let left = S::LEGAL.iter().any(|(from, to)| from == stage && to != stage);
        assert!(entered || place == 0, "{stage:?} cannot be reached");
        assert!(left || place == S::ALL.len() - 1, "{stage:?} cannot be left");
    }
}

#[test]
fn every_state_can_be_reached_and_left() {
    every_state_is_passed::<ModuleStage>();
    every_state_is_passed::<BindingStage>();
    every_state_is_passed::<SideStage>();
}

#[test]
fn a_transition_that_is_missing_is_noticed() {
    let (_, gaps) = table(&Transitions::default());
    let legal = ModuleStage::LEGAL.len() + BindingStage::LEGAL.len() + SideStage::LEGAL.len();
    assert_eq!((gaps.missing.len(), gaps.illegal.len()), (legal, 0));
}
