//! Proposals: `ClientAttachProvider`, `NmrClientAttachProvider`, `ProviderAttachClient`.

use core::ffi::c_void;

use sim_platform::{Lock as _, Platform};

use crate::{
    BindingId, CallbackKind, Event, Handle, HandleKind, Observer, Registrar, Role, Rule,
    registration::{INVALID_DEVICE_STATE, INVALID_PARAMETER, PASSIVE_LEVEL, PENDING, SUCCESS, fingerprint},
    state::{Attach, BindingInfo, BindingState, Foreign, ModuleState, Subject},
};

/// `STATUS_NOINTERFACE`.
const NOINTERFACE: i32 = 0xC000_02B9_u32.cast_signed();

/// What `ProviderAttachClient` finds in its outputs, to see whether it writes them.
const UNWRITTEN: *mut c_void = core::ptr::without_provenance_mut(0x5E_7715_0001);

/// What has to follow when `ClientAttachProvider` has returned.
enum Outcome {
    /// No binding.
    Gone,
    /// Attached and detached already, while the client was still attaching.
    Early,
    /// Attached for good.
    Attached,
    /// Attached, but a module deregistered meanwhile, or the client failed too late.
    Detach,
}

impl<P: Platform, O: Observer> Registrar<P, O> {
    /// Offers the provider of a binding to its client; `by` is the side whose registration brought it
    /// about.
    pub(crate) fn propose(&self, id: BindingId, by: Role) {
        let client = self
            .state
            .with(|state| state.bindings.get(&id).map(|binding| binding.info.client.id));
        if let Some(client) = client {
            self.one_at_a_time(client, || self.offer(id, by));
        }
    }

    fn offer(&self, id: BindingId, by: Role) {
        let thread = P::current_thread();
        let offer = self.state.with(|state| {
            let binding = state.bindings.get_mut(&id)?;
            let info = binding.info;
            let client = state.modules.get(&info.client.id)?;
            let provider = state.modules.get(&info.provider.id)?;
            let leaving = client.state != ModuleState::Active || provider.state != ModuleState::Active;
            if leaving && !self.policy.offer_after_deregister {
                return Some((info, None));
            }
            binding.go(BindingState::ClientAttaching);
            binding.attaching = Some(thread);
            let Attach::Client(attach) = client.callbacks.attach else {
                return None;
            };
            let changed = fingerprint(provider.instance) != provider.fingerprint;
            Some((info, Some((attach, client.context, provider.instance, changed))))
        });
        let Some((info, offer)) = offer else { return };
        let Some((attach, context, instance, changed)) = offer else {
            self.resolve(info, by, NOINTERFACE);
            return;
        };
        if changed {
            self.violation(
                Rule::CharacteristicsChanged,
                info.provider,
                "they changed before a peer was offered",
            );
        }
        self.observer.event(&Event::Proposed(info));
        let handle = Handle {
            kind: HandleKind::ClientBinding,
            id,
        }
        .encode();
        let status = self.call(info.client, CallbackKind::Attach, || {
            // SAFETY: the client registered this callback for this context; the instance is that of
            // a provider whose wait has not returned, since it has an unresolved proposal.
            unsafe { attach(handle, context.get(), instance.0) }
        });
        P::yield_point();
        self.resolve(info, by, status);
    }

    /// Judges what `ClientAttachProvider` returned and ends the proposal.
    fn resolve(&self, info: BindingInfo, by: Role, status: i32) {
        let mut breach = None;
        let outcome = self.state.with(|state| {
            let leaving = [info.client.id, info.provider.id].iter().any(|module| {
                state
                    .modules
                    .get(module)
                    .is_none_or(|module| module.state != ModuleState::Active)
            });
            let outcome = match state.bindings.get_mut(&info.id) {
                Some(binding) if binding.state < BindingState::ProviderAccepted => {
                    breach = judge(false, binding.attach_status, status);
                    binding.gone();
                    state.bindings.remove(&info.id);
                    Outcome::Gone
                }
                Some(binding) if binding.state == BindingState::ProviderAccepted => {
                    breach = judge(true, binding.attach_status, status);
                    binding.attaching = None;
                    if status < 0 {
                        binding.begin_half_detach(&self.policy);
                        Outcome::Detach
                    } else if leaving {
                        binding.begin_detach(by, &self.policy);
                        Outcome::Detach
                    } else {
                        binding.go(BindingState::Attached);
                        Outcome::Attached
                    }
                }
                _ => {
                    breach = judge(true, Some(SUCCESS), status);
                    Outcome::Early
                }
            };
            for module in [info.client.id, info.provider.id] {
                if let Some(module) = state.modules.get_mut(&module) {
                    module.proposals -= 1;
                    if matches!(outcome, Outcome::Attached | Outcome::Detach) {
                        module.bindings.push(info.id);
                    }
                }
            }
            outcome
        });
        if let Some((rule, what)) = breach {
            self.violation(rule, (info, Role::Client), what);
        }
        match outcome {
            Outcome::Gone => self.observer.event(&Event::Rejected(info, status)),
            Outcome::Early => {}
            Outcome::Attached => self.observer.event(&Event::Attached(info)),
            Outcome::Detach => {
                self.observer.event(&Event::Attached(info));
                self.run_detach(info.id);
            }
        }
        self.signal_drained(&[info.client, info.provider]);
    }

    /// `NmrClientAttachProvider`.
    ///
    /// Answers what `ProviderAttachClient` answered; the outputs are written only on success.
    ///
    /// # Safety
    ///
    /// `client_context` and `client_dispatch` are what the NPI prescribes, and the outputs may be
    /// written to.
    pub unsafe fn attach_provider(
        &self,
        binding: *mut c_void,
        client_context: *mut c_void,
        client_dispatch: *const c_void,
        provider_context: *mut *mut c_void,
        provider_dispatch: *mut *const c_void,
    ) -> i32 {
        let id = match Handle::decode(binding) {
            Some(Handle {
                kind: HandleKind::ClientBinding,
                id,
            }) => id,
            Some(_) => return self.refuse(Rule::WrongHandleKind, "not a client's binding handle"),
            None => return self.refuse(Rule::NoSuchHandle, "the value was never a binding handle"),
        };
        let thread = P::current_thread();
        let started = self.state.with(|state| {
            let Some(binding) = state.bindings.get_mut(&id) else {
                return Err((None, Rule::AttachOutsideCallback, INVALID_PARAMETER));
            };
            let info = binding.info;
            if binding.state == BindingState::ProviderAccepted {
                return Err((Some(info), Rule::AttachedTwice, INVALID_DEVICE_STATE));
            }
            if binding.state != BindingState::ClientAttaching || binding.attaching != Some(thread) {
                return Err((Some(info), Rule::AttachOutsideCallback, INVALID_DEVICE_STATE));
            }
            let (Some(client), Some(provider)) = (
                state.modules.get(&info.client.id),
                state.modules.get(&info.provider.id),
            ) else {
                return Err((Some(info), Rule::AttachOutsideCallback, INVALID_DEVICE_STATE));
            };
            let Attach::Provider(attach) = provider.callbacks.attach else {
                return Err((Some(info), Rule::AttachOutsideCallback, INVALID_DEVICE_STATE));
            };
            binding.go(BindingState::ProviderAttaching);
            binding.client.context = Foreign(client_context.cast_const());
            Ok((info, attach, provider.context, client.instance))
        });
        let (info, attach, context, instance) = match started {
            Ok(started) => started,
            Err((info, rule, status)) => {
                let subject = info.map_or(Subject::Caller, |info| Subject::Side(info, Role::Client));
                self.violation(
                    rule,
                    subject,
                    "NmrClientAttachProvider at the wrong time or on the wrong thread",
                );
                return status;
            }
        };
        if P::irql() > PASSIVE_LEVEL {
            self.violation(
                Rule::Irql,
                info.client,
                "NmrClientAttachProvider above PASSIVE_LEVEL",
            );
        }
        P::yield_point();
        let handle = Handle {
            kind: HandleKind::ProviderBinding,
            id,
        }
        .encode();
        let mut context_out = UNWRITTEN;
        let mut dispatch_out: *const c_void = UNWRITTEN;
        let status = self.one_at_a_time(info.provider.id, || {
            self.call(info.provider, CallbackKind::Attach, || {
                // SAFETY: the provider registered this callback for this context; the client's instance
                // is that of a module with an unresolved proposal; the outputs are ours.
                unsafe {
                    attach(
                        handle,
                        context.get(),
                        instance.0,
                        client_context,
                        client_dispatch,
                        &raw mut context_out,
                        &raw mut dispatch_out,
                    )
                }
            })
        });
        let accepted = self.settle_attach(info, status, context_out, dispatch_out);
        if accepted {
            // SAFETY: the caller vouches that both outputs may be written to.
            unsafe { provider_context.write(context_out) };
            // SAFETY: as above.
            unsafe { provider_dispatch.write(dispatch_out) };
        }
        P::yield_point();
        status
    }

    /// Judges what `ProviderAttachClient` returned; whether it accepted.
    fn settle_attach(
        &self,
        info: BindingInfo,
        status: i32,
        context_out: *mut c_void,
        dispatch_out: *const c_void,
    ) -> bool {
        let accepted = status >= 0;
        let unwritten = context_out == UNWRITTEN || dispatch_out == UNWRITTEN.cast_const();
        if accepted && unwritten {
            self.violation(
                Rule::OutputsNotWritten,
                (info, Role::Provider),
                "an output was not written",
            );
        }
        if status == PENDING {
            self.violation(
                Rule::AttachPending,
                (info, Role::Provider),
                "ProviderAttachClient returned PENDING",
            );
        }
        self.state.with(|state| {
            if let Some(binding) = state.bindings.get_mut(&info.id) {
                binding.attach_status = Some(status);
                if accepted {
                    binding.go(BindingState::ProviderAccepted);
                    binding.provider.context = Foreign(context_out.cast_const());
                } else {
                    binding.go(BindingState::ClientAttaching);
                }
            }
        });
        if accepted {
            self.observer.event(&Event::Accepted(info));
        }
        accepted
    }
}

/// The rule that a client broke by returning `status`, if any.
const fn judge(accepted: bool, attach_status: Option<i32>, status: i32) -> Option<(Rule, &'static str)> {
    match (accepted, attach_status) {
        _ if status == PENDING => Some((Rule::AttachPending, "ClientAttachProvider returned PENDING")),
        (false, _) if status >= 0 => Some((
            Rule::SuccessWithoutAttach,
            "the client reports success, the provider was never attached",
        )),
        (true, _) if status < 0 => Some((
            Rule::FailureAfterAttach,
            "the client reports failure, the provider is attached",
        )),
        (true, _) if status != SUCCESS => Some((
            Rule::StatusNotPassedOn,
            "the client returned another success code",
        )),
        (false, Some(last)) if last != status && status != NOINTERFACE => Some((
            Rule::StatusNotPassedOn,
            "the client returned another failure than the provider's",
        )),
        (false, None) if status != NOINTERFACE => {
            Some((Rule::DeclineCode, "the client declined with another code"))
        }
        _ => None,
    }
}
