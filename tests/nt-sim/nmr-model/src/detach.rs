//! The end of a binding: detach callbacks, their completions, cleanup.

use core::ffi::c_void;

use sim_platform::{Lock as _, Platform};

use crate::{
    BindingId, Callback, CallbackKind, DetachCalls, DetachOrder, Event, Handle, HandleKind, Moment, Observer,
    Registrar, Role, Rule, Violation,
    registration::{PENDING, SUCCESS},
    state::{Binding, BindingInfo, BindingState, SideState, Subject},
    work::Task,
};

impl<P: Platform, O: Observer> Registrar<P, O> {
    /// Calls the detach callbacks of a binding that has just gone to `Detaching`. Only the party
    /// that moved it there calls this, so each callback runs once.
    pub(crate) fn run_detach(&self, id: BindingId) {
        let in_turn = self.policy.detach_calls == DetachCalls::InTurn;
        let begun = self.state.with(|state| {
            let binding = state.bindings.get_mut(&id)?;
            let first = match self.policy.detach_order {
                DetachOrder::PeerFirst => binding.initiator.peer(),
                DetachOrder::InitiatorFirst => binding.initiator,
                DetachOrder::ClientFirst => Role::Client,
                DetachOrder::ProviderFirst => Role::Provider,
            };
            let order =
                [first, first.peer()].map(|role| Some(role).filter(|role| binding.side(*role).detaches));
            if in_turn && order.iter().all(Option::is_some) {
                binding.next = order[1];
                return Some((binding.info, [order[0], None]));
            }
            Some((binding.info, order))
        });
        let Some((info, order)) = begun else { return };
        self.observer.event(&Event::Detaching(info));
        match order {
            [Some(first), Some(second)] => {
                let parallel = self.policy.detach_calls == DetachCalls::Parallel;
                self.hand_over(parallel, Task::Detach(info, first));
                P::yield_point();
                self.detach_side(info, second);
            }
            [Some(only), None] | [None, Some(only)] => self.detach_side(info, only),
            [None, None] => self.go_on(info),
        }
        P::yield_point();
    }

    /// Calls the detach callback of one side and settles what it returns.
    pub(crate) fn detach_side(&self, info: BindingInfo, role: Role) {
        let module = info.side(role);
        let callback = self.state.with(|state| {
            let detach = state.modules.get(&module.id)?.callbacks.detach;
            let binding = state.bindings.get_mut(&info.id)?;
            let completed = binding.side(role).state == SideState::PreCompleted;
            binding.move_side(role, SideState::InCallback { completed });
            Some((detach, binding.side(role).context))
        });
        let Some((detach, context)) = callback else { return };
        self.check_unchanged(module, "they were found changed when a binding detached");
        let callback = Callback {
            binding: info,
            role,
            kind: CallbackKind::Detach,
            routine: detach as usize,
            context: context.get().addr(),
        };
        let status = self.call(&callback, || {
            // SAFETY: the module registered this callback, and it gave this context for this
            // binding, whose cleanup has not run.
            unsafe { detach(context.get()) }
        });
        let mut breach = None;
        let done = self.state.with(|state| {
            let Some(binding) = state.bindings.get_mut(&info.id) else {
                return false;
            };
            binding.callbacks_left = binding.callbacks_left.saturating_sub(1);
            let before = binding.side(role).state;
            let completed = match before {
                SideState::InCallback { completed } => completed,
                // Without the policy of waiting for callbacks the completion has settled the side.
                _ => true,
            };
            let next = match status {
                PENDING if completed => SideState::Done,
                PENDING => SideState::Pending,
                SUCCESS => {
                    if completed {
                        breach = Some((
                            Rule::CompletedTwice,
                            Moment::Completed(info.id, role),
                            "completed, and then returned STATUS_SUCCESS",
                        ));
                    }
                    SideState::Done
                }
                _ => {
                    breach = Some((
                        Rule::DetachStatus,
                        Moment::Detached(info.id, role),
                        "the detach callback returned another status",
                    ));
                    SideState::Done
                }
            };
            binding.move_side(role, next);
            next == SideState::Done && before != SideState::Done
        });
        if let Some((rule, since, what)) = breach {
            self.report(Violation::new(rule, (info, role), what).since(since));
        }
        if done {
            self.observer.event(&Event::SideDetached(info, module));
        }
        self.go_on(info);
    }

    /// `NmrClientDetachProviderComplete` and `NmrProviderDetachClientComplete`.
    pub fn detach_complete(&self, role: Role, binding: *mut c_void) {
        let wanted = match role {
            Role::Client => HandleKind::ClientBinding,
            Role::Provider => HandleKind::ProviderBinding,
        };
        let id = match Handle::decode(binding) {
            Some(handle) if handle.kind == wanted => handle.id,
            Some(_) => {
                self.refuse(
                    Rule::WrongHandleCompleted,
                    "a detach was completed with a handle of another kind",
                );
                return;
            }
            None => {
                self.refuse(Rule::WrongHandleCompleted, "the value was never a binding handle");
                return;
            }
        };
        let mut breach = None;
        let thread = P::current_thread();
        let settled = self.state.with(|state| {
            let known = id < state.next;
            let module = state.bindings.get(&id).map(|binding| binding.info.side(role).id);
            let inside = module.is_some_and(|module| state.in_callback_of(thread, module));
            let Some(binding) = state.bindings.get_mut(&id) else {
                breach = Some(if known {
                    Rule::CompletedTwice
                } else {
                    Rule::WrongHandleCompleted
                });
                return None;
            };
            let info = binding.info;
            let waits = binding.callbacks_left > 0 || !matches!(binding.state, BindingState::Detaching);
            let before = binding.side(role).state;
            let next = match before {
                SideState::Idle => {
                    breach = Some(Rule::CompletedEarly);
                    SideState::PreCompleted
                }
                SideState::InCallback { completed: false } => {
                    // On another thread this is the ordinary race of the last call with the
                    // return of STATUS_PENDING.
                    breach = inside.then_some(Rule::CompletedInside);
                    if waits {
                        SideState::InCallback { completed: true }
                    } else {
                        SideState::Done
                    }
                }
                SideState::Pending => SideState::Done,
                SideState::PreCompleted | SideState::InCallback { completed: true } | SideState::Done => {
                    breach = Some(Rule::CompletedTwice);
                    before
                }
            };
            binding.move_side(role, next);
            Some((info, next == SideState::Done && before != SideState::Done))
        });
        if let Some(rule) = breach {
            let (what, since) = match rule {
                Rule::CompletedEarly => (
                    "the detach callback of this side has not been called",
                    Moment::Attached(id, role),
                ),
                Rule::CompletedInside => (
                    "the detach callback is on this thread's stack",
                    Moment::Detached(id, role),
                ),
                _ => (
                    "the end of this side's detach was reported before",
                    Moment::Completed(id, role),
                ),
            };
            let violation = match settled {
                Some((info, _)) => Violation::new(rule, (info, role), what),
                None => Violation::new(rule, Subject::Caller, what),
            };
            self.report(violation.since(since));
        }
        let Some((info, done)) = settled else { return };
        self.observer.mark(Moment::Completed(id, role));
        if done {
            self.observer.event(&Event::SideDetached(info, info.side(role)));
        }
        P::yield_point();
        self.go_on(info);
    }

    /// Does what can follow now that a side has stopped calling or a detach callback has returned: the
    /// detach callback of the other side if it waited for that, cleanup if both are done. One party gets
    /// to do each.
    fn go_on(&self, info: BindingInfo) {
        let next = self.state.with(|state| {
            let binding = state.bindings.get_mut(&info.id)?;
            let next = binding.next?;
            (binding.side(next.peer()).state == SideState::Done).then(|| binding.next.take())?
        });
        if let Some(next) = next {
            self.detach_side(info, next);
            return;
        }
        let done = self.state.with(|state| {
            let binding = state.bindings.get_mut(&info.id);
            binding.is_some_and(Binding::begin_cleanup)
        });
        if done {
            self.hand_over(self.policy.cleanup_on_worker, Task::CleanUp(info));
        }
    }

    /// Runs the cleanup callbacks of a binding that has just gone to `CleaningUp`, and ends it.
    pub(crate) fn clean_up(&self, info: BindingInfo) {
        let mut order = [Role::Client, Role::Provider];
        if self.policy.provider_cleanup_first {
            order.reverse();
        }
        for role in order {
            self.clean_side_up(info, role);
            if !self.policy.wait_covers_peer_cleanup {
                self.release(info, role);
            }
        }
        self.state.with(|state| {
            if let Some(binding) = state.bindings.remove(&info.id) {
                binding.gone();
            }
            for module in [info.client.id, info.provider.id] {
                if let Some(module) = state.modules.get_mut(&module) {
                    module.bindings.retain(|id| *id != info.id);
                }
            }
        });
        self.observer.event(&Event::CleanedUp(info));
        self.signal_drained(&[info.client, info.provider]);
    }

    /// Calls the cleanup callback of one side, if it has one.
    fn clean_side_up(&self, info: BindingInfo, role: Role) {
        let module = info.side(role);
        let cleanup = self.state.with(|state| {
            let side = *state.bindings.get(&info.id)?.side(role);
            let cleanup = state.modules.get(&module.id)?.callbacks.cleanup?;
            side.cleans_up.then_some((cleanup, side.context))
        });
        let Some((cleanup, context)) = cleanup else { return };
        let callback = Callback {
            binding: info,
            role,
            kind: CallbackKind::Cleanup,
            routine: cleanup as usize,
            context: context.get().addr(),
        };
        self.call(&callback, || {
            // SAFETY: the module registered this callback and gave this context for this binding;
            // `begin_cleanup` said yes once, so this runs once.
            unsafe { cleanup(context.get()) };
        });
        P::yield_point();
    }

    /// Takes a binding off the list of the module on this side before the other side is cleaned up.
    fn release(&self, info: BindingInfo, role: Role) {
        let module = info.side(role);
        self.state.with(|state| {
            if let Some(binding) = state.bindings.get_mut(&info.id) {
                binding.side_mut(role).released = true;
            }
            if let Some(module) = state.modules.get_mut(&module.id) {
                module.bindings.retain(|id| *id != info.id);
            }
        });
        self.signal_drained(&[module]);
    }
}
