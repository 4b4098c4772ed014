//! Installation blobs: everything that must be accepted, everything that must be refused and
//! where, and the writer.

mod common;

use std::collections::HashSet;

use common::{damage, written};
use nsemail_contract::blob::{self, HEADER, InstallationBlob, Level};
use nsemail_contract::{Domain, FaultKind, Text, WsaCode};
use proptest::collection::vec;
use proptest::prelude::*;

/// A blob put together number by number, as a test wants it.
struct Draft {
    bytes: Vec<u8>,
}

impl Draft {
    /// A header for `count` domains of which the first stands at `first`.
    fn new(count: u32, first: u32) -> Self {
        let header = [1, 1, 0, count, first];
        Self {
            bytes: header
                .iter()
                .flat_map(|number: &u32| number.to_le_bytes())
                .collect(),
        }
    }

    fn number(mut self, offset: usize, value: u32) -> Self {
        self.grow(offset + 4);
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn description(self, offset: usize, level: u32, units: u32, next: u32, name: u32) -> Self {
        self.number(offset, level)
            .number(offset + 4, units)
            .number(offset + 8, next)
            .number(offset + 12, name)
    }

    fn units(mut self, offset: usize, units: &[u16]) -> Self {
        self.grow(offset + units.len() * 2);
        for (index, unit) in units.iter().enumerate() {
            self.bytes[offset + index * 2..][..2].copy_from_slice(&unit.to_le_bytes());
        }
        self
    }

    fn name(self, offset: usize, name: &str) -> Self {
        let units: Vec<u16> = name.encode_utf16().collect();
        self.units(offset, &units)
    }

    fn grow(&mut self, length: usize) {
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
    }

    fn domains(&self) -> Vec<String> {
        match InstallationBlob::parse(&self.bytes) {
            Ok(blob) => blob.claims().map(|claim| claim.domain.to_string()).collect(),
            Err(fault) => panic!("{fault}"),
        }
    }

    /// The fault, and where.
    fn fault(&self) -> (FaultKind, usize) {
        let fault = InstallationBlob::parse(&self.bytes).unwrap_err();
        (fault.kind, fault.offset)
    }
}

/// One primary domain, `a.b`, whose name follows its description.
fn one() -> Draft {
    Draft::new(1, 20).description(20, 2, 3, 0, 36).name(36, "a.b")
}

/// Two domains, `a.b` and `c.d`.
fn two() -> Draft {
    Draft::new(2, 20)
        .description(20, 2, 3, 36, 52)
        .description(36, 1, 3, 0, 58)
        .name(52, "a.b")
        .name(58, "c.d")
}

/// The blob of Microsoft's sample provider: type 0, one domain, a last "next" that leads to the
/// name, no terminator; 72 bytes.
#[test]
fn the_sample_providers_blob_is_accepted() {
    let draft = Draft::new(1, 20)
        .number(4, 0)
        .description(20, 2, 18, 36, 36)
        .name(36, "sampleprovider.net");
    assert_eq!(draft.bytes.len(), 72);
    assert_eq!(draft.domains(), ["sampleprovider.net"]);
    let blob = InstallationBlob::parse(&draft.bytes).unwrap();
    assert_eq!((blob.version, blob.provider_type, blob.wildcard), (1, 0, false));
    assert_eq!(blob.claims().next().unwrap().level, Level::Primary);
}

#[test]
fn terminated_names_and_junk_after_the_last_byte_are_accepted() {
    assert_eq!(one().units(42, &[0, 0xDEAD]).domains(), ["a.b"]);
    let mut draft = one();
    draft.bytes.push(7);
    assert_eq!(draft.domains(), ["a.b"], "the size need not be a multiple of 4");
}

#[test]
fn any_last_next_is_accepted() {
    for next in [1, 20, 36, u32::MAX] {
        assert_eq!(one().number(28, next).domains(), ["a.b"]);
    }
}

#[test]
fn reverse_and_interleaved_order_is_accepted() {
    let draft = Draft::new(2, 60)
        .name(20, "first")
        .description(60, 2, 5, 32, 20)
        .description(32, 1, 6, 0, 48)
        .name(48, "second");
    assert_eq!(draft.domains(), ["first", "second"]);
}

#[test]
fn no_domains_are_accepted_whatever_the_first_offset() {
    for wildcard in [0, 1, 7, u32::MAX] {
        let draft = Draft::new(0, 3).number(8, wildcard);
        assert!(draft.domains().is_empty());
        let blob = InstallationBlob::parse(&draft.bytes).unwrap();
        assert_eq!(blob.wildcard, wildcard != 0);
        assert_eq!(blob.is_reachable(), wildcard != 0);
    }
}

#[test]
fn domains_may_share_bytes() {
    let draft = Draft::new(2, 20)
        .description(20, 2, 12, 36, 52)
        .description(36, 2, 7, 0, 62)
        .name(52, "mail.msn.com");
    assert_eq!(draft.domains(), ["mail.msn.com", "msn.com"]);
}

#[test]
fn any_version_is_accepted() {
    for version in [0, 2, u32::MAX] {
        assert_eq!(one().number(0, version).domains(), ["a.b"]);
    }
}

#[test]
fn a_dot_at_the_end_is_dropped() {
    assert_eq!(
        Draft::new(1, 20)
            .description(20, 2, 4, 0, 36)
            .name(36, "a.b.")
            .domains(),
        ["a.b"]
    );
}

#[test]
fn every_fault_of_the_header_is_found_where_it_stands() {
    for length in 0..HEADER {
        let fault = InstallationBlob::parse(&one().bytes[..length]).unwrap_err();
        assert_eq!((fault.kind, fault.offset), (FaultKind::Truncated, length));
    }
    let large = vec![0; 64 * 1024 + 1];
    assert_eq!(
        InstallationBlob::parse(&large).unwrap_err().kind,
        FaultKind::TooLarge
    );
    assert_eq!(
        one().number(4, 2).fault(),
        (FaultKind::UnsupportedProviderType, 4)
    );
    assert_eq!(one().number(4, 3).fault(), (FaultKind::BadProviderType, 4));
    assert_eq!(one().number(12, 2).fault(), (FaultKind::BadCount, 12));
    assert_eq!(
        one().number(12, 0x1000_0000).fault(),
        (FaultKind::BadCount, 12),
        "16 * n wraps"
    );
    assert_eq!(
        blob::fault_code(FaultKind::UnsupportedProviderType),
        WsaCode::WSAEOPNOTSUPP
    );
    assert_eq!(blob::fault_code(FaultKind::BadProviderType), WsaCode::WSAEINVAL);
}

#[test]
fn every_bad_offset_of_a_description_is_found_where_it_stands() {
    assert_eq!(one().number(16, 0).fault(), (FaultKind::InHeader, 16));
    assert_eq!(one().number(16, 16).fault(), (FaultKind::InHeader, 16));
    assert_eq!(one().number(16, 22).fault(), (FaultKind::Misaligned, 16));
    assert_eq!(one().number(16, 28).fault(), (FaultKind::OutOfBounds, 16));
    assert_eq!(
        one().number(16, 0xFFFF_FFF4).fault(),
        (FaultKind::OutOfBounds, 16),
        "offset + 16 wraps"
    );
    assert_eq!(two().number(28, 0).fault(), (FaultKind::ChainEnds, 28));
    assert_eq!(two().number(28, 20).fault(), (FaultKind::Overlap, 28), "a circle");
    assert_eq!(two().number(28, 24).fault(), (FaultKind::Overlap, 28));
    assert_eq!(two().number(28, 38).fault(), (FaultKind::Misaligned, 28));
    assert_eq!(two().number(28, 12).fault(), (FaultKind::InHeader, 28));
}

#[test]
fn every_bad_member_of_a_description_is_found_where_it_stands() {
    assert_eq!(one().number(20, 3).fault(), (FaultKind::BadLevel, 20));
    assert_eq!(one().number(24, 0).fault(), (FaultKind::BadLength, 24));
    assert_eq!(one().number(24, 256).fault(), (FaultKind::BadLength, 24));
    assert_eq!(one().number(32, 37).fault(), (FaultKind::Misaligned, 32));
    assert_eq!(one().number(32, 18).fault(), (FaultKind::InHeader, 32));
    assert_eq!(one().number(32, 38).fault(), (FaultKind::OutOfBounds, 32));
    assert_eq!(
        one().number(32, 0xFFFF_FFFE).fault(),
        (FaultKind::OutOfBounds, 32),
        "name + 2 * n wraps"
    );
    let own_level = Draft::new(1, 36).description(36, 2, 1, 0x61, 44);
    assert_eq!(
        own_level.fault(),
        (FaultKind::Overlap, 48),
        "the name lies in the description"
    );
}

#[test]
fn every_bad_domain_is_found_where_it_stands() {
    let with = |units: &[u16]| {
        let length = u32::try_from(units.len()).unwrap();
        Draft::new(1, 20)
            .description(20, 2, length, 0, 36)
            .units(36, units)
            .fault()
    };
    let a = u16::from(b'a');
    let dot = u16::from(b'.');
    assert_eq!(with(&[a, 0, a]), (FaultKind::EmbeddedNul, 38));
    assert_eq!(with(&[a, 0xD800, a]), (FaultKind::LoneSurrogate, 38));
    assert_eq!(with(&[a, a, 0xDC00]), (FaultKind::LoneSurrogate, 40));
    for bad in [0x01, 0x1F, 0x20, 0x40, 0x7F] {
        assert_eq!(with(&[a, bad, a]), (FaultKind::BadCharacter, 38));
    }
    assert_eq!(with(&[dot, a]), (FaultKind::EmptyLabel, 36));
    assert_eq!(with(&[a, dot, dot, a]), (FaultKind::EmptyLabel, 40));
    assert_eq!(with(&[a, dot, dot]), (FaultKind::EmptyLabel, 40));
    assert_eq!(with(&[dot]), (FaultKind::EmptyLabel, 36));
    assert_eq!(two().name(58, "A.B").fault(), (FaultKind::DuplicateDomain, 58));
}

#[test]
fn a_thousand_domains_are_accepted() {
    let names: Vec<String> = (0..1000).map(|index| format!("domain{index}.example")).collect();
    let claims = names.iter().map(|name| (Level::Primary, domain(name)));
    let bytes = written(|out| blob::write(1, true, claims.clone(), out));
    assert_eq!(InstallationBlob::parse(&bytes).unwrap().claims().count(), 1000);
}

fn domain(name: &str) -> Domain<'_> {
    Domain::parse(Text::from_str(name).unwrap()).unwrap()
}

prop_compose! {
    fn distinct_domains()(names in vec(("[a-zäößЖ日]{1,9}(\\.[a-z0-9-]{1,9}){0,3}", 0..3_u32), 0..8)) -> Vec<(String, u32)> {
        let mut seen = HashSet::new();
        names.into_iter().filter(|(name, _)| seen.insert(name.to_uppercase())).collect()
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(names in distinct_domains(), version in any::<u32>(), wildcard in any::<bool>()) {
        let claims: Vec<_> = names.iter().map(|(name, level)| (Level::from_u32(*level).unwrap(), domain(name))).collect();
        let bytes = written(|out| blob::write(version, wildcard, claims.iter().copied(), out));
        let parsed = InstallationBlob::parse(&bytes).unwrap();
        prop_assert_eq!((parsed.version, parsed.provider_type, parsed.wildcard), (version, 1, wildcard));
        let read: Vec<_> = parsed.claims().map(|claim| (claim.level, claim.domain)).collect();
        prop_assert_eq!(&read, &claims);
        for (level, domain) in &claims {
            prop_assert_eq!(parsed.level_of(domain), Some(*level));
        }
    }

    #[test]
    fn damage_never_makes_the_parser_panic_or_read_outside(names in distinct_domains(), damages in vec(damage(), 1..4)) {
        let claims: Vec<_> = names.iter().map(|(name, _)| (Level::Primary, domain(name))).collect();
        let mut bytes = written(|out| blob::write(1, false, claims.iter().copied(), out));
        for damage in &damages {
            if bytes.len() > 8 {
                damage.apply(&mut bytes);
            }
        }
        match InstallationBlob::parse(&bytes) {
            Ok(blob) => {
                prop_assert_eq!(blob.claims().count(), blob.count() as usize);
                for claim in blob.claims() {
                    prop_assert!(claim.name_offset + claim.name.len() * 2 <= bytes.len());
                }
            }
            Err(fault) => prop_assert!(fault.offset <= bytes.len()),
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(words in vec(prop_oneof![0..160_u32, any::<u32>()], 0..60)) {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let _ = InstallationBlob::parse(&bytes);
        if bytes.len() > 8 {
            bytes[4..8].copy_from_slice(&[1, 0, 0, 0]);
        }
        let _ = InstallationBlob::parse(&bytes);
    }
}
