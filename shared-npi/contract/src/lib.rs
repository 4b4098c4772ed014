//! The network programming interface that the e-mail name service speaks.
//!
//! Both drivers and the user-mode tool depend on this crate and on nothing else of ours that is not below it. It holds
//!
//! - what identifies the interface and its modules ([`ids`], [`guid`]);
//! - the dispatch tables and characteristics that the two drivers exchange ([`dispatch`]);
//! - the Winsock vocabulary of the namespace `NS_EMAIL`: codes, flags and structures
//!   ([`codes`], [`flags`], [`structures`]), mail addresses ([`address`]), socket addresses
//!   ([`sockaddr`]), queries and records ([`queryset`]), installation blobs ([`blob`]);
//! - what travels between a program and the control devices ([`ioctl`], [`wire`]).
//!
//! # Rules
//!
//! - No allocation, no `unsafe`, no kernel: every parser borrows from the bytes it was given.
//! - Everything is total: no input, however malformed, makes a function here panic, loop or read
//!   outside the bytes it was given. A parser answers with a [`fault::Fault`] that names the first
//!   thing wrong and where it stands.
//! - Each format has one parser and one writer. A writer also measures: writing into an empty
//!   slice yields the size that a complete write needs.
#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test that goes wrong is to stop there"
    )
)]

#[cfg(test)]
extern crate std;

pub mod address;
pub mod blob;
pub mod bytes;
pub mod codes;
pub mod dispatch;
pub mod fault;
pub mod flags;
pub mod guid;
pub mod ids;
pub mod ioctl;
pub mod limits;
pub mod queryset;
pub mod sockaddr;
pub mod structures;
pub mod text;
pub mod wire;

pub use address::{Address, Domain};
pub use codes::WsaCode;
pub use fault::{Fault, FaultKind, WriteError};
pub use flags::{LookupFlags, Operation, SetFlags};
pub use guid::Guid;
pub use queryset::QuerySet;
pub use sockaddr::{CsAddr, NormalCsAddr, SockAddr};
pub use text::Text;
