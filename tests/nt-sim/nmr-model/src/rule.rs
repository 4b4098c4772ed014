//! The rules of the NMR contract, as one table.
//!
//! The numbers are fixed: reports, tests and documentation name a rule by its number. Section by section:
//! arguments of a registration (1-8), attach (9-22), calls (23-28), the end of a detach (29-40),
//! deregistration and unload (41-52).

use core::fmt;

/// How bad the breach of a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Poor style, or something to look at: real systems tolerate it.
    Lint,
    /// Against the documentation, often survives.
    Warning,
    /// Undefined behaviour, a crash or a hang on a real system.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lint => "lint",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What it takes to see a rule broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The registrar and the simulated kernel around it see every breach that happens.
    Simulator,
    /// Calls between the modules have to be seen: the NPI gives a builder of shadow dispatch tables.
    Probe,
    /// Reads of dead memory have to be seen, as `AddressSanitizer` does; the simulator sees writes.
    AddressSanitizer,
    /// Nobody can see it for certain: what is reported is a hint, with the facts that led to it.
    Advisory,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Simulator => "simulator",
            Self::Probe => "probe",
            Self::AddressSanitizer => "sanitizer",
            Self::Advisory => "advisory",
        })
    }
}

macro_rules! rules {
    ($($number:literal $name:ident = $severity:ident, $class:ident, $title:literal, $instead:literal;)*) => {
        /// A rule of the NMR contract; its discriminant is its number.
        #[allow(clippy::doc_markdown, reason = "the titles are plain text, shown in reports as well")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Rule { $(#[doc = $title] $name = $number,)* }

        impl Rule {
            /// Every rule, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// How bad a breach is; a [`Violation`](crate::Violation) may be judged milder.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it takes to see it broken.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
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
    1 CharacteristicsHeader = Error, Simulator,
        "Characteristics carry Version 0 and their own Length",
        "set Version to 0 and Length to the size of the structure";
    2 CharacteristicsPointers = Error, Simulator,
        "Attach and detach callbacks and the NPIID are present, the instance has its Size",
        "fill in both callbacks, NpiId and the Size of the registration instance";
    3 ModuleIdentity = Warning, Simulator,
        "A module id is present, with its Length and a known Type",
        "point ModuleId to an NPI_MODULEID of type MIT_GUID or MIT_IF_LUID";
    4 InstanceVersion = Lint, Advisory,
        "The Version of a registration instance is 0 unless the NPI gives it a meaning",
        "set Version to 0, or have the NPI say what it means";
    5 RegisterContext = Error, Simulator,
        "A module registers at PASSIVE_LEVEL, without a lock that its callbacks take",
        "register at PASSIVE_LEVEL with no lock held: attach callbacks run inside the call";
    6 CharacteristicsLifetime = Error, Simulator,
        "Characteristics and what they point to stay in place, resident and unchanged until the wait has returned",
        "keep them in non-paged memory that nobody writes to until the wait returns";
    7 HandleOverwritten = Error, Simulator,
        "The storage of a registration handle is not used for another one before the wait",
        "give each registration storage of its own for its handle";
    8 HandleNeverGiven = Error, Simulator,
        "A registration handle is used only if the registration succeeded",
        "remember whether the registration succeeded, and undo only what was done";
    9 AttachOutsideCallback = Error, Simulator,
        "NmrClientAttachProvider is called inside ClientAttachProvider for that binding, on its thread, at PASSIVE_LEVEL",
        "call NmrClientAttachProvider from the ClientAttachProvider callback that received the handle, with no spin lock held";
    10 AttachedTwice = Error, Simulator,
        "NmrClientAttachProvider is not called again after it succeeded",
        "return STATUS_SUCCESS after a success; only a failed attempt may be repeated";
    11 NotABindingHandle = Error, Simulator,
        "NmrClientAttachProvider gets the binding handle that ClientAttachProvider received",
        "pass the callback's own binding handle on; keep client, provider and binding handles apart";
    12 StatusNotPassedOn = Error, Simulator,
        "ClientAttachProvider returns the status of the last NmrClientAttachProvider",
        "return exactly that status; to decline without attaching, return STATUS_NOINTERFACE; do what can fail before the call";
    13 AttachPending = Error, Simulator,
        "An attach callback never returns STATUS_PENDING, nor another success code than STATUS_SUCCESS",
        "return STATUS_SUCCESS or an error status";
    14 OutputsNotWritten = Error, Simulator,
        "ProviderAttachClient writes both outputs when it succeeds",
        "write the binding context and the dispatch table, NULL where there is none";
    15 CallBeforeAttached = Error, Probe,
        "Nobody calls a peer before the attach has succeeded: the provider before its callback returned, the client before NmrClientAttachProvider did",
        "make the first call after the attach has succeeded";
    16 ClientNotReady = Error, Probe,
        "A client is ready for calls when it calls NmrClientAttachProvider",
        "initialise everything that the dispatch functions use before NmrClientAttachProvider";
    17 RejectedContext = Warning, Simulator,
        "The context of a failed NmrClientAttachProvider is freed by the client, and not touched after that",
        "free the context when NmrClientAttachProvider fails: no detach or cleanup callback comes for it";
    18 SharedContext = Error, Simulator,
        "Each live binding of a module has a context of its own",
        "allocate one context per binding: cleanup runs once for each of them";
    19 NoCleanup = Warning, Simulator,
        "A module with contexts in allocated memory has a cleanup callback",
        "register a cleanup callback and free the context there";
    20 PeerInstanceKept = Error, AddressSanitizer,
        "The registration instance of a peer is read only while that peer is registered",
        "copy what is needed of it inside the attach callback";
    21 LockAcrossAttach = Warning, Simulator,
        "No lock is held across NmrClientAttachProvider that own detach, cleanup or dispatch functions take",
        "release the lock before NmrClientAttachProvider; reserve the place first and give it back if the attach fails";
    22 HandleReadEarly = Lint, Simulator,
        "The registration handle is not used before the registration has returned",
        "use the binding handle in attach callbacks; the registration handle may not be written yet";
    23 CallAfterDetachBegan = Error, Probe,
        "No new call is made to the peer after the own detach callback was entered",
        "close the way to the peer first thing in the detach callback";
    24 CallAfterDetach = Error, Probe,
        "No call is made to the peer after the own detach was reported",
        "report the detach after the last call to the peer has returned";
    25 CallsInFlight = Error, Probe,
        "A detach callback returns STATUS_SUCCESS only if no own call to the peer is in flight",
        "return STATUS_PENDING, and complete the detach when the last call has returned";
    26 PendingForNothing = Warning, Probe,
        "A detach callback returns STATUS_PENDING only if something will complete the detach",
        "return STATUS_SUCCESS if no own call to the peer is in flight";
    27 WrongPeerContext = Error, Probe,
        "A call passes the peer's context of this binding",
        "keep the peer's context and dispatch table together, per binding";
    28 CallAfterDrain = Error, Probe,
        "No call is made into a module that has deregistered completely",
        "end all use of a binding in its detach";
    29 NeverCompleted = Error, Simulator,
        "A detach that is pending is completed",
        "have the last call that returns complete the detach; allocate what that takes at attach";
    30 CompletedTwice = Error, Simulator,
        "A side reports the end of its detach exactly once",
        "complete only after the detach callback returned STATUS_PENDING, and once";
    31 CompletedEarly = Warning, Simulator,
        "A side completes its detach after the detach callback was entered",
        "wait for the detach callback before completing";
    32 CompletedInside = Lint, Simulator,
        "A side does not complete its detach inside its detach callback",
        "return STATUS_SUCCESS from the callback instead";
    33 WrongHandleCompleted = Error, Simulator,
        "A detach is completed with the own binding handle, by the function of the own side",
        "keep the binding handle of the attach callback, and complete with that";
    34 DetachStatus = Error, Simulator,
        "A detach callback returns STATUS_SUCCESS or STATUS_PENDING",
        "return one of these two";
    35 BlockingInDetach = Error, Simulator,
        "Detach and cleanup callbacks do only what is legal at DISPATCH_LEVEL",
        "return STATUS_PENDING and leave what blocks to a thread or work item that was made at attach";
    36 ContextAfterCleanup = Error, AddressSanitizer,
        "A binding context is not touched after its cleanup",
        "make the call that completes the detach, or the return of STATUS_SUCCESS, the last use of the context";
    37 ContextFreedEarly = Error, Simulator,
        "A binding context is not freed between a successful attach and its cleanup",
        "free it in the cleanup callback: the peer may call with it until both sides have detached";
    38 ContextLeaked = Warning, Simulator,
        "A binding context is freed by its cleanup callback",
        "free the context in the cleanup callback: nobody gets to see it afterwards";
    39 PeerInCleanup = Error, Probe,
        "A cleanup callback does not call the peer, nor use its context or dispatch table",
        "do what concerns the peer before the own detach is reported";
    40 CallbackUnbalanced = Error, Simulator,
        "A callback returns at the IRQL, with the locks and in the critical regions of its entry",
        "undo on every path what the callback has raised, taken or entered";
    41 DeregisteredTwice = Error, Simulator,
        "A module is deregistered once, with its own handle",
        "deregister once with the registration handle of the same kind, then wait";
    42 WaitMisused = Error, Simulator,
        "The wait comes after the deregistration, once, and ends the use of the handle",
        "deregister, then wait once; the handle is dead after that";
    43 WaitInCallback = Error, Simulator,
        "A module is waited for below DISPATCH_LEVEL, outside its callbacks and the calls that its drain waits for",
        "wait from a thread that runs no callback and no call of this module";
    44 WaitWithLock = Error, Simulator,
        "No lock is held during the wait that callbacks or calls of the module take",
        "release every lock before the wait";
    45 NoWait = Error, Simulator,
        "A deregistration is waited for before anything of the module goes away",
        "call the wait function after each deregistration that returned STATUS_PENDING";
    46 LiveAtUnload = Error, Simulator,
        "Nothing of a module is alive when its driver is unloaded",
        "deregister every module, wait for it, and join threads before the unload routine returns";
    47 PendingTakenForDone = Warning, Advisory,
        "STATUS_PENDING from a deregistration means to wait, although NT_SUCCESS says yes to it",
        "compare with STATUS_PENDING, and wait";
    48 FailedEntryLeft = Lint, Simulator,
        "A DriverEntry that fails deregisters and waits as well",
        "run the same undo as in the unload routine, which is not called after a failure";
    49 AttachedToItself = Lint, Advisory,
        "A driver with both sides of one NPI looks at the module id before it attaches to itself",
        "compare the peer's ModuleId with the own one by NmrIsEqualNpiModuleId, and decline";
    50 GlobalBindingState = Warning, Advisory,
        "What belongs to a binding is kept per binding",
        "give each binding a context of its own and keep its state there";
    51 AllocationInDetach = Lint, Simulator,
        "What a detach needs is allocated at attach",
        "allocate at attach: a detach cannot fail";
    52 ClientDrainedFirst = Lint, Advisory,
        "A driver that is a provider above and a client below drains the provider first",
        "deregister and wait for the provider first: it is where the demand comes from";
}

impl Rule {
    /// The number of the rule, from 1.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NMR rule {}", self.number())
    }
}
