//! Queries, registrations and results: the model of `WSAQUERYSET2W`, and its self-contained form.
//!
//! [`QuerySet`] borrows everything. Its self-contained form is one buffer: the structure
//! `WSAQUERYSET2W` of x64 at its start, then everything that it points to, each item at a multiple
//! of 8. There is one writer and one reader for it, used in two ways:
//!
//! - the **kernel form**, in which it crosses between drivers, is written for the address at which
//!   the buffer stands, so that its pointers are real. It is read by checking every pointer against
//!   the buffer, so that a peer's result can be read without trusting it;
//! - the **wire form**, in which it crosses between a program and a driver, is the same with 0 for
//!   the address: its pointers are 64-bit offsets from the first byte, the same for 32- and 64-bit
//!   programs.
//!
//! Both forms have the same size, so the buffer length that a provider asks for is the one that a
//! program has to give. The items stand in this order: name, comment, context, query string (each
//! terminated), addresses followed by their socket addresses, blob, version, provider, protocols.

mod addresses;
mod layout;
mod read;
mod write;

pub use addresses::{Addresses, AddressesIter, Protocols, pack_address};

use crate::bytes::Writer;
use crate::fault::{Fault, WriteError};
use crate::flags::LookupFlags;
use crate::guid::Guid;
use crate::limits;
use crate::text::Text;

/// Bytes of the structure `WSAQUERYSET2W`, with which either form starts.
pub const HEADER: usize = layout::HEADER;

/// A version and how a query compares it (`WSAVERSION`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Version {
    /// The version.
    pub version: u32,
    /// The number of a [`crate::flags::Comparator`], not yet validated.
    pub comparator: u32,
}

/// A query, a registration or a result, borrowed. Members are those of `WSAQUERYSET2W`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QuerySet<'a> {
    /// The name: a mail address.
    pub name: Option<Text<'a>>,
    /// The version of the object, or the one asked for.
    pub version: Option<Version>,
    /// The comment.
    pub comment: Option<Text<'a>>,
    /// The namespace.
    pub namespace: u32,
    /// In a query the provider to ask, in a result the one that answered.
    pub provider: Option<Guid>,
    /// The context, which is the service name; none and empty are the same (decision 21).
    pub context: Option<Text<'a>>,
    /// The protocol filter.
    pub protocols: Protocols<'a>,
    /// The query string.
    pub query_string: Option<Text<'a>>,
    /// The addresses.
    pub addresses: Addresses<'a>,
    /// [`crate::flags::OutputFlags`] of a result.
    pub output_flags: u32,
    /// The blob. An empty one is not the same as none (decision 18).
    pub blob: Option<&'a [u8]>,
}

impl<'a> QuerySet<'a> {
    /// Leaves only the members that `flags` ask for. Who answered, and in which context, is always told.
    pub const fn select(&mut self, flags: LookupFlags) {
        if !flags.contains(LookupFlags::RETURN_NAME) {
            self.name = None;
        }
        if !flags.contains(LookupFlags::RETURN_VERSION) {
            self.version = None;
        }
        if !flags.contains(LookupFlags::RETURN_COMMENT) {
            self.comment = None;
        }
        if !flags.contains(LookupFlags::RETURN_ADDR) {
            self.addresses = Addresses::NONE;
        }
        if !flags.contains(LookupFlags::RETURN_BLOB) {
            self.blob = None;
        }
        if !flags.contains(LookupFlags::RETURN_QUERY_STRING) {
            self.query_string = None;
        }
    }

    /// The first member that is over its published cap; such a call is `WSAEINVAL` (decision 31).
    #[must_use]
    pub fn over_limit(&self) -> Option<&'static str> {
        let over = self.question_over_limit();
        if over.is_some() {
            over
        } else if longer(self.comment.as_ref(), limits::COMMENT) {
            Some("comment")
        } else if longer(self.query_string.as_ref(), limits::QUERY_STRING) {
            Some("query string")
        } else if self.addresses.len() > limits::ADDRESSES {
            Some("number of addresses")
        } else if self.blob.is_some_and(|blob| blob.len() > limits::BLOB) {
            Some("blob")
        } else {
            None
        }
    }

    /// As [`Self::over_limit`], of the members by which objects are looked for.
    #[must_use]
    pub const fn question_over_limit(&self) -> Option<&'static str> {
        // A name may end in a dot that does not count.
        if longer(self.name.as_ref(), limits::NAME.saturating_add(1)) {
            Some("name")
        } else if longer(self.context.as_ref(), limits::CONTEXT) {
            Some("context")
        } else if self.protocols.len() > limits::PROTOCOLS {
            Some("number of protocols")
        } else {
            None
        }
    }

    /// Size of either form.
    ///
    /// # Errors
    /// `TooLarge` if it cannot be expressed.
    pub fn size(&self) -> Result<usize, WriteError> {
        let mut writer = Writer::new(&mut []);
        self.write_wire_to(&mut writer);
        writer.measured()
    }

    /// Writes the wire form; answers its size, a multiple of 8.
    ///
    /// # Errors
    /// `TooSmall` with the size needed, or `TooLarge`.
    pub fn write_wire(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        self.write_kernel(out, 0)
    }

    /// Writes the wire form as part of a message, at a multiple of 8.
    pub fn write_wire_to(&self, writer: &mut Writer<'_>) {
        write::write(self, 0, writer);
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse_wire(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut set = Self::default();
        set.read_wire(bytes)?;
        Ok(set)
    }

    /// Becomes what the wire form says. For where a query set stays in its place: it is large, and to move one that was
    /// written just now takes longer than its size tells.
    ///
    /// # Errors
    /// The first fault; what is left of the query set is unspecified.
    pub fn read_wire(&mut self, bytes: &'a [u8]) -> Result<(), Fault> {
        read::read(bytes, 0, self)
    }

    /// Writes the kernel form for a buffer that stands at the address `base`; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed, or `TooLarge`.
    pub fn write_kernel(&self, out: &mut [u8], base: u64) -> Result<usize, WriteError> {
        let mut writer = Writer::new(out);
        write::write(self, base, &mut writer);
        writer.finish()
    }

    /// Reads the kernel form from a buffer that was written for the address `base`, or from a copy
    /// of it. Bytes after the last item are ignored.
    ///
    /// # Errors
    /// The first fault; in particular any pointer that leads outside the buffer.
    pub fn parse_kernel(bytes: &'a [u8], base: u64) -> Result<Self, Fault> {
        let mut set = Self::default();
        read::read(bytes, base, &mut set)?;
        Ok(set)
    }
}

/// Whether a text is there, and longer than the limit.
const fn longer(text: Option<&Text<'_>>, limit: usize) -> bool {
    match text {
        Some(text) => text.len() > limit,
        None => false,
    }
}
