//! Decides which thread runs next, from a [`Seed`] alone.
//!
//! The schedulers that come with shuttle draw many schedules from one seed, and the one by priorities learns from the
//! schedules before; a single schedule of theirs can only be named by all its steps. Here each schedule has a seed of
//! its own, which fits on a command line.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use shuttle::scheduler::{DataSource, RandomDataSource, Schedule, Scheduler, Task, TaskId};

use crate::{Seed, Strategy, Witness};

/// How seldom a random schedule switches threads: one in so many decisions.
const RELUCTANCE: [u64; 3] = [1, 4, 16];

/// Chooses the threads of one schedule.
pub(crate) struct Chooser {
    seed: Seed,
    random: RandomDataSource,
    started: bool,
    /// Decisions with more than one thread to choose from.
    decisions: Arc<AtomicU32>,
    witness: Arc<Witness>,
    /// Of random schedules: one decision in so many switches.
    reluctance: u64,
    /// Of priorities: the decisions at which the running thread falls to the lowest.
    falls: Vec<u32>,
    /// Of priorities: the higher number runs. Those that fell are negative, the later the lower.
    priorities: BTreeMap<usize, i64>,
    lowest: i64,
}

impl Chooser {
    /// The chooser of the schedule of `seed`, which counts its decisions in `decisions`.
    pub fn new(seed: Seed, decisions: Arc<AtomicU32>, witness: Arc<Witness>) -> Self {
        let mut this = Self {
            seed,
            random: RandomDataSource::initialize(seed.number),
            started: false,
            decisions,
            witness,
            reluctance: 1,
            falls: Vec::new(),
            priorities: BTreeMap::new(),
            lowest: 0,
        };
        match seed.strategy {
            Strategy::Random => {
                let place = this.below(RELUCTANCE.len() as u64);
                this.reluctance = usize::try_from(place)
                    .ok()
                    .and_then(|place| RELUCTANCE.get(place).copied())
                    .unwrap_or(1);
            }
            Strategy::Priority { depth, length } => {
                this.falls = (1..depth)
                    .map(|_| u32::try_from(this.below(u64::from(length.max(1)))).unwrap_or(0))
                    .collect();
            }
        }
        this
    }

    /// A number below `limit`, which is small: the bias of the remainder does not matter.
    fn below(&mut self, limit: u64) -> u64 {
        self.random.next_u64() % limit
    }

    fn priority(&mut self, task: TaskId) -> i64 {
        let fresh = i64::try_from(self.random.next_u64() >> 2).unwrap_or(1) + 1;
        // A number is drawn whether it is needed or not: what follows does not depend on who asked before.
        *self.priorities.entry(usize::from(task)).or_insert(fresh)
    }

    fn by_priority(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        yields: bool,
        decision: u32,
    ) -> TaskId {
        if let Some(current) = current
            && (yields || self.falls.contains(&decision))
        {
            self.lowest -= 1;
            self.priorities.insert(usize::from(current), self.lowest);
        }
        let mut best = (i64::MIN, TaskId::from(0));
        for task in runnable {
            best = best.max((self.priority(task.id()), task.id()));
        }
        best.1
    }

    fn at_random(&mut self, runnable: &[&Task], current: Option<TaskId>, yields: bool) -> TaskId {
        let stay = current
            .filter(|current| !yields && runnable.iter().any(|task| task.id() == *current))
            .filter(|_| self.below(self.reluctance) != 0);
        stay.unwrap_or_else(|| {
            let place = self.below(runnable.len() as u64);
            let place = usize::try_from(place).unwrap_or(0);
            runnable
                .get(place)
                .map_or_else(|| TaskId::from(0), |task| task.id())
        })
    }
}

impl Scheduler for Chooser {
    fn new_execution(&mut self) -> Option<Schedule> {
        let first = !std::mem::replace(&mut self.started, true);
        first.then(|| Schedule::new(self.seed.number))
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, yields: bool) -> Option<TaskId> {
        if let [only] = runnable {
            return Some(only.id());
        }
        let decision = self.decisions.fetch_add(1, Ordering::Relaxed);
        self.witness.decide();
        let chosen = match self.seed.strategy {
            Strategy::Random => self.at_random(runnable, current, yields),
            Strategy::Priority { .. } => self.by_priority(runnable, current, yields, decision),
        };
        if current != Some(chosen) {
            self.witness
                .note(|| format!("decision {decision}: task {}", usize::from(chosen)));
        }
        Some(chosen)
    }

    fn next_u64(&mut self) -> u64 {
        self.random.next_u64()
    }
}
