//! I/O request packets.

use core::cell::UnsafeCell;
use std::sync::Arc;

use super::{
    device::{FileId, FileObject},
    step::{RequestEvent, RequestStep},
};
use crate::{
    Finding, Machine, Rule,
    machine::Config,
    ntstatus::NtStatus,
    sanitizer,
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

/// A request on its way through a driver.
///
/// It is completed exactly once, by [`Irp::complete`], from any thread and at up to DISPATCH_LEVEL.
/// The system buffer may be touched until then and not after: with the verifier on it is filled with a pattern, and it is
/// out of bounds for `AddressSanitizer`.
#[derive(Debug)]
pub struct Irp {
    id: IrpId,
    machine: Machine,
    file: Arc<FileObject>,
    major: Major,
    input_length: usize,
    output_length: usize,
    buffer: SystemBuffer,
    state: StateLock<IrpState>,
}

#[derive(Debug, Default)]
struct IrpState {
    cancelled: bool,
    completion: Option<Completion>,
    taken: bool,
    waiters: Vec<Arc<dyn SchedulerEvent>>,
}

/// What memory looks like after its request was completed.
const DEAD: u8 = 0xDD;

impl Irp {
    pub(super) fn new(
        machine: &Machine,
        file: &Arc<FileObject>,
        major: Major,
        input: &[u8],
        output_length: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: IrpId(machine.io_state().next_id()),
            machine: machine.clone(),
            file: Arc::clone(file),
            major,
            input_length: input.len(),
            output_length,
            buffer: SystemBuffer::new(input, output_length, machine.config()),
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
        self.state.with(|state| state.cancelled)
    }

    /// Tells whether the request was completed.
    pub fn is_completed(&self) -> bool {
        self.state.with(|state| state.completion.is_some())
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
            if state.completion.is_some() {
                return None;
            }
            let data = self.buffer.retire(length);
            state.completion = Some(Completion {
                status,
                information,
                data,
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
            let first = !state.cancelled && state.completion.is_none();
            state.cancelled |= first;
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
            if state.completion.is_some() {
                return None;
            }
            let event: Arc<dyn SchedulerEvent> = self.machine.scheduler().event().into();
            state.waiters.push(Arc::clone(&event));
            Some(event)
        });
        if let Some(event) = waiter {
            event.wait();
        }
    }

    /// Waits and takes the result; a second call finds no data.
    pub(super) fn wait_and_take(&self) -> Completion {
        self.wait();
        self.state.with(|state| {
            let taken = core::mem::replace(&mut state.taken, true);
            match &mut state.completion {
                Some(completion) if !taken => Completion {
                    data: core::mem::take(&mut completion.data),
                    ..completion.clone()
                },
                Some(completion) => completion.clone(),
                // Not reached: the wait ends when there is a completion.
                None => Completion {
                    status: NtStatus::PENDING,
                    information: 0,
                    data: Vec::new(),
                },
            }
        })
    }

    fn report(&self, what: &str) {
        verifier::report_finding(
            &self.machine,
            Finding {
                driver: Some(self.file.device().driver().clone()),
                callback: thread::current_frames().pop().map(|frame| frame.callback),
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

/// Kernel memory that carries input and output of a METHOD_BUFFERED request.
#[derive(Debug)]
struct SystemBuffer {
    /// Whole blocks, so that the memory is aligned as pool is.
    blocks: Box<[UnsafeCell<Block>]>,
    /// Whether the memory is spoiled in the end.
    spoil: bool,
    /// Whether `AddressSanitizer` is told what a driver may touch.
    sanitizer: bool,
}

/// As much as pool is aligned to.
type Block = u128;

const _: () = assert!(align_of::<Block>() == 16);

// SAFETY: the memory is handed out as a raw pointer only. Who dereferences it answers for that, as
// in the kernel: the driver until it completes the request, and this module before and after.
unsafe impl Send for SystemBuffer {}
// SAFETY: as above.
unsafe impl Sync for SystemBuffer {}

impl SystemBuffer {
    fn new(input: &[u8], output_length: usize, config: &Config) -> Self {
        let length = input.len().max(output_length);
        let blocks: Vec<Block> = vec![0; length.div_ceil(size_of::<Block>())];
        let buffer = Self {
            blocks: blocks.into_iter().map(UnsafeCell::new).collect(),
            spoil: config.verifier,
            sanitizer: config.sanitizer,
        };
        if !input.is_empty() {
            // SAFETY: the blocks have at least as many bytes as the input, and nobody else knows of them yet.
            unsafe { core::ptr::copy_nonoverlapping(input.as_ptr(), buffer.pointer(), input.len()) };
        }
        if config.sanitizer && length > 0 {
            // SAFETY: the last block has bytes behind the length, or ends there.
            let rest = unsafe { buffer.pointer().add(length) };
            // SAFETY: as above; nobody needs them.
            unsafe { sanitizer::close(rest, buffer.size() - length) };
        }
        buffer
    }

    const fn size(&self) -> usize {
        self.blocks.len() * size_of::<Block>()
    }

    const fn pointer(&self) -> *mut u8 {
        if self.blocks.is_empty() {
            return core::ptr::null_mut();
        }
        self.blocks.as_ptr().cast_mut().cast()
    }

    /// Copies the output, and spoils the memory if rules are checked. Called once, when the driver has given it up.
    fn retire(&self, length: usize) -> Vec<u8> {
        let size = self.size();
        if size == 0 {
            return Vec::new();
        }
        // SAFETY: these are all bytes of the allocation.
        unsafe { sanitizer::open(self.pointer(), size) };
        // SAFETY: the blocks are one run of `size` initialised bytes in interior-mutable memory; a
        // driver that has completed its request has no more business with them.
        let bytes = unsafe { core::slice::from_raw_parts_mut(self.pointer(), size) };
        let data = bytes.get(..length).unwrap_or(bytes).to_vec();
        if self.spoil {
            bytes.fill(DEAD);
        }
        if self.sanitizer {
            // SAFETY: as above; nobody touches them before they are freed.
            unsafe { sanitizer::close(self.pointer(), size) };
        }
        data
    }
}

impl Irp {
    /// Puts what happens to the request into the timeline.
    pub(super) fn trace(&self, what: RequestEvent) {
        self.machine.trace().record(|| {
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
        if !self.machine.trace().is_kept() {
            return;
        }
        let completed = self.state.with(|state| {
            let completion = state.completion.as_ref()?;
            Some(RequestEvent::Completed {
                status: completion.status,
                length: completion.data.len(),
            })
        });
        if let Some(completed) = completed {
            self.trace(completed);
        }
    }
}
