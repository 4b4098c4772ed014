//! Why each provider is asked about a name, or is not.

use allocator_api2::alloc::Allocator;
use nsemail_contract::Domain;
use nsemail_contract::wire::ChainPart;
use pool_alloc::{Arc, OutOfMemory, Vec};

use super::chain::{Excuse, Reason, Role};
use super::entry::Entry;
use super::snapshot::{Selection, Snapshot};

/// Each provider of a catalogue with its part in the chain for one domain. It keeps the catalogue.
#[derive(Debug)]
pub struct Explanation<A: Allocator + Clone> {
    snapshot: Arc<Snapshot<A>, A>,
    /// Index of the entry, part.
    parts: Vec<(usize, ChainPart), A>,
}

impl<A: Allocator + Clone> Explanation<A> {
    /// Explains the chain that a look-up for the domain would take now. Nobody is asked.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn try_new(
        snapshot: &Arc<Snapshot<A>, A>,
        domain: Domain<'_>,
        alloc: A,
    ) -> Result<Self, OutOfMemory> {
        let mut parts = Vec::try_with_capacity_in(snapshot.entries().len(), alloc)?;
        // Those that are asked are taken from the chain itself, so that what is told is what is done.
        if let Ok(chain) = Snapshot::chain(snapshot, Selection::Domain(domain)) {
            for member in chain.iter() {
                let provider = member.entry.provider();
                let known = snapshot
                    .entries()
                    .iter()
                    .position(|entry| entry.provider() == provider);
                if let Some(index) = known {
                    parts.try_push((index, part(Role::Asked(member.reason))))?;
                }
            }
        }
        for (index, (_, role)) in snapshot.roles(domain).enumerate() {
            if matches!(role, Role::Skipped(_)) {
                parts.try_push((index, part(role)))?;
            }
        }
        Ok(Self {
            snapshot: snapshot.clone(),
            parts,
        })
    }

    /// The providers that are asked, in the order in which they are asked, then the others in catalogue order; each
    /// with its place in the catalogue.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Entry<A>, ChainPart)> {
        self.parts.iter().filter_map(|&(index, part)| {
            let entry = self.snapshot.entries().get(index)?;
            Some((index, &**entry, part))
        })
    }
}

const fn part(role: Role) -> ChainPart {
    match role {
        Role::Asked(Reason::Secondary) => ChainPart::Secondary,
        Role::Asked(Reason::Wildcard) => ChainPart::Wildcard,
        Role::Asked(Reason::WildcardSwitchedOff) => ChainPart::WildcardSwitchedOff,
        Role::Asked(Reason::WildcardClaimIgnored) => ChainPart::WildcardClaimIgnored,
        // The last two are no reasons in the chain of a domain.
        Role::Asked(Reason::Primary | Reason::Named | Reason::PreferredNames) => ChainPart::Primary,
        Role::Skipped(Excuse::Disabled) => ChainPart::Disabled,
        Role::Skipped(Excuse::NoClaim) => ChainPart::NoClaim,
        Role::Skipped(Excuse::SwitchedOff) => ChainPart::SwitchedOff,
        Role::Skipped(Excuse::ClaimIgnored) => ChainPart::ClaimIgnored,
    }
}

#[cfg(test)]
mod tests;
