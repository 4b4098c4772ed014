//! `NmrRegisterClient`, `NmrRegisterProvider`, deregistration and the wait for its end.

use alloc::{sync::Arc, vec::Vec};
use core::ffi::c_void;

use nmr::raw;
use sim_platform::{Event as _, Lock as _, Platform};

use crate::{
    Event, Handle, HandleKind, ModuleId, ModuleInfo, Observer, Registrar, Role, Rule, State,
    state::{Attach, Binding, BindingInfo, BindingState, Callbacks, Foreign, Module, ModuleState, Subject},
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
const INSUFFICIENT_RESOURCES: i32 = 0xC000_009A_u32.cast_signed();
/// `STATUS_INVALID_DEVICE_STATE`.
pub(crate) const INVALID_DEVICE_STATE: i32 = 0xC000_0184_u32.cast_signed();
/// `STATUS_POSSIBLE_DEADLOCK`.
const POSSIBLE_DEADLOCK: i32 = 0xC000_0194_u32.cast_signed();

/// `PASSIVE_LEVEL`.
pub(crate) const PASSIVE_LEVEL: u8 = 0;
/// `DISPATCH_LEVEL`.
pub(crate) const DISPATCH_LEVEL: u8 = 2;

/// What both kinds of characteristics have in common.
struct Registration {
    role: Role,
    callbacks: Callbacks,
    instance: Foreign<raw::NPI_REGISTRATION_INSTANCE>,
}

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
        // SAFETY: the caller vouches for the pointer.
        let Some(ch) = (unsafe { characteristics.as_ref() }) else {
            return self.refuse(Rule::CharacteristicsPointers, "no characteristics were given");
        };
        let length = size_of::<raw::NPI_CLIENT_CHARACTERISTICS>();
        let (Some(attach), Some(detach)) = (ch.ClientAttachProvider, ch.ClientDetachProvider) else {
            return self.refuse(Rule::CharacteristicsPointers, "a required callback is NULL");
        };
        let registration = Registration {
            role: Role::Client,
            callbacks: Callbacks {
                attach: Attach::Client(attach),
                detach,
                cleanup: ch.ClientCleanupBindingContext,
            },
            instance: Foreign(&raw const ch.ClientRegistrationInstance),
        };
        if !self.check_header(ch.Version, ch.Length, length) {
            return INVALID_PARAMETER;
        }
        // SAFETY: handed on from the caller.
        unsafe { self.register(&registration, context, handle) }
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
        // SAFETY: the caller vouches for the pointer.
        let Some(ch) = (unsafe { characteristics.as_ref() }) else {
            return self.refuse(Rule::CharacteristicsPointers, "no characteristics were given");
        };
        let length = size_of::<raw::NPI_PROVIDER_CHARACTERISTICS>();
        let (Some(attach), Some(detach)) = (ch.ProviderAttachClient, ch.ProviderDetachClient) else {
            return self.refuse(Rule::CharacteristicsPointers, "a required callback is NULL");
        };
        let registration = Registration {
            role: Role::Provider,
            callbacks: Callbacks {
                attach: Attach::Provider(attach),
                detach,
                cleanup: ch.ProviderCleanupBindingContext,
            },
            instance: Foreign(&raw const ch.ProviderRegistrationInstance),
        };
        if !self.check_header(ch.Version, ch.Length, length) {
            return INVALID_PARAMETER;
        }
        // SAFETY: handed on from the caller.
        unsafe { self.register(&registration, context, handle) }
    }

    /// Matches the module with its peers in one critical section, then offers it to each.
    ///
    /// # Safety
    ///
    /// As for [`Self::register_client`].
    unsafe fn register(
        &self,
        registration: &Registration,
        context: *mut c_void,
        handle: *mut *mut c_void,
    ) -> i32 {
        if P::irql() > PASSIVE_LEVEL {
            return self.refuse(Rule::Irql, "a module registers above PASSIVE_LEVEL");
        }
        // SAFETY: the instance lies inside the characteristics that the caller vouches for.
        let instance = unsafe { &*registration.instance.0 };
        if usize::from(instance.Size) != size_of::<raw::NPI_REGISTRATION_INSTANCE>() {
            return self.refuse(
                Rule::CharacteristicsPointers,
                "the registration instance has a wrong Size",
            );
        }
        if instance.NpiId.is_null() {
            return self.refuse(Rule::CharacteristicsPointers, "NpiId is NULL");
        }
        // SAFETY: not NULL; the caller vouches for what the characteristics point to.
        let npi = unsafe { instance.NpiId.cast::<[u8; 16]>().read_unaligned() };
        if !self.observer.allocate() {
            return INSUFFICIENT_RESOURCES;
        }
        // SAFETY: the caller vouches for what the characteristics point to.
        let module_id = unsafe { instance.ModuleId.as_ref() };
        let identity_ok = module_id.is_some_and(|id| {
            usize::from(id.Length) == size_of::<raw::NPI_MODULEID>()
                && [raw::MIT_GUID, raw::MIT_IF_LUID].contains(&id.Type)
        });

        let owner = self.observer.current_owner();
        let role = registration.role;
        let (module, offers) = self.state.with(|state| {
            let id = state.identity();
            let module = Module {
                info: ModuleInfo { id, role, owner },
                state: ModuleState::Active,
                npi,
                callbacks: registration.callbacks,
                context: Foreign(context.cast_const()),
                instance: registration.instance,
                fingerprint: fingerprint(registration.instance),
                proposals: 0,
                bindings: Vec::new(),
                drained: Arc::new(P::Event::new()),
                proposing: true,
                taken: Arc::clone(&self.taken),
                gate: None,
            };
            self.taken
                .module(ModuleStage::Unregistered, ModuleStage::Proposing);
            let (encoded, info) = (module.handle().encode(), module.info);
            state.modules.insert(id, module);
            let mut offers = propose_to_peers(state, info, npi, &self.taken);
            if self.policy.newest_peer_first {
                offers.reverse();
            }
            ((encoded, info), offers)
        });
        let (encoded, info) = module;
        if !identity_ok {
            self.violation(
                Rule::ModuleIdentity,
                info,
                "the module id is missing or malformed",
            );
        }
        self.observer.event(&Event::Registered(info));
        if self.policy.handle_before_attach {
            // SAFETY: the caller vouches that the handle may be written to.
            unsafe { handle.write(encoded) };
        }
        for binding in offers {
            P::yield_point();
            self.hand_over(self.policy.attach_on_worker, Task::Propose(binding, role));
        }
        self.state.with(|state| {
            if let Some(own) = state.modules.get_mut(&info.id) {
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
        let module = match self.registration(role, handle, Rule::DeregisteredTwice) {
            Ok(module) => module,
            Err(status) => return status,
        };
        if P::irql() > DISPATCH_LEVEL {
            self.violation(Rule::Irql, module, "a module deregisters above DISPATCH_LEVEL");
        }
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
            self.violation(
                Rule::DeregisteredTwice,
                module,
                "the module was deregistered before",
            );
            return INVALID_PARAMETER;
        };
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
        let module = match self.registration(role, handle, Rule::WaitMisused) {
            Ok(module) => module,
            Err(status) => return status,
        };
        if P::irql() >= DISPATCH_LEVEL {
            self.violation(Rule::Irql, module, "a wait at DISPATCH_LEVEL");
        } else if self.policy.wait_at_passive_only
            && (P::irql() > PASSIVE_LEVEL || self.observer.in_critical_region())
        {
            self.violation(Rule::Irql, module, "a wait while normal kernel APCs are held off");
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
            self.violation(
                Rule::WaitMisused,
                module,
                "the wait comes before the deregistration",
            );
            return INVALID_PARAMETER;
        };
        if inside {
            self.violation(
                Rule::WaitInCallback,
                module,
                "the wait stands in a callback of its own module",
            );
            return POSSIBLE_DEADLOCK;
        }
        drained.wait();
        let closed = self.state.with(|state| state.modules.remove(&module.id));
        if let Some(closed) = closed {
            self.taken.module(ModuleStage::Drained, ModuleStage::Closed);
            if fingerprint(closed.instance) != closed.fingerprint {
                self.violation(
                    Rule::CharacteristicsChanged,
                    module,
                    "they changed before the wait returned",
                );
            }
            self.observer.event(&Event::Closed(module));
        }
        SUCCESS
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
    fn registration(&self, role: Role, handle: *mut c_void, reused: Rule) -> Result<ModuleInfo, i32> {
        let wanted = match role {
            Role::Client => HandleKind::Client,
            Role::Provider => HandleKind::Provider,
        };
        let Some(handle) = Handle::decode(handle) else {
            return Err(self.refuse(Rule::NoSuchHandle, "the value was never a registration handle"));
        };
        if handle.kind != wanted {
            return Err(self.refuse(Rule::WrongHandleKind, "a handle of another kind was given"));
        }
        let (module, known) = self.state.with(|state| {
            (
                state.modules.get(&handle.id).map(|module| module.info),
                handle.id < state.next,
            )
        });
        module.ok_or_else(|| {
            if known {
                self.refuse(reused, "the handle was closed by an earlier wait")
            } else {
                self.refuse(Rule::NoSuchHandle, "the value was never a registration handle")
            }
        })
    }

    /// Reports a breach by unknown code; the status that refuses the call.
    pub(crate) fn refuse(&self, rule: Rule, what: &'static str) -> i32 {
        self.violation(rule, Subject::Caller, what);
        INVALID_PARAMETER
    }

    /// Whether the first two fields of the characteristics are right; reports it if not.
    fn check_header(&self, version: u16, length: u16, expected: usize) -> bool {
        let right = version == 0 && usize::from(length) == expected;
        if !right {
            self.violation(
                Rule::CharacteristicsHeader,
                Subject::Caller,
                "Version or Length is wrong",
            );
        }
        right
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

/// A digest of the registration instance, to see whether a driver changed it.
pub(crate) fn fingerprint(instance: Foreign<raw::NPI_REGISTRATION_INSTANCE>) -> u64 {
    // SAFETY: registration demands that the instance stays valid until the wait has returned, and
    // this is only called for modules that are not closed.
    let instance = unsafe { &*instance.0 };
    let fields = [
        u64::from(instance.Version),
        u64::from(instance.Size),
        instance.NpiId.addr() as u64,
        instance.ModuleId.addr() as u64,
        u64::from(instance.Number),
        instance.NpiSpecificCharacteristics.addr() as u64,
    ];
    // FNV-1a over the fields.
    fields.iter().fold(0xCBF2_9CE4_8422_2325, |hash, field| {
        (hash ^ field).wrapping_mul(0x100_0000_01B3)
    })
}
