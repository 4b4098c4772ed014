//! The candidate chain: the providers that are asked about one name, in the order in which they are asked.
//!
//! For a name's domain the chain is: the primary provider (the first in catalogue order that claims the domain as
//! primary), then the secondary ones in catalogue order, then the wildcard providers in catalogue order. A wildcard
//! provider that claims the domain as secondary is asked as secondary only. One whose claim was switched off, or whose
//! primary claim was ignored because another provider came first, counts as making no claim. So no provider is asked
//! twice.
//!
//! Domains match exactly, after folding: a claim of `example.com` says nothing about `mail.example.com`, because a
//! provider must not be able to capture the mail of a domain that was delegated away.

use allocator_api2::alloc::Allocator;
use pool_alloc::Arc;

use super::entry::Entry;
use super::snapshot::{Route, Snapshot};

/// Why a provider is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the first to claim the domain as primary.
    Primary,
    /// It claims the domain as secondary.
    Secondary,
    /// It takes any name, and claims nothing about this domain.
    Wildcard,
    /// It takes any name, and its claim to this domain is switched off.
    WildcardSwitchedOff,
    /// It takes any name, and its claim as primary is ignored because another provider's came first.
    WildcardClaimIgnored,
    /// The query names it.
    Named,
    /// The query asks every provider for the names that it would publish.
    PreferredNames,
}

/// Why a provider is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// It is disabled.
    Disabled,
    /// It claims nothing about this domain.
    NoClaim,
    /// Its claim to this domain is switched off.
    SwitchedOff,
    /// Its claim as primary is ignored because another provider's came first.
    ClaimIgnored,
}

/// What part a provider has in the chain for one domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is asked.
    Asked(Reason),
    /// It is not asked.
    Skipped(Excuse),
}

/// One place of a chain, within its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Index of the entry in the snapshot.
    pub(super) entry: usize,
    pub(super) reason: Reason,
}

/// The chain for one query. It keeps the snapshot that it was taken from.
#[derive(Debug)]
pub struct Chain<A: Allocator + Clone> {
    pub(super) snapshot: Arc<Snapshot<A>, A>,
    pub(super) route: Route,
}

/// One provider of a chain.
#[derive(Debug)]
pub struct Candidate<'a, A: Allocator> {
    /// The catalogue's entry.
    pub entry: &'a Entry<A>,
    /// Why it is in the chain.
    pub reason: Reason,
}

impl<A: Allocator + Clone> Chain<A> {
    fn members(&self) -> &[Member] {
        self.snapshot.members(&self.route)
    }

    /// How many providers the chain has; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a chain is never empty")]
    pub fn len(&self) -> usize {
        self.members().len()
    }

    /// The provider at a place of the chain.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<Candidate<'_, A>> {
        let member = self.members().get(position)?;
        let entry = self.snapshot.entries().get(member.entry)?;
        Some(Candidate {
            entry,
            reason: member.reason,
        })
    }

    /// The providers in order.
    pub fn iter(&self) -> impl Iterator<Item = Candidate<'_, A>> {
        (0..self.len()).map_while(|position| self.get(position))
    }
}
