//! A seed names a schedule: it runs again the same, step by step.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use schedules::{Failure, Seed, Seeds, Subject, Witness, drivers, guarded, registrar, run};

/// Two threads that add without a lock: some schedules lose one addition.
const BROKEN: Subject = Subject {
    name: "broken",
    body: lost_addition,
    reaches: &[],
};

fn lost_addition(witness: &Arc<Witness>) {
    let sum = Arc::new(AtomicU64::new(0));
    let threads = [1, 2].map(|number| {
        let (sum, witness) = (Arc::clone(&sum), Arc::clone(witness));
        shuttle::thread::spawn(move || {
            let before = sum.load(Ordering::Relaxed);
            witness.note(|| format!("{number} reads {before}"));
            schedules::platform::step();
            sum.store(before + 1, Ordering::Relaxed);
            witness.note(|| format!("{number} writes {}", before + 1));
        })
    });
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert_eq!(sum.load(Ordering::Relaxed), 2, "an addition was lost");
}

/// Runs the schedule, and keeps the timeline.
fn timeline(subject: &Subject, seed: Seed) -> (Result<u32, Failure>, Vec<String>) {
    let witness = Arc::new(Witness::with_timeline());
    let ended = run(subject, seed, &witness);
    (ended, witness.timeline())
}

#[test]
fn a_failure_is_found_and_its_seed_replays_it_step_by_step() {
    let (failure, first) = Seeds::new(0)
        .take(100)
        .find_map(|seed| match timeline(&BROKEN, seed) {
            (Err(failure), lines) => Some((failure, lines)),
            (Ok(_), _) => None,
        })
        .expect("some schedule loses an addition");
    // What is printed is all that a person has.
    let printed = failure.to_string();
    let command = printed.lines().last().expect("a line with the command");
    let seed: Seed = command
        .strip_prefix("replay: cargo soak --only broken --replay ")
        .expect("the command names subject and seed")
        .parse()
        .expect("a seed");
    for _ in 0..3 {
        let (again, lines) = timeline(&BROKEN, seed);
        assert_eq!(again, Err(failure.clone()));
        assert_eq!(lines, first, "the same timeline");
    }
}

#[test]
fn every_subject_runs_the_same_again_from_its_seed_and_otherwise_from_another() {
    for subject in registrar::SUBJECTS.iter().chain(guarded::SUBJECTS) {
        let mut timelines = Vec::new();
        for seed in Seeds::new(7).take(8) {
            let seed = seed.to_string().parse().expect("what is printed is read");
            let (ended, lines) = timeline(subject, seed);
            let (again, same) = timeline(subject, seed);
            assert_eq!(ended, again, "{}: {seed}", subject.name);
            assert_eq!(lines, same, "{}: {seed}", subject.name);
            timelines.push(lines);
        }
        timelines.sort();
        timelines.dedup();
        assert!(timelines.len() > 1, "{}: all schedules are alike", subject.name);
    }
}

#[test]
fn both_drivers_run_the_same_again_with_all_that_the_machine_records() {
    let subject = drivers::SUBJECTS
        .iter()
        .find(|subject| subject.name == "programs-while-stopping")
        .expect("a subject of that name");
    for seed in Seeds::new(0).take(2) {
        let (ended, lines) = timeline(subject, seed);
        let (again, same) = timeline(subject, seed);
        assert_eq!(ended, again, "{seed}");
        assert!(
            lines.iter().any(|line| line.contains("NMR: binding")),
            "{lines:#?}"
        );
        assert_eq!(lines, same, "{seed}");
    }
}
