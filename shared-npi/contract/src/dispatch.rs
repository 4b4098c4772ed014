//! What the two drivers exchange when NMR attaches them: dispatch tables and characteristics.
//!
//! # Rules of the interface
//!
//! - Every entry is called at `PASSIVE_LEVEL` with APCs enabled. Peers deregister from NMR and
//!   complete detaching at `PASSIVE_LEVEL` too.
//! - Each table starts with its version and size. A reader accepts its own major version with any
//!   size that is at least its own, and reads no further than that.
//!   (No size of a table was ever published that is smaller than the present one.)
//! - Entries that may be absent are `Option`. An absent `set_service_ex` counts as an answer of
//!   `WSAEOPNOTSUPP`; an absent `startup` does not make a provider unavailable, nor does one that
//!   answers `WSAEOPNOTSUPP`.
//! - Structures, names and buffers of a call stay valid until the call is final, and belong to
//!   the caller. Look-up results are written self-contained into the caller's buffer.
//! - **Asynchronous calls.** `lookup_service_next_ex` and `set_service_ex` answer an
//!   [`AsyncStatus`]. [`AsyncStatus::PENDING`] means: accepted, and exactly one
//!   [`CompleteAsyncCall`] for this call follows, which may come before the entry returns. Anything
//!   else is the final code, and no completion comes. To accept, a provider takes a call guard on
//!   the client's binding and holds it until `CompleteAsyncCall` has returned: its detach is thus
//!   pending exactly while accepted calls exist. Only a completion carries information, so an entry
//!   that has some to give accepts the call and completes it, if need be before it returns.
//! - **Whole look-ups.** [`LookupServiceBatch`] is an offer to answer at once what needs no waiting: it
//!   is a short cut for begin, next and end, and says nothing that these would not. A client can do
//!   without it, and a provider may leave any single question to them.
//! - After detach began the client sends nothing more. The provider frees the sessions and
//!   look-ups of a binding when NMR has it clean up its binding context.

use core::ffi::c_void;

use crate::codes::WsaCode;
use crate::guid::Guid;
use crate::structures::{HANDLE, WSAQUERYSET2W};

/// Version of every table and structure here; its upper 16 bits are the major version.
pub const VERSION: u32 = 0x0001_0000;

/// Whether a structure of a peer can be read as one that this crate describes with `own_size`.
#[must_use]
pub const fn is_compatible(version: u32, size: u32, own_size: usize) -> bool {
    version >> 16 == VERSION >> 16 && size as usize >= own_size
}

/// Answer of an asynchronous entry: pending, or a final [`WsaCode`].
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AsyncStatus(pub u32);

impl AsyncStatus {
    /// Accepted; exactly one completion follows. The number is that of `STATUS_PENDING`, which is
    /// no Winsock code.
    pub const PENDING: Self = Self(0x103);

    /// A final answer.
    #[must_use]
    pub const fn done(code: WsaCode) -> Self {
        Self(code.0)
    }

    /// The final code, or `None` if a completion follows.
    #[must_use]
    pub const fn final_code(self) -> Option<WsaCode> {
        if self.0 == Self::PENDING.0 {
            None
        } else {
            Some(WsaCode(self.0))
        }
    }
}

impl From<WsaCode> for AsyncStatus {
    fn from(code: WsaCode) -> Self {
        Self::done(code)
    }
}

/// `NSPv2Startup`: opens a session with a namespace provider. (provider binding context, provider,
/// session out)
pub type Startup = unsafe extern "system" fn(
    binding: *mut c_void,
    provider: *const Guid,
    session: *mut *mut c_void,
) -> WsaCode;

/// `NSPv2Cleanup`: closes a session once; the last one of as many as were started does the work.
pub type Cleanup =
    unsafe extern "system" fn(binding: *mut c_void, provider: *const Guid, session: *mut c_void) -> WsaCode;

/// `NSPv2LookupServiceBegin`: opens a look-up.
pub type LookupServiceBegin = unsafe extern "system" fn(
    binding: *mut c_void,
    provider: *const Guid,
    restrictions: *const WSAQUERYSET2W,
    control_flags: u32,
    session: *mut c_void,
    lookup: *mut HANDLE,
) -> WsaCode;

/// `NSPv2LookupServiceNextEx`: writes the next record into `results`, whose address is a multiple
/// of 8 and which has `*buffer_length` bytes.
///
/// If the record does not fit, `*buffer_length` becomes what it takes and the answer is
/// `WSAEFAULT`; the same record comes again. Otherwise `*buffer_length` stays untouched. On success
/// the `information` of a completion is the bytes written.
pub type LookupServiceNextEx = unsafe extern "system" fn(
    binding: *mut c_void,
    call: HANDLE,
    lookup: HANDLE,
    control_flags: u32,
    buffer_length: *mut u32,
    results: *mut WSAQUERYSET2W,
) -> AsyncStatus;

/// `NSPv2LookupServiceEnd`: closes a look-up. A pending next-record call of it completes with
/// `WSA_E_CANCELLED`.
pub type LookupServiceEnd = unsafe extern "system" fn(binding: *mut c_void, lookup: HANDLE) -> WsaCode;

/// Looks up several names in one call. (provider binding context, provider, flags, session, questions
/// and buffer)
///
/// Each is looked up as `NSPv2LookupServiceBegin` with these flags, a `NSPv2LookupServiceNextEx` for
/// each record, and `NSPv2LookupServiceEnd` would do it. The provider fills in the answer of each
/// question, and writes its records to the buffer, behind those of the questions before, as
/// [`crate::wire::Record::write_entry`] does; their `provider` is the one asked, their namespace the
/// NPI's. The buffer's bytes are initialised, and all bytes of an entry may reach a program. It never
/// waits. If the call's own code is not `NO_ERROR`, no question was answered.
pub type LookupServiceBatch = unsafe extern "system" fn(
    binding: *mut c_void,
    provider: *const Guid,
    control_flags: u32,
    session: *mut c_void,
    batch: *const LookupBatch,
) -> WsaCode;

/// What [`LookupServiceBatch`] is asked, and where it answers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LookupBatch {
    /// The questions.
    pub questions: *mut LookupQuestion,
    /// The buffer for the records.
    pub buffer: *mut u8,
    /// Number of the questions, at most [`crate::limits::BATCH`].
    pub count: u32,
    /// Bytes of the buffer.
    pub buffer_length: u32,
}

/// A question of [`LookupServiceBatch`], and its answer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LookupQuestion {
    /// The query, in the wire form of [`crate::queryset`].
    pub query: *const u8,
    /// Bytes of the query.
    pub query_length: u32,
    /// Answer: what the look-up ends with, `NO_ERROR` if there are records. `WSAEFAULT` if these did
    /// not fit the rest of the buffer, and `WSAEOPNOTSUPP` if the question is not one to be answered in
    /// this way: such a look-up is to be begun.
    pub code: WsaCode,
    /// Answer: bytes of the records.
    pub size: u32,
}

/// `NSPv2SetServiceEx`: registers, deregisters or deletes a name. Completes when the change is
/// durable; the `information` of the completion is a [`SetInformation`].
///
/// The control flags are [`SetFlags`](crate::flags::SetFlags). Without `CALLER_WAITS` the entry does not
/// wait for a disk.
pub type SetServiceEx = unsafe extern "system" fn(
    binding: *mut c_void,
    call: HANDLE,
    provider: *const Guid,
    registration: *const WSAQUERYSET2W,
    operation: u32,
    control_flags: u32,
    session: *mut c_void,
) -> AsyncStatus;

/// `NSPv2ClientSessionRundown`: the client's session ended without `Cleanup`.
pub type ClientSessionRundown =
    unsafe extern "system" fn(binding: *mut c_void, provider: *const Guid, session: *mut c_void);

/// The provider's dispatch table: the entries of `NSPV2_ROUTINE`, each with the provider's binding
/// context before the arguments that `NSPV2_ROUTINE` has, and one more.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProviderDispatch {
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of this table.
    pub size: u32,
    /// Optional.
    pub startup: Option<Startup>,
    /// Optional.
    pub cleanup: Option<Cleanup>,
    /// Required.
    pub lookup_service_begin: Option<LookupServiceBegin>,
    /// Required.
    pub lookup_service_next_ex: Option<LookupServiceNextEx>,
    /// Required.
    pub lookup_service_end: Option<LookupServiceEnd>,
    /// Optional.
    pub set_service_ex: Option<SetServiceEx>,
    /// Optional.
    pub client_session_rundown: Option<ClientSessionRundown>,
    /// Optional.
    pub lookup_service_batch: Option<LookupServiceBatch>,
}

impl ProviderDispatch {
    /// What to put into `size`.
    pub const SIZE: u32 = struct_size::<Self>();

    /// Whether version, size and the required entries are there.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        is_compatible(self.version, self.size, size_of::<Self>())
            && self.lookup_service_begin.is_some()
            && self.lookup_service_next_ex.is_some()
            && self.lookup_service_end.is_some()
    }
}

/// `CompleteAsyncCall`: ends an accepted call. (client binding context, the call's token, final
/// code, information)
///
/// It may be called from any thread at `PASSIVE_LEVEL`, and exactly once per accepted call.
pub type CompleteAsyncCall =
    unsafe extern "system" fn(binding: *mut c_void, call: HANDLE, code: WsaCode, information: usize);

/// The client's dispatch table.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ClientDispatch {
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of this table.
    pub size: u32,
    /// Required.
    pub complete_async_call: Option<CompleteAsyncCall>,
}

impl ClientDispatch {
    /// What to put into `size`.
    pub const SIZE: u32 = struct_size::<Self>();

    /// Whether version, size and the required entry are there.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        is_compatible(self.version, self.size, size_of::<Self>()) && self.complete_async_call.is_some()
    }
}

/// What a provider module shows to client modules before they attach
/// (`NpiSpecificCharacteristics`): its entry of the catalogue, as in `WSANAMESPACE_INFOEXW`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProviderCharacteristics {
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of this structure.
    pub size: u32,
    /// The namespace provider.
    pub provider: Guid,
    /// Its namespace, [`crate::ids::NS_EMAIL`].
    pub namespace: u32,
    /// Version of the provider's implementation.
    pub provider_version: u32,
    /// Units of the display name.
    pub identifier_length: u32,
    /// Bytes of the installation blob.
    pub blob_length: u32,
    /// The display name, not necessarily terminated.
    pub identifier: *const u16,
    /// The installation blob.
    pub blob: *const u8,
}

impl ProviderCharacteristics {
    /// What to put into `size`.
    pub const SIZE: u32 = struct_size::<Self>();
}

/// What the client module shows to provider modules.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ClientCharacteristics {
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of this structure.
    pub size: u32,
}

impl ClientCharacteristics {
    /// What to put into `size`.
    pub const SIZE: u32 = struct_size::<Self>();
    /// The characteristics of a client that speaks this version.
    pub const CURRENT: Self = Self {
        version: VERSION,
        size: Self::SIZE,
    };
}

/// What a completed change did, packed into the `information` of its completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetInformation {
    /// Addresses that were not there before.
    pub added: u16,
    /// Addresses that are no longer there.
    pub removed: u16,
}

impl SetInformation {
    /// Packs both counts.
    #[must_use]
    pub const fn pack(self) -> usize {
        self.added as usize | ((self.removed as usize) << 16)
    }

    /// The inverse of [`Self::pack`].
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each cast takes the half that its count has"
    )]
    pub const fn unpack(information: usize) -> Self {
        Self {
            added: information as u16,
            removed: (information >> 16) as u16,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "these structures have fewer than a hundred bytes"
)]
const fn struct_size<T>() -> u32 {
    size_of::<T>() as u32
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<ProviderDispatch>() == 72);
    assert!(size_of::<LookupBatch>() == 24);
    assert!(size_of::<LookupQuestion>() == 24);
    assert!(size_of::<ClientDispatch>() == 16);
    assert!(size_of::<ProviderCharacteristics>() == 56);
    assert!(size_of::<ClientCharacteristics>() == 8);
};
