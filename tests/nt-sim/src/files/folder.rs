//! A volume in a folder of the host.
//!
//! Each file is a file of the host under the same name, so a person can look at it. Names are found
//! whatever their case, also on hosts that tell cases apart.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Kind, Stream, Volume, path::VolumePath};
use crate::ntstatus::NtStatus;

#[derive(Debug)]
pub(super) struct FolderVolume {
    root: PathBuf,
}

#[derive(Debug)]
struct HostFile(File);

fn status(error: &io::Error) -> NtStatus {
    match error.kind() {
        ErrorKind::NotFound => NtStatus::OBJECT_NAME_NOT_FOUND,
        ErrorKind::AlreadyExists => NtStatus::OBJECT_NAME_COLLISION,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => NtStatus::ACCESS_DENIED,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => NtStatus::DISK_FULL,
        ErrorKind::DirectoryNotEmpty => NtStatus::DIRECTORY_NOT_EMPTY,
        ErrorKind::IsADirectory => NtStatus::FILE_IS_A_DIRECTORY,
        ErrorKind::NotADirectory => NtStatus::OBJECT_PATH_NOT_FOUND,
        ErrorKind::OutOfMemory => NtStatus::INSUFFICIENT_RESOURCES,
        _ => NtStatus::IO_DEVICE_ERROR,
    }
}

fn kind_of(path: &Path) -> Option<Kind> {
    let found = fs::metadata(path).ok()?;
    Some(if found.is_dir() {
        Kind::Directory
    } else {
        Kind::File
    })
}

/// Returns the host's spelling of a name in a directory, if it is there.
fn spelling(directory: &Path, name: &str) -> Option<PathBuf> {
    let exact = directory.join(name);
    if exact.exists() {
        return Some(exact);
    }
    let wanted = name.to_uppercase();
    let entries = fs::read_dir(directory).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.to_uppercase() == wanted)
    })
}

impl FolderVolume {
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Returns where a path is, or would be, on the host, and whether it is there. Fails if what is
    /// above it is missing.
    fn find(&self, path: &VolumePath) -> Result<(PathBuf, bool), NtStatus> {
        let Some((name, above)) = path.names().split_last() else {
            return Ok((self.root.clone(), true));
        };
        let mut directory = self.root.clone();
        for part in above {
            directory = spelling(&directory, part)
                .filter(|found| kind_of(found) == Some(Kind::Directory))
                .ok_or(NtStatus::OBJECT_PATH_NOT_FOUND)?;
        }
        Ok(spelling(&directory, name).map_or_else(|| (directory.join(name), false), |found| (found, true)))
    }

    fn existing(&self, path: &VolumePath) -> Result<PathBuf, NtStatus> {
        match self.find(path)? {
            (found, true) => Ok(found),
            _ => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
        }
    }
}

impl Volume for FolderVolume {
    fn kind(&self, path: &VolumePath) -> Result<Kind, NtStatus> {
        kind_of(&self.existing(path)?).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)
    }

    fn create_file(&self, path: &VolumePath) -> Result<(), NtStatus> {
        let (host, _) = self.find(path)?;
        File::create_new(host).map(|_| ()).map_err(|error| status(&error))
    }

    fn create_directory(&self, path: &VolumePath) -> Result<(), NtStatus> {
        let (host, _) = self.find(path)?;
        fs::create_dir(host).map_err(|error| status(&error))
    }

    fn open(&self, path: &VolumePath) -> Result<Arc<dyn Stream>, NtStatus> {
        let host = self.existing(path)?;
        if kind_of(&host) == Some(Kind::Directory) {
            return Err(NtStatus::FILE_IS_A_DIRECTORY);
        }
        let file = File::options()
            .read(true)
            .write(true)
            .open(host)
            .map_err(|error| status(&error))?;
        Ok(Arc::new(HostFile(file)))
    }

    fn remove(&self, path: &VolumePath) -> Result<(), NtStatus> {
        let host = self.existing(path)?;
        let removed = match kind_of(&host) {
            Some(Kind::Directory) => fs::remove_dir(host),
            _ => fs::remove_file(host),
        };
        removed.map_err(|error| status(&error))
    }

    fn rename(&self, from: &VolumePath, to: &VolumePath) -> Result<(), NtStatus> {
        let (old, (new, _)) = (self.existing(from)?, self.find(to)?);
        fs::rename(old, new).map_err(|error| status(&error))
    }

    fn list(&self, path: &VolumePath) -> Result<Vec<(String, Kind)>, NtStatus> {
        let host = self.existing(path)?;
        if kind_of(&host) == Some(Kind::File) {
            return Err(NtStatus::NOT_A_DIRECTORY);
        }
        let mut names: Vec<(String, Kind)> = fs::read_dir(host)
            .map_err(|error| status(&error))?
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some((name, kind_of(&entry.path())?))
            })
            .collect();
        names.sort_by_key(|(name, _)| name.to_uppercase());
        Ok(names)
    }

    fn flush_directory(&self, path: &VolumePath) -> Result<(), NtStatus> {
        // Windows hosts cannot flush a directory; their file systems log such changes.
        if cfg!(unix) {
            let host = self.existing(path)?;
            File::open(host)
                .and_then(|folder| folder.sync_all())
                .map_err(|error| status(&error))?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, offset)
}

#[cfg(windows)]
fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, into, offset)
}

#[cfg(unix)]
fn write_at(file: &File, from: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, from, offset)
}

#[cfg(windows)]
fn write_at(file: &File, from: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, from, offset)
}

impl Stream for HostFile {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize, NtStatus> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            match read_at(&self.0, rest, at) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(status(&error)),
            }
        }
        Ok(done)
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), NtStatus> {
        let mut done = 0;
        while let Some(rest) = from.get(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            match write_at(&self.0, rest, at) {
                Ok(0) => return Err(NtStatus::DISK_FULL),
                Ok(written) => done += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(status(&error)),
            }
        }
        Ok(())
    }

    fn size(&self) -> Result<u64, NtStatus> {
        self.0
            .metadata()
            .map(|found| found.len())
            .map_err(|error| status(&error))
    }

    fn set_size(&self, size: u64) -> Result<(), NtStatus> {
        self.0.set_len(size).map_err(|error| status(&error))
    }

    fn flush(&self) -> Result<(), NtStatus> {
        self.0.sync_data().map_err(|error| status(&error))
    }
}
