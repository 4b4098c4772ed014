//! What runs leave behind: which situations they reached, which transitions they took, and, on demand, their timeline.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use nmr_model::transitions::Transitions;
use nt_sim::scheduler::Point;

/// Sees many runs of a subject, or a single one in full.
///
/// It is no part of what is scheduled: touching it is no step.
#[derive(Debug, Default)]
pub struct Witness {
    reached: Mutex<BTreeMap<&'static str, u64>>,
    timeline: Option<Mutex<Vec<String>>>,
    /// Where the running thread is, if the simulated kernel has said so.
    at: Mutex<Option<Point>>,
    decided: Mutex<BTreeMap<Option<Point>, u64>>,
    /// All transitions of registrars.
    pub transitions: Transitions,
}

impl Witness {
    /// One that keeps the timeline too.
    #[must_use]
    pub fn with_timeline() -> Self {
        Self {
            timeline: Some(Mutex::default()),
            ..Self::default()
        }
    }

    /// The run reached `situation`.
    pub fn reach(&self, situation: &'static str) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        *reached.entry(situation).or_default() += 1;
    }

    /// The run reached `situation` if `so`.
    pub fn reach_if(&self, so: bool, situation: &'static str) {
        if so {
            self.reach(situation);
        }
    }

    /// How often each situation was reached.
    #[must_use]
    pub fn reached(&self) -> BTreeMap<&'static str, u64> {
        self.reached
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The running thread is about to ask the checker at `point`; nothing if it is past it.
    pub(crate) fn arrive(&self, point: Option<Point>) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = point;
    }

    /// The checker decides which thread runs next.
    pub(crate) fn decide(&self) {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        *decided.entry(at).or_default() += 1;
    }

    /// How often the checker had more than one thread to choose from, by what the thread that ran was about to do:
    /// nothing for one that waited, ended, or was at a step of its own.
    #[must_use]
    pub fn decided(&self) -> BTreeMap<Option<Point>, u64> {
        self.decided
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Writes a line of the timeline, if it is kept.
    pub fn note(&self, line: impl FnOnce() -> String) {
        if let Some(timeline) = &self.timeline {
            let line = line();
            timeline.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    /// Whether the timeline is kept.
    #[must_use]
    pub const fn keeps_timeline(&self) -> bool {
        self.timeline.is_some()
    }

    /// The timeline so far.
    #[must_use]
    pub fn timeline(&self) -> Vec<String> {
        self.timeline.as_ref().map_or_else(Vec::new, |timeline| {
            timeline.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }
}
