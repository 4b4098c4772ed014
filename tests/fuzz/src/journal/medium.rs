//! The two files of a journal, in memory.

use std::{cell::RefCell, rc::Rc};

use nsemail_provider_core::journal::{JournalDirectory, JournalFile};

/// Never fails: what these files hold is what a property is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

/// Clones are the same two files.
#[derive(Clone, Debug, Default)]
pub struct Medium(Rc<RefCell<[Option<Vec<u8>>; 2]>>);

impl Medium {
    pub fn holding(files: [Option<Vec<u8>>; 2]) -> Self {
        Self(Rc::new(RefCell::new(files)))
    }

    pub fn files(&self) -> [Option<Vec<u8>>; 2] {
        self.0.borrow().clone()
    }

    pub fn file(&self, number: u8) -> File {
        File {
            medium: self.clone(),
            number: number.into(),
        }
    }
}

/// One of them.
#[derive(Debug)]
pub struct File {
    medium: Medium,
    number: usize,
}

impl File {
    fn with<R>(&self, run: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut files = self.medium.0.borrow_mut();
        run(files[self.number]
            .as_mut()
            .expect("nobody deletes a file that is open"))
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("within a file in memory")
}

impl JournalFile for File {
    type Error = Never;

    fn size(&self) -> Result<u64, Never> {
        Ok(self.with(|bytes| bytes.len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Never> {
        Ok(self.with(|bytes| {
            let rest = bytes.get(place(offset)..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        }))
    }

    fn write_at(&mut self, offset: u64, written: &[u8]) -> Result<(), Never> {
        self.with(|bytes| {
            let end = place(offset) + written.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[place(offset)..end].copy_from_slice(written);
        });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Never> {
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> Result<(), Never> {
        self.with(|bytes| bytes.truncate(place(size)));
        Ok(())
    }
}

impl JournalDirectory for Medium {
    type File = File;

    fn open(&self, number: u8) -> Result<Option<File>, Never> {
        let there = self.0.borrow()[usize::from(number)].is_some();
        Ok(there.then(|| self.file(number)))
    }

    fn create(&self, number: u8) -> Result<File, Never> {
        self.0.borrow_mut()[usize::from(number)] = Some(Vec::new());
        Ok(self.file(number))
    }

    fn delete(&self, number: u8) -> Result<(), Never> {
        self.0.borrow_mut()[usize::from(number)] = None;
        Ok(())
    }
}
