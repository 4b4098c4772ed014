//! Requests to host another namespace provider, or one less.
//!
//! The device checks a request, lets it wait, and hands it to the host thread, which does one after the other. A
//! request that is cancelled is answered at once; it is not done if the host thread has not begun with it, and is
//! done to its end if it has.

use nsemail_contract::blob::{self, InstallationBlob};
use nsemail_contract::codes::WsaCode;
use nsemail_contract::guid::Guid;
use nsemail_contract::limits;
use nsemail_contract::wire::{InstallRequest, REPLY_HEADER, ReplyWriter, UninstallRequest};
use nsemail_kernel::irql::DropAtDispatch;
use nsemail_kernel::lock::SpinLock;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::wdf::{CancelTarget, PendedRequest, Request};
use pool_alloc::{Arc, OutOfMemory, Vec};

use crate::device::AdminDevice;
use crate::memory::Memory;
use crate::parameters::Entry;

/// What is to be changed.
pub enum Change {
    /// A namespace provider is to be hosted.
    Install(Entry),
    /// One is not to be hosted any more.
    Uninstall {
        /// The namespace provider.
        provider: Guid,
        /// Its names are to be deleted.
        delete_names: bool,
    },
}

impl Change {
    /// What an installation asks for, checked as far as it can be without looking at what there is.
    ///
    /// # Errors
    ///
    /// `WSAEINVAL` for a nil GUID, a display name that is none, and a malformed blob; `WSAEOPNOTSUPP` for a blob of a
    /// kind that is not hosted; `WSA_NOT_ENOUGH_MEMORY`.
    pub fn install(request: &InstallRequest<'_>) -> Result<Self, WsaCode> {
        let length = request.identifier.len();
        if request.provider.is_nil() || !(1..=limits::IDENTIFIER).contains(&length) {
            return Err(WsaCode::WSAEINVAL);
        }
        InstallationBlob::parse(request.blob).map_err(|fault| blob::fault_code(fault.kind))?;
        let memory = Memory::default();
        let identifier = Vec::try_from_iter_in(request.identifier.units(), memory).map_err(no_memory)?;
        Ok(Self::Install(Entry {
            provider: request.provider,
            identifier,
            blob: Vec::try_from_slice_in(request.blob, memory).map_err(no_memory)?,
            preferred: None,
        }))
    }

    /// What an uninstallation asks for.
    pub const fn uninstall(request: UninstallRequest) -> Self {
        Self::Uninstall {
            provider: request.provider,
            delete_names: request.delete_names,
        }
    }
}

/// A request that waits for the host thread.
pub struct Call {
    change: SpinLock<Option<Change>>,
    request: PendedRequest<AdminDevice>,
}

// SAFETY: dropping a call frees non-paged pool, which is allowed at `DISPATCH_LEVEL`.
unsafe impl DropAtDispatch for Call {}

impl CancelTarget<AdminDevice> for Call {
    fn pended(&self) -> &PendedRequest<AdminDevice> {
        &self.request
    }

    fn cancelled(&self, request: Request<AdminDevice>) {
        answer(request, WsaCode::WSA_E_CANCELLED);
    }
}

impl Call {
    /// A call that nothing has come of yet.
    pub const fn new(change: Change) -> Self {
        Self {
            change: SpinLock::new(Some(change)),
            request: PendedRequest::new(),
        }
    }

    /// Takes out what is to be done. `None` if the request was cancelled.
    pub fn begin(&self) -> Option<Change> {
        let change = self.change.with(Option::take);
        change.filter(|_| !self.request.is_empty())
    }

    /// Answers the request, unless it was cancelled.
    pub fn complete(&self, code: WsaCode) {
        if let Some(request) = self.request.retrieve() {
            answer(request, code);
        }
    }
}

/// Calls that wait for the host thread.
pub struct Queue {
    calls: Vec<Arc<Call, Memory>, Memory>,
    /// Nothing is accepted any more.
    closed: bool,
}

impl Queue {
    /// No calls.
    pub const fn new() -> Self {
        Self {
            calls: Vec::new_in(nsemail_kernel::pool::Pool),
            closed: false,
        }
    }

    /// Adds a call.
    ///
    /// # Errors
    ///
    /// The code that it is to be answered with.
    pub fn push(&mut self, call: Arc<Call, Memory>) -> Result<(), WsaCode> {
        if self.closed {
            return Err(WsaCode::WSASYSNOTREADY);
        }
        self.calls.try_push(call).map_err(no_memory)
    }

    /// Takes the call that has waited longest.
    pub fn pop(&mut self) -> Option<Arc<Call, Memory>> {
        self.calls.remove(0)
    }

    /// Accepts no more calls.
    pub const fn close(&mut self) {
        self.closed = true;
    }
}

/// Answers a request with nothing but a code.
///
/// # IRQL
/// Up to `DISPATCH_LEVEL`.
pub fn answer(mut request: Request<AdminDevice>, code: WsaCode) {
    let room = request.output_len().min(REPLY_HEADER);
    let written = request
        .output(room)
        .and_then(|out| ReplyWriter::bare(out, code).ok_or(NtStatus::BUFFER_TOO_SMALL));
    match written {
        Ok(size) => request.complete_with(NtStatus::SUCCESS, size),
        Err(status) => request.complete(status),
    }
}

/// For `map_err`.
const fn no_memory(_: OutOfMemory) -> WsaCode {
    WsaCode::WSA_NOT_ENOUGH_MEMORY
}
