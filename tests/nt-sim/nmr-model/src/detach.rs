//! The end of a binding: detach callbacks, their completions, cleanup.

use core::ffi::c_void;

use sim_platform::{Lock as _, Platform};

use crate::{
    BindingId, CallbackKind, DetachOrder, Event, Handle, HandleKind, Observer, Registrar, Role, Rule,
    registration::{DISPATCH_LEVEL, PENDING, SUCCESS},
    state::{BindingInfo, BindingState, SideState},
};

impl<P: Platform, O: Observer> Registrar<P, O> {
    /// Calls the detach callbacks of a binding that has just gone to `Detaching`. Only the party
    /// that moved it there calls this, so each callback runs once.
    pub(crate) fn run_detach(&self, id: BindingId) {
        let Some((info, initiator, half)) = self.state.with(|state| {
            state
                .bindings
                .get(&id)
                .map(|binding| (binding.info, binding.initiator, binding.half))
        }) else {
            return;
        };
        self.observer.event(&Event::Detaching(info));
        let order = match self.policy.detach_order {
            DetachOrder::PeerFirst => [initiator.peer(), initiator],
            DetachOrder::InitiatorFirst => [initiator, initiator.peer()],
        };
        for role in order {
            if half && role == Role::Client {
                continue;
            }
            self.detach_side(info, role);
            P::yield_point();
        }
    }

    /// Calls the detach callback of one side and settles what it returns.
    fn detach_side(&self, info: BindingInfo, role: Role) {
        let module = info.side(role);
        let callback = self.state.with(|state| {
            let detach = state.modules.get(&module.id)?.callbacks.detach;
            let binding = state.bindings.get_mut(&info.id)?;
            let completed = binding.side(role).state == SideState::PreCompleted;
            binding.move_side(role, SideState::InCallback { completed });
            Some((detach, binding.side(role).context))
        });
        let Some((detach, context)) = callback else { return };
        let status = self.call(module, CallbackKind::Detach, || {
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
                            "completed, and then returned STATUS_SUCCESS",
                        ));
                    }
                    SideState::Done
                }
                _ => {
                    breach = Some((Rule::DetachStatus, "the detach callback returned another status"));
                    SideState::Done
                }
            };
            binding.move_side(role, next);
            next == SideState::Done && before != SideState::Done
        });
        if let Some((rule, what)) = breach {
            self.violation(rule, (info, role), what);
        }
        if done {
            self.observer.event(&Event::SideDetached(info, module));
        }
        self.cleanup_if_done(info);
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
                    Rule::WrongHandleKind,
                    "a detach was completed with a handle of another kind",
                );
                return;
            }
            None => {
                self.refuse(Rule::NoSuchHandle, "the value was never a binding handle");
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
                    Rule::NoSuchHandle
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
        match (breach, settled) {
            (Some(broken), Some((info, _))) => {
                self.violation(
                    broken,
                    (info, role),
                    "a detach was completed at another time than it should be",
                );
            }
            (Some(broken), None) => {
                self.refuse(broken, "a detach was completed for a binding that is gone");
            }
            (None, _) => {}
        }
        let Some((info, done)) = settled else { return };
        if P::irql() > DISPATCH_LEVEL {
            self.violation(
                Rule::Irql,
                info.side(role),
                "a detach was completed above DISPATCH_LEVEL",
            );
        }
        if done {
            self.observer.event(&Event::SideDetached(info, info.side(role)));
        }
        P::yield_point();
        self.cleanup_if_done(info);
    }

    /// Runs the cleanup of a binding if both sides are done: one party gets to do it.
    fn cleanup_if_done(&self, info: BindingInfo) {
        let cleanup = self.state.with(|state| {
            let binding = state.bindings.get_mut(&info.id)?;
            if !binding.begin_cleanup() {
                return None;
            }
            let half = binding.half;
            Some([Role::Client, Role::Provider].map(|role| {
                let module = info.side(role);
                let context = binding.side(role).context;
                let callback = state
                    .modules
                    .get(&module.id)
                    .and_then(|module| module.callbacks.cleanup);
                // A client that failed after its provider accepted has freed its own context.
                (
                    module,
                    context,
                    callback.filter(|_| !half || role == Role::Provider),
                )
            }))
        });
        let Some(mut order) = cleanup else { return };
        if self.policy.provider_cleanup_first {
            order.reverse();
        }
        for (module, context, callback) in order {
            if let Some(cleanup) = callback {
                self.call(module, CallbackKind::Cleanup, || {
                    // SAFETY: the module registered this callback and gave this context for this
                    // binding; `begin_cleanup` said yes once, so this runs once.
                    unsafe { cleanup(context.get()) };
                });
                P::yield_point();
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
}
