//! The Network Module Registrar (NMR) for Rust drivers.
#![no_std]
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
