//! The catalogue at one moment, as an immutable value, with the chains of all its domains worked out.
//!
//! Chains are computed when the catalogue changes, which is rare, so that a look-up finds its chain by one binary
//! search and allocates nothing. Domains come from installation blobs, which only an administrator installs; a name
//! to look up meets nothing but comparisons here, so it cannot be chosen to be slow.

use core::cmp::Ordering;

use allocator_api2::alloc::Allocator;
use nsemail_contract::blob::Level;
use nsemail_contract::{Domain, Guid, WsaCode};
use pool_alloc::{Arc, OutOfMemory, Vec};

use super::chain::{Chain, Excuse, Member, Reason, Role};
use super::entry::Entry;

/// What a query says about who should answer it.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// The provider with this GUID and no other (`lpNSProviderId`).
    Provider(Guid),
    /// The providers for this domain.
    Domain(Domain<'a>),
    /// Every provider, for the names that it would publish (`LUP_RETURN_PREFERRED_NAMES`).
    PreferredNames,
}

/// Where in a snapshot a chain's members are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Route {
    /// A domain that somebody claims: index into the domains.
    Claimed(usize),
    /// A domain that nobody claims.
    Unclaimed,
    /// All enabled providers.
    Everyone,
    /// One provider.
    One([Member; 1]),
}

/// A domain that somebody claims, and its chain.
#[derive(Debug)]
struct Claimed<A: Allocator> {
    domain: Vec<u16, A>,
    members: Vec<Member, A>,
}

/// All installed providers in catalogue order. See the module's description.
#[derive(Debug)]
pub struct Snapshot<A: Allocator + Clone> {
    entries: Vec<Arc<Entry<A>, A>, A>,
    /// Sorted by the domain's length, and then by the domain.
    claimed: Vec<Claimed<A>, A>,
    unclaimed: Vec<Member, A>,
    everyone: Vec<Member, A>,
}

impl<A: Allocator + Clone> Snapshot<A> {
    /// A catalogue without entries.
    #[must_use]
    pub fn empty(alloc: A) -> Self {
        Self {
            entries: Vec::new_in(alloc.clone()),
            claimed: Vec::new_in(alloc.clone()),
            unclaimed: Vec::new_in(alloc.clone()),
            everyone: Vec::new_in(alloc),
        }
    }

    /// A catalogue of these entries; their `order` decides, and between equals their GUID. Of two entries with the
    /// same GUID the first in that order counts.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn try_new(entries: Vec<Arc<Entry<A>, A>, A>, alloc: A) -> Result<Self, OutOfMemory> {
        let rank = |entry: &Arc<Entry<A>, A>| (entry.order(), entry.provider());
        let mut unique: Vec<Arc<Entry<A>, A>, A> = Vec::try_with_capacity_in(entries.len(), alloc.clone())?;
        // Put in one by one: they are few, and a sort of the library would be a twentieth of the driver's code.
        for entry in entries {
            let same = unique
                .iter()
                .position(|known| known.provider() == entry.provider());
            match same.and_then(|same| Some((same, unique.get(same)?))) {
                Some((_, known)) if rank(known) <= rank(&entry) => continue,
                Some((same, _)) => drop(unique.remove(same)),
                None => {}
            }
            let place = unique.partition_point(|known| rank(known) < rank(&entry));
            unique.try_insert(place, entry)?;
        }
        let mut snapshot = Self {
            entries: unique,
            ..Self::empty(alloc.clone())
        };
        snapshot.route(alloc)?;
        Ok(snapshot)
    }

    /// This catalogue with one entry added or, if its provider is installed already, put in the old one's place.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn with(&self, entry: Arc<Entry<A>, A>, alloc: A) -> Result<Self, OutOfMemory> {
        let others = self
            .entries
            .iter()
            .filter(|known| known.provider() != entry.provider());
        let mut entries = Vec::try_with_capacity_in(self.entries.len().saturating_add(1), alloc.clone())?;
        entries.try_extend(others.cloned())?;
        entries.try_push(entry)?;
        Self::try_new(entries, alloc)
    }

    /// This catalogue without the entry of a provider.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn without(&self, provider: Guid, alloc: A) -> Result<Self, OutOfMemory> {
        let others = self.entries.iter().filter(|known| known.provider() != provider);
        let mut entries = Vec::try_with_capacity_in(self.entries.len(), alloc.clone())?;
        entries.try_extend(others.cloned())?;
        Self::try_new(entries, alloc)
    }

    /// This catalogue in another order; `None` if `order` does not name every provider exactly once.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn ordered(
        &self,
        order: impl ExactSizeIterator<Item = Guid>,
        alloc: A,
    ) -> Result<Option<Self>, OutOfMemory> {
        if order.len() != self.entries.len() {
            return Ok(None);
        }
        let mut entries: Vec<Arc<Entry<A>, A>, A> = Vec::try_with_capacity_in(order.len(), alloc.clone())?;
        for (place, provider) in (0_u32..).zip(order) {
            let Some(known) = self.entry(provider) else {
                return Ok(None);
            };
            if entries.iter().any(|listed| listed.provider() == provider) {
                return Ok(None);
            }
            let moved = known.changed(known.enabled(), place, alloc.clone())?;
            entries.try_push(Arc::try_new_in(moved, alloc.clone())?)?;
        }
        Self::try_new(entries, alloc).map(Some)
    }

    /// The entries in catalogue order.
    #[must_use]
    pub fn entries(&self) -> &[Arc<Entry<A>, A>] {
        &self.entries
    }

    /// The entry of a provider.
    #[must_use]
    pub fn entry(&self, provider: Guid) -> Option<&Arc<Entry<A>, A>> {
        self.entries.iter().find(|entry| entry.provider() == provider)
    }

    /// The `order` that puts a new entry last.
    #[must_use]
    pub fn next_order(&self) -> u32 {
        self.entries
            .last()
            .map_or(0, |last| last.order().saturating_add(1))
    }

    /// The chain for a query.
    ///
    /// # Errors
    /// `WSAEINVAL` for a provider that is not installed, `WSASERVICE_NOT_FOUND` for one that is disabled and for a
    /// chain without any provider.
    pub fn chain(this: &Arc<Self, A>, selection: Selection<'_>) -> Result<Chain<A>, WsaCode> {
        let route = this.choose(selection)?;
        Ok(Chain {
            snapshot: this.clone(),
            route,
        })
    }

    /// Where the members of the chain for a query are; the errors are those of [`Self::chain`].
    pub(super) fn choose(&self, selection: Selection<'_>) -> Result<Route, WsaCode> {
        let route = match selection {
            Selection::Provider(provider) => {
                let found = self
                    .entries
                    .iter()
                    .enumerate()
                    .find(|(_, entry)| entry.provider() == provider);
                let (index, entry) = found.ok_or(WsaCode::WSAEINVAL)?;
                if !entry.enabled() {
                    return Err(WsaCode::WSASERVICE_NOT_FOUND);
                }
                Route::One([Member {
                    entry: index,
                    reason: Reason::Named,
                }])
            }
            Selection::Domain(domain) => {
                let order = |claimed: &Claimed<A>| {
                    let units = domain.key_units();
                    let lengths = claimed.domain.len().cmp(&units.len());
                    lengths.then_with(|| claimed.domain.iter().copied().cmp(units))
                };
                self.claimed
                    .binary_search_by(order)
                    .map_or(Route::Unclaimed, Route::Claimed)
            }
            Selection::PreferredNames => Route::Everyone,
        };
        if self.members(&route).is_empty() {
            return Err(WsaCode::WSASERVICE_NOT_FOUND);
        }
        Ok(route)
    }

    /// What part each provider has in the chain for a domain, in catalogue order: those that are asked and those
    /// that are not.
    pub fn roles(&self, domain: Domain<'_>) -> impl Iterator<Item = (&Entry<A>, Role)> {
        let primary = self
            .entries
            .iter()
            .filter(|entry| entry.enabled())
            .find(|entry| entry.level(domain) == Some(Level::Primary))
            .map(|entry| entry.provider());
        self.entries.iter().map(move |entry| {
            let first = primary == Some(entry.provider());
            (&**entry, role(entry, entry.level(domain), first))
        })
    }

    pub(super) fn members<'a>(&'a self, route: &'a Route) -> &'a [Member] {
        match route {
            Route::Claimed(index) => self.claimed.get(*index).map_or(&[], |claimed| &claimed.members),
            Route::Unclaimed => &self.unclaimed,
            Route::Everyone => &self.everyone,
            Route::One(member) => member,
        }
    }

    /// Works out all chains.
    fn route(&mut self, alloc: A) -> Result<(), OutOfMemory> {
        for (entry, installed) in self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.enabled())
        {
            self.everyone.try_push(Member {
                entry,
                reason: Reason::PreferredNames,
            })?;
            if installed.wildcard() {
                self.unclaimed.try_push(Member {
                    entry,
                    reason: Reason::Wildcard,
                })?;
            }
        }

        let mut claimed = Vec::new_in(alloc.clone());
        let mut claims: Vec<(&[u16], usize, Level), A> = Vec::new_in(alloc.clone());
        for (index, entry) in self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.enabled())
        {
            let of_entry = entry
                .claims()
                .iter()
                .map(|claim| (claim.domain(), index, claim.level()));
            claims.try_extend(of_entry)?;
        }
        claims.sort_unstable_by(|a, b| {
            let domains = a.0.len().cmp(&b.0.len()).then_with(|| a.0.cmp(b.0));
            domains.then_with(|| a.1.cmp(&b.1))
        });

        for claims in claims.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(domain, ..)) = claims.first() else {
                continue;
            };
            let members = self.members_for(claims, alloc.clone())?;
            let domain = Vec::try_from_slice_in(domain, alloc.clone())?;
            claimed.try_push(Claimed { domain, members })?;
        }
        self.claimed = claimed;
        Ok(())
    }

    /// The chain for one domain, whose claims are given in catalogue order.
    fn members_for(
        &self,
        claims: &[(&[u16], usize, Level)],
        alloc: A,
    ) -> Result<Vec<Member, A>, OutOfMemory> {
        let primary = claims
            .iter()
            .find(|claim| claim.2 == Level::Primary)
            .map(|claim| claim.1);
        let mut members = Vec::new_in(alloc);
        if let Some(entry) = primary {
            members.try_push(Member {
                entry,
                reason: Reason::Primary,
            })?;
        }
        for &(_, entry, _) in claims.iter().filter(|claim| claim.2 == Level::Secondary) {
            members.try_push(Member {
                entry,
                reason: Reason::Secondary,
            })?;
        }
        // Both lists are in catalogue order, so one pass over both finds each wildcard provider's claim.
        let mut claims = claims.iter().peekable();
        for wildcard in &self.unclaimed {
            let mut level = None;
            while let Some(&&(_, entry, claimed)) = claims.peek() {
                match entry.cmp(&wildcard.entry) {
                    Ordering::Less => {}
                    Ordering::Equal => level = Some(claimed),
                    Ordering::Greater => break,
                }
                claims.next();
            }
            let Some(installed) = self.entries.get(wildcard.entry) else {
                continue;
            };
            if let Role::Asked(reason) = role(installed, level, primary == Some(wildcard.entry))
                && !matches!(reason, Reason::Primary | Reason::Secondary)
            {
                members.try_push(Member {
                    entry: wildcard.entry,
                    reason,
                })?;
            }
        }
        Ok(members)
    }
}

/// The part of a provider that claims a domain at `level`, and whether its claim as primary is the first.
const fn role<A: Allocator + Clone>(entry: &Entry<A>, level: Option<Level>, first: bool) -> Role {
    if !entry.enabled() {
        return Role::Skipped(Excuse::Disabled);
    }
    match (level, entry.wildcard()) {
        (Some(Level::Primary), _) if first => Role::Asked(Reason::Primary),
        (Some(Level::Secondary), _) => Role::Asked(Reason::Secondary),
        (None, true) => Role::Asked(Reason::Wildcard),
        (Some(Level::None), true) => Role::Asked(Reason::WildcardSwitchedOff),
        (Some(Level::Primary), true) => Role::Asked(Reason::WildcardClaimIgnored),
        (None, false) => Role::Skipped(Excuse::NoClaim),
        (Some(Level::None), false) => Role::Skipped(Excuse::SwitchedOff),
        (Some(Level::Primary), false) => Role::Skipped(Excuse::ClaimIgnored),
    }
}

#[cfg(test)]
mod tests;
