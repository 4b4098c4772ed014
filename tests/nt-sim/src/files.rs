//! The file system: one volume, in memory or in a folder of the host.
//!
//! Drivers reach it through the Zw functions; tests and tools look at it through
//! [`Machine::files`](crate::Machine::files). The volume is known as `\SystemRoot` (its folder
//! `Windows`), `\??\C:` and `\DosDevices\C:`. Names keep their case and are compared without it.
//!
//! Sharing is checked as `IoCheckShareAccess` does, and a file that is marked for deletion goes with
//! its last handle, and cannot be opened until then.
//!
//! Three means for tests: a [`Hold`] keeps an operation in flight for as long as the test likes, a
//! [`Fault`] that is [injected](crate::Machine::inject) makes operations fail (a full disk, a broken one), and [`Files::crash_image`] tells what a
//! power failure would leave (its model is described in `files/medium.rs`).

mod folder;
mod gate;
mod medium;
mod memory;
mod open;
mod path;

use std::{collections::HashMap, sync::Arc};

use gate::Gates;
pub use gate::{Fault, Hold, Operation};
pub use medium::{Disk, Loss, SECTOR};
pub use open::{Disposition, FileInfo, OpenFile, OpenOptions, Outcome, Rights, WriteAt};
use path::VolumePath;

use crate::{Machine, machine::Config, ntstatus::NtStatus, sync::StateLock};

/// What a name on the volume stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with content.
    File,
    /// A directory.
    Directory,
}

/// Where a volume's content is kept. Paths are relative to the volume and checked already.
trait Volume: Send + Sync + core::fmt::Debug {
    /// Tells what is at a path. `OBJECT_NAME_NOT_FOUND` if only the last part is missing, else
    /// `OBJECT_PATH_NOT_FOUND`.
    fn kind(&self, path: &VolumePath) -> Result<Kind, NtStatus>;
    /// Makes an empty file at a path where nothing is.
    fn create_file(&self, path: &VolumePath) -> Result<(), NtStatus>;
    /// Makes a directory at a path where nothing is.
    fn create_directory(&self, path: &VolumePath) -> Result<(), NtStatus>;
    /// Opens a file's content.
    fn open(&self, path: &VolumePath) -> Result<Arc<dyn Stream>, NtStatus>;
    /// Removes a file or an empty directory.
    fn remove(&self, path: &VolumePath) -> Result<(), NtStatus>;
    /// Gives a file another name, in place of a file that has it.
    fn rename(&self, from: &VolumePath, to: &VolumePath) -> Result<(), NtStatus>;
    /// Returns what is in a directory, in alphabetical order.
    fn list(&self, path: &VolumePath) -> Result<Vec<(String, Kind)>, NtStatus>;
    /// Makes sure that names made, changed or removed in a directory would outlast a power failure.
    fn flush_directory(&self, path: &VolumePath) -> Result<(), NtStatus>;
}

/// The content of a file.
trait Stream: Send + Sync + core::fmt::Debug {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize, NtStatus>;
    fn write(&self, offset: u64, from: &[u8]) -> Result<(), NtStatus>;
    fn size(&self) -> Result<u64, NtStatus>;
    fn set_size(&self, size: u64) -> Result<(), NtStatus>;
    /// Makes sure that the content would outlast a power failure.
    fn flush(&self) -> Result<(), NtStatus>;
}

/// What this module keeps per machine.
#[derive(Debug)]
pub(crate) struct State {
    volume: Box<dyn Volume>,
    recorder: Option<Arc<medium::Recorder>>,
    gates: Gates,
    shares: StateLock<HashMap<String, open::Share>>,
}

impl State {
    /// The state of a machine that was just built.
    pub(crate) fn new(config: &Config) -> std::io::Result<Self> {
        let mut recorder = None;
        let volume: Box<dyn Volume> = match &config.state_dir {
            None => {
                let disk = config.disk.clone().unwrap_or_default();
                let volume = memory::MemoryVolume::with(&disk, None);
                make_directories(&volume, DRIVER_DATA).map_err(std::io::Error::other)?;
                if config.record_disk {
                    // What every machine has is there from the start.
                    let disk = volume.disk();
                    let recording = Arc::new(medium::Recorder::new(disk.clone()));
                    recorder = Some(Arc::clone(&recording));
                    Box::new(memory::MemoryVolume::with(&disk, Some(recording)))
                } else {
                    Box::new(volume)
                }
            }
            Some(folder) => {
                let volume = folder::FolderVolume::new(&folder.join("volume"))?;
                make_directories(&volume, DRIVER_DATA).map_err(std::io::Error::other)?;
                Box::new(volume)
            }
        };
        Ok(Self {
            volume,
            recorder,
            gates: Gates::default(),
            shares: StateLock::default(),
        })
    }

    /// Makes a directory and those above it, as far as they are missing.
    pub(crate) fn make_directories(&self, path: &str) -> Result<(), NtStatus> {
        make_directories(&*self.volume, path)
    }
}

/// Where drivers have their own directories.
const DRIVER_DATA: &str = r"\SystemRoot\System32\drivers\DriverData";

fn make_directories(volume: &dyn Volume, path: &str) -> Result<(), NtStatus> {
    let path = VolumePath::parse(path)?;
    for depth in 1..=path.depth() {
        let part = path.prefix(depth);
        match volume.kind(&part) {
            Ok(Kind::Directory) => {}
            Ok(Kind::File) => return Err(NtStatus::NOT_A_DIRECTORY),
            Err(_) => volume.create_directory(&part)?,
        }
    }
    Ok(())
}

/// The volume as a test or a tool looks at it; operations here are neither held nor made to fail.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    machine: &'a Machine,
}

impl Files<'_> {
    /// Returns what a file holds.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND` or `OBJECT_PATH_NOT_FOUND`.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, NtStatus> {
        let stream = self.state().volume.open(&VolumePath::parse(path)?)?;
        let size = usize::try_from(stream.size()?).map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        let mut content = vec![0; size];
        let read = stream.read(0, &mut content)?;
        content.truncate(read);
        Ok(content)
    }

    /// Replaces what a file holds; makes the file if it is missing.
    ///
    /// # Errors
    ///
    /// `OBJECT_PATH_NOT_FOUND` if the directory is missing.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<(), NtStatus> {
        let path = VolumePath::parse(path)?;
        let volume = &self.state().volume;
        if volume.kind(&path) == Err(NtStatus::OBJECT_NAME_NOT_FOUND) {
            volume.create_file(&path)?;
        }
        let stream = volume.open(&path)?;
        stream.set_size(0)?;
        stream.write(0, content)?;
        stream.flush()
    }

    /// Removes a file or an empty directory.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND`, `OBJECT_PATH_NOT_FOUND`, `DIRECTORY_NOT_EMPTY`.
    pub fn remove(&self, path: &str) -> Result<(), NtStatus> {
        self.state().volume.remove(&VolumePath::parse(path)?)
    }

    /// Returns the names in a directory, in alphabetical order.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND`, `OBJECT_PATH_NOT_FOUND`, `NOT_A_DIRECTORY`.
    pub fn list(&self, path: &str) -> Result<Vec<(String, Kind)>, NtStatus> {
        self.state().volume.list(&VolumePath::parse(path)?)
    }

    /// Tells whether something is at a path.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        VolumePath::parse(path).is_ok_and(|path| self.state().volume.kind(&path).is_ok())
    }

    /// How many steps the volume has made: each name that was made, changed or removed, each write, change of size and
    /// flush. 0 unless the machine records its disk.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.state()
            .recorder
            .as_ref()
            .map_or(0, |recorder| recorder.count())
    }

    /// Says what a step was, for a test that failed after it.
    #[must_use]
    pub fn describe_step(&self, index: usize) -> Option<String> {
        self.state().recorder.as_ref()?.describe(index)
    }

    /// Returns what is on the medium if the power fails when the volume has made `at` steps and not yet begun the next.
    /// (A step in the middle of which the power fails leaves nothing that a loss after it does not.)
    ///
    /// # Panics
    ///
    /// Unless the machine records its disk.
    #[must_use]
    pub fn crash_image(&self, at: usize, loss: Loss) -> Disk {
        let recorder = self.state().recorder.as_ref();
        recorder
            .expect("MachineBuilder::record_disk() comes first")
            .crash_image(at, loss)
    }

    fn state(&self) -> &State {
        self.machine.files_state()
    }
}

impl Machine {
    /// Returns the volume, to look at it or to prepare it.
    #[must_use]
    pub const fn files(&self) -> Files<'_> {
        Files { machine: self }
    }

    /// Holds operations of a driver on files back from now on, until the hold is released or
    /// dropped. The caller of a held operation waits inside the kernel.
    #[must_use = "dropping the hold releases it"]
    pub fn hold(&self, operation: Operation) -> Hold {
        self.files_state().gates.hold(self, operation, None)
    }

    /// As [`Self::hold`], for files whose path contains `part`, whatever its case.
    #[must_use = "dropping the hold releases it"]
    pub fn hold_file(&self, operation: Operation, part: &str) -> Hold {
        self.files_state().gates.hold(self, operation, Some(part))
    }
}

/// Releases what this module holds, when all drivers are stopped.
pub(crate) fn shutdown(machine: &Machine) {
    machine.files_state().gates.release_all();
}
