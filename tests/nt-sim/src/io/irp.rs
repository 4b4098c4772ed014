//! I/O request packets.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    buffer::{Output, SystemBuffer},
    device::{FileId, FileObject},
    step::{RequestEvent, RequestStep},
};
use crate::{
    Finding, Machine, Rule,
    ntstatus::NtStatus,
    scheduler::SchedulerEvent,
    sync::StateLock,
    thread,
    trace::Kind,
    verifier::{self, CallSite},
};

/// What an [`Irp`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Major {
    /// `IRP_MJ_CREATE`: a file object is made.
    Create,
    /// `IRP_MJ_CLEANUP`: the last handle to the file object was closed.
    Cleanup,
    /// `IRP_MJ_CLOSE`: the last request of the file object is done, and no handle is left.
    Close,
    /// `IRP_MJ_DEVICE_CONTROL` with its control code.
    DeviceControl(u32),
}

impl Major {
    /// Returns the name that the headers have for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "IRP_MJ_CREATE",
            Self::Cleanup => "IRP_MJ_CLEANUP",
            Self::Close => "IRP_MJ_CLOSE",
            Self::DeviceControl(_) => "IRP_MJ_DEVICE_CONTROL",
        }
    }
}

/// Names a request for as long as the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IrpId(pub u64);

/// How a request ended, as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The final status.
    pub status: NtStatus,
    /// `IoStatus.Information` as the driver set it.
    pub information: usize,
    /// What was copied back: `information` bytes for a success or a warning, nothing for an error.
    pub data: Vec<u8>,
}

impl Completion {
    /// How a request ends that never reaches a driver.
    pub(super) const fn refused(status: NtStatus) -> Self {
        Self {
            status,
            information: 0,
            data: Vec::new(),
        }
    }
}

/// A request on its way through a driver.
///
/// It is completed exactly once, by [`Irp::complete`], from any thread and at up to DISPATCH_LEVEL.
/// The system buffer may be touched until then and not after: with the verifier on it is filled with a pattern, and it is
/// out of bounds for `AddressSanitizer`.
#[derive(Debug)]
pub struct Irp {
    id: IrpId,
    file: Arc<FileObject>,
    major: Major,
    input_length: usize,
    output_length: usize,
    buffer: SystemBuffer,
    /// Written under the lock of the state.
    cancelled: AtomicBool,
    state: StateLock<IrpState>,
}

#[derive(Debug, Default)]
struct IrpState {
    done: Option<Done>,
    waiters: Vec<Arc<dyn SchedulerEvent>>,
}

/// How a request ended.
#[derive(Debug)]
struct Done {
    status: NtStatus,
    information: usize,
    output: Output,
}

impl Irp {
    pub(super) fn new(file: &Arc<FileObject>, major: Major, input: &[u8], output_length: usize) -> Arc<Self> {
        let machine = file.machine();
        let io = machine.io_state();
        Arc::new(Self {
            id: IrpId(io.next_id()),
            file: Arc::clone(file),
            major,
            input_length: input.len(),
            output_length,
            buffer: SystemBuffer::new(input, output_length, machine.config(), &io.buffers),
            cancelled: AtomicBool::new(false),
            state: StateLock::default(),
        })
    }

    /// Names the request.
    #[must_use]
    pub const fn id(&self) -> IrpId {
        self.id
    }

    /// Returns what is asked for.
    #[must_use]
    pub const fn major(&self) -> Major {
        self.major
    }

    /// Returns the file object that the request was sent through.
    #[must_use]
    pub const fn file(&self) -> &Arc<FileObject> {
        &self.file
    }

    /// Returns the name of [`Self::file`].
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.file.id()
    }

    /// Returns how many bytes the caller sent.
    #[must_use]
    pub const fn input_length(&self) -> usize {
        self.input_length
    }

    /// Returns how many bytes the caller has room for.
    #[must_use]
    pub const fn output_length(&self) -> usize {
        self.output_length
    }

    /// Returns the system buffer: the input, and then the place for the output. It is aligned to 16
    /// bytes and as long as the longer of both; NULL if both are empty.
    #[must_use]
    pub const fn system_buffer(&self) -> *mut u8 {
        self.buffer.pointer()
    }

    /// Tells whether the caller no longer wants the request.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Tells whether the request was completed.
    pub fn is_completed(&self) -> bool {
        self.state.with(|state| state.done.is_some())
    }

    /// Completes the request (`IoCompleteRequest`): output goes to the caller, who is released.
    ///
    /// The verifier reports a second completion, a completion with `STATUS_PENDING`, and an
    /// `information` beyond the caller's buffer; of these the second counts for nothing and the last
    /// is cut.
    pub fn complete(self: &Arc<Self>, status: NtStatus, information: usize) {
        if status == NtStatus::PENDING {
            self.report("completed with STATUS_PENDING, which is no final status");
        }
        let returns_data = matches!(self.major, Major::DeviceControl(_)) && !status.is_error();
        let mut length = if returns_data { information } else { 0 };
        if length > self.output_length {
            self.report(&format!(
                "completed with Information {information}, but the caller's output buffer has \
                 {} bytes",
                self.output_length
            ));
            length = self.output_length;
        }
        let waiters = self.state.with(|state| {
            if state.done.is_some() {
                return None;
            }
            state.done = Some(Done {
                status,
                information,
                output: self.buffer.retire(length),
            });
            Some(core::mem::take(&mut state.waiters))
        });
        let Some(waiters) = waiters else {
            self.report("completed a second time");
            return;
        };
        self.file.request_done(self);
        for waiter in waiters {
            waiter.set();
        }
    }

    /// Tells the driver, once, that the caller no longer wants the request (`IoCancelIrp`). Tells
    /// whether it was still possible.
    pub(super) fn cancel(self: &Arc<Self>) -> bool {
        let first = self.state.with(|state| {
            let first = !self.is_cancelled() && state.done.is_none();
            if first {
                self.cancelled.store(true, Ordering::Release);
            }
            first
        });
        if first {
            self.trace(RequestEvent::Cancelled);
            // The driver is not unloaded under this thread, even if it completes the request in here.
            let held = self.file.hold();
            self.file.device().dispatch().cancel(self);
            drop(held);
        }
        first
    }

    /// Waits until the request is completed.
    pub(super) fn wait(&self) {
        let waiter = self.state.with(|state| {
            if state.done.is_some() {
                return None;
            }
            let event: Arc<dyn SchedulerEvent> = self.machine().scheduler().event().into();
            state.waiters.push(Arc::clone(&event));
            Some(event)
        });
        if let Some(event) = waiter {
            event.wait();
        }
    }

    /// Waits and takes the result; a second call finds no data.
    pub(super) fn wait_and_take(&self) -> Completion {
        let mut data = Vec::new();
        let (status, information) = self.wait_and_read(|output| data = output.to_vec());
        Completion {
            status,
            information,
            data,
        }
    }

    /// Waits, and lets `read` see the output; a second call finds none. Returns the final status and information.
    pub(super) fn wait_and_read(&self, read: impl FnOnce(&[u8])) -> (NtStatus, usize) {
        let done = loop {
            let done = self.state.with(|state| {
                let done = state.done.as_mut()?;
                let output = core::mem::replace(&mut done.output, Output::Here(0));
                Some((done.status, done.information, output))
            });
            if let Some(done) = done {
                break done;
            }
            self.wait();
        };
        let (status, information, output) = done;
        self.buffer.read(&output, read);
        (status, information)
    }

    /// The machine that it belongs to.
    fn machine(&self) -> &Machine {
        self.file.machine()
    }

    fn report(&self, what: &str) {
        verifier::report_finding(
            self.machine(),
            Finding {
                driver: Some(self.file.device().driver().clone()),
                callback: thread::current_frame().map(|frame| frame.callback),
                thread: thread::current_thread(),
                site: Some(CallSite::here()),
                ..Finding::new(
                    Rule::Kmdf,
                    format!("request {} ({}): {what}", self.id.0, self.major.name()),
                    "complete each request once, with a final status and an Information of at most the \
                     output length"
                        .to_owned(),
                )
            },
        );
    }
}

impl Irp {
    /// Puts what happens to the request into the timeline.
    pub(super) fn trace(&self, what: RequestEvent) {
        self.machine().trace().record(|| {
            Kind::Request(RequestStep {
                irp: self.id,
                major: self.major,
                file: self.file.id(),
                what,
            })
        });
    }

    /// Puts the end of the request into the timeline.
    pub(super) fn trace_done(&self) {
        if !self.machine().trace().is_kept() {
            return;
        }
        let completed = self.state.with(|state| {
            let done = state.done.as_ref()?;
            Some(RequestEvent::Completed {
                status: done.status,
                length: done.output.length(),
            })
        });
        if let Some(completed) = completed {
            self.trace(completed);
        }
    }
}

impl Drop for Irp {
    fn drop(&mut self) {
        self.buffer.reuse(&self.file.machine().io_state().buffers);
    }
}
