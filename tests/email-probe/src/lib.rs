//! Lets a simulated machine see the calls that the two drivers make into each other.
//!
//! The drivers know nothing of it: a machine that is given [`EmailProbe`] puts tables of its own in the
//! place of theirs when they attach, and holds every call against the rules of NMR and of the interface.
#![allow(
    unsafe_code,
    reason = "the entries of the shadow tables call those of the drivers"
)]

use core::ffi::c_void;

use nsemail_contract::{
    Guid, WsaCode,
    dispatch::{AsyncStatus, ClientDispatch, LookupBatch, ProviderDispatch},
    ids,
    structures::{HANDLE, WSAQUERYSET2W},
};
use nt_sim::thread::irql;

/// What a call is answered that must not go on.
const REFUSED: WsaCode = WsaCode::WSA_E_CANCELLED;

nt_sim::shadow_tables! {
    /// The tables of `nsemail_contract::dispatch`. Each entry is called at `PASSIVE_LEVEL`. A provider ends the
    /// calls that it has accepted also when its detach is under way; a client sends nothing then.
    pub struct EmailProbe {
        npi: npi(),
        irql: irql::PASSIVE,
        teardown: [complete_async_call],
    }
    provider: ProviderDispatch {
        startup(provider: *const Guid, session: *mut *mut c_void) -> WsaCode = REFUSED;
        cleanup(provider: *const Guid, session: *mut c_void) -> WsaCode = REFUSED;
        lookup_service_begin(
            provider: *const Guid,
            restrictions: *const WSAQUERYSET2W,
            control_flags: u32,
            session: *mut c_void,
            lookup: *mut HANDLE
        ) -> WsaCode = REFUSED;
        lookup_service_next_ex(
            call: HANDLE,
            lookup: HANDLE,
            control_flags: u32,
            buffer_length: *mut u32,
            results: *mut WSAQUERYSET2W
        ) -> AsyncStatus = AsyncStatus::done(REFUSED);
        lookup_service_end(lookup: HANDLE) -> WsaCode = REFUSED;
        set_service_ex(
            call: HANDLE,
            provider: *const Guid,
            registration: *const WSAQUERYSET2W,
            operation: u32,
            control_flags: u32,
            session: *mut c_void
        ) -> AsyncStatus = AsyncStatus::done(REFUSED);
        client_session_rundown(provider: *const Guid, session: *mut c_void);
        lookup_service_batch(
            provider: *const Guid,
            control_flags: u32,
            session: *mut c_void,
            batch: *const LookupBatch
        ) -> WsaCode = REFUSED;
    }
    client: ClientDispatch {
        complete_async_call(call: HANDLE, code: WsaCode, information: usize);
    }
}

/// The NPIID as NMR spells it.
const fn npi() -> nt_sim::nmr::probe::Guid {
    let Guid {
        data1,
        data2,
        data3,
        data4,
    } = ids::NPIID;
    nt_sim::nmr::probe::Guid::new(data1, data2, data3, data4)
}
