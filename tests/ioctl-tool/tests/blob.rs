//! `nsemail blob`: making, showing and checking installation blobs.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{nsemail, nsemail_with_input};
use serde_json::Value;
use tempfile::TempDir;

/// A blob of one domain, `a.b`, number by number.
fn one_domain() -> Vec<u8> {
    let numbers = [1_u32, 1, 0, 1, 20, 2, 3, 0, 36];
    let name = "a.b".encode_utf16().flat_map(u16::to_le_bytes);
    numbers
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .chain(name)
        .collect()
}

fn file(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join("test.blob");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn what_is_made_is_valid_and_shown() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("made.blob");
    let path = path.to_str().unwrap();
    let made = nsemail(&[
        "blob",
        "make",
        "--domain",
        "example.com",
        "--domain",
        "bücher.example:secondary",
        "--domain",
        "off.example:none",
        "--wildcard",
        "--version",
        "7",
        "-o",
        path,
    ]);
    made.expect(0);
    let checked = nsemail(&["blob", "check", path]);
    checked.expect(0);
    assert_eq!(checked.stdout, "valid: 3 domains and any other\n");
    let dump = nsemail(&["blob", "dump", path]);
    dump.expect(0);
    assert!(
        dump.stdout
            .contains("Version:   7\nType:      1 (application)\nWildcard:  yes\nDomains:   3\n")
    );
    let document: Value = serde_json::from_str(&nsemail(&["blob", "dump", path, "--json"]).stdout).unwrap();
    assert_eq!(document["domains"][1]["domain"], "bücher.example");
    assert_eq!(document["domains"][1]["level"], "secondary");
    assert_eq!(document["domains"][2]["level"], "none");
    assert_eq!(document["domains"][0]["description_offset"], 20);
}

#[test]
fn the_first_fault_is_named_with_its_offset() {
    let folder = TempDir::new().unwrap();
    let with = |offset: usize, value: u32| {
        let mut bytes = one_domain();
        bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    let cases: [(Vec<u8>, i32, &str); 8] = [
        (Vec::new(), 2, "the data ends before this item does at offset 0"),
        (
            one_domain()[..19].to_vec(),
            2,
            "the data ends before this item does at offset 19",
        ),
        (
            with(4, 2),
            5,
            "WSAEOPNOTSUPP 10045 (0x273D): the provider type 2 (service) is not supported at offset 4",
        ),
        (with(12, 9), 2, "WSAEINVAL 10022 (0x2726): the count is larger"),
        (with(16, 18), 2, "an offset is not aligned at offset 16"),
        (with(20, 3), 2, "at offset 20"),
        (with(24, 0), 2, "at offset 24"),
        (with(32, 40), 2, "an offset leads outside the data at offset 32"),
    ];
    for (bytes, exit_code, message) in cases {
        let path = file(&folder, &bytes);
        nsemail(&["blob", "check", path.to_str().unwrap()]).expect_error(exit_code, message);
        nsemail(&["blob", "dump", path.to_str().unwrap()]).expect_error(exit_code, message);
        let run = nsemail(&["blob", "check", path.to_str().unwrap(), "--json"]);
        run.expect(exit_code);
        let document: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(document["valid"], false);
        assert!(message.ends_with(&format!("offset {}", document["offset"])) || message.ends_with("larger"));
    }
}

#[test]
fn the_sample_providers_blob_is_valid() {
    let folder = TempDir::new().unwrap();
    let numbers = [1_u32, 0, 0, 1, 20, 2, 18, 36, 36];
    let name = "sampleprovider.net".encode_utf16().flat_map(u16::to_le_bytes);
    let bytes: Vec<u8> = numbers
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .chain(name)
        .collect();
    assert_eq!(bytes.len(), 72);
    let path = file(&folder, &bytes);
    nsemail(&["blob", "check", path.to_str().unwrap()]).expect(0);
    assert!(
        nsemail(&["blob", "dump", path.to_str().unwrap()])
            .stdout
            .contains("0 (taken for 1, application)")
    );
}

#[test]
fn a_blob_is_read_from_the_standard_input_too() {
    nsemail_with_input(&["blob", "check", "-"], &one_domain()).expect(0);
    nsemail_with_input(&["blob", "check", "-"], &vec![0; 70_000])
        .expect_error(2, "more data than the limit allows");
    nsemail(&["blob", "check", "no-such-file"]).expect_error(5, "no-such-file");
}

#[test]
fn a_blob_that_nobody_can_reach_is_valid_but_worth_a_warning() {
    let bytes: Vec<u8> = [1_u32, 1, 0, 0, 0]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    let run = nsemail_with_input(&["blob", "check", "-"], &bytes);
    run.expect(0);
    assert!(run.stderr.contains("warning"));
}

#[test]
fn blobs_that_would_be_invalid_are_not_made() {
    let make = |domain: &str| nsemail(&["blob", "make", "--domain", domain, "-o", "/dev/null"]);
    make("example..com").expect_error(2, "the domain has an empty label");
    make("example.com:first").expect_error(2, "\"first\" is not a level");
    make("exa mple.com").expect_error(2, "a space in the domain");
    nsemail(&["blob", "make", "--domain", "a.example", "--domain", "A.EXAMPLE."])
        .expect_error(2, "described twice");
}
