//! Processes of user mode: what a program does with devices.

use core::fmt;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    device::{FileId, FileObject},
    identity::Identity,
    irp::{Completion, Irp, Major},
    sddl::{self, Sid},
    step::RequestEvent,
};
use crate::{Machine, ntstatus::NtStatus, sync::StateLock};

/// `STATUS_PROCESS_IS_TERMINATING`
const PROCESS_IS_TERMINATING: NtStatus = NtStatus(0xC000_010A_u32.cast_signed());
/// `FILE_READ_DATA`, what `FILE_READ_ACCESS` in a control code asks for.
const FILE_READ_DATA: u32 = 1;
/// `FILE_WRITE_DATA`, what `FILE_WRITE_ACCESS` in a control code asks for.
const FILE_WRITE_DATA: u32 = 2;
/// `FILE_READ_ATTRIBUTES`; `CreateFile` always asks for it and for SYNCHRONIZE.
const FILE_READ_ATTRIBUTES: u32 = 0x80;

/// The rights that a program asks for when it opens a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access(pub u32);

impl Access {
    /// `GENERIC_READ`
    pub const READ: Self = Self(sddl::GENERIC_READ);
    /// `GENERIC_WRITE`
    pub const WRITE: Self = Self(sddl::GENERIC_WRITE);
    /// `GENERIC_READ | GENERIC_WRITE`
    pub const READ_WRITE: Self = Self(sddl::GENERIC_READ | sddl::GENERIC_WRITE);
    /// No data access: only codes with `FILE_ANY_ACCESS` may be sent.
    pub const NONE: Self = Self(0);
}

/// A program in user mode, with its handles. Clones are the same process.
///
/// All operations may be called from many threads at once. Dropping the last clone does not end the
/// process; [`Process::kill`] does, and the machine's shutdown.
#[derive(Clone)]
pub struct Process {
    machine: Machine,
    state: Arc<ProcessState>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.state.id).finish()
    }
}

/// What the I/O manager keeps per process.
#[derive(Debug)]
pub(crate) struct ProcessState {
    id: u64,
    identity: Identity,
    sids: Vec<Sid>,
    dead: AtomicBool,
    table: StateLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next_handle: u64,
    handles: BTreeMap<u64, Arc<FileObject>>,
    /// File objects from create until close, which can come after the last handle.
    files: BTreeMap<FileId, Arc<FileObject>>,
}

impl ProcessState {
    pub(super) fn new(id: u64, identity: Identity) -> Arc<Self> {
        let sids = identity.sids();
        Arc::new(Self {
            id,
            identity,
            sids,
            dead: AtomicBool::new(false),
            table: StateLock::default(),
        })
    }

    pub(super) fn file_closed(&self, file: FileId) {
        self.table.with(|table| table.files.remove(&file));
    }

    pub(super) fn has_open_files(&self) -> bool {
        self.table.with(|table| !table.files.is_empty())
    }

    pub(super) fn check_alive(&self) -> Result<(), NtStatus> {
        if self.dead.load(Ordering::Acquire) {
            Err(PROCESS_IS_TERMINATING)
        } else {
            Ok(())
        }
    }
}

impl Process {
    pub(super) const fn new(machine: Machine, state: Arc<ProcessState>) -> Self {
        Self { machine, state }
    }

    /// Returns the process's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.state.id
    }

    /// Returns who the process is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.state.identity
    }

    /// Opens a device (`CreateFile`): `\\.\NsEmail`, or a path of the kernel's.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND` if there is no such device, `ACCESS_DENIED` if its security descriptor
    /// does not grant all that is asked for, `NO_SUCH_DEVICE` while its driver waits to be unloaded, or
    /// what the driver answered.
    pub fn open(&self, path: &str, access: Access) -> Result<FileHandle, NtStatus> {
        let _entered = self.machine.enter();
        self.state.check_alive()?;
        let io = self.machine.io_state();
        let (device, tail) = io.resolve(path)?;
        let desired = access.0 | sddl::SYNCHRONIZE | FILE_READ_ATTRIBUTES;
        // A driver that does not ask for secure opens must check names below its device by itself.
        let granted = if tail.is_empty() || device.secure_open() {
            device
                .security()
                .check(&self.state.sids, desired)
                .ok_or(NtStatus::ACCESS_DENIED)?
        } else {
            sddl::map_generic(desired)
        };
        io.reference(&device)?;
        let file = FileObject::new(
            &self.machine,
            Arc::clone(&device),
            Arc::clone(&self.state),
            granted,
            tail,
        );
        let status = file.send(Major::Create);
        if !status.is_success() {
            io.dereference(&self.machine, &device);
            return Err(status);
        }
        file.add_handle();
        let handle = self.state.table.with(|table| {
            table.files.insert(file.id(), Arc::clone(&file));
            table.insert(Arc::clone(&file))
        });
        let handle = FileHandle {
            process: self.clone(),
            file,
            handle,
        };
        if self.state.check_alive().is_err() {
            // The process died meanwhile; whoever ended it may not have seen this handle.
            drop(handle);
            return Err(PROCESS_IS_TERMINATING);
        }
        Ok(handle)
    }

    /// Ends the process as Windows does, whatever it was doing: each of its requests is cancelled and
    /// waited for, then all its handles are closed, which sends cleanup and close for each file.
    ///
    /// Threads that are inside a call get the result of their cancelled request; later calls fail.
    /// Returns when the last file is closed.
    pub fn kill(&self) {
        let _entered = self.machine.enter();
        // From now on no file takes a request: what is under way is all that there is.
        self.state.dead.store(true, Ordering::Release);
        let files: Vec<Arc<FileObject>> = self
            .state
            .table
            .with(|table| table.files.values().cloned().collect());
        let mut requests: Vec<Arc<Irp>> = files.iter().flat_map(|file| file.requests()).collect();
        requests.sort_by_key(|request| request.id());
        for request in &requests {
            request.cancel();
        }
        for request in &requests {
            request.wait();
        }
        let (handles, files) = self.state.table.with(|table| {
            let files: Vec<Arc<FileObject>> = table.files.values().cloned().collect();
            (core::mem::take(&mut table.handles), files)
        });
        for file in handles.into_values() {
            file.drop_handle();
        }
        for file in files {
            file.wait_closed();
        }
    }

    /// Tells whether the process was ended.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state.dead.load(Ordering::Acquire)
    }
}

impl Table {
    fn insert(&mut self, file: Arc<FileObject>) -> u64 {
        // Handle values are multiples of four, as on Windows.
        self.next_handle += 4;
        self.handles.insert(self.next_handle, file);
        self.next_handle
    }
}

/// An open handle of a process; dropping it closes it.
#[derive(Debug)]
pub struct FileHandle {
    process: Process,
    file: Arc<FileObject>,
    handle: u64,
}

impl FileHandle {
    /// Sends a device control request and waits for its end (`DeviceIoControl`). What comes back is
    /// put into `output`; returns how much.
    ///
    /// # Errors
    ///
    /// Returns the status if it is a warning or an error. After a warning the output holds data; use
    /// [`Self::call`] to learn how much.
    pub fn device_control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, NtStatus> {
        let _entered = self.process.machine.enter();
        let mut length = 0;
        let (status, _) = self.send(code, input, output.len())?.wait_and_read(|data| {
            length = data.len();
            if let Some(place) = output.get_mut(..length) {
                place.copy_from_slice(data);
            }
        });
        status.ok()?;
        Ok(length)
    }

    /// Sends a device control request and waits for its end.
    #[must_use]
    pub fn call(&self, code: u32, input: &[u8], output_length: usize) -> Completion {
        let _entered = self.process.machine.enter();
        match self.send(code, input, output_length) {
            Ok(irp) => irp.wait_and_take(),
            Err(status) => Completion::refused(status),
        }
    }

    /// Sends a device control request (an overlapped `DeviceIoControl`) and returns as soon as the
    /// driver has answered or pended it.
    #[must_use]
    pub fn submit(&self, code: u32, input: &[u8], output_length: usize) -> PendingCall {
        let _entered = self.process.machine.enter();
        let sent = self.send(code, input, output_length);
        PendingCall {
            machine: self.process.machine.clone(),
            call: sent.map_or_else(Call::Refused, Call::Sent),
        }
    }

    /// Sends a device control request to the driver.
    fn send(&self, code: u32, input: &[u8], output_length: usize) -> Result<Arc<Irp>, NtStatus> {
        self.process.state.check_alive()?;
        if code & 3 != 0 {
            // Only METHOD_BUFFERED is modelled, and no driver here uses another method.
            return Err(NtStatus::INVALID_DEVICE_REQUEST);
        }
        let mut needed = 0;
        if code & (1 << 14) != 0 {
            needed |= FILE_READ_DATA;
        }
        if code & (2 << 14) != 0 {
            needed |= FILE_WRITE_DATA;
        }
        if self.file.granted() & needed != needed {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let irp = Irp::new(&self.file, Major::DeviceControl(code), input, output_length);
        // Should the process be killed meanwhile, this thread is out of the driver before close comes.
        let held = self.file.begin_request(&irp)?;
        irp.trace(RequestEvent::Sent);
        self.file.device().dispatch().device_control(&irp);
        drop(held);
        Ok(irp)
    }

    /// Makes a second handle to the same file object (`DuplicateHandle`).
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE` if this handle was closed by the end of its process.
    pub fn duplicate(&self) -> Result<Self, NtStatus> {
        let _entered = self.process.machine.enter();
        let state = &self.process.state;
        let handle = state.table.with(|table| {
            state.check_alive()?;
            if !table.handles.contains_key(&self.handle) || !self.file.add_handle() {
                return Err(NtStatus::INVALID_HANDLE);
            }
            Ok(table.insert(Arc::clone(&self.file)))
        })?;
        Ok(Self {
            process: self.process.clone(),
            file: Arc::clone(&self.file),
            handle,
        })
    }

    /// Closes the handle (`CloseHandle`). If it is the last one of its file object, the driver gets
    /// cleanup before this returns, and close once no request is left.
    pub fn close(self) {
        drop(self);
    }

    /// Closes the handle and waits until the driver has got close, too.
    pub fn close_and_wait(self) {
        let machine = self.process.machine.clone();
        let file = Arc::clone(&self.file);
        drop(self);
        let _entered = machine.enter();
        file.wait_closed();
    }

    /// Returns the rights that were granted when the file was opened.
    #[must_use]
    pub fn granted(&self) -> u32 {
        self.file.granted()
    }

    /// Names the file object.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.file.id()
    }
}

impl Drop for FileHandle {
    fn drop(&mut self) {
        let _entered = self.process.machine.enter();
        let open = self
            .process
            .state
            .table
            .with(|table| table.handles.remove(&self.handle));
        if let Some(file) = open {
            file.drop_handle();
        }
    }
}

/// A request that was sent; it goes on whether or not someone waits for it.
#[derive(Debug)]
pub struct PendingCall {
    machine: Machine,
    call: Call,
}

#[derive(Debug)]
enum Call {
    Refused(NtStatus),
    Sent(Arc<Irp>),
}

impl PendingCall {
    /// Gives the request up (`CancelIoEx`). It still has to be waited for. Tells whether the request
    /// was still under way.
    #[expect(clippy::must_use_candidate, reason = "most callers only want it cancelled")]
    pub fn cancel(&self) -> bool {
        let _entered = self.machine.enter();
        match &self.call {
            Call::Refused(_) => false,
            Call::Sent(irp) => irp.cancel(),
        }
    }

    /// Tells whether the request was completed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.call {
            Call::Refused(_) => true,
            Call::Sent(irp) => irp.is_completed(),
        }
    }

    /// Waits until the request is completed.
    #[must_use]
    pub fn wait(self) -> Completion {
        let _entered = self.machine.enter();
        match self.call {
            Call::Refused(status) => Completion::refused(status),
            Call::Sent(irp) => irp.wait_and_take(),
        }
    }
}
