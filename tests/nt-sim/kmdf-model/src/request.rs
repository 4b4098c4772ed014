//! Requests: who owns them, cancellation, completion.
//!
//! A request is completed once, by whoever moves it to [`Ownership::Completed`] under the lock. Its
//! cancel callback is called once, by whoever moves it from [`Ownership::Cancelable`] to
//! [`Ownership::Cancelling`]. Both decisions are made under the lock; the calls follow without it.

use alloc::vec::Vec;
use core::ffi::c_void;

use sim_platform::nt::{
    CCHAR, NTSTATUS, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_HANDLE,
    STATUS_INVALID_PARAMETER, STATUS_NO_SUCH_DEVICE, STATUS_PENDING, STATUS_SUCCESS, ULONG_PTR,
};

use crate::{
    CallbackIrql, Host, IrpId, Requestor, Rule, attributes,
    call::Call,
    handle::{Handle, Kind},
    io::Target,
    object, queue,
    state::{Contexts, Data, Kept, Object, Owner, Stage, State},
    types::{PFN_WDF_REQUEST_CANCEL, WDFREQUEST},
};

type CancelCallback = unsafe extern "C" fn(Request: WDFREQUEST);

/// What user mode asks for.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// To open a file.
    Create,
    /// A device control code.
    DeviceControl {
        code: u32,
        buffer: Kept<*mut c_void>,
        input_length: usize,
        output_length: usize,
    },
}

/// Who may do what with a request.
#[derive(Clone, Copy, Debug)]
pub enum Ownership {
    /// It waits in its queue.
    Queued,
    /// The driver has it.
    Driver,
    /// The driver has it, and is to be called if it is cancelled.
    Cancelable(CancelCallback),
    /// It was cancelled, and the driver's cancel callback runs, ran, or (if not called) will run.
    Cancelling { called: bool },
    /// It is done.
    Completed,
}

/// A request.
pub struct Request {
    pub irp: IrpId,
    pub operation: Operation,
    pub device: Handle,
    pub file: Option<Handle>,
    pub queue: Option<Handle>,
    pub requestor: Requestor,
    pub ownership: Ownership,
    /// Whether the I/O manager cancelled it.
    pub cancelled: bool,
    pub information: usize,
}

impl Request {
    pub const fn is_completed(&self) -> bool {
        matches!(self.ownership, Ownership::Completed)
    }
}

impl<H: Host> State<H> {
    /// Checks a request handle that a driver passed: it must own the request.
    pub fn owned_request(&mut self, raw: WDFREQUEST) -> Result<(Handle, &mut Request), Rule> {
        let (handle, request) = self.request(raw)?;
        match request.ownership {
            Ownership::Completed => Err(Rule::UsedAfterCompletion { request: raw.addr() }),
            Ownership::Queued => Err(Rule::NotOwned { request: raw.addr() }),
            Ownership::Driver | Ownership::Cancelable(_) | Ownership::Cancelling { .. } => {
                Ok((handle, request))
            }
        }
    }

    /// Marks a request as completed and forgets its packet; `None` if it was completed before.
    pub fn complete_request(&mut self, handle: Handle) -> Option<Completion> {
        let object = self.find(handle)?;
        let plain =
            object.stage == Stage::Live && object.children.is_empty() && !object.contexts.have_callbacks();
        let Data::Request(request) = &mut object.data else {
            return None;
        };
        if request.is_completed() {
            return None;
        }
        if plain {
            object.stage = Stage::Deleting;
        }
        let presented = !matches!(request.ownership, Ownership::Queued);
        request.ownership = Ownership::Completed;
        let completion = Completion {
            handle,
            irp: request.irp,
            operation: request.operation,
            device: request.device,
            file: request.file,
            queue: request.queue.filter(|_| presented),
            plain,
        };
        if let Some(file) = completion.file.and_then(|file| self.find_file(file)) {
            file.requests = file.requests.saturating_sub(1);
        }
        Some(completion)
    }
}

/// What is left to do for a request that was marked as completed.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    handle: Handle,
    irp: IrpId,
    operation: Operation,
    device: Handle,
    file: Option<Handle>,
    /// The queue that presented it to the driver, if one did.
    queue: Option<Handle>,
    /// Whether its object has no children and no callbacks, and is marked as being deleted.
    plain: bool,
}

/// Makes a request object for a packet, queued and not presented yet.
pub fn create<H: Host>(call: &Call<'_, H>, target: &Target, request: Request) -> Result<Handle, NTSTATUS> {
    let context = target.requests.allocate_for(call, target.owner)?;
    let mut contexts = Contexts::default();
    if let Some(context) = context {
        contexts.push(context);
    }
    let file = request.file;
    let parent = request.queue.unwrap_or(request.device);
    let object = Object {
        driver: target.driver,
        parent: Some(parent),
        children: Vec::new(),
        references: 1,
        stage: Stage::Live,
        execution: target.execution,
        contexts,
        data: Data::Request(request),
    };
    let inserted = call.with(|state| {
        let handle = state.insert(object).ok()?;
        if let Some(file) = file {
            object::retain(state, file);
            if let Some(file) = state.find_file(file) {
                file.requests += 1;
            }
        }
        Some(handle)
    });
    let Some(handle) = inserted else {
        attributes::free_contexts_of(call, target.owner, context);
        return Err(STATUS_NO_SUCH_DEVICE);
    };
    if let Some(context) = context {
        attributes::adopt(&context, handle);
    }
    Ok(handle)
}

/// Does what is left for a request that was marked as completed.
///
/// The cleanup callbacks, its own and those of its children, come first, while the packet and its
/// buffer still exist.
pub fn finish<H: Host>(call: &Call<'_, H>, done: Completion, status: NTSTATUS, information: usize) {
    let order = if done.plain {
        Vec::new()
    } else {
        object::mark(call, done.handle)
    };
    for &handle in &order {
        object::dispose(call, handle);
    }
    if matches!(done.operation, Operation::Create)
        && status < 0
        && let Some(file) = done.file
    {
        // A file that was not opened gets neither cleanup nor close.
        call.with(|state| {
            let id = state.find_file(file)?.id;
            state.find_device(done.device)?.files.remove(&id)
        });
        object::delete_tree(call, file);
    }
    call.host().complete(done.irp, status, information);
    let (go_on, gone) = call.with(|state| {
        let go_on = done.queue.filter(|queue| state.request_done(*queue));
        (
            go_on,
            if done.plain {
                state.end_plain(done.handle)
            } else {
                None
            },
        )
    });
    if let Some(queue) = go_on {
        queue::go_on(call, queue);
    }
    if let Some(gone) = gone {
        if let Some(owner) = gone.owner {
            attributes::free_contexts_of(call, owner, gone.contexts.iter().copied());
        }
        if let Some(file) = gone.file {
            object::destroy(call, file);
        }
    }
    for &handle in &order {
        object::finish_delete(call, handle);
    }
}

/// What is left of a request object that is gone.
struct Gone {
    owner: Option<Owner>,
    contexts: Contexts,
    /// Its file, if nobody else had a reference to that.
    file: Option<Handle>,
}

impl<H: Host> State<H> {
    /// Ends the deletion of a request object that is [plain](Completion::plain); `None` if somebody has a reference.
    fn end_plain(&mut self, handle: Handle) -> Option<Gone> {
        self.find(handle)?.stage = Stage::Deleted;
        if !self.give_back(handle) {
            return None;
        }
        let (driver, contexts, file) = self.remove_for(handle, |object| {
            let file = match &object.data {
                Data::Request(request) => request.file,
                _ => None,
            };
            (object.driver, core::mem::take(&mut object.contexts), file)
        })?;
        Some(Gone {
            owner: self.owner(driver),
            contexts,
            file: file.filter(|file| self.give_back(*file)),
        })
    }
}

/// Completes the packet of a request whose driver is gone.
pub fn abandon<H: Host>(call: &Call<'_, H>, handle: Handle) {
    if let Some(done) = call.with(|state| state.complete_request(handle)) {
        call.host().complete(done.irp, STATUS_CANCELLED, 0);
    }
}

/// What a cancellation leads to.
enum CancelStep {
    Complete(Completion),
    Call(Handle, CancelCallback),
}

/// Cancels a request, wherever it is.
pub fn cancel<H: Host>(call: &Call<'_, H>, handle: Handle) {
    let step = call.with(|state| {
        let request = state.find_request(handle)?;
        request.cancelled = true;
        match request.ownership {
            Ownership::Queued => {
                let queue = request.queue;
                if let Some(queue) = queue.and_then(|queue| state.find_queue(queue)) {
                    queue.waiting.retain(|waiting| *waiting != handle);
                }
                state.complete_request(handle).map(CancelStep::Complete)
            }
            Ownership::Cancelable(callback) => {
                request.ownership = Ownership::Cancelling { called: false };
                object::retain(state, handle);
                Some(CancelStep::Call(handle, callback))
            }
            Ownership::Driver | Ownership::Cancelling { .. } | Ownership::Completed => None,
        }
    });
    match step {
        Some(CancelStep::Complete(done)) => finish(call, done, STATUS_CANCELLED, 0),
        Some(CancelStep::Call(handle, callback)) => {
            call_cancel(call, handle, callback);
            object::release(call, handle);
        }
        None => {}
    }
}

/// Calls a cancel callback, unless the driver has completed the request in spite of the rules.
fn call_cancel<H: Host>(call: &Call<'_, H>, handle: Handle, callback: CancelCallback) {
    let driver = call.with(|state| {
        let object = state.find(handle)?;
        let driver = object.driver;
        match &mut object.data {
            Data::Request(request) => match &mut request.ownership {
                Ownership::Cancelling { called } if !*called => {
                    *called = true;
                    Some(driver)
                }
                _ => None,
            },
            _ => None,
        }
    });
    if let Some(driver) = driver
        && let Some(frame) = attributes::frame(call, driver, "EvtRequestCancel", CallbackIrql::UpToDispatch)
    {
        call.host().callback(frame, || {
            // SAFETY: the driver set the callback for this request, on which a reference is held.
            unsafe { callback(handle.pointer()) }
        });
    }
}

/// Marks a request as cancelable; tells whether it was cancelled before.
fn mark<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    callback: PFN_WDF_REQUEST_CANCEL,
    when_cancelled: impl FnOnce(&mut Request),
) -> Result<Option<Handle>, NTSTATUS> {
    let Some(callback) = callback else {
        call.report(Rule::NullParameter {
            parameter: "EvtRequestCancel",
        });
        return Err(STATUS_INVALID_PARAMETER);
    };
    call.checked(|state| {
        let (handle, request) = state.owned_request(request)?;
        if !matches!(request.ownership, Ownership::Driver) {
            return Err(Rule::InvalidParameter {
                reason: "the request is marked cancelable already",
            });
        }
        if request.cancelled {
            when_cancelled(request);
            return Ok(Some(handle));
        }
        request.ownership = Ownership::Cancelable(callback);
        Ok(None)
    })
    .ok_or(STATUS_INVALID_DEVICE_REQUEST)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestMarkCancelableEx<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    callback: PFN_WDF_REQUEST_CANCEL,
) -> NTSTATUS {
    match mark(call, request, callback, |_| ()) {
        Ok(None) => STATUS_SUCCESS,
        Ok(Some(_)) => STATUS_CANCELLED,
        Err(status) => status,
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestMarkCancelable<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    callback: PFN_WDF_REQUEST_CANCEL,
) {
    let cancelled = mark(call, request, callback, |request| {
        request.ownership = Ownership::Cancelling { called: false };
    });
    if let (Ok(Some(handle)), Some(callback)) = (cancelled, callback) {
        call.with(|state| object::retain(state, handle));
        call_cancel(call, handle, callback);
        object::release(call, handle);
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestUnmarkCancelable<H: Host>(call: &Call<'_, H>, request: WDFREQUEST) -> NTSTATUS {
    call.checked(|state| {
        let (_, request) = state.owned_request(request)?;
        match request.ownership {
            Ownership::Cancelable(_) => {
                request.ownership = Ownership::Driver;
                Ok(STATUS_SUCCESS)
            }
            Ownership::Cancelling { .. } => Ok(STATUS_CANCELLED),
            _ => Ok(STATUS_INVALID_PARAMETER),
        }
    })
    .unwrap_or(STATUS_INVALID_HANDLE)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestComplete<H: Host>(call: &Call<'_, H>, request: WDFREQUEST, status: NTSTATUS) {
    complete(call, request, status, None);
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestCompleteWithPriorityBoost<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    status: NTSTATUS,
    _boost: CCHAR,
) {
    complete(call, request, status, None);
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRequestCompleteWithInformation<H: Host>(
    call: &Call<'_, H>,
    request: WDFREQUEST,
    status: NTSTATUS,
    information: ULONG_PTR,
) {
    complete(call, request, status, usize::try_from(information).ok());
}

fn complete<H: Host>(call: &Call<'_, H>, raw: WDFREQUEST, status: NTSTATUS, information: Option<usize>) {
    let pending = Rule::CompletedPending { request: raw.addr() };
    let decided = call.checked(|state| {
        let (handle, request) =
            state
                .resolve_any(raw.addr(), Kind::Request)
                .and_then(|(handle, object)| match &mut object.data {
                    Data::Request(request) => Ok((handle, request)),
                    _ => Err(Rule::UnknownHandle { handle: raw.addr() }),
                })?;
        let raw = raw.addr();
        let information = information.unwrap_or(request.information);
        let mut broken = match request.ownership {
            Ownership::Completed => return Err(Rule::CompletedTwice { request: raw }),
            Ownership::Queued => return Err(Rule::NotOwned { request: raw }),
            Ownership::Cancelable(_) => Some(Rule::CompletedWhileCancelable { request: raw }),
            Ownership::Cancelling { called: false } => {
                Some(Rule::CompletedBeforeCancelCallback { request: raw })
            }
            Ownership::Driver | Ownership::Cancelling { called: true } => None,
        };
        if let Operation::DeviceControl { output_length, .. } = request.operation
            && !is_error(status)
            && information > output_length
        {
            broken = broken.or(Some(Rule::InformationTooLarge {
                information,
                output_length,
            }));
        }
        if status == STATUS_PENDING {
            broken = broken.or(Some(pending));
        }
        Ok((state.complete_request(handle), information, broken))
    });
    let Some((done, information, broken)) = decided else {
        return;
    };
    if let Some(rule) = broken {
        call.report(rule);
    }
    if let Some(done) = done {
        finish(call, done, status, information);
    }
}

/// Whether a status is of the class for which the I/O manager copies nothing out.
const fn is_error(status: NTSTATUS) -> bool {
    status.cast_unsigned() >> 30 == 3
}
