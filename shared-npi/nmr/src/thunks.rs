//! What NMR calls: six callbacks, three for each side.
//!
//! Rules of all of them:
//!
//! * No lock is held when one begins, and none across any call of NMR: this crate has none.
//! * Attach runs at `PASSIVE_LEVEL` and says so to the module. Detach and cleanup run at up
//!   to `DISPATCH_LEVEL`, at the level and on the thread of whoever deregisters or ends the
//!   last call; they allocate nothing, wait for nothing, and get no [`Passive`].
//! * Nothing unwinds out of them: `extern "system"` makes an unwinding panic an abort.

use core::ffi::c_void;
use core::ptr::NonNull;

use crate::binding::{Bound, Context};
use crate::client::{Client, ProviderOffer};
use crate::handle::{ClientBindingHandle, ProviderBindingHandle};
use crate::provider::{ClientOffer, Provider};
use crate::raw::{HANDLE, NPI_REGISTRATION_INSTANCE, NTSTATUS};
use crate::registration::Pinned;
use crate::role::{ClientRole, ProviderRole, Role};
use crate::{NtStatus, Passive};

/// `ClientAttachProvider`.
pub unsafe extern "system" fn client_attach_provider<C: Client>(
    binding: HANDLE,
    client: *mut c_void,
    provider: *const NPI_REGISTRATION_INSTANCE,
) -> NTSTATUS {
    // SAFETY: the context of the registration, which is pinned until it is drained.
    let registration = unsafe { &*client.cast::<Pinned<ClientRole<C>>>() };
    // SAFETY: NMR passes the instance of a registered provider, which stays registered as
    // long as an attach to it is in progress.
    let provider = unsafe { &*provider };
    // SAFETY: NMR calls ClientAttachProvider at PASSIVE_LEVEL.
    let passive = unsafe { Passive::assume() };
    let binding = ClientBindingHandle::from_attach(binding);
    let offer = ProviderOffer::new(binding, registration, provider);
    registration.module().attach(passive, offer).finish().0
}

/// `ProviderAttachClient`.
pub unsafe extern "system" fn provider_attach_client<P: Provider>(
    binding: HANDLE,
    provider: *mut c_void,
    client: *const NPI_REGISTRATION_INSTANCE,
    client_context: *mut c_void,
    client_dispatch: *const c_void,
    provider_context: *mut *mut c_void,
    provider_dispatch: *mut *const c_void,
) -> NTSTATUS {
    // SAFETY: the context of the registration, which is pinned until it is drained.
    let registration = unsafe { &*provider.cast::<Pinned<ProviderRole<P>>>() };
    // SAFETY: NMR passes the instance of a registered client, which stays registered as long
    // as an attach by it is in progress.
    let client = unsafe { &*client };
    // SAFETY: NMR calls ProviderAttachClient at PASSIVE_LEVEL, as its client calls
    // NmrClientAttachProvider there.
    let passive = unsafe { Passive::assume() };
    let binding = ProviderBindingHandle::from_attach(binding);
    let offer = ClientOffer::new(binding, registration, client, client_context, client_dispatch);
    let accepted = match registration.module().attach(passive, offer).into_outcome() {
        Ok(accepted) => accepted,
        Err(status) => return status.0,
    };
    // SAFETY: NMR passes a valid place.
    unsafe { provider_context.write(accepted.context.as_ptr().cast()) };
    // SAFETY: NMR passes a valid place.
    unsafe { provider_dispatch.write(accepted.dispatch.cast()) };
    // The last act before success is returned, so that no call goes to a client whose attach
    // could still fail here.
    accepted.reference.open();
    NtStatus::SUCCESS.0
}

/// `ClientDetachProvider` and `ProviderDetachClient`.
pub unsafe extern "system" fn detach<R: Role>(context: *mut c_void) -> NTSTATUS {
    // SAFETY: a binding context of this role, which NMR keeps until both sides are detached.
    // It is not touched after `leave` below.
    let bound = unsafe { Bound::<R>::from_context(context) };
    let rundown = bound.context().rundown();
    let Some(entered) = rundown.begin() else {
        // The rundown of an abandoned attach is closed already; nothing is in flight.
        return NtStatus::SUCCESS.0;
    };
    // Until `leave` this thunk counts as a call: a guard dropped elsewhere cannot complete
    // the detach, so the context is there for the module to look at.
    R::detaching(bound.module(), &bound);
    if rundown.leave(entered) {
        NtStatus::SUCCESS.0
    } else {
        // The last guard completes, or has already done so.
        NtStatus::PENDING.0
    }
}

/// `ClientCleanupBindingContext` and `ProviderCleanupBindingContext`.
pub unsafe extern "system" fn cleanup_binding_context<R: Role>(context: *mut c_void) {
    let Some(context) = NonNull::new(context.cast::<Context<R>>()) else {
        return;
    };
    // SAFETY: a binding context of this role, which NMR has kept until now.
    if unsafe { context.as_ref() }.is_abandoned() {
        return;
    }
    // SAFETY: NMR gives it back for good: both sides are detached.
    unsafe { Context::free(context) };
}
