//! The catalogue in the registry.
//!
//! Under the service's `Parameters\Catalog` there is one key per installed provider, named by its GUID, with
//! - `Identifier` (`REG_SZ`): the display name,
//! - `Blob` (`REG_BINARY`): a copy of the installation blob,
//! - `Enabled` (`REG_DWORD`): 0 if the provider may not be used,
//! - `Order` (`REG_DWORD`): the place in the catalogue order,
//! - `Version` (`REG_DWORD`): the version of the provider's implementation.
//!
//! The driver appends a provider when it sees it for the first time, and refreshes name and blob when the provider
//! comes back with others. Whether it is enabled, and its place, are the administrator's. An entry that cannot be read
//! counts as disabled, with an event; others are not affected. `Enabled` is written last: an entry without it was cut
//! off while it was appended, and is no entry; its provider will be appended again.

use core::str::FromStr;

use nsemail_contract::wire::EventKind;
use nsemail_contract::{Guid, blob};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::registry::Key;
use nsemail_kernel::status::{NtStatus, OUT_OF_MEMORY, out_of_memory};
use nsemail_kernel::unicode::guid_text;
use nsemail_kernel::utf16;
use pool_alloc::{Arc, Vec};

use crate::catalogue::entry::{Description, EntryError};
use crate::catalogue::{Entry, Snapshot};
use crate::memory::CatalogPool;
use crate::peer::Offered;
use crate::service::Service;

pub(crate) const POOL: CatalogPool = nsemail_kernel::pool::Pool;

/// The blob that stands in for one that cannot be read: no domain, no wildcard.
const NO_CLAIMS: [u8; blob::HEADER] = {
    let mut blob = [0; blob::HEADER];
    blob[4] = 1;
    blob
};

/// Reads the catalogue, and keeps its key for later changes.
///
/// # Errors
/// When the key cannot be made, or when there is no memory.
pub fn load(passive: Passive<'_>, service: &Service, parameters: &Key) -> Result<(), NtStatus> {
    let catalog = parameters.create(passive, utf16!("Catalog"))?;
    let mut entries = Vec::new_in(POOL);
    let mut index = 0;
    while let Some(name) = catalog.subkey_name(passive, index, POOL)? {
        index = index.saturating_add(1);
        let Some(provider) = guid_from(&name) else {
            service.event(
                EventKind::ENTRY_SKIPPED,
                None,
                [0, 0],
                format_args!("Catalog: a key is not a GUID"),
            );
            continue;
        };
        let entry = match read(passive, &catalog, &name, provider) {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                let text = format_args!("Catalog: the entry was not written to its end");
                service.event(EventKind::ENTRY_SKIPPED, Some(provider), [0, 0], text);
                continue;
            }
            Err(OUT_OF_MEMORY) => return Err(OUT_OF_MEMORY),
            Err(status) => {
                let code = u64::from(status.0.cast_unsigned());
                let text = format_args!("Catalog: the entry is damaged and counts as disabled");
                service.event(EventKind::ENTRY_SKIPPED, Some(provider), [code, 0], text);
                Entry::try_new(damaged(provider), POOL).map_err(status_of)?
            }
        };
        let entry = Arc::try_new_in(entry, POOL).map_err(out_of_memory)?;
        entries.try_push(entry).map_err(out_of_memory)?;
    }
    let snapshot = Snapshot::try_new(entries, POOL).map_err(out_of_memory)?;
    service.set_catalogue(Arc::try_new_in(snapshot, POOL).map_err(out_of_memory)?);
    *service.store.write(passive) = Some(catalog);
    Ok(())
}

/// `None` if the entry was not written to its end.
fn read(
    passive: Passive<'_>,
    catalog: &Key,
    name: &[u16],
    provider: Guid,
) -> Result<Option<Entry<CatalogPool>>, NtStatus> {
    let key = catalog
        .open(passive, name)?
        .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
    let Some(enabled) = key.dword(passive, utf16!("Enabled"))? else {
        return Ok(None);
    };
    let missing = NtStatus::OBJECT_NAME_NOT_FOUND;
    let identifier = key.string(passive, utf16!("Identifier"), POOL)?.ok_or(missing)?;
    let blob = key.binary(passive, utf16!("Blob"), POOL)?.ok_or(missing)?;
    let order = key.dword(passive, utf16!("Order"))?.ok_or(missing)?;
    let version = key.dword(passive, utf16!("Version"))?.ok_or(missing)?;
    let description = Description {
        provider,
        identifier: &identifier,
        blob: &blob,
        version,
        enabled: enabled != 0,
        order,
    };
    Entry::try_new(description, POOL).map(Some).map_err(status_of)
}

/// What stands in for an entry that cannot be read.
const fn damaged(provider: Guid) -> Description<'static> {
    Description {
        provider,
        identifier: &[],
        blob: &NO_CLAIMS,
        version: 0,
        enabled: false,
        order: u32::MAX,
    }
}

const fn status_of(error: EntryError) -> NtStatus {
    match error {
        EntryError::OutOfMemory => OUT_OF_MEMORY,
        EntryError::Blob(_) => NtStatus::INVALID_PARAMETER,
    }
}

fn guid_from(name: &[u16]) -> Option<Guid> {
    let mut text = [0_u8; 38];
    if name.len() != text.len() {
        return None;
    }
    for (to, from) in text.iter_mut().zip(name) {
        *to = u8::try_from(*from).ok()?;
    }
    Guid::from_str(core::str::from_utf8(&text).ok()?).ok()
}

/// A provider is about to be attached: makes sure that the catalogue has it as it is.
///
/// If it cannot be written to the registry, it is in the catalogue until the driver is unloaded, with an event; the next
/// change that an administrator makes to it writes all of it.
///
/// # Errors
/// When there is no memory, or when the blob is malformed; the catalogue is unchanged.
pub fn seen(passive: Passive<'_>, service: &Service, offered: &Offered<'_>) -> Result<(), NtStatus> {
    let store = service.store.write(passive);
    let current = service.catalogue();
    let provider = offered.provider;
    let (enabled, order, text) = match current.entry(provider) {
        Some(known) if known.describes(offered.identifier, offered.blob, offered.version) => return Ok(()),
        Some(known) => (known.enabled(), known.order(), "changed its description"),
        None => (true, current.next_order(), "appended"),
    };
    let description = Description {
        provider,
        identifier: offered.identifier,
        blob: offered.blob,
        version: offered.version,
        enabled,
        order,
    };
    let entry = Entry::try_new(description, POOL).map_err(status_of)?;
    let entry = Arc::try_new_in(entry, POOL).map_err(out_of_memory)?;
    let changed = current.with(entry.clone(), POOL).map_err(out_of_memory)?;
    let changed = Arc::try_new_in(changed, POOL).map_err(out_of_memory)?;
    let written = store
        .as_ref()
        .map_or(Err(NtStatus::OBJECT_NAME_NOT_FOUND), |store| {
            write(passive, store, &entry)
        });
    service.set_catalogue(changed);
    drop(store);
    service.event(
        EventKind::CATALOGUE_ADDED,
        Some(provider),
        [u64::from(order), 0],
        format_args!("{text}"),
    );
    if let Err(status) = written {
        let code = u64::from(status.0.cast_unsigned());
        let text = format_args!("Catalog: the entry could not be stored");
        service.event(EventKind::ENTRY_SKIPPED, Some(provider), [code, 0], text);
    }
    Ok(())
}

/// Writes an entry.
///
/// # Errors
/// The registry's. Unless the entry was there before, it is no entry then.
pub(crate) fn write(passive: Passive<'_>, store: &Key, entry: &Entry<CatalogPool>) -> Result<(), NtStatus> {
    let key = store.create(passive, &guid_text(entry.provider_ref()))?;
    key.set_binary(passive, utf16!("Blob"), entry.blob())?;
    key.set_string(passive, utf16!("Identifier"), entry.identifier(), POOL)?;
    key.set_dword(passive, utf16!("Version"), entry.version())?;
    key.set_dword(passive, utf16!("Order"), entry.order())?;
    // Last, and on the disk after all others: without it there is no entry.
    key.flush(passive)?;
    key.set_dword(passive, utf16!("Enabled"), u32::from(entry.enabled()))?;
    key.flush(passive)
}
