//! Lists of a query set: its addresses and its protocol filter, wherever they stand.

use super::layout::ADDRESS;
use super::read::{Source, family_of};
use crate::bytes::{Writer, u32_at};
use crate::fault::{Fault, FaultKind};
use crate::sockaddr::{AF_UNSPEC, CsAddr, IPROTOCOL_ANY, NormalCsAddr, Protocol};

/// A list of addresses, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses<'a> {
    list: List<'a>,
    filter: Protocols<'a>,
}

#[derive(Clone, Copy, Debug)]
enum List<'a> {
    Given(&'a [CsAddr<'a>]),
    Normal(&'a [NormalCsAddr]),
    /// So many, one after another.
    Packed(&'a [u8], usize),
    /// An array in the form of the source.
    Encoded(Source<'a>, &'a [u8]),
}

impl Default for List<'_> {
    fn default() -> Self {
        List::Given(&[])
    }
}

impl<'a> Addresses<'a> {
    /// No addresses.
    pub const NONE: Self = Self {
        list: List::Given(&[]),
        filter: Protocols::NONE,
    };

    /// Addresses in a slice.
    #[must_use]
    pub const fn new(addresses: &'a [CsAddr<'a>]) -> Self {
        Self {
            list: List::Given(addresses),
            filter: Protocols::NONE,
        }
    }

    /// Normal addresses in a slice.
    #[must_use]
    pub const fn normal(addresses: &'a [NormalCsAddr]) -> Self {
        Self {
            list: List::Normal(addresses),
            filter: Protocols::NONE,
        }
    }

    /// Addresses packed one after another by [`pack_address`], the compact form for stores.
    ///
    /// # Errors
    /// The first fault.
    pub fn packed(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut rest = bytes;
        let mut count = 0_usize;
        while !rest.is_empty() {
            let offset = bytes.len().saturating_sub(rest.len());
            unpack_address(&mut rest).ok_or_else(|| Fault::new(FaultKind::Truncated, offset))?;
            count = count.saturating_add(1);
        }
        Ok(Self::packed_before(bytes, count))
    }

    /// Addresses, so many, that were accepted by [`Self::packed`] before; what is malformed ends the list.
    #[must_use]
    pub const fn packed_before(bytes: &'a [u8], count: usize) -> Self {
        Self {
            list: List::Packed(bytes, count),
            filter: Protocols::NONE,
        }
    }

    pub(super) const fn encoded(source: Source<'a>, array: &'a [u8]) -> Self {
        Self {
            list: List::Encoded(source, array),
            filter: Protocols::NONE,
        }
    }

    /// Only those addresses that a protocol filter lets through (decision 35).
    #[must_use]
    pub const fn matching(mut self, filter: Protocols<'a>) -> Self {
        self.filter_by(filter);
        self
    }

    /// Leaves only those addresses that a protocol filter lets through.
    pub const fn filter_by(&mut self, filter: Protocols<'a>) {
        self.filter = filter;
    }

    /// The addresses in order.
    #[must_use]
    pub const fn iter(&self) -> AddressesIter<'a> {
        let packed = match self.list {
            List::Packed(bytes, _) => bytes,
            _ => &[],
        };
        AddressesIter {
            addresses: *self,
            index: 0,
            packed,
        }
    }

    /// Number of addresses.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.list {
            List::Given(list) if self.filter.is_empty() => list.len(),
            List::Normal(list) if self.filter.is_empty() => list.len(),
            List::Encoded(_, array) if self.filter.is_empty() => array.len() / ADDRESS,
            List::Packed(_, count) if self.filter.is_empty() => count,
            _ => self.iter().count(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl PartialEq for Addresses<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Addresses<'_> {}

impl<'a> IntoIterator for Addresses<'a> {
    type Item = CsAddr<'a>;
    type IntoIter = AddressesIter<'a>;

    fn into_iter(self) -> AddressesIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Addresses<'a> {
    type Item = CsAddr<'a>;
    type IntoIter = AddressesIter<'a>;

    fn into_iter(self) -> AddressesIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Addresses`].
#[derive(Clone, Debug)]
pub struct AddressesIter<'a> {
    addresses: Addresses<'a>,
    index: usize,
    packed: &'a [u8],
}

impl<'a> AddressesIter<'a> {
    fn unfiltered(&mut self) -> Option<CsAddr<'a>> {
        let address = match self.addresses.list {
            List::Given(list) => list.get(self.index).copied()?,
            List::Normal(list) => list.get(self.index)?.as_cs_addr(),
            List::Packed(..) => unpack_address(&mut self.packed)?,
            List::Encoded(source, array) => {
                let entry = array.as_chunks().0.get(self.index)?;
                // Every address was read once before, so this succeeds again.
                source.address(entry, 0).ok()?
            }
        };
        self.index = self.index.saturating_add(1);
        Some(address)
    }
}

impl<'a> Iterator for AddressesIter<'a> {
    type Item = CsAddr<'a>;

    fn next(&mut self) -> Option<CsAddr<'a>> {
        loop {
            let address = self.unfiltered()?;
            if self.addresses.filter.is_empty() || self.addresses.filter.accept(&address) {
                return Some(address);
            }
        }
    }
}

/// Packs one address behind those that the writer already has: lengths of local and remote socket
/// address (one byte each), socket type, protocol, then the bytes of both.
pub fn pack_address(address: &NormalCsAddr, writer: &mut Writer<'_>) {
    let (local, remote) = (address.local.as_bytes(), address.remote.as_bytes());
    match (u8::try_from(local.len()), u8::try_from(remote.len())) {
        (Ok(local_length), Ok(remote_length)) => writer.bytes(&[local_length, remote_length]),
        _ => writer.too_large(),
    }
    writer.bytes(&address.socket_type.to_le_bytes());
    writer.bytes(&address.protocol.to_le_bytes());
    writer.bytes(local);
    writer.bytes(remote);
}

/// Bytes of a packed address before those of its socket addresses.
const PACKED_HEADER: usize = 10;

/// Takes the first address off; `None` if there is none, or it is cut off.
fn unpack_address<'a>(packed: &mut &'a [u8]) -> Option<CsAddr<'a>> {
    let (head, rest) = packed.split_first_chunk::<PACKED_HEADER>()?;
    let [local, remote, t0, t1, t2, t3, p0, p1, p2, p3] = *head;
    let (local, rest) = rest.split_at_checked(usize::from(local))?;
    let (remote, rest) = rest.split_at_checked(usize::from(remote))?;
    *packed = rest;
    Some(CsAddr {
        local,
        remote,
        socket_type: i32::from_le_bytes([t0, t1, t2, t3]),
        protocol: i32::from_le_bytes([p0, p1, p2, p3]),
    })
}

/// A protocol filter. An empty one lets everything through (decision 35).
#[derive(Clone, Copy, Debug)]
pub struct Protocols<'a>(Filter<'a>);

#[derive(Clone, Copy, Debug)]
enum Filter<'a> {
    Given(&'a [Protocol]),
    /// Eight bytes each: family and protocol.
    Encoded(&'a [u8]),
}

impl<'a> Protocols<'a> {
    /// No filter.
    pub const NONE: Self = Self(Filter::Given(&[]));

    /// A filter in a slice.
    #[must_use]
    pub const fn new(protocols: &'a [Protocol]) -> Self {
        Self(Filter::Given(protocols))
    }

    /// A filter as it stands in either form, and in a driver's own copy: (family, protocol) of
    /// eight bytes each. An incomplete element at the end is dropped.
    #[must_use]
    pub const fn encoded(bytes: &'a [u8]) -> Self {
        Self(Filter::Encoded(bytes))
    }

    /// Number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Filter::Given(list) => list.len(),
            Filter::Encoded(bytes) => bytes.len() / 8,
        }
    }

    /// Whether this filters nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Protocol> + Clone + use<'a> {
        let (given, encoded): (&[Protocol], &[u8]) = match self.0 {
            Filter::Given(list) => (list, &[]),
            Filter::Encoded(bytes) => (&[], bytes),
        };
        let decode = |element: &[u8]| {
            let family = u32_at(element, 0)?.cast_signed();
            Some(Protocol {
                family,
                protocol: u32_at(element, 4)?.cast_signed(),
            })
        };
        given
            .iter()
            .copied()
            .chain(encoded.chunks_exact(8).filter_map(decode))
    }

    /// Whether the filter lets an address through.
    #[must_use]
    pub fn accept(&self, address: &CsAddr<'_>) -> bool {
        let family = if address.remote.is_empty() {
            family_of(address.local)
        } else {
            family_of(address.remote)
        };
        let matches = |filter: Protocol| {
            (filter.family == i32::from(AF_UNSPEC) || filter.family == i32::from(family))
                && (filter.protocol == IPROTOCOL_ANY || filter.protocol == address.protocol)
        };
        self.is_empty() || self.iter().any(matches)
    }
}

impl Default for Protocols<'_> {
    fn default() -> Self {
        Self::NONE
    }
}

impl PartialEq for Protocols<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Protocols<'_> {}
