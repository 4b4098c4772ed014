//! Names, numbers, folding, flags and socket addresses: small rules, each on its own.

use std::collections::HashSet;

use nsemail_contract::address::AddressError;
use nsemail_contract::dispatch::{AsyncStatus, SetInformation, VERSION, is_compatible};
use nsemail_contract::flags::Comparator;
use nsemail_contract::sockaddr::{AF_BTH, CsAddrError, SOCK_DGRAM, SOCK_RDM, SOCK_SEQPACKET, SOCK_STREAM};
use nsemail_contract::text::{TextFault, fold};
use nsemail_contract::wire::{CounterKind, EventKind};
use nsemail_contract::{
    Address, CsAddr, Domain, FaultKind, Guid, LookupFlags, Operation, SetFlags, SockAddr, Text, WsaCode, ids,
    ioctl,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn text(text: &str) -> Text<'_> {
    Text::from_str(text).unwrap()
}

#[test]
fn codes_show_symbol_decimal_hexadecimal_and_meaning() {
    assert_eq!(
        WsaCode::WSASERVICE_NOT_FOUND.to_string(),
        "WSASERVICE_NOT_FOUND 10108 (0x277C): no such name"
    );
    assert_eq!(WsaCode(4711).to_string(), "UNKNOWN 4711 (0x1267): unknown error");
    assert_eq!(
        (
            WsaCode::WSA_E_NO_MORE.0,
            WsaCode::WSA_E_CANCELLED.0,
            WsaCode::WSANO_DATA.0
        ),
        (10110, 10111, 11004)
    );
    assert!(WsaCode::WSAENOMORE.is_no_more() && WsaCode::WSAECANCELLED.is_cancelled());
    assert_eq!(
        WsaCode::ALL.iter().collect::<HashSet<_>>().len(),
        WsaCode::ALL.len()
    );
}

#[test]
fn guids_are_shown_in_upper_case_and_braces_and_read_in_any_case() {
    let shown = "{964ACBA2-B2BC-40EB-8C6A-A6DB40161CAE}";
    let guid: Guid = shown.parse().unwrap();
    assert_eq!(guid.to_string(), shown);
    assert_eq!("964acba2-b2bc-40eb-8c6a-a6db40161cae".parse(), Ok(guid));
    assert_eq!(
        guid.to_bytes()[..8],
        [0xA2, 0xCB, 0x4A, 0x96, 0xBC, 0xB2, 0xEB, 0x40]
    );
    assert_eq!(Guid::from_bytes(guid.to_bytes()), guid);
    for wrong in [
        "",
        "{",
        "{}",
        &shown[1..],
        &shown[..37],
        "{964ACBA2-B2BC-40EB-8C6A-A6DB40161CAG}",
        "{964ACBA2B2BC40EB8C6AA6DB40161CAE}",
    ] {
        assert!(wrong.parse::<Guid>().is_err(), "{wrong}");
    }
}

#[test]
fn control_codes_are_buffered_and_distinct_and_only_changes_need_write_access() {
    const CHANGES: [u32; 7] = [
        ioctl::RESET_STATISTICS,
        ioctl::SET_SERVICE,
        ioctl::ENABLE,
        ioctl::ORDER,
        ioctl::FORGET,
        ioctl::INSTALL,
        ioctl::UNINSTALL,
    ];
    assert_eq!(ioctl::ALL.iter().collect::<HashSet<_>>().len(), ioctl::ALL.len());
    for code in ioctl::ALL {
        assert_eq!(code & 3, 0, "METHOD_BUFFERED");
        let access = (code >> 14) & 3;
        assert_eq!(
            access,
            if CHANGES.contains(code) { 2 } else { 1 },
            "{:?}",
            ioctl::name(*code)
        );
    }
    assert_eq!(ioctl::name(0), None);
}

#[test]
fn module_ids_differ() {
    let guids = [ids::NPIID, ids::CLIENT_MODULE_ID, ids::DEFAULT_PROVIDER];
    assert_eq!(guids.iter().collect::<HashSet<_>>().len(), 3);
    assert!(guids.iter().all(|guid| !guid.is_nil()));
}

#[test]
fn kinds_of_counters_and_events_have_distinct_names() {
    let counters: HashSet<_> = CounterKind::ALL.iter().map(|kind| kind.name().unwrap()).collect();
    assert_eq!(counters.len(), CounterKind::ALL.len());
    let events: HashSet<_> = EventKind::ALL.iter().map(|kind| kind.name().unwrap()).collect();
    assert_eq!(events.len(), EventKind::ALL.len());
}

#[test]
fn a_next_call_narrows_but_never_widens() {
    let begin = LookupFlags::RETURN_NAME | LookupFlags::RETURN_ADDR | LookupFlags::NON_AUTHORITATIVE;
    assert_eq!(
        begin.effective(LookupFlags::RETURN_NAME),
        LookupFlags::RETURN_NAME
    );
    assert_eq!(
        begin.effective(LookupFlags::RETURN_BLOB),
        LookupFlags::empty(),
        "an AND of the two"
    );
}

#[test]
fn a_next_call_that_selects_nothing_asks_for_what_the_look_up_began_with() {
    let begin = LookupFlags::RETURN_NAME | LookupFlags::DEEP;
    assert_eq!(begin.effective(LookupFlags::empty()), begin);
    assert_eq!(
        begin.effective(LookupFlags::FLUSHPREVIOUS),
        begin | LookupFlags::FLUSHPREVIOUS
    );
}

#[test]
fn flushing_acts_in_its_call_only() {
    let begin = LookupFlags::RETURN_NAME | LookupFlags::FLUSHPREVIOUS;
    assert_eq!(begin.effective(LookupFlags::empty()), LookupFlags::RETURN_NAME);
}

#[test]
fn edge_26_and_27_unknown_operations_and_flags_are_known_as_such() {
    assert_eq!(Operation::from_u32(2), Some(Operation::Delete));
    assert_eq!(Operation::from_u32(3), None);
    assert_eq!(SetFlags::from_bits(1), Some(SetFlags::MULTIPLE));
    assert_eq!(SetFlags::from_bits(2), None);
}

#[test]
fn edge_34_versions_compare_by_comparator() {
    assert!(Comparator::Equal.accepts(2, 2) && !Comparator::Equal.accepts(2, 3));
    assert!(Comparator::NotLess.accepts(2, 3) && !Comparator::NotLess.accepts(2, 1));
    assert_eq!(Comparator::from_u32(2), None);
}

#[test]
fn pending_is_no_winsock_code() {
    assert_eq!(AsyncStatus::PENDING.final_code(), None);
    for code in WsaCode::ALL {
        assert_eq!(AsyncStatus::done(*code).final_code(), Some(*code));
    }
}

#[test]
fn later_minor_versions_are_compatible_and_smaller_structures_are_not() {
    assert!(is_compatible(VERSION, 64, 64));
    assert!(is_compatible(VERSION + 1, 72, 64));
    assert!(!is_compatible(VERSION, 63, 64));
    assert!(!is_compatible(VERSION + 0x1_0000, 64, 64));
}

#[test]
fn the_counts_of_a_change_survive_packing() {
    for added in [0, 1, u16::MAX] {
        for removed in [0, 1, u16::MAX] {
            let information = SetInformation { added, removed };
            assert_eq!(SetInformation::unpack(information.pack()), information);
        }
    }
}

#[test]
fn folding_is_stable_and_never_leads_into_ascii() {
    for unit in 0..=u16::MAX {
        let folded = fold(unit);
        assert_eq!(fold(folded), folded, "{unit:04X}");
        assert_eq!(folded < 0x80, unit < 0x80, "{unit:04X}");
    }
    let upper =
        |letter: char| char::from_u32(u32::from(fold(u16::try_from(u32::from(letter)).unwrap()))).unwrap();
    assert_eq!(
        ['a', 'z', 'ä', 'ÿ', 'ж', 'ω', 'ա'].map(upper),
        ['A', 'Z', 'Ä', 'Ÿ', 'Ж', 'Ω', 'Ա']
    );
    assert_eq!(
        ['ß', 'ı', 'ſ', '[', '`', '{', '日'].map(upper),
        ['ß', 'ı', 'ſ', '[', '`', '{', '日']
    );
}

proptest! {
    #[test]
    fn a_text_is_the_same_wherever_its_units_stand(letters in vec(any::<char>(), 0..20)) {
        let utf8: String = letters.into_iter().filter(|letter| *letter != '\0').collect();
        let units: Vec<u16> = utf8.encode_utf16().collect();
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let texts = [Text::from_str(&utf8).unwrap(), Text::from_units(&units).unwrap(), Text::from_le_bytes(&bytes).unwrap()];
        for text in texts {
            prop_assert_eq!(text, texts[0]);
            prop_assert!(text.units().eq(units.iter().copied()));
            prop_assert!(text.chars().eq(utf8.chars()));
            prop_assert_eq!(text.len(), units.len());
            prop_assert!(!text.to_string().chars().any(char::is_control));
            let parts = text.rsplit_once(b'@').map(|(before, after)| (before.len(), after.len()));
            prop_assert_eq!(parts, texts[0].rsplit_once(b'@').map(|(before, after)| (before.len(), after.len())));
        }
    }

    #[test]
    fn units_are_a_text_exactly_if_they_decode_without_nul(units in vec(prop_oneof![any::<u16>(), 0xD7FF..0xE001_u16, 0..3_u16], 0..8)) {
        let decodes = char::decode_utf16(units.iter().copied()).all(|letter| letter.is_ok_and(|letter| letter != '\0'));
        prop_assert_eq!(Text::from_units(&units).is_ok(), decodes);
    }

    #[test]
    fn no_text_makes_the_address_parser_panic(letters in "[a@. \"\\\\é\u{1}]{0,12}") {
        if let Ok(address) = Address::parse(text(&letters)) {
            prop_assert!(address.key_units().count() == address.key_len());
            prop_assert!(!address.local().is_empty());
        }
    }

    #[test]
    fn normal_addresses_are_fixed_points(bytes in vec(any::<u8>(), 0..140), family in prop_oneof![Just(2_u16), Just(23), Just(32), any::<u16>()], socket_type in -1..7_i32, protocol in 0..3_i32) {
        let mut bytes = bytes;
        if bytes.len() >= 2 {
            bytes[..2].copy_from_slice(&family.to_le_bytes());
        }
        let given = CsAddr { local: &[], remote: &bytes, socket_type, protocol };
        if let Ok(normal) = given.normalize() {
            prop_assert_eq!(normal.as_cs_addr().normalize(), Ok(normal));
            prop_assert_ne!(normal.protocol, 0);
        }
    }
}

#[test]
fn half_a_unit_and_nul_are_no_text() {
    assert_eq!(
        Text::from_le_bytes(&[b'a', 0, b'b']),
        Err(TextFault {
            kind: FaultKind::BadLength,
            unit: 1
        })
    );
    assert_eq!(
        Text::from_str("a\0"),
        Err(TextFault {
            kind: FaultKind::EmbeddedNul,
            unit: 1
        })
    );
}

#[test]
fn control_characters_of_a_text_are_shown_escaped() {
    assert_eq!(text("a\u{1b}[2Jb").to_string(), "a\\u{1b}[2Jb");
}

#[test]
fn edge_22_case_does_not_distinguish_names() {
    let parse = |name| Address::parse(text(name)).unwrap();
    assert!(parse("Jürgen@Example.ORG").same_name(&parse("jÜRGEN@example.org.")));
    assert!(!parse("ıan@example.org").same_name(&parse("ian@example.org")));
    assert!(!parse("e\u{301}@example.org").same_name(&parse("\u{e9}@example.org")));
    assert_eq!(
        Domain::parse(text("EXAMPLE.com.")),
        Domain::parse(text("example.COM"))
    );
}

#[test]
fn edge_23_an_address_is_split_at_the_last_at() {
    let address = Address::parse(text("\"a@b\"@example.org")).unwrap();
    assert_eq!(address.local(), text("\"a@b\""));
    assert_eq!(address.domain().text(), text("example.org"));
}

#[test]
fn a_name_without_an_at_is_not_found_rather_than_invalid() {
    let error = Address::parse(text("www.example.org")).unwrap_err();
    assert_eq!(error, AddressError::NoAt);
    assert_eq!(
        (error.lookup_code(), error.set_code()),
        (WsaCode::WSASERVICE_NOT_FOUND, WsaCode::WSAEINVAL)
    );
    assert_eq!(AddressError::EmptyLocalPart.lookup_code(), WsaCode::WSAEINVAL);
}

fn v4() -> Vec<u8> {
    SockAddr::from_socket_addr("192.0.2.7:5060".parse().unwrap())
        .as_bytes()
        .to_vec()
}

fn v6() -> Vec<u8> {
    SockAddr::from_socket_addr("[2001:db8::7%3]:5060".parse().unwrap())
        .as_bytes()
        .to_vec()
}

/// What a remote address of this type and protocol 0 becomes.
fn substituted(remote: &[u8], socket_type: i32) -> Result<i32, CsAddrError> {
    CsAddr {
        local: &[],
        remote,
        socket_type,
        protocol: 0,
    }
    .normalize()
    .map(|address| address.protocol)
}

#[test]
fn edge_13_the_protocol_is_substituted() {
    for internet in [v4(), v6()] {
        assert_eq!(substituted(&internet, SOCK_STREAM), Ok(6));
        assert_eq!(substituted(&internet, SOCK_DGRAM), Ok(17));
        assert_eq!(substituted(&internet, 0), Err(CsAddrError::NoDefaultProtocol));
        assert_eq!(
            substituted(&internet, SOCK_SEQPACKET),
            Err(CsAddrError::NoDefaultProtocol)
        );
    }
    assert_eq!(substituted(&v4(), SOCK_RDM), Ok(113));
    assert_eq!(substituted(&v6(), SOCK_RDM), Err(CsAddrError::NoDefaultProtocol));
    let bluetooth = [AF_BTH.to_le_bytes().as_slice(), &[0; 28]].concat();
    assert_eq!(substituted(&bluetooth, SOCK_STREAM), Ok(3));
    assert_eq!(
        substituted(&bluetooth, SOCK_DGRAM),
        Err(CsAddrError::NoDefaultProtocol)
    );
}

#[test]
fn edge_12_and_14_padding_does_not_distinguish_addresses() {
    let mut padded = v4();
    padded[8..].fill(0xEE);
    padded.extend([0xEE; 12]);
    assert_eq!(SockAddr::normalize(&padded), SockAddr::normalize(&v4()));
    let mut long = v6();
    long.push(1);
    assert_eq!(SockAddr::normalize(&long), SockAddr::normalize(&v6()));
    let mut other_scope = v6();
    other_scope[24] = 4;
    assert_ne!(SockAddr::normalize(&other_scope), SockAddr::normalize(&v6()));
    let explicit = CsAddr {
        local: &[],
        remote: &v4(),
        socket_type: SOCK_STREAM,
        protocol: 6,
    }
    .normalize();
    let any = CsAddr {
        local: &[],
        remote: &padded,
        socket_type: SOCK_STREAM,
        protocol: 0,
    }
    .normalize();
    assert_eq!(explicit, any);
}

#[test]
fn edge_15_lengths_outside_of_what_the_family_needs_are_refused() {
    for bad in [&v4()[..15], &v6()[..27], &[2][..], &[9; 129][..]] {
        assert_eq!(SockAddr::normalize(bad), Err(CsAddrError::BadLength));
    }
    assert_eq!(SockAddr::normalize(&[9; 128]).unwrap().as_bytes(), [9; 128]);
    assert_eq!(CsAddr::default().normalize(), Err(CsAddrError::Absent));
}

#[test]
fn edge_16_halves_of_different_families_are_refused() {
    let address = CsAddr {
        local: &v4(),
        remote: &v6(),
        socket_type: 1,
        protocol: 6,
    };
    assert_eq!(address.normalize(), Err(CsAddrError::FamiliesDiffer));
}

#[test]
fn socket_addresses_show_as_people_write_them() {
    let show = |bytes: &[u8]| SockAddr::normalize(bytes).unwrap().to_string();
    assert_eq!(show(&v4()), "192.0.2.7:5060");
    assert_eq!(show(&v6()), "[2001:db8::7%3]:5060");
    assert_eq!(show(&[32, 0, 1]), "family 32: 20 00 01");
    assert_eq!(show(&[]), "-");
}
