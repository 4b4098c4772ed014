//! Control codes of the two devices.
//!
//! All are `METHOD_BUFFERED`. A code carries the access that its handle must have been opened with;
//! what travels is described in [`crate::wire`].
//!
//! A request that is well-formed succeeds at NT level, and its reply starts with a header that
//! carries the Winsock code. Only three things fail at NT level: an unknown code
//! (`STATUS_INVALID_DEVICE_REQUEST`), a malformed request (`STATUS_INVALID_PARAMETER`), and an
//! output buffer shorter than the header (`STATUS_BUFFER_TOO_SMALL`).

/// Device type of both control devices, from the range that is left to vendors.
pub const DEVICE_TYPE: u32 = 0x8037;

const METHOD_BUFFERED: u32 = 0;
const FILE_READ_ACCESS: u32 = 1;
const FILE_WRITE_ACCESS: u32 = 2;

const fn code(function: u32, access: u32) -> u32 {
    (DEVICE_TYPE << 16) | (access << 14) | (function << 2) | METHOD_BUFFERED
}

macro_rules! control_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $function:literal, $access:ident;)+) => {
        $($(#[doc = $doc])+ pub const $name: u32 = code($function, $access);)+

        /// The name of a control code here.
        #[must_use]
        pub const fn name(control_code: u32) -> Option<&'static str> {
            match control_code {
                $($name => Some(stringify!($name)),)+
                _ => None,
            }
        }

        /// Every control code here.
        pub const ALL: &[u32] = &[$($name),+];
    };
}

control_codes! {
    /// Opens a look-up: [`crate::wire::LookupRequest`] to [`crate::wire::BeginReply`].
    LOOKUP_BEGIN = 0x800, FILE_READ_ACCESS;
    /// Fetches the next record: [`crate::wire::NextRequest`] to [`crate::wire::RecordsReply`] with one record.
    LOOKUP_NEXT = 0x801, FILE_READ_ACCESS;
    /// Closes a look-up: [`crate::wire::EndRequest`] to an empty reply.
    LOOKUP_END = 0x802, FILE_READ_ACCESS;
    /// Looks up in one call: [`crate::wire::LookupRequest`] to [`crate::wire::RecordsReply`] with all records.
    LOOKUP = 0x803, FILE_READ_ACCESS;
    /// Looks up many names in one call: [`crate::wire::BatchRequest`] to [`crate::wire::BatchReply`].
    LOOKUP_BATCH = 0x804, FILE_READ_ACCESS;
    /// Changes a name: [`crate::wire::SetRequest`] to [`crate::wire::SetReply`].
    SET_SERVICE = 0x805, FILE_WRITE_ACCESS;
    /// Lists the namespace providers: [`crate::wire::EmptyRequest`] to [`crate::wire::ProvidersReply`].
    PROVIDERS = 0x806, FILE_READ_ACCESS;
    /// Reads counters, of either device: [`crate::wire::EmptyRequest`] to [`crate::wire::CountersReply`].
    STATISTICS = 0x807, FILE_READ_ACCESS;
    /// Reads events, of either device: [`crate::wire::EventsRequest`] to [`crate::wire::EventsReply`].
    EVENTS = 0x808, FILE_READ_ACCESS;
    /// Ends the session of the handle: [`crate::wire::EmptyRequest`] to an empty reply.
    END_SESSION = 0x809, FILE_READ_ACCESS;
    /// Explains who would be asked about a name: [`crate::wire::ExplainRequest`] to [`crate::wire::ExplainReply`].
    EXPLAIN = 0x80A, FILE_READ_ACCESS;
    /// Enables or disables a namespace provider: [`crate::wire::EnableRequest`] to an empty reply.
    ENABLE = 0x80B, FILE_WRITE_ACCESS;
    /// Says in which order the namespace providers are called, all of them: [`crate::wire::OrderRequest`] to an
    /// empty reply.
    ORDER = 0x80C, FILE_WRITE_ACCESS;
    /// Takes a namespace provider that is not attached out of the catalogue: [`crate::wire::ProviderRequest`] to an
    /// empty reply.
    FORGET = 0x80D, FILE_WRITE_ACCESS;
    /// Sets the counters back to zero, of either device, but not those of what is there now:
    /// [`crate::wire::EmptyRequest`] to an empty reply.
    RESET_STATISTICS = 0x80E, FILE_WRITE_ACCESS;
    /// Lists what is open, of either device: [`crate::wire::SessionsRequest`] to [`crate::wire::SessionsReply`].
    SESSIONS = 0x80F, FILE_READ_ACCESS;
    /// Reads the records of a hosted provider page by page, provider device only:
    /// [`crate::wire::ListRequest`] to [`crate::wire::ListReply`].
    LIST = 0x840, FILE_READ_ACCESS;
    /// Lists the hosted providers, provider device only: [`crate::wire::EmptyRequest`] to
    /// [`crate::wire::HostedReply`].
    HOSTED = 0x841, FILE_READ_ACCESS;
    /// Has another namespace provider hosted, provider device only: [`crate::wire::InstallRequest`] to an empty reply.
    INSTALL = 0x842, FILE_WRITE_ACCESS;
    /// Has a namespace provider hosted no more, provider device only: [`crate::wire::UninstallRequest`] to an empty
    /// reply.
    UNINSTALL = 0x843, FILE_WRITE_ACCESS;
}
