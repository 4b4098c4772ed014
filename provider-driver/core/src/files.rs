//! Journal files of the kernel.

use nsemail_contract::guid::Guid;
use nsemail_kernel::file::{Directory, Disposition, File};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::unicode::guid_text;
use nsemail_kernel::utf16;

use crate::journal::{JournalDirectory, JournalFile};

/// The two files of one provider's journal, `{GUID}-0.journal` and `{GUID}-1.journal`.
///
/// `P` is the [`Passive`] of the thread that uses them, or `()` while no thread does; see [`Self::with`].
pub struct Files<P> {
    directory: Directory,
    provider: Guid,
    passive: P,
}

/// One of them, open. `P` is as for [`Files`].
pub struct OpenFile<P> {
    file: File,
    passive: P,
}

const GUID_UNITS: usize = 38;
const NAMES: [&[u16]; 2] = [utf16!("-0.journal"), utf16!("-1.journal")];
const NAME_UNITS: usize = GUID_UNITS + 10;

impl<P> Files<P> {
    /// The files of a provider in a directory.
    pub const fn new(directory: Directory, provider: Guid, passive: P) -> Self {
        Self {
            directory,
            provider,
            passive,
        }
    }

    /// The same for another thread, or for none.
    pub fn with<Q>(self, passive: Q) -> Files<Q> {
        Files::new(self.directory, self.provider, passive)
    }

    fn name(&self, number: u8) -> [u16; NAME_UNITS] {
        let mut name = [0; NAME_UNITS];
        let suffix = NAMES.get(usize::from(number & 1)).copied().unwrap_or_default();
        let text = guid_text(&self.provider);
        for (to, from) in name.iter_mut().zip(text.iter().chain(suffix)) {
            *to = *from;
        }
        name
    }
}

impl<P> OpenFile<P> {
    /// The same for another thread, or for none.
    pub fn with<Q>(self, passive: Q) -> OpenFile<Q> {
        OpenFile {
            file: self.file,
            passive,
        }
    }
}

impl<'p> JournalDirectory for Files<Passive<'p>> {
    type File = OpenFile<Passive<'p>>;

    fn open(&self, number: u8) -> Result<Option<Self::File>, NtStatus> {
        match self
            .directory
            .open(self.passive, &self.name(number), Disposition::Open)
        {
            Ok(file) => Ok(Some(OpenFile {
                file,
                passive: self.passive,
            })),
            Err(NtStatus::OBJECT_NAME_NOT_FOUND) => Ok(None),
            Err(status) => Err(status),
        }
    }

    fn create(&self, number: u8) -> Result<Self::File, NtStatus> {
        let file = self
            .directory
            .open(self.passive, &self.name(number), Disposition::OpenOrCreate)?;
        file.set_len(self.passive, 0)?;
        Ok(OpenFile {
            file,
            passive: self.passive,
        })
    }

    fn delete(&self, number: u8) -> Result<(), NtStatus> {
        self.directory
            .delete(self.passive, &self.name(number))
            .map(|_was_there| ())
    }
}

impl JournalFile for OpenFile<Passive<'_>> {
    type Error = NtStatus;

    fn size(&self) -> Result<u64, NtStatus> {
        self.file.len(self.passive)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, NtStatus> {
        self.file.read_at(self.passive, offset, buffer)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), NtStatus> {
        self.file.write_at(self.passive, offset, bytes)
    }

    fn flush(&mut self) -> Result<(), NtStatus> {
        self.file.flush(self.passive)
    }

    fn truncate(&mut self, size: u64) -> Result<(), NtStatus> {
        self.file.set_len(self.passive, size)
    }
}
