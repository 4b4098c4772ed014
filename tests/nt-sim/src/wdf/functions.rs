//! The functions of the framework, one for each in the model's table.
#![allow(
    clippy::wildcard_imports,
    reason = "the documented names and types of the framework"
)]

use kmdf_model::{Kmdf, types::*};
use sim_platform::nt::*;

use super::host::SimHost;
use crate::{Machine, thread::irql, verifier};

/// Runs a call of the driver on this thread.
fn with<R>(call: impl FnOnce(&Kmdf<SimHost>, PWDF_DRIVER_GLOBALS) -> R) -> R {
    let machine = Machine::current();
    let state = machine.wdf_state();
    call(&state.kmdf, state.current_globals())
}

macro_rules! functions {
    ($($index:literal $name:ident $level:ident fn($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {$(
        #[doc = concat!("`", stringify!($name), "` of the framework's documentation.")]
        ///
        /// # Safety
        ///
        /// As the documentation of the function says; handles are checked.
        pub unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            verifier::require_irql_at_most(stringify!($name), irql::$level);
            with(|kmdf, globals| {
                // SAFETY: the caller's promise, and the globals are those of the driver that calls.
                unsafe { kmdf.$name(globals, $($arg),*) }
            })
        }
    )*};
}
kmdf_model::for_each_function!(functions);
