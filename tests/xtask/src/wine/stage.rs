//! The workspace as it is built for Windows.
//!
//! A folder below `target/` with links to the crates, a copy of the root manifest that names the changed wdk-build,
//! and a lock file of its own: so the repository's lock file stays as it is. It starts as a copy of that one, so the
//! versions are the same.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::files;
use crate::paths::Paths;

/// What of the repository members of the workspace, and their build scripts, are in.
const FOLDERS: [&str; 5] = ["client-driver", "provider-driver", "shared-npi", "inf", "tests"];

/// Makes the folder, or brings it up to date.
///
/// # Errors
/// When a file cannot be read or written.
pub fn make(paths: &Paths) -> Result<()> {
    files::make_folder(&paths.stage)?;
    for folder in FOLDERS {
        link(&paths.repository.join(folder), &paths.stage.join(folder))?;
    }
    let mut manifest = files::read(&paths.repository.join("Cargo.toml"))?;
    let wdk_build = paths.wdk_build.display();
    write!(
        manifest,
        "\n[patch.crates-io]\nwdk-build = {{ path = '{wdk_build}' }}\n"
    )?;
    files::write(&paths.stage.join("Cargo.toml"), manifest.as_bytes())?;
    files::copy(
        &paths.repository.join("Cargo.lock"),
        &paths.stage.join("Cargo.lock"),
    )?;
    Ok(())
}

fn link(to: &Path, at: &Path) -> Result<()> {
    if fs::read_link(at).is_ok_and(|old| old == to) {
        return Ok(());
    }
    if fs::symlink_metadata(at).is_ok_and(|old| old.is_symlink()) {
        // The repository was moved.
        fs::remove_file(at).with_context(|| format!("cannot remove {}", at.display()))?;
    }
    symlink(to, at).with_context(|| format!("cannot make the link {}", at.display()))
}
