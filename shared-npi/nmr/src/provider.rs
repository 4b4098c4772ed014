//! The provider's side of attaching.
//!
//! A client that wants to attach is offered to the provider, inside the client's
//! `NmrClientAttachProvider`. The provider's [`attach`](Provider::attach) turns the offer
//! into a [`ProviderAttach`], which only the offer can make:
//!
//! ```text
//! ClientOffer --decline------------------------------------> ProviderAttach
//!   |     ^                                                     ^  ^  ^
//!   |     | into_parts                                          |  |  |
//!   |   ProviderRejected --decline------------------------------+  |  |
//!   |     ^ (no memory)                                            |  |
//!   +-accept-> ProviderAccepted --attached-------------------------+  |
//!                      +----------reject (failure after accept)-------+
//! ```
//!
//! Nothing is told to NMR before the callback returns; success, and the two out parameters,
//! are written from the token.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::{fmt, ptr};

use allocator_api2::alloc::Allocator;

use crate::binding::{Bound, Context};
use crate::handle::ProviderBindingHandle;
use crate::npi::{Decline, Npi, Peer};
use crate::raw::NPI_REGISTRATION_INSTANCE;
use crate::registration::Pinned;
use crate::role::ProviderRole;
use crate::{BindingRef, CallGuard, DropAtDispatch, NtStatus, Passive, Registration};

/// A reference to a provider's side of a binding.
pub type ProviderBindingRef<P> = BindingRef<ProviderRole<P>>;
/// A call from a provider into a client.
pub type ProviderCallGuard<P> = CallGuard<ProviderRole<P>>;
/// A provider's side of a binding, in a callback.
pub type ProviderBound<'a, P> = Bound<'a, ProviderRole<P>>;
/// A registered provider.
pub type ProviderRegistration<P> = Registration<ProviderRole<P>>;

/// A provider module.
pub trait Provider: Send + Sync + Sized + 'static {
    /// The NPI that it provides.
    type Npi: Npi;
    /// What it keeps for each client. Dropped in the cleanup callback.
    type Binding: DropAtDispatch + Send + Sync + 'static;
    /// Where its registration and bindings live: memory that is never paged, and that may be
    /// freed at `DISPATCH_LEVEL`. Clones are the same allocator.
    type Allocator: Allocator + Clone + Send + Sync + 'static;

    /// What the module tells clients of itself (`NpiSpecificCharacteristics`), asked for
    /// once, in [`ProviderRegistration::register`], when the module is in its final place:
    /// pointers to parts of it stay valid until it is deregistered.
    fn characteristics(&self) -> Option<<Self::Npi as Npi>::ProviderCharacteristics> {
        None
    }

    /// A client wants to attach (`ProviderAttachClient`).
    ///
    /// May run on several threads at once, for different clients. Other modules may be
    /// registered inside; to wait for the deregistration of this one would never end.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn attach<'o>(&self, passive: Passive<'o>, offer: ClientOffer<'o, Self>) -> ProviderAttach<'o, Self>;

    /// A binding is being detached (`ProviderDetachClient`). No call can begin any more;
    /// those in flight may be hurried up here. Must not block.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    fn detaching(&self, binding: &ProviderBound<'_, Self>) {
        let _ = binding;
    }
}

/// A provider's binding context, turned back into the binding: for the entries of its
/// dispatch.
///
/// # Safety
/// As [`Bound::from_context`].
#[must_use]
pub const unsafe fn borrow_provider_binding<'a, P: Provider>(context: *mut c_void) -> ProviderBound<'a, P> {
    // SAFETY: the caller's promise is the same.
    unsafe { Bound::from_context(context) }
}

/// A lifetime that nothing else has, on one thread.
type Brand<'o> = PhantomData<(fn(&'o ()) -> &'o (), *const ())>;

/// A client that NMR offers to a provider.
#[must_use = "an attach callback has to return what becomes of the offer"]
pub struct ClientOffer<'o, P: Provider> {
    handle: ProviderBindingHandle,
    registration: &'o Pinned<ProviderRole<P>>,
    client: &'o NPI_REGISTRATION_INSTANCE,
    client_context: *mut c_void,
    client_dispatch: *const c_void,
    brand: Brand<'o>,
}

impl<'o, P: Provider> ClientOffer<'o, P> {
    pub(crate) const fn new(
        handle: ProviderBindingHandle,
        registration: &'o Pinned<ProviderRole<P>>,
        client: &'o NPI_REGISTRATION_INSTANCE,
        client_context: *mut c_void,
        client_dispatch: *const c_void,
    ) -> Self {
        Self {
            handle,
            registration,
            client,
            client_context,
            client_dispatch,
            brand: PhantomData,
        }
    }

    /// What the client tells of itself.
    #[must_use]
    pub fn peer(&self) -> Peer<'o, <P::Npi as Npi>::ClientCharacteristics> {
        // SAFETY: the instance is that of a registered client of this NPI, whose pointers are
        // as `Npi` promises, and it stays registered while the callback lasts.
        unsafe { Peer::read(self.client) }
    }

    /// The client's dispatch, to be judged and not to be called: that takes a guard. `None`
    /// if it is null.
    #[must_use]
    pub const fn client_dispatch(&self) -> Option<&'o <P::Npi as Npi>::ClientDispatch> {
        // SAFETY: null or valid as long as the client is attaching, as `Npi` promises.
        unsafe {
            self.client_dispatch
                .cast::<<P::Npi as Npi>::ClientDispatch>()
                .as_ref()
        }
    }

    /// Leaves the client alone. It may try again with another dispatch in the same attach.
    pub const fn decline(self, reason: Decline) -> ProviderAttach<'o, P> {
        ProviderAttach::declined(reason.status())
    }

    /// Prepares to take the client.
    ///
    /// The client may call into `dispatch` as soon as the attach callback has returned the
    /// token of [`ProviderAccepted::attached`]. Calls into the client begin then, too.
    ///
    /// # Errors
    /// The offer and the binding value, if there is no memory.
    pub fn accept(
        self,
        binding: P::Binding,
        dispatch: Option<&'static <P::Npi as Npi>::ProviderDispatch>,
    ) -> Result<ProviderAccepted<'o, P>, ProviderRejected<'o, P>> {
        let context = match Context::try_new(self.registration, self.handle, binding) {
            Ok(context) => context,
            Err(binding) => return Err(ProviderRejected { offer: self, binding }),
        };
        // SAFETY: allocated just now.
        let reference = unsafe { context.as_ref() }.reference().clone();
        // SAFETY: the first and only time, and the rundown is not open.
        unsafe { reference.set_peer(self.client_context, self.client_dispatch.cast()) };
        let dispatch = dispatch.map_or(ptr::null(), ptr::from_ref);
        Ok(ProviderAccepted {
            attachment: Attachment {
                reference,
                context,
                dispatch,
            },
            brand: PhantomData,
        })
    }
}

impl<P: Provider> fmt::Debug for ClientOffer<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOffer")
            .field("client_context", &self.client_context)
            .finish_non_exhaustive()
    }
}

/// There was no memory to take a client.
#[must_use = "an attach callback has to return what becomes of the offer"]
pub struct ProviderRejected<'o, P: Provider> {
    offer: ClientOffer<'o, P>,
    binding: P::Binding,
}

impl<'o, P: Provider> ProviderRejected<'o, P> {
    /// Takes the offer up again, with the binding value that was not used.
    pub fn into_parts(self) -> (ClientOffer<'o, P>, P::Binding) {
        (self.offer, self.binding)
    }

    /// Leaves it at that. The binding value is dropped.
    pub fn decline(self) -> ProviderAttach<'o, P> {
        self.offer.decline(Decline::OutOfMemory)
    }
}

impl<P: Provider> fmt::Debug for ProviderRejected<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProviderRejected").field(&self.offer).finish()
    }
}

/// A side that is ready to be attached.
pub struct Attachment<P: Provider> {
    pub reference: ProviderBindingRef<P>,
    pub context: ptr::NonNull<Context<ProviderRole<P>>>,
    pub dispatch: *const <P::Npi as Npi>::ProviderDispatch,
}

/// This provider is ready to take the client; it may still think otherwise.
#[must_use = "an attach callback has to return what becomes of the offer"]
pub struct ProviderAccepted<'o, P: Provider> {
    attachment: Attachment<P>,
    brand: Brand<'o>,
}

impl<'o, P: Provider> ProviderAccepted<'o, P> {
    /// The binding. Clones may be handed out now; they can be entered when the attach
    /// callback has returned success.
    #[must_use]
    pub const fn reference(&self) -> &ProviderBindingRef<P> {
        &self.attachment.reference
    }

    /// Attached.
    pub fn attached(self) -> ProviderAttach<'o, P> {
        ProviderAttach {
            outcome: Ok(self.attachment),
            brand: PhantomData,
        }
    }

    /// Fails after all, and gives the binding value back.
    pub fn reject(self, reason: Decline) -> (P::Binding, ProviderAttach<'o, P>) {
        let Attachment {
            reference, context, ..
        } = self.attachment;
        reference.close();
        // SAFETY: NMR and the client have not heard of it, and the rundown was never open.
        let binding = unsafe { Context::take(context) };
        (binding, ProviderAttach::declined(reason.status()))
    }
}

impl<P: Provider> fmt::Debug for ProviderAccepted<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProviderAccepted").field(self.reference()).finish()
    }
}

/// What `ProviderAttachClient` returns.
#[must_use = "this is what the attach callback has to return"]
pub struct ProviderAttach<'o, P: Provider> {
    outcome: Result<Attachment<P>, NtStatus>,
    brand: Brand<'o>,
}

impl<P: Provider> ProviderAttach<'_, P> {
    const fn declined(status: NtStatus) -> Self {
        Self {
            outcome: Err(status),
            brand: PhantomData,
        }
    }

    /// What the callback returns, and writes to its out parameters.
    pub(crate) fn into_outcome(self) -> Result<Attachment<P>, NtStatus> {
        self.outcome
    }
}

impl<P: Provider> fmt::Debug for ProviderAttach<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(attachment) => f.debug_tuple("Attached").field(&attachment.reference).finish(),
            Err(status) => f.debug_tuple("Declined").field(status).finish(),
        }
    }
}
