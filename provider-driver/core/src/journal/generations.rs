//! The two files of a provider's journal: which one counts, and how the next generation takes over.
//!
//! Generation *g* lives in file *g* mod 2. A file counts when it holds [`Kind::SnapshotEnd`]: then everything that the
//! generation before it held is in it. The next generation ([`Next`]) is written beside the present one, piece by piece
//! while changes go on being made in the present one; what changes meanwhile is written to both. The mark is its last
//! record before it is used, and is made durable; the old file is deleted afterwards. So at start-up:
//!
//! | files | conclusion |
//! |---|---|
//! | none | a new store: generation 1 is begun |
//! | one, counting | it is the store |
//! | one, not counting | its first writing never finished, so nothing in it was acknowledged: a new store |
//! | two | the higher generation if it counts, else the lower; the other one is deleted |
//! | one damaged, or in the place of the other one | the provider is not loaded; both files stay as they are |

use pool_alloc::Allocator;

use super::format::{FrameBuilder, FrameError, Header, Kind, Record};
use super::log::{AppendError, LoadError, Loaded, Log, Refused};
use super::{JournalDirectory, JournalFile};

/// What the records of a file become. A file that turns out not to count is loaded in vain, so loading can start anew.
pub trait Receiver {
    /// Forgets everything: what comes is read from a file of so many bytes.
    fn begin(&mut self, bytes: u64);

    /// Takes one record, in order.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    fn receive(&mut self, record: Record<'_>) -> Result<(), Refused>;
}

/// A provider's journal, ready for changes.
///
/// `F` is what `D` gives for a file. That a journal be kept while no thread may use its files, it does not have to be: see
/// [`Self::with`].
#[derive(Debug)]
pub struct Journal<D, F> {
    directory: D,
    log: Log<F>,
    /// The other file may hold a generation that would be taken for the present one: a rewriting failed.
    obstructed: bool,
}

type FileError<D> = <<D as JournalDirectory>::File as JournalFile>::Error;

impl<D, F> Journal<D, F> {
    /// The same with directory and file as another thread uses them.
    pub fn with<E, G>(self, directory: impl FnOnce(D) -> E, file: impl FnOnce(F) -> G) -> Journal<E, G> {
        Journal {
            directory: directory(self.directory),
            log: self.log.with(file),
            obstructed: self.obstructed,
        }
    }
}

impl<D: JournalDirectory> Journal<D, D::File> {
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
                *generation = peek(&file, number, provider)?;
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
            receiver.begin(file.size().map_err(LoadError::File)?);
            match Log::read(file, provider, alloc.clone(), |record| receiver.receive(record)) {
                Ok((mut log, loaded)) if loaded.complete => {
                    log.take_over().map_err(LoadError::File)?;
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
        receiver.begin(0);
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
        let mut next = begin(&directory, header, alloc)?;
        next.finish()?;
        let mut log = next.log;
        log.use_from_now_on();
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
        self.clear_way().map_err(AppendError::File)?;
        self.log.append(frame, durable)
    }

    fn clear_way(&mut self) -> Result<(), FileError<D>> {
        if self.obstructed {
            discard(&self.directory, number(self.log.header().generation) ^ 1)?;
            self.obstructed = false;
        }
        Ok(())
    }

    /// Makes durable what was appended without being.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn flush(&mut self) -> Result<(), FileError<D>> {
        self.log.flush()
    }

    /// Begins the next generation. It is to be given all that the store holds and all that is appended from now on, and
    /// then either [taken](Self::switch) or [given up](Self::give_up).
    ///
    /// # Errors
    ///
    /// The file system's, or no memory. The journal is as it was.
    pub fn begin_next<A: Allocator + Clone>(
        &mut self,
        salt: u64,
        alloc: &A,
    ) -> Result<Next<D::File, A>, AppendError<FileError<D>>> {
        self.clear_way().map_err(AppendError::File)?;
        let present = self.log.header();
        let header = Header {
            generation: present.generation.saturating_add(1),
            salt,
            provider: present.provider,
        };
        begin(&self.directory, header, alloc).inspect_err(|_| self.remove_next())
    }

    /// Goes on in the next generation, when it holds everything.
    ///
    /// # Errors
    ///
    /// The file system's, or no memory. The journal goes on in the present generation.
    pub fn switch<A: Allocator>(
        &mut self,
        mut next: Next<D::File, A>,
    ) -> Result<(), AppendError<FileError<D>>> {
        let finished = next.finish();
        let Next { mut log, .. } = next;
        log.use_from_now_on();
        if let Err(error) = finished {
            drop(log);
            // It may have become whole although its flush failed, and would then hide what is appended here.
            let other = number(self.log.header().generation) ^ 1;
            self.obstructed = discard(&self.directory, other).is_err();
            return Err(error);
        }
        let old = number(self.log.header().generation);
        self.log = log;
        // The old file no longer counts, whether or not it could be deleted: its generation is lower.
        let _stays = self.directory.delete(old);
        Ok(())
    }

    /// Does without the next generation.
    pub fn give_up<A: Allocator>(&mut self, next: Next<D::File, A>) {
        drop(next);
        self.remove_next();
    }

    /// Removes a next generation that was not finished. If that fails it stays: it does not count, and is written over.
    fn remove_next(&self) {
        let _stays = discard(&self.directory, number(self.log.header().generation) ^ 1);
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

/// Removes a file for good; false if there is none. Emptied first, it does not count even if the deletion is undone
/// by a crash.
///
/// # Errors
///
/// The file system's. The file may be empty then, or still whole.
pub fn discard<D: JournalDirectory>(directory: &D, number: u8) -> Result<bool, FileError<D>> {
    let Some(mut file) = directory.open(number)? else {
        return Ok(false);
    };
    file.truncate(0)?;
    file.flush()?;
    drop(file);
    directory.delete(number).map(|()| true)
}

/// The generation that file `place` names, without reading further.
fn peek<F: JournalFile>(file: &F, place: u8, provider: [u8; 16]) -> Result<Option<u64>, LoadError<F::Error>> {
    let mut bytes = [0; super::format::HEADER_SIZE];
    let read = file.read_at(0, &mut bytes).map_err(LoadError::File)?;
    match Header::decode(bytes.get(..read).unwrap_or_default()) {
        Ok(header) if header.provider != provider => Err(LoadError::Foreign),
        // The next generation would be written over it.
        Ok(header) if number(header.generation) != place => {
            Err(LoadError::Damaged(super::format::GENERATION_AT as u64))
        }
        Ok(header) => Ok(Some(header.generation)),
        Err(super::format::HeaderFault::Version(version)) => Err(LoadError::Version(version)),
        // What this means, reading the file will tell.
        Err(_) => Ok(None),
    }
}

/// A generation that is being written and does not count yet.
#[derive(Debug)]
pub struct Next<F, A: Allocator> {
    log: Log<F>,
    frame: FrameBuilder<A>,
}

impl<F: JournalFile, A: Allocator> Next<F, A> {
    /// Adds an object as it is now.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn put(&mut self, content: &[u8]) -> Result<(), FrameError> {
        self.frame.try_push(Kind::Put, content)
    }

    /// Adds the changes of a frame that was appended to the present generation.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn follow<B: Allocator>(&mut self, frame: &FrameBuilder<B>) -> Result<(), FrameError> {
        self.frame.try_append(frame)
    }

    /// Bytes that were added and not written.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.frame.payload()
    }

    /// Writes what was added, and returns when it is durable.
    ///
    /// # Errors
    ///
    /// The file system's, or no memory.
    pub fn write(&mut self) -> Result<(), AppendError<F::Error>> {
        if self.frame.records() > 0 {
            self.log.append(&mut self.frame, true)?;
            self.frame.clear();
        }
        Ok(())
    }

    /// Writes what was added, and that it is all.
    fn finish(&mut self) -> Result<(), AppendError<F::Error>> {
        self.frame.try_push(Kind::SnapshotEnd, &[])?;
        self.write()
    }
}

fn begin<D: JournalDirectory, A: Allocator + Clone>(
    directory: &D,
    header: Header,
    alloc: &A,
) -> Result<Next<D::File, A>, AppendError<FileError<D>>> {
    let frame = FrameBuilder::try_new_in(alloc.clone())?;
    let file = directory
        .create(number(header.generation))
        .map_err(AppendError::File)?;
    let log = Log::create(file, header).map_err(AppendError::File)?;
    Ok(Next { log, frame })
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

impl<E> From<FrameError> for AppendError<E> {
    fn from(_: FrameError) -> Self {
        Self::OutOfMemory
    }
}

#[cfg(test)]
#[path = "generations_tests.rs"]
mod tests;
