//! What the driver itself says to a query or a change before any provider hears of it.
//!
//! These are the rules that hold for the namespace as a whole: syntax, namespace, published caps, who is to be asked.
//! Everything else is for the providers to judge.

use nsemail_contract::address::{Address, AddressError};
use nsemail_contract::flags::Comparator;
use nsemail_contract::{LookupFlags, Operation, QuerySet, SetFlags, Text, WsaCode, ids};
use nsemail_kernel::pool::Pool;
use pool_alloc::{Box, OutOfMemory};

use crate::buffer::Query;
use crate::calls::work::Set;
use crate::catalogue::change::{Change, Kind};
use crate::catalogue::lookup::{Authority, LookUp, Plan};
use crate::catalogue::{Explanation, Selection, Snapshot};
use crate::look_up::BoxedSearch;
use crate::memory::CatalogPool;
use crate::search::Search;
use crate::service::Service;

/// Who is asked in a look-up of `query`, by a catalogue. Nobody is asked yet.
///
/// # Errors
/// `WSAEINVAL` for what is malformed, `WSASERVICE_NOT_FOUND` for what is not of this namespace and when no provider may
/// be asked, `WSANO_DATA` for containers, of which there are none here.
pub fn plan(
    catalogue: &Snapshot<CatalogPool>,
    query: &QuerySet<'_>,
    flags: LookupFlags,
) -> Result<Plan, WsaCode> {
    let selection = look_up(query, flags)?;
    let authority =
        if flags.contains(LookupFlags::NON_AUTHORITATIVE) || matches!(selection, Selection::PreferredNames) {
            Authority::NonAuthoritative
        } else {
            Authority::Authoritative
        };
    Plan::new(catalogue, selection, authority)
}

/// A look-up of `query` that nobody was asked for.
///
/// # Errors
/// `WSA_NOT_ENOUGH_MEMORY`.
pub fn search(
    look_up: LookUp<CatalogPool>,
    query: &QuerySet<'_>,
    flags: LookupFlags,
) -> Result<BoxedSearch, WsaCode> {
    let query = Query::try_new(query).map_err(no_memory)?;
    Box::try_new_in(Search::new(look_up, flags, query), Pool).map_err(no_memory)
}

fn look_up<'a>(query: &QuerySet<'a>, flags: LookupFlags) -> Result<Selection<'a>, WsaCode> {
    if query.over_limit().is_some() {
        return Err(WsaCode::WSAEINVAL);
    }
    if !is_ours(query) {
        return Err(WsaCode::WSASERVICE_NOT_FOUND);
    }
    if query
        .version
        .is_some_and(|version| Comparator::from_u32(version.comparator).is_none())
    {
        return Err(WsaCode::WSAEINVAL);
    }
    let preferred_names = flags.contains(LookupFlags::RETURN_PREFERRED_NAMES);
    let by_name = match query.name {
        None if !preferred_names => return Err(WsaCode::WSAEINVAL),
        None => Selection::PreferredNames,
        Some(name) => Selection::Domain(Address::domain_of(name).map_err(AddressError::lookup_code)?),
    };
    if flags.contains(LookupFlags::CONTAINERS) {
        return Err(WsaCode::WSANO_DATA);
    }
    Ok(match query.provider {
        Some(provider) => Selection::Provider(provider),
        None if preferred_names => Selection::PreferredNames,
        None => by_name,
    })
}

/// Who would be asked about a name by the catalogue as it is now. Nobody is asked.
///
/// # Errors
/// What a look-up of the name would be answered if it is no mail address; `WSA_NOT_ENOUGH_MEMORY`.
pub fn explain(service: &Service, name: Text<'_>) -> Result<Explanation<CatalogPool>, WsaCode> {
    let address = Address::parse(name).map_err(AddressError::lookup_code)?;
    Explanation::try_new(&service.catalogue(), address.domain(), Pool).map_err(no_memory)
}

/// A change of `registration` by the catalogue as it is now. Nobody is told yet.
///
/// # Errors
/// `WSAEOPNOTSUPP` for an unknown operation, `WSAEINVAL` for anything else that is malformed, `WSASERVICE_NOT_FOUND`
/// when no provider may be told, `WSA_NOT_ENOUGH_MEMORY`.
pub fn change(
    service: &Service,
    registration: &QuerySet<'_>,
    operation: u32,
    flags: u32,
) -> Result<Set, WsaCode> {
    let (operation, selection) = set(registration, operation, flags)?;
    let chain = Snapshot::chain(&service.catalogue(), selection)?;
    let kind = match operation {
        Operation::Register => Kind::Registration,
        Operation::Deregister | Operation::Delete => Kind::Removal,
    };
    let query = Query::try_new(registration).map_err(no_memory)?;
    Ok(Set::new(Change::new(chain, kind), query, operation, flags))
}

fn set<'a>(
    registration: &QuerySet<'a>,
    operation: u32,
    flags: u32,
) -> Result<(Operation, Selection<'a>), WsaCode> {
    let operation = Operation::from_u32(operation).ok_or(WsaCode::WSAEOPNOTSUPP)?;
    if SetFlags::from_bits(flags).is_none() || registration.over_limit().is_some() || !is_ours(registration) {
        return Err(WsaCode::WSAEINVAL);
    }
    let name = registration.name.ok_or(WsaCode::WSAEINVAL)?;
    let address = Address::parse(name).map_err(AddressError::set_code)?;
    let selection = registration
        .provider
        .map_or_else(|| Selection::Domain(address.domain()), Selection::Provider);
    Ok((operation, selection))
}

const fn is_ours(query: &QuerySet<'_>) -> bool {
    matches!(query.namespace, ids::NS_ALL | ids::NS_EMAIL)
}

const fn no_memory(_: OutOfMemory) -> WsaCode {
    WsaCode::WSA_NOT_ENOUGH_MEMORY
}

#[cfg(test)]
mod tests {
    use super::*;
    use nsemail_contract::Guid;
    use nsemail_contract::queryset::Version;

    fn named(name: &str) -> QuerySet<'_> {
        QuerySet {
            name: Some(Text::from_str(name).unwrap()),
            ..QuerySet::default()
        }
    }

    #[test]
    fn a_look_up_that_no_provider_could_answer_is_refused_at_once() {
        use WsaCode as W;
        let ok = named("ann@example.com");
        let nothing = LookupFlags::empty();
        for (query, flags, code) in [
            (QuerySet::default(), nothing, W::WSAEINVAL),
            (named("ann"), nothing, W::WSASERVICE_NOT_FOUND),
            (named("@example.com"), nothing, W::WSAEINVAL),
            (named("ann@exa mple.com"), nothing, W::WSAEINVAL),
            (QuerySet { namespace: 12, ..ok }, nothing, W::WSASERVICE_NOT_FOUND),
            (
                QuerySet {
                    version: Some(Version {
                        version: 1,
                        comparator: 2,
                    }),
                    ..ok
                },
                nothing,
                W::WSAEINVAL,
            ),
            (ok, LookupFlags::CONTAINERS, W::WSANO_DATA),
        ] {
            assert_eq!(look_up(&query, flags).err(), Some(code), "{query:?}");
        }
        assert!(matches!(look_up(&ok, nothing), Ok(Selection::Domain(_))));
        assert!(matches!(
            look_up(&QuerySet { namespace: 37, ..ok }, nothing),
            Ok(Selection::Domain(_))
        ));
    }

    #[test]
    fn a_query_without_a_name_asks_for_preferred_names_or_nothing() {
        let flags = LookupFlags::RETURN_PREFERRED_NAMES;
        assert!(matches!(
            look_up(&QuerySet::default(), flags),
            Ok(Selection::PreferredNames)
        ));
        let directed = QuerySet {
            provider: Some(Guid::from_u128(1)),
            ..QuerySet::default()
        };
        assert!(matches!(look_up(&directed, flags), Ok(Selection::Provider(_))));
    }

    #[test]
    fn a_change_is_checked_before_any_provider_is_told() {
        use WsaCode as W;
        let ok = named("ann@example.com");
        for (query, operation, flags, code) in [
            (ok, 3, 0, W::WSAEOPNOTSUPP),
            (ok, 0, 2, W::WSAEINVAL),
            (named("ann"), 0, 0, W::WSAEINVAL),
            (QuerySet::default(), 2, 0, W::WSAEINVAL),
            (QuerySet { namespace: 12, ..ok }, 0, 0, W::WSAEINVAL),
        ] {
            assert_eq!(
                set(&query, operation, flags).err(),
                Some(code),
                "{query:?} {operation} {flags}"
            );
        }
        assert!(matches!(
            set(&ok, 1, 1),
            Ok((Operation::Deregister, Selection::Domain(_)))
        ));
    }
}
