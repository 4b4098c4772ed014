//! The two files of a provider's journal: which one counts, and how the next generation takes over.
//!
//! Generation *g* lives in file *g* mod 2. A file counts when it holds [`Kind::SnapshotEnd`]: then everything that the
//! generation before it held is in it. The next generation is written beside the present one, made durable with that
//! mark as its last record, and only then used; the old file is deleted afterwards. So at start-up:
//!
//! | files | conclusion |
//! |---|---|
//! | none | a new store: generation 1 is begun |
//! | one, counting | it is the store |
//! | one, not counting | its first writing never finished, so nothing in it was acknowledged: a new store |
//! | two | the higher generation if it counts, else the lower; the other one is deleted |
//! | one damaged | the provider is not loaded; both files stay as they are |

use pool_alloc::{Allocator, OutOfMemory};

use super::format::{FrameBuilder, FrameError, Header, Kind, Record};
use super::log::{AppendError, LoadError, Loaded, Log, Refused};
use super::{JournalDirectory, JournalFile};

/// A generation's frames are about as long as this while it is being written, one flush each.
const SNAPSHOT_FRAME: usize = 4 << 20;

/// What the records of a file become. A file that turns out not to count is loaded in vain, so loading can start anew.
pub trait Receiver {
    /// Forgets everything.
    fn clear(&mut self);

    /// Takes one record, in order.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    fn receive(&mut self, record: Record<'_>) -> Result<(), Refused>;
}

/// A provider's journal, ready for changes.
#[derive(Debug)]
pub struct Journal<D: JournalDirectory> {
    directory: D,
    log: Log<D::File>,
    /// The other file may hold a generation that would be taken for the present one: a rewriting failed.
    obstructed: bool,
}

type FileError<D> = <<D as JournalDirectory>::File as JournalFile>::Error;

impl<D: JournalDirectory> Journal<D> {
    /// Loads the store from its files, or begins it.
    ///
    /// `salt` is used if a file has to be begun.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]. Nothing was changed then, unless a file had to be begun.
    pub fn open<A: Allocator + Clone>(
        directory: D,
        provider: [u8; 16],
        salt: u64,
        alloc: &A,
        receiver: &mut impl Receiver,
    ) -> Result<(Self, Loaded), LoadError<FileError<D>>> {
        let mut generations = [None, None];
        // A file whose header cannot be read may be the one that counts, so it is read before the other one.
        let mut ranks = [0, 0];
        let places = generations.iter_mut().zip(&mut ranks);
        for (number, (generation, rank)) in [0_u8, 1].into_iter().zip(places) {
            if let Some(file) = directory.open(number).map_err(LoadError::File)? {
                *generation = peek(&file, provider)?;
                *rank = generation.unwrap_or(u64::MAX);
            }
        }
        let order: [u8; 2] = if ranks.first() > ranks.last() {
            [0, 1]
        } else {
            [1, 0]
        };
        for number in order {
            let Some(file) = directory.open(number).map_err(LoadError::File)? else {
                continue;
            };
            receiver.clear();
            match Log::open(file, provider, alloc.clone(), |record| receiver.receive(record)) {
                Ok((log, loaded)) if loaded.complete => {
                    discard(&directory, number ^ 1).map_err(LoadError::File)?;
                    return Ok((
                        Self {
                            directory,
                            log,
                            obstructed: false,
                        },
                        loaded,
                    ));
                }
                Ok(_) | Err(LoadError::Unfinished) => {}
                Err(error) => return Err(error),
            }
        }
        receiver.clear();
        let generation = generations
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(0)
            .saturating_add(1);
        let header = Header {
            generation,
            salt,
            provider,
        };
        let log = begin(&directory, header, alloc, core::iter::empty())?;
        discard(&directory, number(generation) ^ 1).map_err(LoadError::File)?;
        Ok((
            Self {
                directory,
                log,
                obstructed: false,
            },
            Loaded::default(),
        ))
    }

    /// Appends a frame of those records and returns when it is durable; without `durable`, when it is written.
    ///
    /// # Errors
    ///
    /// The file system's, or no memory. The records are then no part of the journal, and nothing will be appended
    /// before what the failure left could be removed.
    pub fn append<A: Allocator>(
        &mut self,
        frame: &mut FrameBuilder<A>,
        durable: bool,
    ) -> Result<(), AppendError<FileError<D>>> {
        if self.obstructed {
            let other = number(self.log.header().generation) ^ 1;
            discard(&self.directory, other).map_err(AppendError::File)?;
            self.obstructed = false;
        }
        self.log.append(frame, durable)
    }

    /// Makes durable what was appended without being.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn flush(&mut self) -> Result<(), FileError<D>> {
        self.log.flush()
    }

    /// Writes the next generation, which holds `contents` only, and goes on in it.
    ///
    /// # Errors
    ///
    /// The file system's, or no memory. The journal is then as it was.
    pub fn rewrite<'r, A: Allocator + Clone>(
        &mut self,
        salt: u64,
        alloc: &A,
        contents: impl Iterator<Item = &'r [u8]>,
    ) -> Result<(), LoadError<FileError<D>>> {
        let present = self.log.header();
        let header = Header {
            generation: present.generation.saturating_add(1),
            salt,
            provider: present.provider,
        };
        match begin(&self.directory, header, alloc, contents) {
            Ok(next) => {
                self.log = next;
                // The old file no longer counts, whether or not it could be deleted: its generation is lower.
                let _stays = self.directory.delete(number(present.generation));
                Ok(())
            }
            Err(error) => {
                // It may have become whole although its flush failed, and would then hide what is appended here.
                self.obstructed = discard(&self.directory, number(header.generation)).is_err();
                Err(error)
            }
        }
    }

    /// Bytes of the file that count.
    pub const fn size(&self) -> u64 {
        self.log.size()
    }

    /// The present generation.
    pub const fn generation(&self) -> u64 {
        self.log.header().generation
    }

    /// Whether a failure was not yet undone: changes are refused until it can be.
    pub const fn is_suspended(&self) -> bool {
        self.obstructed || self.log.is_suspended()
    }
}

/// Removes a file for good. Emptied first, it does not count even if the deletion is undone by a crash.
fn discard<D: JournalDirectory>(directory: &D, number: u8) -> Result<(), FileError<D>> {
    let Some(mut file) = directory.open(number)? else {
        return Ok(());
    };
    file.truncate(0)?;
    file.flush()?;
    drop(file);
    directory.delete(number)
}

/// The generation that a file names, without reading further.
fn peek<F: JournalFile>(file: &F, provider: [u8; 16]) -> Result<Option<u64>, LoadError<F::Error>> {
    let mut bytes = [0; super::format::HEADER_SIZE];
    let read = file.read_at(0, &mut bytes).map_err(LoadError::File)?;
    match Header::decode(bytes.get(..read).unwrap_or_default()) {
        Ok(header) if header.provider == provider => Ok(Some(header.generation)),
        Ok(_) => Err(LoadError::Foreign),
        Err(super::format::HeaderFault::Version(version)) => Err(LoadError::Version(version)),
        // What this means, reading the file will tell.
        Err(_) => Ok(None),
    }
}

fn begin<'r, D: JournalDirectory, A: Allocator + Clone>(
    directory: &D,
    header: Header,
    alloc: &A,
    contents: impl Iterator<Item = &'r [u8]>,
) -> Result<Log<D::File>, LoadError<FileError<D>>> {
    let file = directory
        .create(number(header.generation))
        .map_err(LoadError::File)?;
    let mut log = Log::create(file, header).map_err(LoadError::File)?;
    let mut frame = FrameBuilder::try_new_in(alloc.clone())?;
    for content in contents {
        if frame.payload() >= SNAPSHOT_FRAME {
            log.append(&mut frame, true)?;
            frame.clear();
        }
        frame.try_push(Kind::Put, content)?;
    }
    frame.try_push(Kind::SnapshotEnd, &[])?;
    log.append(&mut frame, true)?;
    Ok(log)
}

const fn number(generation: u64) -> u8 {
    (generation & 1) as u8
}

impl<E> From<AppendError<E>> for LoadError<E> {
    fn from(error: AppendError<E>) -> Self {
        match error {
            AppendError::File(error) => Self::File(error),
            AppendError::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl<E> From<FrameError> for LoadError<E> {
    fn from(_: FrameError) -> Self {
        Self::from(OutOfMemory)
    }
}

#[cfg(test)]
#[path = "generations_tests.rs"]
mod tests;
