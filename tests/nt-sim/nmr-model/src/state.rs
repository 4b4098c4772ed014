//! The two state machines: modules and bindings.
//!
//! # Module
//!
//! | state | meaning | leaves it by |
//! |---|---|---|
//! | [`ModuleState::Active`] | matched with new peers | deregister → `Deregistering` |
//! | [`ModuleState::Deregistering`] | no new proposals; attached bindings detach | no proposal unresolved and no binding left → `Drained` |
//! | [`ModuleState::Drained`] | no callback will run any more | wait → the module is gone |
//!
//! # Binding
//!
//! | state | meaning | leaves it by |
//! |---|---|---|
//! | [`BindingState::Proposed`] | created, its attach has not started | the registering thread starts it → `ClientAttaching` |
//! | [`BindingState::ClientAttaching`] | `ClientAttachProvider` on the stack | `NmrClientAttachProvider` → `ProviderAttaching`; return → gone |
//! | [`BindingState::ProviderAttaching`] | `ProviderAttachClient` on the stack | success → `ProviderAccepted`; failure → `ClientAttaching` |
//! | [`BindingState::ProviderAccepted`] | accepted, the client has still to return | success → `Attached`, or `Detaching` if a module deregistered meanwhile |
//! | [`BindingState::Attached`] | both may call | a module deregisters → `Detaching` |
//! | [`BindingState::Detaching`] | each side stops calling by its own [`SideState`] | both sides done → `CleaningUp` |
//! | [`BindingState::CleaningUp`] | cleanup callbacks on the stack | returned → gone |

use alloc::{sync::Arc, vec::Vec};
use core::ffi::c_void;

use nmr::raw;
use sim_platform::{Platform, ThreadId};

use crate::{
    FailedClient, Owner, Policy,
    characteristics::Characteristics,
    handle::{Handle, HandleKind},
    transitions::{BindingStage, ModuleStage, SideStage, Transitions},
    work::Gate,
};

/// The identity of a module, never used twice.
pub type ModuleId = usize;

/// The identity of a binding, never used twice.
pub type BindingId = usize;

/// Which half of an NPI a module implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Asks to be attached to providers.
    Client,
    /// Is attached to by clients.
    Provider,
}

impl Role {
    /// The role of the peers.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Provider,
            Self::Provider => Self::Client,
        }
    }
}

/// Who a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Its identity.
    pub id: ModuleId,
    /// Its role.
    pub role: Role,
    /// The driver that registered it.
    pub owner: Owner,
}

/// Which two modules a binding joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingInfo {
    /// Its identity.
    pub id: BindingId,
    /// The client module.
    pub client: ModuleInfo,
    /// The provider module.
    pub provider: ModuleInfo,
}

impl BindingInfo {
    /// The module on the side of `role`.
    #[must_use]
    pub const fn side(&self, role: Role) -> ModuleInfo {
        match role {
            Role::Client => self.client,
            Role::Provider => self.provider,
        }
    }
}

/// What a violation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The code that runs on this thread, no module known.
    Caller,
    /// A module.
    Module(ModuleInfo),
    /// One side of a binding.
    Side(BindingInfo, Role),
}

impl Subject {
    /// The module whose doing it was, if it is known.
    #[must_use]
    pub const fn module(&self) -> Option<ModuleInfo> {
        match self {
            Self::Caller => None,
            Self::Module(module) => Some(*module),
            Self::Side(binding, role) => Some(binding.side(*role)),
        }
    }
}

impl From<ModuleInfo> for Subject {
    fn from(info: ModuleInfo) -> Self {
        Self::Module(info)
    }
}

impl From<(BindingInfo, Role)> for Subject {
    fn from((info, role): (BindingInfo, Role)) -> Self {
        Self::Side(info, role)
    }
}

/// The state of a module; see the [module documentation](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleState {
    /// Matched with new peers.
    Active,
    /// On its way out.
    Deregistering,
    /// No callback will run any more.
    Drained,
}

/// The attach callback of a module.
#[derive(Clone, Copy)]
pub(crate) enum Attach {
    Client(raw::NPI_CLIENT_ATTACH_PROVIDER_FN),
    Provider(raw::NPI_PROVIDER_ATTACH_CLIENT_FN),
}

impl Attach {
    /// Where its code begins.
    pub fn address(self) -> usize {
        match self {
            Self::Client(attach) => attach as usize,
            Self::Provider(attach) => attach as usize,
        }
    }
}

/// A detach callback.
pub(crate) type Detach = unsafe extern "system" fn(*mut c_void) -> i32;
/// A cleanup callback.
pub(crate) type Cleanup = unsafe extern "system" fn(*mut c_void);

/// The callbacks of a module, as registered. Detach and cleanup look alike on both sides.
#[derive(Clone, Copy)]
pub(crate) struct Callbacks {
    pub attach: Attach,
    pub detach: Detach,
    pub cleanup: Option<Cleanup>,
}

/// A pointer into the memory of a driver, which the registrar hands on.
pub(crate) struct Foreign<T>(pub *const T);

impl<T> Clone for Foreign<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Foreign<T> {}

// SAFETY: the registrar only stores the value and hands it to the callbacks of drivers, which by
// the contract of NMR may run on any thread.
unsafe impl<T> Send for Foreign<T> {}

/// A binding context: a driver's, opaque here.
pub(crate) type Context = Foreign<c_void>;

impl Context {
    pub const NULL: Self = Self(core::ptr::null());

    pub const fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub const fn get(self) -> *mut c_void {
        self.0.cast_mut()
    }
}

/// A registration.
pub(crate) struct Module<P: Platform> {
    pub info: ModuleInfo,
    pub state: ModuleState,
    pub npi: [u8; 16],
    pub callbacks: Callbacks,
    pub context: Context,
    /// In the driver's memory; peers are shown the instance inside.
    pub characteristics: Characteristics,
    /// What the characteristics looked like, to see changes.
    pub digest: u64,
    /// Proposals that are not resolved yet.
    pub proposals: usize,
    /// Bindings that are attached or on their way out.
    pub bindings: Vec<BindingId>,
    /// Set once drained.
    pub drained: Arc<P::Event>,
    /// Threads that wait for that.
    pub waiting: usize,
    /// The machine has ended their wait.
    pub given_up: bool,
    /// Whether its registration is still offering it to its peers.
    pub proposing: bool,
    /// Where its transitions are counted.
    pub taken: Arc<Transitions>,
    /// Who runs its attach callbacks, if they run one at a time.
    pub gate: Option<Gate<P>>,
}

impl<P: Platform> Module<P> {
    /// The registration handle.
    pub const fn handle(&self) -> Handle {
        let kind = match self.info.role {
            Role::Client => HandleKind::Client,
            Role::Provider => HandleKind::Provider,
        };
        Handle {
            kind,
            id: self.info.id,
        }
    }

    const fn stage(&self) -> ModuleStage {
        match self.state {
            ModuleState::Active if self.proposing => ModuleStage::Proposing,
            ModuleState::Active => ModuleStage::Active,
            ModuleState::Deregistering => ModuleStage::Deregistering,
            ModuleState::Drained => ModuleStage::Drained,
        }
    }

    /// Goes to another state.
    pub fn go(&mut self, next: ModuleState) {
        let before = self.stage();
        self.state = next;
        self.taken.module(before, self.stage());
    }

    /// Its registration has offered it to all its peers.
    pub fn proposed(&mut self) {
        let before = self.stage();
        self.proposing = false;
        if self.state == ModuleState::Active {
            self.taken.module(before, self.stage());
        }
    }

    /// Goes to `Drained` if nothing is left; then the event that its waiter waits for.
    pub fn drain(&mut self) -> Option<Arc<P::Event>> {
        let empty = self.proposals == 0 && self.bindings.is_empty();
        if self.state == ModuleState::Deregistering && empty {
            self.go(ModuleState::Drained);
            return Some(Arc::clone(&self.drained));
        }
        None
    }
}

/// The state of a binding, in the order of its life; see the [module documentation](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BindingState {
    /// Created, its attach has not started.
    Proposed,
    /// `ClientAttachProvider` is on the stack.
    ClientAttaching,
    /// `ProviderAttachClient` is on the stack.
    ProviderAttaching,
    /// The provider accepted, the client has still to return.
    ProviderAccepted,
    /// Both sides may call.
    Attached,
    /// The sides stop calling.
    Detaching,
    /// Cleanup callbacks are on the stack.
    CleaningUp,
}

/// How far one side of a binding is with its detach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SideState {
    /// Its detach callback has not been entered.
    Idle,
    /// It completed before its detach callback was entered.
    PreCompleted,
    /// Its detach callback is on the stack; whether it completed meanwhile.
    InCallback {
        /// The completion came while the callback was on the stack, or before it.
        completed: bool,
    },
    /// It answered `STATUS_PENDING` and has not completed.
    Pending,
    /// It has stopped calling its peer.
    Done,
}

impl SideState {
    const fn stage(self) -> SideStage {
        match self {
            Self::Idle => SideStage::Idle,
            Self::PreCompleted => SideStage::PreCompleted,
            Self::InCallback { completed: false } => SideStage::InCallback,
            Self::InCallback { completed: true } => SideStage::Completed,
            Self::Pending => SideStage::Pending,
            Self::Done => SideStage::Done,
        }
    }
}

/// One side of a binding.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    pub context: Context,
    pub state: SideState,
    /// Whether its detach callback is to be called; if not, it counts as done when the detach begins.
    pub detaches: bool,
    /// Whether its cleanup callback is to be called, if it has one.
    pub cleans_up: bool,
    /// Its cleanup has returned, and its module need not wait for the rest.
    pub released: bool,
}

impl Side {
    const NEW: Self = Self {
        context: Context::NULL,
        state: SideState::Idle,
        detaches: true,
        cleans_up: true,
        released: false,
    };
}

/// A pair of one client and one provider module.
pub(crate) struct Binding {
    pub info: BindingInfo,
    pub state: BindingState,
    pub client: Side,
    pub provider: Side,
    /// The thread on which the attach runs.
    pub attaching: Option<ThreadId>,
    /// What `NmrClientAttachProvider` returned last.
    pub attach_status: Option<i32>,
    /// The module whose deregistration started the detach.
    pub initiator: Role,
    /// Detach callbacks that have still to return, under a policy that waits for them.
    pub callbacks_left: usize,
    /// Whether the client failed after the provider accepted.
    pub half: bool,
    /// Where its transitions are counted.
    pub taken: Arc<Transitions>,
    /// The side whose detach callback comes when the other side is done.
    pub next: Option<Role>,
}

impl Binding {
    pub fn new(info: BindingInfo, taken: Arc<Transitions>) -> Self {
        taken.binding(BindingStage::Absent, BindingStage::Proposed);
        Self {
            info,
            state: BindingState::Proposed,
            client: Side::NEW,
            provider: Side::NEW,
            attaching: None,
            attach_status: None,
            initiator: Role::Client,
            callbacks_left: 0,
            half: false,
            taken,
            next: None,
        }
    }

    const fn stage(&self) -> BindingStage {
        match self.state {
            BindingState::Proposed => BindingStage::Proposed,
            BindingState::ClientAttaching => BindingStage::ClientAttaching,
            BindingState::ProviderAttaching => BindingStage::ProviderAttaching,
            BindingState::ProviderAccepted => BindingStage::ProviderAccepted,
            BindingState::Attached => BindingStage::Attached,
            BindingState::Detaching if self.half => BindingStage::HalfAttached,
            BindingState::Detaching => BindingStage::Detaching,
            BindingState::CleaningUp => BindingStage::CleaningUp,
        }
    }

    /// Goes to another state.
    pub fn go(&mut self, next: BindingState) {
        let before = self.stage();
        self.state = next;
        self.taken.binding(before, self.stage());
    }

    /// Moves one side to another state.
    pub fn move_side(&mut self, role: Role, next: SideState) {
        let side = self.side_mut(role);
        let before = core::mem::replace(&mut side.state, next);
        self.taken.side(before.stage(), next.stage());
    }

    /// The binding is taken out of the registrar.
    pub fn gone(&self) {
        self.taken.binding(self.stage(), BindingStage::Gone);
    }

    pub const fn side(&self, role: Role) -> &Side {
        match role {
            Role::Client => &self.client,
            Role::Provider => &self.provider,
        }
    }

    pub const fn side_mut(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Client => &mut self.client,
            Role::Provider => &mut self.provider,
        }
    }

    /// Starts the detach; the only way into `Detaching`.
    pub fn begin_detach(&mut self, initiator: Role, policy: &Policy) {
        self.go(BindingState::Detaching);
        self.initiator = initiator;
        for role in [Role::Client, Role::Provider] {
            let side = self.side_mut(role);
            if policy.skip_null_contexts && side.context.is_null() {
                side.detaches = false;
                side.cleans_up = false;
            }
            if !side.detaches {
                self.move_side(role, SideState::Done);
            } else if policy.cleanup_after_callbacks {
                self.callbacks_left += 1;
            }
        }
    }

    /// As [`Self::begin_detach`], for a client that failed after its provider accepted.
    pub fn begin_half_detach(&mut self, policy: &Policy) {
        self.client.detaches = policy.failed_client == FailedClient::Detached;
        self.half = true;
        self.client.cleans_up = policy.failed_client != FailedClient::Left;
        self.begin_detach(Role::Client, policy);
    }

    /// Goes to `CleaningUp` if both sides are done: true exactly once.
    pub fn begin_cleanup(&mut self) -> bool {
        let done = self.client.state == SideState::Done && self.provider.state == SideState::Done;
        if self.state == BindingState::Detaching && done && self.callbacks_left == 0 {
            self.go(BindingState::CleaningUp);
            return true;
        }
        false
    }
}
