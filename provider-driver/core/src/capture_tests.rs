//! Rules of copying a peer's query set.

use allocator_api2::alloc::Global;
use nsemail_contract::guid::Guid;
use nsemail_contract::queryset::Addresses;
use nsemail_contract::sockaddr::{SOCK_STREAM, SockAddr};
use proptest::prelude::*;
use std::vec::Vec as StdVec;

use super::*;

/// A query set of which everything is absent.
const EMPTY: WSAQUERYSET2W = WSAQUERYSET2W {
    dwSize: 112,
    lpszServiceInstanceName: core::ptr::null_mut(),
    lpVersion: core::ptr::null_mut(),
    lpszComment: core::ptr::null_mut(),
    dwNameSpace: 0,
    lpNSProviderId: core::ptr::null_mut::<Guid>(),
    lpszContext: core::ptr::null_mut(),
    dwNumberOfProtocols: 0,
    lpafpProtocols: core::ptr::null_mut(),
    lpszQueryString: core::ptr::null_mut(),
    dwNumberOfCsAddrs: 0,
    lpcsaBuffer: core::ptr::null_mut(),
    dwOutputFlags: 0,
    lpBlob: core::ptr::null_mut(),
};

fn copy(query: &WSAQUERYSET2W, purpose: Purpose) -> Result<Captured<Global>, WsaCode> {
    // SAFETY: the tests build valid query sets.
    unsafe { Captured::copy(query, purpose, Global) }
}

fn refused(query: &WSAQUERYSET2W) {
    assert_eq!(copy(query, Purpose::Change).map(drop), Err(WsaCode::WSAEINVAL));
}

fn units(text: &str) -> StdVec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// The registration of one address whose halves are as given.
fn with_address(local: SOCKET_ADDRESS, remote: SOCKET_ADDRESS) -> Result<usize, WsaCode> {
    let mut address = CSADDR_INFO {
        LocalAddr: local,
        RemoteAddr: remote,
        iSocketType: SOCK_STREAM,
        iProtocol: 0,
    };
    let query = WSAQUERYSET2W {
        dwNumberOfCsAddrs: 1,
        lpcsaBuffer: &raw mut address,
        ..EMPTY
    };
    copy(&query, Purpose::Change).map(|captured| captured.query().addresses.len())
}

const ABSENT: SOCKET_ADDRESS = SOCKET_ADDRESS {
    lpSockaddr: core::ptr::null_mut(),
    iSockaddrLength: 0,
};

#[test]
fn edge_28_a_structure_that_is_too_small_is_refused_and_a_larger_one_is_read_as_far_as_known() {
    refused(&WSAQUERYSET2W { dwSize: 111, ..EMPTY });
    refused(&WSAQUERYSET2W { dwSize: 0, ..EMPTY });
    assert!(copy(&WSAQUERYSET2W { dwSize: 120, ..EMPTY }, Purpose::Change).is_ok());
    // SAFETY: null is allowed.
    let null = unsafe { Captured::copy(core::ptr::null(), Purpose::LookUp, Global) };
    assert_eq!(null.map(drop), Err(WsaCode::WSAEINVAL));
}

#[test]
fn a_text_is_read_to_its_terminator_and_no_further_than_its_cap() {
    let mut name = units("bob@example.com");
    name.extend(units("behind"));
    let query = WSAQUERYSET2W {
        lpszServiceInstanceName: name.as_mut_ptr(),
        ..EMPTY
    };
    assert_eq!(
        copy(&query, Purpose::LookUp).unwrap().query().name.unwrap(),
        *"bob@example.com"
    );
    let mut context = std::vec![u16::from(b'x'); limits::CONTEXT];
    context.push(0);
    let query = WSAQUERYSET2W {
        lpszContext: context.as_mut_ptr(),
        ..EMPTY
    };
    assert_eq!(
        copy(&query, Purpose::LookUp)
            .unwrap()
            .query()
            .context
            .unwrap()
            .len(),
        limits::CONTEXT
    );
    // Nothing behind the unit after the cap is there to be read.
    let mut unterminated = std::vec![u16::from(b'x'); limits::CONTEXT + 1];
    refused(&WSAQUERYSET2W {
        lpszContext: unterminated.as_mut_ptr(),
        ..EMPTY
    });
}

#[test]
fn a_text_that_is_not_well_formed_is_refused() {
    let mut lone = [0xD800, 0];
    refused(&WSAQUERYSET2W {
        lpszServiceInstanceName: lone.as_mut_ptr(),
        ..EMPTY
    });
}

#[test]
fn edge_15_odd_socket_addresses_are_refused() {
    let mut socket: [u8; 200] = [0; 200];
    socket[0] = 2;
    let of_length = |length| SOCKET_ADDRESS {
        lpSockaddr: socket.as_ptr().cast_mut(),
        iSockaddrLength: length,
    };
    assert_eq!(with_address(ABSENT, of_length(16)), Ok(1));
    assert_eq!(with_address(of_length(16), of_length(16)), Ok(1));
    for (local, remote) in [
        (ABSENT, ABSENT),
        (ABSENT, of_length(15)),
        (ABSENT, of_length(-1)),
        (ABSENT, of_length(129)),
        (ABSENT, of_length(0)),
        (
            ABSENT,
            SOCKET_ADDRESS {
                iSockaddrLength: 16,
                ..ABSENT
            },
        ),
    ] {
        assert_eq!(
            with_address(local, remote),
            Err(WsaCode::WSAEINVAL),
            "{local:?} {remote:?}"
        );
    }
}

#[test]
fn edge_20_a_blob_without_data_is_refused_and_an_empty_one_is_kept_apart_from_none() {
    let mut blob = BLOB {
        cbSize: 1,
        pBlobData: core::ptr::null_mut(),
    };
    refused(&WSAQUERYSET2W {
        lpBlob: &raw mut blob,
        ..EMPTY
    });
    blob.cbSize = 0;
    let query = WSAQUERYSET2W {
        lpBlob: &raw mut blob,
        ..EMPTY
    };
    assert_eq!(copy(&query, Purpose::Change).unwrap().query().blob, Some(&[][..]));
    assert_eq!(copy(&EMPTY, Purpose::Change).unwrap().query().blob, None);
}

#[test]
fn edge_31_and_35_counts_over_their_caps_and_arrays_that_are_not_there_are_refused() {
    for count in [1, 65, u32::MAX] {
        refused(&WSAQUERYSET2W {
            dwNumberOfCsAddrs: count,
            ..EMPTY
        });
        let filter = WSAQUERYSET2W {
            dwNumberOfProtocols: count,
            ..EMPTY
        };
        assert_eq!(copy(&filter, Purpose::LookUp).map(drop), Err(WsaCode::WSAEINVAL));
    }
    let mut blob = BLOB {
        cbSize: u32::MAX,
        pBlobData: core::ptr::dangling_mut(),
    };
    refused(&WSAQUERYSET2W {
        lpBlob: &raw mut blob,
        ..EMPTY
    });
}

#[test]
fn what_a_call_does_not_need_is_not_looked_at() {
    // These would be refused in a change.
    let query = WSAQUERYSET2W {
        dwNumberOfCsAddrs: 1,
        ..EMPTY
    };
    assert!(copy(&query, Purpose::LookUp).is_ok());
    let query = WSAQUERYSET2W {
        dwNumberOfProtocols: 1,
        ..EMPTY
    };
    assert!(copy(&query, Purpose::Change).is_ok());
}

proptest! {
    #[test]
    fn what_was_written_is_copied(
        name in prop::option::of("[a-z]{1,20}@[a-z]{1,20}"),
        context in prop::option::of("[a-z]{0,10}"),
        comment in prop::option::of("\\PC{0,20}"),
        blob in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
        version in prop::option::of((any::<u32>(), 0..3_u32)),
        ports in prop::collection::hash_set(1..100_u16, 0..5),
    ) {
        let sockets: StdVec<_> = ports
            .iter()
            .map(|port| SockAddr::from_socket_addr(std::format!("192.0.2.1:{port}").parse().unwrap()))
            .collect();
        let addresses: StdVec<_> = sockets
            .iter()
            .map(|socket| CsAddr { local: &[], remote: socket.as_bytes(), socket_type: 1, protocol: 6 })
            .collect();
        let query = QuerySet {
            name: name.as_deref().map(|text| Text::from_str(text).unwrap()),
            context: context.as_deref().map(|text| Text::from_str(text).unwrap()),
            comment: comment.as_deref().map(|text| Text::from_str(text).unwrap()),
            version: version.map(|(version, comparator)| Version { version, comparator }),
            namespace: 37,
            addresses: Addresses::new(&addresses),
            blob: blob.as_deref(),
            ..QuerySet::default()
        };
        let mut words = std::vec![0_u64; query.size().unwrap() / 8];
        let base = words.as_mut_ptr().expose_provenance() as u64;
        let mut bytes = std::vec![0; words.len() * 8];
        query.write_kernel(&mut bytes, base).unwrap();
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap());
        }
        // SAFETY: the form was written for this place, and stays there.
        let captured = unsafe { Captured::copy(words.as_ptr().cast(), Purpose::Change, Global) }.unwrap();
        prop_assert_eq!(captured.query(), query);
    }
}
