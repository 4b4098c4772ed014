//! How people write the addresses of a name.
//!
//! `192.0.2.7:5060/tcp`, `[2001:db8::7%3]:5060/udp`: what to connect or send to, and the transport:
//! `tcp` (also if none is given), `udp`, `pgm`, `rfcomm`, or two numbers `TYPE.PROTOCOL`.
//! `192.0.2.1:4000->192.0.2.7:5060/udp` also gives what to bind to. `-` stands for a half that is
//! absent. `raw:` and hexadecimal digits stand for a socket address that has no such form.

use std::net::SocketAddr;

use nsemail_contract::sockaddr::{
    BTHPROTO_RFCOMM, IPPROTO_RM, IPPROTO_TCP, IPPROTO_UDP, SOCK_DGRAM, SOCK_RDM, SOCK_STREAM,
};
use nsemail_contract::{CsAddr, NormalCsAddr, SockAddr};

use crate::Error;

/// Transports with a name: socket type, protocol.
const TRANSPORTS: [(&str, i32, i32); 4] = [
    ("tcp", SOCK_STREAM, IPPROTO_TCP),
    ("udp", SOCK_DGRAM, IPPROTO_UDP),
    ("pgm", SOCK_RDM, IPPROTO_RM),
    ("rfcomm", SOCK_STREAM, BTHPROTO_RFCOMM),
];

/// Reads an address.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<NormalCsAddr, Error> {
    let (halves, transport) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let (socket_type, protocol) = parse_transport(transport)
        .ok_or_else(|| Error::invalid(format!("{text}: unknown transport {transport:?}")))?;
    let (local, remote) = halves.split_once("->").unwrap_or(("-", halves));
    let half = |half: &str| {
        parse_half(half).ok_or_else(|| {
            Error::invalid(format!(
                "{half:?} is not a socket address such as 192.0.2.7:25 or [2001:db8::7]:25"
            ))
        })
    };
    let (local, remote) = (half(local)?, half(remote)?);
    CsAddr {
        local: &local,
        remote: &remote,
        socket_type,
        protocol,
    }
    .normalize()
    .map_err(|error| Error::invalid(format!("{text}: {error}")))
}

fn parse_transport(text: &str) -> Option<(i32, i32)> {
    if let Some((_, socket_type, protocol)) = TRANSPORTS
        .iter()
        .find(|(name, ..)| name.eq_ignore_ascii_case(text))
    {
        return Some((*socket_type, *protocol));
    }
    let (socket_type, protocol) = text.split_once('.')?;
    Some((socket_type.parse().ok()?, protocol.parse().ok()?))
}

/// The bytes of a socket address, which are not yet known to be sound.
fn parse_half(text: &str) -> Option<Vec<u8>> {
    if text == "-" {
        return Some(Vec::new());
    }
    if let Some(digits) = text.strip_prefix("raw:") {
        return hex::decode(digits).ok().filter(|bytes| !bytes.is_empty());
    }
    let address: SocketAddr = text.parse().ok()?;
    Some(SockAddr::from_socket_addr(address).as_bytes().to_vec())
}

/// Writes an address so that [`parse`] reads the same one.
#[must_use]
pub fn format(address: &NormalCsAddr) -> String {
    let transport = TRANSPORTS
        .iter()
        .find(|(_, socket_type, protocol)| {
            (address.socket_type, address.protocol) == (*socket_type, *protocol)
        })
        .map_or_else(
            || format!("{}.{}", address.socket_type, address.protocol),
            |(name, ..)| (*name).to_owned(),
        );
    let remote = format_half(&address.remote);
    if address.local.is_absent() {
        format!("{remote}/{transport}")
    } else {
        format!("{}->{remote}/{transport}", format_half(&address.local))
    }
}

fn format_half(address: &SockAddr) -> String {
    if address.is_absent() {
        return "-".to_owned();
    }
    // The text form has no place for an IPv6 flow label.
    address
        .to_socket_addr()
        .filter(|parsed| SockAddr::from_socket_addr(without_flow_label(*parsed)) == *address)
        .map_or_else(
            || format!("raw:{}", hex::encode(address.as_bytes())),
            |address| address.to_string(),
        )
}

const fn without_flow_label(mut address: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(v6) = &mut address {
        v6.set_flowinfo(0);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "192.0.2.7:5060/tcp",
            "[2001:db8::7]:5060/udp",
            "[2001:db8::7%3]:5060/udp",
            "192.0.2.1:4000->192.0.2.7:5060/udp",
            "192.0.2.1:4000->-/udp",
            "233.252.0.1:7500/pgm",
            "192.0.2.9:0/3.1",
            "raw:2000010203/rfcomm",
            // IPv6 with a flow label.
            "raw:170013c40100000020010db800000000000000000000000700000000/udp",
        ] {
            assert_eq!(format(&parse(text).unwrap()), text);
        }
    }

    #[test]
    fn a_missing_transport_is_tcp() {
        assert_eq!(format(&parse("192.0.2.7:80").unwrap()), "192.0.2.7:80/tcp");
    }

    #[test]
    fn an_ipv6_address_needs_brackets() {
        assert!(parse("2001:db8::7:5060/udp").is_err());
    }
}
