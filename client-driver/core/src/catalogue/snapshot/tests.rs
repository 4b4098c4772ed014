//! The candidate chain: who is asked, in which order, and why.

use std::vec::Vec as StdVec;

use allocator_api2::alloc::Global;
use nsemail_contract::WsaCode;
use nsemail_contract::blob::Level;
use pool_alloc::Arc;
use proptest::prelude::*;

use super::super::testing::{Provider, asked, catalogue, guid, letter, provider, roles};
use super::super::{Excuse, Reason, Role};
use super::*;

#[test]
fn primary_then_secondaries_then_wildcards_each_in_catalogue_order() {
    let catalogue = catalogue(&[
        provider('w').wildcard(),
        provider('s').secondary("example.com"),
        provider('p').primary("example.com"),
        provider('t').secondary("example.com"),
        provider('x').wildcard(),
        provider('n').primary("example.org"),
    ]);
    assert_eq!(
        asked(&catalogue, "example.com"),
        [
            ('p', Reason::Primary),
            ('s', Reason::Secondary),
            ('t', Reason::Secondary),
            ('w', Reason::Wildcard),
            ('x', Reason::Wildcard),
        ]
    );
}

#[test]
fn of_two_primary_claims_the_first_in_catalogue_order_counts_and_the_other_is_ignored() {
    let catalogue = catalogue(&[
        provider('a').primary("example.com"),
        provider('b').primary("example.com"),
        provider('c').primary("example.com").wildcard(),
    ]);
    assert_eq!(
        asked(&catalogue, "example.com"),
        [('a', Reason::Primary), ('c', Reason::WildcardClaimIgnored)]
    );
    assert_eq!(
        roles(&catalogue, "example.com")[1],
        ('b', Role::Skipped(Excuse::ClaimIgnored))
    );
}

#[test]
fn a_switched_off_claim_is_asked_last_if_wildcard_and_else_never() {
    let catalogue = catalogue(&[
        provider('n').off("example.com"),
        provider('w').off("example.com").wildcard(),
        provider('s').secondary("example.com"),
    ]);
    assert_eq!(
        asked(&catalogue, "example.com"),
        [('s', Reason::Secondary), ('w', Reason::WildcardSwitchedOff)]
    );
    assert_eq!(
        roles(&catalogue, "example.com")[0],
        ('n', Role::Skipped(Excuse::SwitchedOff))
    );
}

#[test]
fn a_wildcard_provider_that_is_secondary_for_the_domain_is_asked_once_as_secondary() {
    let catalogue = catalogue(&[
        provider('w').secondary("example.com").wildcard(),
        provider('v').wildcard(),
    ]);
    assert_eq!(
        asked(&catalogue, "example.com"),
        [('w', Reason::Secondary), ('v', Reason::Wildcard)]
    );
    assert_eq!(
        asked(&catalogue, "elsewhere.org"),
        [('w', Reason::Wildcard), ('v', Reason::Wildcard)]
    );
}

#[test]
fn when_the_primary_is_disabled_the_second_claimant_becomes_primary() {
    let catalogue = catalogue(&[
        provider('a').primary("example.com").disabled(),
        provider('b').primary("example.com"),
        provider('c').wildcard().disabled(),
    ]);
    assert_eq!(asked(&catalogue, "example.com"), [('b', Reason::Primary)]);
    assert_eq!(
        roles(&catalogue, "example.com")[0],
        ('a', Role::Skipped(Excuse::Disabled))
    );
}

#[test]
fn domains_match_exactly_after_folding() {
    let catalogue = catalogue(&[provider('p').primary("Example.COM.")]);
    assert_eq!(asked(&catalogue, "eXample.com"), [('p', Reason::Primary)]);
    assert_eq!(asked(&catalogue, "EXAMPLE.com."), [('p', Reason::Primary)]);
    assert_eq!(asked(&catalogue, "mail.example.com"), []);
    assert_eq!(asked(&catalogue, "com"), []);
}

#[test]
fn without_any_provider_the_answer_is_not_found() {
    let nobody = catalogue(&[]);
    let somebody = catalogue(&[provider('p').primary("example.com")]);
    for (catalogue, selection) in [
        (&nobody, Selection::PreferredNames),
        (
            &nobody,
            Selection::Domain(super::super::testing::domain("example.com")),
        ),
        (
            &somebody,
            Selection::Domain(super::super::testing::domain("example.org")),
        ),
    ] {
        assert_eq!(
            Snapshot::chain(catalogue, selection).err(),
            Some(WsaCode::WSASERVICE_NOT_FOUND)
        );
    }
}

#[test]
fn a_query_that_names_a_provider_goes_there_without_regard_to_the_domain() {
    let catalogue = catalogue(&[provider('a').primary("example.com"), provider('d').disabled()]);
    let named = Snapshot::chain(&catalogue, Selection::Provider(guid(b'a'))).unwrap();
    let members: StdVec<_> = named
        .iter()
        .map(|member| (letter(member.entry), member.reason))
        .collect();
    assert_eq!(members, [('a', Reason::Named)]);
    let unknown = Snapshot::chain(&catalogue, Selection::Provider(guid(b'z')));
    assert_eq!(unknown.err(), Some(WsaCode::WSAEINVAL));
    let inactive = Snapshot::chain(&catalogue, Selection::Provider(guid(b'd')));
    assert_eq!(inactive.err(), Some(WsaCode::WSASERVICE_NOT_FOUND));
}

#[test]
fn preferred_names_are_asked_of_every_enabled_provider() {
    let catalogue = catalogue(&[provider('a'), provider('b').disabled(), provider('c').wildcard()]);
    let chain = Snapshot::chain(&catalogue, Selection::PreferredNames).unwrap();
    let members: StdVec<_> = chain.iter().map(|member| letter(member.entry)).collect();
    assert_eq!(members, ['a', 'c']);
}

#[test]
fn an_open_chain_keeps_the_catalogue_that_it_was_taken_from() {
    let a = provider('a').primary("example.com");
    let before = catalogue(&[a.clone(), provider('b').secondary("example.com")]);
    let chain = super::super::testing::chain(&before, "example.com");
    let moved = Arc::try_new_in(a.entry(9), Global).unwrap();
    let after = Arc::try_new_in(before.with(moved, Global).unwrap(), Global).unwrap();
    drop(before);
    assert_eq!(
        chain
            .iter()
            .map(|member| letter(member.entry))
            .collect::<std::string::String>(),
        "ab"
    );
    assert_eq!(
        after
            .entries()
            .iter()
            .map(|entry| letter(entry))
            .collect::<std::string::String>(),
        "ba"
    );
    assert_eq!(after.next_order(), 10);
}

fn any_provider(name: u8) -> impl Strategy<Value = Provider> {
    let level = prop_oneof![Just(Level::None), Just(Level::Secondary), Just(Level::Primary)];
    let claims = [prop::option::of(level.clone()), prop::option::of(level)];
    (claims, any::<bool>(), prop::bool::weighted(0.8)).prop_map(move |(levels, wildcard, enabled)| {
        let claims = ["example.com", "example.org"].into_iter().zip(levels);
        let claims = claims
            .filter_map(|(domain, level)| level.map(|level| (domain, level)))
            .collect();
        Provider {
            name,
            wildcard,
            enabled,
            claims,
        }
    })
}

const fn tier(reason: Reason) -> u8 {
    match reason {
        Reason::Primary => 0,
        Reason::Secondary => 1,
        _ => 2,
    }
}

proptest! {
    #[test]
    fn no_provider_is_asked_twice_tiers_come_in_order_and_there_is_at_most_one_primary(
        providers in (0_u8..8).prop_flat_map(|count| (b'a'..b'a' + count).map(any_provider).collect::<StdVec<_>>()),
        domain in prop::sample::select(&["example.com", "EXAMPLE.ORG", "other.net"][..]),
    ) {
        let catalogue = catalogue(&providers);
        let chain = asked(&catalogue, domain);

        let places: StdVec<(u8, char)> = chain.iter().map(|&(name, reason)| (tier(reason), name)).collect();
        // The letters are in catalogue order, so strictly ascending means: tiers in order, catalogue order within,
        // and nobody twice within a tier.
        prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
        let mut names: StdVec<char> = chain.iter().map(|&(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), chain.len());
        prop_assert!(chain.iter().filter(|(_, reason)| *reason == Reason::Primary).count() <= 1);

        // The chain is exactly what the roles, worked out one by one, say.
        let mut by_role: StdVec<(char, Reason)> = roles(&catalogue, domain)
            .into_iter()
            .filter_map(|(name, role)| match role {
                Role::Asked(reason) => Some((name, reason)),
                Role::Skipped(_) => None,
            })
            .collect();
        by_role.sort_by_key(|&(name, reason)| (tier(reason), name));
        prop_assert_eq!(chain, by_role);
    }
}
