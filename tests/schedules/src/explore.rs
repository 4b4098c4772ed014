//! Runs a subject under many schedules, each with a seed that replays it.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::{Seed, Strategy, Witness, chooser::Chooser};

/// A body to run under every schedule, and the situations that some schedule has to reach.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// What the command line calls it.
    pub name: &'static str,
    /// Runs once from beginning to end, with threads started by shuttle; panics if something is wrong.
    pub body: fn(&Arc<Witness>),
    /// Situations that are reached by some schedule, in the words that the body gives to [`Witness::reach`].
    pub reaches: &'static [&'static str],
}

/// A schedule under which a subject failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The subject.
    pub subject: &'static str,
    /// The schedule.
    pub seed: Seed,
    /// What the panic said.
    pub message: String,
}

impl Failure {
    /// The command that runs the schedule again.
    #[must_use]
    pub fn replay(&self) -> String {
        format!("cargo soak --only {} --replay {}", self.subject, self.seed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.message.lines().next().unwrap_or_default();
        write!(f, "{}: {first}\nreplay: {}", self.subject, self.replay())
    }
}

/// More than any subject needs; whoever takes them is going round in circles.
const MAX_STEPS: usize = 2_000_000;

/// The real drivers, unoptimised, need more than shuttle's default of 60 KiB.
const STACK: usize = 512 * 1024;

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    config.silence_warnings = true;
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    config
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".into())
}

/// Runs `subject` under the schedule of `seed`; the number of decisions that it took.
///
/// # Errors
///
/// The schedule fails.
pub fn run(subject: &Subject, seed: Seed, witness: &Arc<Witness>) -> Result<u32, Failure> {
    let decisions = Arc::new(AtomicU32::new(0));
    let chooser = Chooser::new(seed, Arc::clone(&decisions), Arc::clone(witness));
    let (body, witness) = (subject.body, Arc::clone(witness));
    // On a thread of its own: what a failing schedule leaves behind in thread-local variables is gone with it.
    let ended = thread::scope(|scope| {
        let run = move || Runner::new(chooser, config()).run(move || body(&witness));
        scope.spawn(run).join()
    });
    match ended {
        Ok(_) => Ok(decisions.load(Ordering::Relaxed)),
        Err(panic) => Err(Failure {
            subject: subject.name,
            seed,
            message: message(&*panic),
        }),
    }
}

/// Makes the seeds of an exploration: schedules at random and by priority by turns.
#[derive(Clone, Debug)]
pub struct Seeds {
    next: u64,
    /// The longest schedule so far.
    length: u32,
}

impl Seeds {
    /// Seeds that follow from `base`.
    #[must_use]
    pub const fn new(base: u64) -> Self {
        Self {
            next: base,
            length: 64,
        }
    }

    /// A schedule took so many decisions.
    pub fn learn(&mut self, decisions: u32) {
        self.length = self.length.max(decisions);
    }
}

impl Iterator for Seeds {
    type Item = Seed;

    fn next(&mut self) -> Option<Seed> {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let priority = |depth| Strategy::Priority {
            depth,
            length: self.length,
        };
        let strategy = match number % 4 {
            0 | 2 => Strategy::Random,
            1 => priority(3),
            _ => priority(5),
        };
        Some(Seed { strategy, number })
    }
}

/// Runs `subject` under `count` schedules, and asserts that it fails in none and reaches all that it is to reach.
///
/// The environment variable `SCHEDULES` multiplies the count.
///
/// # Panics
///
/// If a schedule fails: the line before says by which command it is replayed. If a situation is not reached.
#[expect(
    clippy::must_use_candidate,
    reason = "most tests want no more than the assertions"
)]
pub fn check(subject: &Subject, count: u32) -> Arc<Witness> {
    let factor = std::env::var("SCHEDULES")
        .ok()
        .and_then(|text| text.parse::<u32>().ok());
    let witness = Arc::new(Witness::default());
    let mut seeds = Seeds::new(0);
    for _ in 0..count.saturating_mul(factor.unwrap_or(1)) {
        let Some(seed) = seeds.next() else { break };
        match run(subject, seed, &witness) {
            Ok(decisions) => seeds.learn(decisions),
            Err(failure) => panic!("{failure}"),
        }
    }
    let reached = witness.reached();
    for situation in subject.reaches {
        assert!(
            reached.contains_key(situation),
            "{}: no schedule of {count} reached: {situation}; reached were {reached:?}",
            subject.name
        );
    }
    witness
}
