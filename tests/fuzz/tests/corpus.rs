//! Each property, over its corpus and over random inputs.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::{fs, path::Path};

use fuzz_properties::{TARGETS, Target};
use proptest::{
    prelude::any,
    test_runner::{Config, TestRunner},
};

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|(known, _)| *known == name).unwrap()
}

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut inputs: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), fs::read(path).unwrap())
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{name} has a corpus");
    inputs
}

/// The corpus as it is, each of its inputs changed at random places, and bytes without sense.
fn holds(name: &str, random: u32) {
    let (_, check) = target(name);
    let corpus = corpus(name);
    for (path, input) in &corpus {
        println!("{path}");
        check(input);
    }
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: random,
            failure_persistence: None,
            ..Config::default()
        },
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let bytes = proptest::collection::vec(any::<u8>(), 0..400);
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6);
    let input = (any::<Option<proptest::sample::Index>>(), bytes, changes);
    runner
        .run(&input, |(based_on, bytes, changes)| {
            let mut input = based_on.map_or(bytes, |index| index.get(&corpus).1.clone());
            for (place, byte) in changes {
                if !input.is_empty() {
                    let place = place.index(input.len());
                    input[place] = byte;
                }
            }
            check(&input);
            Ok(())
        })
        .unwrap();
}

#[test]
fn blobs() {
    holds("blob", 2000);
}

#[test]
fn messages() {
    holds("wire", 2000);
}

#[test]
fn inf_files() {
    holds("inf", 500);
}

#[test]
fn journals() {
    holds("journal", 2000);
}

#[test]
fn requests_through_both_drivers() {
    holds("requests", 40);
}

#[test]
fn calls_of_the_registrar() {
    holds("registrar", 300);
}
