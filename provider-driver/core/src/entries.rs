//! The dispatch table of a hosted provider: the seven entries of NSPv2 and `LookupServiceBatch`, as clients call them.
//!
//! Each entry turns what the peer passed into values of this driver, calls the binding, and turns the answer back.

use core::ffi::c_void;

use nmr::{ProviderBound, borrow_provider_binding};
use nsemail_contract::codes::WsaCode;
use nsemail_contract::dispatch::{AsyncStatus, LookupBatch, LookupQuestion, ProviderDispatch, VERSION};
use nsemail_contract::fault::WriteError;
use nsemail_contract::flags::{LookupFlags, Operation, SetFlags};
use nsemail_contract::guid::Guid;
use nsemail_contract::limits;
use nsemail_contract::structures::{HANDLE, WSAQUERYSET2W};
use nsemail_contract::wire::CounterKind;
use nsemail_kernel::irql::Passive;

use crate::capture::{Captured, Purpose};
use crate::handles::Handle;
use crate::lookup::Next;
use crate::memory::Records;
use crate::module::Module;
use crate::service::{Call, Token, Waiter};
use crate::store::Change;
use crate::whole::{self, Place};

/// The table that every client gets.
pub static DISPATCH: ProviderDispatch = ProviderDispatch {
    version: VERSION,
    size: ProviderDispatch::SIZE,
    startup: Some(startup),
    cleanup: Some(cleanup),
    lookup_service_begin: Some(lookup_service_begin),
    lookup_service_next_ex: Some(lookup_service_next_ex),
    lookup_service_end: Some(lookup_service_end),
    set_service_ex: Some(set_service_ex),
    client_session_rundown: Some(client_session_rundown),
    lookup_service_batch: Some(lookup_service_batch),
};

type Bound<'a> = ProviderBound<'a, Module>;

/// What every entry starts with: the binding, and the level that the interface promises.
///
/// # Safety
///
/// `binding` is the binding context that this module gave the calling client, which calls at `PASSIVE_LEVEL`; both hold
/// until the call returns.
const unsafe fn enter<'a>(binding: *mut c_void) -> (Bound<'a>, Passive<'a>) {
    // SAFETY: passed on to the caller: the client's detach does not complete before its call returns.
    let bound = unsafe { borrow_provider_binding::<Module>(binding) };
    // SAFETY: passed on to the caller.
    let passive = unsafe { Passive::assume() };
    (bound, passive)
}

/// Whether the call is meant for this provider.
///
/// # Safety
///
/// `provider` is null or can be read.
unsafe fn check_provider(bound: Bound<'_>, provider: *const Guid) -> Result<(), WsaCode> {
    if provider.is_null() {
        return Err(WsaCode::WSAEINVAL);
    }
    // SAFETY: not null, so it can be read, as the caller says.
    let asked = unsafe { provider.read_unaligned() };
    if asked == bound.service().provider() {
        Ok(())
    } else {
        Err(WsaCode::WSAEINVAL)
    }
}

/// Counts a call's result, and answers with it.
fn answer(bound: Bound<'_>, kind: CounterKind, result: Result<(), WsaCode>) -> WsaCode {
    let code = result.err().unwrap_or(WsaCode::NO_ERROR);
    bound.service().common().counters().result(kind, code);
    code
}

/// `NSPv2Startup`. `*session` is read too: a session that is passed in is started once more.
unsafe extern "system" fn startup(
    binding: *mut c_void,
    provider: *const Guid,
    session: *mut *mut c_void,
) -> WsaCode {
    // SAFETY: a client calls this, with its binding, at PASSIVE_LEVEL.
    let (bound, passive) = unsafe { enter(binding) };
    let result = (|| {
        // SAFETY: the interface says that it is null or can be read.
        unsafe { check_provider(bound, provider)? };
        if session.is_null() {
            return Err(WsaCode::WSAEINVAL);
        }
        // SAFETY: not null, so it is the client's variable, which the interface says is initialised.
        let present = Handle::from_pointer(unsafe { session.read_unaligned() });
        let started = bound.startup(passive, present)?;
        // SAFETY: as above.
        unsafe { session.write_unaligned(started.to_pointer()) };
        Ok(())
    })();
    answer(bound, CounterKind::STARTUP, result)
}

/// `NSPv2Cleanup`.
unsafe extern "system" fn cleanup(
    binding: *mut c_void,
    provider: *const Guid,
    session: *mut c_void,
) -> WsaCode {
    // SAFETY: a client calls this, with its binding, at PASSIVE_LEVEL.
    let (bound, passive) = unsafe { enter(binding) };
    // SAFETY: the interface says that it is null or can be read.
    let result = unsafe { check_provider(bound, provider) };
    let result = result.and_then(|()| bound.cleanup(passive, Handle::from_pointer(session)));
    answer(bound, CounterKind::CLEANUP, result)
}

/// `NSPv2ClientSessionRundown`. It cannot fail.
unsafe extern "system" fn client_session_rundown(
    binding: *mut c_void,
    _provider: *const Guid,
    session: *mut c_void,
) {
    // SAFETY: a client calls this, with its binding, at PASSIVE_LEVEL.
    let (bound, passive) = unsafe { enter(binding) };
    if bound.rundown(passive, Handle::from_pointer(session)) {
        answer(bound, CounterKind::RUNDOWN, Ok(()));
    }
}

/// `NSPv2LookupServiceBegin`.
unsafe extern "system" fn lookup_service_begin(
    binding: *mut c_void,
    provider: *const Guid,
    restrictions: *const WSAQUERYSET2W,
    control_flags: u32,
    session: *mut c_void,
    lookup: *mut HANDLE,
) -> WsaCode {
    // SAFETY: a client calls this, with its binding, at PASSIVE_LEVEL.
    let (bound, passive) = unsafe { enter(binding) };
    let result = (|| {
        // SAFETY: the interface says that it is null or can be read.
        unsafe { check_provider(bound, provider)? };
        if lookup.is_null() {
            return Err(WsaCode::WSAEINVAL);
        }
        // SAFETY: the interface says of query sets what the function asks for.
        let captured = unsafe { Captured::copy(restrictions, Purpose::LookUp, Records::default())? };
        let flags = LookupFlags::from_bits_retain(control_flags);
        let opened = bound.begin(passive, Handle::from_pointer(session), &captured.query(), flags)?;
        // SAFETY: not null, so it is the client's variable.
        unsafe { lookup.write_unaligned(opened.to_pointer()) };
        Ok(())
    })();
    answer(bound, CounterKind::LOOKUP_BEGIN, result)
}

/// `NSPv2LookupServiceNextEx`. Everything that it returns was found when the look-up began, so it never waits.
unsafe extern "system" fn lookup_service_next_ex(
    binding: *mut c_void,
    _call: HANDLE,
    lookup: HANDLE,
    control_flags: u32,
    buffer_length: *mut u32,
    results: *mut WSAQUERYSET2W,
) -> AsyncStatus {
    // SAFETY: a client calls this, with its binding, at PASSIVE_LEVEL.
    let (bound, passive) = unsafe { enter(binding) };
    let result = (|| {
        if buffer_length.is_null() || !results.is_aligned() {
            return Err(WsaCode::WSAEINVAL);
        }
        // SAFETY: not null, so it is the client's variable.
        let stated = unsafe { buffer_length.read_unaligned() };
        let length = if results.is_null() { 0 } else { stated as usize };
        let flags = LookupFlags::from_bits_retain(control_flags);
        let next = bound.next(passive, Handle::from_pointer(lookup), flags, |record| {
            let needed = record.size()?;
            if needed > length {
                return Err(WriteError::TooSmall { needed });
            }
            let start = results.cast::<u8>();
            // SAFETY: the client's buffer has `length` bytes, which are at least these.
            unsafe { start.write_bytes(0, needed) };
            // SAFETY: as above, and the bytes are initialised now; the client leaves them alone until the call is
            // final.
            let buffer = unsafe { core::slice::from_raw_parts_mut(start, needed) };
            record.write_kernel(buffer, start.addr() as u64)
        })?;
        match next {
            Next::Written(_) => Ok(()),
            Next::TooSmall(needed) => {
                let needed = u32::try_from(needed).unwrap_or(u32::MAX);
                // SAFETY: not null, so it is the client's variable.
                unsafe { buffer_length.write_unaligned(needed) };
                Err(WsaCode::WSAEFAULT)
            }
            Next::None(code) => Err(code),
        }
    })();
    AsyncStatus::done(answer(bound, CounterKind::LOOKUP_NEXT, result))
}

/// `NSPv2LookupServiceEnd`.
unsafe extern "system" fn lookup_service_end(binding: *mut c_void, lookup: HANDLE) -> WsaCode {
    // SAFETY: a client calls this, with its binding, at PASSIVE_LEVEL.
    let (bound, passive) = unsafe { enter(binding) };
    answer(
        bound,
        CounterKind::LOOKUP_END,
        bound.close(passive, Handle::from_pointer(lookup)),
    )
}

/// `LookupServiceBatch`. What cannot be answered in this way is left to a look-up that is begun.
unsafe extern "system" fn lookup_service_batch(
    binding: *mut c_void,
    provider: *const Guid,
    control_flags: u32,
    session: *mut c_void,
    batch: *const LookupBatch,
) -> WsaCode {
    // SAFETY: a client calls this, with its binding, at PASSIVE_LEVEL.
    let (bound, passive) = unsafe { enter(binding) };
    let result = (|| {
        // SAFETY: the interface says that it is null or can be read.
        unsafe { check_provider(bound, provider)? };
        if batch.is_null() {
            return Err(WsaCode::WSAEINVAL);
        }
        // SAFETY: not null, so the interface says that it can be read.
        let LookupBatch {
            questions,
            buffer,
            count,
            buffer_length,
        } = unsafe { batch.read_unaligned() };
        let count = count as usize;
        if questions.is_null() || buffer.is_null() || count > limits::BATCH {
            return Err(WsaCode::WSAEINVAL);
        }
        bound.check_session(passive, Handle::from_pointer(session))?;
        let flags = LookupFlags::from_bits_retain(control_flags);
        // SAFETY: not null, so the interface says that it has so many bytes, initialised, which are this provider's
        // until the call returns.
        let mut rest = unsafe { core::slice::from_raw_parts_mut(buffer, buffer_length as usize) };
        // One question alone needs no memory of the pool.
        let (mut single, mut several);
        let places = if count > 1 {
            several = whole::places().map_err(|_| WsaCode::WSA_NOT_ENOUGH_MEMORY)?;
            several.as_mut_slice()
        } else {
            single = [Place::EMPTY];
            single.as_mut_slice()
        };
        for first in (0..count).step_by(places.len()) {
            let some = count.saturating_sub(first).min(places.len());
            let places = places.get_mut(..some).unwrap_or_default();
            let question = |index: usize| questions.wrapping_add(first.saturating_add(index));
            for (index, place) in places.iter_mut().enumerate() {
                // SAFETY: one of the questions that the client says are there.
                let asked = unsafe { question(index).read_unaligned() };
                let length = asked.query_length as usize;
                let length = if asked.query.is_null() { 0 } else { length };
                if let Some(place) = place.question(length) {
                    // SAFETY: it has the bytes that the client says, or it is null and none are copied; the place has
                    // as many, and is our own memory.
                    unsafe { core::ptr::copy_nonoverlapping(asked.query, place.as_mut_ptr(), length) };
                }
            }
            let answers = whole::answer(&bound, passive, places, flags, rest);
            for (index, (code, size)) in answers.into_iter().enumerate().take(some) {
                // SAFETY: as above.
                let asked = unsafe { question(index).read_unaligned() };
                let answered = LookupQuestion {
                    code,
                    size: u32::try_from(size).unwrap_or(u32::MAX),
                    ..asked
                };
                // SAFETY: as above, and the answers are this provider's to write.
                unsafe { question(index).write_unaligned(answered) };
                rest = core::mem::take(&mut rest).get_mut(size..).unwrap_or_default();
                if !matches!(code, WsaCode::WSAEFAULT | WsaCode::WSAEOPNOTSUPP) {
                    bound
                        .service()
                        .common()
                        .counters()
                        .result(CounterKind::LOOKUP, code);
                }
            }
        }
        Ok(())
    })();
    result.err().unwrap_or(WsaCode::NO_ERROR)
}

/// `NSPv2SetServiceEx`. What is valid is accepted, and completes when it is durable; before this returns, if the caller
/// waits.
unsafe extern "system" fn set_service_ex(
    binding: *mut c_void,
    call: HANDLE,
    provider: *const Guid,
    registration: *const WSAQUERYSET2W,
    operation: u32,
    control_flags: u32,
    session: *mut c_void,
) -> AsyncStatus {
    // SAFETY: a client calls this, with its binding, at PASSIVE_LEVEL.
    let (bound, passive) = unsafe { enter(binding) };
    let kind = match Operation::from_u32(operation) {
        None => return AsyncStatus::done(WsaCode::WSAEOPNOTSUPP),
        Some(Operation::Register) => CounterKind::REGISTER,
        Some(Operation::Deregister) => CounterKind::DEREGISTER,
        Some(Operation::Delete) => CounterKind::DELETE,
    };
    let result = (|| {
        // SAFETY: the interface says that it is null or can be read.
        unsafe { check_provider(bound, provider)? };
        // SAFETY: the interface says of query sets what the function asks for.
        let captured = unsafe { Captured::copy(registration, Purpose::Change, Records::default())? };
        let limits = &bound.service().common().settings().store;
        let change = Change::from_query(
            operation,
            control_flags,
            &captured.query(),
            limits,
            Records::default(),
        )?;
        // The guard that makes this client's detach wait for the completion.
        let guard = bound.enter().ok_or(WsaCode::WSASYSNOTREADY)?;
        let waits = SetFlags::from_bits_retain(control_flags).contains(SetFlags::CALLER_WAITS);
        let waiter = if waits {
            Some(Waiter::try_new().map_err(|_| WsaCode::WSA_NOT_ENOUGH_MEMORY)?)
        } else {
            None
        };
        let call = Call::new(
            Handle::from_pointer(session),
            change,
            kind,
            Token(call),
            guard,
            waiter,
        );
        // A call that is refused is dropped here, with no lock held.
        bound.accept(passive, call).map_err(|(code, _refused)| code)
    })();
    match result {
        Ok(()) => AsyncStatus::PENDING,
        Err(code) => AsyncStatus::done(answer(bound, kind, Err(code))),
    }
}
