//! One binding that is watched: who may call whom now, and who does.

use std::{
    ffi::c_void,
    mem,
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
};

use nmr_model::{BindingInfo, CallbackKind, ModuleState, Moment, Role, Rule};
use sim_platform::ThreadId;

use super::{
    super::Breach,
    ShadowTables,
    slots::{self, Slot},
    tables::Shadow,
};
use crate::{Machine, platform, scheduler::Point, sync::StateLock, thread, verifier};

/// A binding that is watched.
#[derive(Debug)]
pub(crate) struct Tap {
    binding: BindingInfo,
    probe: Arc<dyn ShadowTables>,
    slot: Slot,
    /// Ends with the machine.
    machine: Weak<()>,
    state: StateLock<State>,
}

/// How far a binding has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Offered,
    /// By the provider.
    Accepted,
    Attached,
    Gone,
}

#[derive(Debug, Default)]
struct State {
    /// The thread that the provider's attach callback is on.
    in_attach: Option<ThreadId>,
    /// The provider has called the client on another thread, and has not been seen to accept it.
    called_early: bool,
    stage: Stage,
    client: Side,
    provider: Side,
}

/// One side: as the callee, whose table and context it gave; as the caller, how far it is.
#[derive(Debug, Default)]
struct Side {
    table: Option<Table>,
    /// Tables of earlier attempts to attach in the same callback.
    earlier: Vec<Shadow>,
    /// Its calls into the peer that have not returned, by the threads that they are on.
    in_flight: Vec<Option<ThreadId>>,
    /// When its detach callback returned: its driver had the time to bar new calls by then.
    detach_returned: Option<u64>,
    /// The thread that its detach or cleanup callback is on.
    in_detach: Option<ThreadId>,
    in_cleanup: Option<ThreadId>,
    /// Its detach callback returned with none of its calls in flight.
    idle_on_return: bool,
    /// It has reported the end of its detach.
    reported: bool,
}

/// What a side gave to its peer.
#[derive(Debug)]
struct Table {
    context: usize,
    dispatch: usize,
    shadow: Shadow,
}

impl State {
    const fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Client => &mut self.client,
            Role::Provider => &mut self.provider,
        }
    }
}

/// What is wrong with a call.
struct Fault {
    rule: Rule,
    what: &'static str,
    since: Option<Moment>,
    /// Whether the call goes on to the peer all the same.
    goes_on: bool,
}

impl Tap {
    pub(super) fn new(
        machine: &Machine,
        binding: BindingInfo,
        probe: Arc<dyn ShadowTables>,
        slot: Slot,
    ) -> Self {
        Self {
            binding,
            probe,
            slot,
            machine: Arc::downgrade(&machine.nmr_state().alive),
            state: StateLock::default(),
        }
    }

    pub(super) const fn binding(&self) -> BindingInfo {
        self.binding
    }

    /// Whether the slot may be used for another binding.
    pub(super) fn is_gone(&self) -> bool {
        self.machine.strong_count() == 0 || self.state.with(|state| state.stage == Stage::Gone)
    }

    /// The table that the peer of `whose` gets.
    ///
    /// # Safety
    ///
    /// `dispatch` points to a table of the NPI.
    pub(super) unsafe fn shadow(
        &self,
        whose: Role,
        context: *mut c_void,
        dispatch: *const c_void,
    ) -> *const c_void {
        // SAFETY: the caller vouches for the table.
        let shadow = unsafe { self.probe.shadow(whose, self.slot, dispatch) };
        let pointer = shadow.as_ptr();
        if whose == Role::Client {
            // It tries again, as the provider has declined it.
            self.judge_early_call();
        }
        self.state.with(|state| {
            let side = state.side(whose);
            let before = side.table.replace(Table {
                context: context.addr(),
                dispatch: dispatch.expose_provenance(),
                shadow,
            });
            side.earlier.extend(before.map(|table| table.shadow));
        });
        pointer
    }

    pub(super) fn accepted(&self) {
        self.state.with(|state| {
            state.stage = state.stage.max(Stage::Accepted);
            state.called_early = false;
        });
    }

    pub(super) fn attached(&self) {
        self.state
            .with(|state| state.stage = state.stage.max(Stage::Attached));
    }

    pub(super) fn gone(&self) {
        self.judge_early_call();
        self.state.with(|state| state.stage = Stage::Gone);
    }

    /// The attach, if it was still under way, has come to nothing.
    fn judge_early_call(&self) {
        if self.state.with(|state| mem::take(&mut state.called_early)) {
            Breach::new(
                Rule::CallBeforeAttached,
                (self.binding, Role::Provider),
                "the provider called the client while its attach callback ran, which then did not accept it",
            )
            .since(Moment::Attached(self.binding.id, Role::Client))
            .report();
        }
    }

    pub(super) fn entered(&self, role: Role, kind: CallbackKind) {
        let thread = thread::current_thread();
        self.state.with(|state| {
            let side = state.side(role);
            match kind {
                CallbackKind::Cleanup => side.in_cleanup = thread,
                CallbackKind::Detach => side.in_detach = thread,
                CallbackKind::Attach if role == Role::Provider => state.in_attach = thread,
                CallbackKind::Attach => {}
            }
        });
    }

    pub(super) fn returned(&self, role: Role, kind: CallbackKind) {
        self.state.with(|state| {
            let side = state.side(role);
            match kind {
                CallbackKind::Cleanup => side.in_cleanup = None,
                CallbackKind::Detach => {
                    side.in_detach = None;
                    side.detach_returned = Some(thread::now());
                    side.idle_on_return = side.in_flight.is_empty();
                }
                CallbackKind::Attach if role == Role::Provider => state.in_attach = None,
                CallbackKind::Attach => {}
            }
        });
    }

    /// A side has reported the end of its detach.
    pub(super) fn reported(&self, role: Role) {
        let in_flight = self.state.with(|state| {
            let side = state.side(role);
            side.reported = true;
            side.in_flight.len()
        });
        if in_flight > 0 {
            let calls = if in_flight == 1 { "a call is" } else { "calls are" };
            Breach::new(
                Rule::CallsInFlight,
                (self.binding, role),
                format!("the end of the detach was reported while {calls} in flight"),
            )
            .since(Moment::Detached(self.binding.id, role))
            .report();
        }
    }

    /// Whether the calling thread is in a call of one side into the other, for which the drains of both modules wait.
    pub(super) fn is_in_call(&self) -> bool {
        let thread = thread::current_thread();
        self.state.with(|state| {
            let mut calls = state.client.in_flight.iter().chain(&state.provider.in_flight);
            calls.any(|on| *on == thread)
        })
    }

    /// Whether a side has been pending since its detach callback returned, with nothing in flight.
    pub(super) fn pends_for_nothing(&self, role: Role) -> bool {
        self.state.with(|state| {
            let side = state.side(role);
            side.detach_returned.is_some()
                && !side.reported
                && side.idle_on_return
                && side.in_flight.is_empty()
        })
    }

    /// Judges a call of `caller`, and counts it if it goes on; the table to go on to.
    fn enter(&self, machine: &Machine, caller: Role, entry: &'static str, context: usize) -> Option<usize> {
        let thread = thread::current_thread();
        let normal = !self.probe.is_teardown(entry);
        let peer = self.binding.side(caller.peer()).id;
        let peer_gone = matches!(
            machine.nmr_state().registrar.module_state(peer),
            None | Some(ModuleState::Drained)
        );
        let (fault, table) = self.state.with(|state| {
            let Some(table) = &state.side(caller.peer()).table else {
                return (None, None);
            };
            let (expected, dispatch) = (table.context, table.dispatch);
            let (offered, gone) = (state.stage == Stage::Offered, state.stage == Stage::Gone);
            // On another thread, a provider may call as soon as its callback has done all but return, which nobody
            // else can tell from having returned.
            let early = caller == Role::Provider && offered && state.in_attach != thread;
            state.called_early |= early;
            let side = state.side(caller);
            let id = self.binding.id;
            let fault = if side.in_cleanup.is_some() && side.in_cleanup == thread {
                Some(Fault {
                    rule: Rule::PeerInCleanup,
                    what: "a cleanup callback calls the peer",
                    since: Some(Moment::Detached(id, caller)),
                    goes_on: false,
                })
            } else if side.reported && peer_gone {
                Some(Fault {
                    rule: Rule::CallAfterDrain,
                    what: "the module that is called has deregistered completely",
                    since: Some(Moment::Completed(id, caller)),
                    goes_on: false,
                })
            } else if side.reported {
                Some(Fault {
                    rule: Rule::CallAfterDetach,
                    what: "the caller has reported the end of its detach before",
                    since: Some(Moment::Completed(id, caller)),
                    goes_on: false,
                })
            } else if offered && !early || gone {
                Some(Fault {
                    rule: Rule::CallBeforeAttached,
                    what: "the attach has not succeeded yet, or has failed",
                    since: Some(Moment::Attached(id, Role::Client)),
                    goes_on: !gone,
                })
            } else if context != expected {
                Some(Fault {
                    rule: Rule::WrongPeerContext,
                    what: "the context is not the one that the peer gave for this binding",
                    since: Some(Moment::Attached(id, caller.peer())),
                    goes_on: false,
                })
            } else {
                let new = side.in_detach.is_some() && side.in_detach == thread
                    || side
                        .detach_returned
                        .is_some_and(|since| since < thread::operation());
                (normal && new).then_some(Fault {
                    rule: Rule::CallAfterDetachBegan,
                    what: "the caller's detach callback runs, or had returned before this operation began",
                    since: Some(Moment::Detached(id, caller)),
                    goes_on: true,
                })
            };
            let goes_on = fault.as_ref().is_none_or(|fault| fault.goes_on);
            if goes_on {
                side.in_flight.push(thread);
            }
            (fault, goes_on.then_some(dispatch))
        });
        let Some(fault) = fault else {
            verifier::require_irql_at_most(entry, self.probe.irql());
            return table;
        };
        let mut breach = Breach::new(
            fault.rule,
            (self.binding, caller),
            format!("{entry} of the peer is called; {}", fault.what),
        )
        .by(entry);
        if let Some(since) = fault.since {
            breach = breach.since(since);
        }
        breach.report();
        table
    }
}

/// A call through a shadow table, from entry to return.
#[derive(Debug)]
#[must_use = "the call is in flight for as long as this exists"]
pub struct Call {
    tap: Arc<Tap>,
    caller: Role,
    dispatch: usize,
    /// The findings of this thread when the provider called a client that was still attaching.
    attaching: Option<usize>,
}

impl Call {
    /// A call of `entry` in the table that a module of `whose` role gave for the binding in `slot`; nothing
    /// if it must not go on.
    pub fn enter(slot: usize, whose: Role, entry: &'static str, context: *mut c_void) -> Option<Self> {
        let machine = Machine::try_current()?;
        let tap = slots::get(slot)?;
        let alive = Arc::downgrade(&machine.nmr_state().alive);
        if !tap.machine.ptr_eq(&alive) {
            // The binding of a machine that has ended, or the slot was given on.
            return None;
        }
        machine.nmr_state().calls.fetch_add(1, Relaxed);
        let caller = whose.peer();
        let early = caller == Role::Provider && tap.state.with(|state| state.stage < Stage::Attached);
        let dispatch = tap.enter(&machine, caller, entry, context.addr())?;
        let attaching = early.then(|| machine.verifier_state().of_thread(thread::current_thread()));
        platform::preemption_point(Point::Call);
        Some(Self {
            tap,
            caller,
            dispatch,
            attaching,
        })
    }

    /// The peer's real table.
    #[must_use]
    pub const fn dispatch<T>(&self) -> *const T {
        std::ptr::with_exposed_provenance(self.dispatch)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        platform::preemption_point(Point::Call);
        let thread = thread::current_thread();
        self.tap.state.with(|state| {
            let calls = &mut state.side(self.caller).in_flight;
            // The innermost of this thread.
            let place = calls.iter().rposition(|on| *on == thread);
            calls.remove(place.unwrap_or(0));
        });
        let Some((before, machine)) = self.attaching.zip(Machine::try_current()) else {
            return;
        };
        if machine.verifier_state().of_thread(thread::current_thread()) > before {
            Breach::new(
                Rule::ClientNotReady,
                (self.tap.binding, Role::Client),
                "the provider called as soon as it had accepted, and broke a rule in the client's code",
            )
            .since(Moment::Attached(self.tap.binding.id, Role::Client))
            .report();
        }
    }
}
