//! Where this driver and a provider meet: the only `unsafe` code of this crate.
//!
//! Outgoing, each function here is one entry of the provider's dispatch table. It takes the call guard, which keeps
//! the provider's table and binding context alive, and the buffers whose pointers the provider gets. Incoming, there
//! is `CompleteAsyncCall`, and what a provider says of itself when it is offered.
//!
//! Values that a provider gives us to give back later (sessions, look-ups) are [`Opaque`]: nothing is done with them
//! but that.

#![allow(unsafe_code, reason = "the boundary between this driver and its peers")]

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr;

use nmr::{ClientCallGuard, DropAtDispatch, borrow_client_binding};
use nsemail_contract::dispatch::{
    self, AsyncStatus, ClientDispatch, LookupBatch, LookupQuestion, ProviderCharacteristics,
    ProviderDispatch, is_compatible,
};
use nsemail_contract::structures::HANDLE;
use nsemail_contract::{Guid, WsaCode, ids, limits};
use nsemail_kernel::irql::Passive;

use crate::attach::{Attacher, Binding};
use crate::buffer::{Query, Room};
use crate::calls::reply::Waiting;
use crate::calls::table::CallHandle;

/// A call into a provider.
pub type Guard = ClientCallGuard<Attacher>;

/// A value of a provider's, which means something to that provider only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opaque(*mut c_void);

// SAFETY: the value is never dereferenced here, and the interface lets it be passed back on any thread.
unsafe impl Send for Opaque {}
// SAFETY: as above.
unsafe impl Sync for Opaque {}

/// What an entry gets for a session that may be none.
const fn session_of(session: Option<Opaque>) -> *mut c_void {
    match session {
        Some(Opaque(value)) => value,
        None => ptr::null_mut(),
    }
}

/// The table that providers call.
pub static CLIENT_DISPATCH: ClientDispatch = ClientDispatch {
    version: dispatch::VERSION,
    size: ClientDispatch::SIZE,
    complete_async_call: Some(complete_async_call),
};

/// `CompleteAsyncCall`. Runs on the provider's thread: it records the answer and leaves the rest to a worker.
unsafe extern "system" fn complete_async_call(
    binding: *mut c_void,
    call: HANDLE,
    code: WsaCode,
    information: usize,
) {
    // SAFETY: the binding context is ours, as the provider got it from NMR, and the provider's own call guard keeps
    // the binding from being cleaned up before this call has returned (`dispatch`, rules of the interface).
    let bound = unsafe { borrow_client_binding::<Attacher>(binding) };
    bound.module().service().completed(
        bound.binding(),
        CallHandle::from_u64(call.addr() as u64),
        code,
        information,
    );
}

// SAFETY: dropping a binding takes spin locks and sets an event, and never frees the last reference to the service,
// which the driver holds until its registration has ended. All of that is allowed at DISPATCH_LEVEL.
unsafe impl DropAtDispatch for Binding {}

// SAFETY: what is shared with a request that waits is a spin lock around the request, which is gone by then.
unsafe impl DropAtDispatch for Waiting {}

fn table(guard: &Guard) -> Option<&ProviderDispatch> {
    guard.peer_dispatch().filter(|table| table.is_valid())
}

/// Whether the provider's table can be used.
#[must_use]
pub fn is_usable(guard: &Guard) -> bool {
    table(guard).is_some()
}

/// `NSPv2Startup`. A provider that has no such entry, or whose entry says `WSAEOPNOTSUPP`, does not want to know of
/// sessions: it is used without.
///
/// # Errors
/// The provider's code.
pub fn startup(_: Passive<'_>, guard: &Guard, provider: &Guid) -> Result<Option<Opaque>, WsaCode> {
    let Some(entry) = table(guard).and_then(|table| table.startup) else {
        return Ok(None);
    };
    let mut session = ptr::null_mut();
    // SAFETY: the guard keeps table and context alive; the GUID and the place for the session outlive the call; the
    // thread is at PASSIVE_LEVEL.
    let code = unsafe { entry(guard.peer_context(), provider, &raw mut session) };
    match code {
        WsaCode::NO_ERROR => Ok(Some(Opaque(session))),
        WsaCode::WSAEOPNOTSUPP => Ok(None),
        code => Err(code),
    }
}

/// Whether the provider wants to hear of `NSPv2ClientSessionRundown`.
#[must_use]
pub fn runs_down(guard: &Guard) -> bool {
    table(guard).is_some_and(|table| table.client_session_rundown.is_some())
}

/// `NSPv2Cleanup`, if there is such an entry.
#[must_use]
pub fn cleanup(_: Passive<'_>, guard: &Guard, provider: &Guid, session: Opaque) -> WsaCode {
    let Some(entry) = table(guard).and_then(|table| table.cleanup) else {
        return WsaCode::WSAEOPNOTSUPP;
    };
    // SAFETY: as in `startup`; the session is one that the provider gave for this binding.
    unsafe { entry(guard.peer_context(), provider, session.0) }
}

/// `NSPv2ClientSessionRundown`, if there is such an entry.
pub fn rundown(_: Passive<'_>, guard: &Guard, provider: &Guid, session: Opaque) {
    if let Some(entry) = table(guard).and_then(|table| table.client_session_rundown) {
        // SAFETY: as in `cleanup`.
        unsafe { entry(guard.peer_context(), provider, session.0) };
    }
}

/// `NSPv2LookupServiceBegin`.
///
/// # Errors
/// The provider's code.
pub fn begin(
    _: Passive<'_>,
    guard: &Guard,
    provider: &Guid,
    query: &Query,
    flags: u32,
    session: Option<Opaque>,
) -> Result<Opaque, WsaCode> {
    let entry = table(guard)
        .and_then(|table| table.lookup_service_begin)
        .ok_or(WsaCode::WSAEOPNOTSUPP)?;
    let mut look_up = ptr::null_mut();
    // SAFETY: as in `cleanup`; the query is a complete structure that outlives the call, aligned to 8.
    let code = unsafe {
        entry(
            guard.peer_context(),
            provider,
            query.as_ptr().cast(),
            flags,
            session_of(session),
            &raw mut look_up,
        )
    };
    code.ok().map(|()| Opaque(look_up))
}

/// `NSPv2LookupServiceNextEx`.
///
/// Until the call is final, `room` belongs to the provider: the caller keeps it, and does not touch it.
pub fn next(
    _: Passive<'_>,
    guard: &Guard,
    call: CallHandle,
    look_up: Opaque,
    flags: u32,
    room: &mut Room,
) -> AsyncStatus {
    let Some(entry) = table(guard).and_then(|table| table.lookup_service_next_ex) else {
        return AsyncStatus::done(WsaCode::WSAEOPNOTSUPP);
    };
    let length = room.length_ptr();
    let record = room.record_ptr();
    // SAFETY: as in `cleanup`; the look-up is one that the provider gave for this binding. Length and record are in
    // memory that stays in place until its owner drops it, which is not before the call is final: a task that waits
    // for a provider is dropped only when it was answered or when the provider's binding is gone.
    unsafe {
        entry(
            guard.peer_context(),
            handle(call),
            look_up.0,
            flags,
            length,
            record.cast(),
        )
    }
}

/// `NSPv2LookupServiceEnd`.
pub fn end(_: Passive<'_>, guard: &Guard, look_up: Opaque) {
    if let Some(entry) = table(guard).and_then(|table| table.lookup_service_end) {
        // SAFETY: as in `next`.
        let _ = unsafe { entry(guard.peer_context(), look_up.0) };
    }
}

/// A question of [`look_up_batch`], and its answer.
#[repr(transparent)]
#[derive(Debug)]
pub struct Question<'q> {
    raw: LookupQuestion,
    query: PhantomData<&'q [u8]>,
}

impl<'q> Question<'q> {
    /// A question that was not answered. The query is in the wire form.
    #[must_use]
    pub fn new(query: &'q [u8]) -> Self {
        Self {
            raw: LookupQuestion {
                query: query.as_ptr(),
                query_length: u32::try_from(query.len()).unwrap_or(u32::MAX),
                code: WsaCode::WSAEOPNOTSUPP,
                size: 0,
            },
            query: PhantomData,
        }
    }

    /// The code that it was answered with, and the bytes of its records.
    #[must_use]
    pub const fn answer(&self) -> (WsaCode, usize) {
        (self.raw.code, self.raw.size as usize)
    }
}

/// Whether the provider has `LookupServiceBatch`.
#[must_use]
pub fn takes_batches(guard: &Guard) -> bool {
    table(guard).is_some_and(|table| table.lookup_service_batch.is_some())
}

/// `LookupServiceBatch`: asks all the questions, and has their records written to `buffer`. What the provider answers
/// is not checked. A provider without such an entry answers `WSAEOPNOTSUPP`.
#[must_use]
pub fn look_up_batch(
    _: Passive<'_>,
    guard: &Guard,
    provider: &Guid,
    flags: u32,
    session: Option<Opaque>,
    questions: &mut [Question<'_>],
    buffer: &mut [u8],
) -> WsaCode {
    let Some(entry) = table(guard).and_then(|table| table.lookup_service_batch) else {
        return WsaCode::WSAEOPNOTSUPP;
    };
    let batch = LookupBatch {
        questions: questions.as_mut_ptr().cast(),
        buffer: buffer.as_mut_ptr(),
        count: u32::try_from(questions.len()).unwrap_or(0),
        buffer_length: u32::try_from(buffer.len()).unwrap_or(0),
    };
    // SAFETY: as in `cleanup`; the questions, the queries that they borrow, and the buffer outlive the call, and it may
    // write to the questions and the buffer, which are borrowed exclusively.
    unsafe {
        entry(
            guard.peer_context(),
            provider,
            flags,
            session_of(session),
            &raw const batch,
        )
    }
}

/// What `NSPv2SetServiceEx` is told. All of it stays in place until the call is final.
#[derive(Clone, Copy, Debug)]
pub struct Registration<'a> {
    /// The provider.
    pub provider: &'a Guid,
    /// What is registered or removed.
    pub query: &'a Query,
    /// `RNRSERVICE_*`.
    pub operation: u32,
    /// `SERVICE_*`.
    pub flags: u32,
}

/// `NSPv2SetServiceEx`. A provider without such an entry answers `WSAEOPNOTSUPP`.
#[must_use]
pub fn set(
    _: Passive<'_>,
    guard: &Guard,
    call: CallHandle,
    what: Registration<'_>,
    session: Option<Opaque>,
) -> AsyncStatus {
    let Some(entry) = table(guard).and_then(|table| table.set_service_ex) else {
        return AsyncStatus::done(WsaCode::WSAEOPNOTSUPP);
    };
    // SAFETY: as in `next`: GUID and registration stay in place until the call is final.
    unsafe {
        entry(
            guard.peer_context(),
            handle(call),
            what.provider,
            what.query.as_ptr().cast(),
            what.operation,
            what.flags,
            session_of(session),
        )
    }
}

fn handle(call: CallHandle) -> HANDLE {
    usize::try_from(call.to_u64()).map_or(ptr::null_mut(), ptr::without_provenance_mut)
}

/// What a provider says of itself, in its own memory.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'o> {
    /// The namespace provider.
    pub provider: Guid,
    /// Its display name.
    pub identifier: &'o [u16],
    /// Its installation blob, not parsed.
    pub blob: &'o [u8],
    /// The version of its implementation.
    pub version: u32,
}

impl<'o> Offered<'o> {
    /// Reads the characteristics of a provider that is being offered, as far as their form goes.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(characteristics: &'o ProviderCharacteristics) -> Result<Self, &'static str> {
        let this = characteristics;
        if !is_compatible(this.version, this.size, size_of::<ProviderCharacteristics>()) {
            return Err("characteristics of another version or size");
        }
        if this.provider.is_nil() {
            return Err("no provider GUID");
        }
        if this.namespace != ids::NS_EMAIL {
            return Err("another namespace");
        }
        let identifier = this.identifier_length as usize;
        if identifier > limits::IDENTIFIER || !this.identifier.is_aligned() {
            return Err("identifier too long or misaligned");
        }
        let blob = this.blob_length as usize;
        if blob > limits::INSTALLATION_BLOB {
            return Err("installation blob too large");
        }
        if (this.identifier.is_null() && identifier > 0) || (this.blob.is_null() && blob > 0) {
            return Err("a pointer is null");
        }
        let identifier = if identifier == 0 {
            &[]
        } else {
            // SAFETY: not null, aligned, and by the interface's rules valid for as many units, shared and unchanged
            // while the provider is registered, which it is for as long as it is being offered.
            unsafe { core::slice::from_raw_parts(this.identifier, identifier) }
        };
        let blob = if blob == 0 {
            &[]
        } else {
            // SAFETY: as above, for bytes.
            unsafe { core::slice::from_raw_parts(this.blob, blob) }
        };
        Ok(Self {
            provider: this.provider,
            identifier,
            blob,
            version: this.provider_version,
        })
    }
}
