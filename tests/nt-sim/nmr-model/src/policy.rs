//! Choices where the documentation leaves the registrar's behaviour open.
//!
//! A driver may assume nothing about any of them. Each is a switch with a default, which is what is
//! known, or thought likely, of the real registrar:
//!
//! | open question | switch | default |
//! |---|---|---|
//! | in which order a binding's two detach callbacks come | [`Policy::detach_order`] | the peer of whoever deregisters, then the other |
//! | whether the second waits for the first side's completion, or they run at once | [`Policy::detach_calls`] | neither: one after the other, without waiting |
//! | at which IRQL detach and cleanup run | [`Policy::teardown_irql`] | at that of the deregistration or completion |
//! | whether detach and cleanup are called for a context that is NULL | [`Policy::skip_null_contexts`] | they are |
//! | when the registration handle is written | [`Policy::handle_before_attach`] | after the attach callbacks |
//! | what follows for a client that fails after its provider accepted | [`Policy::failed_client`] | nothing: only the provider is detached |
//! | whether a pair is still offered when one of the two has begun to deregister | [`Policy::offer_after_deregister`] | no |
//! | whether the peers' cleanups are over when the wait returns | [`Policy::wait_covers_peer_cleanup`] | yes |
//! | whether the attach callbacks of one module may run at once | [`Policy::serial_attach`] | yes |
//! | whether a wait is legal at `APC_LEVEL` or in a critical region | [`Policy::wait_at_passive_only`] | yes, by the letter |
//! | the order of the two cleanups, the order of the peers | [`Policy::provider_cleanup_first`], [`Policy::newest_peer_first`] | client first, oldest first |
//! | the thread of attach and cleanup callbacks | [`Policy::attach_on_worker`], [`Policy::cleanup_on_worker`] | of whoever registers, or completes last |
//!
//! Two more are *hostile*: no registrar is known to do this, and a driver that survives it depends on
//! nothing: [`Policy::cleanup_after_callbacks`] switched off, and [`Policy::early_detach`].
//!
//! What a registrar does for a module that breaks the contract (returns another status than
//! `NmrClientAttachProvider`'s, `STATUS_PENDING` from attach, nonsense from detach) has no switch,
//! except where a driver can come to it by a documented path: it is reported, and no correct driver can
//! tell the difference. Nor have the parameters of bug check 0x125: there is none here.

/// In which order the two detach callbacks of a binding are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetachOrder {
    /// The module that did not start the detach first.
    #[default]
    PeerFirst,
    /// The module that started the detach first.
    InitiatorFirst,
    /// The client first, whoever started it.
    ClientFirst,
    /// The provider first, whoever started it.
    ProviderFirst,
}

/// How the two detach callbacks of a binding go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetachCalls {
    /// One after the other on the thread that started the detach; the second is called although the
    /// first side is still pending.
    #[default]
    Together,
    /// The second is called when the first side has stopped calling, on the thread that says so.
    InTurn,
    /// Both at once, one of them on a worker.
    Parallel,
}

/// The IRQL of detach and cleanup callbacks, all of which NMR's documentation allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TeardownIrql {
    /// That of the thread which deregisters or completes.
    #[default]
    Caller,
    /// `APC_LEVEL` at least.
    Apc,
    /// `DISPATCH_LEVEL`.
    Dispatch,
}

impl TeardownIrql {
    /// The lowest IRQL at which the callbacks run.
    #[must_use]
    pub const fn at_least(self) -> u8 {
        match self {
            Self::Caller => 0,
            Self::Apc => 1,
            Self::Dispatch => 2,
        }
    }
}

/// What NMR does for the client's half of a binding when `ClientAttachProvider` fails although the
/// provider has accepted. The provider is detached and cleaned up in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedClient {
    /// Nothing: the client frees its context.
    #[default]
    Left,
    /// `ClientCleanupBindingContext` is called.
    CleanedUp,
    /// `ClientDetachProvider` is called, and `ClientCleanupBindingContext`.
    Detached,
}

/// How this registrar behaves where drivers may not assume anything. The head of its source file has the
/// table of open questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, each a question of its own"
)]
pub struct Policy {
    /// The order of the two detach callbacks.
    pub detach_order: DetachOrder,
    /// Whether the two detach callbacks wait for each other.
    pub detach_calls: DetachCalls,
    /// The IRQL of detach and cleanup callbacks.
    pub teardown_irql: TeardownIrql,
    /// Whether a side whose binding context is NULL counts as detached and cleaned up without its
    /// callbacks.
    pub skip_null_contexts: bool,
    /// Whether the registration handle is written before the attach callbacks run.
    pub handle_before_attach: bool,
    /// What happens to a client that fails after its provider accepted.
    pub failed_client: FailedClient,
    /// Whether a proposal that was not started when one of its modules deregistered is still
    /// offered; otherwise it is dropped silently.
    pub offer_after_deregister: bool,
    /// Whether the wait for a module returns only when its peers' cleanup callbacks have returned as
    /// well as its own.
    pub wait_covers_peer_cleanup: bool,
    /// Whether an attach callback of a module waits until another one of the same module has returned.
    pub serial_attach: bool,
    /// Whether a wait at `APC_LEVEL`, or in a critical region, is reported.
    pub wait_at_passive_only: bool,
    /// Whether the provider's cleanup runs before the client's.
    pub provider_cleanup_first: bool,
    /// Whether peers are offered, and detached, in the reverse order of their registration.
    pub newest_peer_first: bool,
    /// Whether pairs are offered on a worker, so that a registration returns before they are attached.
    pub attach_on_worker: bool,
    /// Whether cleanups run on a worker, so that a completion returns before they have.
    pub cleanup_on_worker: bool,
    /// Whether cleanup waits until both detach callbacks have returned. Without this, a completion
    /// from inside or beside a detach callback may clean up while that callback is on the stack.
    pub cleanup_after_callbacks: bool,
    /// Whether a binding is detached although `ClientAttachProvider` is still on the stack, as soon as
    /// the provider has accepted.
    pub early_detach: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            detach_order: DetachOrder::default(),
            detach_calls: DetachCalls::default(),
            teardown_irql: TeardownIrql::default(),
            skip_null_contexts: false,
            handle_before_attach: false,
            failed_client: FailedClient::default(),
            offer_after_deregister: false,
            wait_covers_peer_cleanup: true,
            serial_attach: false,
            wait_at_passive_only: false,
            provider_cleanup_first: false,
            newest_peer_first: false,
            attach_on_worker: false,
            cleanup_on_worker: false,
            cleanup_after_callbacks: true,
            early_detach: false,
        }
    }
}

/// A deviation from the default: what it is called in reports, and how it is made.
pub type Switch = (&'static str, fn(&mut Policy));

/// Every deviation from the default.
pub const SWITCHES: [Switch; 21] = [
    ("detach: client first", |p| {
        p.detach_order = DetachOrder::ClientFirst;
    }),
    ("detach: provider first", |p| {
        p.detach_order = DetachOrder::ProviderFirst;
    }),
    ("detach: initiator first", |p| {
        p.detach_order = DetachOrder::InitiatorFirst;
    }),
    ("detach: in turn", |p| p.detach_calls = DetachCalls::InTurn),
    ("detach: parallel", |p| p.detach_calls = DetachCalls::Parallel),
    ("detach and cleanup at APC_LEVEL", |p| {
        p.teardown_irql = TeardownIrql::Apc;
    }),
    ("detach and cleanup at DISPATCH_LEVEL", |p| {
        p.teardown_irql = TeardownIrql::Dispatch;
    }),
    ("NULL contexts skipped", |p| p.skip_null_contexts = true),
    ("handle before attach", |p| p.handle_before_attach = true),
    ("failed client cleaned up", |p| {
        p.failed_client = FailedClient::CleanedUp;
    }),
    ("failed client detached", |p| {
        p.failed_client = FailedClient::Detached;
    }),
    ("offer after deregister", |p| p.offer_after_deregister = true),
    ("wait without peer cleanup", |p| {
        p.wait_covers_peer_cleanup = false;
    }),
    ("attach: serial", |p| p.serial_attach = true),
    ("wait at PASSIVE_LEVEL only", |p| p.wait_at_passive_only = true),
    ("cleanup: provider first", |p| p.provider_cleanup_first = true),
    ("newest peer first", |p| p.newest_peer_first = true),
    ("attach: on a worker", |p| p.attach_on_worker = true),
    ("cleanup: on a worker", |p| p.cleanup_on_worker = true),
    ("cleanup: before detach returned", |p| {
        p.cleanup_after_callbacks = false;
    }),
    ("detach: before attach returned", |p| p.early_detach = true),
];

impl Policy {
    /// The default with these deviations from it.
    #[must_use]
    pub fn with(switches: &[Switch]) -> Self {
        let mut policy = Self::default();
        for (_, switch) in switches {
            switch(&mut policy);
        }
        policy
    }

    /// The default, and each single deviation from it, with its name.
    pub fn singles() -> impl Iterator<Item = (&'static str, Self)> {
        let switched = SWITCHES.iter().map(|switch| (switch.0, Self::with(&[*switch])));
        core::iter::once(("default", Self::default())).chain(switched)
    }

    /// The default, each deviation, and each two together.
    pub fn pairs() -> impl Iterator<Item = Self> {
        let pairs = SWITCHES.iter().enumerate().flat_map(|(index, first)| {
            SWITCHES
                .iter()
                .skip(index + 1)
                .map(move |second| Self::with(&[*first, *second]))
        });
        Self::singles().map(|(_, policy)| policy).chain(pairs)
    }

    /// Everything at once that may be expected of a registrar, and the hostile switches.
    #[must_use]
    pub fn hostile() -> Self {
        Self::with(&SWITCHES)
    }
}
