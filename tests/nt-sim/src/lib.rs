//! A user-mode NT kernel for drivers, under the names of `wdk-sys`.
//!
//! A driver crate that is written against `wdk_sys` builds unchanged over this crate
//! (`extern crate nt_sim as wdk_sys;`): types, constants and the KMDF macro are at the root, kernel
//! functions in [`ntddk`]. What a test or a tool uses to run drivers is [`Machine`]: a value that
//! owns a whole simulated computer. Several machines live side by side in one process; a driver
//! belongs to the machine of the thread that runs it, and threads that a driver starts inherit it.
//!
//! How the parts fit:
//! - [`machine`], [`image`], [`scm`], [`inf`], [`io`] are the outside: build a machine, install, start
//!   and stop drivers, open devices, send requests;
//! - [`ke`], [`ex`], [`ps`], [`ob`], [`pool`], [`rtl`], [`mod@dbg`], [`random`], [`zw`], [`wdf`], [`nmr`]
//!   are the kernel that drivers see;
//! - [`scheduler`], [`thread`], [`platform`], [`sync`] are how simulated threads run: natively, or under
//!   a controlled scheduler that a test supplies;
//! - [`verifier`], [`frames`], [`trace`], [`bugcheck`] watch what drivers do, and report it;
//! - [`faults`] makes calls of drivers fail.
//!
//! Rules inside: a lock of the simulator's own state is held for a closure and never across a
//! callback, a wait or a yield point; everything that waits does so on an event of the scheduler.

pub mod bugcheck;
mod call_site;
pub mod dbg;
pub mod ex;
pub mod faults;
pub mod files;
pub mod frames;
pub mod image;
pub mod inf;
pub mod io;
pub mod ke;
pub mod machine;
pub mod nmr;
pub mod ntstatus;
pub mod ob;
pub mod platform;
pub mod pool;
pub mod ps;
pub mod random;
pub mod registry;
pub mod rtl;
mod sanitizer;
pub mod scheduler;
pub mod scm;
pub mod sync;
pub mod thread;
pub mod trace;
pub mod verifier;
pub mod wdf;
pub mod zw;

pub use image::{DriverImage, DriverName};
pub use kmdf_model::types::{self, *};
pub use machine::{Machine, MachineBuilder, Report};
pub use platform::SimPlatform;
pub use sim_platform::nt::*;
pub use verifier::{Finding, Rule};

/// The kernel functions, where `wdk-sys` has them.
pub mod ntddk {
    pub use crate::dbg::kernel::*;
    pub use crate::ex::*;
    pub use crate::ke::*;
    pub use crate::ob::kernel::*;
    pub use crate::pool::kernel::*;
    pub use crate::ps::*;
    pub use crate::rtl::*;
    pub use crate::zw::*;
}

/// No object attributes (wdftypes.h).
pub const WDF_NO_OBJECT_ATTRIBUTES: PWDF_OBJECT_ATTRIBUTES = core::ptr::null_mut();
/// No event callback (wdftypes.h).
pub const WDF_NO_EVENT_CALLBACK: PVOID = core::ptr::null_mut();
/// No handle (wdftypes.h).
pub const WDF_NO_HANDLE: PVOID = core::ptr::null_mut();
/// No context (wdftypes.h).
pub const WDF_NO_CONTEXT: PVOID = core::ptr::null_mut();

/// Tells whether a status is a success or an informational one (ntdef.h).
#[must_use]
#[expect(non_snake_case, reason = "the macro of ntdef.h")]
pub const fn NT_SUCCESS(nt_status: NTSTATUS) -> bool {
    nt_status >= 0
}
