//! Holding flushes back, so that a change of the registry is half done for as long as a test likes.

use std::sync::{Arc, Weak};

use super::Registry;
use crate::{Machine, scheduler::SchedulerEvent};

#[derive(Debug)]
pub(super) struct Gate {
    reached: Box<dyn SchedulerEvent>,
    released: Box<dyn SchedulerEvent>,
}

/// Holds flushes back; see [`Machine::hold_registry_flush`]. Dropping it releases them.
#[derive(Debug)]
#[must_use = "dropping the hold releases it"]
pub struct Hold {
    machine: Machine,
    gate: Arc<Gate>,
}

impl Hold {
    /// Waits until a flush is held back.
    pub fn wait_until_reached(&self) {
        let _entered = self.machine.enter();
        self.gate.reached.wait();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.gate.released.set();
    }
}

impl Registry {
    /// Waits while flushes are held back.
    pub(super) fn pass(&self) {
        if let Some(gate) = self.gate.with(|gate| gate.upgrade()) {
            gate.reached.set();
            gate.released.wait();
        }
    }
}

impl Machine {
    /// Holds back from now on what a driver flushes of the registry (`ZwFlushKey`), until the hold is dropped. The
    /// caller of a held flush waits inside the kernel.
    #[must_use = "dropping the hold releases it"]
    pub fn hold_registry_flush(&self) -> Hold {
        let gate = Arc::new(Gate {
            reached: self.scheduler().event(),
            released: self.scheduler().event(),
        });
        self.registry()
            .gate
            .with(|present: &mut Weak<Gate>| *present = Arc::downgrade(&gate));
        Hold {
            machine: self.clone(),
            gate,
        }
    }
}
