//! Requests that wait, and may be cancelled while they do.
//!
//! A request that cannot be answered at once is *pended*: it goes into a [`PendedRequest`] inside the
//! driver's own object for the work, the **call** (an `Arc<C, A>`), and becomes cancelable. From then on
//! three things race:
//!
//! - **completion**: the answer is there; some thread calls [`PendedRequest::retrieve`] and completes what it
//!   gets;
//! - **cancellation**: the program cancels or dies; the framework calls our `EvtRequestCancel` at up to
//!   `DISPATCH_LEVEL`, which hands the request to [`CancelTarget::cancelled`]. The call lives on, *orphaned*:
//!   a provider may still hold it, and ends it when its answer comes, finding no request;
//! - **return** of the thread that pended it, which has lost the request by then and touches it no more.
//!
//! # Why each race is safe
//!
//! The request sits in the cell, under the cell's spin lock. The framework's own promise is: after
//! `WdfRequestMarkCancelableEx` succeeded, either `WdfRequestUnmarkCancelable` succeeds, and
//! `EvtRequestCancel` will never come, or it answers `STATUS_CANCELLED`, and `EvtRequestCancel` has come or
//! will; and `Unmark` must not be called for a request that is completed already.
//!
//! 1. *Pending against cancellation.* Under the lock, the request's context is given a share of the call, the
//!    request is marked, and put into the cell. If it is cancelled already, marking fails, nobody will be
//!    called back, and the request goes back to the caller, the share taken back. If marking succeeds,
//!    `EvtRequestCancel` may begin on another thread at once: it finds the call through the context, then
//!    waits for the lock, and then finds the request in the cell.
//! 2. *Pending against completion.* An answer may come before the request is pended.
//!    [`PendedRequest::retrieve`] then finds the cell empty. The driver's call therefore remembers an early
//!    answer, and whoever pended the request looks for one afterwards. If both then try to retrieve, one gets
//!    it (case 4). No answer finds a request in the cell that is not marked: both happen under one lock.
//! 3. *Completion against cancellation.* `retrieve` unmarks under the lock. The request is in the cell, so
//!    `EvtRequestCancel`, which empties the cell under the same lock before it completes anything, has not
//!    got that far: the request is not completed, and unmarking it is allowed. If that succeeds, the callback
//!    will never run; the request leaves the cell and belongs to the caller, and the share of the call in the
//!    request's context is taken back. If it answers `STATUS_CANCELLED`, the request stays in the cell for
//!    the callback, and `retrieve` touches neither it nor its context.
//! 4. *Completion against completion.* The cell gives the request to one of them, the other finds it empty.
//! 5. *Cancellation against return.* The thread that pended the request holds its own share of the call, not
//!    the request.
//!
//! The share in the request's context is taken out by `retrieve`, by the callback, or by a pending that
//! failed; these exclude each other. The callback drops its share last, possibly as the last one, at up to
//! `DISPATCH_LEVEL`: that is why a call must be [`DropAtDispatch`]. The lock is not held while a request is
//! completed, nor while a share is dropped. It is held while the framework marks and unmarks, both allowed at
//! `DISPATCH_LEVEL`, neither of which calls back.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering};

use allocator_api2::alloc::Allocator;
use pool_alloc::Arc;
use wdk_sys::{WDFREQUEST, call_unsafe_wdf_function_binding};

use super::context::{self, Zeroed};
use super::device::Device;
use super::request::{Parts, Request, complete};
use crate::irql::DropAtDispatch;
use crate::lock::SpinLock;
use crate::status::NtStatus;

/// The place inside a call where its request waits. Empty until [`Request::pend`], and again from the moment
/// that someone got the request out.
pub struct PendedRequest<D: Device>(SpinLock<Option<Parts<D>>>);

impl<D: Device> Default for PendedRequest<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Device> PendedRequest<D> {
    /// An empty place.
    #[must_use]
    pub const fn new() -> Self {
        Self(SpinLock::new(None))
    }

    /// Takes the request back, to complete it. `None` if there is none, or none any more: it was cancelled,
    /// or someone else was faster.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    #[must_use = "the request must be completed"]
    pub fn retrieve(&self) -> Option<Request<D>> {
        let mut place = self.0.lock();
        let handle = place.as_ref()?.handle;
        // SAFETY: the request is in the cell, so it is ours, marked cancelable, and not completed (case 3).
        let status = unsafe { call_unsafe_wdf_function_binding!(WdfRequestUnmarkCancelable, handle) };
        if NtStatus(status) == NtStatus::CANCELLED {
            return None;
        }
        let parts = place.take()?;
        drop(place);
        // SAFETY: the request is ours again; it was made by a device of this module.
        let context = unsafe { request_context(handle) };
        // SAFETY: the callback will never run, so the share in the context is ours to take.
        unsafe { context.release() };
        Some(Request::from_parts(parts))
    }

    /// Whether no request is there at this instant.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.with(|place| place.is_none())
    }
}

/// A call: what a driver keeps for a request that waits.
pub trait CancelTarget<D: Device>: DropAtDispatch + Send + Sync + 'static {
    /// Where its request waits.
    fn pended(&self) -> &PendedRequest<D>;

    /// The request was cancelled: complete it now. The call itself lives on until its last share is gone.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`, hence no witness.
    fn cancelled(&self, request: Request<D>) {
        request.complete(NtStatus::CANCELLED);
    }
}

/// A request that was not pended, given back to be completed.
pub struct NotPended<D: Device> {
    /// `STATUS_CANCELLED`: it was cancelled before. `STATUS_INVALID_DEVICE_STATE`: another request waits in
    /// the call.
    pub status: NtStatus,
    /// The request.
    pub request: Request<D>,
}

impl<D: Device> Request<D> {
    /// Lets the request wait in `call`, cancelable, until [`PendedRequest::retrieve`] or cancellation.
    ///
    /// When this returns, or before, the request may be completed by others. See the module's documentation
    /// for the races, of which the driver has to mind one: an answer that came *before* finds no request, so
    /// look for it afterwards.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// [`NotPended`], with the request.
    pub fn pend<C, A>(self, call: &Arc<C, A>) -> Result<(), NotPended<D>>
    where
        C: CancelTarget<D>,
        A: Allocator + Clone + Default + Send + Sync + 'static,
    {
        let mut place = call.pended().0.lock();
        if place.is_some() {
            drop(place);
            return Err(NotPended {
                status: NtStatus::INVALID_DEVICE_STATE,
                request: self,
            });
        }
        let handle = self.handle();
        // SAFETY: the request is ours and was made by a device of this module.
        let context = unsafe { request_context(handle) };
        context.store(Arc::clone(call));
        // SAFETY: the request is ours, not completed, and not marked yet; the callback expects a call of
        // these types in the context.
        let status = unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestMarkCancelableEx,
                handle,
                Some(evt_request_cancel::<D, C, A>)
            )
        };
        if NtStatus(status).is_success() {
            *place = Some(self.into_parts());
            return Ok(());
        }
        drop(place);
        // SAFETY: marking failed, so the callback will never run, and the share in the context is ours to
        // take.
        unsafe { context.release() };
        Err(NotPended {
            status: NtStatus(status),
            request: self,
        })
    }
}

/// The context of a request: a share of the call that it waits in, and how to drop it.
#[repr(C)]
pub(super) struct RequestContext {
    call: AtomicPtr<c_void>,
    drop_call: AtomicPtr<c_void>,
}

// SAFETY: null pointers are valid: no call.
unsafe impl Zeroed for RequestContext {}

/// Drops a share of a call whose type only its maker knows.
type DropCall = unsafe fn(*mut c_void);

impl RequestContext {
    /// Leaves a share of the call in the context.
    fn store<C, A>(&self, call: Arc<C, A>)
    where
        A: Allocator + Default,
    {
        let drop_call: DropCall = drop_call::<C, A>;
        self.drop_call.store(drop_call as *mut c_void, Ordering::Relaxed);
        self.call
            .store(Arc::into_raw(call).cast_mut().cast(), Ordering::Release);
    }

    /// Takes the share out, as the pointer that it was stored as.
    fn take(&self) -> *mut c_void {
        self.call.swap(null_mut(), Ordering::AcqRel)
    }

    /// Drops the share, if there is one.
    ///
    /// # Safety
    /// The cancel callback of this request will never run, or this is it.
    unsafe fn release(&self) {
        let drop_call = self.drop_call.load(Ordering::Relaxed);
        let call = self.take();
        if call.is_null() || drop_call.is_null() {
            return;
        }
        // SAFETY: both were stored together, and only functions of this type are stored here.
        let drop_call = unsafe { core::mem::transmute::<*mut c_void, DropCall>(drop_call) };
        // SAFETY: the share was stored with this function, and taken out by this call alone.
        unsafe { drop_call(call) };
    }
}

/// # Safety
/// `call` is a share of an `Arc<C, A>`, given up for good.
unsafe fn drop_call<C, A: Allocator + Default>(call: *mut c_void) {
    // SAFETY: passed on to the caller.
    drop(unsafe { Arc::<C, A>::from_raw_in(call.cast(), A::default()) });
}

/// The context of a request.
///
/// # Safety
/// The request is not completed for `'a`, and was made to a control device of this crate.
unsafe fn request_context<'a>(request: WDFREQUEST) -> &'a RequestContext {
    // SAFETY: such devices give every request a context of this kind.
    unsafe { context::context(request.cast(), &context::REQUEST) }
}

unsafe extern "C" fn evt_request_cancel<D, C, A>(request: WDFREQUEST)
where
    D: Device,
    C: CancelTarget<D>,
    A: Allocator + Default,
{
    // SAFETY: the request is cancelable, hence not completed, and was made by a device of this module.
    let call = unsafe { request_context(request) }.take();
    if call.is_null() {
        // SAFETY: the callback owns the request. (Marked requests have a share in their context.)
        return unsafe { complete(request, NtStatus::CANCELLED, 0) };
    }
    // SAFETY: the share was stored with these types by the `pend` that registered this callback, and taken
    // out by this call alone.
    let call = unsafe { Arc::<C, A>::from_raw_in(call.cast_const().cast(), A::default()) };
    // From here on `retrieve` finds nothing. Whoever is in `retrieve` now has been refused by the framework.
    let parts = call.pended().0.with(Option::take);
    match parts {
        Some(parts) => call.cancelled(Request::from_parts(parts)),
        // SAFETY: the callback owns the request. (A marked request is in its cell.)
        None => unsafe { complete(request, NtStatus::CANCELLED, 0) },
    }
    drop(call);
}
