//! Control flags, operations and small enumerations of Winsock's name service.

use bitflags::bitflags;

bitflags! {
    /// Control flags of a look-up (`LUP_*`, winsock2.h).
    ///
    /// Unknown bits are kept and ignored: it is no error to ask for more than a provider knows.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct LookupFlags: u32 {
        /// All contexts of the name, one record each.
        const DEEP = 0x1;
        /// Containers only; there are none here, so such a query answers `WSANO_DATA`.
        const CONTAINERS = 0x2;
        /// No containers.
        const NOCONTAINERS = 0x4;
        /// Order by distance where that is possible.
        const NEAREST = 0x8;
        /// Return the name.
        const RETURN_NAME = 0x10;
        /// Return the service class; there is none here.
        const RETURN_TYPE = 0x20;
        /// Return the version.
        const RETURN_VERSION = 0x40;
        /// Return the comment.
        const RETURN_COMMENT = 0x80;
        /// Return the addresses.
        const RETURN_ADDR = 0x100;
        /// Return the blob.
        const RETURN_BLOB = 0x200;
        /// Return aliases as results of their own; there are none here.
        const RETURN_ALIASES = 0x400;
        /// Return what of the name was not parsed.
        const RETURN_QUERY_STRING = 0x800;
        /// Everything that can be returned.
        const RETURN_ALL = 0xFF0;
        /// Bypass caches; the store is the source.
        const FLUSHCACHE = 0x1000;
        /// Drop the record that did not fit the buffer, and go on with the next one.
        const FLUSHPREVIOUS = 0x2000;
        /// Ask every provider that may know the name, not only the most authoritative one.
        const NON_AUTHORITATIVE = 0x4000;
        /// Only results that are protected against spoofing.
        const SECURE = 0x8000;
        /// No name is given; return the names that the provider would publish.
        const RETURN_PREFERRED_NAMES = 0x1_0000;
        const _ = !0;
    }
}

impl LookupFlags {
    /// The flags that select members of a result.
    pub const RETURN_MASK: Self = Self::RETURN_ALL;
    /// The flags of one call that act whether or not the look-up was begun with them.
    pub const PER_CALL: Self = Self::FLUSHPREVIOUS.union(Self::SECURE);

    /// What one call for the next record may return.
    ///
    /// `self` are the flags that the look-up was begun with, `next` those of the call. A call can
    /// narrow but never widen: the result is what both have, and [`Self::PER_CALL`] of the call.
    /// A call that selects no member at all asks for what the look-up was begun with, because most
    /// programs pass 0 there and expect exactly that.
    #[must_use]
    pub const fn effective(self, next: Self) -> Self {
        let lasting = if next.intersects(Self::RETURN_MASK) {
            self.intersection(next)
        } else {
            self
        };
        lasting
            .difference(Self::FLUSHPREVIOUS)
            .union(next.intersection(Self::PER_CALL))
    }
}

bitflags! {
    /// Control flags of a change (winsock2.h).
    ///
    /// An unknown bit makes the call invalid (decision 27): [`Self::from_bits`] answers `None`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct SetFlags: u32 {
        /// The addresses given are some of the object's, not all of them (`SERVICE_MULTIPLE`).
        const MULTIPLE = 0x1;
        /// The thread that makes the call only waits for its end (not of winsock2.h). Whoever makes the change may keep
        /// the thread until then, for as long as a disk takes, and do the work on it. So the call cannot be cancelled
        /// as long as it is being made, and a thread that has more than one call in progress does not say so.
        const CALLER_WAITS = 0x8000_0000;
    }
}

bitflags! {
    /// Output flags of a result (`RESULT_IS_*`, winsock2.h).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct OutputFlags: u32 {
        /// The result is an alias.
        const IS_ALIAS = 0x1;
        /// The result was added since the last query.
        const IS_ADDED = 0x10;
        /// The result changed since the last query.
        const IS_CHANGED = 0x20;
        /// The result was deleted since the last query.
        const IS_DELETED = 0x40;
        /// The result is one of the provider's preferred names.
        const PREFERRED_NAMES = LookupFlags::RETURN_PREFERRED_NAMES.bits();
        const _ = !0;
    }
}

/// What a change does (`WSAESETSERVICEOP`, winsock2.h).
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// Register the name (`RNRSERVICE_REGISTER`).
    Register = 0,
    /// Take the addresses away and keep the object (`RNRSERVICE_DEREGISTER`).
    Deregister = 1,
    /// Remove the object (`RNRSERVICE_DELETE`).
    Delete = 2,
}

impl Operation {
    /// The operation with this number; any other is `WSAEOPNOTSUPP` (decision 26).
    #[must_use]
    pub const fn from_u32(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Register),
            1 => Some(Self::Deregister),
            2 => Some(Self::Delete),
            _ => None,
        }
    }
}

/// How a query's version is compared with an object's (`WSAECOMPARATOR`, winsock2.h).
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Comparator {
    /// Equal versions match (`COMP_EQUAL`).
    Equal = 0,
    /// The object's version must be at least the query's (`COMP_NOTLESS`).
    NotLess = 1,
}

impl Comparator {
    /// The comparator with this number; any other is `WSAEINVAL` (decision 34).
    #[must_use]
    pub const fn from_u32(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Equal),
            1 => Some(Self::NotLess),
            _ => None,
        }
    }

    /// Whether an object of version `object` answers a query for `query`.
    #[must_use]
    pub const fn accepts(self, query: u32, object: u32) -> bool {
        match self {
            Self::Equal => object == query,
            Self::NotLess => object >= query,
        }
    }
}
