//! A registrar and its modules for the time of one schedule.

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering::SeqCst};

use nmr_model::{Policy, Registrar, Role};
use shuttle::thread::{self, JoinHandle};

use super::{
    modules::{Module, Nmr, Plan},
    trail::{Log, Trail},
};
use crate::{Witness, chance::any_policy};

/// A registrar and its modules.
pub struct Scene {
    nmr: Arc<Nmr>,
    witness: Arc<Witness>,
    modules: Mutex<Vec<Arc<Module>>>,
    workers: Arc<Workers>,
}

/// Threads that callbacks start.
#[derive(Default)]
pub struct Workers(Mutex<Vec<JoinHandle<()>>>);

impl Workers {
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        let worker = thread::spawn(work);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
    }

    pub fn join(&self) {
        loop {
            let worker = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(worker) = worker else { return };
            worker.join().expect("the worker ends well");
        }
    }
}

impl Scene {
    pub fn new(witness: &Arc<Witness>, policy: Policy) -> Self {
        let workers = Arc::new(Workers::default());
        let log = Log::new(Arc::clone(witness), Arc::clone(&workers));
        let nmr = Arc::new(Registrar::new(log, policy));
        nmr.observer().watches(&nmr);
        Self {
            nmr,
            witness: Arc::clone(witness),
            modules: Mutex::default(),
            workers,
        }
    }

    /// A scene under a policy that the schedule draws.
    pub fn under_any_policy(witness: &Arc<Witness>) -> Self {
        Self::new(witness, any_policy())
    }

    pub fn workers(&self) -> Arc<Workers> {
        Arc::clone(&self.workers)
    }

    pub fn log(&self) -> &Log {
        self.nmr.observer()
    }

    pub fn trail(&self) -> Trail {
        self.log().trail()
    }

    fn module(&self, role: Role, plan: Plan) -> Arc<Module> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let module = Module::new(Arc::clone(&self.nmr), modules.len() + 1, role, plan);
        modules.push(Arc::clone(&module));
        module
    }

    pub fn client(&self, plan: Plan) -> Arc<Module> {
        self.module(Role::Client, plan)
    }

    pub fn provider(&self, plan: Plan) -> Arc<Module> {
        self.module(Role::Provider, plan)
    }

    /// Runs `work` with a module on a thread of its own.
    pub fn thread<T: Send + 'static>(
        module: &Arc<Module>,
        work: impl FnOnce(&Module) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let module = Arc::clone(module);
        thread::spawn(move || work(&module))
    }

    /// Asserts what holds at the end of every schedule, and that no rule was broken.
    pub fn finish(self) -> Trail {
        let nmr = Arc::clone(&self.nmr);
        let violations = self.finish_with_findings();
        assert!(violations.is_empty(), "{violations:?}");
        nmr.observer().trail()
    }

    /// As [`Self::finish`], where modules break rules on purpose: what the registrar found.
    pub fn finish_with_findings(self) -> Vec<String> {
        self.workers.join();
        let trail = self.trail();
        let modules = self
            .modules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for module in &modules {
            for side in module.shown() {
                let attached = usize::from(side.attached.load(SeqCst));
                let counts = (side.detached.load(SeqCst), side.cleaned.load(SeqCst));
                assert_eq!(
                    counts,
                    (attached, attached),
                    "detach and cleanup come once to each side that was attached: module {}",
                    module.key
                );
                assert_eq!(
                    Arc::strong_count(&side),
                    2,
                    "the binding context is freed: module {}",
                    module.key
                );
            }
            assert!(
                self.nmr.live_modules(module.key).is_empty(),
                "a module is left: {}",
                module.key
            );
            assert!(self.nmr.live_bindings(module.key).is_empty(), "a binding is left");
        }
        let pairs: Vec<_> = trail.bindings().iter().map(|met| met.modules).collect();
        for pair in &pairs {
            let times = pairs.iter().filter(|other| *other == pair).count();
            assert_eq!(times, 1, "a pair meets once");
        }
        self.witness.transitions.merge(self.nmr.transitions());
        self.log().violations()
    }
}
