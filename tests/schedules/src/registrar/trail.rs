//! What happened in one schedule, in order: calls of modules, callbacks, and what the registrar tells.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use nmr_model::{BindingId, Callback, CallbackKind, Event, Observer, Owner, Severity, Violation, Work};
use sim_platform::{Platform as _, ThreadId};

use super::{modules::Nmr, scene::Workers};
use crate::{
    Witness,
    platform::{Controlled, at_irql, step},
};

/// Which module of a scene: its place there, which the registrar knows as its owner.
pub type Key = Owner;

/// A function of the registrar that a module calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Register,
    Deregister,
    Wait,
    Complete,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Calls(Key, Call),
    Returned(Key, Call),
    Enters(Key, CallbackKind),
    Leaves(Key, CallbackKind),
    Tells(Event),
}

/// One entry, and the thread on which it came about.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub thread: ThreadId,
    pub what: What,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    violations: Vec<String>,
    registering: Vec<(ThreadId, Key)>,
    failing: Option<Key>,
}

/// Writes the trail; the observer of a scene's registrar.
///
/// Its lock is no step, since what it guards is no part of what is tested.
pub struct Log {
    state: Mutex<State>,
    witness: Arc<Witness>,
    workers: Arc<Workers>,
    nmr: OnceLock<Weak<Nmr>>,
}

impl Log {
    pub fn new(witness: Arc<Witness>, workers: Arc<Workers>) -> Self {
        Self {
            state: Mutex::default(),
            witness,
            workers,
            nmr: OnceLock::new(),
        }
    }

    /// Says whose observer this is: where work that it queues is done.
    pub fn watches(&self, nmr: &Arc<Nmr>) {
        assert!(self.nmr.set(Arc::downgrade(nmr)).is_ok(), "said once");
    }

    fn with<R>(&self, with: impl FnOnce(&mut State) -> R) -> R {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn write(&self, what: What) {
        let thread = Controlled::current_thread();
        self.witness.note(|| format!("task {}: {what:?}", thread.0));
        self.with(|state| state.entries.push(Entry { thread, what }));
    }

    /// Runs a call of the module `key`.
    pub fn call<R>(&self, key: Key, call: Call, run: impl FnOnce() -> R) -> R {
        let thread = Controlled::current_thread();
        self.write(What::Calls(key, call));
        if call == Call::Register {
            self.with(|state| state.registering.push((thread, key)));
        }
        step();
        let result = run();
        step();
        if call == Call::Register {
            self.with(|state| state.registering.retain(|entry| *entry != (thread, key)));
        }
        self.write(What::Returned(key, call));
        result
    }

    /// Lets the registrations of `key` fail for lack of memory, or of nobody.
    pub fn fail(&self, key: Option<Key>) {
        self.with(|state| state.failing = key);
    }

    pub fn trail(&self) -> Trail {
        Trail(self.with(|state| state.entries.clone()))
    }

    pub fn violations(&self) -> Vec<String> {
        self.with(|state| state.violations.clone())
    }
}

impl Observer for Log {
    fn current_owner(&self) -> Owner {
        let thread = Controlled::current_thread();
        self.with(|state| {
            let entry = state.registering.iter().rev().find(|entry| entry.0 == thread);
            entry.map_or(0, |entry| entry.1)
        })
    }

    fn callback<R>(&self, which: &Callback, callback: impl FnOnce() -> R) -> R {
        let (owner, kind) = (which.module().owner, which.kind);
        step();
        self.write(What::Enters(owner, kind));
        let result = callback();
        self.write(What::Leaves(owner, kind));
        step();
        result
    }

    fn event(&self, event: &Event) {
        self.write(What::Tells(*event));
    }

    fn violation(&self, violation: &Violation) {
        // Legal, if unusual.
        if violation.severity != Severity::Lint {
            self.with(|state| state.violations.push(format!("{violation:?}")));
        }
    }

    fn allocate(&self) -> bool {
        let owner = self.current_owner();
        self.with(|state| state.failing != Some(owner))
    }

    fn raised<R>(&self, irql: u8, callback: impl FnOnce() -> R) -> R {
        at_irql(irql, callback)
    }

    fn queue(&self, work: Work) -> bool {
        let nmr = self
            .nmr
            .get()
            .and_then(Weak::upgrade)
            .expect("the scene is alive");
        self.workers.spawn(move || nmr.run(work));
        true
    }
}

/// The entries of a schedule so far.
pub struct Trail(Vec<Entry>);

impl Trail {
    /// Where `wanted` first came about.
    pub fn at(&self, wanted: What) -> Option<usize> {
        self.find(|what| what == wanted)
    }

    /// Where something like that first came about.
    pub fn find(&self, wanted: impl Fn(What) -> bool) -> Option<usize> {
        self.0.iter().position(|entry| wanted(entry.what))
    }

    /// Everything like that.
    pub fn all(&self, wanted: impl Fn(What) -> bool) -> Vec<usize> {
        let places = self.0.iter().enumerate();
        places
            .filter(|(_, entry)| wanted(entry.what))
            .map(|(place, _)| place)
            .collect()
    }

    /// On which thread the entry at `place` came about.
    pub fn thread(&self, place: usize) -> ThreadId {
        self.0.get(place).map_or(ThreadId(0), |entry| entry.thread)
    }

    /// Whether `first` came about, and `second` later.
    pub fn in_order(&self, first: What, second: What) -> bool {
        matches!((self.at(first), self.at(second)), (Some(first), Some(second)) if first < second)
    }

    /// Whether two calls were under way at one time. One that has not returned yet still is.
    pub fn overlap(&self, one: (Key, Call), other: (Key, Call)) -> bool {
        let begins = |(key, call)| self.at(What::Calls(key, call));
        let ends = |(key, call)| self.at(What::Returned(key, call)).unwrap_or(usize::MAX);
        let before_end = |begin: Option<usize>, end| begin.is_some_and(|begin| begin < end);
        before_end(begins(one), ends(other)) && before_end(begins(other), ends(one))
    }

    /// The pairs that met, in the order in which they were offered or dropped.
    pub fn bindings(&self) -> Vec<Met> {
        let mut met: Vec<Met> = Vec::new();
        for entry in &self.0 {
            let (info, offered) = match entry.what {
                What::Tells(Event::Proposed(info)) => (info, true),
                What::Tells(Event::Rejected(info, _)) => (info, false),
                _ => continue,
            };
            if met.iter().all(|known| known.binding != info.id) {
                met.push(Met {
                    binding: info.id,
                    client: info.client.owner,
                    modules: (info.client.id, info.provider.id),
                    offered,
                    thread: entry.thread,
                });
            }
        }
        met
    }
}

/// A pair that met.
#[derive(Clone, Copy, Debug)]
pub struct Met {
    pub binding: BindingId,
    pub client: Key,
    /// The registrations, which are others after a module registered again.
    pub modules: (usize, usize),
    /// Whether the client was called; otherwise the proposal was dropped.
    pub offered: bool,
    /// Where that was.
    pub thread: ThreadId,
}
