//! Security descriptors of devices: the language, and the check.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "test code")]

use nt_sim::io::{
    Identity,
    sddl::{FILE_ALL_ACCESS, FILE_GENERIC_READ, FILE_GENERIC_WRITE, GENERIC_ALL, SecurityDescriptor, Sid},
};
use proptest::prelude::*;

fn granted(sddl: &str, who: &[&str], desired: u32) -> Option<u32> {
    let sids: Vec<Sid> = who.iter().map(|sid| Sid::parse(sid).unwrap()).collect();
    SecurityDescriptor::parse(sddl).unwrap().check(&sids, desired)
}

#[test]
fn entries_are_looked_at_in_order_until_all_rights_are_granted_or_one_is_denied() {
    let (read, write) = (FILE_GENERIC_READ, FILE_GENERIC_WRITE);
    assert_eq!(
        granted("D:(A;;GR;;;BU)(A;;GW;;;WD)", &["BU", "WD"], read | write),
        Some(read | write)
    );
    assert_eq!(granted("D:(A;;GR;;;BU)(A;;GW;;;WD)", &["WD"], read | write), None);
    assert_eq!(granted("D:(D;;GW;;;BU)(A;;GA;;;WD)", &["BU", "WD"], 2), None);
    assert_eq!(granted("D:(D;;GW;;;BU)(A;;GA;;;WD)", &["BU", "WD"], 1), Some(1));
    assert_eq!(granted("D:(A;;GA;;;WD)(D;;GW;;;BU)", &["BU", "WD"], 2), Some(2));
    assert_eq!(granted("D:(A;IO;GA;;;WD)", &["WD"], 1), None);
    assert_eq!(granted("D:P", &["SY"], 1), None);
    assert_eq!(granted("", &["WD"], GENERIC_ALL), Some(FILE_ALL_ACCESS));
    // The owner may always read and change the list, and nothing else.
    assert_eq!(granted("O:SYG:BAD:P", &["SY"], 0x0006_0000), Some(0x0006_0000));
    assert_eq!(granted("O:SYG:BAD:P", &["SY"], 1), None);
}

#[test]
fn sids_rights_and_flags_have_several_spellings() {
    let reference = SecurityDescriptor::parse("D:(A;;GRGW;;;BA)").unwrap();
    for same in [
        "D:PAI(A;;FRFW;;;S-1-5-32-544)",
        " D:P(a;OICI;gwgr;;;s-1-5-32-544) ",
        "O:S-1-5-18G:S-1-5-18D:(A;;0x12019f;;;ba)",
        "G:SYD:AR(A;;0xC0000000;;;BA)",
        "D:(A;;1180063;;;S-1-0x5-32-544)",
    ] {
        assert_eq!(
            SecurityDescriptor::parse(same).unwrap().dacl,
            reference.dacl,
            "{same}"
        );
    }
}

#[test]
fn what_is_no_descriptor_is_refused() {
    for bad in [
        "x",
        "D",
        "D:Q",
        "D:(",
        "D:(A;;GA;;;WD",
        "D:(A;;GA;;WD)",
        "D:(A;;GA;;;ZZ)",
        "D:(A;;G;;;WD)",
        "D:(A;;QQ;;;WD)",
        "D:(X;;GA;;;WD)",
        "D:(A;ZZ;GA;;;WD)",
        "D:(A;;GA;x;;WD)",
        "D:PD:P",
        "S:P",
        "O:",
        "O:SYx",
        "D:(A;;GA;;;S-1-)",
        "D:(A;;GA;;;S-1-5-99999999999)",
        "D:(A;;0xZ;;;WD)",
        "D:P(A;;GA;;;WD)x",
    ] {
        assert!(SecurityDescriptor::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn everyone_is_everyone_and_only_administrators_are_administrators() {
    let everyone = Sid::parse("WD").unwrap();
    let administrators = Sid::parse("BA").unwrap();
    for (identity, administrator) in [
        (Identity::System, true),
        (Identity::Administrator, true),
        (Identity::User, false),
    ] {
        assert!(identity.sids().contains(&everyone));
        assert_eq!(identity.sids().contains(&administrators), administrator);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in r"(O:|G:|D:|P|\(|\)|;|A|GA|WD|S-1-5-|0x|[0-9]|\PC){0,30}") {
        let _ = SecurityDescriptor::parse(&text);
        let _ = Sid::parse(&text);
    }
}
