//! What an administrator changes of the catalogue.
//!
//! A change is worked out as a new catalogue, written to the registry, and then made the current one. It is answered
//! when it is on the disk. Look-ups that are open keep the catalogue that they began with; others never wait for a
//! change, because only changes hold the store's lock. What cannot be written is not done.

use nsemail_contract::wire::EventKind;
use nsemail_contract::{Guid, WsaCode};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::registry::Key;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::unicode::guid_text;
use nsemail_kernel::utf16;
use pool_alloc::{Arc, OutOfMemory};

use crate::catalogue::{Entry, Snapshot};
use crate::memory::CatalogPool;
use crate::service::Service;
use crate::store::{self, POOL};

/// Enables or disables a provider.
///
/// # Errors
/// `WSAEINVAL` for a provider that is not in the catalogue, `WSA_NOT_ENOUGH_MEMORY`, `WSASYSCALLFAILURE` if it cannot
/// be written. Nothing has changed then.
pub fn enable(passive: Passive<'_>, service: &Service, provider: Guid, enabled: bool) -> Result<(), WsaCode> {
    let store = service.store.write(passive);
    let catalog = store.as_ref().ok_or(WsaCode::WSASYSNOTREADY)?;
    let current = service.catalogue();
    let known = current.entry(provider).ok_or(WsaCode::WSAEINVAL)?;
    if known.enabled() == enabled {
        return Ok(());
    }
    let entry = known.changed(enabled, known.order(), POOL).map_err(no_memory)?;
    let entry = Arc::try_new_in(entry, POOL).map_err(no_memory)?;
    let changed = current.with(entry.clone(), POOL).map_err(no_memory)?;
    let changed = Arc::try_new_in(changed, POOL).map_err(no_memory)?;
    write(passive, catalog, &entry, utf16!("Enabled"), enabled.into()).map_err(not_written)?;
    service.set_catalogue(changed);
    drop(store);
    let kind = if enabled {
        EventKind::CATALOGUE_ENABLED
    } else {
        EventKind::CATALOGUE_DISABLED
    };
    service.event(kind, Some(provider), [0, 0], format_args!(""));
    Ok(())
}

/// Sets the order in which the providers are called.
///
/// # Errors
/// `WSAEINVAL` unless every provider of the catalogue is named exactly once, and otherwise as [`enable`]. If it
/// cannot be written, what was written of it is taken back as far as that can be written.
pub fn order(
    passive: Passive<'_>,
    service: &Service,
    providers: impl ExactSizeIterator<Item = Guid>,
) -> Result<(), WsaCode> {
    let store = service.store.write(passive);
    let catalog = store.as_ref().ok_or(WsaCode::WSASYSNOTREADY)?;
    let current = service.catalogue();
    let changed = current.ordered(providers, POOL).map_err(no_memory)?;
    let changed = Arc::try_new_in(changed.ok_or(WsaCode::WSAEINVAL)?, POOL).map_err(no_memory)?;
    if let Err(status) = write_order(passive, catalog, &changed) {
        let _as_far_as_it_goes = write_order(passive, catalog, &current);
        return Err(not_written(status));
    }
    let count = changed.entries().len() as u64;
    service.set_catalogue(changed);
    drop(store);
    service.event(EventKind::CATALOGUE_ORDERED, None, [count, 0], format_args!(""));
    Ok(())
}

/// Takes a provider that is gone out of the catalogue.
///
/// # Errors
/// `WSAEINVAL` for a provider that is not in the catalogue, `WSATRY_AGAIN` for one that is attached, and otherwise as
/// [`enable`].
pub fn forget(passive: Passive<'_>, service: &Service, provider: Guid) -> Result<(), WsaCode> {
    let store = service.store.write(passive);
    let catalog = store.as_ref().ok_or(WsaCode::WSASYSNOTREADY)?;
    let current = service.catalogue();
    current.entry(provider).ok_or(WsaCode::WSAEINVAL)?;
    // One that takes its seat later waits for the store's lock, and is then appended anew.
    if service.bindings(|bindings| bindings.has_seat(provider)) {
        return Err(WsaCode::WSATRY_AGAIN);
    }
    let changed = current.without(provider, POOL).map_err(no_memory)?;
    let changed = Arc::try_new_in(changed, POOL).map_err(no_memory)?;
    remove(passive, catalog, provider).map_err(not_written)?;
    service.set_catalogue(changed);
    drop(store);
    service.event(
        EventKind::CATALOGUE_REMOVED,
        Some(provider),
        [0, 0],
        format_args!(""),
    );
    Ok(())
}

/// Writes what has changed of an entry, or all of it if it could not be stored when its provider was seen.
fn write(
    passive: Passive<'_>,
    catalog: &Key,
    entry: &Entry<CatalogPool>,
    name: &[u16],
    value: u32,
) -> Result<(), NtStatus> {
    let Some(key) = catalog.open(passive, &guid_text(entry.provider_ref()))? else {
        return store::write(passive, catalog, entry);
    };
    if matches!(key.dword(passive, utf16!("Enabled")), Ok(None)) {
        return store::write(passive, catalog, entry);
    }
    key.set_dword(passive, name, value)?;
    key.flush(passive)
}

fn write_order(passive: Passive<'_>, catalog: &Key, order: &Snapshot<CatalogPool>) -> Result<(), NtStatus> {
    for entry in order.entries() {
        write(passive, catalog, entry, utf16!("Order"), entry.order())?;
    }
    Ok(())
}

fn remove(passive: Passive<'_>, catalog: &Key, provider: Guid) -> Result<(), NtStatus> {
    if let Some(key) = catalog.open(passive, &guid_text(&provider))? {
        key.delete(passive)?;
    }
    catalog.flush(passive)
}

const fn no_memory(_: OutOfMemory) -> WsaCode {
    WsaCode::WSA_NOT_ENOUGH_MEMORY
}

const fn not_written(status: NtStatus) -> WsaCode {
    match status {
        NtStatus::INSUFFICIENT_RESOURCES => WsaCode::WSA_NOT_ENOUGH_MEMORY,
        _ => WsaCode::WSASYSCALLFAILURE,
    }
}
