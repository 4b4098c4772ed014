//! Loading the store of a hosted provider from its journal, on the journal thread.

use nsemail_contract::wire::{EventKind, HostedState};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::random;
use nsemail_kernel::status::NtStatus;
use pool_alloc::OutOfMemory;

use crate::files::{Files, OpenFile};
use crate::journal::format::{self, Kind};
use crate::journal::generations::{Journal, Receiver};
use crate::journal::log::{LoadError, Refused};
use crate::memory::{Calls, Records};
use crate::service::{Service, number};
use crate::store::{Key, Record, RecordRef};

/// The journal of a provider, as a thread uses it.
pub type Open<'p> = Journal<Files<Passive<'p>>, OpenFile<Passive<'p>>>;

/// Fills the store with what the journal holds, or begins a journal.
///
/// # Errors
///
/// Why the provider cannot be served; see [`failed`].
pub fn load<'p>(
    service: &Service,
    files: Files<Passive<'p>>,
    passive: Passive<'p>,
) -> Result<Open<'p>, LoadError<NtStatus>> {
    let [salt, _] = random::seed(passive).map_err(LoadError::File)?;
    let mut loading = Loading { service, passive };
    let provider = service.provider().to_bytes();
    let (journal, loaded) = Journal::open(files, provider, salt, &Calls::default(), &mut loading)?;
    if loaded.cut > 0 {
        let offset = journal.size();
        let text = format_args!(
            "{} bytes at the end of the journal were torn, and were cut",
            loaded.cut
        );
        service.event(EventKind::LOG_CUT, [offset, 0], text);
    }
    let objects = service.store().read(passive).len();
    let text = format_args!("{} records made {objects} objects", loaded.records);
    service.event(EventKind::LOADED, [objects as u64, 0], text);
    Ok(journal)
}

/// Says why the provider is not served.
pub fn failed(service: &Service, error: LoadError<NtStatus>, passive: Passive<'_>) {
    let offset = if let LoadError::Damaged(offset) = error {
        offset
    } else {
        0
    };
    let status = match error {
        LoadError::File(status) => number(status),
        LoadError::OutOfMemory => number(NtStatus::INSUFFICIENT_RESOURCES),
        _ => 0,
    };
    if error != LoadError::Stopped {
        service.event(
            EventKind::LOAD_FAILED,
            [offset, status],
            format_args!("the journal was not loaded: {error}"),
        );
    }
    // What was loaded before the failure is nothing to be counted or listed.
    {
        let mut store = service.store().write(passive);
        store.clear();
        store.collect();
    }
    // After the event, so that whoever sees the state finds the reason.
    service.set_state(HostedState::Failed);
    service.close(passive);
    service.common().wake_host();
}

/// Fills the store, which others count and list meanwhile.
struct Loading<'s> {
    service: &'s Service,
    passive: Passive<'s>,
}

impl Receiver for Loading<'_> {
    fn clear(&mut self) {
        let mut store = self.service.store().write(self.passive);
        store.clear();
        // At once, or there would be two stores for a while.
        store.collect();
    }

    fn receive(&mut self, record: format::Record<'_>) -> Result<(), Refused> {
        if self.service.is_stopping() {
            return Err(Refused::Stop);
        }
        let store = self.service.store();
        match record.kind {
            Kind::Put => {
                let record = Record::try_from_bytes_in(record.content, Records::default());
                let record = record
                    .map_err(|_| Refused::OutOfMemory)?
                    .ok_or(Refused::Malformed)?;
                let loaded = store.write(self.passive).load_put(record);
                loaded.map_err(|OutOfMemory| Refused::OutOfMemory)
            }
            Kind::Remove => {
                let key = RecordRef::parse(record.content).ok_or(Refused::Malformed)?;
                let loaded = store.write(self.passive).load_remove(&Key::of(&key));
                loaded.map_err(|OutOfMemory| Refused::OutOfMemory)
            }
            Kind::SnapshotEnd => Ok(()),
        }
    }
}
