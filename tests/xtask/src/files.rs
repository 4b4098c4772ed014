//! Files: reading and writing with errors that name the file, and leaving alone what is already right.
//!
//! What did not change is not written, so that cargo and the build scripts see nothing new and build nothing anew.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The text of a file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Makes a folder and those above it.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Makes `path` a file of these bytes. Answers whether it was not one before.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// Makes `to` a file with the bytes of `from`. Answers whether it was not one before.
///
/// # Errors
/// When one cannot be read or the other cannot be written.
pub fn copy(from: &Path, to: &Path) -> Result<bool> {
    write(to, &read_bytes(from)?)
}

/// Makes the files below `to` those below `from`. Answers whether anything was not so before. Files that are only
/// below `to` stay.
///
/// # Errors
/// When one cannot be read or written.
pub fn copy_folder(from: &Path, to: &Path) -> Result<bool> {
    let mut changed = false;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read the folder {}", from.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read the folder {}", from.display()))?;
        let to = to.join(entry.file_name());
        changed |= if entry.path().is_dir() {
            copy_folder(&entry.path(), &to)?
        } else {
            copy(&entry.path(), &to)?
        };
    }
    Ok(changed)
}

/// Removes a folder with all that is in it, if it is there.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_folder(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_already_right_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b.txt");
        assert!(write(&file, b"one").unwrap());
        assert!(!write(&file, b"one").unwrap());
        assert!(write(&file, b"two").unwrap());
        assert!(copy_folder(&folder.path().join("a"), &folder.path().join("c")).unwrap());
        assert!(!copy_folder(&folder.path().join("a"), &folder.path().join("c")).unwrap());
        assert_eq!(read(&folder.path().join("c/b.txt")).unwrap(), "two");
    }
}
