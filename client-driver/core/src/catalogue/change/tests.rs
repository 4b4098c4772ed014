//! Registrations and removals against providers that answer as told.

use std::string::String;
use std::vec::Vec as StdVec;

use super::super::testing::{catalogue, chain, letter, provider};
use super::*;
use Outcome::{Code, Unavailable};
use WsaCode as W;

/// Makes a change at providers `a` (primary), `b`, `c` (secondaries) with these answers; says who was told and what
/// the caller was told.
fn change(kind: Kind, answers: &[Outcome]) -> (String, WsaCode) {
    let names = ['a', 'b', 'c'];
    let installed: StdVec<_> = names[..answers.len()]
        .iter()
        .map(|&name| match name {
            'a' => provider(name).primary("d.example"),
            _ => provider(name).secondary("d.example"),
        })
        .collect();
    let mut change = Change::new(chain(&catalogue(&installed), "d.example"), kind);
    let mut told = String::new();
    loop {
        match change.step() {
            Step::Tell(place) => {
                told.push(letter(change.candidate(place).unwrap().entry));
                change.told(answers[place]);
            }
            Step::Reply(code) => return (told, code),
        }
    }
}

const OK: Outcome = Code(W::NO_ERROR);
const NOT_FOUND: Outcome = Code(W::WSASERVICE_NOT_FOUND);

#[test]
fn a_registration_ends_with_the_first_provider_that_takes_it() {
    assert_eq!(change(Kind::Registration, &[OK, OK]), ("a".into(), W::NO_ERROR));
    assert_eq!(
        change(Kind::Registration, &[Unavailable, OK, OK]),
        ("ab".into(), W::NO_ERROR)
    );
    assert_eq!(
        change(Kind::Registration, &[Code(W::WSAEOPNOTSUPP), OK]),
        ("ab".into(), W::NO_ERROR)
    );
    assert_eq!(
        change(Kind::Registration, &[Code(W::WSAEACCES), OK]),
        ("ab".into(), W::NO_ERROR)
    );
}

#[test]
fn a_registration_that_nobody_takes_fails_with_the_most_telling_code() {
    let all = [Code(W::WSAEOPNOTSUPP), Code(W::WSAEACCES), NOT_FOUND];
    assert_eq!(change(Kind::Registration, &all), ("abc".into(), W::WSAEACCES));
    assert_eq!(
        change(Kind::Registration, &[Unavailable; 2]),
        ("ab".into(), W::WSASERVICE_NOT_FOUND)
    );
}

#[test]
fn a_cancelled_registration_goes_no_further() {
    assert_eq!(
        change(Kind::Registration, &[Code(W::WSA_E_CANCELLED), OK]),
        ("a".into(), W::WSA_E_CANCELLED)
    );
}

#[test]
fn a_removal_sweeps_the_whole_chain() {
    assert_eq!(
        change(Kind::Removal, &[OK, NOT_FOUND, OK]),
        ("abc".into(), W::NO_ERROR)
    );
    assert_eq!(
        change(Kind::Removal, &[NOT_FOUND, Unavailable, OK]),
        ("abc".into(), W::NO_ERROR)
    );
    assert_eq!(
        change(Kind::Removal, &[NOT_FOUND; 3]),
        ("abc".into(), W::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(
        change(Kind::Removal, &[NOT_FOUND, Code(W::WSAEACCES)]),
        ("ab".into(), W::WSAEACCES)
    );
}

#[test]
fn a_removal_that_a_provider_has_made_goes_on_to_the_others_whatever_one_of_them_says() {
    for failure in [
        Code(W::WSA_E_CANCELLED),
        Outcome::Failed(W::WSA_NOT_ENOUGH_MEMORY),
    ] {
        assert_eq!(
            change(Kind::Removal, &[OK, failure, OK]),
            ("abc".into(), W::NO_ERROR)
        );
    }
    assert_eq!(
        change(Kind::Removal, &[Code(W::WSA_E_CANCELLED), OK]),
        ("a".into(), W::WSA_E_CANCELLED),
        "nothing was done yet"
    );
}
