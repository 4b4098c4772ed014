//! Both forms of a query set: what is written is read back, and nothing else gets through.

mod common;

use common::{cs_addr, damage, query_set, written};
use nsemail_contract::bytes::Writer;
use nsemail_contract::flags::LookupFlags;
use nsemail_contract::queryset::{Addresses, HEADER, Protocols, pack_address};
use nsemail_contract::sockaddr::{AF_INET6, IPPROTO_TCP, IPPROTO_UDP, Protocol, SOCK_STREAM};
use nsemail_contract::{CsAddr, FaultKind, Guid, QuerySet, SockAddr, Text};
use proptest::collection::vec;
use proptest::prelude::*;

/// A kernel address as buffers have it: high, and a multiple of 8.
const BASE: u64 = 0xFFFF_9A00_1234_5678;

proptest! {
    #[test]
    fn what_is_written_is_read_back_in_the_wire_form(owned in query_set()) {
        owned.with(|query_set| {
            let bytes = written(|out| query_set.write_wire(out));
            prop_assert_eq!(query_set.size(), Ok(bytes.len()));
            prop_assert_eq!(bytes.len() % 8, 0);
            prop_assert_eq!(QuerySet::parse_wire(&bytes), Ok(query_set));
            Ok(())
        })?;
    }

    #[test]
    fn what_is_written_is_read_back_in_the_kernel_form(owned in query_set()) {
        owned.with(|query_set| {
            let bytes = written(|out| query_set.write_kernel(out, BASE));
            prop_assert_eq!(query_set.size(), Ok(bytes.len()));
            prop_assert_eq!(QuerySet::parse_kernel(&bytes, BASE), Ok(query_set));
            Ok(())
        })?;
    }

    #[test]
    fn a_relay_changes_nothing(owned in query_set()) {
        owned.with(|query_set| {
            let kernel = written(|out| query_set.write_kernel(out, BASE));
            let relayed = QuerySet::parse_kernel(&kernel, BASE).unwrap();
            let wire = written(|out| relayed.write_wire(out));
            prop_assert_eq!(wire, written(|out| query_set.write_wire(out)));
            Ok(())
        })?;
    }

    #[test]
    fn damage_is_refused_or_yields_views_within_the_bytes(owned in query_set(), damages in vec(damage(), 1..4)) {
        owned.with(|query_set| {
            let mut bytes = written(|out| query_set.write_kernel(out, BASE));
            for damage in &damages {
                if bytes.len() > 8 {
                    damage.apply(&mut bytes);
                }
            }
            visit(&bytes, BASE);
        });
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..400), base in any::<u64>()) {
        visit(&bytes, base);
        visit(&bytes, 0);
    }

    /// Small numbers everywhere make offsets that often lead somewhere.
    #[test]
    fn no_offsets_make_the_reader_panic(words in vec(0..300_u16, 0..80)) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| u32::from(*word).to_le_bytes()).collect();
        visit(&bytes, 0);
    }

    #[test]
    fn cutting_the_end_off_is_never_read_as_the_whole(owned in query_set(), cut in 1..64_usize) {
        owned.with(|query_set| {
            let bytes = written(|out| query_set.write_wire(out));
            let kept = &bytes[..bytes.len().saturating_sub(cut)];
            // Padding carries nothing, so up to 7 bytes may go.
            if let Ok(read) = QuerySet::parse_wire(kept) {
                prop_assert!(cut < 8);
                prop_assert_eq!(read, query_set);
            }
            Ok(())
        })?;
    }

    #[test]
    fn packed_addresses_are_read_back(addresses in vec(cs_addr(), 0..6)) {
        let normal: Vec<_> = addresses.iter().filter_map(|address| address.borrow().normalize().ok()).collect();
        let mut bytes = vec![0; 4096];
        let mut writer = Writer::new(&mut bytes);
        for address in &normal {
            pack_address(address, &mut writer);
        }
        let size = writer.finish().unwrap();
        let packed = Addresses::packed(&bytes[..size]).unwrap();
        prop_assert_eq!(packed, Addresses::normal(&normal));
        prop_assert_eq!(packed.len(), normal.len());
        if size > 0 {
            prop_assert!(Addresses::packed(&bytes[..size - 1]).is_err());
        }
    }
}

/// Reads a query set and, if there is one, all that it refers to.
fn visit(bytes: &[u8], base: u64) {
    let Ok(query_set) = QuerySet::parse_kernel(bytes, base) else {
        return;
    };
    let range = bytes.as_ptr_range();
    let inside = |part: &[u8]| {
        part.is_empty() || (range.contains(&part.as_ptr()) && range.end >= part.as_ptr_range().end)
    };
    for text in [
        query_set.name,
        query_set.comment,
        query_set.context,
        query_set.query_string,
    ]
    .into_iter()
    .flatten()
    {
        assert!(text.len() * 2 <= bytes.len());
        assert!(!text.units().any(|unit| unit == 0));
    }
    let count = query_set.addresses.len();
    assert_eq!(
        count,
        query_set.addresses.iter().count(),
        "an address vanished after it was checked"
    );
    for address in query_set.addresses {
        assert!(inside(address.local) && inside(address.remote));
    }
    assert!(query_set.blob.is_none_or(inside));
    let _ = query_set.size();
}

#[test]
fn a_record_of_the_reference_client_has_280_bytes() {
    let socket_address: SockAddr = SockAddr::from_socket_addr("[2001:db8::7]:5060".parse().unwrap());
    let addresses = [CsAddr {
        local: socket_address.as_bytes(),
        remote: socket_address.as_bytes(),
        socket_type: SOCK_STREAM,
        protocol: IPPROTO_TCP,
    }];
    let record = QuerySet {
        name: Some(Text::from_str("bob@sampleprovider.net").unwrap()),
        provider: Some(Guid::from_u128(1)),
        addresses: Addresses::new(&addresses),
        ..QuerySet::default()
    };
    assert_eq!(record.size(), Ok(280));
}

#[test]
fn pointers_of_the_kernel_form_are_addresses_in_the_buffer() {
    let record = QuerySet {
        name: Some(Text::from_str("a@b").unwrap()),
        ..QuerySet::default()
    };
    let bytes = written(|out| record.write_kernel(out, BASE));
    let pointer = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
    assert_eq!(pointer, BASE + HEADER as u64);
    assert_eq!(bytes[HEADER..HEADER + 8], [b'a', 0, b'@', 0, b'b', 0, 0, 0]);
    assert_eq!(
        u32::from_le_bytes(bytes[0..4].try_into().unwrap()),
        112,
        "dwSize is that of the structure"
    );
}

/// A wire form with one number overwritten, and what the reader says.
fn fault_after(query_set: &QuerySet<'_>, offset: usize, number: u64) -> FaultKind {
    let mut bytes = written(|out| query_set.write_wire(out));
    bytes[offset..offset + 8].copy_from_slice(&number.to_le_bytes());
    QuerySet::parse_wire(&bytes).unwrap_err().kind
}

#[test]
fn pointers_into_the_header_or_out_of_the_buffer_are_refused() {
    let name = QuerySet {
        name: Some(Text::from_str("a@b").unwrap()),
        ..QuerySet::default()
    };
    assert_eq!(fault_after(&name, 8, 111), FaultKind::InHeader);
    assert_eq!(fault_after(&name, 8, 121), FaultKind::OutOfBounds);
    assert_eq!(fault_after(&name, 8, u64::MAX), FaultKind::OutOfBounds);
    let blob = QuerySet {
        blob: Some(&[7]),
        ..QuerySet::default()
    };
    assert_eq!(fault_after(&blob, HEADER + 8, 112 + 24), FaultKind::OutOfBounds);
    assert_eq!(
        fault_after(&blob, HEADER + 8, 0),
        FaultKind::OutOfBounds,
        "20: a size without data"
    );
    let mut bytes = written(|out| name.write_kernel(out, BASE));
    assert_eq!(
        QuerySet::parse_kernel(&bytes, BASE + 8).unwrap_err().kind,
        FaultKind::InHeader
    );
    bytes[118] = 1;
    assert_eq!(
        QuerySet::parse_kernel(&bytes, BASE).unwrap_err().kind,
        FaultKind::Unterminated
    );
}

#[test]
fn edge_15_odd_socket_addresses_are_refused() {
    let address = CsAddr {
        local: &[],
        remote: &[2; 16],
        socket_type: 1,
        protocol: 6,
    };
    let query_set = QuerySet {
        addresses: Addresses::new(core::slice::from_ref(&address)),
        ..QuerySet::default()
    };
    let (local_length, remote, remote_length) = (HEADER + 8, HEADER + 16, HEADER + 24);
    assert_eq!(
        fault_after(&query_set, local_length, 4),
        FaultKind::BadLength,
        "null with a length"
    );
    assert_eq!(
        fault_after(&query_set, remote, 0),
        FaultKind::BadLength,
        "null with a length"
    );
    assert_eq!(
        fault_after(&query_set, remote_length, 0),
        FaultKind::BadLength,
        "not null, no length"
    );
    assert_eq!(
        fault_after(&query_set, remote_length, 0xFFFF_FFFF),
        FaultKind::BadLength,
        "negative"
    );
    assert_eq!(fault_after(&query_set, remote_length, 17), FaultKind::OutOfBounds);
}

#[test]
fn edge_28_a_small_structure_is_refused_and_a_large_one_accepted() {
    let mut bytes = written(|out| QuerySet::default().write_wire(out));
    bytes[0] = 111;
    assert_eq!(
        QuerySet::parse_wire(&bytes).unwrap_err().kind,
        FaultKind::BadHeader
    );
    bytes[0] = 200;
    assert_eq!(QuerySet::parse_wire(&bytes), Ok(QuerySet::default()));
    assert_eq!(
        QuerySet::parse_wire(&[0; 120]).unwrap_err().kind,
        FaultKind::BadHeader,
        "all zero"
    );
}

#[test]
fn edge_35_a_protocol_filter_keeps_what_matches() {
    let v4 = SockAddr::from_socket_addr("192.0.2.7:5060".parse().unwrap());
    let v6 = SockAddr::from_socket_addr("[2001:db8::7]:5060".parse().unwrap());
    let address = |remote, protocol| CsAddr {
        local: &[],
        remote,
        socket_type: 1,
        protocol,
    };
    let all = [
        address(v4.as_bytes(), IPPROTO_TCP),
        address(v6.as_bytes(), IPPROTO_TCP),
        address(v6.as_bytes(), IPPROTO_UDP),
    ];
    let kept = |family: u16, protocol| {
        let filter = [Protocol {
            family: i32::from(family),
            protocol,
        }];
        Addresses::new(&all).matching(Protocols::new(&filter)).len()
    };
    assert_eq!(Addresses::new(&all).matching(Protocols::NONE).len(), 3);
    assert_eq!(kept(0, 0), 3);
    assert_eq!(kept(AF_INET6, 0), 2);
    assert_eq!(kept(AF_INET6, IPPROTO_TCP), 1);
    assert_eq!(kept(0, IPPROTO_TCP), 2);
    assert_eq!(kept(32, 0), 0);
    let mut bytes = written(|out| QuerySet::default().write_wire(out));
    bytes[56] = 1;
    assert_eq!(
        QuerySet::parse_wire(&bytes).unwrap_err().kind,
        FaultKind::OutOfBounds,
        "null with a count"
    );
}

#[test]
fn only_what_was_asked_for_is_selected_and_who_answered_is_always_told() {
    let record = QuerySet {
        name: Some(Text::from_str("a@b").unwrap()),
        comment: Some(Text::from_str("c").unwrap()),
        provider: Some(Guid::from_u128(1)),
        blob: Some(&[]),
        ..QuerySet::default()
    };
    let mut selected = record;
    selected.select(LookupFlags::RETURN_COMMENT);
    assert_eq!(
        selected,
        QuerySet {
            name: None,
            blob: None,
            ..record
        }
    );
    let mut selected = record;
    selected.select(LookupFlags::RETURN_ALL);
    assert_eq!(selected, record);
}

#[test]
fn edge_31_each_member_has_its_cap() {
    let long = "x".repeat(1025);
    let text = |length: usize| Some(Text::from_str(&long[..length]).unwrap());
    let ok = QuerySet {
        name: text(321),
        comment: text(1024),
        context: text(256),
        ..QuerySet::default()
    };
    assert_eq!(ok.over_limit(), None);
    assert_eq!(
        QuerySet {
            name: text(322),
            ..ok
        }
        .over_limit(),
        Some("name")
    );
    assert_eq!(
        QuerySet {
            comment: text(1025),
            ..ok
        }
        .over_limit(),
        Some("comment")
    );
    assert_eq!(
        QuerySet {
            context: text(257),
            ..ok
        }
        .over_limit(),
        Some("context")
    );
    let many = [CsAddr::default(); 65];
    assert_eq!(
        QuerySet {
            addresses: Addresses::new(&many),
            ..ok
        }
        .over_limit(),
        Some("number of addresses")
    );
    let blob = vec![0; 64 * 1024 + 1];
    assert_eq!(
        QuerySet {
            blob: Some(&blob),
            ..ok
        }
        .over_limit(),
        Some("blob")
    );
}
