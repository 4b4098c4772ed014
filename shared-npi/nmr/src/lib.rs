//! The Network Module Registrar (NMR) for Rust drivers.
#![no_std]

mod guid;
mod irql;
pub mod raw;
mod status;
pub mod sync;

pub use guid::Guid;
pub use irql::{DropAtDispatch, Passive};
pub use status::NtStatus;
