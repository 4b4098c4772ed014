//! What is told is what is done.

use std::vec::Vec as StdVec;

use allocator_api2::alloc::Global;
use nsemail_contract::wire::ChainPart;

use super::super::testing::{asked, catalogue, domain, letter, provider};
use super::*;

fn explained(catalogue: &Arc<Snapshot<Global>, Global>, of: &str) -> StdVec<(usize, char, ChainPart)> {
    let explanation = Explanation::try_new(catalogue, domain(of), Global).unwrap();
    let parts = explanation.iter();
    parts
        .map(|(order, entry, part)| (order, letter(entry), part))
        .collect()
}

#[test]
fn those_that_are_asked_come_first_in_the_order_of_the_chain_and_the_others_say_why_not() {
    let catalogue = catalogue(&[
        provider('d').primary("example.com").disabled(),
        provider('w').wildcard(),
        provider('s').secondary("example.com"),
        provider('p').primary("example.com"),
        provider('q').primary("example.com"),
        provider('v').primary("example.com").wildcard(),
        provider('x').off("example.com").wildcard(),
        provider('o').off("example.com"),
        provider('n').primary("example.org"),
    ]);
    let told = explained(&catalogue, "Example.COM.");
    assert_eq!(
        told,
        [
            (3, 'p', ChainPart::Primary),
            (2, 's', ChainPart::Secondary),
            (1, 'w', ChainPart::Wildcard),
            (5, 'v', ChainPart::WildcardClaimIgnored),
            (6, 'x', ChainPart::WildcardSwitchedOff),
            (0, 'd', ChainPart::Disabled),
            (4, 'q', ChainPart::ClaimIgnored),
            (7, 'o', ChainPart::SwitchedOff),
            (8, 'n', ChainPart::NoClaim),
        ]
    );
    let told: StdVec<char> = told.iter().filter(|it| it.2.is_asked()).map(|it| it.1).collect();
    let done: StdVec<char> = asked(&catalogue, "example.com").iter().map(|it| it.0).collect();
    assert_eq!(told, done);
}

#[test]
fn without_a_chain_every_provider_says_why_it_is_not_asked() {
    let catalogue = catalogue(&[
        provider('n').primary("example.org"),
        provider('w').wildcard().disabled(),
    ]);
    assert_eq!(
        explained(&catalogue, "example.com"),
        [(0, 'n', ChainPart::NoClaim), (1, 'w', ChainPart::Disabled)]
    );
}
