//! Choices where the documentation leaves the registrar's behaviour open.

/// In which order the two detach callbacks of a binding are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetachOrder {
    /// The module that did not start the detach first.
    #[default]
    PeerFirst,
    /// The module that started the detach first.
    InitiatorFirst,
}

/// How this registrar behaves where drivers may not assume anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, each a question of its own"
)]
pub struct Policy {
    /// The order of the two detach callbacks.
    pub detach_order: DetachOrder,
    /// Whether the provider's cleanup runs before the client's.
    pub provider_cleanup_first: bool,
    /// Whether the registration handle is written before the attach callbacks run.
    pub handle_before_attach: bool,
    /// Whether a proposal that was not started when one of its modules deregistered is still
    /// offered; otherwise it is dropped silently.
    pub offer_after_deregister: bool,
    /// Whether cleanup waits until both detach callbacks have returned. Without this, a completion
    /// from inside or beside a detach callback may clean up while that callback is on the stack.
    pub cleanup_after_callbacks: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            detach_order: DetachOrder::default(),
            provider_cleanup_first: false,
            handle_before_attach: false,
            offer_after_deregister: false,
            cleanup_after_callbacks: true,
        }
    }
}
