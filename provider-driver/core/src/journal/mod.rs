//! The journal: what makes a registration durable.
//!
//! [`format`](mod@format) says what the bytes mean, [`log`] keeps one file by it, [`generations`] says which of a
//! provider's two files counts and when the next one is begun, [`inspect`] reads a file off line. All are pure: they
//! reach files through the traits [`JournalFile`] and [`JournalDirectory`] only.

pub mod format;
pub mod generations;
pub mod inspect;
pub mod log;

#[cfg(test)]
mod memory;

/// What a journal needs of a file.
pub trait JournalFile {
    /// What can go wrong with it.
    type Error: Copy + core::fmt::Debug;

    /// The file's size in bytes.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn size(&self) -> Result<u64, Self::Error>;

    /// Reads from `offset` on until `buffer` is full or the file ends; gives the number of bytes read.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// Whatever the file system says; any part of the bytes may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Returns when all that was written, and the file's size, is on the medium.
    ///
    /// # Errors
    ///
    /// Whatever the file system says; any part of what was written since the last flush may be on the medium.
    fn flush(&mut self) -> Result<(), Self::Error>;

    /// Makes the file end at `size`.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn truncate(&mut self, size: u64) -> Result<(), Self::Error>;
}

/// Where the two files of a provider's journal are.
pub trait JournalDirectory {
    /// A file that is open for this journal alone.
    type File: JournalFile;

    /// Opens the file of that number, 0 or 1; `None` if it is not there.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn open(&self, number: u8) -> Result<Option<Self::File>, <Self::File as JournalFile>::Error>;

    /// Makes that file, empty, whether it was there or not.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn create(&self, number: u8) -> Result<Self::File, <Self::File as JournalFile>::Error>;

    /// Deletes that file; it is no error if it is not there.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    fn delete(&self, number: u8) -> Result<(), <Self::File as JournalFile>::Error>;
}
