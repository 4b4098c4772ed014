//! Device objects and file objects.

use core::fmt;
use std::sync::Arc;

use super::irp::{Irp, Major};
use super::process::ProcessState;
use super::sddl::SecurityDescriptor;
use super::step::RequestEvent;
use super::under_way::UnderWay;
use crate::{DriverName, Machine, ntstatus::NtStatus, scheduler::SchedulerEvent, sync::StateLock};

/// Names a device object for as long as the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u64);

/// Names a file object for as long as the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// What serves a device's requests: a driver, by way of its framework.
///
/// All are called at PASSIVE_LEVEL with no lock held, except that [`Self::cancel`] comes on whatever
/// thread gives the request up. The request may be completed inside the call or later.
pub trait Dispatch: Send + Sync {
    /// A file object is being made; nothing else comes for it if the request fails.
    fn create(&self, irp: &Arc<Irp>);

    /// The last handle of the file object was closed. Requests may still be under way.
    fn cleanup(&self, irp: &Arc<Irp>);

    /// Nothing refers to the file object any more.
    fn close(&self, irp: &Arc<Irp>);

    /// A device control request.
    fn device_control(&self, irp: &Arc<Irp>);

    /// The caller no longer wants the request; [`Irp::is_cancelled`] says so from now on. Comes at
    /// most once for a request, from another thread than the one that dispatches it, and therefore
    /// before, during or after the dispatch, and even while the request is being completed.
    fn cancel(&self, irp: &Arc<Irp>);
}

/// What is needed to create a device.
pub struct NewDevice<'a> {
    /// Whose device it is.
    pub driver: &'a DriverName,
    /// The full name, such as `\Device\NsEmail`.
    pub name: Option<&'a str>,
    /// Who may open it.
    pub sddl: &'a str,
    /// `FILE_DEVICE_SECURE_OPEN`: names below the device's own are checked like the device.
    pub secure_open: bool,
    /// At most one file object at a time.
    pub exclusive: bool,
    /// What serves its requests.
    pub dispatch: Arc<dyn Dispatch>,
}

impl fmt::Debug for NewDevice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewDevice")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A device object.
pub struct Device {
    id: DeviceId,
    driver: DriverName,
    name: Option<String>,
    security: SecurityDescriptor,
    secure_open: bool,
    exclusive: bool,
    dispatch: Arc<dyn Dispatch>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Device {
    pub(super) fn new(id: DeviceId, new: &NewDevice<'_>, security: SecurityDescriptor) -> Self {
        Self {
            id,
            driver: new.driver.clone(),
            name: new.name.map(str::to_owned),
            security,
            secure_open: new.secure_open,
            exclusive: new.exclusive,
            dispatch: Arc::clone(&new.dispatch),
        }
    }

    /// Names the device.
    #[must_use]
    pub const fn id(&self) -> DeviceId {
        self.id
    }

    /// Returns the driver that made it.
    #[must_use]
    pub const fn driver(&self) -> &DriverName {
        &self.driver
    }

    /// Returns its full name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns who may open it.
    #[must_use]
    pub const fn security(&self) -> &SecurityDescriptor {
        &self.security
    }

    pub(super) const fn secure_open(&self) -> bool {
        self.secure_open
    }

    pub(super) const fn exclusive(&self) -> bool {
        self.exclusive
    }

    pub(super) fn dispatch(&self) -> &dyn Dispatch {
        &*self.dispatch
    }
}

/// An open file of a device.
///
/// Its life: a successful create; any number of requests; cleanup when the last handle is closed;
/// close when besides no request is left.
#[derive(Debug)]
pub struct FileObject {
    id: FileId,
    machine: Machine,
    device: Arc<Device>,
    process: Arc<ProcessState>,
    granted: u32,
    name: String,
    state: StateLock<FileState>,
    closed: Box<dyn SchedulerEvent>,
}

#[derive(Debug, Default)]
struct FileState {
    handles: usize,
    /// Device control requests that are not completed.
    requests: UnderWay,
    /// What else has to end before the file is closed: cleanup, and the calls of [`Held`].
    holds: usize,
    cleaned: bool,
    closing: bool,
}

impl FileState {
    /// Tells whether the file is to be closed now, because what has just ended was the last thing.
    const fn closes(&mut self) -> bool {
        let close = self.requests.is_empty() && self.holds == 0 && self.cleaned && !self.closing;
        self.closing |= close;
        close
    }
}

impl FileObject {
    pub(super) fn new(
        machine: &Machine,
        device: Arc<Device>,
        process: Arc<ProcessState>,
        granted: u32,
        name: String,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: FileId(machine.io_state().next_id()),
            machine: machine.clone(),
            device,
            process,
            granted,
            name,
            state: StateLock::default(),
            closed: machine.scheduler().event(),
        })
    }

    /// Names the file object.
    #[must_use]
    pub const fn id(&self) -> FileId {
        self.id
    }

    pub(super) const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Returns the device.
    #[must_use]
    pub const fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Returns the rights that were granted when it was opened.
    #[must_use]
    pub const fn granted(&self) -> u32 {
        self.granted
    }

    /// Returns the part of the opened name that is beyond the device's: empty, or from `\` on.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a request that concerns the file object itself, and waits for its end.
    pub(super) fn send(self: &Arc<Self>, major: Major) -> NtStatus {
        let irp = Irp::new(self, major, &[], 0);
        irp.trace(RequestEvent::Sent);
        let dispatch = self.device.dispatch();
        match major {
            Major::Create => dispatch.create(&irp),
            Major::Cleanup => dispatch.cleanup(&irp),
            Major::Close => dispatch.close(&irp),
            Major::DeviceControl(_) => dispatch.device_control(&irp),
        }
        irp.wait_and_take().status
    }

    /// Counts a handle; none can be added once the last was closed.
    pub(super) fn add_handle(&self) -> bool {
        self.state.with(|state| {
            let open = !state.cleaned;
            state.handles += usize::from(open);
            open
        })
    }

    /// Takes note of a device control request and of the thread that is about to send it.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE` if the last handle is closed, or `PROCESS_IS_TERMINATING`.
    pub(super) fn begin_request(self: &Arc<Self>, irp: &Arc<Irp>) -> Result<Held<'_>, NtStatus> {
        self.state.with(|state| {
            if state.cleaned {
                return Err(NtStatus::INVALID_HANDLE);
            }
            // Under the lock, so that whoever ends the process sees every request that is begun.
            self.process.check_alive()?;
            state.requests.insert(Arc::clone(irp));
            state.holds += 1;
            Ok(Held(self))
        })
    }

    /// The requests that are under way.
    pub(super) fn requests(&self) -> Vec<Arc<Irp>> {
        self.state.with(|state| state.requests.iter().cloned().collect())
    }

    /// A handle was closed. With the last one comes cleanup, and close if no request is left.
    pub(super) fn drop_handle(self: &Arc<Self>) {
        let last = self.state.with(|state| {
            state.handles = state.handles.saturating_sub(1);
            let last = state.handles == 0 && !state.cleaned;
            state.cleaned |= last;
            // Close comes after cleanup, whoever ends last.
            state.holds += usize::from(last);
            last
        });
        if last {
            self.send(Major::Cleanup);
            self.end_hold();
        }
    }

    /// A request was completed. It may have been on a driver's stack and above PASSIVE_LEVEL, so a
    /// close that falls due is sent by a thread of the system's.
    pub(super) fn request_done(self: &Arc<Self>, irp: &Arc<Irp>) {
        irp.trace_done();
        if !matches!(irp.major(), Major::DeviceControl(_)) {
            return;
        }
        let (done, close) = self
            .state
            .with(|state| (state.requests.remove(irp.id()), state.closes()));
        drop(done);
        if close {
            let file = Arc::clone(self);
            self.machine.spawn("close", move || file.close());
        }
    }

    /// Keeps the file object from being closed, as the I/O manager does while a thread is in a driver on
    /// its behalf; `None` if it is being closed already.
    pub(super) fn hold(self: &Arc<Self>) -> Option<Held<'_>> {
        let held = self.state.with(|state| {
            state.holds += usize::from(!state.closing);
            !state.closing
        });
        held.then_some(Held(self))
    }

    fn end_hold(self: &Arc<Self>) {
        let close = self.state.with(|state| {
            state.holds = state.holds.saturating_sub(1);
            state.closes()
        });
        if close {
            self.close();
        }
    }

    fn close(self: &Arc<Self>) {
        self.send(Major::Close);
        self.machine.io_state().file_closed(&self.machine, self);
        self.process.file_closed(self.id);
        self.closed.set();
    }

    /// Waits until the file object was closed.
    pub(super) fn wait_closed(&self) {
        self.closed.wait();
    }
}

/// A file object that is not closed while this lives. Dropped at PASSIVE_LEVEL, on a thread of user mode.
#[derive(Debug)]
pub(super) struct Held<'f>(&'f Arc<FileObject>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.end_hold();
    }
}
