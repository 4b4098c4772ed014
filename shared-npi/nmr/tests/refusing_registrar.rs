//! What the layer does when NMR itself refuses: a registrar that registers nothing, in place
//! of the simulator.

use std::ffi::c_void;
use std::sync::Arc;

use allocator_api2::alloc::Global;
use nmr::raw::{
    HANDLE, NPI_CLIENT_CHARACTERISTICS, NPI_PROVIDER_CHARACTERISTICS, NPI_REGISTRATION_INSTANCE, NTSTATUS,
};
use nmr::{
    Client, ClientAttach, ClientRegistration, Decline, Guid, ModuleId, Npi, NtStatus, Passive, ProviderOffer,
    RegistrationConfig,
};

struct Nothing;

// SAFETY: there are no peers.
unsafe impl Npi for Nothing {
    const ID: Guid = Guid::new(1, 2, 3, [4; 8]);
    type ClientCharacteristics = u32;
    type ProviderCharacteristics = ();
    type ClientDispatch = ();
    type ProviderDispatch = ();
}

struct Module(Arc<()>);

impl Client for Module {
    type Npi = Nothing;
    type Binding = ();
    type Allocator = Global;

    fn characteristics(&self) -> Option<u32> {
        Some(0x5eed)
    }

    fn attach<'o>(&self, _: Passive<'o>, offer: ProviderOffer<'o, Self>) -> ClientAttach<'o, Self> {
        offer.decline(Decline::NotForMe)
    }
}

#[test]
fn a_failed_registration_returns_the_module() {
    // SAFETY: there is no kernel here, and no level but the lowest.
    let passive = unsafe { Passive::assume() };
    let shared = Arc::new(());
    let module = Module(Arc::clone(&shared));
    let config = RegistrationConfig {
        number: 3,
        ..RegistrationConfig::new(ModuleId::Guid(Nothing::ID))
    };
    let error = ClientRegistration::register(passive, module, config, Global).expect_err("refused");
    assert_eq!(error.status, NtStatus::NO_MEMORY);
    assert!(Arc::ptr_eq(&error.module.0, &shared));
    assert_eq!(Arc::strong_count(&shared), 2);
    assert_eq!(
        error.to_string(),
        "the module could not be registered: STATUS_NO_MEMORY (0xC0000017)"
    );
}

/// Looks at everything it is given, as a peer might until the end.
// SAFETY: nothing else in this test has the names of netio.sys.
#[unsafe(no_mangle)]
unsafe extern "system" fn NmrRegisterClient(
    characteristics: *const NPI_CLIENT_CHARACTERISTICS,
    context: *mut c_void,
    _: *mut HANDLE,
) -> NTSTATUS {
    assert!(!context.is_null());
    // SAFETY: the caller's promise.
    let client = unsafe { &*characteristics };
    assert_eq!((client.Version, client.Length), (0, 72));
    assert!(client.ClientAttachProvider.is_some());
    assert!(client.ClientDetachProvider.is_some());
    assert!(client.ClientCleanupBindingContext.is_some());
    let instance: &NPI_REGISTRATION_INSTANCE = &client.ClientRegistrationInstance;
    assert_eq!((instance.Version, instance.Size, instance.Number), (0, 40, 3));
    // SAFETY: the caller's promise.
    assert_eq!(unsafe { *instance.NpiId }, Nothing::ID);
    // SAFETY: the caller's promise.
    let module = unsafe { &*instance.ModuleId };
    assert_eq!((module.Length, module.Type), (24, 1));
    // SAFETY: the type says so.
    assert_eq!(unsafe { module.Id.Guid }, Nothing::ID);
    // SAFETY: the NPI's characteristics are a `u32`.
    let specific = unsafe { *instance.NpiSpecificCharacteristics.cast::<u32>() };
    assert_eq!(specific, 0x5eed);
    NtStatus::NO_MEMORY.0
}

macro_rules! never {
    ($($name:ident($($arg:ty),*) $(-> $result:ty)?;)*) => {
        $(
            // SAFETY: nothing else in this test has the names of netio.sys.
            #[unsafe(no_mangle)]
            extern "system" fn $name($(_: $arg),*) $(-> $result)? {
                unreachable!("nothing is ever registered");
            }
        )*
    };
}
never! {
    NmrRegisterProvider(*const NPI_PROVIDER_CHARACTERISTICS, *mut c_void, *mut HANDLE) -> NTSTATUS;
    NmrDeregisterClient(HANDLE) -> NTSTATUS;
    NmrDeregisterProvider(HANDLE) -> NTSTATUS;
    NmrWaitForClientDeregisterComplete(HANDLE) -> NTSTATUS;
    NmrWaitForProviderDeregisterComplete(HANDLE) -> NTSTATUS;
    NmrClientAttachProvider(HANDLE, *mut c_void, *const c_void, *mut *mut c_void, *mut *const c_void) -> NTSTATUS;
    NmrClientDetachProviderComplete(HANDLE);
    NmrProviderDetachClientComplete(HANDLE);
}
