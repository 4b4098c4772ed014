//! A machine for one schedule with a client and a provider, and what happened there.

use std::sync::{Arc, Mutex, PoisonError};

use nmr::{ClientRegistration, Passive, ProviderRegistration};
use nmr_model::{Policy, Role};
use nt_sim::{DriverName, Machine, Rule, frames, thread::current_thread};
use shuttle::thread::JoinHandle;
use sim_platform::ThreadId;

use super::modules::{Adder, AddingProbe, Sum};
use crate::{Witness, drivers::Watched};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A side makes the value for a binding.
    Attaching(Role),
    /// The client is about to fail after its provider has accepted.
    Abandons,
    /// A thread asks for the registration of a module, and has it.
    Registers(Role),
    Registered(Role),
    /// A thread begins a deregistration, comes back from that, and has waited for its end.
    Leaves(Role),
    Left(Role),
    Waited(Role),
    /// The safe layer tells a module of a detach; the module returns from that.
    Detaching(Role),
    Detached(Role),
    /// The binding value of a side is dropped.
    CleanedUp(Role),
    /// A side's call into its peer: let in, about to drop its guard, not let in.
    Calls(Role),
    Ends(Role),
    Refused(Role),
}

/// What happened, in order, and on which thread.
pub struct Log {
    entries: Mutex<Vec<(ThreadId, What)>>,
    witness: Arc<Witness>,
}

impl Log {
    /// Notes what the calling thread does or sees. No step.
    pub fn note(&self, what: What) {
        let thread = current_thread().expect("all threads are on the machine");
        self.witness.note(|| format!("thread {}: {what:?}", thread.0));
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push((thread, what));
    }

    /// Everything so far.
    pub fn trail(&self) -> Trail {
        Trail(
            self.entries
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        )
    }
}

/// A copy of the log.
pub struct Trail(Vec<(ThreadId, What)>);

impl Trail {
    pub fn count(&self, what: What) -> usize {
        self.0.iter().filter(|entry| entry.1 == what).count()
    }

    /// The place of the first entry of that kind.
    pub fn at(&self, what: What) -> Option<usize> {
        self.0.iter().position(|entry| entry.1 == what)
    }

    /// Whether both happened, in that order.
    pub fn in_order(&self, first: What, second: What) -> bool {
        matches!((self.at(first), self.at(second)), (Some(first), Some(second)) if first < second)
    }

    pub fn thread(&self, what: What) -> Option<ThreadId> {
        self.0.iter().find(|entry| entry.1 == what).map(|entry| entry.0)
    }

    /// How many calls of a side are under way at that place.
    pub fn under_way(&self, role: Role, place: usize) -> usize {
        let count = |what| self.0.iter().take(place).filter(|entry| entry.1 == what).count();
        count(What::Calls(role)) - count(What::Ends(role))
    }
}

/// The calling thread has not raised its level: no subject does.
pub const fn passive() -> Passive<'static> {
    // SAFETY: as above.
    unsafe { Passive::assume() }
}

/// A registered module.
pub enum Module {
    Client(ClientRegistration<Adder>),
    Provider(ProviderRegistration<Sum>),
}

/// The machine of one schedule.
#[derive(Clone)]
pub struct Stage {
    machine: Machine,
    pub log: Arc<Log>,
}

const fn driver(role: Role) -> &'static str {
    match role {
        Role::Client => "adder.sys",
        Role::Provider => "sum.sys",
    }
}

impl Stage {
    pub fn new(witness: &Arc<Witness>, policy: Policy) -> Self {
        let machine = Machine::builder()
            .scheduler(Watched::new(witness))
            .nmr_policy(policy)
            .probe(AddingProbe)
            .seed(1)
            .build()
            .expect("a machine in memory");
        Self {
            machine,
            log: Arc::new(Log {
                entries: Mutex::default(),
                witness: Arc::clone(witness),
            }),
        }
    }

    /// Runs `work` in a callback of a module's driver.
    pub fn inside<T>(&self, role: Role, callback: &'static str, work: impl FnOnce() -> T) -> T {
        let entered = self.machine.enter();
        let result = frames::callback(&DriverName::new(driver(role)), callback, work);
        drop(entered);
        result
    }

    /// Runs `work` on a thread of its own, as [`Self::inside`].
    pub fn thread<T: Send + 'static>(
        &self,
        role: Role,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let stage = self.clone();
        shuttle::thread::spawn(move || stage.inside(role, "system thread", || work(&stage)))
    }

    pub fn register(&self, role: Role, abandons: bool) -> Module {
        self.inside(role, "DriverEntry", || {
            self.log.note(What::Registers(role));
            let module = match role {
                Role::Client => Module::Client(Adder::register(&self.log, abandons)),
                Role::Provider => Module::Provider(Sum::register(&self.log)),
            };
            self.log.note(What::Registered(role));
            module
        })
    }

    /// Deregisters a module and waits for the end of it.
    pub fn leave(&self, module: Module) {
        let note = |what| self.log.note(what);
        match module {
            Module::Client(registration) => self.inside(Role::Client, "EvtDriverUnload", || {
                note(What::Leaves(Role::Client));
                let leaving = registration.begin_deregister();
                note(What::Left(Role::Client));
                drop(leaving.wait(passive()));
                note(What::Waited(Role::Client));
            }),
            Module::Provider(registration) => self.inside(Role::Provider, "EvtDriverUnload", || {
                note(What::Leaves(Role::Provider));
                let leaving = registration.begin_deregister();
                note(What::Left(Role::Provider));
                drop(leaving.wait(passive()));
                note(What::Waited(Role::Provider));
            }),
        }
    }

    /// Ends the machine, and asserts what holds at the end of every schedule: no rule was broken, all memory is freed,
    /// and each side that got a binding was told of its detach and cleaned up once. What happened.
    pub fn finish(self) -> Trail {
        self.finish_with(&[])
    }

    /// As [`Self::finish`], where modules break these rules on purpose.
    pub fn finish_with(self, broken: &[Rule]) -> Trail {
        let trail = self.log.trail();
        for role in [Role::Client, Role::Provider] {
            assert_eq!(
                trail.count(What::CleanedUp(role)),
                trail.count(What::Attaching(role)),
                "each binding value is dropped once: {role:?}"
            );
        }
        let host = self.machine.clone();
        let report = self.machine.shutdown();
        let found: Vec<_> = report.findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(found, broken, "{report}");
        assert_eq!(host.pool_usage().blocks, 0, "all pool is freed");
        trail
    }
}
