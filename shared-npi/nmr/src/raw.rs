//! `netioddk.h` as it stands: the types of the Network Module Registrar, laid out as the C
//! header lays them out, and its nine functions.
//!
//! Nothing here is safe to use by itself; the rest of the crate is the layer that is. The
//! functions are only declared. Whoever makes the final binary provides them: `netio.lib` in
//! a driver, the simulator in everything else. Names, field names and types are those of the
//! header, so that its documentation applies word for word.

#![expect(
    non_camel_case_types,
    non_snake_case,
    reason = "the names are those of netioddk.h"
)]

use core::ffi::c_void;

/// `NTSTATUS` as the C header has it; [`crate::NtStatus`] is the typed form.
pub type NTSTATUS = i32;
/// `HANDLE`: opaque. The four kinds that NMR hands out are never interchangeable.
pub type HANDLE = *mut c_void;
/// `GUID`.
pub type GUID = crate::Guid;
/// `NPIID`: the GUID that names a network programming interface.
pub type NPIID = GUID;

/// `LUID`: a locally unique id, 64 bits in two halves.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LUID {
    /// Low half.
    pub LowPart: u32,
    /// High half, signed.
    pub HighPart: i32,
}

/// `NPI_MODULEID_TYPE`: which member of [`NPI_MODULEID_ID`] is meant.
pub type NPI_MODULEID_TYPE = i32;
/// The module is named by a GUID.
pub const MIT_GUID: NPI_MODULEID_TYPE = 1;
/// The module is named by an interface LUID.
pub const MIT_IF_LUID: NPI_MODULEID_TYPE = 2;

/// The union inside [`NPI_MODULEID`] (unnamed in the header).
#[repr(C)]
#[derive(Clone, Copy)]
pub union NPI_MODULEID_ID {
    /// With [`MIT_GUID`].
    pub Guid: GUID,
    /// With [`MIT_IF_LUID`].
    pub IfLuid: LUID,
}

/// `NPI_MODULEID`: identifies a network module among those of its NPI.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NPI_MODULEID {
    /// `sizeof(NPI_MODULEID)`.
    pub Length: u16,
    /// [`MIT_GUID`] or [`MIT_IF_LUID`].
    pub Type: NPI_MODULEID_TYPE,
    /// The identifier.
    pub Id: NPI_MODULEID_ID,
}

/// `NPI_REGISTRATION_INSTANCE`: what a module tells its possible peers about itself.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NPI_REGISTRATION_INSTANCE {
    /// Zero, unless the NPI gives it a meaning.
    pub Version: u16,
    /// `sizeof(NPI_REGISTRATION_INSTANCE)`.
    pub Size: u16,
    /// The NPI that the module supports.
    pub NpiId: *const NPIID,
    /// The module.
    pub ModuleId: *const NPI_MODULEID,
    /// Which of several implementations or instances this is; zero if there is only one.
    pub Number: u32,
    /// What the NPI defines, or null.
    pub NpiSpecificCharacteristics: *const c_void,
}

/// `NPI_CLIENT_ATTACH_PROVIDER_FN`. IRQL: `PASSIVE_LEVEL`.
pub type NPI_CLIENT_ATTACH_PROVIDER_FN = unsafe extern "system" fn(
    NmrBindingHandle: HANDLE,
    ClientContext: *mut c_void,
    ProviderRegistrationInstance: *const NPI_REGISTRATION_INSTANCE,
) -> NTSTATUS;

/// `NPI_CLIENT_DETACH_PROVIDER_FN`. IRQL: up to `DISPATCH_LEVEL`.
pub type NPI_CLIENT_DETACH_PROVIDER_FN =
    unsafe extern "system" fn(ClientBindingContext: *mut c_void) -> NTSTATUS;

/// `NPI_CLIENT_CLEANUP_BINDING_CONTEXT_FN`. IRQL: up to `DISPATCH_LEVEL`.
pub type NPI_CLIENT_CLEANUP_BINDING_CONTEXT_FN = unsafe extern "system" fn(ClientBindingContext: *mut c_void);

/// `NPI_PROVIDER_ATTACH_CLIENT_FN`. IRQL: `PASSIVE_LEVEL`.
pub type NPI_PROVIDER_ATTACH_CLIENT_FN = unsafe extern "system" fn(
    NmrBindingHandle: HANDLE,
    ProviderContext: *mut c_void,
    ClientRegistrationInstance: *const NPI_REGISTRATION_INSTANCE,
    ClientBindingContext: *mut c_void,
    ClientDispatch: *const c_void,
    ProviderBindingContext: *mut *mut c_void,
    ProviderDispatch: *mut *const c_void,
) -> NTSTATUS;

/// `NPI_PROVIDER_DETACH_CLIENT_FN`. IRQL: up to `DISPATCH_LEVEL`.
pub type NPI_PROVIDER_DETACH_CLIENT_FN =
    unsafe extern "system" fn(ProviderBindingContext: *mut c_void) -> NTSTATUS;

/// `NPI_PROVIDER_CLEANUP_BINDING_CONTEXT_FN`. IRQL: up to `DISPATCH_LEVEL`.
pub type NPI_PROVIDER_CLEANUP_BINDING_CONTEXT_FN =
    unsafe extern "system" fn(ProviderBindingContext: *mut c_void);

/// `NPI_CLIENT_CHARACTERISTICS`: what a client module registers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NPI_CLIENT_CHARACTERISTICS {
    /// Zero.
    pub Version: u16,
    /// `sizeof(NPI_CLIENT_CHARACTERISTICS)`.
    pub Length: u16,
    /// Required.
    pub ClientAttachProvider: Option<NPI_CLIENT_ATTACH_PROVIDER_FN>,
    /// Required.
    pub ClientDetachProvider: Option<NPI_CLIENT_DETACH_PROVIDER_FN>,
    /// Optional.
    pub ClientCleanupBindingContext: Option<NPI_CLIENT_CLEANUP_BINDING_CONTEXT_FN>,
    /// By value.
    pub ClientRegistrationInstance: NPI_REGISTRATION_INSTANCE,
}

/// `NPI_PROVIDER_CHARACTERISTICS`: what a provider module registers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NPI_PROVIDER_CHARACTERISTICS {
    /// Zero.
    pub Version: u16,
    /// `sizeof(NPI_PROVIDER_CHARACTERISTICS)`.
    pub Length: u16,
    /// Required.
    pub ProviderAttachClient: Option<NPI_PROVIDER_ATTACH_CLIENT_FN>,
    /// Required.
    pub ProviderDetachClient: Option<NPI_PROVIDER_DETACH_CLIENT_FN>,
    /// Optional.
    pub ProviderCleanupBindingContext: Option<NPI_PROVIDER_CLEANUP_BINDING_CONTEXT_FN>,
    /// By value.
    pub ProviderRegistrationInstance: NPI_REGISTRATION_INSTANCE,
}

// The names that the header gives to the link symbols; see the page of each function under
// "netioddk.h header" on Microsoft Learn.
unsafe extern "system" {
    /// Registers a client module. May run its attach callbacks, and even its detach
    /// callbacks, before it returns. IRQL: `PASSIVE_LEVEL`.
    pub fn NmrRegisterClient(
        ClientCharacteristics: *const NPI_CLIENT_CHARACTERISTICS,
        ClientContext: *mut c_void,
        NmrClientHandle: *mut HANDLE,
    ) -> NTSTATUS;

    /// Begins to deregister a client module; `STATUS_PENDING` until waited for.
    /// IRQL: up to `DISPATCH_LEVEL`.
    pub fn NmrDeregisterClient(NmrClientHandle: HANDLE) -> NTSTATUS;

    /// Waits until a client module is deregistered. IRQL: below `DISPATCH_LEVEL`.
    pub fn NmrWaitForClientDeregisterComplete(NmrClientHandle: HANDLE) -> NTSTATUS;

    /// Attaches a client to the provider that is being offered to it. Only inside
    /// `ClientAttachProvider`, on its thread. IRQL: `PASSIVE_LEVEL`.
    pub fn NmrClientAttachProvider(
        NmrBindingHandle: HANDLE,
        ClientBindingContext: *mut c_void,
        ClientDispatch: *const c_void,
        ProviderBindingContext: *mut *mut c_void,
        ProviderDispatch: *mut *const c_void,
    ) -> NTSTATUS;

    /// Ends a detach for which `ClientDetachProvider` returned `STATUS_PENDING`.
    /// IRQL: up to `DISPATCH_LEVEL`.
    pub fn NmrClientDetachProviderComplete(NmrBindingHandle: HANDLE);

    /// Registers a provider module. May run its attach callbacks, and even its detach
    /// callbacks, before it returns. IRQL: `PASSIVE_LEVEL`.
    pub fn NmrRegisterProvider(
        ProviderCharacteristics: *const NPI_PROVIDER_CHARACTERISTICS,
        ProviderContext: *mut c_void,
        NmrProviderHandle: *mut HANDLE,
    ) -> NTSTATUS;

    /// Begins to deregister a provider module; `STATUS_PENDING` until waited for.
    /// IRQL: up to `DISPATCH_LEVEL`.
    pub fn NmrDeregisterProvider(NmrProviderHandle: HANDLE) -> NTSTATUS;

    /// Waits until a provider module is deregistered. IRQL: below `DISPATCH_LEVEL`.
    pub fn NmrWaitForProviderDeregisterComplete(NmrProviderHandle: HANDLE) -> NTSTATUS;

    /// Ends a detach for which `ProviderDetachClient` returned `STATUS_PENDING`.
    /// IRQL: up to `DISPATCH_LEVEL`.
    pub fn NmrProviderDetachClientComplete(NmrBindingHandle: HANDLE);
}

/// The layout of the C header on x64 and ARM64, field by field.
#[cfg(target_pointer_width = "64")]
mod layout {
    use core::mem::{align_of, offset_of, size_of};

    use super::{
        GUID, LUID, NPI_CLIENT_CHARACTERISTICS, NPI_MODULEID, NPI_PROVIDER_CHARACTERISTICS,
        NPI_REGISTRATION_INSTANCE,
    };

    const _: () = {
        assert!(size_of::<GUID>() == 16);
        assert!(align_of::<GUID>() == 4);
        assert!(size_of::<LUID>() == 8);
        assert!(align_of::<LUID>() == 4);

        assert!(size_of::<NPI_MODULEID>() == 0x18);
        assert!(align_of::<NPI_MODULEID>() == 4);
        assert!(offset_of!(NPI_MODULEID, Length) == 0x00);
        assert!(offset_of!(NPI_MODULEID, Type) == 0x04);
        assert!(offset_of!(NPI_MODULEID, Id) == 0x08);

        assert!(size_of::<NPI_REGISTRATION_INSTANCE>() == 0x28);
        assert!(align_of::<NPI_REGISTRATION_INSTANCE>() == 8);
        assert!(offset_of!(NPI_REGISTRATION_INSTANCE, Version) == 0x00);
        assert!(offset_of!(NPI_REGISTRATION_INSTANCE, Size) == 0x02);
        assert!(offset_of!(NPI_REGISTRATION_INSTANCE, NpiId) == 0x08);
        assert!(offset_of!(NPI_REGISTRATION_INSTANCE, ModuleId) == 0x10);
        assert!(offset_of!(NPI_REGISTRATION_INSTANCE, Number) == 0x18);
        assert!(offset_of!(NPI_REGISTRATION_INSTANCE, NpiSpecificCharacteristics) == 0x20);

        assert!(size_of::<NPI_CLIENT_CHARACTERISTICS>() == 0x48);
        assert!(align_of::<NPI_CLIENT_CHARACTERISTICS>() == 8);
        assert!(offset_of!(NPI_CLIENT_CHARACTERISTICS, Version) == 0x00);
        assert!(offset_of!(NPI_CLIENT_CHARACTERISTICS, Length) == 0x02);
        assert!(offset_of!(NPI_CLIENT_CHARACTERISTICS, ClientAttachProvider) == 0x08);
        assert!(offset_of!(NPI_CLIENT_CHARACTERISTICS, ClientDetachProvider) == 0x10);
        assert!(offset_of!(NPI_CLIENT_CHARACTERISTICS, ClientCleanupBindingContext) == 0x18);
        assert!(offset_of!(NPI_CLIENT_CHARACTERISTICS, ClientRegistrationInstance) == 0x20);

        assert!(size_of::<NPI_PROVIDER_CHARACTERISTICS>() == 0x48);
        assert!(align_of::<NPI_PROVIDER_CHARACTERISTICS>() == 8);
        assert!(offset_of!(NPI_PROVIDER_CHARACTERISTICS, Version) == 0x00);
        assert!(offset_of!(NPI_PROVIDER_CHARACTERISTICS, Length) == 0x02);
        assert!(offset_of!(NPI_PROVIDER_CHARACTERISTICS, ProviderAttachClient) == 0x08);
        assert!(offset_of!(NPI_PROVIDER_CHARACTERISTICS, ProviderDetachClient) == 0x10);
        assert!(offset_of!(NPI_PROVIDER_CHARACTERISTICS, ProviderCleanupBindingContext) == 0x18);
        assert!(offset_of!(NPI_PROVIDER_CHARACTERISTICS, ProviderRegistrationInstance) == 0x20);
    };
}
