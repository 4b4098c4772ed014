//! Rules of the buffer protocol and of the flags of single calls.

use allocator_api2::alloc::Global;
use nsemail_contract::ids;
use nsemail_contract::queryset::{Addresses, Version};
use nsemail_contract::sockaddr::{CsAddr, Protocol, SOCK_STREAM, SockAddr};
use nsemail_contract::text::Text;
use proptest::prelude::*;
use std::string::{String, ToString as _};
use std::vec::Vec as StdVec;

use super::*;
use crate::store::{Batch, Change, HashKey, Limits, Query, Store};

const PROVIDER: Guid = Guid::from_u128(7);
const ALL: LookupFlags = LookupFlags::RETURN_ALL;

/// A store where bob has an object in each context, with as many addresses as its place says.
fn store(contexts: &[&str], addresses: usize) -> Store<Global> {
    let mut store = Store::try_new_in(HashKey::new([1, 2]), Limits::DEFAULT, Global).unwrap();
    for context in contexts {
        let sockets: StdVec<_> = (0..addresses)
            .map(|n| SockAddr::from_socket_addr(std::format!("[2001:db8::{n}]:{}", n + 1).parse().unwrap()))
            .collect();
        let given: StdVec<_> = sockets
            .iter()
            .map(|socket| CsAddr {
                local: socket.as_bytes(),
                remote: socket.as_bytes(),
                socket_type: SOCK_STREAM,
                protocol: 0,
            })
            .collect();
        let registration = QuerySet {
            name: Some(Text::from_str("bob@sampleprovider.net").unwrap()),
            context: Some(Text::from_str(context).unwrap()),
            comment: Some(Text::from_str("office").unwrap()),
            addresses: Addresses::new(&given),
            blob: Some(b"blob"),
            version: Some(Version {
                version: 3,
                comparator: 0,
            }),
            ..QuerySet::default()
        };
        let change = Change::from_query(0, 0, &registration, store.limits(), Global).unwrap();
        let mut batch = Batch::new_in(Global);
        batch.stage(&store, &change).unwrap();
        store.reserve(&batch).unwrap();
        store.publish(&batch);
    }
    store
}

fn open(store: &Store<Global>, name: &str, flags: LookupFlags, protocols: &[Protocol]) -> Lookup<Global> {
    let asked = QuerySet {
        name: Some(Text::from_str(name).unwrap()),
        protocols: Protocols::new(protocols),
        ..QuerySet::default()
    };
    let query = Query::from_query(&asked, flags).unwrap().unwrap();
    Lookup::try_new(
        PROVIDER,
        flags,
        asked.protocols,
        store.select(&query).unwrap(),
        Global,
    )
    .unwrap()
}

fn bob(store: &Store<Global>, flags: LookupFlags) -> Lookup<Global> {
    open(store, "bob@sampleprovider.net", flags, &[])
}

/// Calls with a buffer of that length; gives what was read back of the record, or the answer.
fn call<T>(
    lookup: &mut Lookup<Global>,
    flags: LookupFlags,
    length: usize,
    read: impl Fn(&QuerySet<'_>) -> T,
) -> Result<T, Next> {
    let mut buffer = std::vec![0; length];
    match lookup.next(flags, |record| record.write_kernel(&mut buffer, 0x1000)) {
        Next::Written(size) => Ok(read(&QuerySet::parse_kernel(&buffer[..size], 0x1000).unwrap())),
        answer => Err(answer),
    }
}

/// The context of the next record.
fn context(lookup: &mut Lookup<Global>, flags: LookupFlags, length: usize) -> Result<String, Next> {
    call(lookup, flags, length, |record| {
        record.context.unwrap_or_default().to_string()
    })
}

/// Which members the next record has.
fn members(lookup: &mut Lookup<Global>, flags: LookupFlags) -> LookupFlags {
    call(lookup, flags, 4096, |record| {
        let mut members = LookupFlags::empty();
        members.set(LookupFlags::RETURN_NAME, record.name.is_some());
        members.set(LookupFlags::RETURN_VERSION, record.version.is_some());
        members.set(LookupFlags::RETURN_COMMENT, record.comment.is_some());
        members.set(LookupFlags::RETURN_ADDR, !record.addresses.is_empty());
        members.set(LookupFlags::RETURN_BLOB, record.blob.is_some());
        assert_eq!(
            (record.namespace, record.provider),
            (ids::NS_EMAIL, Some(PROVIDER))
        );
        members
    })
    .unwrap()
}

const NO_MORE: Next = Next::None(WsaCode::WSA_E_NO_MORE);

#[test]
fn the_example_of_one_ipv6_address_takes_280_bytes() {
    let store = store(&[""], 1);
    let mut lookup = bob(&store, LookupFlags::RETURN_NAME | LookupFlags::RETURN_ADDR);
    assert_eq!(context(&mut lookup, ALL, 0), Err(Next::TooSmall(280)));
    assert_eq!(context(&mut lookup, ALL, 279), Err(Next::TooSmall(280)));
    assert_eq!(context(&mut lookup, ALL, 280), Ok(String::new()));
}

#[test]
fn a_record_that_does_not_fit_comes_again_with_the_size_for_these_flags() {
    let store = store(&["", "chat"], 3);
    let mut lookup = bob(&store, ALL | LookupFlags::DEEP);
    let Err(Next::TooSmall(all)) = context(&mut lookup, ALL, 0) else {
        panic!()
    };
    let Err(Next::TooSmall(name)) = context(&mut lookup, LookupFlags::RETURN_NAME, 0) else {
        panic!()
    };
    assert!(name < all);
    assert_eq!(
        context(&mut lookup, LookupFlags::RETURN_NAME, name),
        Ok(String::new())
    );
    assert_eq!(context(&mut lookup, ALL, 4096), Ok("chat".to_string()));
}

#[test]
fn flushprevious_drops_a_record_only_after_it_did_not_fit() {
    let store = store(&["", "chat", "video"], 1);
    let mut lookup = bob(&store, ALL | LookupFlags::DEEP);
    let flush = ALL | LookupFlags::FLUSHPREVIOUS;
    assert_eq!(
        context(&mut lookup, flush, 4096),
        Ok(String::new()),
        "nothing was too large yet"
    );
    assert_eq!(context(&mut lookup, flush, 4096), Ok("chat".to_string()));
    assert!(matches!(context(&mut lookup, ALL, 10), Err(Next::TooSmall(_))));
    assert_eq!(
        context(&mut lookup, flush, 4096),
        Err(NO_MORE),
        "video was dropped"
    );
    let mut lookup = bob(&store, ALL);
    assert!(matches!(context(&mut lookup, ALL, 10), Err(Next::TooSmall(_))));
    assert_eq!(
        context(&mut lookup, flush, 4096),
        Err(NO_MORE),
        "the only record was dropped"
    );
}

#[test]
fn no_more_comes_again_and_again() {
    let store = store(&[""], 1);
    let mut lookup = bob(&store, ALL);
    context(&mut lookup, ALL, 4096).unwrap();
    for flags in [ALL, LookupFlags::empty(), LookupFlags::FLUSHPREVIOUS] {
        assert_eq!(context(&mut lookup, flags, 4096), Err(NO_MORE));
    }
}

#[test]
fn what_was_never_found_is_told_again_and_again() {
    let store = store(&[""], 1);
    let mut unknown = open(&store, "eve@sampleprovider.net", ALL, &[]);
    let mut no_data = open(
        &store,
        "bob@sampleprovider.net",
        ALL,
        &[Protocol {
            family: 2,
            protocol: 0,
        }],
    );
    for _ in 0..2 {
        assert_eq!(
            context(&mut unknown, ALL, 4096),
            Err(Next::None(WsaCode::WSASERVICE_NOT_FOUND))
        );
        assert_eq!(
            context(&mut no_data, ALL, 4096),
            Err(Next::None(WsaCode::WSANO_DATA))
        );
    }
}

#[test]
fn a_call_narrows_what_was_begun_with_and_never_widens_it() {
    let store = store(&[""], 1);
    let begun = LookupFlags::RETURN_NAME | LookupFlags::RETURN_COMMENT;
    for (flags, expected) in [
        (ALL, begun),
        (LookupFlags::RETURN_NAME, LookupFlags::RETURN_NAME),
        (LookupFlags::RETURN_BLOB, LookupFlags::empty()),
        (
            LookupFlags::RETURN_NAME | LookupFlags::RETURN_BLOB,
            LookupFlags::RETURN_NAME,
        ),
    ] {
        assert_eq!(members(&mut bob(&store, begun), flags), expected, "{flags:?}");
    }
}

#[test]
fn flags_that_mean_nothing_here_change_nothing_wherever_they_are_given() {
    let store = store(&["", "chat"], 1);
    let meaningful = LookupFlags::RETURN_ALL
        | LookupFlags::DEEP
        | LookupFlags::CONTAINERS
        | LookupFlags::FLUSHPREVIOUS
        | LookupFlags::RETURN_PREFERRED_NAMES;
    let mut others: StdVec<LookupFlags> = (0..32)
        .map(|bit| LookupFlags::from_bits_retain(1 << bit))
        .collect();
    others.retain(|flag| !meaningful.contains(*flag));
    others.push(LookupFlags::from_bits_retain(!0).difference(meaningful));
    let everything = members(&mut bob(&store, ALL), ALL);
    for flags in others {
        let mut begun_with = bob(&store, ALL | flags);
        assert_eq!(members(&mut begun_with, ALL), everything, "{flags:?}");
        assert_eq!(context(&mut begun_with, ALL, 4096), Err(NO_MORE), "{flags:?}");
        let mut called_with = bob(&store, ALL);
        assert_eq!(members(&mut called_with, ALL | flags), everything, "{flags:?}");
        assert_eq!(context(&mut called_with, flags, 4096), Err(NO_MORE), "{flags:?}");
        // Without a member either, the call asks for what the look-up was begun with.
        assert_eq!(members(&mut bob(&store, ALL), flags), everything, "{flags:?}");
    }
}

#[test]
fn a_call_that_selects_nothing_gets_what_was_begun_with() {
    let store = store(&[""], 1);
    let begun = LookupFlags::RETURN_NAME | LookupFlags::RETURN_ADDR;
    assert_eq!(members(&mut bob(&store, begun), LookupFlags::empty()), begun);
    assert_eq!(
        members(&mut bob(&store, begun), LookupFlags::FLUSHPREVIOUS),
        begun
    );
}

#[test]
fn edge_10_an_object_without_addresses_answers_unless_only_addresses_are_asked_for() {
    let store = store(&[""], 0);
    assert_eq!(context(&mut bob(&store, ALL), ALL, 4096), Ok(String::new()));
    assert_eq!(
        context(&mut bob(&store, LookupFlags::RETURN_NAME), ALL, 4096),
        Ok(String::new())
    );
    let mut addresses = bob(&store, LookupFlags::RETURN_ADDR);
    assert_eq!(
        context(&mut addresses, ALL, 4096),
        Err(Next::None(WsaCode::WSANO_DATA))
    );
    let mut narrowed = bob(&store, ALL);
    assert_eq!(
        context(&mut narrowed, LookupFlags::RETURN_ADDR, 4096),
        Err(Next::None(WsaCode::WSANO_DATA))
    );
    assert_eq!(
        context(&mut narrowed, ALL, 4096),
        Ok(String::new()),
        "the record was not passed over"
    );
}

#[test]
fn edge_35_only_matching_addresses_are_returned() {
    let store = store(&[""], 2);
    let count = |protocols: &[Protocol]| {
        let mut lookup = open(&store, "bob@sampleprovider.net", ALL, protocols);
        call(&mut lookup, ALL, 4096, |record| record.addresses.len())
    };
    assert_eq!(
        count(&[Protocol {
            family: 23,
            protocol: 6
        }]),
        Ok(2)
    );
    assert_eq!(
        count(&[Protocol {
            family: 0,
            protocol: 0
        }]),
        Ok(2)
    );
}

proptest! {
    #[test]
    fn the_size_told_is_the_least_that_does(addresses in 0..5_usize, bits in 0..0x100_u32, short in 1..400_usize) {
        let store = store(&[""], addresses);
        let flags = LookupFlags::from_bits_retain(bits << 4) | LookupFlags::RETURN_NAME;
        let mut lookup = bob(&store, flags);
        let Err(Next::TooSmall(needed)) = context(&mut lookup, flags, 0) else {
            return Err(TestCaseError::fail("it fits into nothing"));
        };
        prop_assert_eq!(context(&mut lookup, flags, needed.saturating_sub(short)), Err(Next::TooSmall(needed)));
        prop_assert_eq!(context(&mut lookup, flags, needed), Ok(String::new()));
    }
}
