//! Importing many names at once, and exporting them all.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use nsemail_contract::wire::RecordState;
use nsemail_contract::{Guid, Operation, SetFlags, Text, WsaCode};

use crate::client::HostedProvider;
use crate::entry::Line;
use crate::{AdminClient, Client, Error, Registration, StoredRecord, Transport};

/// Entries that wait for one worker; bounds what is read ahead.
const QUEUE: usize = 64;

/// What became of one entry.
#[derive(Debug)]
pub struct Outcome {
    /// The line on which it starts.
    pub line: u64,
    /// Bytes of the file up to its end.
    pub position: u64,
    /// Its name, if it could be read.
    pub name: Option<String>,
    /// Addresses that it has, or why it was refused.
    pub result: Result<usize, Error>,
}

/// Registers the entries of a file, with `workers` calls in flight, and tells `report` what became
/// of each, in no particular order.
///
/// A refused entry does not stop the others. Entries of the same name keep their order.
///
/// # Errors
/// If the file cannot be read on, or no request gets through any more; then the rest was not tried.
pub fn import<T: Transport>(
    client: &Client<T>,
    lines: impl Iterator<Item = io::Result<Line>> + Send,
    workers: usize,
    mut report: impl FnMut(Outcome),
) -> Result<(), Error> {
    let workers = workers.max(1);
    let stop = AtomicBool::new(false);
    let (outcomes, results) = mpsc::channel::<Outcome>();
    let mut fatal = None;
    let read = thread::scope(|scope| {
        let queues: Vec<mpsc::SyncSender<(u64, u64, StoredRecord)>> = (0..workers)
            .map(|_| {
                let (queue, entries) = mpsc::sync_channel::<(u64, u64, StoredRecord)>(QUEUE);
                let outcomes = outcomes.clone();
                let stop = &stop;
                scope.spawn(move || {
                    for (line, position, entry) in entries {
                        if stop.load(Ordering::Relaxed) {
                            continue;
                        }
                        let result = store(client, &entry).map(|()| entry.record.addresses.len());
                        let name = Some(entry.record.name);
                        // The receiver lives as long as this scope.
                        let _ = outcomes.send(Outcome {
                            line,
                            position,
                            name,
                            result,
                        });
                    }
                });
                queue
            })
            .collect();
        let stop = &stop;
        let reader = scope.spawn(move || distribute(lines, &queues, &outcomes, stop));
        for outcome in results {
            match outcome.result {
                // What hit this entry hits all others too.
                Err(Error::Transport(error)) => {
                    stop.store(true, Ordering::Relaxed);
                    fatal.get_or_insert(Error::Transport(error));
                }
                _ => report(outcome),
            }
        }
        reader
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reader ended unexpectedly")))
    });
    if let Some(fatal) = fatal {
        return Err(fatal);
    }
    Ok(read?)
}

/// Reads all lines and gives each to the worker that has its name.
fn distribute(
    lines: impl Iterator<Item = io::Result<Line>>,
    queues: &[mpsc::SyncSender<(u64, u64, StoredRecord)>],
    outcomes: &mpsc::Sender<Outcome>,
    stop: &AtomicBool,
) -> io::Result<()> {
    for line in lines {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Line {
            number,
            position,
            entry,
        } = line?;
        match entry {
            Ok(entry) => {
                let queue = queues.get(worker_of(&entry.record, queues.len()));
                if queue.is_none_or(|queue| queue.send((number, position, entry)).is_err()) {
                    break;
                }
            }
            Err(error) => {
                let refused = Outcome {
                    line: number,
                    position,
                    name: None,
                    result: Err(error),
                };
                // The receiver lives until all senders are gone.
                let _ = outcomes.send(refused);
            }
        }
    }
    Ok(())
}

/// The same for all spellings of a name.
fn worker_of(record: &Registration, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    for text in [&record.name, &record.service] {
        if let Ok(text) = Text::from_str(text.strip_suffix('.').unwrap_or(text)) {
            text.folded_units().for_each(|unit| unit.hash(&mut hasher));
        }
        hasher.write_u16(0);
    }
    let workers = u64::try_from(workers).unwrap_or(1).max(1);
    usize::try_from(hasher.finish() % workers).unwrap_or(0)
}

/// Brings one entry into the state that it describes.
fn store<T: Transport>(client: &Client<T>, entry: &StoredRecord) -> Result<(), Error> {
    client.set(Operation::Register, SetFlags::empty(), &entry.record)?;
    if entry.state == RecordState::Deregistered {
        client.set(Operation::Deregister, SetFlags::empty(), &entry.record)?;
    }
    Ok(())
}

/// All records of the hosted providers, or of one of them, sorted by name and service.
///
/// # Errors
/// If a provider is not hosted, or what the driver answered.
pub fn export<T: Transport>(
    client: &AdminClient<T>,
    provider: Option<Guid>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<StoredRecord>, Error> {
    let hosted = client.hosted()?;
    if let Some(guid) = provider.filter(|guid| !hosted.iter().any(|hosted| hosted.guid == *guid)) {
        let reason = format!("the provider driver does not host {guid}");
        return Err(Error::Explained(WsaCode::WSASERVICE_NOT_FOUND, reason));
    }
    let wanted = |hosted: &&HostedProvider| provider.is_none_or(|guid| hosted.guid == guid);
    let mut records = Vec::new();
    for hosted in hosted.iter().filter(wanted) {
        let mut cursor = 0;
        loop {
            let (page, next) = client.list(hosted.guid, cursor)?;
            // Whatever the store says about it, this is where the record is.
            records.extend(page.into_iter().map(|mut record| {
                record.record.provider = Some(hosted.guid);
                record
            }));
            progress(records.len());
            if next == 0 {
                break;
            }
            cursor = next;
        }
    }
    records.sort_by_cached_key(|record| sort_key(&record.record));
    Ok(records)
}

/// Sorts names as they are compared.
fn sort_key(record: &Registration) -> (Vec<u16>, Vec<u16>, Option<Guid>) {
    let folded = |text: &str| {
        Text::from_str(text)
            .map(|text| text.folded_units().collect())
            .unwrap_or_default()
    };
    (folded(&record.name), folded(&record.service), record.provider)
}
