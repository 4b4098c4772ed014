//! Queues: presenting requests to the driver, stopping, purging.
//!
//! A parallel queue presents every request at once, or as many as the driver allows; a sequential
//! queue presents one, and the next when that one is completed. Requests are presented on the
//! thread that brings them or that completed the one before.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};

use sim_platform::{
    Event, Platform, ThreadId,
    nt::{
        NTSTATUS, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE,
        STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED, STATUS_SUCCESS, ULONG,
    },
};

use crate::{
    CallbackIrql, Deferred, Frame, Host, Rule,
    attributes::{self, Attributes},
    call::{Call, at_passive, write_out},
    handle::Handle,
    object,
    request::{Operation, Ownership},
    state::{Data, Kept, Stage, State},
    types::{
        _WDF_IO_QUEUE_DISPATCH_TYPE, PFN_WDF_IO_QUEUE_IO_DEFAULT, PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL,
        PWDF_IO_QUEUE_CONFIG, PWDF_OBJECT_ATTRIBUTES, WDF_IO_QUEUE_CONFIG, WDFCONTEXT, WDFDEVICE, WDFQUEUE,
    },
};

/// Who is to be told when the driver has no request of the queue any more.
pub enum Waiter<H: Host> {
    Callback(unsafe extern "C" fn(WDFQUEUE, WDFCONTEXT), Kept<WDFCONTEXT>),
    Thread(Arc<<H::Platform as Platform>::Event>),
}

/// A queue.
pub struct Queue<H: Host> {
    pub device: Handle,
    pub is_default: bool,
    /// How many requests the driver may have at a time.
    limit: usize,
    device_control: PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL,
    default: PFN_WDF_IO_QUEUE_IO_DEFAULT,
    pub accepting: bool,
    pub dispatching: bool,
    /// Requests that the driver has not seen.
    pub waiting: VecDeque<Handle>,
    /// How many requests the driver has.
    pub presented: usize,
    /// Threads that are presenting, for each to come back to its own loop instead of nesting.
    pumping: Vec<ThreadId>,
    pub waiters: Vec<Waiter<H>>,
}

impl<H: Host> Queue<H> {
    const fn has_handler(&self) -> bool {
        self.device_control.is_some() || self.default.is_some()
    }

    const fn may_present(&self) -> bool {
        self.dispatching && self.presented < self.limit
    }

    /// Answers a new request of a device: `Err` if it is to be completed at once.
    pub const fn admits(&self) -> Result<(), NTSTATUS> {
        if !self.has_handler() {
            Err(STATUS_INVALID_DEVICE_REQUEST)
        } else if !self.accepting {
            Err(STATUS_INVALID_DEVICE_STATE)
        } else {
            Ok(())
        }
    }
}

/// A request on its way to the driver.
struct Presentation {
    queue: Handle,
    request: Handle,
    frame: Frame,
    device_control: PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL,
    default: PFN_WDF_IO_QUEUE_IO_DEFAULT,
    operation: Operation,
}

impl<H: Host> State<H> {
    /// Gives a waiting request to the driver.
    fn present(&mut self, queue_handle: Handle, handle: Handle) -> Option<Presentation> {
        let request = self.find_request(handle)?;
        if !matches!(request.ownership, Ownership::Queued) {
            return None;
        }
        request.ownership = Ownership::Driver;
        let operation = request.operation;
        let object = self.find(queue_handle)?;
        let (driver, irql) = (object.driver, object.execution);
        let (driver, _) = self.owner(driver)?;
        let queue = self.find_queue(queue_handle)?;
        queue.presented += 1;
        let callback = if queue.device_control.is_some() {
            "EvtIoDeviceControl"
        } else {
            "EvtIoDefault"
        };
        Some(Presentation {
            queue: queue_handle,
            request: handle,
            frame: Frame {
                driver,
                callback,
                irql,
            },
            device_control: queue.device_control,
            default: queue.default,
            operation,
        })
    }
}

/// Calls the driver with a request.
fn call_handler<H: Host>(call: &Call<'_, H>, presentation: &Presentation) {
    let Presentation {
        queue,
        request,
        frame,
        device_control,
        default,
        operation,
    } = *presentation;
    call.host()
        .callback(frame, || match (device_control, default, operation) {
            (
                Some(handler),
                _,
                Operation::DeviceControl {
                    code,
                    input_length,
                    output_length,
                    ..
                },
            ) => {
                // SAFETY: the driver set the callback for this queue; the request is its own from now.
                unsafe {
                    handler(
                        queue.pointer(),
                        request.pointer(),
                        output_length,
                        input_length,
                        code,
                    );
                }
            }
            (_, Some(handler), _) => {
                // SAFETY: as above.
                unsafe { handler(queue.pointer(), request.pointer()) };
            }
            _ => {}
        });
}

/// Brings a new request, which is marked as queued, to its queue.
pub fn arrive<H: Host>(call: &Call<'_, H>, queue_handle: Handle, handle: Handle) {
    let passive = at_passive::<H>();
    let direct = call.with(|state| {
        let object = state.find(queue_handle)?;
        let level = passive || object.execution == CallbackIrql::UpToDispatch;
        let queue = state.find_queue(queue_handle)?;
        if level && queue.waiting.is_empty() && queue.may_present() {
            return state.present(queue_handle, handle);
        }
        queue.waiting.push_back(handle);
        None
    });
    match direct {
        Some(presentation) => call_handler(call, &presentation),
        None => pump(call, queue_handle),
    }
}

/// Presents waiting requests for as long as the queue may.
pub fn pump<H: Host>(call: &Call<'_, H>, queue_handle: Handle) {
    enum Next {
        Present(Presentation),
        Defer,
        Skip,
        Done,
    }
    let me = H::Platform::current_thread();
    let passive = at_passive::<H>();
    let mut entered = false;
    loop {
        let next = call.with(|state| {
            let Some(object) = state.find(queue_handle) else {
                return Next::Done;
            };
            let live = object.stage == Stage::Live;
            let level = passive || object.execution == CallbackIrql::UpToDispatch;
            let Some(queue) = state.find_queue(queue_handle) else {
                return Next::Done;
            };
            if !entered {
                if queue.pumping.contains(&me) {
                    return Next::Done;
                }
                queue.pumping.push(me);
                entered = true;
            }
            if live && queue.may_present() && !queue.waiting.is_empty() {
                if !level {
                    queue.pumping.retain(|thread| *thread != me);
                    return Next::Defer;
                }
                if let Some(request) = queue.waiting.pop_front() {
                    // One that was cancelled meanwhile is passed over.
                    return state
                        .present(queue_handle, request)
                        .map_or(Next::Skip, Next::Present);
                }
            }
            queue.pumping.retain(|thread| *thread != me);
            Next::Done
        });
        match next {
            Next::Present(presentation) => call_handler(call, &presentation),
            Next::Defer => {
                call.host().defer(Deferred::pump(queue_handle));
                return;
            }
            Next::Skip => {}
            Next::Done => return,
        }
    }
}

impl<H: Host> State<H> {
    /// Takes note that the driver completed a request of the queue; tells whether [`go_on`] is to be called.
    pub fn request_done(&mut self, queue: Handle) -> bool {
        self.find_queue(queue).is_some_and(|queue| {
            queue.presented = queue.presented.saturating_sub(1);
            !queue.waiting.is_empty() || !queue.waiters.is_empty()
        })
    }
}

/// Does what a queue does when the driver has one request less.
pub fn go_on<H: Host>(call: &Call<'_, H>, queue_handle: Handle) {
    pump(call, queue_handle);
    tell_waiters(call, queue_handle);
}

/// Tells those who wait for the driver to have no request of the queue.
pub fn tell_waiters<H: Host>(call: &Call<'_, H>, queue_handle: Handle) {
    let waiters = call.with(|state| {
        let object = state.find(queue_handle)?;
        let driver = object.driver;
        let queue = state.find_queue(queue_handle)?;
        (queue.presented == 0 && !queue.waiters.is_empty())
            .then(|| (driver, core::mem::take(&mut queue.waiters)))
    });
    let Some((driver, waiters)) = waiters else {
        return;
    };
    for waiter in waiters {
        match waiter {
            Waiter::Thread(event) => event.set(),
            Waiter::Callback(callback, context) => {
                if let Some(frame) =
                    attributes::frame(call, driver, "EvtIoQueueState", CallbackIrql::UpToDispatch)
                {
                    call.host().callback(frame, || {
                        // SAFETY: the driver passed both for this queue.
                        unsafe { callback(queue_handle.pointer(), context.0) }
                    });
                }
            }
        }
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfIoQueueCreate<H: Host>(
    call: &Call<'_, H>,
    device: WDFDEVICE,
    config: PWDF_IO_QUEUE_CONFIG,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    queue: *mut WDFQUEUE,
) -> NTSTATUS {
    if !call.require(config, "Config") {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: not null, so the caller vouches for it.
    let config = unsafe { config.read() };
    if !call.check_size(
        "WDF_IO_QUEUE_CONFIG",
        config.Size as usize,
        size_of::<WDF_IO_QUEUE_CONFIG>(),
    ) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    // SAFETY: the caller's promise.
    let attributes = match unsafe { Attributes::read(call, attributes) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    let limit = match limit_of(call, &config) {
        Ok(limit) => limit,
        Err(status) => return status,
    };
    let is_default = config.DefaultQueue != 0;
    let Some((device, taken)) = call.checked(|state| {
        let (handle, device) = state.device(device)?;
        Ok((handle, is_default && device.default_queue.is_some()))
    }) else {
        return STATUS_INVALID_HANDLE;
    };
    if taken {
        call.report(Rule::InvalidParameter {
            reason: "the device has its default queue already",
        });
        return STATUS_INVALID_DEVICE_STATE;
    }
    let data = Data::Queue(Box::new(Queue {
        device,
        is_default,
        limit,
        device_control: config.EvtIoDeviceControl,
        default: config.EvtIoDefault,
        accepting: true,
        dispatching: true,
        waiting: VecDeque::new(),
        presented: 0,
        pumping: Vec::new(),
        waiters: Vec::new(),
    }));
    let made = object::parent_of(call, &attributes, device).and_then(|(parent, inherited, driver)| {
        attributes::create(call, driver, Some(parent), &attributes, inherited, data)
    });
    match made {
        Ok(handle) => {
            call.with(|state| {
                let device = state.find_device(device)?;
                device.queues.push(handle);
                if is_default {
                    device.default_queue = Some(handle);
                }
                Some(())
            });
            // SAFETY: the caller's promise.
            unsafe { write_out(queue, handle.pointer()) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// Returns how many requests a queue presents at a time.
fn limit_of<H: Host>(call: &Call<'_, H>, config: &WDF_IO_QUEUE_CONFIG) -> Result<usize, NTSTATUS> {
    match config.DispatchType {
        _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchSequential => Ok(1),
        _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel => {
            // SAFETY: the union has this one member, of integers.
            let parallel = unsafe { config.Settings.Parallel };
            match parallel.NumberOfPresentedRequests {
                0 => {
                    call.report(Rule::InvalidParameter {
                        reason: "a parallel queue presents no requests; WDF_IO_QUEUE_CONFIG_INIT says -1, for any number",
                    });
                    Err(STATUS_INVALID_PARAMETER)
                }
                ULONG::MAX => Ok(usize::MAX),
                limit => Ok(limit as usize),
            }
        }
        _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchManual => {
            call.report(Rule::Unsupported {
                feature: "manual queues",
            });
            Err(STATUS_NOT_SUPPORTED)
        }
        _ => {
            call.report(Rule::InvalidParameter {
                reason: "DispatchType is none of the queue types",
            });
            Err(STATUS_INVALID_PARAMETER)
        }
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfIoQueueGetDevice<H: Host>(call: &Call<'_, H>, queue: WDFQUEUE) -> WDFDEVICE {
    call.checked(|state| Ok(state.queue(queue)?.1.device))
        .map_or(core::ptr::null_mut(), Handle::pointer)
}
