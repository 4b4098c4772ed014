//! netio.sys under Wine: the Network Module Registrar, by the model.
//!
//! Wine's own module of this name has the nine functions as stubs that end the process.
#![no_std]

extern crate alloc;

mod watch;

use core::ffi::c_void;

use nmr::raw;
use nmr_model::{Policy, Registrar, Role};
use wine_kernel::{Lazy, WinePlatform};

use watch::Watch;

wine_kernel::dll_main!();

type Nmr = Registrar<WinePlatform, Watch>;

/// The registrar of this process; all drivers of a service group share it.
static REGISTRAR: Lazy<Nmr> = Lazy::new();

fn registrar() -> &'static Nmr {
    REGISTRAR.get(|| {
        wine_kernel::pin();
        Registrar::new(Watch, Policy::default())
    })
}

/// See `NmrRegisterClient` in the driver documentation.
// SAFETY: no other item of the image has this name.
#[unsafe(no_mangle)]
unsafe extern "system" fn NmrRegisterClient(
    characteristics: *const raw::NPI_CLIENT_CHARACTERISTICS,
    context: *mut c_void,
    handle: *mut raw::HANDLE,
) -> raw::NTSTATUS {
    // SAFETY: the caller keeps the contract of the function.
    unsafe { registrar().register_client(characteristics, context, handle) }
}

/// See `NmrRegisterProvider` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn NmrRegisterProvider(
    characteristics: *const raw::NPI_PROVIDER_CHARACTERISTICS,
    context: *mut c_void,
    handle: *mut raw::HANDLE,
) -> raw::NTSTATUS {
    // SAFETY: the caller keeps the contract of the function.
    unsafe { registrar().register_provider(characteristics, context, handle) }
}

/// See `NmrClientAttachProvider` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn NmrClientAttachProvider(
    binding: raw::HANDLE,
    client_context: *mut c_void,
    client_dispatch: *const c_void,
    provider_context: *mut *mut c_void,
    provider_dispatch: *mut *const c_void,
) -> raw::NTSTATUS {
    // SAFETY: the caller keeps the contract of the function.
    unsafe {
        registrar().attach_provider(
            binding,
            client_context,
            client_dispatch,
            provider_context,
            provider_dispatch,
        )
    }
}

/// See `NmrDeregisterClient` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrDeregisterClient(handle: raw::HANDLE) -> raw::NTSTATUS {
    registrar().deregister(Role::Client, handle)
}

/// See `NmrDeregisterProvider` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrDeregisterProvider(handle: raw::HANDLE) -> raw::NTSTATUS {
    registrar().deregister(Role::Provider, handle)
}

/// See `NmrWaitForClientDeregisterComplete` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrWaitForClientDeregisterComplete(handle: raw::HANDLE) -> raw::NTSTATUS {
    registrar().wait(Role::Client, handle)
}

/// See `NmrWaitForProviderDeregisterComplete` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrWaitForProviderDeregisterComplete(handle: raw::HANDLE) -> raw::NTSTATUS {
    registrar().wait(Role::Provider, handle)
}

/// See `NmrClientDetachProviderComplete` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrClientDetachProviderComplete(binding: raw::HANDLE) {
    registrar().detach_complete(Role::Client, binding);
}

/// See `NmrProviderDetachClientComplete` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrProviderDetachClientComplete(binding: raw::HANDLE) {
    registrar().detach_complete(Role::Provider, binding);
}
