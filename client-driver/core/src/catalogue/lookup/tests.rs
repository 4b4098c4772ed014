//! Look-ups against providers that follow a script: which requests are made, and what the caller is told.

use std::collections::VecDeque;
use std::string::{String, ToString};
use std::vec::Vec as StdVec;

use allocator_api2::alloc::Global;
use proptest::prelude::*;

use super::super::testing::{catalogue, chain, domain, letter, provider};
use super::*;
use Outcome::{Code, Failed, Unavailable};
use WsaCode as W;

/// A provider's answers: to Begin, then to each `NextEx` (the last one repeats).
type Script = (char, Outcome, StdVec<Outcome>);

/// A look-up in `a` (primary), `b`, `c` (secondary), `w` (wildcard), and what was asked of whom.
struct Case {
    look_up: LookUp<Global>,
    scripts: StdVec<(char, Outcome, VecDeque<Outcome>)>,
    trace: String,
}

impl Case {
    fn new(authority: Authority, scripts: StdVec<Script>) -> Self {
        let of = |name: char| {
            let provider = provider(name);
            match name {
                'a' => provider.primary("d.example"),
                'w' => provider.wildcard(),
                _ => provider.secondary("d.example"),
            }
        };
        let installed: StdVec<_> = scripts.iter().map(|script| of(script.0)).collect();
        let look_up = LookUp::new(chain(&catalogue(&installed), "d.example"), authority);
        let scripts = scripts
            .into_iter()
            .map(|(name, begin, next)| (name, begin, next.into()))
            .collect();
        Self {
            look_up,
            scripts,
            trace: String::new(),
        }
    }

    fn script(&mut self, place: usize) -> &mut (char, Outcome, VecDeque<Outcome>) {
        let name = letter(self.look_up.candidate(place).unwrap().entry);
        self.scripts.iter_mut().find(|script| script.0 == name).unwrap()
    }

    /// One call of the caller.
    fn next(&mut self) -> WsaCode {
        for _ in 0..100 {
            match self.look_up.step() {
                Step::Open(place) => {
                    let (name, begin) = (self.script(place).0, self.script(place).1);
                    self.trace.push(name.to_ascii_uppercase());
                    self.look_up.opened(begin);
                }
                Step::Ask(place) => {
                    let (name, _, answers) = self.script(place);
                    let name = *name;
                    let answer = if answers.len() > 1 {
                        answers.pop_front()
                    } else {
                        answers.front().copied()
                    };
                    self.trace.push(name);
                    self.look_up.asked(answer.unwrap());
                }
                Step::Close(place) => {
                    let name = self.script(place).0;
                    self.trace.extend([name, '.']);
                    self.look_up.closed();
                }
                Step::Reply(code) => return code,
            }
        }
        panic!("the look-up does not end");
    }

    fn calls<const N: usize>(&mut self) -> [WsaCode; N] {
        core::array::from_fn(|_| self.next())
    }
}

const OK: Outcome = Code(W::NO_ERROR);

fn answers(name: char, codes: &[W]) -> Script {
    (name, OK, codes.iter().map(|code| Code(*code)).collect())
}

fn authoritative(scripts: StdVec<Script>) -> Case {
    Case::new(Authority::Authoritative, scripts)
}

#[test]
fn a_plan_names_the_speaker_of_the_look_up_that_it_begins() {
    let catalogue = catalogue(&[
        provider('w').wildcard(),
        provider('b').secondary("d.example"),
        provider('a').primary("d.example"),
    ]);
    for (of, first, others) in [("d.example", 'a', true), ("e.example", 'w', false)] {
        for authority in [Authority::Authoritative, Authority::NonAuthoritative] {
            let plan = Plan::new(&catalogue, Selection::Domain(domain(of)), authority).unwrap();
            let speaker = plan.speaker(&catalogue);
            let speaker = speaker.map(|candidate| (letter(candidate.entry), candidate.reason));
            let look_up = plan.begin(&catalogue);
            let begun = look_up.speaker();
            assert_eq!(
                speaker,
                begun.map(|candidate| (letter(candidate.entry), candidate.reason))
            );
            let alone = authority == Authority::Authoritative || !others;
            assert_eq!(
                speaker.map(|(name, _)| name),
                alone.then_some(first),
                "{of} {authority:?}"
            );
        }
    }
}

#[test]
fn a_primary_that_knows_the_name_speaks_alone() {
    let mut case = authoritative(std::vec![
        answers('a', &[W::NO_ERROR, W::WSA_E_NO_MORE]),
        answers('b', &[W::NO_ERROR]),
    ]);
    assert_eq!(case.calls(), [W::NO_ERROR, W::WSA_E_NO_MORE, W::WSA_E_NO_MORE]);
    assert_eq!(case.trace, "Aaaa.");
}

#[test]
fn unable_and_unavailable_providers_hand_on_to_the_next() {
    for (begin, first) in [
        (OK, Code(W::WSASERVICE_NOT_FOUND)),
        (OK, Code(W::WSA_E_NO_MORE)),
        (OK, Code(W::WSAEINVAL)),
        (OK, Unavailable),
        (Code(W::WSAEOPNOTSUPP), OK),
        (Unavailable, OK),
    ] {
        let mut case = authoritative(std::vec![
            ('a', begin, std::vec![first]),
            answers('b', &[W::NO_ERROR, W::WSAENOMORE]),
            answers('c', &[W::NO_ERROR]),
        ]);
        assert_eq!(
            case.calls(),
            [W::NO_ERROR, W::WSA_E_NO_MORE],
            "{begin:?} {first:?}"
        );
        assert!(
            case.trace.starts_with('A') && case.trace.ends_with("Bbbb."),
            "{}",
            case.trace
        );
    }
}

#[test]
fn a_record_that_does_not_fit_goes_to_the_caller_and_nobody_else_is_asked() {
    let mut case = authoritative(std::vec![
        answers('a', &[W::WSASERVICE_NOT_FOUND]),
        answers('b', &[W::WSAEFAULT, W::WSAEFAULT, W::NO_ERROR, W::WSA_E_NO_MORE]),
        answers('c', &[W::NO_ERROR]),
    ]);
    assert_eq!(
        case.calls(),
        [W::WSAEFAULT, W::WSAEFAULT, W::NO_ERROR, W::WSA_E_NO_MORE]
    );
    assert_eq!(case.trace, "Aaa.Bbbbbb.");

    // Dropped with LUP_FLUSHPREVIOUS it was a record all the same.
    let mut case = authoritative(std::vec![
        answers('a', &[W::WSAEFAULT, W::WSA_E_NO_MORE]),
        answers('b', &[W::NO_ERROR])
    ]);
    assert_eq!(case.calls(), [W::WSAEFAULT, W::WSA_E_NO_MORE]);
}

#[test]
fn a_provider_that_dies_after_its_first_record_ends_the_look_up() {
    let mut case = authoritative(std::vec![
        ('a', OK, std::vec![OK, Unavailable]),
        answers('b', &[W::NO_ERROR, W::WSA_E_NO_MORE]),
    ]);
    assert_eq!(
        case.calls(),
        [
            W::NO_ERROR,
            W::WSASERVICE_NOT_FOUND,
            W::WSA_E_NO_MORE,
            W::WSA_E_NO_MORE
        ]
    );
    assert_eq!(case.trace, "Aaa");
}

#[test]
fn an_error_after_a_record_is_told_once() {
    let mut case = authoritative(std::vec![
        answers('a', &[W::NO_ERROR, W::WSATRY_AGAIN]),
        answers('b', &[W::NO_ERROR])
    ]);
    assert_eq!(case.calls(), [W::NO_ERROR, W::WSATRY_AGAIN, W::WSA_E_NO_MORE]);
    assert_eq!(case.trace, "Aaaa.");
}

#[test]
fn a_cancelled_call_leaves_the_look_up_where_it_was() {
    let mut case = authoritative(std::vec![answers(
        'a',
        &[W::WSAECANCELLED, W::NO_ERROR, W::WSA_E_NO_MORE]
    )]);
    assert_eq!(case.calls(), [W::WSA_E_CANCELLED, W::NO_ERROR, W::WSA_E_NO_MORE]);
}

#[test]
fn a_failure_of_our_own_is_told_and_the_same_request_is_made_again() {
    let memory = Failed(W::WSA_NOT_ENOUGH_MEMORY);
    let mut case = authoritative(std::vec![(
        'a',
        OK,
        std::vec![memory, OK, Code(W::WSA_E_NO_MORE)]
    )]);
    assert_eq!(
        case.calls(),
        [W::WSA_NOT_ENOUGH_MEMORY, W::NO_ERROR, W::WSA_E_NO_MORE]
    );
}

#[test]
fn not_found_repeats_with_the_most_telling_code() {
    let mut case = authoritative(std::vec![
        answers('a', &[W::WSASERVICE_NOT_FOUND]),
        answers('b', &[W::WSANO_DATA]),
        ('w', Unavailable, std::vec![]),
    ]);
    assert_eq!(case.calls(), [W::WSANO_DATA, W::WSANO_DATA]);
    assert_eq!(case.trace, "Aaa.Bbb.W");

    let mut case = authoritative(std::vec![
        ('a', Unavailable, std::vec![]),
        ('b', Unavailable, std::vec![])
    ]);
    assert_eq!(case.calls(), [W::WSASERVICE_NOT_FOUND, W::WSASERVICE_NOT_FOUND]);
}

#[test]
fn non_authoritative_results_are_concatenated_and_a_failure_in_the_middle_moves_on() {
    let mut case = Case::new(
        Authority::NonAuthoritative,
        std::vec![
            answers('a', &[W::NO_ERROR, W::WSA_E_NO_MORE]),
            answers('b', &[W::NO_ERROR, W::WSATRY_AGAIN]),
            ('c', OK, std::vec![OK, Unavailable]),
            answers('w', &[W::NO_ERROR, W::NO_ERROR, W::WSA_E_NO_MORE]),
        ],
    );
    let records = [W::NO_ERROR; 5];
    assert_eq!(case.calls(), records);
    assert_eq!(case.calls(), [W::WSA_E_NO_MORE, W::WSA_E_NO_MORE]);
    assert_eq!(case.trace, "Aaaa.Bbbb.CccWwwww.");
}

#[test]
fn the_open_query_is_known_to_whoever_ends_the_look_up() {
    let mut case = authoritative(std::vec![answers('a', &[W::NO_ERROR, W::WSA_E_NO_MORE])]);
    assert_eq!(case.look_up.open_position(), None);
    case.next();
    assert_eq!(case.look_up.open_position(), Some(0));
    case.next();
    assert_eq!(case.look_up.open_position(), None);
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(OK),
        1 => Just(Unavailable),
        4 => prop::sample::select(&[
            W::WSA_E_NO_MORE, W::WSAEFAULT, W::WSANO_DATA, W::WSASERVICE_NOT_FOUND, W::WSAEINVAL, W::WSA_E_CANCELLED,
        ][..]).prop_map(Code),
    ]
}

proptest! {
    /// For providers that answer anything at all: each call ends; every query that was opened is closed, unless its
    /// provider died or it is still open; and authoritative records come from one provider only.
    #[test]
    fn any_answers_lead_to_an_end_and_tiers_are_never_mixed(
        scripts in prop::collection::vec((any_outcome(), prop::collection::vec(any_outcome(), 1..4)), 1..4),
        non_authoritative: bool,
    ) {
        let authority = if non_authoritative { Authority::NonAuthoritative } else { Authority::Authoritative };
        let scripts: StdVec<Script> =
            ['a', 'b', 'w'].into_iter().zip(scripts).map(|(name, (begin, next))| (name, begin, next)).collect();
        let mut case = Case::new(authority, scripts);
        let mut sources = StdVec::new();
        for _ in 0..12 {
            if case.next() == W::NO_ERROR {
                sources.push(case.trace.chars().last().unwrap().to_string());
            }
        }
        if authority == Authority::Authoritative {
            sources.dedup();
            prop_assert!(sources.len() <= 1, "records from {:?}", sources);
        } else {
            prop_assert!(sources.is_sorted());
        }
    }
}
