//! What a registrar may leave to another thread, and how it waits for one, where its [`Policy`] says so.
//!
//! [`Policy`]: crate::Policy

use alloc::sync::Arc;

use sim_platform::{Event as _, Lock as _, Platform, ThreadId};

use crate::{BindingId, BindingInfo, ModuleId, Observer, Registrar, Role};

/// A piece of the registrar's work for a worker thread of the machine.
///
/// The machine gets it by [`Observer::queue`], and gives it back by [`Registrar::run`].
#[derive(Clone, Copy, Debug)]
pub struct Work(pub(crate) Task);

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Offer a pair, of which this side's registration brought it about.
    Propose(BindingId, Role),
    /// Call the detach callback of a side.
    Detach(BindingInfo, Role),
    /// Clean up a binding whose sides are both done.
    CleanUp(BindingInfo),
}

/// The attach callbacks of a module that has them one at a time.
pub(crate) struct Gate<P: Platform> {
    holder: ThreadId,
    /// An attach callback may register another module, and so come here again.
    depth: usize,
    freed: Arc<P::Event>,
}

impl<P: Platform, O: Observer> Registrar<P, O> {
    /// Does a piece of work that was queued.
    pub fn run(&self, work: Work) {
        match work.0 {
            Task::Propose(binding, by) => self.propose(binding, by),
            Task::Detach(binding, role) => self.detach_side(binding, role),
            Task::CleanUp(binding) => self.clean_up(binding),
        }
    }

    /// Has `task` done: by a worker if it is to be and the machine has one, else here.
    pub(crate) fn hand_over(&self, to_worker: bool, task: Task) {
        let work = Work(task);
        if !(to_worker && self.observer.queue(work)) {
            self.run(work);
        }
    }

    /// Runs an attach callback of `module`, alone if the policy says so.
    pub(crate) fn one_at_a_time<R>(&self, module: ModuleId, attach: impl FnOnce() -> R) -> R {
        if !self.policy.serial_attach {
            return attach();
        }
        let thread = P::current_thread();
        let freed = Arc::new(P::Event::new());
        loop {
            let busy = self.state.with(|state| {
                let gate = &mut state.modules.get_mut(&module)?.gate;
                match gate {
                    Some(gate) if gate.holder != thread => return Some(Arc::clone(&gate.freed)),
                    Some(gate) => gate.depth += 1,
                    None => {
                        *gate = Some(Gate {
                            holder: thread,
                            depth: 1,
                            freed: Arc::clone(&freed),
                        });
                    }
                }
                None
            });
            let Some(busy) = busy else { break };
            busy.wait();
        }
        let result = attach();
        let free = self.state.with(|state| {
            let gate = &mut state.modules.get_mut(&module)?.gate;
            let held = gate.as_mut()?;
            held.depth -= 1;
            if held.depth > 0 {
                return None;
            }
            gate.take()
        });
        if let Some(free) = free {
            free.freed.set();
        }
        result
    }
}
