//! Catalogues for tests, written as one would draw them.

use std::vec::Vec as StdVec;

use allocator_api2::alloc::Global;
use nsemail_contract::blob::{self, Level};
use nsemail_contract::{Domain, Guid, Text};
use pool_alloc::{Arc, Vec};

use super::chain::{Chain, Reason, Role};
use super::entry::Description;
use super::{Entry, Selection, Snapshot};

/// A provider to install.
#[derive(Clone, Debug)]
pub struct Provider {
    pub name: u8,
    pub wildcard: bool,
    pub enabled: bool,
    pub claims: StdVec<(&'static str, Level)>,
}

/// A provider named by one letter, without any claim.
pub fn provider(name: char) -> Provider {
    Provider {
        name: u8::try_from(name).unwrap(),
        wildcard: false,
        enabled: true,
        claims: StdVec::new(),
    }
}

impl Provider {
    pub fn claims(mut self, domain: &'static str, level: Level) -> Self {
        self.claims.push((domain, level));
        self
    }

    pub fn primary(self, domain: &'static str) -> Self {
        self.claims(domain, Level::Primary)
    }

    pub fn secondary(self, domain: &'static str) -> Self {
        self.claims(domain, Level::Secondary)
    }

    pub fn off(self, domain: &'static str) -> Self {
        self.claims(domain, Level::None)
    }

    pub const fn wildcard(mut self) -> Self {
        self.wildcard = true;
        self
    }

    pub const fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }

    pub const fn guid(&self) -> Guid {
        guid(self.name)
    }

    /// The installation blob.
    pub fn blob(&self) -> StdVec<u8> {
        let claims = self.claims.iter().map(|&(name, level)| (level, domain(name)));
        let mut blob = std::vec![0; 4096];
        let size = blob::write(1, self.wildcard, claims, &mut blob).unwrap();
        blob.truncate(size);
        blob
    }

    pub fn entry(&self, order: u32) -> Entry<Global> {
        let description = Description {
            provider: self.guid(),
            identifier: &[u16::from(self.name)],
            blob: &self.blob(),
            version: 1,
            enabled: self.enabled,
            order,
        };
        Entry::try_new(description, Global).unwrap()
    }
}

pub const fn guid(name: u8) -> Guid {
    Guid::from_u128(name as u128)
}

/// A catalogue of these providers, in this order.
pub fn catalogue(providers: &[Provider]) -> Arc<Snapshot<Global>, Global> {
    let mut entries = Vec::new_in(Global);
    for (order, provider) in providers.iter().enumerate() {
        let entry = provider.entry(u32::try_from(order).unwrap());
        entries.try_push(Arc::try_new_in(entry, Global).unwrap()).unwrap();
    }
    Arc::try_new_in(Snapshot::try_new(entries, Global).unwrap(), Global).unwrap()
}

pub fn domain(text: &str) -> Domain<'_> {
    Domain::parse(Text::from_str(text).unwrap()).unwrap()
}

/// The chain for a domain; panics if there is none.
pub fn chain(catalogue: &Arc<Snapshot<Global>, Global>, of: &str) -> Chain<Global> {
    Snapshot::chain(catalogue, Selection::Domain(domain(of))).unwrap()
}

/// Names and reasons of a domain's chain, empty if there is none.
pub fn asked(catalogue: &Arc<Snapshot<Global>, Global>, of: &str) -> StdVec<(char, Reason)> {
    Snapshot::chain(catalogue, Selection::Domain(domain(of))).map_or_else(
        |_| StdVec::new(),
        |chain| {
            chain
                .iter()
                .map(|candidate| (letter(candidate.entry), candidate.reason))
                .collect()
        },
    )
}

/// Names and roles of all providers for a domain.
pub fn roles(catalogue: &Snapshot<Global>, of: &str) -> StdVec<(char, Role)> {
    catalogue
        .roles(domain(of))
        .map(|(entry, role)| (letter(entry), role))
        .collect()
}

pub fn letter(entry: &Entry<Global>) -> char {
    char::from(u8::try_from(entry.provider().to_u128()).unwrap())
}
