//! Messages of statistics.

use super::reply::{DoesNotFit, Entries, Entry, Reply, ReplyWriter};
use crate::bytes::Reader;
use crate::codes::WsaCode;
use crate::fault::Fault;

/// What a counter counts; the number of its entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKind(pub u32);

macro_rules! counter_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal, $text:literal;)+) => {
        impl CounterKind {
            $($(#[doc = $doc])+ pub const $name: Self = Self($value);)+

            /// Every kind that has a name here.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Name for people and programs.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)+
                    _ => None,
                }
            }
        }
    };
}

counter_kinds! {
    /// Sessions opened with a provider, by result.
    STARTUP = 1, "startup";
    /// Sessions closed with a provider, by result.
    CLEANUP = 2, "cleanup";
    /// Look-ups opened, by result.
    LOOKUP_BEGIN = 3, "lookup-begin";
    /// Next-record calls, by result.
    LOOKUP_NEXT = 4, "lookup-next";
    /// Look-ups closed, by result.
    LOOKUP_END = 5, "lookup-end";
    /// Registrations, by result.
    REGISTER = 6, "register";
    /// Deregistrations, by result.
    DEREGISTER = 7, "deregister";
    /// Deletions, by result.
    DELETE = 8, "delete";
    /// Look-ups in one call, by result.
    LOOKUP = 9, "lookup";
    /// Names looked up in batches, by result.
    BATCHED = 10, "batched-lookup";
    /// Sessions that ended without being closed.
    RUNDOWN = 11, "session-rundown";

    /// Sessions that are open.
    SESSIONS = 0x100, "sessions";
    /// Look-ups that are open.
    LOOKUPS = 0x101, "lookups";
    /// Calls under way.
    CALLS = 0x102, "calls";
    /// Providers in the catalogue.
    PROVIDERS = 0x103, "providers";
    /// Providers attached, or clients attached to hosted providers.
    BINDINGS = 0x104, "bindings";
    /// Times that a call went on to the next provider.
    FALL_THROUGHS = 0x105, "fall-throughs";
    /// Calls cancelled.
    CANCELLED = 0x106, "cancelled-calls";
    /// Malformed requests.
    MALFORMED = 0x107, "malformed-requests";
    /// Objects stored.
    OBJECTS = 0x108, "objects";
    /// Addresses stored.
    ADDRESSES = 0x109, "addresses";
    /// Bytes of logs on disk.
    LOG_BYTES = 0x10A, "log-bytes";
    /// Times that a log was flushed.
    LOG_FLUSHES = 0x10B, "log-flushes";
    /// Changes written to logs.
    LOG_RECORDS = 0x10C, "log-records";
    /// Bytes of all objects stored, in memory.
    STORE_BYTES = 0x10D, "store-bytes";

    /// Objects that a store takes.
    MAX_OBJECTS = 0x200, "max-objects";
    /// Bytes of objects that a store takes.
    MAX_STORE_BYTES = 0x201, "max-store-bytes";
    /// Contexts that a name may have.
    MAX_CONTEXTS = 0x202, "max-contexts-per-name";
    /// Addresses that an object may have.
    MAX_ADDRESSES = 0x203, "max-addresses-per-object";
    /// Bytes that a blob may have.
    MAX_BLOB = 0x204, "max-blob-bytes";
    /// Sessions that there may be: of the client driver, or of one client.
    MAX_SESSIONS = 0x205, "max-sessions";
    /// Look-ups that a session may have open.
    MAX_LOOKUPS = 0x206, "max-lookups-per-session";
    /// Calls that may be under way: in the client driver, or changes that wait for the journal of one provider.
    MAX_CALLS = 0x207, "max-calls";
    /// Providers that may be attached, or hosted.
    MAX_PROVIDERS = 0x208, "max-providers";
}

impl CounterKind {
    /// Whether there is one counter of this kind per result code.
    #[must_use]
    pub const fn is_by_result(self) -> bool {
        self.0 < 0x100
    }

    /// Whether it is a limit that was configured, and nothing that is counted.
    #[must_use]
    pub const fn is_limit(self) -> bool {
        self.0 >= 0x200
    }
}

impl core::fmt::Debug for CounterKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "CounterKind({})", self.0),
        }
    }
}

/// One counter: an entry whose number is the kind; in it code, 0, value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counter {
    /// What it counts.
    pub kind: CounterKind,
    /// The result that it counts, for the kinds that count by result.
    pub code: WsaCode,
    /// How many.
    pub value: u64,
}

impl Counter {
    /// Writes the entry.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn write(self, reply: &mut ReplyWriter<'_>) -> Result<(), DoesNotFit> {
        reply.entry(self.kind.0, |writer| {
            writer.u32(self.code.0);
            writer.u32(0);
            writer.u64(self.value);
        })
    }

    fn read(entry: Entry<'_>) -> Result<Self, Fault> {
        let mut reader = Reader::new(entry.content);
        let code = WsaCode(reader.u32()?);
        reader.reserved()?;
        Ok(Self {
            kind: CounterKind(entry.number),
            code,
            value: reader.u64()?,
        })
    }
}

/// The counters of a driver. Makes sense only as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CountersReply<'a>(Entries<'a>);

impl<'a> CountersReply<'a> {
    /// Reads the frame.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'a>) -> Result<Self, Fault> {
        reply.entries(&reply.fields()).map(Self)
    }

    /// The counters, each of which may be malformed in itself.
    pub fn counters(&self) -> impl Iterator<Item = Result<Counter, Fault>> + use<'a> {
        self.0.clone().map(Counter::read)
    }
}
