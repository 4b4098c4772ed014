//! What is the same for both sides of a binding, seen from one of them.
//!
//! Attaching differs between clients and providers (see [`crate::client`] and
//! [`crate::provider`]); registering, counting calls, detaching and cleaning up do not.
//! [`Role`] is the difference that is left over, and lets that code be written once.

use core::convert::Infallible;
use core::ffi::c_void;
use core::marker::PhantomData;

use allocator_api2::alloc::Allocator;

use crate::binding::Bound;
use crate::client::Client;
use crate::handle::{ClientBindingHandle, ClientHandle, ProviderBindingHandle, ProviderHandle};
use crate::npi::Npi;
use crate::provider::Provider;
use crate::{DropAtDispatch, NtStatus, raw, thunks};

mod sealed {
    pub trait Sealed {}
    impl<C: super::Client> Sealed for super::ClientRole<C> {}
    impl<P: super::Provider> Sealed for super::ProviderRole<P> {}
}

/// One side of the bindings of a module. There are two: [`ClientRole`] and [`ProviderRole`].
pub trait Role: sealed::Sealed + Sized + 'static {
    /// The module.
    type Module: Send + Sync + 'static;
    /// The NPI that it supports.
    type Npi: Npi;
    /// What it keeps for each binding.
    type Binding: DropAtDispatch + Send + Sync + 'static;
    /// Where registrations and bindings are allocated.
    type Allocator: Allocator + Clone + Send + Sync + 'static;
    /// What it tells its peers.
    type Characteristics: 'static;
    /// What it calls in its peers.
    type PeerDispatch: Sync + 'static;

    /// What it registers.
    #[doc(hidden)]
    type RawCharacteristics: Copy;
    /// Its registration.
    #[doc(hidden)]
    type Handle: Copy + Send + Sync;
    /// Its side of a binding.
    #[doc(hidden)]
    type BindingHandle: Copy + Send + Sync;

    /// Asks the module, which is in its final place, what it tells its peers.
    #[doc(hidden)]
    fn characteristics(module: &Self::Module) -> Option<Self::Characteristics>;

    /// Tells the module that a binding is being detached.
    #[doc(hidden)]
    fn detaching(module: &Self::Module, binding: &Bound<'_, Self>);

    /// The thunks of this role, with the registration instance.
    #[doc(hidden)]
    fn raw_characteristics(instance: raw::NPI_REGISTRATION_INSTANCE) -> Self::RawCharacteristics;

    /// Registers.
    ///
    /// # Safety
    /// As [`ClientHandle::register`]; the context is the pinned registration of this role.
    #[doc(hidden)]
    unsafe fn register(
        characteristics: *const Self::RawCharacteristics,
        context: *mut c_void,
    ) -> Result<Self::Handle, NtStatus>;

    /// Begins to deregister.
    ///
    /// # Safety
    /// As [`ClientHandle::deregister`].
    #[doc(hidden)]
    unsafe fn deregister(handle: Self::Handle) -> NtStatus;

    /// Waits until deregistered.
    ///
    /// # Safety
    /// As [`ClientHandle::wait`].
    #[doc(hidden)]
    unsafe fn wait(handle: Self::Handle) -> NtStatus;

    /// Ends a pending detach.
    ///
    /// # Safety
    /// As [`ClientBindingHandle::detach_complete`].
    #[doc(hidden)]
    unsafe fn detach_complete(handle: Self::BindingHandle);
}

/// The client's side.
#[derive(Debug)]
pub struct ClientRole<C>(PhantomData<fn() -> C>, Infallible);

/// The provider's side.
#[derive(Debug)]
pub struct ProviderRole<P>(PhantomData<fn() -> P>, Infallible);

impl<C: Client> Role for ClientRole<C> {
    type Module = C;
    type Npi = C::Npi;
    type Binding = C::Binding;
    type Allocator = C::Allocator;
    type Characteristics = <C::Npi as Npi>::ClientCharacteristics;
    type PeerDispatch = <C::Npi as Npi>::ProviderDispatch;
    type RawCharacteristics = raw::NPI_CLIENT_CHARACTERISTICS;
    type Handle = ClientHandle;
    type BindingHandle = ClientBindingHandle;

    fn characteristics(module: &C) -> Option<Self::Characteristics> {
        module.characteristics()
    }

    fn detaching(module: &C, binding: &Bound<'_, Self>) {
        module.detaching(binding);
    }

    #[expect(clippy::cast_possible_truncation, reason = "72 bytes; raw.rs asserts it")]
    fn raw_characteristics(instance: raw::NPI_REGISTRATION_INSTANCE) -> Self::RawCharacteristics {
        raw::NPI_CLIENT_CHARACTERISTICS {
            Version: 0,
            Length: size_of::<raw::NPI_CLIENT_CHARACTERISTICS>() as u16,
            ClientAttachProvider: Some(thunks::client_attach_provider::<C>),
            ClientDetachProvider: Some(thunks::detach::<Self>),
            ClientCleanupBindingContext: Some(thunks::cleanup_binding_context::<Self>),
            ClientRegistrationInstance: instance,
        }
    }

    unsafe fn register(
        characteristics: *const Self::RawCharacteristics,
        context: *mut c_void,
    ) -> Result<Self::Handle, NtStatus> {
        // SAFETY: the caller's promise is the same.
        unsafe { ClientHandle::register(characteristics, context) }
    }

    unsafe fn deregister(handle: Self::Handle) -> NtStatus {
        // SAFETY: the caller's promise is the same.
        unsafe { handle.deregister() }
    }

    unsafe fn wait(handle: Self::Handle) -> NtStatus {
        // SAFETY: the caller's promise is the same.
        unsafe { handle.wait() }
    }

    unsafe fn detach_complete(handle: Self::BindingHandle) {
        // SAFETY: the caller's promise is the same.
        unsafe { handle.detach_complete() }
    }
}

impl<P: Provider> Role for ProviderRole<P> {
    type Module = P;
    type Npi = P::Npi;
    type Binding = P::Binding;
    type Allocator = P::Allocator;
    type Characteristics = <P::Npi as Npi>::ProviderCharacteristics;
    type PeerDispatch = <P::Npi as Npi>::ClientDispatch;
    type RawCharacteristics = raw::NPI_PROVIDER_CHARACTERISTICS;
    type Handle = ProviderHandle;
    type BindingHandle = ProviderBindingHandle;

    fn characteristics(module: &P) -> Option<Self::Characteristics> {
        module.characteristics()
    }

    fn detaching(module: &P, binding: &Bound<'_, Self>) {
        module.detaching(binding);
    }

    #[expect(clippy::cast_possible_truncation, reason = "72 bytes; raw.rs asserts it")]
    fn raw_characteristics(instance: raw::NPI_REGISTRATION_INSTANCE) -> Self::RawCharacteristics {
        raw::NPI_PROVIDER_CHARACTERISTICS {
            Version: 0,
            Length: size_of::<raw::NPI_PROVIDER_CHARACTERISTICS>() as u16,
            ProviderAttachClient: Some(thunks::provider_attach_client::<P>),
            ProviderDetachClient: Some(thunks::detach::<Self>),
            ProviderCleanupBindingContext: Some(thunks::cleanup_binding_context::<Self>),
            ProviderRegistrationInstance: instance,
        }
    }

    unsafe fn register(
        characteristics: *const Self::RawCharacteristics,
        context: *mut c_void,
    ) -> Result<Self::Handle, NtStatus> {
        // SAFETY: the caller's promise is the same.
        unsafe { ProviderHandle::register(characteristics, context) }
    }

    unsafe fn deregister(handle: Self::Handle) -> NtStatus {
        // SAFETY: the caller's promise is the same.
        unsafe { handle.deregister() }
    }

    unsafe fn wait(handle: Self::Handle) -> NtStatus {
        // SAFETY: the caller's promise is the same.
        unsafe { handle.wait() }
    }

    unsafe fn detach_complete(handle: Self::BindingHandle) {
        // SAFETY: the caller's promise is the same.
        unsafe { handle.detach_complete() }
    }
}
