//! The test: a client is attached to the provider, calls it, and both are unloaded.

use core::{ffi::c_void, ptr};

use nmr::{Guid, raw::*};
use nt_sim::{DriverName, Machine, Report, frames};

use crate::provider::Dispatch;

pub static NPI: NPIID = Guid::new(0x1D0C_7A55, 0x3F0E, 0x4C2B, [0x9A, 1, 2, 3, 4, 5, 6, 7]);
pub static MODULE: NPI_MODULEID = NPI_MODULEID {
    Length: size_of::<NPI_MODULEID>() as u16,
    Type: MIT_GUID,
    Id: NPI_MODULEID_ID { Guid: NPI },
};

/// The client: it keeps no context, and calls the provider once.
unsafe extern "system" fn attach(
    binding: HANDLE,
    _: *mut c_void,
    _: *const NPI_REGISTRATION_INSTANCE,
) -> NTSTATUS {
    let (mut context, mut dispatch) = (ptr::null_mut(), ptr::null());
    // SAFETY: the handle of this callback; a client may have neither context nor dispatch table.
    let status = unsafe {
        NmrClientAttachProvider(
            binding,
            ptr::null_mut(),
            ptr::null(),
            &raw mut context,
            &raw mut dispatch,
        )
    };
    if status == 0 {
        // SAFETY: the provider's table, by the rules of this NPI.
        let table = unsafe { &*dispatch.cast::<Dispatch>() };
        // SAFETY: with the context that the provider gave.
        assert_eq!(unsafe { (table.greet)(context) }, 1);
    }
    status
}

unsafe extern "system" fn detach(_: *mut c_void) -> NTSTATUS {
    0
}

/// Runs the provider and says what the verifier has found.
pub fn run(provider: &NPI_PROVIDER_CHARACTERISTICS) -> Report {
    let client = NPI_CLIENT_CHARACTERISTICS {
        Version: 0,
        Length: size_of::<NPI_CLIENT_CHARACTERISTICS>() as u16,
        ClientAttachProvider: Some(attach),
        ClientDetachProvider: Some(detach),
        ClientCleanupBindingContext: None,
        ClientRegistrationInstance: provider.ProviderRegistrationInstance,
    };
    let machine = Machine::builder().build().expect("a machine in memory");
    let entered = machine.enter();
    let (greeter, caller) = (DriverName::new("greeter.sys"), DriverName::new("caller.sys"));
    let (mut provider_handle, mut client_handle) = (ptr::null_mut(), ptr::null_mut());
    // What runs in a driver is attributed to it.
    frames::callback(&greeter, "DriverEntry", || {
        // SAFETY: the characteristics outlive the registration, which ends below.
        unsafe { NmrRegisterProvider(provider, ptr::null_mut(), &raw mut provider_handle) }
    });
    frames::callback(&caller, "DriverEntry", || {
        // SAFETY: as above.
        unsafe { NmrRegisterClient(&raw const client, ptr::null_mut(), &raw mut client_handle) }
    });
    frames::callback(&greeter, "EvtDriverUnload", || {
        // SAFETY: registered above.
        unsafe { NmrDeregisterProvider(provider_handle) };
        // SAFETY: deregistered just now.
        unsafe { NmrWaitForProviderDeregisterComplete(provider_handle) }
    });
    machine.check_unloaded(&greeter);
    frames::callback(&caller, "EvtDriverUnload", || {
        // SAFETY: registered above.
        unsafe { NmrDeregisterClient(client_handle) };
        // SAFETY: deregistered just now.
        unsafe { NmrWaitForClientDeregisterComplete(client_handle) }
    });
    machine.check_unloaded(&caller);
    drop(entered);
    machine.shutdown()
}
