//! Which names each domain has: a listing of one domain goes by this, and so costs what it shows.
//!
//! A domain has the versions themselves, one after the other, and each version knows its place there ([`Packed::mark`]).
//! So a listing goes from one to the next without looking any up, and a change finds the place without searching.

use hashbrown::HashTable;
use pool_alloc::{Allocator, OutOfMemory, Vec};
use pool_table::{Packed, prefetch};

use super::key::DomainHash;

/// The domains of a store's objects.
pub(super) struct Domains<A: Allocator + Clone> {
    /// One without objects is there for as long as room is reserved in it, and until it is swept.
    table: HashTable<Domain<A>, A>,
    alloc: A,
}

struct Domain<A: Allocator> {
    hash: DomainHash,
    /// How many objects room was last reserved for.
    promised: u32,
    /// The present versions of its objects, in no order.
    objects: Vec<Packed<A>, A>,
}

impl<A: Allocator> Domain<A> {
    /// Adds an object, for which there is room.
    fn push(&mut self, object: Packed<A>) {
        // A domain has fewer objects than the store, whose number has 32 bits.
        object.set_mark(u32::try_from(self.objects.len()).unwrap_or(u32::MAX));
        // It does not fail, as there is room.
        let _ = self.objects.push_within_capacity(object);
    }
}

impl<A: Allocator + Clone> Domains<A> {
    pub(super) fn new_in(alloc: A) -> Self {
        Self {
            table: HashTable::new_in(alloc.clone()),
            alloc,
        }
    }

    /// Number of domains.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Sees to it that an object of each of these domains, some of which may be the same, can be inserted without
    /// memory. For a domain that gets none, [`Self::sweep`] gives that up.
    pub(super) fn reserve(
        &mut self,
        domains: impl Iterator<Item = DomainHash> + Clone,
    ) -> Result<(), OutOfMemory> {
        for hash in domains.clone() {
            if let Some(domain) = self.find_mut(hash) {
                domain.promised = 0;
                continue;
            }
            self.try_add(hash)?;
        }
        for hash in domains {
            if let Some(domain) = self.find_mut(hash) {
                domain.promised = domain.promised.saturating_add(1);
                let more = domain.promised as usize;
                // Most domains have one object, and need no room for another one.
                if domain.objects.is_empty() {
                    domain.objects.try_reserve_exact(more)?;
                } else {
                    domain.objects.try_reserve(more)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a domain without objects, which was not there.
    fn try_add(&mut self, hash: DomainHash) -> Result<(), OutOfMemory> {
        self.table
            .try_reserve(1, |domain| place(domain.hash))
            .map_err(|_| OutOfMemory)?;
        let domain = Domain {
            hash,
            promised: 0,
            objects: Vec::new_in(self.alloc.clone()),
        };
        self.table
            .insert_unique(place(hash), domain, |domain| place(domain.hash));
        Ok(())
    }

    /// A new object of the domain is there, for which room was not reserved.
    ///
    /// # Errors
    /// No memory; the object is not there.
    pub(super) fn try_insert(&mut self, hash: DomainHash, object: Packed<A>) -> Result<(), OutOfMemory> {
        if let Some(domain) = self.find_mut(hash) {
            domain.objects.try_reserve(1)?;
            domain.push(object);
            return Ok(());
        }
        // Most domains have one object, and need no room for another one.
        let mut objects = Vec::new_in(self.alloc.clone());
        objects.try_reserve_exact(1)?;
        self.try_add(hash)?;
        if let Some(domain) = self.find_mut(hash) {
            domain.objects = objects;
            domain.push(object);
        }
        Ok(())
    }

    /// A new object of the domain is there, for which room was reserved.
    pub(super) fn insert(&mut self, domain: DomainHash, object: Packed<A>) {
        if let Some(domain) = self.find_mut(domain) {
            domain.push(object);
        }
    }

    /// Another version of an object is there, in the place of the one with that mark.
    pub(super) fn replace(&mut self, domain: DomainHash, mark: u32, object: Packed<A>) {
        object.set_mark(mark);
        let domain = self.find_mut(domain);
        if let Some(place) = domain.and_then(|domain| domain.objects.get_mut(mark as usize)) {
            *place = object;
        }
    }

    /// The object whose present version has that mark is gone. A domain without objects stays until it is swept, as the
    /// room in it may be reserved.
    pub(super) fn remove(&mut self, domain: DomainHash, mark: u32) {
        let Some(domain) = self.find_mut(domain) else {
            return;
        };
        domain.objects.swap_remove(mark as usize);
        // The last one stands there now.
        if let Some(moved) = domain.objects.get(mark as usize) {
            moved.set_mark(mark);
        }
    }

    /// Forgets the domain if it has no objects.
    pub(super) fn sweep(&mut self, domain: DomainHash) {
        let found = self
            .table
            .find_entry(place(domain), |present| present.hash == domain);
        if let Ok(occupied) = found
            && occupied.get().objects.is_empty()
        {
            drop(occupied.remove());
        }
    }

    /// The domain's objects, in no order.
    pub(super) fn objects(&self, domain: DomainHash) -> &[Packed<A>] {
        let found = self.table.find(place(domain), |present| present.hash == domain);
        found.map_or(&[], |domain| &domain.objects)
    }

    /// Has the places brought near that further objects of these domains will have.
    pub(super) fn bring(&self, domains: impl Iterator<Item = DomainHash>) {
        // The processor looks for several domains at once, as none depends on the one before.
        for domain in domains {
            prefetch(self.objects(domain).as_ptr_range().end);
        }
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
    }

    fn find_mut(&mut self, hash: DomainHash) -> Option<&mut Domain<A>> {
        self.table.find_mut(place(hash), |domain| domain.hash == hash)
    }
}

/// Where a domain is looked for.
#[expect(clippy::cast_possible_truncation, reason = "half of it is meant")]
const fn place(hash: DomainHash) -> u64 {
    hash as u64
}
