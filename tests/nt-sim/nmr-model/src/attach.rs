//! Proposals: `ClientAttachProvider`, `NmrClientAttachProvider`, `ProviderAttachClient`.

use alloc::vec::Vec;
use core::ffi::c_void;

use sim_platform::{Lock as _, Platform};

use crate::{
    BindingId, Callback, CallbackKind, Event, Handle, HandleKind, Lent, Loan, Moment, Observer, Registrar,
    Role, Rule, Severity, State, Violation,
    registration::{INSUFFICIENT_RESOURCES, INVALID_DEVICE_STATE, INVALID_PARAMETER, PASSIVE_LEVEL, SUCCESS},
    state::{Attach, Binding, BindingInfo, BindingState, Foreign, ModuleState, Subject},
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
            Some((
                info,
                Some((attach, client.context, provider.characteristics.instance())),
            ))
        });
        let Some((info, offer)) = offer else { return };
        let Some((attach, context, instance)) = offer else {
            self.resolve(info, by, NOINTERFACE);
            return;
        };
        for module in [info.client, info.provider] {
            self.check_unchanged(module, "they were found changed when a peer was offered");
        }
        self.observer.event(&Event::Proposed(info));
        // SAFETY: the provider has an unresolved proposal, so its characteristics are there.
        let shown = unsafe { self.observer.show(info.provider, instance.0) };
        let handle = Handle {
            kind: HandleKind::ClientBinding,
            id,
        }
        .encode();
        let callback = Callback {
            binding: info,
            role: Role::Client,
            kind: CallbackKind::Attach,
            routine: attach as usize,
            context: context.get().addr(),
        };
        let status = self.call(&callback, || {
            // SAFETY: the client registered this callback for this context; the instance is that of
            // a provider whose wait has not returned, since it has an unresolved proposal.
            unsafe { attach(handle, context.get(), shown) }
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
        if let Some((rule, severity, what)) = breach {
            self.report(
                Violation::new(rule, (info, Role::Client), what)
                    .at(severity)
                    .since(Moment::Attached(info.id, Role::Client)),
            );
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
            Some(_) => return self.refuse(Rule::NotABindingHandle, "not a client's binding handle"),
            None => return self.refuse(Rule::NotABindingHandle, "the value was never a binding handle"),
        };
        let thread = P::current_thread();
        let started = self.state.with(|state| {
            let Some(binding) = state.bindings.get_mut(&id) else {
                return Err((None, Rule::AttachOutsideCallback, INVALID_PARAMETER));
            };
            let info = binding.info;
            if binding.state == BindingState::ProviderAccepted && binding.attaching == Some(thread) {
                return Err((Some(info), Rule::AttachedTwice, INVALID_DEVICE_STATE));
            }
            // Another proposal runs on this thread: its handle was meant.
            let nested = state
                .frames
                .iter()
                .any(|frame| frame.thread == thread && frame.module == info.client.id);
            if binding.attaching != Some(thread) && nested {
                return Err((Some(info), Rule::NotABindingHandle, INVALID_DEVICE_STATE));
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
            let instance = client.characteristics.instance();
            Ok((info, attach, provider.context, instance, client.npi))
        });
        let (info, attach, context, instance, npi) = match started {
            Ok(started) => started,
            Err(refused) => return self.refuse_attach(refused),
        };
        self.begin_attach(info);
        let handle = Handle {
            kind: HandleKind::ProviderBinding,
            id,
        }
        .encode();
        let observer = &self.observer;
        // SAFETY: the caller vouches for its dispatch table.
        let client_dispatch =
            unsafe { observer.dispatch(&info, npi, Role::Client, client_context, client_dispatch) };
        // SAFETY: as for the provider's.
        let shown = unsafe { self.observer.show(info.client, instance.0) };
        let mut context_out = UNWRITTEN;
        let mut dispatch_out: *const c_void = UNWRITTEN;
        let callback = Callback {
            binding: info,
            role: Role::Provider,
            kind: CallbackKind::Attach,
            routine: attach as usize,
            context: context.get().addr(),
        };
        let status = if self.observer.allocate() {
            self.one_at_a_time(info.provider.id, || {
                self.call(&callback, || {
                    // SAFETY: the provider registered this callback for this context; the client's
                    // instance is that of a module with an unresolved proposal; the outputs are ours.
                    unsafe {
                        attach(
                            handle,
                            context.get(),
                            shown,
                            client_context,
                            client_dispatch,
                            &raw mut context_out,
                            &raw mut dispatch_out,
                        )
                    }
                })
            })
        } else {
            INSUFFICIENT_RESOURCES
        };
        let accepted = self.settle_attach(info, status, context_out, dispatch_out);
        if accepted {
            if dispatch_out != UNWRITTEN.cast_const() {
                // SAFETY: the provider gives a dispatch table of the NPI.
                dispatch_out =
                    unsafe { observer.dispatch(&info, npi, Role::Provider, context_out, dispatch_out) };
            }
            // SAFETY: the caller vouches that both outputs may be written to.
            unsafe { provider_context.write(context_out) };
            // SAFETY: as above.
            unsafe { provider_dispatch.write(dispatch_out) };
        }
        P::yield_point();
        status
    }

    /// Reports an `NmrClientAttachProvider` that cannot be; the status to return.
    fn refuse_attach(&self, (info, rule, status): (Option<BindingInfo>, Rule, i32)) -> i32 {
        let subject = info.map_or(Subject::Caller, |info| Subject::Side(info, Role::Client));
        let what = match rule {
            Rule::AttachedTwice => "NmrClientAttachProvider has succeeded for this binding before",
            Rule::NotABindingHandle => "the handle is that of another proposal",
            _ => "NmrClientAttachProvider outside ClientAttachProvider, or on another thread",
        };
        let mut violation = Violation::new(rule, subject, what);
        violation.since = info.map(|info| Moment::Attached(info.id, Role::Client));
        self.report(violation);
        status
    }

    /// A client attaches in its callback, at the level that this is for.
    fn begin_attach(&self, info: BindingInfo) {
        if P::irql() > PASSIVE_LEVEL {
            self.report(Violation::new(
                Rule::AttachOutsideCallback,
                (info, Role::Client),
                "NmrClientAttachProvider above PASSIVE_LEVEL",
            ));
        }
        self.observer.mark(Moment::Attached(info.id, Role::Client));
        P::yield_point();
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
        let (context_out, provider) = (
            if context_out == UNWRITTEN {
                core::ptr::null_mut()
            } else {
                context_out
            },
            (info, Role::Provider),
        );
        let since = Moment::Attached(info.id, Role::Provider);
        if accepted && unwritten {
            self.report(
                Violation::new(Rule::OutputsNotWritten, provider, "an output was not written").since(since),
            );
        }
        if accepted && status != SUCCESS {
            let what = "ProviderAttachClient returned a success code other than STATUS_SUCCESS";
            self.report(Violation::new(Rule::AttachPending, provider, what).since(since));
        }
        self.state.with(|state| {
            if let Some(binding) = state.bindings.get_mut(&info.id) {
                binding.attach_status = Some(status);
                if accepted {
                    binding.provider.context = Foreign(context_out.cast_const());
                } else {
                    binding.go(BindingState::ClientAttaching);
                }
            }
        });
        if accepted {
            for role in [Role::Client, Role::Provider] {
                self.check_context(info, role);
            }
            self.observer.event(&Event::Accepted(info));
            // Only now: who detaches early finds the binding in this state, and must not be ahead of what was told here.
            self.state.with(|state| {
                if let Some(binding) = state.bindings.get_mut(&info.id) {
                    binding.go(BindingState::ProviderAccepted);
                }
            });
        } else if let Some(Given {
            address: start @ 1..,
            has_cleanup,
            ..
        }) = self.state.with(|state| Given::by(state, info, Role::Client))
        {
            self.observer.lend(&Loan {
                subject: Subject::Side(info, Role::Client),
                what: Lent::RefusedContext,
                start,
                size: 1,
                has_cleanup,
            });
        }
        accepted
    }

    /// Tells of the context that a side has given, and judges it against those of the module's other
    /// bindings.
    fn check_context(&self, info: BindingInfo, role: Role) {
        let Some(Given {
            address,
            has_cleanup,
            others,
        }) = self.state.with(|state| Given::by(state, info, role))
        else {
            return;
        };
        if address == 0 {
            // One binding needs no context to tell it from others; several do.
            if others.iter().any(|(other, _)| *other == 0) {
                let what = "the module has several bindings at once, all without a context";
                self.report(Violation::new(Rule::GlobalBindingState, (info, role), what));
            }
            return;
        }
        if let Some((_, shared)) = others.into_iter().find(|(other, _)| *other == address) {
            let severity = if has_cleanup {
                Severity::Error
            } else {
                Severity::Lint
            };
            let what = "the context is that of another live binding of the module";
            self.report(
                Violation::new(Rule::SharedContext, (info, role), what)
                    .at(severity)
                    .since(Moment::Attached(shared, role)),
            );
        }
        self.observer.lend(&Loan {
            subject: Subject::Side(info, role),
            what: Lent::BindingContext,
            start: address,
            size: 1,
            has_cleanup,
        });
    }
}

/// The context that a side has given for a binding.
struct Given {
    address: usize,
    /// Whether its module has a cleanup callback.
    has_cleanup: bool,
    /// The contexts of the module's other bindings.
    others: Vec<(usize, BindingId)>,
}

impl Given {
    fn by<P: Platform>(state: &State<P>, info: BindingInfo, role: Role) -> Option<Self> {
        let address = |binding: &Binding| binding.side(role).context.get().addr();
        let module = info.side(role).id;
        let others = state.bindings.values().filter(|other| {
            let accepted = !matches!(
                other.state,
                BindingState::Proposed | BindingState::ClientAttaching | BindingState::ProviderAttaching
            );
            other.info.id != info.id && other.info.side(role).id == module && accepted
        });
        Some(Self {
            address: address(state.bindings.get(&info.id)?),
            has_cleanup: state.modules.get(&module)?.callbacks.cleanup.is_some(),
            others: others.map(|other| (address(other), other.info.id)).collect(),
        })
    }
}

/// The rule that a client broke by returning `status`, if any.
const fn judge(
    accepted: bool,
    attach_status: Option<i32>,
    status: i32,
) -> Option<(Rule, Severity, &'static str)> {
    const BAD: Severity = Severity::Error;
    match (accepted, attach_status) {
        _ if status > SUCCESS => Some((
            Rule::AttachPending,
            BAD,
            "ClientAttachProvider returned a success code other than STATUS_SUCCESS",
        )),
        (false, _) if status == SUCCESS => Some((
            Rule::StatusNotPassedOn,
            BAD,
            "the client reports success, the provider was never attached",
        )),
        (true, _) if status < 0 => Some((
            Rule::StatusNotPassedOn,
            BAD,
            "the client reports failure, the provider is attached",
        )),
        (false, Some(last)) if last != status && status != NOINTERFACE => Some((
            Rule::StatusNotPassedOn,
            BAD,
            "the client returned another failure than the provider's",
        )),
        // Healthy or not, only the client can tell; so this is a hint.
        (false, None) if status != NOINTERFACE => Some((
            Rule::StatusNotPassedOn,
            Severity::Lint,
            "the client declined with another code than STATUS_NOINTERFACE, which says that something is wrong",
        )),
        _ => None,
    }
}
