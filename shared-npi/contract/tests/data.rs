//! The test data that the whole project shares: every valid name is accepted, every invalid one is
//! refused for the reason that stands beside it.

use std::collections::HashSet;

use nsemail_contract::{Address, Text, limits};

const VALID: &str = include_str!("../../../tests/data/names.csv");
const VALID_JSON: &str = include_str!("../../../tests/data/names.jsonl");
const INVALID: &str = include_str!("../../../tests/data/invalid.csv");

fn rows(data: &'static str) -> impl Iterator<Item = csv::StringRecord> {
    csv::Reader::from_reader(data.as_bytes())
        .into_records()
        .map(Result::unwrap)
}

#[test]
fn every_valid_name_is_accepted_and_no_two_are_the_same() {
    let mut keys = HashSet::new();
    for row in rows(VALID) {
        let (name, service, comment) = (&row[0], &row[1], &row[3]);
        let text = Text::from_str(name).unwrap();
        let address = Address::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let service = Text::from_str(service).unwrap();
        let key: Vec<u16> = address
            .key_units()
            .chain([0])
            .chain(service.folded_units())
            .collect();
        assert!(keys.insert(key), "{name} occurs twice");
        assert!(address.key_len() <= limits::NAME && service.len() <= limits::CONTEXT);
        assert!(comment.encode_utf16().count() <= limits::COMMENT);
    }
    assert!(keys.len() > 100);
}

#[test]
fn both_formats_hold_the_same_names() {
    let from_json: Vec<(String, String)> = VALID_JSON
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|entry| {
            let member = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            (member("name"), member("service"))
        })
        .collect();
    let from_csv: Vec<_> = rows(VALID)
        .map(|row| (row[0].to_owned(), row[1].to_owned()))
        .collect();
    assert_eq!(from_csv, from_json);
}

#[test]
fn every_invalid_name_is_refused_for_the_reason_given() {
    let mut count = 0;
    for row in rows(INVALID).filter(|row| &row[0] == "name") {
        let (reason, name) = (&row[1], &row[2]);
        let error = Address::parse(Text::from_str(name).unwrap()).expect_err(name);
        assert_eq!(error.to_string(), reason, "{name:?}");
        count += 1;
    }
    assert!(count > 30);
}
