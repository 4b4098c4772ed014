//! What a registrar tells the machine around it: callbacks, transitions, and broken rules.

use core::fmt;

use crate::{
    Work,
    state::{BindingInfo, ModuleInfo, Subject},
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
    pub const fn name(self, role: crate::Role) -> &'static str {
        match (self, role) {
            (Self::Attach, crate::Role::Client) => "ClientAttachProvider",
            (Self::Attach, crate::Role::Provider) => "ProviderAttachClient",
            (Self::Detach, crate::Role::Client) => "ClientDetachProvider",
            (Self::Detach, crate::Role::Provider) => "ProviderDetachClient",
            (Self::Cleanup, crate::Role::Client) => "ClientCleanupBindingContext",
            (Self::Cleanup, crate::Role::Provider) => "ProviderCleanupBindingContext",
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

/// How bad the breach of a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Poor style that real systems tolerate.
    Lint,
    /// Against the documentation, often survives.
    Warning,
    /// Undefined behaviour, a crash or a hang on a real system.
    Error,
}

macro_rules! rules {
    ($($(#[doc = $doc:literal])* $name:ident = $severity:ident, $title:literal, $instead:literal;)*) => {
        /// A rule of the NMR contract that the registrar itself can see broken.
        #[allow(clippy::doc_markdown, reason = "the titles are plain text, shown in reports as well")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule { $(#[doc = $title] $name,)* }

        impl Rule {
            /// How bad a breach is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// The rule in one sentence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What is legal instead.
            #[must_use]
            pub const fn instead(self) -> &'static str {
                match self { $(Self::$name => $instead,)* }
            }
        }
    };
}

rules! {
    CharacteristicsHeader = Error, "Characteristics carry Version 0 and their own Length",
        "set Version to 0 and Length to the size of the structure";
    CharacteristicsPointers = Error, "Attach and detach callbacks and the NPIID are present, the instance has its Size",
        "fill in both callbacks, NpiId and the Size of the registration instance";
    ModuleIdentity = Warning, "A module id is present, with its Length and a known Type",
        "point ModuleId to an NPI_MODULEID of type MIT_GUID or MIT_IF_LUID";
    CharacteristicsChanged = Error, "Characteristics stay as they were until the wait has returned",
        "keep the characteristics and what they point to unchanged in memory that NMR may read until the wait returns";
    Irql = Error, "Each function is called at or below its documented IRQL",
        "register, attach and wait at PASSIVE_LEVEL; deregister and complete at DISPATCH_LEVEL or below";
    NoSuchHandle = Error, "A handle is one that the registrar gave out",
        "use a registration handle only if the registration succeeded, a binding handle only as it was given";
    AttachOutsideCallback = Error, "NmrClientAttachProvider is called inside ClientAttachProvider for that binding, on its thread",
        "call NmrClientAttachProvider from the ClientAttachProvider callback that received the handle";
    AttachedTwice = Error, "NmrClientAttachProvider is not called again after it succeeded",
        "return STATUS_SUCCESS after a success; only a failed attempt may be repeated";
    WrongHandleKind = Error, "Each function takes the handle of its own kind",
        "keep client, provider and binding handles apart";
    StatusNotPassedOn = Error, "ClientAttachProvider returns the status of the last NmrClientAttachProvider",
        "return exactly the status that NmrClientAttachProvider returned";
    SuccessWithoutAttach = Error, "ClientAttachProvider succeeds only after NmrClientAttachProvider did",
        "return STATUS_NOINTERFACE to decline a provider";
    FailureAfterAttach = Error, "ClientAttachProvider does not fail after NmrClientAttachProvider succeeded",
        "do everything that can fail before the call to NmrClientAttachProvider";
    DeclineCode = Lint, "A client that declines a healthy peer returns STATUS_NOINTERFACE",
        "keep other codes for peers whose data are invalid, and for lack of memory";
    AttachPending = Error, "An attach callback never returns STATUS_PENDING",
        "return STATUS_SUCCESS or an error status";
    OutputsNotWritten = Error, "ProviderAttachClient writes both outputs when it succeeds",
        "write the binding context and the dispatch table, NULL where there is none";
    CompletedTwice = Error, "A side reports the end of its detach exactly once",
        "complete only after the detach callback returned STATUS_PENDING, and once";
    CompletedEarly = Warning, "A side completes its detach after the detach callback was entered",
        "wait for the detach callback before completing";
    CompletedInside = Lint, "A side does not complete its detach inside its detach callback",
        "return STATUS_SUCCESS from the callback instead";
    DetachStatus = Error, "A detach callback returns STATUS_SUCCESS or STATUS_PENDING",
        "return one of these two";
    DeregisteredTwice = Error, "A module is deregistered once",
        "deregister once, then wait";
    WaitMisused = Error, "The wait comes after the deregistration, once",
        "deregister, then wait once; the handle is dead after that";
    WaitInCallback = Error, "A module is not waited for inside one of its own callbacks",
        "wait from a thread that runs no callback of this module";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// The breach of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that was broken.
    pub rule: Rule,
    /// Whose doing it was, or on what.
    pub subject: Subject,
    /// What was seen.
    pub what: &'static str,
}

/// The machine around a registrar.
///
/// The methods are called without any lock of the registrar held.
pub trait Observer: Send + Sync {
    /// The owner of the code that runs on this thread: who becomes the owner of a module that
    /// registers now.
    fn current_owner(&self) -> Owner;

    /// Runs `callback` of `module`; the machine puts its own frame around it.
    fn callback<R>(&self, module: ModuleInfo, kind: CallbackKind, callback: impl FnOnce() -> R) -> R;

    /// Tells of a transition.
    fn event(&self, event: &Event);

    /// Tells of a broken rule.
    fn violation(&self, violation: &Violation);

    /// Whether the memory for the registration of a module can be had; a machine that injects
    /// faults says no.
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
}
