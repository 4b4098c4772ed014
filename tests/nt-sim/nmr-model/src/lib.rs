//! A model of the Network Module Registrar.
//!
//! [`Registrar`] carries out the nine functions of `netioddk.h` by two state machines: one for a
//! *module* (a registration) and one for a *binding* (a pair of one client and one provider module
//! of the same NPI). The module [`state`] documents both.
//!
//! Rules the model keeps:
//!
//! - No lock is held while a callback of a driver runs.
//! - A pair gets exactly one binding, also when both sides register at once: matching and the
//!   creation of the proposals are one critical section.
//! - Deregistration always answers `STATUS_PENDING`; the wait returns when every binding of the
//!   module is cleaned up and no proposal for it is unresolved.
//! - The detach of a binding starts exactly once, cleanup runs exactly once, after both sides have
//!   reported that they have stopped calling.
//! - Handles are opaque and tagged: a handle of one kind is never valid as another, and a closed
//!   handle never becomes valid again.
//! - Misuse never corrupts the model: it is reported through [`Observer::violation`] and answered
//!   with an error, or with what real implementations are known to tolerate.
//!
//! Where the documentation leaves behaviour open, [`Policy`] chooses.
//!
//! Sources: the pages of `netioddk.h` and "Network Module Registrar" in the Windows driver
//! documentation.

#![no_std]

extern crate alloc;

mod attach;
mod characteristics;
mod detach;
mod handle;
mod observer;
mod policy;
mod registration;
mod rule;
pub mod state;
pub mod transitions;
mod work;

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use sim_platform::{Lock, Platform, ThreadId};

pub use handle::{Handle, HandleKind};
pub use observer::{Callback, CallbackKind, Event, Lent, Loan, Moment, Observer, Owner, Violation};
pub use policy::{DetachCalls, DetachOrder, FailedClient, Policy, SWITCHES, Switch, TeardownIrql};
pub use rule::{Class, Rule, Severity};
pub use state::{BindingId, BindingInfo, ModuleId, ModuleInfo, ModuleState, Role, Subject};
pub use work::Work;

use state::{Binding, Module};
use transitions::Transitions;

/// One Network Module Registrar.
///
/// `P` is the machine under it, `O` receives what happens. Every method may be called from any
/// thread.
pub struct Registrar<P: Platform, O: Observer> {
    state: P::Lock<State<P>>,
    observer: O,
    policy: Policy,
    taken: Arc<Transitions>,
}

/// Everything that the registrar's lock protects.
struct State<P: Platform> {
    modules: BTreeMap<ModuleId, Module<P>>,
    bindings: BTreeMap<BindingId, Binding>,
    /// The callbacks that are on some thread's stack now, in the order of entry.
    frames: Vec<Frame>,
    /// The next identity; never used twice, so that a handle that was closed stays closed.
    next: usize,
}

/// A callback of a driver on the stack of a thread.
#[derive(Clone, Copy)]
struct Frame {
    thread: ThreadId,
    module: ModuleId,
}

impl<P: Platform, O: Observer> Registrar<P, O> {
    /// An empty registrar with these `policy` choices.
    pub fn new(observer: O, policy: Policy) -> Self {
        let state = State {
            modules: BTreeMap::new(),
            bindings: BTreeMap::new(),
            frames: Vec::new(),
            next: 1,
        };
        Self {
            state: P::Lock::new(state),
            observer,
            policy,
            taken: Arc::default(),
        }
    }

    /// The transitions that were taken so far.
    pub fn transitions(&self) -> &Transitions {
        &self.taken
    }

    /// The observer given at creation.
    pub const fn observer(&self) -> &O {
        &self.observer
    }

    /// The modules of `owner` that are registered and not yet waited for: what must be none when
    /// the owner's code goes away.
    pub fn live_modules(&self, owner: Owner) -> Vec<ModuleInfo> {
        self.state.with(|state| {
            state
                .modules
                .values()
                .map(|module| module.info)
                .filter(|info| info.owner == owner)
                .collect()
        })
    }

    /// The state of a module, unless it was waited for.
    pub fn module_state(&self, module: ModuleId) -> Option<ModuleState> {
        self.state
            .with(|state| state.modules.get(&module).map(|module| module.state))
    }

    /// The bindings in which a module of `owner` takes part that is not done with them.
    pub fn live_bindings(&self, owner: Owner) -> Vec<BindingInfo> {
        self.state.with(|state| {
            state
                .bindings
                .values()
                .filter(|binding| {
                    [Role::Client, Role::Provider]
                        .iter()
                        .any(|role| binding.info.side(*role).owner == owner && !binding.side(*role).released)
                })
                .map(|binding| binding.info)
                .collect()
        })
    }

    /// Runs a callback, with the frame that the rules about re-entry look for.
    fn call<R>(&self, callback: &Callback, run: impl FnOnce() -> R) -> R {
        let thread = P::current_thread();
        let module = callback.module().id;
        self.state
            .with(|state| state.frames.push(Frame { thread, module }));
        let irql = match callback.kind {
            CallbackKind::Attach => 0,
            CallbackKind::Detach | CallbackKind::Cleanup => self.policy.teardown_irql.at_least(),
        };
        let run = || self.observer.callback(callback, run);
        let result = if irql > P::irql() {
            self.observer.raised(irql, run)
        } else {
            run()
        };
        self.state.with(|state| {
            let position = state
                .frames
                .iter()
                .rposition(|f| f.thread == thread && f.module == module);
            if let Some(position) = position {
                state.frames.remove(position);
            }
        });
        result
    }

    /// Reports that memory of `module` which peers read is not as it was registered, if that is so.
    fn check_unchanged(&self, module: ModuleInfo, when: &'static str) {
        if !self.observer.is_sound(module) {
            return;
        }
        let changed = self.state.with(|state| {
            state.modules.get_mut(&module.id).is_some_and(|module| {
                // SAFETY: registration demands that the characteristics stay valid until the wait has
                // returned, and only modules that are not closed are in the list.
                let now = unsafe { module.characteristics.digest() };
                core::mem::replace(&mut module.digest, now) != now
            })
        });
        if changed {
            self.report(
                Violation::new(Rule::CharacteristicsLifetime, module, when)
                    .since(Moment::Registered(module.id)),
            );
        }
    }

    /// Reports the breach of a rule.
    fn report(&self, violation: Violation) {
        self.observer.violation(&violation);
    }
}

impl<P: Platform> State<P> {
    /// A fresh identity.
    const fn identity(&mut self) -> usize {
        let id = self.next;
        self.next += 1;
        id
    }

    /// Whether a callback of `module` is on the stack of `thread`.
    fn in_callback_of(&self, thread: ThreadId, module: ModuleId) -> bool {
        self.frames
            .iter()
            .any(|frame| frame.thread == thread && frame.module == module)
    }

    /// Marks `module` drained if it is; the event to set, outside the lock, when it just became so.
    fn drain(&mut self, module: ModuleId) -> Option<Arc<P::Event>> {
        self.modules.get_mut(&module)?.drain()
    }
}
