//! Requests and replies of the control devices, the same bytes for 32- and 64-bit programs.
//!
//! All numbers are little-endian, all items start at multiples of 8, and everything that varies in
//! length states its size. A message has at most [`crate::limits::MESSAGE`] bytes.
//!
//! **Requests** start with [`REQUEST_HEADER`] bytes: size of the message, [`VERSION`]. Each request
//! type has `write` for programs and `parse` for drivers.
//!
//! **Replies** start with [`REPLY_HEADER`] bytes: size of the message, Winsock code, needed size,
//! number of entries. Then come the fixed fields that some replies have, then the entries. An entry
//! starts with its size, which is a multiple of 8, and a number whose meaning depends on the reply.
//! Drivers write replies through [`ReplyWriter`], entry by entry; programs parse them with
//! [`Reply`] and the reply types.
//!
//! **Short outputs.** If not everything fits, the needed size says how long the output must be for
//! all of it, as far as the driver knows. A reply that makes sense only as a whole is then a bare
//! header with `WSAEFAULT`. A list that can be continued holds the entries that did fit, with
//! success; it is a bare header with `WSAEFAULT` only if not even one did.

mod catalogue;
mod counters;
mod events;
mod explain;
mod hosting;
mod lists;
mod lookups;
mod reply;
mod request;
mod sessions;

pub use catalogue::{EnableRequest, OrderRequest, ProviderRequest};
pub use counters::{Counter, CounterKind, CountersReply};
pub use events::{Event, EventKind, EventsReply, EventsRequest};
pub use explain::{ChainPart, ExplainReply, ExplainRequest, Explained};
pub use hosting::{InstallRequest, UninstallRequest};
pub use lists::{
    Hosted, HostedReply, HostedState, ListReply, ListRequest, ListedRecord, ProviderEntry, ProviderFlags,
    ProvidersReply, RecordState,
};
pub use lookups::{
    BatchAnswer, BatchReply, BatchRequest, BeginReply, EndRequest, LookupRequest, NextRequest, Record,
    RecordsReply, SetReply, SetRequest, Tier, adopt, encoded_query,
};
pub use reply::{
    DoesNotFit, ENTRY_HEADER, Entries, Entry, REPLY_HEADER, Reply, ReplyProgress, ReplyWriter, Tail,
};
pub use request::{EmptyRequest, REQUEST_HEADER, VERSION};
pub use sessions::{OpenSession, SessionsReply, SessionsRequest};
