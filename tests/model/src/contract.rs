//! The model's calls in the contract's types.

use nsemail_contract::queryset::{Addresses, Protocols, QuerySet, Version};
use nsemail_contract::sockaddr::{CsAddr, Protocol, SOCK_DGRAM, SOCK_STREAM, SockAddr};
use nsemail_contract::{Guid, LookupFlags, Operation, SetFlags, Text, ids};

use crate::{Address, Call, Object, Question};

/// # Panics
/// If the text holds NUL.
fn text(text: &str) -> Text<'_> {
    Text::from_str(text).expect("a text without NUL")
}

fn context(context: &str) -> Option<Text<'_>> {
    Some(context).filter(|context| !context.is_empty()).map(text)
}

impl Call {
    /// The operation.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self.operation {
            crate::Operation::Register => Operation::Register,
            crate::Operation::Deregister => Operation::Deregister,
            crate::Operation::Delete => Operation::Delete,
        }
    }

    /// The flags.
    #[must_use]
    pub const fn flags(&self) -> SetFlags {
        if self.multiple {
            SetFlags::MULTIPLE
        } else {
            SetFlags::empty()
        }
    }

    /// Hands the call to `use_it` as a query set; its provider, if it has one, is the one of that number among `providers`.
    ///
    /// # Panics
    /// If a text holds NUL.
    pub fn with<R>(&self, providers: &[Guid], use_it: impl FnOnce(QuerySet<'_>) -> R) -> R {
        let sockets: Vec<SockAddr> = (self.addresses.iter())
            .map(|address| SockAddr::from_socket_addr(address.socket))
            .collect();
        let addresses: Vec<CsAddr<'_>> = (sockets.iter().zip(&self.addresses))
            .map(|(socket, address)| {
                let (socket_type, protocol) = if address.datagram {
                    (SOCK_DGRAM, 17)
                } else {
                    (SOCK_STREAM, 6)
                };
                CsAddr {
                    local: &[],
                    remote: socket.as_bytes(),
                    socket_type,
                    protocol: if self.any_protocol { 0 } else { protocol },
                }
            })
            .collect();
        use_it(QuerySet {
            name: Some(text(&self.name)),
            context: context(&self.context),
            version: self.version.map(|version| Version {
                version,
                comparator: 0,
            }),
            comment: self.comment.as_deref().map(text),
            blob: self.blob.as_deref(),
            addresses: Addresses::new(&addresses),
            namespace: ids::NS_EMAIL,
            provider: self.provider.map(|number| providers[number]),
            ..QuerySet::default()
        })
    }
}

impl Question {
    /// The flags.
    #[must_use]
    pub fn flags(&self) -> LookupFlags {
        let mut flags = LookupFlags::from_bits_retain(self.members);
        flags.set(LookupFlags::DEEP, self.deep);
        flags.set(LookupFlags::NON_AUTHORITATIVE, self.non_authoritative);
        flags
    }

    /// Hands the question to `use_it` as a query set; its provider, if it has one, is the one of that number among
    /// `providers`.
    ///
    /// # Panics
    /// If a text holds NUL.
    pub fn with<R>(&self, providers: &[Guid], use_it: impl FnOnce(QuerySet<'_>) -> R) -> R {
        let protocols: Vec<Protocol> = (self.protocols.iter())
            .map(|&(family, protocol)| Protocol { family, protocol })
            .collect();
        use_it(QuerySet {
            name: Some(text(&self.name)),
            context: context(&self.context),
            version: self.version.map(|(version, or_later)| Version {
                version,
                comparator: or_later.into(),
            }),
            namespace: ids::NS_EMAIL,
            provider: self.provider.map(|number| providers[number]),
            protocols: Protocols::new(&protocols),
            ..QuerySet::default()
        })
    }
}

impl Object {
    /// What a record says, found or listed.
    ///
    /// # Panics
    /// If an address is not of the model's kinds.
    #[must_use]
    pub fn read(record: &QuerySet<'_>, registered: bool) -> Self {
        let owned = |text: Text<'_>| text.chars().collect::<String>();
        let address = |address: CsAddr<'_>| {
            let remote = SockAddr::normalize(address.remote).expect("a socket address");
            let datagram = match (address.socket_type, address.protocol) {
                (SOCK_STREAM, 6) => false,
                (SOCK_DGRAM, 17) => true,
                other => panic!("socket type and protocol {other:?}"),
            };
            assert!(address.local.is_empty());
            Address {
                socket: remote.to_socket_addr().expect("an internet address"),
                datagram,
            }
        };
        Self {
            name: record.name.map(owned).unwrap_or_default(),
            context: record.context.map(owned).unwrap_or_default(),
            registered,
            version: record.version.map(|version| version.version),
            comment: record.comment.map(owned),
            blob: record.blob.map(<[u8]>::to_vec),
            addresses: record.addresses.iter().map(address).collect(),
        }
    }
}
