//! The client's side of attaching.
//!
//! NMR offers each provider to each client of its NPI, once per registration of either. The
//! client's [`attach`](Client::attach) turns the offer into a [`ClientAttach`], which only
//! the offer can make:
//!
//! ```text
//! ProviderOffer --decline----------------------------------------------> ClientAttach
//!   |      ^                                                                  ^  ^
//!   |      | into_parts (retry, with another dispatch)                        |  |
//!   |      |                                                                  |  |
//!   |   ClientRejected --decline--(the status of the last try)----------------+  |
//!   |      ^                                                                  |  |
//!   +-accept-> ClientAccepted --attached--------------------------------------+  |
//!                    +----------abandon (failure after accept)-------------------+
//! ```
//!
//! As the token *is* what the callback returns, the callback cannot claim success without
//! having attached, nor return another status than the one that NMR knows.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::{fmt, ptr};

use allocator_api2::alloc::Allocator;

use crate::binding::{AttachGuard, Bound, Context};
use crate::handle::ClientBindingHandle;
use crate::npi::{Decline, Npi, Peer};
use crate::raw::NPI_REGISTRATION_INSTANCE;
use crate::registration::Pinned;
use crate::role::ClientRole;
use crate::{BindingRef, CallGuard, DropAtDispatch, NtStatus, Passive, Registration};

/// A reference to a client's side of a binding.
pub type ClientBindingRef<C> = BindingRef<ClientRole<C>>;
/// A call from a client into a provider.
pub type ClientCallGuard<C> = CallGuard<ClientRole<C>>;
/// A client's side of a binding, in a callback.
pub type ClientBound<'a, C> = Bound<'a, ClientRole<C>>;
/// A registered client.
pub type ClientRegistration<C> = Registration<ClientRole<C>>;

/// A client module.
pub trait Client: Send + Sync + Sized + 'static {
    /// The NPI whose providers it uses.
    type Npi: Npi;
    /// What it keeps for each provider. Dropped in the cleanup callback.
    type Binding: DropAtDispatch + Send + Sync + 'static;
    /// Where its registration and bindings live: memory that is never paged, and that may be
    /// freed at `DISPATCH_LEVEL`. Clones are the same allocator.
    type Allocator: Allocator + Clone + Send + Sync + 'static;

    /// What the module tells providers of itself (`NpiSpecificCharacteristics`), asked for
    /// once, in [`ClientRegistration::register`], when the module is in its final place:
    /// pointers to parts of it stay valid until it is deregistered.
    fn characteristics(&self) -> Option<<Self::Npi as Npi>::ClientCharacteristics> {
        None
    }

    /// A provider is offered (`ClientAttachProvider`).
    ///
    /// May run on several threads at once, for different providers. Other modules may be
    /// registered inside; to wait for the deregistration of this one would never end.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn attach<'o>(&self, passive: Passive<'o>, offer: ProviderOffer<'o, Self>) -> ClientAttach<'o, Self>;

    /// A binding is being detached (`ClientDetachProvider`). No call can begin any more;
    /// those in flight may be hurried up here. Must not block.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    fn detaching(&self, binding: &ClientBound<'_, Self>) {
        let _ = binding;
    }
}

/// A client's binding context, turned back into the binding: for the entries of its dispatch.
///
/// # Safety
/// As [`Bound::from_context`].
#[must_use]
pub const unsafe fn borrow_client_binding<'a, C: Client>(context: *mut c_void) -> ClientBound<'a, C> {
    // SAFETY: the caller's promise is the same.
    unsafe { Bound::from_context(context) }
}

/// A lifetime that nothing else has, on one thread.
type Brand<'o> = PhantomData<(fn(&'o ()) -> &'o (), *const ())>;

/// A provider that NMR offers to a client.
#[must_use = "an attach callback has to return what becomes of the offer"]
pub struct ProviderOffer<'o, C: Client> {
    handle: ClientBindingHandle,
    registration: &'o Pinned<ClientRole<C>>,
    provider: &'o NPI_REGISTRATION_INSTANCE,
    /// What the last `NmrClientAttachProvider` returned.
    last: Option<NtStatus>,
    brand: Brand<'o>,
}

impl<'o, C: Client> ProviderOffer<'o, C> {
    pub(crate) const fn new(
        handle: ClientBindingHandle,
        registration: &'o Pinned<ClientRole<C>>,
        provider: &'o NPI_REGISTRATION_INSTANCE,
    ) -> Self {
        Self {
            handle,
            registration,
            provider,
            last: None,
            brand: PhantomData,
        }
    }

    /// What the provider tells of itself.
    #[must_use]
    pub fn peer(&self) -> Peer<'o, <C::Npi as Npi>::ProviderCharacteristics> {
        // SAFETY: the instance is that of a registered provider of this NPI, whose pointers
        // are as `Npi` promises, and it stays registered while the callback lasts.
        unsafe { Peer::read(self.provider) }
    }

    /// Leaves the provider alone. It is offered again only if one of the two registers again.
    ///
    /// If the provider has rejected this client in the same callback, its status is returned,
    /// whatever the reason here: NMR wants the status of the last try.
    pub fn decline(self, reason: Decline) -> ClientAttach<'o, C> {
        ClientAttach::declined(self.last.unwrap_or_else(|| reason.status()))
    }

    /// Attaches (`NmrClientAttachProvider`).
    ///
    /// The provider may call into `dispatch` before this returns, as soon as it has accepted:
    /// all that those entries need has to be ready now. Calls into the provider begin with
    /// [`ClientAccepted::enter`], or when the attach callback has returned.
    ///
    /// # Errors
    /// The offer and the binding value, if the provider rejects this client or there is no
    /// memory. The offer may be tried again, with another dispatch.
    pub fn accept(
        self,
        binding: C::Binding,
        dispatch: Option<&'static <C::Npi as Npi>::ClientDispatch>,
    ) -> Result<ClientAccepted<'o, C>, ClientRejected<'o, C>> {
        let context = match Context::try_new(self.registration, self.handle, binding) {
            Ok(context) => context,
            Err(binding) => {
                let status = NtStatus::INSUFFICIENT_RESOURCES;
                return Err(ClientRejected {
                    offer: self,
                    binding,
                    status,
                });
            }
        };
        // SAFETY: allocated just now; not freed before the provider had it.
        let reference = unsafe { context.as_ref() }.reference().clone();
        let dispatch = dispatch.map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the offer exists only inside its callback, on its thread, and only until
        // the first success. The context and dispatch are complete.
        let (status, peer_context, peer_dispatch) = unsafe {
            self.handle
                .attach_provider(context.as_ptr().cast(), dispatch.cast())
        };
        if !status.is_success() {
            drop(reference);
            // SAFETY: NMR gives it back on failure; the provider never attached.
            let binding = unsafe { Context::take(context) };
            let offer = Self {
                last: Some(status),
                ..self
            };
            return Err(ClientRejected {
                offer,
                binding,
                status,
            });
        }
        // SAFETY: the first and only time, and the rundown is not open.
        unsafe { reference.set_peer(peer_context, peer_dispatch.cast()) };
        let registration = self.registration;
        Ok(ClientAccepted {
            reference,
            context,
            registration,
            status,
            brand: PhantomData,
        })
    }
}

impl<C: Client> fmt::Debug for ProviderOffer<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderOffer")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// A provider did not take this client.
#[must_use = "an attach callback has to return what becomes of the offer"]
pub struct ClientRejected<'o, C: Client> {
    offer: ProviderOffer<'o, C>,
    binding: C::Binding,
    status: NtStatus,
}

impl<'o, C: Client> ClientRejected<'o, C> {
    /// Why: the provider's status, or `STATUS_INSUFFICIENT_RESOURCES` if it was not asked.
    pub const fn status(&self) -> NtStatus {
        self.status
    }

    /// Takes the offer up again, with the binding value that was not used.
    pub fn into_parts(self) -> (ProviderOffer<'o, C>, C::Binding) {
        (self.offer, self.binding)
    }

    /// Leaves it at that. The binding value is dropped.
    pub fn decline(self) -> ClientAttach<'o, C> {
        ClientAttach::declined(self.offer.last.unwrap_or(self.status))
    }
}

impl<C: Client> fmt::Debug for ClientRejected<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRejected")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A provider has taken this client; the client may still think otherwise.
#[must_use = "an attach callback has to return what becomes of the offer"]
pub struct ClientAccepted<'o, C: Client> {
    reference: ClientBindingRef<C>,
    context: ptr::NonNull<Context<ClientRole<C>>>,
    registration: &'o Pinned<ClientRole<C>>,
    status: NtStatus,
    brand: Brand<'o>,
}

impl<'o, C: Client> ClientAccepted<'o, C> {
    /// The binding. Clones may be handed out now; they can be entered when the attach
    /// callback has returned.
    #[must_use]
    pub const fn reference(&self) -> &ClientBindingRef<C> {
        &self.reference
    }

    /// Enters a call into the provider while still attaching.
    #[must_use]
    pub fn enter(&self) -> Option<AttachGuard<'_, ClientRole<C>>> {
        self.reference.enter_early().map(AttachGuard::new)
    }

    /// Attached.
    pub fn attached(self) -> ClientAttach<'o, C> {
        ClientAttach {
            outcome: Outcome::Attached(self.reference, self.status),
            brand: PhantomData,
        }
    }

    /// Fails after the provider has accepted.
    ///
    /// NMR then takes the provider's half back, as the provider's detach, but says nothing to
    /// the client. The binding value is therefore kept until the client is deregistered.
    pub fn abandon(self, reason: Decline) -> ClientAttach<'o, C> {
        // SAFETY: the context is that of the reference, which only `attached` opens; and there is only one
        // `ClientAccepted` to come here.
        unsafe { Context::abandon(&self.reference, self.context, self.registration.abandoned()) };
        ClientAttach::declined(reason.status())
    }
}

impl<C: Client> fmt::Debug for ClientAccepted<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientAccepted").field(&self.reference).finish()
    }
}

/// What `ClientAttachProvider` returns.
#[must_use = "this is what the attach callback has to return"]
#[derive(Debug)]
pub struct ClientAttach<'o, C: Client> {
    outcome: Outcome<C>,
    brand: Brand<'o>,
}

enum Outcome<C: Client> {
    Declined(NtStatus),
    Attached(ClientBindingRef<C>, NtStatus),
}

impl<C: Client> fmt::Debug for Outcome<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declined(status) => f.debug_tuple("Declined").field(status).finish(),
            Self::Attached(reference, _) => f.debug_tuple("Attached").field(reference).finish(),
        }
    }
}

impl<C: Client> ClientAttach<'_, C> {
    const fn declined(status: NtStatus) -> Self {
        Self {
            outcome: Outcome::Declined(status),
            brand: PhantomData,
        }
    }

    /// The end of the callback: lets calls in, and says what to return.
    pub(crate) fn finish(self) -> NtStatus {
        match self.outcome {
            Outcome::Declined(status) => status,
            Outcome::Attached(reference, status) => {
                reference.open();
                status
            }
        }
    }
}
