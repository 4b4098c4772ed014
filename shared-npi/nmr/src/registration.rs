//! A registered module: pinned, owning all that NMR reads, and never silently dropped.
//!
//! NMR, and through it every peer, reads the characteristics of a module, its ids and its
//! NPI-specific data from the moment it registers until its deregistration is *complete*,
//! which is later than when deregistering returns. All of it therefore lives in one
//! allocation that does not move, and that only [`Deregistering::wait`] frees.
//!
//! ```text
//! register --> Registration --begin_deregister--> Deregistering --wait--> the module value
//!    |              |                                   |
//!    |           (dropped: fail fast)            (dropped: fail fast)
//!    +--> RegisterError: the module value, nothing registered
//! ```
//!
//! A driver with several registrations begins to deregister all of them and then waits for
//! each: waiting for one while another still takes calls can deadlock.

use core::ffi::c_void;
use core::fmt;
use core::mem::{self, offset_of};
use core::ptr::{self, NonNull};

use crate::binding::Context;
use crate::memory;
use crate::npi::{Npi, RegistrationConfig};
use crate::raw::{NPI_MODULEID, NPI_REGISTRATION_INSTANCE};
use crate::role::Role;
use crate::sync::AtomicPtr;
use crate::{Guid, NtStatus, Passive};

/// All that NMR may read or pass back while a module is registered.
pub struct Pinned<R: Role> {
    characteristics: R::RawCharacteristics,
    npi_id: Guid,
    module_id: NPI_MODULEID,
    specific: Option<R::Characteristics>,
    module: R::Module,
    /// The contexts of attaches that the client failed after the provider had accepted.
    abandoned: AtomicPtr<Context<R>>,
    allocator: R::Allocator,
}

impl<R: Role> Pinned<R> {
    pub(crate) const fn module(&self) -> &R::Module {
        &self.module
    }

    pub(crate) const fn allocator(&self) -> &R::Allocator {
        &self.allocator
    }

    pub(crate) const fn abandoned(&self) -> &AtomicPtr<Context<R>> {
        &self.abandoned
    }

    /// Allocates and fills in, without registering.
    fn try_new(
        module: R::Module,
        config: RegistrationConfig,
        allocator: R::Allocator,
    ) -> Result<NonNull<Self>, R::Module> {
        let Some(pinned) = memory::allocate::<Self, _>(&allocator) else {
            return Err(module);
        };
        let field = |offset: usize| pinned.as_ptr().cast::<u8>().wrapping_add(offset);
        #[expect(clippy::cast_possible_truncation, reason = "40 bytes; raw.rs asserts it")]
        let mut instance = NPI_REGISTRATION_INSTANCE {
            Version: config.version,
            Size: size_of::<NPI_REGISTRATION_INSTANCE>() as u16,
            NpiId: field(offset_of!(Self, npi_id)).cast(),
            ModuleId: field(offset_of!(Self, module_id)).cast(),
            Number: config.number,
            NpiSpecificCharacteristics: ptr::null(),
        };
        let value = Self {
            characteristics: R::raw_characteristics(instance),
            npi_id: R::Npi::ID,
            module_id: config.module_id.to_raw(),
            specific: None,
            module,
            abandoned: AtomicPtr::new(ptr::null_mut()),
            allocator,
        };
        // SAFETY: allocated just now for this type.
        unsafe { pinned.write(value) };
        // SAFETY: written just now, and nobody else knows it.
        let this = unsafe { &mut *pinned.as_ptr() };
        // Asked only now, as it may contain pointers into the module.
        this.specific = R::characteristics(&this.module);
        if let Some(specific) = &this.specific {
            let offset = ptr::from_ref(specific)
                .addr()
                .wrapping_sub(pinned.as_ptr().addr());
            instance.NpiSpecificCharacteristics = field(offset).cast();
            this.characteristics = R::raw_characteristics(instance);
        }
        Ok(pinned)
    }

    /// Frees, and gives the module back.
    ///
    /// # Safety
    /// NMR does not know the registration, or it is drained.
    unsafe fn take(this: NonNull<Self>) -> R::Module {
        // SAFETY: alive, as the caller says.
        let abandoned = &unsafe { this.as_ref() }.abandoned;
        // SAFETY: drained, as the caller says.
        unsafe { Context::free_abandoned(abandoned) };
        // SAFETY: made by `try_new`; its memory is given back below, and not read again.
        let value = unsafe { this.read() };
        // SAFETY: `try_new` took it from this allocator.
        unsafe { memory::free(this, &value.allocator) };
        value.module
    }
}

/// A module that could not be registered. Nothing of it is known to NMR.
pub struct RegisterError<M> {
    /// The module, as it was given.
    pub module: M,
    /// Why.
    pub status: NtStatus,
}

impl<M> fmt::Debug for RegisterError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterError")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl<M> fmt::Display for RegisterError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the module could not be registered: {}", self.status)
    }
}

impl<M> core::error::Error for RegisterError<M> {}

/// A registered module.
///
/// It ends with [`Self::deregister`], or with [`Self::begin_deregister`] and
/// [`Deregistering::wait`]. To drop it is a bug of the driver, as NMR would call into freed
/// memory; it panics.
#[must_use = "a registration ends only by `deregister`"]
pub struct Registration<R: Role> {
    pinned: NonNull<Pinned<R>>,
    handle: R::Handle,
}

// SAFETY: the handle is `Send + Sync`, and all that is shared is the module, which is, too.
unsafe impl<R: Role> Send for Registration<R> {}
// SAFETY: as above.
unsafe impl<R: Role> Sync for Registration<R> {}

impl<R: Role> Registration<R> {
    /// Registers a module (`NmrRegisterClient`, `NmrRegisterProvider`).
    ///
    /// Everything that its callbacks need has to be ready: peers that are already registered
    /// are attached, and may even be detached again, before this returns.
    ///
    /// # Errors
    /// The module, with `STATUS_INSUFFICIENT_RESOURCES` or what NMR answered.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn register(
        _passive: Passive<'_>,
        module: R::Module,
        config: RegistrationConfig,
        allocator: R::Allocator,
    ) -> Result<Self, RegisterError<R::Module>> {
        let pinned = match Pinned::<R>::try_new(module, config, allocator) {
            Ok(pinned) => pinned,
            Err(module) => {
                return Err(RegisterError {
                    module,
                    status: NtStatus::INSUFFICIENT_RESOURCES,
                });
            }
        };
        let context = pinned.as_ptr().cast::<c_void>();
        let offset = offset_of!(Pinned<R>, characteristics);
        let characteristics = context.wrapping_byte_add(offset).cast::<R::RawCharacteristics>();
        // SAFETY: at PASSIVE_LEVEL, as the witness says; the allocation is complete, and
        // freed only by `Pinned::take`, below and after the wait.
        match unsafe { R::register(characteristics, context) } {
            Ok(handle) => Ok(Self { pinned, handle }),
            Err(status) => {
                // SAFETY: a registration that failed leaves nothing behind in NMR.
                let module = unsafe { Pinned::take(pinned) };
                Err(RegisterError { module, status })
            }
        }
    }

    /// The module.
    #[must_use]
    pub const fn module(&self) -> &R::Module {
        // SAFETY: alive until the registration is waited for, and shared by all.
        unsafe { self.pinned.as_ref() }.module()
    }

    /// Deregisters, waits until no callback can come any more, and gives the module back.
    ///
    /// Never inside a callback of this module, nor in a call that its detach waits for, nor
    /// with a lock held that one of those takes: it would not end.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn deregister(self, passive: Passive<'_>) -> R::Module {
        self.begin_deregister().wait(passive)
    }

    /// Begins to deregister (`NmrDeregisterClient`, `NmrDeregisterProvider`): each binding is
    /// detached, with the callbacks running inside this call. The module has to be waited for.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL` for NMR. Callbacks run at the level of this call, so an NPI may
    /// ask for less.
    pub fn begin_deregister(self) -> Deregistering<R> {
        let (pinned, handle) = (self.pinned, self.handle);
        mem::forget(self);
        // SAFETY: registered, and deregistered here only, as the registration is consumed.
        let drained = match unsafe { R::deregister(handle) } {
            NtStatus::PENDING => false,
            NtStatus::SUCCESS => true,
            status => fail_fast("NMR refused to deregister a module", status),
        };
        Deregistering {
            pinned,
            handle,
            drained,
        }
    }
}

impl<R: Role> Drop for Registration<R> {
    fn drop(&mut self) {
        fail_fast(
            "a registered module was dropped, not deregistered",
            NtStatus::INVALID_DEVICE_STATE,
        );
    }
}

impl<R: Role> fmt::Debug for Registration<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}

/// A module that is being deregistered: detached from everything, or about to be.
#[must_use = "a deregistration ends only by `wait`"]
pub struct Deregistering<R: Role> {
    pinned: NonNull<Pinned<R>>,
    handle: R::Handle,
    drained: bool,
}

// SAFETY: as for `Registration`.
unsafe impl<R: Role> Send for Deregistering<R> {}
// SAFETY: as for `Registration`.
unsafe impl<R: Role> Sync for Deregistering<R> {}

impl<R: Role> Deregistering<R> {
    /// The module.
    #[must_use]
    pub const fn module(&self) -> &R::Module {
        // SAFETY: alive until the registration is waited for, and shared by all.
        unsafe { self.pinned.as_ref() }.module()
    }

    /// Waits until no callback can come any more (`NmrWaitForClientDeregisterComplete`,
    /// `NmrWaitForProviderDeregisterComplete`), and gives the module back.
    ///
    /// See [`Registration::deregister`] for where it must not be called.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn wait(self, _passive: Passive<'_>) -> R::Module {
        let (pinned, handle, drained) = (self.pinned, self.handle, self.drained);
        mem::forget(self);
        if !drained {
            // SAFETY: deregistered with a pending result, and waited for here only, as the
            // deregistration is consumed. At PASSIVE_LEVEL, as the witness says.
            let status = unsafe { R::wait(handle) };
            if status != NtStatus::SUCCESS {
                fail_fast("NMR refused to wait for a module", status);
            }
        }
        // SAFETY: drained, just now.
        unsafe { Pinned::take(pinned) }
    }
}

impl<R: Role> Drop for Deregistering<R> {
    fn drop(&mut self) {
        fail_fast(
            "a deregistration was dropped, not waited for",
            NtStatus::INVALID_DEVICE_STATE,
        );
    }
}

impl<R: Role> fmt::Debug for Deregistering<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deregistering")
            .field("drained", &self.drained)
            .finish_non_exhaustive()
    }
}

/// Stops here: NMR would go on to use what the driver is about to free.
#[expect(clippy::panic, reason = "to continue would be a use after free in the kernel")]
#[cold]
fn fail_fast(what: &str, status: NtStatus) -> ! {
    panic!("{what}: {status}");
}
