//! Who is asked, in which order: one test for each rule of selection, with the calls that it leads to, once with all
//! providers in one driver and once with the providers in two.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "test code"
)]

mod support;

use std::sync::{Arc, Mutex};

use nsemail_contract::blob::Level::{None as Off, Primary, Secondary};
use nsemail_contract::ids::CLIENT_SERVICE;
use nsemail_contract::wire::{EnableRequest, LookupRequest, OrderRequest};
use nsemail_contract::{Guid, LookupFlags, Operation, QuerySet, Text, WsaCode, ioctl};
use support::program::{self, Program, Seen};
use support::provider::{Held, Module, module, primary, secondary, wildcard};
use support::{PROVIDERS, Rig};

const ANN: &str = "ann@example.com";
const DOMAIN: &str = "example.com";
const NOT_FOUND: WsaCode = WsaCode::WSASERVICE_NOT_FOUND;

/// The providers that were asked to begin a look-up, in that order.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<u8>>>);

impl Asked {
    /// Takes what was noted since the last time.
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// The provider with this number answers that.
    fn answers(&self, number: u8, module: Module, answer: Result<usize, WsaCode>) -> Module {
        self.answers_with(number, module, answer, "")
    }

    /// The same, with a comment in each record.
    fn answers_with(
        &self,
        number: u8,
        module: Module,
        answer: Result<usize, WsaCode>,
        comment: &str,
    ) -> Module {
        let (asked, comment) = (self.0.clone(), comment.to_owned());
        module.on_begin(move |name| {
            asked.lock().unwrap().push(number);
            let record = Held {
                name: name.to_owned(),
                comment: comment.clone(),
            };
            answer.map(|records| vec![record; records])
        })
    }

    fn knows(&self, number: u8, module: Module) -> Module {
        self.answers(number, module, Ok(1))
    }

    fn misses(&self, number: u8, module: Module) -> Module {
        self.answers(number, module, Err(NOT_FOUND))
    }
}

/// Runs a test with the providers in one driver, and in two. Their order is that of the catalogue.
fn in_one_driver_and_in_two(
    providers: impl Fn(&Asked) -> Vec<Module>,
    test: impl Fn(&Rig, &Program, &Asked, &[Arc<Module>]),
) {
    for drivers in [1, 2] {
        let asked = Asked::default();
        let modules: Vec<Arc<Module>> = providers(&asked).into_iter().map(Module::build).collect();
        let in_first = if drivers == 1 {
            modules.len()
        } else {
            1.min(modules.len())
        };
        let (first, second) = modules.split_at(in_first);
        let rig = Rig::installed(first.to_vec(), second.to_vec());
        for service in [PROVIDERS[0], PROVIDERS[1], CLIENT_SERVICE] {
            rig.machine.start(service).unwrap();
        }
        let program = rig.program();
        test(&rig, &program, &asked, &modules);
        drop(program);
        rig.shutdown();
    }
}

fn found(providers: &[u8]) -> Result<Vec<Seen>, WsaCode> {
    let seen: Vec<Seen> = providers.iter().map(|number| (ANN.to_owned(), *number)).collect();
    if seen.is_empty() { Err(NOT_FOUND) } else { Ok(seen) }
}

/// One look-up: what it finds, and who was asked.
#[track_caller]
fn expect(program: &Program, asked: &Asked, finds: &[u8], asks: &[u8]) {
    assert_eq!(program.look_up(ANN), found(finds));
    assert_eq!(asked.take(), asks);
}

fn message(write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut bytes = vec![0; program::BUFFER];
    let size = write(&mut bytes);
    bytes.truncate(size);
    bytes
}

fn enable(program: &Program, number: u8, enabled: bool) {
    let request = EnableRequest {
        provider: Guid::from_u128(number.into()),
        enabled,
    };
    let request = message(|out| request.write(out).unwrap());
    let reply = program.request(ioctl::ENABLE, &request, program::BUFFER);
    assert_eq!(program::code(&reply), WsaCode::NO_ERROR);
}

fn order(program: &Program, numbers: &[u8]) {
    let providers: Vec<Guid> = numbers
        .iter()
        .map(|number| Guid::from_u128((*number).into()))
        .collect();
    let request = message(|out| OrderRequest::write(&providers, out).unwrap());
    let reply = program.request(ioctl::ORDER, &request, program::BUFFER);
    assert_eq!(program::code(&reply), WsaCode::NO_ERROR);
}

#[test]
fn primary_hit() {
    in_one_driver_and_in_two(
        |asked| vec![asked.knows(1, primary(1)), asked.knows(2, secondary(2))],
        |_, program, asked, modules| {
            expect(program, asked, &[1], &[1]);
            let trace = ["attach", "startup", "begin", "next", "next", "end"];
            assert_eq!(modules[0].trace(), trace);
            assert_eq!(modules[1].trace(), ["attach"]);
        },
    );
}

#[test]
fn primary_miss_then_the_first_secondary() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.misses(1, primary(1)),
                asked.knows(2, secondary(2)),
                asked.knows(3, secondary(3)),
            ]
        },
        |_, program, asked, modules| {
            expect(program, asked, &[2], &[1, 2]);
            assert_eq!(modules[0].trace(), ["attach", "startup", "begin"]);
            assert_eq!(modules[2].trace(), ["attach"]);
        },
    );
}

#[test]
fn secondaries_come_in_catalogue_order_after_the_primary() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.misses(1, secondary(1)),
                asked.misses(2, primary(2)),
                asked.misses(3, secondary(3)),
            ]
        },
        |_, program, asked, _| {
            expect(program, asked, &[], &[2, 1, 3]);
            order(program, &[3, 2, 1]);
            expect(program, asked, &[], &[2, 3, 1]);
        },
    );
}

#[test]
fn primary_unadvertised_then_the_secondary_and_no_other_primary() {
    let asked = Asked::default();
    let first = vec![asked.knows(1, primary(1)).build()];
    let second = vec![
        asked.knows(2, primary(2)).build(),
        asked.knows(3, secondary(3)).build(),
    ];
    let rig = Rig::installed(first, second);
    for service in [PROVIDERS[0], PROVIDERS[1], CLIENT_SERVICE] {
        rig.machine.start(service).unwrap();
    }
    let program = rig.program();
    expect(&program, &asked, &[1], &[1]);
    rig.stop(PROVIDERS[0]);
    expect(&program, &asked, &[3], &[3]);
    rig.machine.start(PROVIDERS[0]).unwrap();
    support::eventually("it is back", || program.providers()[0].1 & 2 != 0);
    expect(&program, &asked, &[1], &[1]);
    drop(program);
    rig.shutdown();
}

#[test]
fn two_primaries_and_the_second_is_never_called_unless_it_takes_any_name() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.misses(1, primary(1)),
                asked.knows(2, primary(2)),
                asked.knows(3, wildcard(3, &[(DOMAIN, Primary)])),
            ]
        },
        |_, program, asked, modules| {
            expect(program, asked, &[3], &[1, 3]);
            assert_eq!(modules[1].trace(), ["attach"]);
        },
    );
}

#[test]
fn a_switched_off_claim_is_called_last_if_it_takes_any_name_and_else_never() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.knows(1, module(1, &[(DOMAIN, Off)])),
                asked.misses(2, wildcard(2, &[(DOMAIN, Off)])),
                asked.misses(3, secondary(3)),
            ]
        },
        |_, program, asked, modules| {
            expect(program, asked, &[], &[3, 2]);
            assert_eq!(modules[0].trace(), ["attach"]);
        },
    );
}

#[test]
fn a_wildcard_provider_that_is_secondary_is_called_once_as_secondary() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.misses(1, wildcard(1, &[])),
                asked.misses(2, wildcard(2, &[(DOMAIN, Secondary)])),
                asked.misses(3, primary(3)),
            ]
        },
        |_, program, asked, _| expect(program, asked, &[], &[3, 2, 1]),
    );
}

#[test]
fn wildcard_providers_are_called_in_catalogue_order() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.misses(1, wildcard(1, &[])),
                asked.misses(2, wildcard(2, &[])),
                asked.misses(3, primary(3)),
            ]
        },
        |_, program, asked, _| {
            expect(program, asked, &[], &[3, 1, 2]);
            order(program, &[2, 3, 1]);
            expect(program, asked, &[], &[3, 2, 1]);
            assert_eq!(program.look_up("ann@example.org"), Err(NOT_FOUND));
            assert_eq!(asked.take(), [2, 1], "of a domain that nobody claims");
        },
    );
}

#[test]
fn no_provider_at_all() {
    in_one_driver_and_in_two(
        |_| Vec::new(),
        |_, program, asked, _| expect(program, asked, &[], &[]),
    );
    in_one_driver_and_in_two(
        |asked| vec![asked.knows(1, module(1, &[("example.org", Primary)]))],
        |_, program, asked, modules| {
            expect(program, asked, &[], &[]);
            assert_eq!(modules[0].trace(), ["attach"]);
        },
    );
}

#[test]
fn disabled_primary_then_the_second_claimant_becomes_primary() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.knows(1, primary(1)),
                asked.knows(2, primary(2)),
                asked.knows(3, secondary(3)),
            ]
        },
        |_, program, asked, _| {
            expect(program, asked, &[1], &[1]);
            enable(program, 1, false);
            expect(program, asked, &[2], &[2]);
            let changed = program.set(Operation::Register, ANN).unwrap();
            assert_eq!(changed.provider, Guid::from_u128(2));
            enable(program, 1, true);
            expect(program, asked, &[1], &[1]);
        },
    );
}

#[test]
fn non_authoritative_results_are_concatenated_past_one_that_fails_in_the_middle() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.knows(1, wildcard(1, &[])),
                asked.answers(2, secondary(2), Err(WsaCode::WSATRY_AGAIN)),
                asked.answers(3, primary(3), Ok(2)),
            ]
        },
        |_, program, asked, _| {
            let flags = LookupFlags::RETURN_ALL | LookupFlags::NON_AUTHORITATIVE;
            assert_eq!(program.look_up_with(ANN, flags), found(&[3, 3, 1]));
            assert_eq!(asked.take(), [3, 2, 1]);
        },
    );
}

#[test]
fn a_record_that_does_not_fit_does_not_advance_the_chain() {
    let long = "x".repeat(500);
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.misses(1, primary(1)),
                asked.answers_with(2, secondary(2), Ok(1), &long),
                asked.knows(3, secondary(3)),
            ]
        },
        |_, program, asked, modules| {
            let lookup = program.begin(ANN).unwrap();
            let none = LookupFlags::empty();
            for _ in 0..2 {
                let refused = program.next_within(lookup, none, 256).unwrap_err();
                assert_eq!(refused.0, WsaCode::WSAEFAULT);
                assert!(refused.1 > 256);
            }
            assert_eq!(program.next(lookup), Ok((ANN.to_owned(), 2)));
            assert_eq!(program.next(lookup), Err(WsaCode::WSA_E_NO_MORE));
            assert_eq!(program.end(lookup), WsaCode::NO_ERROR);
            assert_eq!(asked.take(), [1, 2]);
            assert_eq!(modules[2].trace(), ["attach"]);
        },
    );
}

#[test]
fn a_provider_that_dies_after_its_first_record_ends_the_look_up() {
    in_one_driver_and_in_two(
        |asked| vec![asked.answers(1, primary(1), Ok(2)), asked.knows(2, secondary(2))],
        |rig, program, asked, modules| {
            let lookup = program.begin(ANN).unwrap();
            assert_eq!(program.next(lookup), Ok((ANN.to_owned(), 1)));
            rig.stop(PROVIDERS[0]);
            assert_eq!(program.next(lookup), Err(NOT_FOUND), "told once");
            for _ in 0..2 {
                assert_eq!(program.next(lookup), Err(WsaCode::WSA_E_NO_MORE));
            }
            assert_eq!(asked.take(), [1], "tiers are not mixed");
            assert_eq!(modules[1].trace(), ["attach"]);
        },
    );
}

#[test]
fn a_query_that_names_a_provider_goes_there_whatever_it_claims() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.knows(1, primary(1)),
                asked.knows(2, module(2, &[("example.org", Primary)])),
            ]
        },
        |_, program, asked, _| {
            let look_up_at = |number: u128| {
                let query = QuerySet {
                    name: Some(Text::from_str(ANN).unwrap()),
                    provider: Some(Guid::from_u128(number)),
                    ..QuerySet::default()
                };
                let request = LookupRequest {
                    flags: LookupFlags::RETURN_ALL,
                    query,
                };
                let request = message(|out| request.write(out).unwrap());
                program::records(&program.request(ioctl::LOOKUP, &request, program::BUFFER))
            };
            assert_eq!(look_up_at(2), found(&[2]));
            assert_eq!(look_up_at(9), Err(WsaCode::WSAEINVAL), "unknown");
            assert_eq!(asked.take(), [2]);
            enable(program, 2, false);
            assert_eq!(look_up_at(2), Err(NOT_FOUND), "disabled");
            assert_eq!(asked.take(), [0_u8; 0]);
        },
    );
}

#[test]
fn a_reorder_during_an_open_look_up_is_for_the_next_one() {
    in_one_driver_and_in_two(
        |asked| {
            vec![
                asked.knows(1, wildcard(1, &[])),
                asked.knows(2, wildcard(2, &[])),
                asked.knows(3, wildcard(3, &[])),
            ]
        },
        |_, program, asked, _| {
            let flags = LookupFlags::RETURN_ALL | LookupFlags::NON_AUTHORITATIVE;
            let request = program::look_up_request(ANN, flags);
            let begun = program.request(ioctl::LOOKUP_BEGIN, &request, program::BUFFER);
            let reply = nsemail_contract::wire::Reply::parse(&begun).unwrap();
            let lookup = nsemail_contract::wire::BeginReply::read(&reply).unwrap().lookup;
            assert_eq!(program.next(lookup), Ok((ANN.to_owned(), 1)));
            order(program, &[3, 2, 1]);
            enable(program, 2, false);
            assert_eq!(program.next(lookup), Ok((ANN.to_owned(), 2)));
            assert_eq!(program.next(lookup), Ok((ANN.to_owned(), 3)));
            assert_eq!(program.next(lookup), Err(WsaCode::WSA_E_NO_MORE));
            assert_eq!(asked.take(), [1, 2, 3]);
            assert_eq!(program.look_up_with(ANN, flags), found(&[3, 1]));
            assert_eq!(asked.take(), [3, 1]);
        },
    );
}

#[test]
fn a_registration_falls_to_the_secondary_and_a_deletion_sweeps_when_the_primary_is_back() {
    let (first, second) = (primary(1).build(), secondary(2).build());
    let rig = Rig::installed(vec![first.clone()], vec![second.clone()]);
    for service in [PROVIDERS[0], PROVIDERS[1], CLIENT_SERVICE] {
        rig.machine.start(service).unwrap();
    }
    let program = rig.program();
    rig.stop(PROVIDERS[0]);
    let registered = program.set(Operation::Register, ANN).unwrap();
    assert_eq!(registered.provider, second.guid);
    assert_eq!((first.count("set"), second.count("set")), (0, 1));
    rig.machine.start(PROVIDERS[0]).unwrap();
    support::eventually("the primary is back", || program.providers()[0].1 & 2 != 0);
    let deleted = program.set(Operation::Delete, ANN).unwrap();
    assert_eq!(deleted.providers, 2);
    assert_eq!((first.count("set"), second.count("set")), (1, 2));
    drop(program);
    rig.shutdown();
}

#[test]
fn a_stub_of_set_service_falls_through() {
    in_one_driver_and_in_two(
        |_| {
            let stub = primary(1).on_set(|_, _| WsaCode::WSAEOPNOTSUPP.into());
            vec![stub, secondary(2)]
        },
        |_, program, _, modules| {
            let registered = program.set(Operation::Register, ANN).unwrap();
            assert_eq!(registered.provider, modules[1].guid);
            assert_eq!(modules[0].trace(), ["attach", "startup", "set"]);
            assert_eq!(modules[1].trace(), ["attach", "startup", "set"]);
        },
    );
}

#[test]
fn a_stub_of_startup_is_not_unavailable() {
    in_one_driver_and_in_two(
        |asked| {
            let stub = primary(1).on_startup(|| WsaCode::WSAEOPNOTSUPP);
            vec![asked.knows(1, stub), asked.knows(2, secondary(2))]
        },
        |_, program, asked, _| expect(program, asked, &[1], &[1]),
    );
}
