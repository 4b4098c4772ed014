//! What a look-up asks for and finds.

use nsemail_contract::address::{Address, AddressError};
use nsemail_contract::codes::WsaCode;
use nsemail_contract::flags::{Comparator, LookupFlags};
use nsemail_contract::ids;
use nsemail_contract::queryset::{Protocols, QuerySet};
use pool_alloc::{Allocator, OutOfMemory, Vec};
use pool_table::PackedRef;

use super::key::{FoldedKey, Key};
use super::record::{Record, RecordRef, State};

/// A valid question for objects of one name.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    key: Key<'a>,
    /// All contexts of the name, not only that of the key.
    deep: bool,
    filter: Filter<'a>,
}

/// Which of the objects that a question is about match it.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    version: Option<(Comparator, u32)>,
    protocols: Protocols<'a>,
}

/// The answer, as it was when the look-up began.
#[derive(Debug)]
pub struct Found<A: Allocator> {
    /// The matching versions, by folded context.
    pub records: Vec<Record<A>, A>,
    /// Whether there was any object of that name and context, matching or not.
    pub known: bool,
}

impl<'a> Query<'a> {
    /// Validates what a look-up asks for; `None` if it asks for the provider's preferred names.
    ///
    /// # Errors
    ///
    /// `WSAEINVAL` for what is malformed, `WSASERVICE_NOT_FOUND` for what another namespace may answer, `WSANO_DATA`
    /// if only containers are wanted.
    pub fn from_query(query: &QuerySet<'a>, flags: LookupFlags) -> Result<Option<Self>, WsaCode> {
        /// Members that no object here has.
        const UNANSWERABLE: LookupFlags = LookupFlags::RETURN_TYPE
            .union(LookupFlags::RETURN_ALIASES)
            .union(LookupFlags::RETURN_QUERY_STRING);

        if query.question_over_limit().is_some() {
            return Err(WsaCode::WSAEINVAL);
        }
        let version = match query.version {
            None => None,
            Some(version) => {
                let comparator = Comparator::from_u32(version.comparator).ok_or(WsaCode::WSAEINVAL)?;
                Some((comparator, version.version))
            }
        };
        if !matches!(query.namespace, ids::NS_ALL | ids::NS_EMAIL) {
            return Err(WsaCode::WSASERVICE_NOT_FOUND);
        }
        let preferred = flags.contains(LookupFlags::RETURN_PREFERRED_NAMES);
        let name = match query.name {
            None if !preferred => return Err(WsaCode::WSAEINVAL),
            None => None,
            Some(_) if preferred => return Err(WsaCode::WSAEINVAL),
            Some(name) => {
                Address::check(name).map_err(AddressError::lookup_code)?;
                Some(name)
            }
        };
        if flags.contains(LookupFlags::CONTAINERS) {
            return Err(WsaCode::WSANO_DATA);
        }
        let wanted = flags.intersection(LookupFlags::RETURN_MASK);
        if !wanted.is_empty() && UNANSWERABLE.contains(wanted) {
            return Err(WsaCode::WSASERVICE_NOT_FOUND);
        }
        let context = query.context.unwrap_or_default();
        Ok(name.map(|name| Self {
            key: Key::new(name, context),
            // A context that is given is the only one wanted: there is nothing below it.
            deep: flags.contains(LookupFlags::DEEP) && context.is_empty(),
            filter: Filter {
                version,
                protocols: query.protocols,
            },
        }))
    }

    /// Whether it asks for all contexts of the name, which [`super::Store::select`] answers, or for one, which
    /// [`super::Finder::select`] does.
    #[must_use]
    pub const fn is_deep(&self) -> bool {
        self.deep
    }

    /// The name, and the context if not all are asked for.
    #[must_use]
    pub const fn key(&self) -> &Key<'a> {
        &self.key
    }

    /// What of all that matches.
    #[must_use]
    pub const fn filter(&self) -> Filter<'a> {
        self.filter
    }
}

impl<'a> Filter<'a> {
    /// The filter by protocol.
    #[must_use]
    pub const fn protocols(&self) -> Protocols<'a> {
        self.protocols
    }

    /// Whether an object that was found for the question matches it.
    #[must_use]
    pub fn matches(&self, record: &RecordRef<'_>) -> bool {
        let version = record.fields().version.unwrap_or(0);
        record.state() == State::Registered
            && self
                .version
                .is_none_or(|(comparator, asked)| comparator.accepts(asked, version))
            && (self.protocols.is_empty() || !record.addresses().matching(self.protocols).is_empty())
    }
}

impl<A: Allocator + Clone> Found<A> {
    /// What a question finds among those entries, in their order.
    pub(super) fn try_collect_in<'e>(
        query: &Query<'_>,
        key: FoldedKey<'_>,
        entries: impl Iterator<Item = PackedRef<'e, A>>,
        alloc: A,
    ) -> Result<Self, OutOfMemory> {
        let mut found = Self {
            records: Vec::new_in(alloc),
            known: false,
        };
        for entry in entries {
            let asked_for = if query.deep {
                key.is_of_name(entry.bytes())
            } else {
                key.is_of_object(entry.bytes())
            };
            if !asked_for {
                continue;
            }
            found.known = true;
            if RecordRef::read(entry.bytes()).is_some_and(|view| query.filter.matches(&view)) {
                found.records.try_push(Record::shared(entry))?;
            }
            if !query.deep {
                break;
            }
        }
        Ok(found)
    }
}
