//! Random query sets, owned, from which the borrowed ones of the crate are made.
#![allow(dead_code, reason = "each test file uses its part of this")]

use nsemail_contract::queryset::{Addresses, Protocols, Version};
use nsemail_contract::sockaddr::Protocol;
use nsemail_contract::{CsAddr, Guid, QuerySet, Text};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// An address that owns its bytes.
#[derive(Clone, Debug)]
pub struct OwnedCsAddr {
    pub local: Vec<u8>,
    pub remote: Vec<u8>,
    pub socket_type: i32,
    pub protocol: i32,
}

impl OwnedCsAddr {
    pub fn borrow(&self) -> CsAddr<'_> {
        CsAddr {
            local: &self.local,
            remote: &self.remote,
            socket_type: self.socket_type,
            protocol: self.protocol,
        }
    }
}

/// A query set that owns everything.
#[derive(Clone, Debug)]
pub struct OwnedQuerySet {
    texts: [Option<String>; 4],
    version: Option<(u32, u32)>,
    namespace: u32,
    provider: Option<u128>,
    protocols: Vec<(i32, i32)>,
    addresses: Vec<OwnedCsAddr>,
    output_flags: u32,
    blob: Option<Vec<u8>>,
}

impl OwnedQuerySet {
    /// Hands the borrowed query set to `use_it`.
    pub fn with<R>(&self, use_it: impl FnOnce(QuerySet<'_>) -> R) -> R {
        let addresses: Vec<CsAddr<'_>> = self.addresses.iter().map(OwnedCsAddr::borrow).collect();
        let protocols: Vec<Protocol> = self
            .protocols
            .iter()
            .map(|&(family, protocol)| Protocol { family, protocol })
            .collect();
        let text = |index: usize| {
            self.texts[index]
                .as_deref()
                .map(|text| Text::from_str(text).unwrap())
        };
        use_it(QuerySet {
            name: text(0),
            version: self
                .version
                .map(|(version, comparator)| Version { version, comparator }),
            comment: text(1),
            namespace: self.namespace,
            provider: self.provider.map(Guid::from_u128),
            context: text(2),
            protocols: Protocols::new(&protocols),
            query_string: text(3),
            addresses: Addresses::new(&addresses),
            output_flags: self.output_flags,
            blob: self.blob.as_deref(),
        })
    }
}

/// Any text without NUL, often outside ASCII.
pub fn text() -> impl Strategy<Value = String> {
    vec(
        any::<char>().prop_filter("NUL is no text", |letter| *letter != '\0'),
        0..20,
    )
    .prop_map(|letters| letters.into_iter().collect())
}

pub fn cs_addr() -> impl Strategy<Value = OwnedCsAddr> {
    (
        vec(any::<u8>(), 0..40),
        vec(any::<u8>(), 0..40),
        any::<i32>(),
        any::<i32>(),
    )
        .prop_map(|(local, remote, socket_type, protocol)| OwnedCsAddr {
            local,
            remote,
            socket_type,
            protocol,
        })
}

pub fn query_set() -> impl Strategy<Value = OwnedQuerySet> {
    let texts = [
        option::of(text()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
    ];
    (
        texts,
        option::of(any::<(u32, u32)>()),
        any::<u32>(),
        option::of(any::<u128>()),
        vec(any::<(i32, i32)>(), 0..4),
        vec(cs_addr(), 0..4),
        any::<u32>(),
        option::of(vec(any::<u8>(), 0..50)),
    )
        .prop_map(
            |(texts, version, namespace, provider, protocols, addresses, output_flags, blob)| OwnedQuerySet {
                texts,
                version,
                namespace,
                provider,
                protocols,
                addresses,
                output_flags,
                blob,
            },
        )
}

/// Writes into a vector by the crate's convention: an empty slice measures.
pub fn written(write: impl Fn(&mut [u8]) -> Result<usize, nsemail_contract::WriteError>) -> Vec<u8> {
    use nsemail_contract::WriteError;
    let needed = match write(&mut []) {
        Err(WriteError::TooSmall { needed }) => needed,
        other => panic!("measuring answered {other:?}"),
    };
    // A canary behind the end shows a write beyond it.
    let mut bytes = vec![0xA5; needed + 8];
    assert_eq!(
        write(&mut bytes[..needed]),
        Ok(needed),
        "measured and written size differ"
    );
    assert_eq!(bytes[needed..], [0xA5; 8]);
    assert_eq!(
        write(&mut bytes[..needed - 1]),
        Err(WriteError::TooSmall { needed })
    );
    assert_eq!(write(&mut bytes[..needed]), Ok(needed));
    bytes.truncate(needed);
    bytes
}

/// Changes bytes: cuts the end off, or overwrites one 32-bit number.
#[derive(Clone, Debug)]
pub enum Damage {
    Cut(prop::sample::Index),
    Number(prop::sample::Index, u32),
    Byte(prop::sample::Index, u8),
}

impl Damage {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Number(at, value) => {
                let at = at.index(bytes.len() / 4) * 4;
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
            Self::Byte(at, value) => {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
        }
    }
}

pub fn damage() -> impl Strategy<Value = Damage> {
    let number = prop_oneof![any::<u32>(), 0..512_u32, Just(u32::MAX), Just(0x8000_0000)];
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        (any::<prop::sample::Index>(), number).prop_map(|(at, value)| Damage::Number(at, value)),
        any::<(prop::sample::Index, u8)>().prop_map(|(at, value)| Damage::Byte(at, value)),
    ]
}
