//! The Network Module Registrar (NMR) for Rust drivers: the types of `netioddk.h` ([`raw`]) and
//! a safe layer over its nine functions.
//!
//! NMR brings together drivers that do not know each other. A *client* module and a *provider*
//! module register under the id of a network programming interface; NMR offers each provider
//! to each client, and if both agree they are *bound*: each has the other's dispatch (a table
//! of functions) and binding context (an opaque pointer to pass to them). When either leaves,
//! NMR has both *detach*, which is to stop calling the other, and then *clean up*. The rules
//! of this are many, and a driver that breaks one brings the system down, often much later.
//!
//! What this layer takes over, and what the user of it is left to decide:
//!
//! | NMR's rule | here |
//! |---|---|
//! | all that is registered stays in place until the deregistration is complete | a [`Registration`] owns it, pinned; it exists only if registering succeeded |
//! | every registration is deregistered and waited for | [`Registration::deregister`]; to drop it instead panics |
//! | an attach callback returns what NMR knows to be the outcome | the offer makes the token, and the token is what is returned |
//! | the four kinds of handle are not mixed up | none of them can be seen |
//! | no calls before attach has succeeded, none after detach began | [`BindingRef::enter`] |
//! | detach is pending while calls are in flight, and completed once | the last [`CallGuard`] does it |
//! | detach and cleanup do not block, and run at up to `DISPATCH_LEVEL` | they get no [`Passive`]; [`DropAtDispatch`] |
//! | a binding context lives until cleanup | it is freed there |
//! | whom to attach to, what to answer, when to retry, when to fail | [`Client::attach`], [`Provider::attach`] |
//! | what the pointers of a peer are | [`Npi`], by an `unsafe impl` |
//!
//! `NMR.md`, beside the code, has the protocol of a binding on one page.
//!
//! The functions themselves are not here: a driver links `netio.lib` and the kernel, everything else
//! the simulator. The crate knows no particular interface, allocates only through the allocator
//! that it is given, and treats every failure to allocate as an answer.
//!
//! # Example
//!
//! ```
#![doc = include_str!("../tests/minimal.rs")]
//! ```
#![no_std]
#![expect(clippy::test_attr_in_doctest, reason = "the example is a test, word for word")]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod binding;
mod client;
mod guid;
mod handle;
mod irql;
mod memory;
mod npi;
mod provider;
pub mod raw;
mod registration;
mod role;
pub mod rundown;
mod status;
pub mod sync;
mod thunks;

pub use binding::{AttachGuard, BindingRef, Bound, CallGuard};
pub use client::{
    Client, ClientAccepted, ClientAttach, ClientBindingRef, ClientBound, ClientCallGuard, ClientRegistration,
    ClientRejected, ProviderOffer, borrow_client_binding,
};
pub use guid::Guid;
pub use irql::{DropAtDispatch, Passive};
pub use npi::{Decline, ModuleId, Npi, Peer, RegistrationConfig};
pub use provider::{
    ClientOffer, Provider, ProviderAccepted, ProviderAttach, ProviderBindingRef, ProviderBound,
    ProviderCallGuard, ProviderRegistration, ProviderRejected, borrow_provider_binding,
};
pub use registration::{Deregistering, RegisterError, Registration};
pub use role::{ClientRole, ProviderRole, Role};
pub use status::NtStatus;
