//! The test driver: a device that answers at once, later, or never until it is cancelled.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nsemail_kernel::event::Event;
use nsemail_kernel::irql::{DropAtDispatch, Passive};
use nsemail_kernel::lock::SpinLock;
use nsemail_kernel::pool::{Pool, tag};
use nsemail_kernel::status::{NtStatus, out_of_memory};
use nsemail_kernel::thread::{NotStarted, Thread};
use nsemail_kernel::utf16;
use nsemail_kernel::wdf::{
    self, CancelTarget, ControlDevice, ControlDeviceConfig, Device, Driver, DriverHandle, PendedRequest,
    Request,
};
use nt_sim::{DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING};
use pool_alloc::{Arc, Vec};

use super::{checks, code};

/// The pool of this driver.
pub type EchoPool = Pool<{ tag(b"EchP") }>;

/// Returns the input backwards.
pub const ECHO: u32 = code(0);
/// Returns [`Counts`].
pub const COUNTS: u32 = code(1);
/// Waits for [`RELEASE`].
pub const WAIT: u32 = code(2);
/// Answers all that wait, and says how many still did.
pub const RELEASE: u32 = code(3);
/// Is answered by the worker thread, perhaps before it waits.
pub const SOON: u32 = code(4);
/// Is forgotten by the driver.
pub const FORGET: u32 = code(5);
/// Tries to let a second request wait in the call of one that waits; answers with the status.
pub const SECOND: u32 = code(6);
/// Writes 4 bytes of output and claims 1000.
pub const CLAIM: u32 = code(7);
/// Is held up in the driver until [`GO`], and then waits as [`WAIT`] does.
pub const HOLD: u32 = code(9);
/// Lets [`HOLD`] go on.
pub const GO: u32 = code(10);
/// Runs [`checks::run`] with the name in the input; returns what went wrong, or nothing.
pub const CHECK: u32 = code(8);

/// What happened to the device so far.
#[derive(Default)]
pub struct Counts {
    pub created: AtomicUsize,
    pub cleaned_up: AtomicUsize,
    pub closed: AtomicUsize,
    pub files: AtomicUsize,
    pub calls: AtomicUsize,
    pub cancelled: AtomicUsize,
    pub held: AtomicUsize,
}

/// What device and worker share.
pub struct Shared {
    counts: Counts,
    waiting: SpinLock<Vec<Arc<Call, EchoPool>, EchoPool>>,
    soon: SpinLock<Vec<Arc<Call, EchoPool>, EchoPool>>,
    work: Event<EchoPool>,
    go: Event<EchoPool>,
    stopping: AtomicBool,
}

/// A request that waits: a copy of its input.
pub struct Call {
    request: PendedRequest<EchoDevice>,
    input: Vec<u8, EchoPool>,
    answered: AtomicBool,
    shared: Arc<Shared, EchoPool>,
}

// SAFETY: dropping it frees pool and counts.
unsafe impl DropAtDispatch for Call {}

impl CancelTarget<EchoDevice> for Call {
    fn pended(&self) -> &PendedRequest<EchoDevice> {
        &self.request
    }

    fn cancelled(&self, request: Request<EchoDevice>) {
        self.shared.counts.cancelled.fetch_add(1, Ordering::SeqCst);
        request.complete(NtStatus::CANCELLED);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.shared.counts.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Call {
    fn new(shared: &Arc<Shared, EchoPool>, input: &[u8]) -> Result<Arc<Self, EchoPool>, NtStatus> {
        let memory = Arc::<Self, _>::try_new_uninit_in(EchoPool::default()).map_err(out_of_memory)?;
        let input = Vec::try_from_slice_in(input, EchoPool::default()).map_err(out_of_memory)?;
        shared.counts.calls.fetch_add(1, Ordering::SeqCst);
        let call = Self {
            request: PendedRequest::new(),
            input,
            answered: AtomicBool::new(false),
            shared: shared.clone(),
        };
        Ok(Arc::write(memory, call).into())
    }

    /// Answers the request if it is there; tells whether it was.
    fn answer(&self) -> bool {
        self.answered.store(true, Ordering::SeqCst);
        self.finish()
    }

    fn finish(&self) -> bool {
        self.request
            .retrieve()
            .map(|request| request.reply(NtStatus::SUCCESS, &self.input))
            .is_some()
    }
}

/// The state of one open handle.
pub struct EchoFile {
    shared: Arc<Shared, EchoPool>,
}

impl Drop for EchoFile {
    fn drop(&mut self) {
        self.shared.counts.files.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The device.
pub struct EchoDevice {
    driver: DriverHandle,
    shared: Arc<Shared, EchoPool>,
}

impl Device for EchoDevice {
    type File = EchoFile;

    fn create(&self, _: Passive<'_>) -> Result<EchoFile, NtStatus> {
        self.shared.counts.created.fetch_add(1, Ordering::SeqCst);
        self.shared.counts.files.fetch_add(1, Ordering::SeqCst);
        Ok(EchoFile {
            shared: self.shared.clone(),
        })
    }

    fn cleanup(&self, _: Passive<'_>, file: &EchoFile) {
        file.shared.counts.cleaned_up.fetch_add(1, Ordering::SeqCst);
    }

    fn close(&self, _: Passive<'_>, file: EchoFile) {
        file.shared.counts.closed.fetch_add(1, Ordering::SeqCst);
    }

    fn device_control(&self, passive: Passive<'_>, request: Request<Self>) {
        match self.answer(passive, request) {
            Ok(()) => {}
            Err((request, status)) => request.complete(status),
        }
    }
}

type Failed = (Request<EchoDevice>, NtStatus);

impl EchoDevice {
    fn answer(&self, passive: Passive<'_>, mut request: Request<Self>) -> Result<(), Failed> {
        assert!(Arc::ptr_eq(&request.file().shared, &request.device().shared));
        match request.code() {
            ECHO => {
                let input = match request
                    .input()
                    .map(|input| Vec::try_from_slice_in(input, EchoPool::default()).map_err(out_of_memory))
                {
                    Ok(Ok(input)) => input,
                    Ok(Err(status)) | Err(status) => return Err((request, status)),
                };
                match request.output(input.len()) {
                    Ok(output) => {
                        for (to, from) in output.iter_mut().zip(input.iter().rev()) {
                            *to = *from;
                        }
                        request.complete_with(NtStatus::SUCCESS, input.len());
                    }
                    Err(status) => request.complete(status),
                }
                Ok(())
            }
            COUNTS => {
                let counts = &self.shared.counts;
                let numbers = [
                    &counts.created,
                    &counts.cleaned_up,
                    &counts.closed,
                    &counts.files,
                    &counts.calls,
                    &counts.cancelled,
                    &counts.held,
                ]
                .map(|count| count.load(Ordering::SeqCst) as u64)
                .map(u64::to_le_bytes);
                request.reply(NtStatus::SUCCESS, numbers.as_flattened());
                Ok(())
            }
            WAIT => self.wait(request, &self.shared.waiting),
            HOLD => {
                self.shared.counts.held.fetch_add(1, Ordering::SeqCst);
                self.shared.go.wait(passive);
                self.wait(request, &self.shared.waiting)
            }
            GO => {
                self.shared.go.set();
                request.complete(NtStatus::SUCCESS);
                Ok(())
            }
            SOON => self.wait(request, &self.shared.soon),
            RELEASE => {
                let mut empty = Vec::new_in(EchoPool::default());
                self.shared
                    .waiting
                    .with(|waiting| core::mem::swap(waiting, &mut empty));
                let answered = empty.iter().filter(|call| call.answer()).count();
                request.reply(NtStatus::SUCCESS, &(answered as u64).to_le_bytes());
                Ok(())
            }
            FORGET => {
                drop(request);
                Ok(())
            }
            SECOND => {
                let call = self.shared.waiting.with(|waiting| waiting.first().cloned());
                let Some(call) = call else {
                    return Err((request, NtStatus::NOT_FOUND));
                };
                request.pend(&call).map_err(|not| (not.request, not.status))
            }
            CLAIM => match request.output(4) {
                Ok(output) => {
                    output.copy_from_slice(b"four");
                    request.complete_with(NtStatus::SUCCESS, 1000);
                    Ok(())
                }
                Err(status) => Err((request, status)),
            },
            CHECK => {
                let name = String::from_utf8_lossy(request.input().unwrap_or_default()).into_owned();
                let fault = checks::run(&name, self.driver, passive).err().unwrap_or_default();
                request.reply(NtStatus::SUCCESS, fault.as_bytes());
                Ok(())
            }
            _ => Err((request, NtStatus::INVALID_DEVICE_REQUEST)),
        }
    }

    /// Lets a request wait in a call that others find in `place`, from before it waits.
    fn wait(
        &self,
        request: Request<Self>,
        place: &SpinLock<Vec<Arc<Call, EchoPool>, EchoPool>>,
    ) -> Result<(), Failed> {
        let made = request.input().and_then(|input| Call::new(&self.shared, input));
        let call = match made {
            Ok(call) => call,
            Err(status) => return Err((request, status)),
        };
        if place.with(|calls| calls.try_push(call.clone())).is_err() {
            return Err((request, NtStatus::INSUFFICIENT_RESOURCES));
        }
        self.shared.work.set();
        match request.pend(&call) {
            Ok(()) => {
                if call.answered.load(Ordering::SeqCst) {
                    // The answer came before the request waited.
                    call.finish();
                }
                Ok(())
            }
            Err(not) => Err((not.request, not.status)),
        }
    }
}

/// The worker: answers the calls of [`SOON`].
fn work(shared: &Shared, passive: Passive<'_>) {
    while !shared.stopping.load(Ordering::SeqCst) {
        shared.work.wait(passive);
        while let Some(call) = shared.soon.with(Vec::pop) {
            call.answer();
        }
    }
}

/// The driver.
pub struct Echo {
    shared: Arc<Shared, EchoPool>,
    worker: Option<Thread>,
    device: Option<ControlDevice<EchoDevice>>,
}

impl Echo {
    fn new() -> Result<Self, NtStatus> {
        let pool = EchoPool::default();
        let shared = Shared {
            counts: Counts::default(),
            waiting: SpinLock::new(Vec::new_in(pool)),
            soon: SpinLock::new(Vec::new_in(pool)),
            work: Event::synchronization_in(false, pool).map_err(out_of_memory)?,
            go: Event::notification_in(false, pool).map_err(out_of_memory)?,
            stopping: AtomicBool::new(false),
        };
        Ok(Self {
            shared: Arc::try_new_in(shared, pool).map_err(out_of_memory)?,
            worker: None,
            device: None,
        })
    }
}

impl Driver for Echo {
    fn start(&mut self, driver: DriverHandle, passive: Passive<'_>) -> Result<(), NtStatus> {
        let fail_at = driver
            .parameters(passive)?
            .dword(passive, utf16!("FailAt"))?
            .unwrap_or(0);
        let step = |step| {
            if fail_at == step {
                Err(NtStatus::UNSUCCESSFUL)
            } else {
                Ok(())
            }
        };
        step(1)?;
        let shared = self.shared.clone();
        let worker = Thread::spawn(passive, EchoPool::default(), move |passive| {
            work(&shared, passive);
        })
        .map_err(|NotStarted { status, .. }| status)?;
        self.worker = Some(worker);
        step(2)?;
        let device = ControlDevice::create(
            driver,
            passive,
            ControlDeviceConfig {
                name: utf16!(r"\Device\Echo"),
                link: utf16!(r"\DosDevices\Echo"),
                sddl: utf16!("D:P(A;;GA;;;SY)(A;;GA;;;BA)"),
            },
            EchoDevice {
                driver,
                shared: self.shared.clone(),
            },
        )?;
        let device = self.device.insert(device);
        step(3)?;
        device.finish_initializing(passive);
        step(4)
    }

    fn unload(self, passive: Passive<'_>) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.work.set();
        if let Some(worker) = self.worker {
            worker.join(passive);
        }
    }
}

/// The driver's entry point.
pub unsafe extern "system" fn driver_entry(
    driver: *mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: this is DriverEntry.
    unsafe { wdf::create::<Echo>(driver, registry_path, tag(b"EchF"), |_, _| Echo::new()) }
}
