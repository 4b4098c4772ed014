//! The request of a call, and how it is answered.
//!
//! A request is answered on the thread that it came on, if that can be; else it is *pended* before the task is parked,
//! and can be cancelled from then on. Cancelling answers it at once with `WSA_E_CANCELLED`; the task does not know, and
//! finds out when it next looks.

use nsemail_contract::wire::{REPLY_HEADER, ReplyWriter};
use nsemail_contract::{WsaCode, limits};
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::wdf::{CancelTarget, NotPended, PendedRequest};
use pool_alloc::Arc;

use crate::control::{Control, Request};
use crate::memory::CallPool;

/// Where a pended request waits, shared by the task and the framework.
#[derive(Default)]
pub struct Waiting {
    request: PendedRequest<Control>,
}

impl CancelTarget<Control> for Waiting {
    fn pended(&self) -> &PendedRequest<Control> {
        &self.request
    }

    fn cancelled(&self, request: Request) {
        answer(request, WsaCode::WSA_E_CANCELLED);
    }
}

impl Waiting {
    /// Cancels the request, unless somebody else has it.
    pub fn cancel(&self) {
        if let Some(request) = self.request.retrieve() {
            answer(request, WsaCode::WSA_E_CANCELLED);
        }
    }
}

/// The request of a call.
pub struct Reply {
    /// Here as long as nobody else can complete it.
    request: Option<Request>,
    waiting: Arc<Waiting, CallPool>,
    pended: bool,
}

impl Reply {
    /// Takes a request in, and the place where it can wait.
    #[must_use]
    pub const fn new(request: Request, waiting: Arc<Waiting, CallPool>) -> Self {
        Self {
            request: Some(request),
            waiting,
            pended: false,
        }
    }

    /// Lets the request wait, cancelable, and says where. Once it waits, it does so until it is answered.
    pub fn pend(&mut self) -> Arc<Waiting, CallPool> {
        if let Some(request) = self.request.take() {
            self.pended = true;
            // It was cancelled before it could wait: this answers it, and the task goes on orphaned.
            if let Err(NotPended { request, .. }) = request.pend(&self.waiting) {
                answer(request, WsaCode::WSA_E_CANCELLED);
            }
        }
        self.waiting()
    }

    /// Where the request waits.
    #[must_use]
    pub fn waiting(&self) -> Arc<Waiting, CallPool> {
        self.waiting.clone()
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        self.pended && self.waiting.request.is_empty()
    }

    /// Takes the request out to answer it. `None` if it was cancelled.
    pub fn take(&mut self) -> Option<Request> {
        self.request.take().or_else(|| self.waiting.request.retrieve())
    }
}

/// Answers a request with nothing but a code.
///
/// # IRQL
/// Up to `DISPATCH_LEVEL`.
pub fn answer(mut request: Request, code: WsaCode) {
    let size = write(&mut request, REPLY_HEADER, |out| ReplyWriter::bare(out, code));
    complete(request, size);
}

/// Writes a reply of `needed` bytes, as much of it as the output takes; gives what to complete the request with.
///
/// # Errors
/// The status of a request whose output cannot even hold a header.
pub fn write(
    request: &mut Request,
    needed: usize,
    write: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Result<usize, NtStatus> {
    let room = needed
        .clamp(REPLY_HEADER, limits::MESSAGE)
        .min(request.output_len());
    write(request.output(room)?).ok_or(NtStatus::BUFFER_TOO_SMALL)
}

/// Completes a request with what was written.
pub fn complete(request: Request, written: Result<usize, NtStatus>) {
    match written {
        Ok(size) => request.complete_with(NtStatus::SUCCESS, size),
        Err(status) => request.complete(status),
    }
}
