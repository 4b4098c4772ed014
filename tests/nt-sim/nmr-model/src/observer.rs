//! What a registrar tells the machine around it: callbacks, transitions, and broken rules.

use core::ffi::c_void;

use nmr::raw::NPI_REGISTRATION_INSTANCE;

use crate::{
    Work,
    rule::{Rule, Severity},
    state::{BindingId, BindingInfo, ModuleId, ModuleInfo, Role, Subject},
};

/// Who owns a module: the machine's identity of the driver that registered it.
pub type Owner = usize;

/// Which callback of a module runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackKind {
    /// `ClientAttachProvider` or `ProviderAttachClient`.
    Attach,
    /// `ClientDetachProvider` or `ProviderDetachClient`.
    Detach,
    /// `ClientCleanupBindingContext` or `ProviderCleanupBindingContext`.
    Cleanup,
}

impl CallbackKind {
    /// The documented name of this callback of `role`.
    #[must_use]
    pub const fn name(self, role: Role) -> &'static str {
        match (self, role) {
            (Self::Attach, Role::Client) => "ClientAttachProvider",
            (Self::Attach, Role::Provider) => "ProviderAttachClient",
            (Self::Detach, Role::Client) => "ClientDetachProvider",
            (Self::Detach, Role::Provider) => "ProviderDetachClient",
            (Self::Cleanup, Role::Client) => "ClientCleanupBindingContext",
            (Self::Cleanup, Role::Provider) => "ProviderCleanupBindingContext",
        }
    }
}

/// A transition of a module or of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A module was registered; proposals to its peers follow.
    Registered(ModuleInfo),
    /// A client is about to be offered a provider.
    Proposed(BindingInfo),
    /// The provider accepted; the client has still to return.
    Accepted(BindingInfo),
    /// A proposal ended without a binding.
    Rejected(BindingInfo, i32),
    /// Both sides are attached.
    Attached(BindingInfo),
    /// The detach of a binding began.
    Detaching(BindingInfo),
    /// This module's side of the binding has stopped calling its peer.
    SideDetached(BindingInfo, ModuleInfo),
    /// Both cleanups have run; the binding is gone.
    CleanedUp(BindingInfo),
    /// A module began to deregister.
    Deregistering(ModuleInfo),
    /// The last binding of a deregistering module is gone.
    Drained(ModuleInfo),
    /// The wait for the deregistration returned; the handle is closed.
    Closed(ModuleInfo),
}

/// A call of a driver that a later breach may refer to: it set up what is broken then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// The registration of a module.
    Registered(ModuleId),
    /// The deregistration of a module.
    Deregistered(ModuleId),
    /// The wait that closed the handle of a module.
    Waited(ModuleId),
    /// The attach of a side: `NmrClientAttachProvider` for the client, `ProviderAttachClient` for the provider.
    Attached(BindingId, Role),
    /// The detach callback of a side.
    Detached(BindingId, Role),
    /// The completion of a side's detach.
    Completed(BindingId, Role),
}

/// The breach of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that was broken.
    pub rule: Rule,
    /// How bad it is here.
    pub severity: Severity,
    /// Whose doing it was, or on what.
    pub subject: Subject,
    /// What was seen.
    pub what: &'static str,
    /// The call that set it up, if there was one.
    pub since: Option<Moment>,
}

impl Violation {
    /// A breach by what the calling thread does.
    #[must_use]
    pub fn new(rule: Rule, subject: impl Into<Subject>, what: &'static str) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            subject: subject.into(),
            what,
            since: None,
        }
    }

    /// Names the call that set it up.
    #[must_use]
    pub const fn since(mut self, moment: Moment) -> Self {
        self.since = Some(moment);
        self
    }

    /// Judges it otherwise than the table does.
    #[must_use]
    pub const fn at(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// A callback of a driver that is about to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The binding that it is about.
    pub binding: BindingInfo,
    /// Which side's callback it is.
    pub role: Role,
    /// Which one.
    pub kind: CallbackKind,
    /// Where its code begins.
    pub routine: usize,
    /// The context that it gets: of the registration for an attach, else of the binding.
    pub context: usize,
}

impl Callback {
    /// The module whose callback it is.
    #[must_use]
    pub const fn module(&self) -> ModuleInfo {
        self.binding.side(self.role)
    }

    /// The documented name of the callback.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind.name(self.role)
    }
}

/// What the memory that a driver lends to the registrar and to its peers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lent {
    /// The characteristics with the registration instance inside.
    Characteristics,
    /// The NPIID.
    NpiId,
    /// The module id.
    ModuleId,
    /// What the NPI defines; its size is known to the NPI only.
    NpiData,
    /// The context of the registration, of unknown size.
    RegistrationContext,
    /// The context of a binding, of unknown size.
    BindingContext,
    /// The context of an attach that failed: its client's to free, and nobody else's any more.
    RefusedContext,
    /// The storage of the registration handle.
    Handle,
}

impl Lent {
    /// Whether it is the context of a binding, or would have become one.
    #[must_use]
    pub const fn is_context(self) -> bool {
        matches!(self, Self::BindingContext | Self::RefusedContext)
    }

    /// What a person calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Characteristics => "characteristics",
            Self::NpiId => "NPIID",
            Self::ModuleId => "module id",
            Self::NpiData => "NPI-specific characteristics",
            Self::RegistrationContext => "registration context",
            Self::BindingContext => "binding context",
            Self::RefusedContext => "context of an attach that failed",
            Self::Handle => "registration handle",
        }
    }
}

/// Memory of a driver that has to stay as it is: that of a module until its wait has returned, that of a
/// side until its cleanup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loan {
    /// The module or side that lends it.
    pub subject: Subject,
    /// What it is.
    pub what: Lent,
    /// Where it begins.
    pub start: usize,
    /// Its size in bytes; 1 if it is not known.
    pub size: usize,
    /// Whether the module has a cleanup callback, which gives a binding context back.
    pub has_cleanup: bool,
}

/// The machine around a registrar.
///
/// The methods are called without any lock of the registrar held, on the thread that does what they tell of.
/// Those with a body are for a machine that looks into the memory and the calls of drivers.
pub trait Observer: Send + Sync {
    /// The owner of the code that runs on this thread: who becomes the owner of a module that
    /// registers now.
    fn current_owner(&self) -> Owner;

    /// Runs a callback; the machine puts its own frame around it.
    fn callback<R>(&self, callback: &Callback, run: impl FnOnce() -> R) -> R;

    /// Tells of a transition.
    fn event(&self, event: &Event);

    /// Tells of a broken rule.
    fn violation(&self, violation: &Violation);

    /// The calling thread is in a call that a later violation may refer to.
    fn mark(&self, _moment: Moment) {}

    /// Tells of memory that a driver lends from now on. It ends with [`Event::Closed`] for a module, and
    /// with the cleanup of the binding for a side.
    fn lend(&self, _loan: &Loan) {}

    /// The registration instance that peers of `module` are shown: its own, or a copy that the machine keeps
    /// until [`Event::Closed`].
    ///
    /// # Safety
    ///
    /// `instance` is the valid instance of the module.
    unsafe fn show(
        &self,
        _module: ModuleInfo,
        instance: *const NPI_REGISTRATION_INSTANCE,
    ) -> *const NPI_REGISTRATION_INSTANCE {
        instance
    }

    /// Whether what a module has lent is still there, so that it may be looked at.
    fn is_sound(&self, _module: ModuleInfo) -> bool {
        true
    }

    /// The calling thread is about to wait for the end of a module. A machine that knows that the wait
    /// cannot end says no.
    fn waits(&self, _module: ModuleInfo) -> bool {
        true
    }

    /// Whether the memory for the registration of a module, or for an attachment, can be had; a
    /// machine that injects faults says no.
    fn allocate(&self) -> bool {
        true
    }

    /// Runs `callback` at this IRQL, which is higher than the thread's. A machine whose registrar never
    /// raises it ([`crate::Policy::teardown_irql`]) need not know how.
    fn raised<R>(&self, irql: u8, callback: impl FnOnce() -> R) -> R {
        let _ = irql;
        callback()
    }

    /// Whether normal kernel APCs are held off on the calling thread at `PASSIVE_LEVEL`.
    fn in_critical_region(&self) -> bool {
        false
    }

    /// Has a worker thread call [`crate::Registrar::run`] with `work`, and returns without waiting for it.
    /// A machine without workers says no, and the registrar does it on the calling thread.
    fn queue(&self, work: Work) -> bool {
        let _ = work;
        false
    }

    /// A dispatch table passes from the side of `whose` to its peer: what the peer gets. The machine may put a
    /// table of the same layout in its place, to see the calls.
    ///
    /// # Safety
    ///
    /// `dispatch` is NULL or a table of this NPI.
    unsafe fn dispatch(
        &self,
        _binding: &BindingInfo,
        _npi: [u8; 16],
        _whose: Role,
        _context: *mut c_void,
        dispatch: *const c_void,
    ) -> *const c_void {
        dispatch
    }
}
