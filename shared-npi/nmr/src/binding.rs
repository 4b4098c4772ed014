//! One side of a binding: its context, the references to it, and the guards of calls.
//!
//! Two allocations make up a side, both made before the peer hears of it:
//!
//! * the **context** is what NMR and the peer know as this side's binding context. It holds
//!   the module's [`Role::Binding`] value and is freed in the cleanup callback, which is the
//!   moment when neither side calls the other any more;
//! * the **slot** is what [`BindingRef`]s share. It holds the rundown, and what is needed to
//!   call the peer. It is reference counted, the context holds one reference, and it may
//!   outlive the binding, so that a `BindingRef` kept too long merely fails to enter.
//!
//! INVARIANT: while the rundown of a slot counts a call, detach of this side has not been
//! reported as complete, hence cleanup has not run: the context and the peer's context and
//! dispatch are alive. All access to them from a slot goes through that count.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::{self, NonNull};

use crate::memory;
use crate::registration::Pinned;
use crate::role::Role;
use crate::rundown::{Entered, Rundown};
use crate::sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};

/// What the peer gave when it attached. Null, or as the NPI promises.
struct PeerSide<R: Role> {
    context: *mut c_void,
    dispatch: *const R::PeerDispatch,
}

/// What the references to a binding share.
#[repr(C)]
pub struct Slot<R: Role> {
    shared: Shared<R>,
    /// What every guard writes to stands apart from what it only reads. (A clone of a reference writes to the other part.)
    rundown: Rundown,
}

/// All of it but the rundown.
struct Shared<R: Role> {
    references: AtomicUsize,
    handle: R::BindingHandle,
    context: NonNull<Context<R>>,
    /// Written once, by the attaching thread, before anyone can enter the rundown.
    peer: UnsafeCell<PeerSide<R>>,
    allocator: R::Allocator,
}

/// What NMR and the peer know as this side's binding context.
pub struct Context<R: Role> {
    binding: R::Binding,
    registration: NonNull<Pinned<R>>,
    reference: BindingRef<R>,
    /// Set when the client failed the attach after the provider had accepted.
    abandoned: AtomicBool,
    /// The next in the registration's list of abandoned contexts.
    next: AtomicPtr<Self>,
}

impl<R: Role> Context<R> {
    /// Allocates both halves of a side, not yet open for calls. Without memory the value
    /// comes back.
    pub(crate) fn try_new(
        registration: &Pinned<R>,
        handle: R::BindingHandle,
        binding: R::Binding,
    ) -> Result<NonNull<Self>, R::Binding> {
        let allocator = registration.allocator();
        let Some(context) = memory::allocate::<Self, _>(allocator) else {
            return Err(binding);
        };
        let Some(slot) = memory::allocate::<Slot<R>, _>(allocator) else {
            // SAFETY: allocated just now.
            unsafe { memory::free(context, allocator) };
            return Err(binding);
        };
        let shared = Shared {
            references: AtomicUsize::new(1),
            handle,
            context,
            peer: UnsafeCell::new(PeerSide {
                context: ptr::null_mut(),
                dispatch: ptr::null(),
            }),
            allocator: allocator.clone(),
        };
        // SAFETY: allocated just now for a slot, of which this is the part that is called so.
        let place = unsafe { &raw mut (*slot.as_ptr()).shared };
        // SAFETY: as above.
        unsafe { place.write(shared) };
        // SAFETY: as above.
        let place = unsafe { &raw mut (*slot.as_ptr()).rundown };
        // SAFETY: nobody else has the slot yet, and its memory may hold anything.
        Rundown::init(unsafe { &mut *place.cast::<MaybeUninit<Rundown>>() });
        let value = Self {
            binding,
            registration: NonNull::from(registration),
            reference: BindingRef { slot },
            abandoned: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        };
        // SAFETY: allocated just now for this type.
        unsafe { context.write(value) };
        Ok(context)
    }

    /// Frees a context whose attach failed, and takes the module's value out of it.
    ///
    /// # Safety
    /// Nobody else uses the context, now or later.
    pub(crate) unsafe fn take(context: NonNull<Self>) -> R::Binding {
        // SAFETY: made by `try_new`, and nobody else uses it, as the caller says. Its memory
        // is given back below, and not read again before that.
        let value = unsafe { context.read() };
        let allocator = value.reference.slot().shared.allocator.clone();
        // SAFETY: `try_new` took it from this allocator.
        unsafe { memory::free(context, &allocator) };
        value.binding
    }

    /// Drops a context where it is.
    ///
    /// # Safety
    /// Nobody else uses the context, now or later.
    pub(crate) unsafe fn free(context: NonNull<Self>) {
        // SAFETY: made by `try_new`, and alive until the drop below.
        let allocator = unsafe { context.as_ref() }
            .reference
            .slot()
            .shared
            .allocator
            .clone();
        // SAFETY: alive, and nobody else uses it, as the caller says.
        unsafe { context.drop_in_place() };
        // SAFETY: `try_new` took it from this allocator; dropped just now.
        unsafe { memory::free(context, &allocator) };
    }

    /// Whether the client failed the attach after the provider had accepted. Such a context
    /// is freed with its registration: NMR gives no other sign that the provider has stopped
    /// using it, and may or may not call cleanup.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Bars calls on a binding that the client fails after the provider has accepted, and puts its context on
    /// the registration's list of abandoned ones, unless NMR has begun to detach it: then NMR cleans it up.
    ///
    /// # Safety
    /// `context` is that of the reference, which was never opened, and this is called once.
    pub(crate) unsafe fn abandon(reference: &BindingRef<R>, context: NonNull<Self>, list: &AtomicPtr<Self>) {
        let slot = reference.slot();
        let Some(entered) = slot.rundown.enter_early() else {
            return;
        };
        // SAFETY: entered, so the context is alive until this leaves; after that, if it is on the list, which
        // frees it only when no attach runs.
        let this = unsafe { context.as_ref() };
        // Before the rundown is begun: a detach that comes after that finds it begun and is done, and the
        // cleanup that follows has to see this.
        this.abandoned.store(true, Ordering::Release);
        let Some(begun) = slot.rundown.begin() else {
            // A detach came in between, and is pending for as long as this has not left.
            this.abandoned.store(false, Ordering::Release);
            let handle = slot.shared.handle;
            if slot.rundown.leave(entered) {
                // SAFETY: the rundown answers true once, after the thunk of a detach had left.
                unsafe { R::detach_complete(handle) };
            }
            return;
        };
        let mut head = list.load(Ordering::Relaxed);
        loop {
            this.next.store(head, Ordering::Relaxed);
            match list.compare_exchange_weak(head, context.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(actual) => head = actual,
            }
        }
        // What was entered early and what `begin` entered. Nobody waits for this rundown: a detach callback that
        // may still come finds it begun.
        let _ = slot.rundown.leave(entered);
        let _ = slot.rundown.leave(begun);
    }

    /// Frees a list of abandoned contexts.
    ///
    /// # Safety
    /// The registration is drained.
    pub(crate) unsafe fn free_abandoned(list: &AtomicPtr<Self>) {
        let mut head = list.swap(ptr::null_mut(), Ordering::Acquire);
        while let Some(context) = NonNull::new(head) {
            // SAFETY: on the list, so alive.
            head = unsafe { context.as_ref() }.next.load(Ordering::Relaxed);
            // SAFETY: taken off the list; NMR and the peer are done with it, as the
            // registration is drained.
            unsafe { Self::free(context) };
        }
    }

    /// The context's own reference to its slot.
    pub(crate) const fn reference(&self) -> &BindingRef<R> {
        &self.reference
    }

    /// The rundown of calls into the peer.
    pub(crate) const fn rundown(&self) -> &Rundown {
        &self.reference.slot().rundown
    }
}

/// A reference to one side of a binding: the way to call its peer, as long as there is one.
///
/// It may be cloned, sent to other threads, and kept longer than the binding lasts; then
/// [`Self::enter`] answers `None`. Two references are equal if they mean the same binding.
///
/// It must not be kept longer than the driver is loaded, as it owns memory of the driver.
///
/// # IRQL
/// Up to `DISPATCH_LEVEL`, as far as the allocator frees memory there.
pub struct BindingRef<R: Role> {
    slot: NonNull<Slot<R>>,
}

// SAFETY: a slot is shared between threads by design: its count and rundown are atomic, its
// handle and allocator are `Send + Sync`, the peer's pointers are only read after the rundown
// was entered, and then lead to what is `Sync` itself.
unsafe impl<R: Role> Send for BindingRef<R> {}
// SAFETY: as above.
unsafe impl<R: Role> Sync for BindingRef<R> {}

impl<R: Role> BindingRef<R> {
    pub(crate) const fn slot(&self) -> &Slot<R> {
        // SAFETY: a reference counts in its slot, which is freed with the last one.
        unsafe { self.slot.as_ref() }
    }

    /// Enters a call into the peer, unless the binding is not yet attached or is being
    /// detached.
    ///
    /// The guard may be kept across an asynchronous call, and sent to the thread that ends
    /// it: detach is pending for as long as any guard exists.
    #[must_use]
    pub fn enter(&self) -> Option<CallGuard<R>> {
        // A guard must not exist, even for a moment, without having entered.
        let entered = self.slot().rundown.enter()?;
        Some(CallGuard {
            slot: self.slot,
            entered,
        })
    }

    /// As [`Self::enter`], between accept and the end of the attach callback.
    pub(crate) fn enter_early(&self) -> Option<CallGuard<R>> {
        let entered = self.slot().rundown.enter_early()?;
        Some(CallGuard {
            slot: self.slot,
            entered,
        })
    }

    /// Says what the peer gave.
    ///
    /// # Safety
    /// Called once, before the first guard exists. The pointers are as [`crate::Npi`] says.
    pub(crate) const unsafe fn set_peer(&self, context: *mut c_void, dispatch: *const R::PeerDispatch) {
        let place = self.slot().shared.peer.get();
        // SAFETY: nobody reads it before there is a guard, as the caller says.
        unsafe { place.write(PeerSide { context, dispatch }) };
    }

    /// Lets calls in. The end of a successful attach callback.
    pub(crate) fn open(&self) {
        self.slot().rundown.open();
    }

    /// Bars calls for good on a binding that was never opened.
    pub(crate) fn close(&self) {
        let rundown = &self.slot().rundown;
        if let Some(entered) = rundown.begin() {
            // Nobody waits for this rundown: no detach callback will come, or it will find
            // the rundown begun.
            let _ = rundown.leave(entered);
        }
    }
}

impl<R: Role> Clone for BindingRef<R> {
    fn clone(&self) -> Self {
        self.slot().shared.references.fetch_add(1, Ordering::Relaxed);
        Self { slot: self.slot }
    }
}

impl<R: Role> Drop for BindingRef<R> {
    fn drop(&mut self) {
        if self.slot().shared.references.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        let allocator = self.slot().shared.allocator.clone();
        // SAFETY: this was the last reference.
        unsafe { self.slot.drop_in_place() };
        // SAFETY: `Context::try_new` took the slot from this allocator; dropped just now.
        unsafe { memory::free(self.slot, &allocator) };
    }
}

impl<R: Role> PartialEq for BindingRef<R> {
    fn eq(&self, other: &Self) -> bool {
        self.slot == other.slot
    }
}

impl<R: Role> Eq for BindingRef<R> {}

impl<R: Role> fmt::Debug for BindingRef<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BindingRef").field(&self.slot().rundown).finish()
    }
}

/// A call into the peer in flight, or accepted and not yet completed.
///
/// As long as it exists, the peer's binding context and dispatch may be used, and this side's
/// binding value is alive. If detach began meanwhile, dropping the last guard completes it,
/// as its final act: the binding may be gone when the drop returns.
///
/// # IRQL
/// May be dropped at up to `DISPATCH_LEVEL`. The cleanup callbacks of both sides may run
/// inside the drop; an NPI that wants them at `PASSIVE_LEVEL` drops its guards there.
///
/// Drop it only when nothing of the call is left to do; in particular, no lock is to be held
/// that a cleanup takes. A guard that is leaked (`mem::forget`) keeps its binding, and so the
/// registration, from ever being detached.
#[must_use = "the peer may only be called while the guard exists"]
pub struct CallGuard<R: Role> {
    slot: NonNull<Slot<R>>,
    entered: Entered,
}

// SAFETY: gives shared access to the binding value and the peer's dispatch, both `Sync`, and
// completes the detach wherever it is dropped, which NMR allows on any thread.
unsafe impl<R: Role> Send for CallGuard<R> {}
// SAFETY: as above.
unsafe impl<R: Role> Sync for CallGuard<R> {}

impl<R: Role> CallGuard<R> {
    const fn slot(&self) -> &Slot<R> {
        // SAFETY: a guard counts in the rundown, so cleanup has not run, and the context's
        // reference keeps the slot.
        unsafe { self.slot.as_ref() }
    }

    const fn peer(&self) -> &PeerSide<R> {
        // SAFETY: written before the first guard existed, and never again.
        unsafe { &*self.slot().shared.peer.get() }
    }

    const fn context(&self) -> &Context<R> {
        // SAFETY: the module's invariant: a guard exists, so the context is alive.
        unsafe { self.slot().shared.context.as_ref() }
    }

    /// This side's binding value.
    #[must_use]
    pub const fn binding(&self) -> &R::Binding {
        &self.context().binding
    }

    /// The module whose side this is.
    #[must_use]
    pub const fn module(&self) -> &R::Module {
        // SAFETY: the registration outlives its contexts.
        unsafe { self.context().registration.as_ref() }.module()
    }

    /// The peer's binding context: the first argument of each of its dispatch entries.
    #[must_use]
    pub const fn peer_context(&self) -> *mut c_void {
        self.peer().context
    }

    /// The peer's dispatch; `None` if it gave a null one.
    #[must_use]
    pub const fn peer_dispatch(&self) -> Option<&R::PeerDispatch> {
        // SAFETY: null or valid until both sides are detached, as `Npi` promises, and this
        // side is not while the guard exists.
        unsafe { self.peer().dispatch.as_ref() }
    }

    /// A reference to the binding.
    #[must_use]
    pub fn reference(&self) -> BindingRef<R> {
        self.context().reference.clone()
    }
}

impl<R: Role> Drop for CallGuard<R> {
    fn drop(&mut self) {
        let slot = self.slot();
        // Nothing of the slot may be touched after `leave`, unless it answers true.
        let handle = slot.shared.handle;
        if slot.rundown.leave(self.entered) {
            // SAFETY: the rundown answers true once per binding, and only after detach began
            // and its thunk had left; so the thunk returned pending, or is about to.
            unsafe { R::detach_complete(handle) };
        }
    }
}

impl<R: Role> fmt::Debug for CallGuard<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallGuard")
            .field("peer_context", &self.peer_context())
            .finish_non_exhaustive()
    }
}

/// A call guard that cannot outlive the attach callback; see
/// [`ClientAccepted::enter`](crate::ClientAccepted::enter).
#[derive(Debug)]
pub struct AttachGuard<'a, R: Role> {
    guard: CallGuard<R>,
    _accepted: PhantomData<&'a ()>,
}

impl<R: Role> AttachGuard<'_, R> {
    pub(crate) const fn new(guard: CallGuard<R>) -> Self {
        Self {
            guard,
            _accepted: PhantomData,
        }
    }
}

impl<R: Role> Deref for AttachGuard<'_, R> {
    type Target = CallGuard<R>;

    fn deref(&self) -> &CallGuard<R> {
        &self.guard
    }
}

/// A binding seen from a callback that keeps it alive: a call from the peer, or detach.
///
/// It dereferences to the module's binding value.
pub struct Bound<'a, R: Role> {
    context: &'a Context<R>,
}

impl<'a, R: Role> Bound<'a, R> {
    /// Turns this side's binding context back into what it is.
    ///
    /// # Safety
    /// `context` is the binding context of a side of role `R`, as NMR or the peer passed it,
    /// and its cleanup is not run before `'a` ends. A call by the peer is such a time, as the
    /// peer's detach is not complete before its calls have returned.
    #[must_use]
    pub const unsafe fn from_context(context: *mut c_void) -> Self {
        // SAFETY: as the caller says.
        let context = unsafe { &*context.cast::<Context<R>>() };
        Self { context }
    }

    /// This side's binding value.
    #[must_use]
    pub const fn binding(&self) -> &'a R::Binding {
        &self.context.binding
    }

    /// The module whose side this is.
    #[must_use]
    pub const fn module(&self) -> &'a R::Module {
        let registration = self.context.registration;
        // SAFETY: the registration outlives its contexts.
        unsafe { registration.as_ref() }.module()
    }

    /// A reference that may be kept.
    #[must_use]
    pub const fn reference(&self) -> &'a BindingRef<R> {
        &self.context.reference
    }

    /// See [`BindingRef::enter`].
    #[must_use]
    pub fn enter(&self) -> Option<CallGuard<R>> {
        self.context.reference.enter()
    }

    /// For the detach and cleanup thunks.
    pub(crate) const fn context(self) -> &'a Context<R> {
        self.context
    }
}

impl<R: Role> Clone for Bound<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: Role> Copy for Bound<'_, R> {}

impl<R: Role> Deref for Bound<'_, R> {
    type Target = R::Binding;

    fn deref(&self) -> &R::Binding {
        self.binding()
    }
}

impl<R: Role> fmt::Debug for Bound<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bound").field(self.reference()).finish()
    }
}
