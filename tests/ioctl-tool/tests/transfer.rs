//! Importing and exporting: what is exported is imported the same, and bad lines hurt nobody else.

mod common;

use std::fs;
use std::io::BufReader;

use common::{Machine, nsemail, nsemail_with_input};
use nsemail::{Registration, entry};

const VALID: &str = "../data/names.csv";
const VALID_JSON: &str = "../data/names.jsonl";
const INVALID: &str = "../data/invalid.csv";

/// A file of names and addresses.
fn csv_file(lines: impl Iterator<Item = String>) -> Vec<u8> {
    let lines: Vec<String> = std::iter::once("name,addresses".to_owned())
        .chain(lines)
        .collect();
    lines.join("\n").into_bytes()
}

#[test]
fn both_formats_bring_in_the_same_names() {
    let (from_csv, from_json) = (Machine::new(), Machine::new());
    let imported = from_csv.run(&["import", VALID]);
    imported.expect(0);
    assert_eq!(imported.stdout, "imported 109 of 109 names with 173 addresses\n");
    from_json.run(&["import", VALID_JSON]).expect(0);
    let exported = from_csv.run(&["export"]).stdout;
    assert_eq!(exported, from_json.run(&["export"]).stdout);
    assert_eq!(exported.lines().filter(|line| line.contains('@')).count(), 109);
}

#[test]
fn what_is_exported_is_imported_the_same() {
    let first = Machine::new();
    first.run(&["import", VALID]).expect(0);
    first.run(&["deregister", "alice@example.com"]).expect(0);
    first
        .run(&[
            "register",
            "clash@example.com",
            "--addr",
            "192.0.2.1:1/tcp",
            "--version",
            "3",
        ])
        .expect(0);
    for extension in ["csv", "jsonl"] {
        let file = first.folder().join(format!("names.{extension}"));
        let file = file.to_str().unwrap();
        first.run(&["export", "-o", file]).expect(0);
        let second = Machine::new();
        second.run(&["import", file]).expect(0);
        let copy = second.folder().join(format!("copy.{extension}"));
        second.run(&["export", "-o", copy.to_str().unwrap()]).expect(0);
        assert_eq!(
            fs::read_to_string(file).unwrap(),
            fs::read_to_string(copy).unwrap()
        );
        second
            .run(&["lookup", "alice@example.com"])
            .expect_error(1, "WSANO_DATA");
    }
    let deregistered = first.run(&["export", "--state", "deregistered"]).stdout;
    assert_eq!(deregistered.lines().count(), 2);
    assert!(deregistered.contains("alice@example.com"));
}

#[test]
fn every_invalid_entry_is_refused_by_line_and_reason() {
    let machine = Machine::new();
    let run = machine.run(&["import", INVALID]);
    run.expect(2);
    assert!(run.stdout.starts_with("imported 0 of 64 names"));
    let data = fs::read_to_string(format!("{}/{INVALID}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut reader = csv::Reader::from_reader(data.as_bytes());
    for row in reader.records().map(Result::unwrap) {
        let line = row.position().unwrap().line();
        let (field, reason) = (&row[0], &row[1]);
        let told = run
            .stderr
            .lines()
            .find(|told| told.starts_with(&format!("nsemail: line {line}: ")));
        let told =
            told.unwrap_or_else(|| panic!("nothing is told about line {line}, {field}: {}", run.stderr));
        assert!(told.contains("WSAEINVAL 10022 (0x2726): "), "{told}");
        assert!(told.contains(reason), "{told} should say {reason:?}");
    }
    assert_eq!(machine.run(&["export"]).stdout.lines().count(), 1);
}

#[test]
fn bad_lines_do_not_keep_the_good_ones_out() {
    let machine = Machine::new();
    let file = b"name,addresses\n\
        a@example.com,192.0.2.1:1/tcp\n\
        broken,192.0.2.1:1/tcp\n\
        b@example.com\n\
        c@example.com,192.0.2.3:3/tcp,more\n\
        \xFF@example.com,192.0.2.4:4/tcp\n\
        d@example.com,192.0.2.5:5/udp\n";
    let run = machine.run_with_input(&["import", "-"], file);
    run.expect(2);
    assert_eq!(run.stdout, "imported 2 of 6 names with 2 addresses\n");
    for told in [
        "line 3: WSAEINVAL 10022 (0x2726): no '@' in the address",
        "line 4: WSAEINVAL 10022 (0x2726): 1 fields where the header line has 2",
        "line 5: WSAEINVAL 10022 (0x2726): 3 fields where the header line has 2",
        "line 6: WSAEINVAL 10022 (0x2726): not UTF-8",
        "4 of 6 entries were refused",
    ] {
        assert!(run.stderr.contains(told), "{told:?} is missing in {}", run.stderr);
    }
    assert_eq!(machine.addresses("d@example.com"), ["192.0.2.5:5/udp"]);
}

#[test]
fn bad_json_lines_are_named_with_their_column() {
    let file = br#"{"name":"a@example.com","addresses":["192.0.2.1:1/tcp"]}

{"name":"b@example.com","adresses":[]}
{"name":"c@example.com"
{"name":"d@example.com","version":-1}
["e@example.com"]
{"name":"f@example.com","state":"asleep"}
{"name":"g@example.com","provider":"{1}"}
{"name":"h@example.com","blob":"00"}
"#;
    let run = Machine::new().run_with_input(&["import", "-", "--json"], file);
    run.expect(2);
    let document: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&document["imported"], &document["refused"]),
        (&2.into(), &6.into())
    );
    let lines: Vec<_> = document["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refusal| refusal["line"].clone())
        .collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8]);
    assert!(
        run.stderr
            .contains("line 3: WSAEINVAL 10022 (0x2726): column 34: unknown field `adresses`"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_file_that_is_no_list_of_names_is_refused_as_a_whole() {
    let machine = Machine::new();
    machine
        .run_with_input(&["import", "-"], b"")
        .expect_error(2, "no column \"name\"");
    machine
        .run_with_input(&["import", "-"], b"a,b\n1,2\n")
        .expect_error(2, "no column \"name\"");
    machine
        .run(&["import", "no-such-file.csv"])
        .expect_error(5, "no-such-file.csv");
    machine.run(&["import", "../data"]).expect(5);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_file() {
    let machine = Machine::new();
    machine
        .run_with_input(&["import", "-"], b"\xEF\xBB\xBFname\r\na@example.com\r\n")
        .expect(0);
    machine
        .run_with_input(&["import", "-"], b"\xEF\xBB\xBF{\"name\":\"b@example.com\"}")
        .expect(0);
    machine
        .run(&["lookup", "a@example.com", "b@example.com"])
        .expect(0);
}

#[test]
fn the_last_of_several_entries_of_a_name_wins() {
    let machine = Machine::new();
    let spelling = |port| if port % 2 == 0 { "SAME" } else { "same" };
    let lines = (1..=200).map(|port| format!("{}@example.com,192.0.2.1:{port}/tcp", spelling(port)));
    let file = csv_file(lines);
    machine.run_with_input(&["import", "-"], &file).expect(0);
    assert_eq!(machine.addresses("same@example.com"), ["192.0.2.1:200/tcp"]);
}

#[test]
fn a_dry_run_checks_without_any_driver() {
    let run = nsemail(&[
        "import",
        VALID,
        "--dry-run",
        "--embedded",
        "/dev/null/no-such-folder",
    ]);
    run.expect(0);
    assert_eq!(run.stdout, "would import 109 of 109 names with 173 addresses\n");
    nsemail_with_input(&["import", "-", "--dry-run"], b"name\nbroken\n").expect(2);
}

#[test]
fn many_names_go_in_and_come_out() {
    let machine = Machine::new();
    let file = csv_file((0..5000).map(|number| format!("user{number}@example.org,192.0.2.1:{number}/tcp")));
    let run = machine.run_with_input(&["import", "-"], &file);
    run.expect(0);
    assert_eq!(run.stdout, "imported 5000 of 5000 names with 5000 addresses\n");
    assert_eq!(machine.run(&["export"]).stdout.lines().count(), 5001);
    let names: Vec<String> = (0..1000)
        .map(|number| format!("USER{}@example.org", number * 5))
        .collect();
    let arguments: Vec<&str> = std::iter::once("lookup")
        .chain(names.iter().map(String::as_str))
        .collect();
    let document = machine.json(&arguments);
    for (number, result) in document["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            result["records"][0]["addresses"][0],
            format!("192.0.2.1:{}/tcp", number * 5)
        );
    }
}

#[test]
fn whatever_is_stored_survives_being_written_down() {
    for source in [VALID, VALID_JSON] {
        let data = fs::read(format!("{}/{source}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let entries: Vec<_> = entry::read(BufReader::new(&data[..]), None)
            .unwrap()
            .map(|line| line.unwrap().entry.unwrap())
            .collect();
        for format in [entry::Format::Csv, entry::Format::JsonLines] {
            let mut file = Vec::new();
            let mut writer = entry::EntryWriter::new(&mut file, format).unwrap();
            for entry in &entries {
                writer.write(entry).unwrap();
            }
            writer.finish().unwrap();
            let read: Vec<Registration> = entry::read(BufReader::new(&file[..]), None)
                .unwrap()
                .map(|line| line.unwrap().entry.unwrap().record)
                .collect();
            assert!(read.iter().eq(entries.iter().map(|entry| &entry.record)));
        }
    }
}
