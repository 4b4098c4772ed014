//! The entries of a provider's dispatch table, which do what its module says.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;

use nmr::borrow_provider_binding;
use nsemail_contract::dispatch::{AsyncStatus, LookupBatch, LookupQuestion, ProviderDispatch, VERSION};
use nsemail_contract::structures::{HANDLE, WSAQUERYSET2W};
use nsemail_contract::{Guid, QuerySet, SetFlags, WsaCode};
use nt_sim::Machine;

use super::{Accepted, Instance, Module};

const FLUSHPREVIOUS: u32 = 0x2000;

/// All entries.
pub static FULL: ProviderDispatch = ProviderDispatch {
    version: VERSION,
    size: ProviderDispatch::SIZE,
    startup: Some(startup),
    cleanup: Some(cleanup),
    lookup_service_begin: Some(begin),
    lookup_service_next_ex: Some(next),
    lookup_service_end: Some(end),
    set_service_ex: Some(set),
    client_session_rundown: Some(rundown),
    lookup_service_batch: None,
};

/// All entries, and whole look-ups.
pub static BATCHING: ProviderDispatch = ProviderDispatch {
    lookup_service_batch: Some(batch),
    ..FULL
};

/// The required entries only.
pub static MINIMAL: ProviderDispatch = ProviderDispatch {
    startup: None,
    cleanup: None,
    set_service_ex: None,
    client_session_rundown: None,
    ..FULL
};

/// One that lacks a required entry.
pub static BROKEN: ProviderDispatch = ProviderDispatch {
    lookup_service_end: None,
    ..FULL
};

fn of<'a>(binding: *mut c_void) -> &'a Module {
    // SAFETY: the client passes the binding context of this provider.
    let bound = unsafe { borrow_provider_binding::<Instance>(binding) };
    &bound.module().module
}

fn accept(binding: *mut c_void, call: HANDLE, length: usize, results: usize) -> Accepted {
    // SAFETY: as in `of`.
    let bound = unsafe { borrow_provider_binding::<Instance>(binding) };
    Accepted {
        machine: Machine::current(),
        guard: bound.enter(),
        call: call.addr(),
        length,
        results,
    }
}

unsafe extern "system" fn startup(
    binding: *mut c_void,
    _: *const Guid,
    session: *mut *mut c_void,
) -> WsaCode {
    let module = of(binding);
    module.note("startup");
    // SAFETY: the client gives a place for the session.
    unsafe { *session = ptr::without_provenance_mut(7) };
    module
        .startup
        .as_ref()
        .map_or(WsaCode::NO_ERROR, |startup| startup())
}

unsafe extern "system" fn cleanup(binding: *mut c_void, _: *const Guid, session: *mut c_void) -> WsaCode {
    assert_eq!(session.addr(), 7);
    of(binding).note("cleanup");
    WsaCode::NO_ERROR
}

unsafe extern "system" fn rundown(binding: *mut c_void, _: *const Guid, session: *mut c_void) {
    assert_eq!(session.addr(), 7);
    of(binding).note("rundown");
}

/// # Safety
/// The text is null or ends with NUL.
unsafe fn units(text: *const u16) -> Vec<u16> {
    let mut units = Vec::new();
    while !text.is_null() {
        // SAFETY: everything before was not NUL, so the text goes on.
        let next = unsafe { text.add(units.len()) };
        // SAFETY: as above.
        match unsafe { *next } {
            0 => break,
            unit => units.push(unit),
        }
    }
    units
}

unsafe extern "system" fn begin(
    binding: *mut c_void,
    provider: *const Guid,
    query: *const WSAQUERYSET2W,
    _: u32,
    _: *mut c_void,
    look_up: *mut HANDLE,
) -> WsaCode {
    let module = of(binding);
    module.note("begin");
    // SAFETY: the client passes its provider's GUID.
    assert_eq!(unsafe { *provider }, module.guid);
    // SAFETY: the client passes a complete query.
    let name = unsafe { (*query).lpszServiceInstanceName };
    // SAFETY: as above; a name is null or ends with NUL.
    let units = unsafe { units(name) };
    let name = String::from_utf16(&units).unwrap();
    match module.begin.as_ref().map_or(Ok(Vec::new()), |begin| begin(&name)) {
        Ok(records) => {
            let number = module.last.fetch_add(1, Ordering::Relaxed) + 1;
            module.look_ups.lock().unwrap().push((number, records, 0, false));
            // SAFETY: the client gives a place for the look-up.
            unsafe { *look_up = ptr::without_provenance_mut(usize::try_from(number).unwrap()) };
            WsaCode::NO_ERROR
        }
        Err(code) => code,
    }
}

unsafe extern "system" fn next(
    binding: *mut c_void,
    call: HANDLE,
    look_up: HANDLE,
    flags: u32,
    length: *mut u32,
    results: *mut WSAQUERYSET2W,
) -> AsyncStatus {
    let module = of(binding);
    module.note("next");
    assert_eq!(results.addr() % 8, 0);
    let accepted = accept(binding, call, length.addr(), results.addr());
    if let Some(next) = &module.next {
        return next(accepted);
    }
    next_of(
        module,
        &accepted,
        look_up.addr() as u64,
        flags & FLUSHPREVIOUS != 0,
    )
    .into()
}

/// The next record of a look-up, by the buffer protocol.
fn next_of(module: &Module, call: &Accepted, look_up: u64, flush: bool) -> WsaCode {
    let mut look_ups = module.look_ups.lock().unwrap();
    let Some((_, records, at, refused)) = look_ups.iter_mut().find(|it| it.0 == look_up) else {
        return WsaCode::WSA_INVALID_HANDLE;
    };
    if flush && *refused {
        *at += 1;
    }
    let code = records
        .get(*at)
        .map_or(WsaCode::WSA_E_NO_MORE, |record| call.write(record));
    *refused = code == WsaCode::WSAEFAULT;
    if code.is_success() {
        *at += 1;
    }
    drop(look_ups);
    code
}

unsafe extern "system" fn end(binding: *mut c_void, look_up: HANDLE) -> WsaCode {
    let module = of(binding);
    module.note("end");
    module
        .look_ups
        .lock()
        .unwrap()
        .retain(|it| it.0 != look_up.addr() as u64);
    WsaCode::NO_ERROR
}

unsafe extern "system" fn set(
    binding: *mut c_void,
    call: HANDLE,
    _: *const Guid,
    registration: *const WSAQUERYSET2W,
    operation: u32,
    flags: u32,
    _: *mut c_void,
) -> AsyncStatus {
    let module = of(binding);
    let waits = SetFlags::from_bits_retain(flags).contains(SetFlags::CALLER_WAITS);
    module.note(if waits { "set by who waits" } else { "set" });
    // SAFETY: the client passes a complete registration.
    assert_eq!(unsafe { (*registration).dwSize }, 112);
    let accepted = accept(binding, call, 0, 0);
    module
        .set
        .as_ref()
        .map_or_else(|| WsaCode::NO_ERROR.into(), |set| set(accepted, operation))
}

unsafe extern "system" fn batch(
    binding: *mut c_void,
    provider: *const Guid,
    _: u32,
    _: *mut c_void,
    batch: *const LookupBatch,
) -> WsaCode {
    let module = of(binding);
    module.note("batch");
    // SAFETY: the client passes its provider's GUID.
    assert_eq!(unsafe { *provider }, module.guid);
    // SAFETY: the client passes questions and a buffer.
    let batch = unsafe { *batch };
    // SAFETY: as above.
    let questions = unsafe { std::slice::from_raw_parts_mut(batch.questions, batch.count as usize) };
    // SAFETY: as above.
    let buffer = unsafe { std::slice::from_raw_parts_mut(batch.buffer, batch.buffer_length as usize) };
    let mut end = 0;
    for question in questions {
        let (code, records, size) = answer(module, question);
        if records.len() > buffer.len() - end {
            (question.code, question.size) = (WsaCode::WSAEFAULT, 0);
            continue;
        }
        buffer[end..end + records.len()].copy_from_slice(&records);
        end += records.len();
        (question.code, question.size) = (code, size.try_into().unwrap());
    }
    WsaCode::NO_ERROR
}

/// What the module says to a question: what it was told to say, or what look-ups say that are begun.
fn answer(module: &Module, question: &LookupQuestion) -> super::Whole {
    // SAFETY: the client passes complete queries.
    let query = unsafe { std::slice::from_raw_parts(question.query, question.query_length as usize) };
    let query = QuerySet::parse_wire(query).expect("a sound query");
    let name = query.name.expect("a name").to_string();
    if let Some(whole) = &module.whole {
        return whole(&name);
    }
    match module.begin.as_ref().map_or(Ok(Vec::new()), |begin| begin(&name)) {
        Ok(found) => {
            let records: Vec<u8> = found.iter().flat_map(|held| held.entry(module.guid)).collect();
            let size = records.len();
            (WsaCode::NO_ERROR, records, size)
        }
        Err(code) => (code, Vec::new(), 0),
    }
}
