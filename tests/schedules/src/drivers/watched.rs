//! The scheduler of a machine, which tells a witness where threads are when the checker is asked.

use std::{fmt, sync::Arc};

use nt_sim::scheduler::{Controlled, Point, Scheduler, SchedulerEvent, Slot};

use crate::Witness;

/// [`Controlled`] with a witness.
pub(crate) struct Watched {
    controlled: Arc<dyn Scheduler>,
    witness: Arc<Witness>,
}

impl Watched {
    /// Makes the scheduler for a machine of one execution.
    #[expect(clippy::new_ret_no_self, reason = "a machine takes it in this form")]
    pub(crate) fn new(witness: &Arc<Witness>) -> Arc<dyn Scheduler> {
        Arc::new(Self {
            controlled: Controlled::new(),
            witness: Arc::clone(witness),
        })
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Scheduler for Watched {
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send + 'static>) {
        self.controlled.spawn(name, body);
    }

    fn event(&self) -> Box<dyn SchedulerEvent> {
        self.controlled.event()
    }

    fn yield_point(&self) {
        self.controlled.yield_point();
    }

    fn preemption_point(&self, at: Point) {
        self.witness.arrive(Some(at));
        self.controlled.preemption_point(at);
        self.witness.arrive(None);
    }

    fn slot(&self) -> Slot {
        self.controlled.slot()
    }
}
