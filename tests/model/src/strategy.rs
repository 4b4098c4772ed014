//! Calls at random. There are few names, contexts and addresses, so that most calls meet something that is there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::{collection, option};

use crate::{Address, Call, Operation, Question};

/// Two providers share the first two domains, one takes the others. Half of all calls are about one name, in several
/// spellings, so that copies of it meet.
const NAMES: [&str; 15] = [
    "ann@example.com",
    "ann@example.com",
    "ann@example.com",
    "ann@example.com",
    "ANN@example.com",
    "Ann@EXAMPLE.com.",
    "Ann@EXAMPLE.com.",
    "\"ann@example.net\"@example.com",
    "bob@example.net",
    "BOB@example.NET",
    "zo\u{eb}@example.net",
    "ZO\u{cb}@Example.net.",
    "\u{1f600}@b\u{fc}cher.example",
    "ann@example.org",
    "ann@mail.example.com",
];
const CONTEXTS: [&str; 6] = ["", "", "", "", "Chat", "CHAT"];

fn name() -> impl Strategy<Value = String> {
    select(&NAMES[..]).prop_map(str::to_owned)
}

fn context() -> impl Strategy<Value = String> {
    select(&CONTEXTS[..]).prop_map(str::to_owned)
}

/// Most calls are for those who are responsible, some for one of two providers, which makes copies.
fn provider() -> impl Strategy<Value = Option<usize>> {
    select(vec![None, None, Some(0), Some(1)])
}

fn address() -> impl Strategy<Value = Address> {
    (1..4_u8, any::<bool>(), any::<bool>()).prop_map(|(number, six, datagram)| {
        let ip = if six {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()))
        } else {
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
        };
        Address {
            socket: SocketAddr::new(ip, 5060),
            datagram,
        }
    })
}

/// A change that is valid.
pub fn call() -> impl Strategy<Value = Call> {
    let operation = select(vec![
        Operation::Register,
        Operation::Register,
        Operation::Deregister,
        Operation::Delete,
    ]);
    let comment = option::of(select(vec!["", "desk", "\u{1f4de}"]).prop_map(str::to_owned));
    let blob = option::of(collection::vec(any::<u8>(), 0..3));
    (
        (operation, any::<bool>(), name(), context(), provider()),
        option::of(0..3_u32),
        comment,
        blob,
        collection::vec(address(), 0..4),
        any::<bool>(),
    )
        .prop_map(|(what, version, comment, blob, addresses, any_protocol)| {
            let (operation, multiple, name, context, provider) = what;
            Call {
                operation,
                multiple,
                name,
                context,
                version,
                comment,
                blob,
                addresses,
                any_protocol,
                provider,
            }
        })
}

/// A question that is valid.
pub fn question() -> impl Strategy<Value = Question> {
    let members = select(vec![
        0xFF0, 0xFF0, 0xFF0, 0, 0x10, 0x100, 0x120, 0xC0, 0x210, 0x20, 0xC00,
    ]);
    let version = option::weighted(0.3, (0..3_u32, any::<bool>()));
    let filter = (select(vec![0, 2, 23]), select(vec![0, 6, 17]));
    (
        (name(), context(), provider()),
        any::<bool>(),
        members,
        version,
        prop_oneof![3 => Just(Vec::new()), 1 => collection::vec(filter, 1..3)],
        any::<bool>(),
    )
        .prop_map(|(what, deep, members, version, protocols, non_authoritative)| {
            let (name, context, provider) = what;
            Question {
                name,
                context,
                deep,
                members,
                version,
                protocols,
                non_authoritative,
                provider,
            }
        })
}
