//! Open files, as handles name them.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::{Kind, Operation, State, Stream, path::VolumePath};
use crate::{Machine, faults::Failure, ntstatus::NtStatus, sync::StateLock};

/// Rights on an open file, and what others may do meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Reading.
    pub read: bool,
    /// Writing or appending.
    pub write: bool,
    /// Renaming and deleting.
    pub delete: bool,
}

/// What to do if a file is there, or is not (`FILE_OPEN` and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// `FILE_SUPERSEDE`: replace it, or make it.
    Supersede,
    /// `FILE_OPEN`: it must be there.
    Open,
    /// `FILE_CREATE`: it must not be there.
    Create,
    /// `FILE_OPEN_IF`: open it, or make it.
    OpenIf,
    /// `FILE_OVERWRITE`: it must be there, and becomes empty.
    Overwrite,
    /// `FILE_OVERWRITE_IF`: it becomes empty, or is made.
    OverwriteIf,
}

/// What became of a file by opening it (`FILE_OPENED` and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was replaced.
    Superseded,
    /// It was opened.
    Opened,
    /// It was made.
    Created,
    /// It was emptied.
    Overwritten,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// What the handle is for.
    pub access: Rights,
    /// What other handles may be for.
    pub share: Rights,
    /// What to do with what is there.
    pub disposition: Disposition,
    /// What it must be; `None` takes a file or an existing directory.
    pub kind: Option<Kind>,
    /// Every write goes to the end of the file.
    pub append_only: bool,
    /// The file goes with its last handle.
    pub delete_on_close: bool,
}

/// Size and state of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// How many bytes it holds.
    pub size: u64,
    /// Whether it goes with its last handle.
    pub delete_pending: bool,
    /// Whether it is a directory.
    pub directory: bool,
}

/// All handles of one file.
#[derive(Debug, Default)]
pub(super) struct Share {
    opens: Vec<(Rights, Rights)>,
    delete_pending: bool,
}

/// An open file or directory. The volume forgets it when it is dropped.
#[derive(Debug)]
pub struct OpenFile {
    machine: Machine,
    path: StateLock<VolumePath>,
    /// `None` for a directory.
    stream: Option<Arc<dyn Stream>>,
    options: OpenOptions,
    position: StateLock<u64>,
    /// Its name was made or changed by this handle and is not flushed yet.
    fresh: AtomicBool,
}

impl OpenFile {
    /// Opens the file at an absolute path.
    ///
    /// # Errors
    ///
    /// As `ZwCreateFile`.
    pub fn open(machine: &Machine, path: &str, options: OpenOptions) -> Result<(Self, Outcome), NtStatus> {
        Self::open_at(machine, VolumePath::parse(path)?, options)
    }

    /// Opens a file at a path relative to this directory.
    ///
    /// # Errors
    ///
    /// As `ZwCreateFile`.
    pub fn open_below(&self, path: &str, options: OpenOptions) -> Result<(Self, Outcome), NtStatus> {
        if self.stream.is_some() {
            return Err(NtStatus::OBJECT_PATH_NOT_FOUND);
        }
        let path = self.path.with(|own| own.join(path))?;
        Self::open_at(&self.machine, path, options)
    }

    fn open_at(
        machine: &Machine,
        path: VolumePath,
        options: OpenOptions,
    ) -> Result<(Self, Outcome), NtStatus> {
        let state = machine.files_state();
        state.gates.pass(machine, Operation::CreateFile, &path)?;
        let key = path.key();
        state.shares.with(|shares| {
            let share = shares.entry(key.clone()).or_default();
            let opened = if share.delete_pending {
                Err(NtStatus::DELETE_PENDING)
            } else {
                check_share(share, &options).and_then(|()| prepare(state, &path, &options))
            };
            let (outcome, kind) = match opened {
                Ok(opened) => opened,
                Err(status) => {
                    if share.opens.is_empty() {
                        shares.remove(&key);
                    }
                    return Err(status);
                }
            };
            let stream = match kind {
                Kind::File => Some(state.volume.open(&path)?),
                Kind::Directory => None,
            };
            share.opens.push((options.access, options.share));
            share.delete_pending |= options.delete_on_close;
            let file = Self {
                machine: machine.clone(),
                path: StateLock::new(path),
                stream,
                options,
                position: StateLock::new(0),
                fresh: AtomicBool::new(outcome == Outcome::Created),
            };
            Ok((file, outcome))
        })
    }

    fn stream(&self) -> Result<&dyn Stream, NtStatus> {
        self.stream.as_deref().ok_or(NtStatus::INVALID_DEVICE_REQUEST)
    }

    fn pass(&self, operation: Operation) -> Result<(), NtStatus> {
        let path = self.path.with(|path| path.clone());
        let gates = &self.machine.files_state().gates;
        gates.pass(&self.machine, operation, &path)
    }

    /// Reads from `offset`, or from the handle's position; less than asked for only at the end.
    ///
    /// # Errors
    ///
    /// `END_OF_FILE` if nothing is there; `ACCESS_DENIED`.
    pub fn read(&self, offset: Option<u64>, into: &mut [u8]) -> Result<usize, NtStatus> {
        if !self.options.access.read {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let stream = self.stream()?;
        self.pass(Operation::ReadFile)?;
        let start = offset.unwrap_or_else(|| self.position.with(|position| *position));
        let read = stream.read(start, into)?;
        if read == 0 && !into.is_empty() {
            return Err(NtStatus::END_OF_FILE);
        }
        self.advance(start, read);
        Ok(read)
    }

    /// Writes at an offset, at the handle's position, or at the end of the file.
    ///
    /// # Errors
    ///
    /// `DISK_FULL`, `ACCESS_DENIED`.
    pub fn write(&self, at: WriteAt, from: &[u8]) -> Result<(), NtStatus> {
        if !self.options.access.write {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let stream = self.stream()?;
        let path = self.path.with(|path| path.clone());
        let gates = &self.machine.files_state().gates;
        let failure = gates.judge(&self.machine, Operation::WriteFile, &path).err();
        if let Some(Failure { status, torn: false }) = failure {
            return Err(status);
        }
        let start = match at {
            _ if self.options.append_only => stream.size()?,
            WriteAt::Offset(offset) => offset,
            WriteAt::Position => self.position.with(|position| *position),
            WriteAt::End => stream.size()?,
        };
        if let Some(Failure { status, .. }) = failure {
            stream.write(start, from.get(..from.len() / 2).unwrap_or_default())?;
            return Err(status);
        }
        stream.write(start, from)?;
        self.advance(start, from.len());
        Ok(())
    }

    fn advance(&self, start: u64, by: usize) {
        let by = u64::try_from(by).unwrap_or(u64::MAX);
        self.position
            .with(|position| *position = start.saturating_add(by));
    }

    /// Makes sure that what was written would outlast a power failure.
    ///
    /// # Errors
    ///
    /// `IO_DEVICE_ERROR`; `ACCESS_DENIED` without the right to write.
    pub fn flush(&self) -> Result<(), NtStatus> {
        if !self.options.access.write {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let stream = self.stream()?;
        self.pass(Operation::FlushFile)?;
        stream.flush()?;
        if self.fresh.swap(false, Ordering::Relaxed) {
            let parent = self.path.with(|path| path.parent());
            self.machine.files_state().volume.flush_directory(&parent)?;
        }
        Ok(())
    }

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// `DISK_FULL`, `ACCESS_DENIED`.
    pub fn set_size(&self, size: u64) -> Result<(), NtStatus> {
        if !self.options.access.write {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let stream = self.stream()?;
        self.pass(Operation::SetEndOfFile)?;
        stream.set_size(size)
    }

    /// Moves the handle's position.
    pub fn set_position(&self, to: u64) {
        self.position.with(|position| *position = to);
    }

    /// Marks the file to go with its last handle, or takes that back.
    ///
    /// # Errors
    ///
    /// `ACCESS_DENIED` without the right to delete; `DIRECTORY_NOT_EMPTY`.
    pub fn set_delete(&self, delete: bool) -> Result<(), NtStatus> {
        if !self.options.access.delete {
            return Err(NtStatus::ACCESS_DENIED);
        }
        self.pass(Operation::DeleteFile)?;
        let state = self.machine.files_state();
        let path = self.path.with(|path| path.clone());
        if delete && self.stream.is_none() && !state.volume.list(&path)?.is_empty() {
            return Err(NtStatus::DIRECTORY_NOT_EMPTY);
        }
        state.shares.with(|shares| {
            if let Some(share) = shares.get_mut(&path.key()) {
                share.delete_pending = delete;
            }
        });
        Ok(())
    }

    /// Gives the file another name: an absolute path, a path below `root`, or a bare name in the same
    /// directory. The new name is durable when the file is flushed.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_COLLISION` if the name is taken and `replace` is not set; `ACCESS_DENIED` without
    /// the right to delete, or if the file with the new name is open.
    pub fn rename(&self, root: Option<&Self>, name: &str, replace: bool) -> Result<(), NtStatus> {
        if !self.options.access.delete {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let from = self.path.with(|path| path.clone());
        let to = match root {
            Some(root) => root.path.with(|path| path.join(name))?,
            None if name.starts_with('\\') => VolumePath::parse(name)?,
            None => from.parent().join(name)?,
        };
        self.pass(Operation::RenameFile)?;
        let state = self.machine.files_state();
        state.shares.with(|shares| {
            let (old, new) = (from.key(), to.key());
            if old != new {
                match state.volume.kind(&to) {
                    Ok(_) if !replace => return Err(NtStatus::OBJECT_NAME_COLLISION),
                    Ok(Kind::Directory) => return Err(NtStatus::ACCESS_DENIED),
                    Ok(Kind::File) if shares.contains_key(&new) => return Err(NtStatus::ACCESS_DENIED),
                    Ok(Kind::File) | Err(NtStatus::OBJECT_NAME_NOT_FOUND) => {}
                    Err(status) => return Err(status),
                }
            }
            state.volume.rename(&from, &to)?;
            if let Some(share) = shares.remove(&old) {
                shares.insert(new, share);
            }
            self.path.with(|path| *path = to.clone());
            Ok(())
        })?;
        self.fresh.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Returns size and state.
    ///
    /// # Errors
    ///
    /// `IO_DEVICE_ERROR`.
    pub fn info(&self) -> Result<FileInfo, NtStatus> {
        let size = self.stream.as_ref().map_or(Ok(0), |stream| stream.size())?;
        let key = self.path.with(|path| path.key());
        let shares = &self.machine.files_state().shares;
        let delete_pending = shares.with(|shares| shares.get(&key).is_some_and(|share| share.delete_pending));
        Ok(FileInfo {
            size,
            delete_pending,
            directory: self.stream.is_none(),
        })
    }

    /// Returns the names in this directory.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` if it is no directory.
    pub fn list(&self) -> Result<Vec<(String, Kind)>, NtStatus> {
        if self.stream.is_some() {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let path = self.path.with(|path| path.clone());
        self.machine.files_state().volume.list(&path)
    }
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteAt {
    /// To this place.
    Offset(u64),
    /// Where the last operation of the handle ended.
    Position,
    /// Behind what is there.
    End,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let state = self.machine.files_state();
        let path = self.path.with(|path| path.clone());
        let key = path.key();
        state.shares.with(|shares| {
            let Some(share) = shares.get_mut(&key) else { return };
            let own = (self.options.access, self.options.share);
            if let Some(at) = share.opens.iter().position(|open| *open == own) {
                share.opens.swap_remove(at);
            }
            if share.opens.is_empty() {
                if share.delete_pending {
                    // Gone already, or a directory that was filled meanwhile: nobody can be told.
                    let _ = state.volume.remove(&path);
                }
                shares.remove(&key);
            }
        });
    }
}

fn check_share(share: &Share, options: &OpenOptions) -> Result<(), NtStatus> {
    let forbids = |wanted: Rights, shared: Rights| {
        (wanted.read && !shared.read) || (wanted.write && !shared.write) || (wanted.delete && !shared.delete)
    };
    let conflict = share
        .opens
        .iter()
        .any(|(access, shared)| forbids(options.access, *shared) || forbids(*access, options.share));
    if conflict {
        Err(NtStatus::SHARING_VIOLATION)
    } else {
        Ok(())
    }
}

/// Brings the volume into the state that the disposition asks for.
fn prepare(state: &State, path: &VolumePath, options: &OpenOptions) -> Result<(Outcome, Kind), NtStatus> {
    use Disposition::{Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede};
    match state.volume.kind(path) {
        Ok(_) if options.disposition == Create => Err(NtStatus::OBJECT_NAME_COLLISION),
        Ok(Kind::Directory) if options.kind == Some(Kind::File) => Err(NtStatus::FILE_IS_A_DIRECTORY),
        Ok(Kind::File) if options.kind == Some(Kind::Directory) => Err(NtStatus::NOT_A_DIRECTORY),
        Ok(kind) => match options.disposition {
            Open | OpenIf | Create => Ok((Outcome::Opened, kind)),
            Supersede | Overwrite | OverwriteIf if kind == Kind::Directory => {
                Err(NtStatus::INVALID_PARAMETER)
            }
            disposition => {
                state.volume.open(path)?.set_size(0)?;
                let superseded = disposition == Supersede;
                Ok((
                    if superseded {
                        Outcome::Superseded
                    } else {
                        Outcome::Overwritten
                    },
                    kind,
                ))
            }
        },
        Err(NtStatus::OBJECT_NAME_NOT_FOUND) if !matches!(options.disposition, Open | Overwrite) => {
            let kind = options.kind.unwrap_or(Kind::File);
            match kind {
                Kind::File => state.volume.create_file(path)?,
                Kind::Directory => state.volume.create_directory(path)?,
            }
            Ok((Outcome::Created, kind))
        }
        Err(status) => Err(status),
    }
}
