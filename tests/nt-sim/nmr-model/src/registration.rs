//! `NmrRegisterClient`, `NmrRegisterProvider`, deregistration and the wait for its end.

use alloc::{sync::Arc, vec::Vec};
use core::ffi::c_void;

use nmr::raw;
use sim_platform::{Event as _, Lock as _, Platform};

use crate::{
    Event, Handle, HandleKind, ModuleId, ModuleInfo, Moment, Observer, Registrar, Role, Rule, Severity,
    State, Violation,
    characteristics::Characteristics,
    state::{Binding, BindingInfo, BindingState, Foreign, Module, ModuleState, SideState, Subject},
    transitions::{ModuleStage, Transitions},
    work::Task,
};

/// `STATUS_SUCCESS`.
pub(crate) const SUCCESS: i32 = 0;
/// `STATUS_PENDING`.
pub(crate) const PENDING: i32 = 0x103;
/// `STATUS_INVALID_PARAMETER`.
pub(crate) const INVALID_PARAMETER: i32 = 0xC000_000D_u32.cast_signed();
/// `STATUS_INSUFFICIENT_RESOURCES`.
pub(crate) const INSUFFICIENT_RESOURCES: i32 = 0xC000_009A_u32.cast_signed();
/// `STATUS_INVALID_DEVICE_STATE`.
pub(crate) const INVALID_DEVICE_STATE: i32 = 0xC000_0184_u32.cast_signed();
/// `STATUS_POSSIBLE_DEADLOCK`.
const POSSIBLE_DEADLOCK: i32 = 0xC000_0194_u32.cast_signed();

/// `PASSIVE_LEVEL`.
pub(crate) const PASSIVE_LEVEL: u8 = 0;
/// `DISPATCH_LEVEL`.
pub(crate) const DISPATCH_LEVEL: u8 = 2;

/// What the storage of a registration handle holds while the callbacks inside the registration run,
/// unless the policy is to write the handle first: a driver must not rely on any value.
const UNSPECIFIED: *mut c_void = core::ptr::without_provenance_mut(0x5E_7715_0002);

impl<P: Platform, O: Observer> Registrar<P, O> {
    /// `NmrRegisterClient`.
    ///
    /// # Safety
    ///
    /// `characteristics` points to a structure that stays valid and unchanged until
    /// [`Self::wait`] has returned, `context` is what its callbacks expect, and `handle` may be
    /// written to.
    pub unsafe fn register_client(
        &self,
        characteristics: *const raw::NPI_CLIENT_CHARACTERISTICS,
        context: *mut c_void,
        handle: *mut *mut c_void,
    ) -> i32 {
        // SAFETY: handed on from the caller.
        unsafe { self.register(Characteristics::Client(Foreign(characteristics)), context, handle) }
    }

    /// `NmrRegisterProvider`.
    ///
    /// # Safety
    ///
    /// As for [`Self::register_client`].
    pub unsafe fn register_provider(
        &self,
        characteristics: *const raw::NPI_PROVIDER_CHARACTERISTICS,
        context: *mut c_void,
        handle: *mut *mut c_void,
    ) -> i32 {
        // SAFETY: handed on from the caller.
        unsafe {
            self.register(
                Characteristics::Provider(Foreign(characteristics)),
                context,
                handle,
            )
        }
    }

    /// Matches the module with its peers in one critical section, then offers it to each.
    ///
    /// # Safety
    ///
    /// As for [`Self::register_client`].
    unsafe fn register(
        &self,
        characteristics: Characteristics,
        context: *mut c_void,
        handle: *mut *mut c_void,
    ) -> i32 {
        if P::irql() > PASSIVE_LEVEL {
            return self.refuse(Rule::RegisterContext, "a module registers above PASSIVE_LEVEL");
        }
        // SAFETY: the caller vouches for the characteristics.
        let (callbacks, npi) = match unsafe { characteristics.check() } {
            Ok(checked) => checked,
            Err((rule, what)) => return self.refuse(rule, what),
        };
        if !self.observer.allocate() {
            return INSUFFICIENT_RESOURCES;
        }
        let owner = self.observer.current_owner();
        let role = characteristics.role();
        // SAFETY: the characteristics were checked.
        let digest = unsafe { characteristics.digest() };
        let id = self.state.with(State::identity);
        let info = ModuleInfo { id, role, owner };
        // Told before the module can be found by others.
        self.observer.mark(Moment::Registered(id));
        // SAFETY: the characteristics were checked.
        for loan in unsafe { characteristics.loans(info, context.addr(), handle.addr()) } {
            self.observer.lend(&loan);
        }
        let (encoded, offers) = self.state.with(|state| {
            let module = Module {
                info,
                state: ModuleState::Active,
                npi,
                callbacks,
                context: Foreign(context.cast_const()),
                characteristics,
                digest,
                proposals: 0,
                waiting: 0,
                given_up: false,
                bindings: Vec::new(),
                drained: Arc::new(P::Event::new()),
                proposing: true,
                taken: Arc::clone(&self.taken),
                gate: None,
            };
            self.taken
                .module(ModuleStage::Unregistered, ModuleStage::Proposing);
            let encoded = module.handle().encode();
            state.modules.insert(id, module);
            let mut offers = propose_to_peers(state, info, npi, &self.taken);
            if self.policy.newest_peer_first {
                offers.reverse();
            }
            (encoded, offers)
        });
        // SAFETY: the characteristics were checked.
        for (rule, what) in unsafe { characteristics.shortcomings() } {
            self.report(Violation::new(rule, info, what));
        }
        self.observer.event(&Event::Registered(info));
        let early = if self.policy.handle_before_attach {
            encoded
        } else {
            UNSPECIFIED
        };
        // SAFETY: the caller vouches that the handle may be written to.
        unsafe { handle.write(early) };
        for binding in offers {
            P::yield_point();
            self.hand_over(self.policy.attach_on_worker, Task::Propose(binding, role));
        }
        self.state.with(|state| {
            if let Some(own) = state.modules.get_mut(&id) {
                own.proposed();
            }
        });
        // SAFETY: the caller vouches that the handle may be written to.
        unsafe { handle.write(encoded) };
        SUCCESS
    }

    /// `NmrDeregisterClient` and `NmrDeregisterProvider`: starts the end of a registration.
    ///
    /// Answers `STATUS_PENDING`, or an error for a handle that is not an active registration of
    /// this `role`.
    pub fn deregister(&self, role: Role, handle: *mut c_void) -> i32 {
        let module = match self.registration(role, handle) {
            Ok(module) => module,
            Err(status) => return status,
        };
        let begun = self.state.with(|state| {
            let own = state.modules.get_mut(&module.id)?;
            if own.state != ModuleState::Active {
                return None;
            }
            own.go(ModuleState::Deregistering);
            let mut begun = Vec::new();
            for (id, binding) in &mut state.bindings {
                let early = self.policy.early_detach && binding.state == BindingState::ProviderAccepted;
                let attached = binding.state == BindingState::Attached;
                if binding.info.side(role).id != module.id || !(attached || early) {
                    continue;
                }
                binding.begin_detach(role, &self.policy);
                begun.push((*id, early.then_some(binding.info)));
                if early {
                    for side in [binding.info.client.id, binding.info.provider.id] {
                        if let Some(side) = state.modules.get_mut(&side) {
                            side.bindings.push(*id);
                        }
                    }
                }
            }
            if self.policy.newest_peer_first {
                begun.reverse();
            }
            Some(begun)
        });
        let Some(begun) = begun else {
            self.report(
                Violation::new(
                    Rule::DeregisteredTwice,
                    module,
                    "the module was deregistered before",
                )
                .since(Moment::Deregistered(module.id)),
            );
            return INVALID_PARAMETER;
        };
        self.observer.mark(Moment::Deregistered(module.id));
        self.observer.event(&Event::Deregistering(module));
        for (binding, early) in begun {
            P::yield_point();
            if let Some(info) = early {
                self.observer.event(&Event::Attached(info));
            }
            self.run_detach(binding);
        }
        self.signal_drained(&[module]);
        PENDING
    }

    /// `NmrWaitForClientDeregisterComplete` and `NmrWaitForProviderDeregisterComplete`: waits until
    /// every binding of the module is cleaned up, then closes the handle.
    ///
    /// A wait that could never end, because it stands in a callback of the module itself, is
    /// reported and answered with `STATUS_POSSIBLE_DEADLOCK`.
    pub fn wait(&self, role: Role, handle: *mut c_void) -> i32 {
        let module = match self.registration(role, handle) {
            Ok(module) => module,
            Err(status) => return status,
        };
        if P::irql() >= DISPATCH_LEVEL {
            self.report(Violation::new(
                Rule::WaitInCallback,
                module,
                "a wait at DISPATCH_LEVEL",
            ));
        } else if self.policy.wait_at_passive_only
            && (P::irql() > PASSIVE_LEVEL || self.observer.in_critical_region())
        {
            self.report(Violation::new(
                Rule::WaitInCallback,
                module,
                "a wait while normal kernel APCs are held off",
            ));
        }
        let thread = P::current_thread();
        let (deregistered, inside, drained) = self.state.with(|state| {
            let own = state.modules.get(&module.id);
            (
                own.is_some_and(|own| own.state != ModuleState::Active),
                state.in_callback_of(thread, module.id),
                own.map(|own| Arc::clone(&own.drained)),
            )
        });
        let Some(drained) = drained.filter(|_| deregistered) else {
            self.report(
                Violation::new(
                    Rule::WaitMisused,
                    module,
                    "the wait comes before the deregistration",
                )
                .since(Moment::Registered(module.id)),
            );
            return INVALID_PARAMETER;
        };
        if inside {
            self.report(
                Violation::new(
                    Rule::WaitInCallback,
                    module,
                    "the wait stands in a callback of its own module",
                )
                .since(Moment::Deregistered(module.id)),
            );
            return POSSIBLE_DEADLOCK;
        }
        let go_on = self.observer.waits(module);
        if !go_on && !drained.is_set() {
            return POSSIBLE_DEADLOCK;
        }
        self.begin_wait(module);
        drained.wait();
        if self.end_wait(module) {
            return POSSIBLE_DEADLOCK;
        }
        self.check_unchanged(module, "they were found changed when the wait returned");
        let closed = self.state.with(|state| state.modules.remove(&module.id));
        if closed.is_some() {
            self.taken.module(ModuleStage::Drained, ModuleStage::Closed);
            self.observer.mark(Moment::Waited(module.id));
            self.observer.event(&Event::Closed(module));
        }
        SUCCESS
    }

    fn begin_wait(&self, module: ModuleInfo) {
        self.state.with(|state| {
            if let Some(own) = state.modules.get_mut(&module.id) {
                own.waiting += 1;
            }
        });
    }

    /// Whether the wait that has just ended was given up by the machine.
    fn end_wait(&self, module: ModuleInfo) -> bool {
        let fresh = Arc::new(P::Event::new());
        self.state.with(|state| {
            let Some(own) = state.modules.get_mut(&module.id) else {
                return false;
            };
            own.waiting -= 1;
            let given_up = own.given_up && own.state != ModuleState::Drained;
            if given_up && own.waiting == 0 {
                own.given_up = false;
                own.drained = fresh;
            }
            given_up
        })
    }

    /// Ends a wait for a module that cannot end otherwise: it returns `STATUS_POSSIBLE_DEADLOCK`.
    pub fn give_up_wait(&self, module: ModuleId) {
        let event = self.state.with(|state| {
            let own = state.modules.get_mut(&module)?;
            if own.waiting == 0 || own.state == ModuleState::Drained {
                return None;
            }
            own.given_up = true;
            Some(Arc::clone(&own.drained))
        });
        if let Some(event) = event {
            event.set();
        }
    }

    /// Ends every wait that has not ended.
    pub fn give_up_waits(&self) {
        let modules: Vec<ModuleId> = self.state.with(|state| state.modules.keys().copied().collect());
        for module in modules {
            self.give_up_wait(module);
        }
    }

    /// The sides whose detach callback has answered `STATUS_PENDING` and who have not completed.
    pub fn pending_sides(&self) -> Vec<(BindingInfo, Role)> {
        self.state.with(|state| {
            let sides = state.bindings.values().flat_map(|binding| {
                [Role::Client, Role::Provider]
                    .into_iter()
                    .filter(|role| binding.side(*role).state == SideState::Pending)
                    .map(|role| (binding.info, role))
            });
            sides.collect()
        })
    }

    /// Tells of the modules among `modules` that have become drained, and wakes their waiters.
    pub(crate) fn signal_drained(&self, modules: &[ModuleInfo]) {
        for module in modules {
            let drained = self.state.with(|state| state.drain(module.id));
            if let Some(event) = drained {
                self.observer.event(&Event::Drained(*module));
                event.set();
            }
        }
    }

    /// The live module that a registration handle of `role` names.
    fn registration(&self, role: Role, handle: *mut c_void) -> Result<ModuleInfo, i32> {
        let wanted = match role {
            Role::Client => HandleKind::Client,
            Role::Provider => HandleKind::Provider,
        };
        if handle == UNSPECIFIED {
            let what = "it was read inside the registration, before it was written";
            let violation = Violation::new(Rule::HandleReadEarly, Subject::Caller, what);
            self.report(violation.at(Severity::Error));
            return Err(INVALID_PARAMETER);
        }
        let Some(handle) = Handle::decode(handle) else {
            return Err(self.refuse(
                Rule::HandleNeverGiven,
                "the value was never a registration handle",
            ));
        };
        if handle.kind != wanted {
            return Err(self.refuse(Rule::DeregisteredTwice, "a handle of another kind was given"));
        }
        let (module, known) = self.state.with(|state| {
            (
                state
                    .modules
                    .get(&handle.id)
                    .map(|module| (module.info, module.proposing)),
                handle.id < state.next,
            )
        });
        match module {
            Some((module, registering)) => {
                if registering && self.runs_callback_of(module) {
                    let what = "it was used inside the registration, which wrote it early this time";
                    let violation = Violation::new(Rule::HandleReadEarly, module, what);
                    self.report(violation.since(Moment::Registered(module.id)));
                }
                Ok(module)
            }
            None if known => {
                let what = "the handle was closed by an earlier wait";
                let violation = Violation::new(Rule::WaitMisused, Subject::Caller, what);
                self.report(violation.since(Moment::Waited(handle.id)));
                Err(INVALID_PARAMETER)
            }
            None => Err(self.refuse(
                Rule::HandleNeverGiven,
                "the value was never a registration handle",
            )),
        }
    }

    /// Whether the calling thread is in a callback of `module`.
    pub(crate) fn runs_callback_of(&self, module: ModuleInfo) -> bool {
        let thread = P::current_thread();
        self.state.with(|state| state.in_callback_of(thread, module.id))
    }

    /// Reports a breach by unknown code; the status that refuses the call.
    pub(crate) fn refuse(&self, rule: Rule, what: &'static str) -> i32 {
        self.report(Violation::new(rule, Subject::Caller, what));
        INVALID_PARAMETER
    }
}

/// Creates a proposal to every matching peer, in the order in which the peers registered.
fn propose_to_peers<P: Platform>(
    state: &mut State<P>,
    module: ModuleInfo,
    npi: [u8; 16],
    taken: &Arc<Transitions>,
) -> Vec<crate::BindingId> {
    let peers: Vec<ModuleInfo> = state
        .modules
        .values()
        .filter(|peer| peer.info.role != module.role)
        .filter(|peer| peer.npi == npi && peer.state == ModuleState::Active)
        .map(|peer| peer.info)
        .collect();
    let mut offers = Vec::with_capacity(peers.len());
    for peer in peers {
        let id = state.identity();
        let (client, provider) = match module.role {
            Role::Client => (module, peer),
            Role::Provider => (peer, module),
        };
        state.bindings.insert(
            id,
            Binding::new(BindingInfo { id, client, provider }, Arc::clone(taken)),
        );
        for side in [client.id, provider.id] {
            count_proposal(state, side);
        }
        offers.push(id);
    }
    offers
}

/// One more unresolved proposal of `module`.
fn count_proposal<P: Platform>(state: &mut State<P>, module: ModuleId) {
    if let Some(module) = state.modules.get_mut(&module) {
        module.proposals += 1;
    }
}
