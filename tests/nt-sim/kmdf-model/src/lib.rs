//! A model of the Kernel-Mode Driver Framework, version 1.31, for drivers without hardware.
//!
//! [`Kmdf`] is one machine's framework. A front end gives it drivers ([`Kmdf::bind`]), passes on
//! their calls of the functions in [`table`], and what the I/O manager brings for their devices
//! ([`Kmdf::create`], [`Kmdf::device_control`], …). What the framework needs of the machine it
//! gets through [`Host`]; so the same model serves a simulated kernel and a module that stands in
//! for the framework's loader under another kernel.
//!
//! Rules of the model:
//! - it calls drivers and the host with no lock held;
//! - handles are not addresses, and a wrong one is told from a stale one;
//! - what a driver does against the documentation is a [`Violation`], reported and survived;
//! - what it leaves out of KMDF (Plug and Play, power, automatic synchronisation, manual queues,
//!   I/O targets) it says when asked for it, and never pretends.
#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![expect(
    non_snake_case,
    reason = "the functions of the framework keep their documented names"
)]

extern crate alloc;

mod attributes;
mod call;
mod device;
mod driver;
mod file;
mod handle;
mod host;
mod io;
mod object;
mod parameters;
mod placed;
mod queue;
mod queue_control;
mod registry;
mod request;
mod spinlock;
mod state;
pub mod table;
pub mod types;
mod violation;

pub use handle::Kind;
pub use host::{CallbackIrql, DeviceId, DeviceObject, DeviceSpec, DriverId, FileId, Frame, Host, IrpId};
pub use io::{CreateIrp, Deferred, DeviceControlIrp, Requestor};
use sim_platform::{Lock, Platform};
pub use violation::{Rule, Violation};

/// The framework of one machine.
///
/// # Safety of the functions
/// Each function of the [`table`] takes the globals that the calling driver was
/// [bound](Kmdf::bind) with, and otherwise asks of its caller what its documentation page asks:
/// pointers are valid for what they are documented for, and callbacks and context types stay in
/// place for as long as the object that they were given for. Handles may be any value: they are
/// checked.
pub struct Kmdf<H: Host> {
    host: H,
    state: <H::Platform as Platform>::Lock<state::State<H>>,
}

impl<H: Host> Kmdf<H> {
    /// Makes a framework without drivers.
    pub fn new(host: H) -> Self {
        Self {
            host,
            state: Lock::new(state::State::default()),
        }
    }

    /// Returns the machine that it runs on.
    pub const fn host(&self) -> &H {
        &self.host
    }
}

/// The functions by their names.
mod functions {
    pub use crate::{
        device::*, driver::*, file::*, object::*, parameters::*, queue::*, queue_control::*, registry::*,
        request::*, spinlock::*,
    };
}

/// The methods that drivers' calls arrive at.
#[allow(
    clippy::wildcard_imports,
    reason = "the list names the types of the headers, which all are in scope there"
)]
mod methods {
    use sim_platform::nt::*;

    use crate::{Host, Kmdf, call::Call, functions, table, types::*};

    macro_rules! methods {
        ($($index:literal $name:ident $level:ident fn($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {
            impl<H: Host> Kmdf<H> {$(
                #[doc = concat!("`", stringify!($name), "` of the framework's documentation.")]
                ///
                /// # Safety
                /// See [`Kmdf`].
                #[allow(clippy::too_many_arguments, reason = "some are documented with as many")]
                pub unsafe fn $name(
                    &self,
                    DriverGlobals: PWDF_DRIVER_GLOBALS,
                    $($arg: $ty),*
                ) $(-> $ret)? {
                    let call = Call::enter(self, stringify!($name), table::$level, DriverGlobals);
                    // SAFETY: the caller's promise is the same.
                    unsafe { functions::$name(&call, $($arg),*) }
                }
            )*}
        };
    }
    crate::for_each_function!(methods);
}
