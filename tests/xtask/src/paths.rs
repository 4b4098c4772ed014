//! Where things are: sources in the repository, everything that is made below `target/wine`.

use std::path::{Path, PathBuf};

/// The drivers, by the name of their images.
pub const DRIVERS: [&str; 2] = ["nsemail_client", "nsemail_provider"];

/// The folders that the tasks read and write.
pub struct Paths {
    /// The root of the repository.
    pub repository: PathBuf,
    /// Headers, entry stub, import table and stand-in modules of the build without the WDK.
    pub sources: PathBuf,
    /// What stands in for an installed WDK.
    pub content_root: PathBuf,
    /// wdk-build as published, without its checks of the host.
    pub wdk_build: PathBuf,
    /// The workspace as it is built for Windows, with a lock file of its own.
    pub stage: PathBuf,
    /// Objects and libraries on their way into the content root.
    pub scratch: PathBuf,
    /// The files that were made.
    pub out: PathBuf,
}

impl Paths {
    /// The folders of the repository that this program was built from.
    pub fn of_this_repository() -> Self {
        let mut repository = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        repository.pop();
        repository.pop();
        Self::new(repository)
    }

    fn new(repository: PathBuf) -> Self {
        let made = repository.join("target/wine");
        Self {
            sources: repository.join("tests/wine"),
            content_root: made.join("content-root"),
            wdk_build: made.join("wdk-build"),
            stage: made.join("stage"),
            scratch: made.join("scratch"),
            out: made.join("out"),
            repository,
        }
    }

    /// The folder of everything that is made.
    pub fn made(&self) -> PathBuf {
        self.repository.join("target/wine")
    }

    /// Where cargo puts what it builds for Windows. wdk-build finds the workspace by walking up from there.
    pub fn target(&self) -> PathBuf {
        self.stage.join("target")
    }

    /// The path below the repository, for messages.
    pub fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.repository).unwrap_or(path).display()
    }
}
