//! A provider module that greets its clients.

use core::{ffi::c_void, ptr};

use nmr::raw::*;
use wdk_sys::{POOL_FLAG_NON_PAGED, STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS, ntddk};

/// What is kept for each client: the provider's binding context.
struct Binding {
    greetings: u32,
}

/// The provider's dispatch table.
#[repr(C)]
pub struct Dispatch {
    pub greet: unsafe extern "system" fn(binding: *mut c_void) -> u32,
}

static DISPATCH: Dispatch = Dispatch { greet };

unsafe extern "system" fn greet(binding: *mut c_void) -> u32 {
    // SAFETY: the client passes the binding context that it got, one call at a time.
    let binding = unsafe { &mut *binding.cast::<Binding>() };
    binding.greetings += 1;
    binding.greetings
}

unsafe extern "system" fn attach(
    _: HANDLE,
    _: *mut c_void,
    _: *const NPI_REGISTRATION_INSTANCE,
    _client_context: *mut c_void,
    _client_dispatch: *const c_void,
    provider_context: *mut *mut c_void,
    provider_dispatch: *mut *const c_void,
) -> NTSTATUS {
    let (size, tag) = (size_of::<Binding>() as u64, u32::from_le_bytes(*b"Gree"));
    // SAFETY: called at PASSIVE_LEVEL.
    let binding = unsafe { ntddk::ExAllocatePool2(POOL_FLAG_NON_PAGED, size, tag) };
    if binding.is_null() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    // ExAllocatePool2 zeroes, and zero greetings is what a binding begins with.
    // SAFETY: NMR passes places to write to.
    unsafe { provider_context.write(binding) };
    // SAFETY: as above.
    unsafe { provider_dispatch.write((&raw const DISPATCH).cast()) };
    STATUS_SUCCESS
}

unsafe extern "system" fn detach(_: *mut c_void) -> NTSTATUS {
    STATUS_SUCCESS
}

unsafe extern "system" fn cleanup(binding: *mut c_void) {
    // SAFETY: allocated in attach.
    unsafe { ntddk::ExFreePool(binding) };
}

/// What the driver registers. The NPIID and the module id stay where they are.
pub const fn characteristics(
    npi: &'static NPIID,
    module: &'static NPI_MODULEID,
) -> NPI_PROVIDER_CHARACTERISTICS {
    NPI_PROVIDER_CHARACTERISTICS {
        Version: 0,
        Length: size_of::<NPI_PROVIDER_CHARACTERISTICS>() as u16,
        ProviderAttachClient: Some(attach),
        ProviderDetachClient: Some(detach),
        ProviderCleanupBindingContext: Some(cleanup),
        ProviderRegistrationInstance: NPI_REGISTRATION_INSTANCE {
            Version: 0,
            Size: size_of::<NPI_REGISTRATION_INSTANCE>() as u16,
            NpiId: npi,
            ModuleId: module,
            Number: 0,
            NpiSpecificCharacteristics: ptr::null(),
        },
    }
}
