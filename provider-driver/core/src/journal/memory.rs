//! Files in memory for tests, which can fail where a test wants them to and lose what was not flushed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::vec::Vec;

use super::{JournalDirectory, JournalFile};

/// The only error of these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// A file's content as written, and as it is on the medium.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub written: Vec<u8>,
    pub flushed: Vec<u8>,
}

/// Two files and a count-down to failure.
#[derive(Clone, Debug, Default)]
pub struct Medium {
    pub files: Rc<RefCell<[Option<Content>; 2]>>,
    /// Changing operations that still succeed; none fails while it is `None`.
    pub left: Rc<Cell<Option<usize>>>,
    /// A write that fails writes this many bytes first.
    pub torn: Rc<Cell<usize>>,
    /// How long a file may become; as long as it likes while it is `None`.
    pub room: Rc<Cell<Option<usize>>>,
}

/// One of the files.
#[derive(Clone, Debug)]
pub struct MemoryFile {
    medium: Medium,
    number: usize,
}

impl Medium {
    /// A medium with one file, number 1, as flushed.
    pub fn holding(bytes: &[u8]) -> Self {
        let medium = Self::default();
        medium.files.borrow_mut()[1] = Some(Content {
            written: bytes.to_vec(),
            flushed: bytes.to_vec(),
        });
        medium
    }

    pub fn file(&self, number: u8) -> MemoryFile {
        MemoryFile {
            medium: self.clone(),
            number: number.into(),
        }
    }

    /// The bytes of file `number`, as written.
    pub fn bytes(&self, number: usize) -> Option<Vec<u8>> {
        self.files.borrow()[number]
            .as_ref()
            .map(|content| content.written.clone())
    }

    /// Lets the next `left` changing operations succeed and all after them fail.
    pub fn fail_after(&self, left: usize) {
        self.left.set(Some(left));
    }

    pub fn heal(&self) {
        self.left.set(None);
    }

    /// The machine loses power: what was not flushed is gone, but for the first `kept` bytes of it.
    pub fn crash(&self, kept: usize) -> Self {
        self.crash_with(|unflushed| unflushed < kept)
    }

    /// The machine loses power: of each file's bytes that were not flushed, those are kept whose place among them
    /// `keeps` says so of. A byte that is lost within the file is as it was flushed, or zero.
    pub fn crash_with(&self, keeps: impl Fn(usize) -> bool) -> Self {
        let files = self.files.borrow().clone().map(|content| {
            content.map(|Content { written, flushed }| {
                let changed = |at: &usize| written.get(*at) != flushed.get(*at);
                let unflushed: Vec<usize> = (0..written.len()).filter(changed).collect();
                let mut bytes = flushed.clone();
                for (place, at) in unflushed.into_iter().enumerate() {
                    if keeps(place) {
                        bytes.resize(bytes.len().max(at + 1), 0);
                        bytes[at] = written[at];
                    }
                }
                Content {
                    written: bytes.clone(),
                    flushed: bytes,
                }
            })
        });
        Self {
            files: Rc::new(RefCell::new(files)),
            ..Self::default()
        }
    }

    fn step(&self) -> Result<(), Failed> {
        match self.left.get() {
            None => Ok(()),
            Some(0) => Err(Failed),
            Some(left) => {
                self.left.set(Some(left - 1));
                Ok(())
            }
        }
    }
}

impl MemoryFile {
    fn with<R>(&self, f: impl FnOnce(&mut Content) -> R) -> Result<R, Failed> {
        self.medium.files.borrow_mut()[self.number]
            .as_mut()
            .map(f)
            .ok_or(Failed)
    }
}

impl JournalFile for MemoryFile {
    type Error = Failed;

    fn size(&self) -> Result<u64, Failed> {
        self.with(|content| content.written.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Failed> {
        self.with(|content| {
            let rest = content
                .written
                .get(usize::try_from(offset).unwrap()..)
                .unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        })
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Failed> {
        let end = usize::try_from(offset).unwrap() + bytes.len();
        let fits = self.medium.room.get().is_none_or(|room| end <= room);
        let result = self.medium.step().and(if fits { Ok(()) } else { Err(Failed) });
        let bytes = if result.is_ok() {
            bytes
        } else {
            &bytes[..bytes.len().min(self.medium.torn.get())]
        };
        self.with(|content| {
            let offset = usize::try_from(offset).unwrap();
            let end = offset + bytes.len();
            if content.written.len() < end {
                content.written.resize(end, 0);
            }
            content.written[offset..end].copy_from_slice(bytes);
        })?;
        result
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.medium.step()?;
        self.with(|content| content.flushed.clone_from(&content.written))
    }

    fn truncate(&mut self, size: u64) -> Result<(), Failed> {
        self.medium.step()?;
        self.with(|content| content.written.truncate(usize::try_from(size).unwrap()))
    }
}

impl JournalDirectory for Medium {
    type File = MemoryFile;

    fn open(&self, number: u8) -> Result<Option<MemoryFile>, Failed> {
        Ok(self.files.borrow()[usize::from(number)]
            .is_some()
            .then(|| self.file(number)))
    }

    fn create(&self, number: u8) -> Result<MemoryFile, Failed> {
        self.step()?;
        self.files.borrow_mut()[usize::from(number)] = Some(Content::default());
        Ok(self.file(number))
    }

    fn delete(&self, number: u8) -> Result<(), Failed> {
        self.step()?;
        self.files.borrow_mut()[usize::from(number)] = None;
        Ok(())
    }
}
