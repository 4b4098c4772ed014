//! Which names each domain has: a listing of one domain goes by this, and so costs what it shows.
//!
//! Only hashes are kept, of the domains and of their names. The store's table finds the objects by them, and the
//! reader tells apart what shares a hash by accident.

use hashbrown::HashTable;
use pool_alloc::{Allocator, OutOfMemory};

/// The domains of a store's names.
#[derive(Debug)]
pub(super) struct Domains<A: Allocator + Clone> {
    /// One without names is there for as long as room is reserved in it, and until it is swept.
    table: HashTable<Domain<A>, A>,
    alloc: A,
}

#[derive(Debug)]
struct Domain<A: Allocator> {
    hash: u64,
    /// How many names room was last reserved for.
    promised: u32,
    names: Names<A>,
}

/// The hashes of a domain's names.
#[derive(Debug)]
enum Names<A: Allocator> {
    /// Most domains have one name, which needs no table.
    One(u32),
    Many(HashTable<u32, A>),
}

impl<A: Allocator + Clone> Domains<A> {
    pub(super) fn new_in(alloc: A) -> Self {
        Self {
            table: HashTable::new_in(alloc.clone()),
            alloc,
        }
    }

    /// Number of domains that have names.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Sees to it that a name of each of these domains, some of which may be the same, can be inserted without
    /// memory. For a domain that gets none, [`Self::sweep`] gives that up.
    pub(super) fn reserve(&mut self, domains: impl Iterator<Item = u64> + Clone) -> Result<(), OutOfMemory> {
        for hash in domains.clone() {
            if let Some(domain) = self.find_mut(hash) {
                domain.promised = 0;
                continue;
            }
            self.table
                .try_reserve(1, |domain| domain.hash)
                .map_err(|_| OutOfMemory)?;
            let domain = Domain {
                hash,
                promised: 0,
                names: Names::Many(HashTable::new_in(self.alloc.clone())),
            };
            self.table.insert_unique(hash, domain, |domain| domain.hash);
        }
        let alloc = self.alloc.clone();
        for hash in domains {
            if let Some(domain) = self.find_mut(hash) {
                domain.promised = domain.promised.saturating_add(1);
                domain.names.reserve(domain.promised as usize, &alloc)?;
            }
        }
        Ok(())
    }

    /// A name of the domain is there, for which room was reserved unless it was there before.
    pub(super) fn insert(&mut self, domain: u64, name: u32) {
        if let Some(domain) = self.find_mut(domain) {
            domain.names.insert(name);
        }
    }

    /// No name of the domain with that hash is there any more. A domain without names stays until it is swept, as
    /// the room in it may be reserved.
    pub(super) fn remove(&mut self, domain: u64, name: u32) {
        let alloc = self.alloc.clone();
        if let Some(domain) = self.find_mut(domain) {
            domain.names.remove(name, alloc);
        }
    }

    /// Forgets the domain if it has no names.
    pub(super) fn sweep(&mut self, domain: u64) {
        let found = self.table.find_entry(domain, |present| present.hash == domain);
        if let Ok(occupied) = found
            && occupied.get().names.is_empty()
        {
            drop(occupied.remove());
        }
    }

    /// The hashes of the domain's names, each once, in no order.
    pub(super) fn names(&self, domain: u64) -> impl Iterator<Item = u32> {
        let found = self.table.find(domain, |present| present.hash == domain);
        let (one, many) = match found.map(|domain| &domain.names) {
            None => (None, None),
            Some(Names::One(name)) => (Some(*name), None),
            Some(Names::Many(names)) => (None, Some(names.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
    }

    fn find_mut(&mut self, hash: u64) -> Option<&mut Domain<A>> {
        self.table.find_mut(hash, |domain| domain.hash == hash)
    }
}

impl<A: Allocator + Clone> Names<A> {
    fn is_empty(&self) -> bool {
        match self {
            Self::One(_) => false,
            Self::Many(names) => names.is_empty(),
        }
    }

    /// Room for so many more names.
    fn reserve(&mut self, more: usize, alloc: &A) -> Result<(), OutOfMemory> {
        match self {
            Self::One(name) => {
                let mut names = HashTable::new_in(alloc.clone());
                names
                    .try_reserve(more.saturating_add(1), rehash)
                    .map_err(|_| OutOfMemory)?;
                names.insert_unique(rehash(name), *name, rehash);
                *self = Self::Many(names);
                Ok(())
            }
            // The first name comes without a table.
            Self::Many(names) if names.capacity() == 0 && more == 1 => Ok(()),
            Self::Many(names) => names.try_reserve(more, rehash).map_err(|_| OutOfMemory),
        }
    }

    fn insert(&mut self, name: u32) {
        match self {
            Self::Many(names) if names.capacity() == 0 => *self = Self::One(name),
            Self::Many(names) => {
                if names.find(rehash(&name), |present| *present == name).is_none() {
                    names.insert_unique(rehash(&name), name, rehash);
                }
            }
            // Room for another one would have made a table.
            Self::One(_) => {}
        }
    }

    fn remove(&mut self, name: u32, alloc: A) {
        match self {
            Self::One(present) if *present == name => *self = Self::Many(HashTable::new_in(alloc)),
            Self::One(_) => {}
            Self::Many(names) => {
                if let Ok(occupied) = names.find_entry(rehash(&name), |present| *present == name) {
                    occupied.remove();
                }
            }
        }
    }
}

/// What is kept is hashes already, of which a table uses all bits of its word.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "tables hand out references")]
const fn rehash(name: &u32) -> u64 {
    let hash = *name as u64;
    hash << 32 | hash
}
