//! INF files: what is read, and which fault is named with which line.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "test code")]

use nt_sim::{
    inf::{Inf, Package, decode},
    registry::{Value, kind},
};
use proptest::prelude::*;

const GOOD: &str = r#"; A package.
[Version]
Signature = "$Windows NT$"
Class = Test
ClassGuid = {00000000-1111-2222-3333-444444444444}
Provider = %Maker%
CatalogFile = test.cat
DriverVer =
PnpLockdown = 1
[DestinationDirs]
DefaultDestDir = 13
[SourceDisksNames]
1 = %Maker%
[SourceDisksFiles]
test.sys = 1
[DefaultInstall.NT$ARCH$]
CopyFiles = Files
[Files]
test.sys
[DefaultInstall.NT$ARCH$.Services]
AddService = Test,, Service
[Service]
ServiceType = 1
StartType = 3
ErrorControl = 1
ServiceBinary = %13%\test.sys
AddReg = Values
[DefaultInstall.NT$ARCH$.Wdf]
KmdfService = Test, Wdf
[Wdf]
KmdfLibraryVersion = $KMDFVERSION$
[Values]
HKR, Parameters, Number, 0x00010001, 0x10
[Strings]
Maker = "Some; one"
"#;

fn read(text: &str) -> Result<Package, nt_sim::inf::InfError> {
    Package::read(text, "amd64", "1.31")
}

/// Changes one line of the good file, by its number.
fn with_line(number: usize, line: &str) -> String {
    let mut lines: Vec<&str> = GOOD.lines().collect();
    lines[number - 1] = line;
    lines.join("\n")
}

#[test]
fn a_package_says_what_it_installs() {
    let package = read(GOOD).unwrap();
    assert_eq!(package.catalog, "test.cat");
    assert_eq!(package.files, ["test.sys"]);
    let service = &package.services[0];
    assert_eq!(
        (service.name.as_str(), service.start_type, service.start_now),
        ("Test", 3, false)
    );
    assert_eq!(
        service.registry[0].value,
        Some(("Number".to_owned(), Value::dword(16)))
    );
    assert!(!service.registry[0].keep_existing);
}

#[test]
fn lines_continue_comments_end_and_quotes_protect() {
    let inf = Inf::parse(
        "[A] ; one\r\n\
         key = a , \"b;,=\"\"\\\" \\\r\n   , c ; \"two\n\
         bare, \"  kept  \" ,\n\
         [b]\n\
         path = \"C:\\x\\\"\n\
         [a]\n\
         last =\n\
         [Strings]\n\
         s = \"100%% %13% %t%\"\n",
    )
    .unwrap();
    let a = inf.section("a").unwrap();
    assert_eq!(a.entries[0].fields, ["a", "b;,=\"\\", "c"]);
    assert_eq!(a.entries[1].key, None);
    assert_eq!(a.entries[1].fields, ["bare", "  kept  ", ""]);
    assert_eq!(
        (a.entries[2].key.as_deref(), a.entries[2].fields.len()),
        (Some("last"), 0)
    );
    assert_eq!(a.entries[2].line, 8);
    assert_eq!(
        inf.section("B").unwrap().entry("PATH").unwrap().field(0),
        r"C:\x\"
    );
}

#[test]
fn strings_are_put_in_everywhere_and_directory_numbers_stay() {
    let inf = Inf::parse("[a]\n%k% = \"<%V%>\", %13%\\f, 5%%\n[strings]\nK=key\nv = \"x y\"").unwrap();
    let entry = &inf.section("a").unwrap().entries[0];
    assert_eq!(entry.key.as_deref(), Some("key"));
    assert_eq!(entry.fields, ["<x y>", r"%13%\f", "5%"]);
}

#[test]
fn values_have_the_type_that_their_flags_say() {
    let value = |flags: &str, rest: &str| {
        let line = format!("HKR, Parameters\\Sub, Name, {flags}, {rest}");
        let value = read(&with_line(33, &line)).unwrap().services[0].registry[0].clone();
        assert_eq!(value.subkey, r"Parameters\Sub");
        (value.value.unwrap().1, value.keep_existing)
    };
    assert_eq!(value("", "text"), (Value::sz("text"), false));
    assert_eq!(value("0x2", "\"a, b\""), (Value::sz("a, b"), true));
    assert_eq!(value("0x00010003", "17"), (Value::dword(17), true));
    assert_eq!(
        value("1", "00,fF,\\\n 7"),
        (Value::binary(vec![0, 0xFF, 7]), false)
    );
    assert_eq!(value("0x10000", "a, b"), (Value::multi_sz(["a", "b"]), false));
    assert_eq!(value("0x20000", "c").0.kind, kind::EXPAND_SZ);
    let bare = read(&with_line(33, "HKR, Parameters\\Sub,,0x10")).unwrap();
    assert_eq!(bare.services[0].registry[0].value, None);
}

#[test]
fn every_fault_is_named_with_its_line() {
    for (line, text, reason) in [
        (1, "stray = 1", "before the first"),
        (2, "[Version", "does not end with ]"),
        (3, "Signature = \"$CHICAGO$\"", "Signature"),
        (3, "Signature = \"open", "quotation"),
        (4, "Class = %Nobody%", "%Nobody%"),
        (4, "Class = 5% of it", "partner"),
        (5, "ClassGuid = {0}", "ClassGuid"),
        (6, "Provider =", "Provider is empty"),
        (7, "CatalogFile = a\\b.cat", "CatalogFile"),
        (9, "PnpLockdown = 0", "PnpLockdown"),
        (11, "DefaultDestDir = 12", "directory 13"),
        (11, "DefaultDestDir = 13, sub", "directory 13"),
        (15, "test.sys = 2", "disk"),
        (15, "test.sys = 1, sub", "subfolder"),
        (19, "test.sys, old.sys", "renamed"),
        (19, "other.sys", "SourceDisksFiles"),
        (21, "AddService = Test, 2, Service", "0x2"),
        (21, "AddService = Test, 0x1000, Service", "not supported"),
        (21, "AddService = Test,, Nowhere", "[Nowhere]"),
        (21, "DelService = Test", "AddService"),
        (23, "ServiceType = 0x10", "kernel driver"),
        (24, "StartType = 0", "StartType"),
        (24, "StartType = three", "number"),
        (26, "ServiceBinary = %12%\\test.sys", "%13%"),
        (26, "ServiceBinary = %13%\\other.sys", "not copied"),
        (27, "AddReg = Missing", "[Missing]"),
        (29, "KmdfService = Other, Wdf", "no service"),
        (31, "KmdfLibraryVersion = 1.33", "1.33"),
        (33, "HKLM, Software, A,, b", "HKR"),
        (33, "HKR, Instances, A,, b", "Parameters"),
        (33, "HKR, Parameters, A, 0x00010001, x", "32-bit"),
        (33, "HKR, Parameters, A, 1, 100", "byte"),
        (33, "HKR, Parameters, A, 0x4,", "not supported"),
        (33, "HKR, Parameters, A, x,", "no number"),
        (33, "HKR, Parameters, A,, b\u{1}", "U+0001"),
        (18, "[Manufacturer]", "Manufacturer"),
        (18, "[DefaultUninstall.NTamd64]", "DefaultUninstall"),
        (18, "[DefaultInstall]", "architecture"),
        (18, "[DefaultInstall.NTmips]", "architecture"),
    ] {
        let error = read(&with_line(line, text)).expect_err(text);
        assert_eq!(error.line, Some(u32::try_from(line).unwrap()), "{text}: {error}");
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
}

#[test]
fn whole_parts_that_are_missing_are_named() {
    for (first, last, reason) in [
        (2, 9, "[Version]"),
        (3, 3, "no Signature"),
        (7, 7, "no CatalogFile"),
        (8, 8, "no DriverVer"),
        (10, 11, "[DestinationDirs]"),
        (11, 11, "no folder"),
        (12, 13, "[SourceDisksNames]"),
        (14, 15, "[SourceDisksFiles]"),
        (16, 17, "[DefaultInstall.NTamd64]"),
        (17, 17, "copies no file"),
        (18, 19, "[Files]"),
        (20, 21, "[DefaultInstall.NTamd64.Services]"),
        (21, 21, "no service"),
        (26, 26, "no ServiceBinary"),
    ] {
        let lines = GOOD
            .lines()
            .zip(1..)
            .filter(|(_, number)| !(first..=last).contains(number));
        let text: Vec<&str> = lines.map(|(line, _)| line).collect();
        let error = read(&text.join("\n")).expect_err(reason);
        assert!(
            error.reason.contains(reason),
            "lines {first} to {last} removed: {error}"
        );
    }
    let error = Package::read(GOOD.replace("$ARCH$", "arm64").as_str(), "amd64", "1.31").unwrap_err();
    assert!(error.reason.contains("not for this architecture"));
}

#[test]
fn files_are_utf_8_or_marked_utf_16() {
    let utf16: Vec<u8> = "\u{FEFF}[a]".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(decode(&utf16).unwrap(), "[a]");
    assert_eq!(decode(b"\xEF\xBB\xBF[a]").unwrap(), "[a]");
    assert_eq!(decode(b"[a]\nb\xFF").unwrap_err().line, Some(2));
    assert!(decode(b"\xFF\xFE[").is_err());
    assert!(decode(b"\xFF\xFE\x00\xD8").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in r#"([\[\]%;"=,\\ \n\r$a-cK]|\PC){0,200}"#) {
        let _ = Inf::parse(&text);
        let _ = read(&text);
    }

    #[test]
    fn no_damage_to_a_package_makes_the_reader_panic(
        at in 0..GOOD.len(),
        cut in 0..40_usize,
        paste in r#"([\[\]%;"=,\\ \n$]|\PC){0,6}"#,
    ) {
        let end = (at + cut).min(GOOD.len());
        let _ = read(&format!("{}{paste}{}", &GOOD[..at], &GOOD[end..]));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn what_is_quoted_is_read_back(fields in proptest::collection::vec(r"[^%\p{Cc}]{0,12}", 1..5)) {
        let quoted: Vec<String> =
            fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        let inf = Inf::parse(&format!("[a]\nkey = {}\n", quoted.join(" , "))).unwrap();
        prop_assert_eq!(&inf.section("a").unwrap().entries[0].fields, &fields);
    }
}
