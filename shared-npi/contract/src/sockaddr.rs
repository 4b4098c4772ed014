//! Socket addresses of an object: normal form, substitution of the protocol, equality
//! (decisions 11 to 16).
//!
//! [`CsAddr`] is what a caller gave, [`NormalCsAddr`] is what is stored, compared and returned.
//! Two addresses are the same exactly if their normal forms are equal.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::bytes::{array_at, u16_at};
use crate::limits;

/// Unspecified address family.
pub const AF_UNSPEC: u16 = 0;
/// Internet protocol, version 4.
pub const AF_INET: u16 = 2;
/// Internet protocol, version 6.
pub const AF_INET6: u16 = 23;
/// Bluetooth.
pub const AF_BTH: u16 = 32;

/// Stream socket.
pub const SOCK_STREAM: i32 = 1;
/// Datagram socket.
pub const SOCK_DGRAM: i32 = 2;
/// Raw socket.
pub const SOCK_RAW: i32 = 3;
/// Reliable message socket.
pub const SOCK_RDM: i32 = 4;
/// Sequenced packet socket.
pub const SOCK_SEQPACKET: i32 = 5;

/// Whatever protocol the socket type has by default. No Windows header defines it.
pub const IPROTOCOL_ANY: i32 = 0;
/// Bluetooth RFCOMM.
pub const BTHPROTO_RFCOMM: i32 = 3;
/// TCP.
pub const IPPROTO_TCP: i32 = 6;
/// UDP.
pub const IPPROTO_UDP: i32 = 17;
/// Pragmatic general multicast.
pub const IPPROTO_RM: i32 = 113;

/// Bytes of an IPv4 socket address.
pub const SOCKADDR_IN: usize = 16;
/// Bytes of an IPv6 socket address.
pub const SOCKADDR_IN6: usize = 28;

/// One address of an object as a caller gave it (`CSADDR_INFO`): borrowed, not yet validated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CsAddr<'a> {
    /// Socket address to bind to; empty if absent.
    pub local: &'a [u8],
    /// Socket address to connect or send to; empty if absent.
    pub remote: &'a [u8],
    /// `SOCK_*`.
    pub socket_type: i32,
    /// `IPPROTO_*`, or [`IPROTOCOL_ANY`].
    pub protocol: i32,
}

/// Why an address is invalid; each is `WSAEINVAL`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CsAddrError {
    /// Neither half is there.
    Absent,
    /// A socket address is shorter than its family needs, or longer than 128 bytes.
    BadLength,
    /// The halves belong to different families.
    FamiliesDiffer,
    /// The protocol is [`IPROTOCOL_ANY`], and family and socket type have no default.
    NoDefaultProtocol,
}

impl fmt::Display for CsAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "neither a local nor a remote socket address",
            Self::BadLength => "a socket address is too short for its family, or too long",
            Self::FamiliesDiffer => "local and remote socket address belong to different families",
            Self::NoDefaultProtocol => "no protocol given, and the socket type has no default one",
        })
    }
}

impl core::error::Error for CsAddrError {}

impl CsAddr<'_> {
    /// Validates the address and brings it into normal form.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn normalize(&self) -> Result<NormalCsAddr, CsAddrError> {
        let local = SockAddr::normalize(self.local)?;
        let remote = SockAddr::normalize(self.remote)?;
        let family = match (local.family(), remote.family()) {
            (None, None) => return Err(CsAddrError::Absent),
            (Some(a), Some(b)) if a != b => return Err(CsAddrError::FamiliesDiffer),
            (Some(family), _) | (None, Some(family)) => family,
        };
        let protocol = if self.protocol == IPROTOCOL_ANY {
            default_protocol(family, self.socket_type).ok_or(CsAddrError::NoDefaultProtocol)?
        } else {
            self.protocol
        };
        Ok(NormalCsAddr {
            local,
            remote,
            socket_type: self.socket_type,
            protocol,
        })
    }
}

/// The protocol that [`IPROTOCOL_ANY`] stands for (decision 13).
const fn default_protocol(family: u16, socket_type: i32) -> Option<i32> {
    match (family, socket_type) {
        (AF_INET | AF_INET6, SOCK_STREAM) => Some(IPPROTO_TCP),
        (AF_INET | AF_INET6, SOCK_DGRAM) => Some(IPPROTO_UDP),
        (AF_INET, SOCK_RDM) => Some(IPPROTO_RM),
        (AF_BTH, SOCK_STREAM) => Some(BTHPROTO_RFCOMM),
        _ => None,
    }
}

/// A socket address in normal form, or its absence.
///
/// IPv4 takes 16 bytes with its padding zeroed, IPv6 takes 28, any other family is kept as given.
#[derive(Clone, Copy)]
pub struct SockAddr {
    length: u8,
    /// Zero beyond `length`.
    bytes: [u8; limits::SOCKADDR_MAX],
}

impl SockAddr {
    /// No socket address.
    pub const ABSENT: Self = Self {
        length: 0,
        bytes: [0; limits::SOCKADDR_MAX],
    };

    /// Brings a socket address into normal form; no bytes are no socket address.
    ///
    /// # Errors
    /// `BadLength`.
    pub fn normalize(given: &[u8]) -> Result<Self, CsAddrError> {
        if given.is_empty() {
            return Ok(Self::ABSENT);
        }
        if given.len() > limits::SOCKADDR_MAX {
            return Err(CsAddrError::BadLength);
        }
        let family = u16_at(given, 0).ok_or(CsAddrError::BadLength)?;
        let (stored, significant) = match family {
            AF_INET => (SOCKADDR_IN, 8),
            AF_INET6 => (SOCKADDR_IN6, SOCKADDR_IN6),
            _ => (given.len(), given.len()),
        };
        if given.len() < stored {
            return Err(CsAddrError::BadLength);
        }
        let mut normal = Self::ABSENT;
        normal.length = u8::try_from(stored).map_err(|_| CsAddrError::BadLength)?;
        for (to, from) in normal.bytes.iter_mut().zip(given.iter().take(significant)) {
            *to = *from;
        }
        Ok(normal)
    }

    /// The socket address of an internet address and port.
    #[must_use]
    pub fn from_socket_addr(address: SocketAddr) -> Self {
        let mut bytes = [0; limits::SOCKADDR_MAX];
        let mut put = |offset: usize, value: &[u8]| {
            for (to, from) in bytes.iter_mut().skip(offset).zip(value) {
                *to = *from;
            }
        };
        put(2, &address.port().to_be_bytes());
        let length = match address {
            SocketAddr::V4(v4) => {
                put(0, &AF_INET.to_le_bytes());
                put(4, &v4.ip().octets());
                SOCKADDR_IN
            }
            SocketAddr::V6(v6) => {
                put(0, &AF_INET6.to_le_bytes());
                put(4, &v6.flowinfo().to_le_bytes());
                put(8, &v6.ip().octets());
                put(24, &v6.scope_id().to_le_bytes());
                SOCKADDR_IN6
            }
        };
        Self {
            length: u8::try_from(length).unwrap_or(0),
            bytes,
        }
    }

    /// The internet address and port, if the family is IPv4 or IPv6.
    #[must_use]
    pub fn to_socket_addr(&self) -> Option<SocketAddr> {
        let bytes = self.as_bytes();
        let port = u16::from_be_bytes(array_at(bytes, 2)?);
        match self.family()? {
            AF_INET => Some(SocketAddrV4::new(Ipv4Addr::from(array_at::<4>(bytes, 4)?), port).into()),
            AF_INET6 => {
                let ip = Ipv6Addr::from(array_at::<16>(bytes, 8)?);
                let flowinfo = u32::from_le_bytes(array_at(bytes, 4)?);
                let scope = u32::from_le_bytes(array_at(bytes, 24)?);
                Some(SocketAddrV6::new(ip, port, flowinfo, scope).into())
            }
            _ => None,
        }
    }

    /// The internet address, if the family is IPv4 or IPv6.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.to_socket_addr().map(|address| address.ip())
    }

    /// The bytes; none if the address is absent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The address family; `None` if the address is absent.
    #[must_use]
    pub fn family(&self) -> Option<u16> {
        u16_at(self.as_bytes(), 0)
    }

    /// Whether there is no socket address.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        self.length == 0
    }
}

impl Default for SockAddr {
    fn default() -> Self {
        Self::ABSENT
    }
}

impl PartialEq for SockAddr {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SockAddr {}

impl core::hash::Hash for SockAddr {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for SockAddr {
    /// `192.0.2.7:5060`, `[2001:db8::7%3]:5060`, `family 32: 20 00 …`, or `-` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.to_socket_addr(), self.family()) {
            (Some(address), _) => address.fmt(f),
            (None, None) => f.write_str("-"),
            (None, Some(family)) => {
                write!(f, "family {family}:")?;
                self.as_bytes()
                    .iter()
                    .try_for_each(|byte| write!(f, " {byte:02X}"))
            }
        }
    }
}

impl fmt::Debug for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One address of an object in normal form. Equality is decision 12.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NormalCsAddr {
    /// Socket address to bind to.
    pub local: SockAddr,
    /// Socket address to connect or send to.
    pub remote: SockAddr,
    /// `SOCK_*`.
    pub socket_type: i32,
    /// `IPPROTO_*`; never [`IPROTOCOL_ANY`].
    pub protocol: i32,
}

impl NormalCsAddr {
    /// The address borrowed for a query or a result.
    #[must_use]
    pub fn as_cs_addr(&self) -> CsAddr<'_> {
        CsAddr {
            local: self.local.as_bytes(),
            remote: self.remote.as_bytes(),
            socket_type: self.socket_type,
            protocol: self.protocol,
        }
    }

    /// The family of both halves.
    #[must_use]
    pub fn family(&self) -> u16 {
        self.remote
            .family()
            .or_else(|| self.local.family())
            .unwrap_or(AF_UNSPEC)
    }
}

/// One element of a protocol filter (`AFPROTOCOLS`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Protocol {
    /// Address family; 0 for any.
    pub family: i32,
    /// Protocol; 0 for any.
    pub protocol: i32,
}
