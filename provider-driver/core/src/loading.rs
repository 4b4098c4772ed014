//! Loading the store of a hosted provider from its journal, on the journal thread.

use nsemail_contract::wire::{EventKind, HostedState};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::random;
use nsemail_kernel::status::NtStatus;
use pool_alloc::{OutOfMemory, Vec};

use crate::files::{Files, OpenFile};
use crate::journal::format::{self, Kind, RECORD_HEADER_SIZE};
use crate::journal::generations::{Journal, Receiver};
use crate::journal::log::{LoadError, Refused};
use crate::memory::{Calls, Records};
use crate::service::{Service, number};
use crate::store::{Key, Record, RecordRef};

/// Room is made for at most so many times the objects that there are, however long the file is that they are read from.
const GROWTH: u64 = 256;

/// So many objects are put into the store at a time. Who waits for its lock meanwhile, to count or to list, is woken
/// after each time, and mostly in vain.
const AT_ONCE: usize = 256;

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
    let mut loading = Loading::try_new(service, passive)?;
    let provider = service.provider().to_bytes();
    let (journal, loaded) = Journal::open(files, provider, salt, &Calls::default(), &mut loading)?;
    loading.flush()?;
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
    /// Objects that were read and are not in the store yet, fewer than [`AT_ONCE`].
    read: Vec<Record<Records>, Records>,
    /// Bytes of the file, and of all records that were read.
    bytes: (u64, u64),
}

impl<'s> Loading<'s> {
    fn try_new(service: &'s Service, passive: Passive<'s>) -> Result<Self, OutOfMemory> {
        Ok(Self {
            service,
            passive,
            read: Vec::try_with_capacity_in(AT_ONCE, Records::default())?,
            bytes: (0, 0),
        })
    }

    /// Puts what was read into the store.
    fn flush(&mut self) -> Result<(), OutOfMemory> {
        let mut store = self.service.store().write(self.passive);
        // Were the rest of the file as what was read. But what was read may be little: room is made for a part of that
        // first.
        let now = store.len().saturating_add(self.read.len()) as u64;
        let (all, read) = self.bytes;
        let objects = now.saturating_mul(all).checked_div(read).unwrap_or(now);
        let objects = objects
            .min(now.saturating_mul(GROWTH))
            .min(store.limits().records);
        store.load_puts(&mut self.read, usize::try_from(objects).unwrap_or(0))
    }
}

impl Receiver for Loading<'_> {
    fn begin(&mut self, bytes: u64) {
        self.read.clear();
        self.bytes = (bytes, 0);
        let mut store = self.service.store().write(self.passive);
        store.clear();
        // At once, or there would be two stores for a while.
        store.collect();
    }

    fn receive(&mut self, record: format::Record<'_>) -> Result<(), Refused> {
        if self.service.is_stopping() {
            return Err(Refused::Stop);
        }
        let (_, read) = &mut self.bytes;
        *read = read.saturating_add(record.content.len().saturating_add(RECORD_HEADER_SIZE) as u64);
        match record.kind {
            Kind::Put => {
                let record = Record::try_from_bytes_in(record.content, Records::default());
                let record = record
                    .map_err(|_| Refused::OutOfMemory)?
                    .ok_or(Refused::Malformed)?;
                self.read.try_push(record).map_err(|_| Refused::OutOfMemory)?;
                if self.read.len() < AT_ONCE {
                    return Ok(());
                }
                self.flush().map_err(|OutOfMemory| Refused::OutOfMemory)
            }
            Kind::Remove => {
                let key = RecordRef::parse(record.content).ok_or(Refused::Malformed)?;
                self.flush().map_err(|OutOfMemory| Refused::OutOfMemory)?;
                let mut store = self.service.store().write(self.passive);
                let loaded = store.load_remove(&Key::of(&key));
                loaded.map_err(|OutOfMemory| Refused::OutOfMemory)
            }
            Kind::SnapshotEnd => Ok(()),
        }
    }
}
