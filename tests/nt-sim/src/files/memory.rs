//! A volume in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    Kind, Stream, Volume,
    medium::{Content, Disk, Recorder, Step},
    path::VolumePath,
};
use crate::{ntstatus::NtStatus, sync::StateLock};

/// The names of a directory, by their upper case form.
type Names = BTreeMap<String, (String, Node)>;

#[derive(Debug)]
enum Node {
    File(Arc<MemoryStream>),
    Directory(Names),
}

impl Node {
    const fn kind(&self) -> Kind {
        match self {
            Self::File(_) => Kind::File,
            Self::Directory(_) => Kind::Directory,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct MemoryVolume {
    root: StateLock<Names>,
    next_id: AtomicU64,
    recorder: Option<Arc<Recorder>>,
}

#[derive(Debug)]
struct MemoryStream {
    id: u64,
    content: StateLock<Vec<u8>>,
    recorder: Option<Arc<Recorder>>,
}

/// Walks to a directory.
fn directory<'a>(root: &'a mut Names, path: &VolumePath) -> Result<&'a mut Names, NtStatus> {
    path.names()
        .iter()
        .try_fold(root, |names, name| match names.get_mut(&name.to_uppercase()) {
            Some((_, Node::Directory(below))) => Ok(below),
            _ => Err(NtStatus::OBJECT_PATH_NOT_FOUND),
        })
}

fn last(path: &VolumePath) -> Result<&String, NtStatus> {
    path.names().last().ok_or(NtStatus::FILE_IS_A_DIRECTORY)
}

impl MemoryVolume {
    /// A volume with that content, whose changes are recorded or not.
    pub(super) fn with(disk: &Disk, recorder: Option<Arc<Recorder>>) -> Self {
        let mut root = Names::new();
        for ((path, content), id) in disk.0.values().zip(0..) {
            let node = match content {
                Content::Directory => Node::Directory(Names::new()),
                Content::File(content) => Node::File(Arc::new(MemoryStream {
                    id,
                    content: StateLock::new(content.clone()),
                    recorder: recorder.clone(),
                })),
            };
            // A directory comes before what is in it.
            if let (Ok(names), Ok(name)) = (directory(&mut root, &path.parent()), last(path)) {
                names.insert(name.to_uppercase(), (name.clone(), node));
            }
        }
        Self {
            root: StateLock::new(root),
            next_id: AtomicU64::new(u64::try_from(disk.0.len()).unwrap_or(u64::MAX)),
            recorder,
        }
    }

    /// All that is on it.
    pub(super) fn disk(&self) -> Disk {
        fn add(disk: &mut Disk, above: &VolumePath, names: &Names) {
            for (name, node) in names.values() {
                let path = above.child(name);
                let content = match node {
                    Node::Directory(_) => Content::Directory,
                    Node::File(stream) => Content::File(stream.content.with(|content| content.clone())),
                };
                disk.0.insert(path.key(), (path.clone(), content));
                if let Node::Directory(below) = node {
                    add(disk, &path, below);
                }
            }
        }
        let mut disk = Disk::default();
        self.root
            .with(|root| add(&mut disk, &VolumePath::default(), root));
        disk
    }

    fn record(&self, step: impl FnOnce() -> Step) {
        if let Some(recorder) = &self.recorder {
            recorder.add(step());
        }
    }

    fn in_parent<R>(
        &self,
        path: &VolumePath,
        work: impl FnOnce(&mut Names, &String) -> Result<R, NtStatus>,
    ) -> Result<R, NtStatus> {
        let name = last(path)?;
        self.root
            .with(|root| work(directory(root, &path.parent())?, name))
    }

    fn add(&self, path: &VolumePath, node: Node, step: impl FnOnce() -> Step) -> Result<(), NtStatus> {
        self.in_parent(path, |names, name| {
            names.insert(name.to_uppercase(), (name.clone(), node));
            self.record(step);
            Ok(())
        })
    }
}

impl Volume for MemoryVolume {
    fn kind(&self, path: &VolumePath) -> Result<Kind, NtStatus> {
        if path.depth() == 0 {
            return Ok(Kind::Directory);
        }
        self.in_parent(path, |names, name| {
            let (_, node) = names
                .get(&name.to_uppercase())
                .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
            Ok(node.kind())
        })
    }

    fn create_file(&self, path: &VolumePath) -> Result<(), NtStatus> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let stream = MemoryStream {
            id,
            content: StateLock::default(),
            recorder: self.recorder.clone(),
        };
        self.add(path, Node::File(Arc::new(stream)), || Step::CreateFile {
            path: path.clone(),
            id,
        })
    }

    fn create_directory(&self, path: &VolumePath) -> Result<(), NtStatus> {
        self.add(path, Node::Directory(Names::new()), || Step::CreateDirectory {
            path: path.clone(),
        })
    }

    fn open(&self, path: &VolumePath) -> Result<Arc<dyn Stream>, NtStatus> {
        self.in_parent(path, |names, name| match names.get(&name.to_uppercase()) {
            None => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
            Some((_, Node::Directory(_))) => Err(NtStatus::FILE_IS_A_DIRECTORY),
            Some((_, Node::File(stream))) => Ok(Arc::clone(stream) as Arc<dyn Stream>),
        })
    }

    fn remove(&self, path: &VolumePath) -> Result<(), NtStatus> {
        self.in_parent(path, |names, name| {
            let key = name.to_uppercase();
            match names.get(&key) {
                None => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
                Some((_, Node::Directory(below))) if !below.is_empty() => Err(NtStatus::DIRECTORY_NOT_EMPTY),
                Some(_) => {
                    names.remove(&key);
                    self.record(|| Step::Remove { path: path.clone() });
                    Ok(())
                }
            }
        })
    }

    fn rename(&self, from: &VolumePath, to: &VolumePath) -> Result<(), NtStatus> {
        let (old, new) = (last(from)?, last(to)?);
        self.root.with(|root| {
            directory(root, &to.parent())?;
            let node = directory(root, &from.parent())?
                .remove(&old.to_uppercase())
                .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?
                .1;
            directory(root, &to.parent())?.insert(new.to_uppercase(), (new.clone(), node));
            self.record(|| Step::Rename {
                from: from.clone(),
                to: to.clone(),
            });
            Ok(())
        })
    }

    fn list(&self, path: &VolumePath) -> Result<Vec<(String, Kind)>, NtStatus> {
        if self.kind(path)? == Kind::File {
            return Err(NtStatus::NOT_A_DIRECTORY);
        }
        self.root.with(|root| {
            let names = directory(root, path)?;
            Ok(names
                .values()
                .map(|(name, node)| (name.clone(), node.kind()))
                .collect())
        })
    }

    fn flush_directory(&self, _path: &VolumePath) -> Result<(), NtStatus> {
        Ok(())
    }
}

/// Turns a file position into an index.
fn index(position: u64) -> Result<usize, NtStatus> {
    usize::try_from(position).map_err(|_| NtStatus::INVALID_PARAMETER)
}

impl MemoryStream {
    fn record(&self, step: impl FnOnce() -> Step) {
        if let Some(recorder) = &self.recorder {
            recorder.add(step());
        }
    }
}

impl Stream for MemoryStream {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize, NtStatus> {
        let offset = index(offset)?;
        self.content.with(|content| {
            let rest = content.get(offset..).unwrap_or(&[]);
            let length = rest.len().min(into.len());
            into[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), NtStatus> {
        let start = index(offset)?;
        let end = start.checked_add(from.len()).ok_or(NtStatus::INVALID_PARAMETER)?;
        self.content.with(|content| {
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(from);
            self.record(|| Step::Write {
                id: self.id,
                offset: start,
                bytes: from.to_vec(),
            });
            Ok(())
        })
    }

    fn size(&self) -> Result<u64, NtStatus> {
        self.content
            .with(|content| u64::try_from(content.len()).map_err(|_| NtStatus::UNSUCCESSFUL))
    }

    fn set_size(&self, size: u64) -> Result<(), NtStatus> {
        let size = index(size)?;
        self.content.with(|content| {
            content.resize(size, 0);
            self.record(|| Step::SetSize { id: self.id, size });
            Ok(())
        })
    }

    fn flush(&self) -> Result<(), NtStatus> {
        self.content.with(|_| self.record(|| Step::Flush { id: self.id }));
        Ok(())
    }
}
