//! `nsemail journal`: what it says of whole and of faulty files, without a driver.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Machine, nsemail};
use nsemail_contract::ids::DEFAULT_PROVIDER;
use serde_json::Value;

/// A journal with a name that was registered, changed and deleted again, and one that stays.
fn journal(machine: &Machine) -> PathBuf {
    for address in ["192.0.2.7:5060/tcp", "192.0.2.8:5060/tcp"] {
        machine
            .run(&["register", "gone@example.com", "--addr", address])
            .expect(0);
    }
    machine.run(&["delete", "gone@example.com", "--yes"]).expect(0);
    machine
        .run(&["register", "alice@example.com", "--addr", "192.0.2.9:25/tcp"])
        .expect(0);
    let name = format!("{DEFAULT_PROVIDER}-1.journal");
    let data = machine
        .folder()
        .join("volume/Windows/System32/drivers/DriverData/nsemail_provider");
    data.join(name)
}

fn check(path: &Path) -> common::Run {
    nsemail(&["journal", "check", path.to_str().unwrap()])
}

fn json(command: &str, path: &Path, exit_code: i32) -> Value {
    let run = nsemail(&["journal", command, path.to_str().unwrap(), "--json"]);
    run.expect(exit_code);
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn a_whole_journal_is_clean_and_shown() {
    let machine = Machine::new();
    let path = journal(&machine);
    let before = fs::read(&path).unwrap();
    let run = check(&path);
    run.expect(0);
    let whole = "whole: 5 records in 5 frames, and ";
    assert!(run.stdout.starts_with(whole), "{run:#?}");
    let document = json("check", &path, 0);
    assert_eq!(document["valid"], true);
    assert_eq!(document["header"]["provider"], DEFAULT_PROVIDER.to_string());
    assert_eq!(document["header"]["generation"], 1);
    let bytes = |member: &str| usize::try_from(document[member].as_u64().unwrap()).unwrap();
    assert!(bytes("set_aside") > 0, "{document:#}");
    assert_eq!(bytes("end") + bytes("set_aside"), before.len());
    let document = json("dump", &path, 0);
    let frames = document["contents"].as_array().unwrap();
    let records: Vec<(&str, Option<&str>)> = frames
        .iter()
        .map(|frame| &frame["records"][0])
        .map(|record| (record["kind"].as_str().unwrap(), record["name"].as_str()))
        .collect();
    let gone = Some("gone@example.com");
    let expected = [
        ("snapshot-end", None),
        ("put", gone),
        ("put", gone),
        ("remove", gone),
        ("put", Some("alice@example.com")),
    ];
    assert_eq!(records, expected);
    assert_eq!(frames[4]["records"][0]["addresses"][0], "192.0.2.9:25/tcp");
    let dump = nsemail(&["journal", "dump", path.to_str().unwrap()]);
    dump.expect(0);
    assert!(
        dump.stdout.contains("alice@example.com 192.0.2.9:25/tcp"),
        "{dump:#?}"
    );
    assert_eq!(fs::read(&path).unwrap(), before, "nothing was changed");
}

#[test]
fn what_is_wrong_is_named_with_its_offset() {
    let machine = Machine::new();
    let whole = journal(&machine);
    let document = json("dump", &whole, 0);
    let mut bytes = fs::read(&whole).unwrap();
    // Without the space that is set aside.
    bytes.truncate(usize::try_from(document["end"].as_u64().unwrap()).unwrap());
    let offset =
        |frame: usize| usize::try_from(document["contents"][frame]["offset"].as_u64().unwrap()).unwrap();
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let last = offset(4);
    let cases = [
        (Vec::new(), "unfinished", 0),
        (bytes[..40].to_vec(), "unfinished", 0),
        (changed(30), "header", 0),
        (b"#!/bin/sh\n".repeat(20), "header", 0),
        (bytes[..64].to_vec(), "not-complete", 64),
        (changed(offset(0) + 34), "damaged", offset(0)),
        (changed(offset(2) + 4), "damaged", offset(2)),
        (changed(offset(3) + 40), "damaged", offset(3)),
        (changed(last + 40), "torn-tail", last),
        (bytes[..bytes.len() - 1].to_vec(), "torn-tail", last),
        ([&bytes[..], b"noise"].concat(), "torn-tail", bytes.len()),
    ];
    let path = machine.folder().join("faulty.journal");
    for (bytes, kind, offset) in cases {
        fs::write(&path, &bytes).unwrap();
        check(&path).expect_error(2, &format!("at offset {offset}"));
        for command in ["check", "dump"] {
            let document = json(command, &path, 2);
            let fault = &document["fault"];
            assert_eq!(
                (&fault["kind"], &fault["offset"]),
                (&kind.into(), &offset.into()),
                "{document:#}"
            );
            assert_eq!(document["valid"], false);
        }
    }
    // Space that was set aside is no fault.
    fs::write(&path, [&bytes[..], &[0; 4096]].concat()).unwrap();
    check(&path).expect(0);
}

#[test]
fn what_is_shown_of_a_damaged_journal_is_what_comes_before_the_damage() {
    let machine = Machine::new();
    let path = journal(&machine);
    let document = json("dump", &path, 0);
    let offset = usize::try_from(document["contents"][2]["offset"].as_u64().unwrap()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[offset + 36] ^= 1;
    fs::write(&path, bytes).unwrap();
    let document = json("dump", &path, 2);
    assert_eq!(document["contents"].as_array().unwrap().len(), 2);
    // The driver comes to the same conclusion.
    let events = machine.run(&["events", "--driver", "provider"]);
    assert!(
        events.stdout.contains(&format!("damaged at offset {offset}")),
        "{events:#?}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_another_error() {
    nsemail(&["journal", "check", "no-such-file"]).expect_error(5, "no-such-file");
}
