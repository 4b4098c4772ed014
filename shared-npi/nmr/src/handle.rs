//! The four kinds of NMR handle. None converts into another, and each function of NMR is a
//! method of the one kind that it takes: the provider's side of a binding cannot be handed to
//! the client's function, nor a registration to either.

use core::ffi::c_void;
use core::ptr;

use crate::NtStatus;
use crate::raw::{self, HANDLE};

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name(HANDLE);

        // SAFETY: a handle is an opaque number to its holder; NMR takes it on any thread.
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}
    };
}

handle!(
    /// A registered client module.
    ClientHandle
);
handle!(
    /// A registered provider module.
    ProviderHandle
);
handle!(
    /// A binding, as its client knows it.
    ClientBindingHandle
);
handle!(
    /// A binding, as its provider knows it.
    ProviderBindingHandle
);

impl ClientHandle {
    /// `NmrRegisterClient`.
    ///
    /// # Safety
    /// `PASSIVE_LEVEL`. Both pointers, and all that the characteristics point to, stay valid
    /// and unchanged until the module is deregistered and waited for.
    pub unsafe fn register(
        characteristics: *const raw::NPI_CLIENT_CHARACTERISTICS,
        context: *mut c_void,
    ) -> Result<Self, NtStatus> {
        let mut handle = ptr::null_mut();
        // SAFETY: as the caller says; `handle` is valid for the call.
        let status = unsafe { raw::NmrRegisterClient(characteristics, context, &raw mut handle) };
        NtStatus(status).ok().map(|()| Self(handle))
    }

    /// `NmrDeregisterClient`.
    ///
    /// # Safety
    /// Once per registration.
    pub unsafe fn deregister(self) -> NtStatus {
        // SAFETY: a registered client, not deregistered before, as the caller says.
        NtStatus(unsafe { raw::NmrDeregisterClient(self.0) })
    }

    /// `NmrWaitForClientDeregisterComplete`.
    ///
    /// # Safety
    /// Once, after [`Self::deregister`] returned pending, below `DISPATCH_LEVEL`.
    pub unsafe fn wait(self) -> NtStatus {
        // SAFETY: a client that is being deregistered, as the caller says.
        NtStatus(unsafe { raw::NmrWaitForClientDeregisterComplete(self.0) })
    }
}

impl ProviderHandle {
    /// `NmrRegisterProvider`.
    ///
    /// # Safety
    /// As [`ClientHandle::register`].
    pub unsafe fn register(
        characteristics: *const raw::NPI_PROVIDER_CHARACTERISTICS,
        context: *mut c_void,
    ) -> Result<Self, NtStatus> {
        let mut handle = ptr::null_mut();
        // SAFETY: as the caller says; `handle` is valid for the call.
        let status = unsafe { raw::NmrRegisterProvider(characteristics, context, &raw mut handle) };
        NtStatus(status).ok().map(|()| Self(handle))
    }

    /// `NmrDeregisterProvider`.
    ///
    /// # Safety
    /// As [`ClientHandle::deregister`].
    pub unsafe fn deregister(self) -> NtStatus {
        // SAFETY: a registered provider, not deregistered before, as the caller says.
        NtStatus(unsafe { raw::NmrDeregisterProvider(self.0) })
    }

    /// `NmrWaitForProviderDeregisterComplete`.
    ///
    /// # Safety
    /// As [`ClientHandle::wait`].
    pub unsafe fn wait(self) -> NtStatus {
        // SAFETY: a provider that is being deregistered, as the caller says.
        NtStatus(unsafe { raw::NmrWaitForProviderDeregisterComplete(self.0) })
    }
}

impl ClientBindingHandle {
    /// The handle that `ClientAttachProvider` was given.
    pub(crate) const fn from_attach(handle: HANDLE) -> Self {
        Self(handle)
    }

    /// `NmrClientAttachProvider`; on success the provider's binding context and dispatch.
    ///
    /// # Safety
    /// Inside the `ClientAttachProvider` callback that gave the handle, on its thread, until
    /// it first succeeds. Context and dispatch are ready for the provider's calls now, and
    /// stay so until cleanup, or until this fails.
    pub(crate) unsafe fn attach_provider(
        self,
        context: *mut c_void,
        dispatch: *const c_void,
    ) -> (NtStatus, *mut c_void, *const c_void) {
        let mut peer_context = ptr::null_mut();
        let mut peer_dispatch = ptr::null();
        // SAFETY: as the caller says; the two out parameters are valid for the call.
        let status = unsafe {
            raw::NmrClientAttachProvider(
                self.0,
                context,
                dispatch,
                &raw mut peer_context,
                &raw mut peer_dispatch,
            )
        };
        (NtStatus(status), peer_context, peer_dispatch)
    }

    /// `NmrClientDetachProviderComplete`.
    ///
    /// # Safety
    /// Once, for a binding whose `ClientDetachProvider` returned pending or is about to.
    pub unsafe fn detach_complete(self) {
        // SAFETY: as the caller says.
        unsafe { raw::NmrClientDetachProviderComplete(self.0) }
    }
}

impl ProviderBindingHandle {
    /// The handle that `ProviderAttachClient` was given.
    pub(crate) const fn from_attach(handle: HANDLE) -> Self {
        Self(handle)
    }

    /// `NmrProviderDetachClientComplete`.
    ///
    /// # Safety
    /// Once, for a binding whose `ProviderDetachClient` returned pending or is about to.
    pub unsafe fn detach_complete(self) {
        // SAFETY: as the caller says.
        unsafe { raw::NmrProviderDetachClientComplete(self.0) }
    }
}
