//! The table of the framework's functions that a driver receives.
#![allow(clippy::wildcard_imports, reason = "the list names the types of the headers")]

use core::mem;

use kmdf_model::types::*;
use sim_platform::nt::*;
use wine_kernel::log;

use crate::state::kmdf;

/// An entry; its real type is that of the function that it is for.
type Entry = unsafe extern "C" fn();

/// How many functions KMDF 1.31 has.
pub const LENGTH: usize = 458;

/// Stands for function `PLACE`, which the model does not have. Not every function can answer that it failed, so this is
/// the end, as a bug check is.
extern "C" fn unsupported<const PLACE: usize>() {
    let name = NAMES.get(PLACE).copied().unwrap_or_default();
    log!("STOP: a driver calls KMDF function {PLACE}, {name}, which the model of KMDF does not have");
    wine_kernel::nt::stop()
}

macro_rules! all {
    ($($place:literal $name:ident;)*) => {
        /// Names of the functions.
        static NAMES: [&str; LENGTH] = [$(stringify!($name)),*];

        /// A table in which nothing is supported.
        const NOTHING: [Entry; LENGTH] = [$(
            // SAFETY: a function pointer is as good as another as long as it is only called with its
            // own type; this one takes nothing, so whatever the caller passes is left alone.
            unsafe { mem::transmute::<extern "C" fn(), Entry>(unsupported::<$place>) }
        ),*];
    };
}
crate::for_each_name!(all);

macro_rules! supported {
    ($($index:literal $name:ident $level:ident fn($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {
        #[allow(non_snake_case, clippy::too_many_arguments, reason = "documented so")]
        mod entries {
            use super::*;
            $(
                pub unsafe extern "C" fn $name(globals: PWDF_DRIVER_GLOBALS, $($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: the caller's promise is that of the function's documentation page.
                    unsafe { kmdf().$name(globals, $($arg),*) }
                }
            )*
        }

        /// The table.
        pub static TABLE: [Entry; LENGTH] = {
            let mut table = NOTHING;
            $(
                // SAFETY: a driver calls the entry at this place with this function's type.
                table[$index] = unsafe {
                    mem::transmute::<
                        unsafe extern "C" fn(PWDF_DRIVER_GLOBALS, $($ty),*) $(-> $ret)?,
                        Entry,
                    >(entries::$name)
                };
            )*
            table
        };
    };
}
kmdf_model::for_each_function!(supported);
