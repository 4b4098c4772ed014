//! The functions of the framework, one for each in the model's table.
#![allow(
    clippy::wildcard_imports,
    reason = "the documented names and types of the framework"
)]

use kmdf_model::{Kmdf, types::*};
use sim_platform::nt::*;

use super::host::SimHost;
use crate::{
    faults::Class,
    ntstatus::NtStatus,
    thread::{self, Current, irql},
    verifier,
};

/// Runs a call of the driver on this thread.
fn with<R>(current: &Current, call: impl FnOnce(&Kmdf<SimHost>, PWDF_DRIVER_GLOBALS) -> R) -> R {
    let state = current.machine.wdf_state();
    call(&state.kmdf, state.globals_of(current))
}

/// The functions that may fail for want of something, and of what.
const FALLIBLE: [(Class, &[&str]); 3] = [
    (
        Class::Device,
        &[
            "WdfControlDeviceInitAllocate",
            "WdfDeviceCreate",
            "WdfDeviceCreateSymbolicLink",
            "WdfDeviceInitAssignName",
            "WdfDeviceInitAssignSDDLString",
        ],
    ),
    (
        Class::Object,
        &[
            "WdfDriverCreate",
            "WdfIoQueueCreate",
            "WdfObjectAllocateContext",
            "WdfObjectCreate",
            "WdfSpinLockCreate",
        ],
    ),
    (
        Class::Registry,
        &[
            "WdfDriverOpenParametersRegistryKey",
            "WdfRegistryAssignULong",
            "WdfRegistryAssignUnicodeString",
            "WdfRegistryAssignValue",
            "WdfRegistryCreateKey",
            "WdfRegistryOpenKey",
            "WdfRegistryQueryULong",
            "WdfRegistryQueryUnicodeString",
            "WdfRegistryQueryValue",
            "WdfRegistryRemoveKey",
            "WdfRegistryRemoveValue",
        ],
    ),
];

/// What a function answers when it fails.
trait Refusal {
    fn from_status(status: NtStatus) -> Self;
}

impl Refusal for NTSTATUS {
    fn from_status(status: NtStatus) -> Self {
        status.0
    }
}

impl<T> Refusal for *mut T {
    fn from_status(_: NtStatus) -> Self {
        core::ptr::null_mut()
    }
}

macro_rules! never_refused {
    ($($ty:ty),*) => {$(
        impl Refusal for $ty {
            fn from_status(_: NtStatus) -> Self {
                unreachable!("no function that may fail returns this")
            }
        }
    )*};
}
never_refused!(i8, u8, u32, u64);

/// Tells how a function fails now, if it is to.
fn refused<R: Refusal>(current: &Current, function: &'static str) -> Option<R> {
    let faults = current.machine.faults_state();
    if !faults.is_active() {
        return None;
    }
    let mut classes = FALLIBLE.iter();
    let (class, _) = classes.find(|(_, functions)| functions.contains(&function))?;
    faults.pass(*class, function).err().map(R::from_status)
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
            thread::with(|current| {
                $(if let Some(refused) = refused::<$ret>(current, stringify!($name)) {
                    return refused;
                })?
                with(current, |kmdf, globals| {
                    // SAFETY: the caller's promise, and the globals are those of the driver that calls.
                    unsafe { kmdf.$name(globals, $($arg),*) }
                })
            })
        }
    )*};
}
kmdf_model::for_each_function!(functions);
