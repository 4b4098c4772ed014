//! One module per command.

pub mod blob;
pub mod catalogue;
pub mod events;
pub mod explain;
pub mod export;
pub mod hosting;
pub mod import;
pub mod journal;
pub mod list;
pub mod lookup;
pub mod providers;
pub mod sessions;
pub mod set;
pub mod statistics;

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use nsemail::Error;

/// Makes an I/O error one of a file.
pub fn file_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| Error::File {
        path: path.display().to_string(),
        error,
    }
}

/// Reads at most `limit` bytes and one more of a file, or of the standard input for `-`.
pub fn read_bytes(path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(file_error(path))?;
    } else {
        let file = fs::File::open(path).map_err(file_error(path))?;
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(file_error(path))?;
    }
    Ok(bytes)
}
