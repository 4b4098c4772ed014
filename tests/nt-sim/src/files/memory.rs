//! A volume in memory.

use std::{collections::BTreeMap, sync::Arc};

use super::{Kind, Stream, Volume, path::VolumePath};
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
pub(super) struct MemoryVolume(StateLock<Names>);

#[derive(Debug, Default)]
struct MemoryStream(StateLock<Vec<u8>>);

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
    fn in_parent<R>(
        &self,
        path: &VolumePath,
        work: impl FnOnce(&mut Names, &String) -> Result<R, NtStatus>,
    ) -> Result<R, NtStatus> {
        let name = last(path)?;
        self.0.with(|root| work(directory(root, &path.parent())?, name))
    }

    fn add(&self, path: &VolumePath, node: Node) -> Result<(), NtStatus> {
        self.in_parent(path, |names, name| {
            names.insert(name.to_uppercase(), (name.clone(), node));
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
        self.add(path, Node::File(Arc::default()))
    }

    fn create_directory(&self, path: &VolumePath) -> Result<(), NtStatus> {
        self.add(path, Node::Directory(Names::new()))
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
                    Ok(())
                }
            }
        })
    }

    fn rename(&self, from: &VolumePath, to: &VolumePath) -> Result<(), NtStatus> {
        let (old, new) = (last(from)?, last(to)?);
        self.0.with(|root| {
            directory(root, &to.parent())?;
            let node = directory(root, &from.parent())?
                .remove(&old.to_uppercase())
                .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?
                .1;
            directory(root, &to.parent())?.insert(new.to_uppercase(), (new.clone(), node));
            Ok(())
        })
    }

    fn list(&self, path: &VolumePath) -> Result<Vec<(String, Kind)>, NtStatus> {
        if self.kind(path)? == Kind::File {
            return Err(NtStatus::NOT_A_DIRECTORY);
        }
        self.0.with(|root| {
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

impl Stream for MemoryStream {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize, NtStatus> {
        let offset = index(offset)?;
        self.0.with(|content| {
            let rest = content.get(offset..).unwrap_or(&[]);
            let length = rest.len().min(into.len());
            into[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        })
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), NtStatus> {
        let start = index(offset)?;
        let end = start.checked_add(from.len()).ok_or(NtStatus::INVALID_PARAMETER)?;
        self.0.with(|content| {
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(from);
            Ok(())
        })
    }

    fn size(&self) -> Result<u64, NtStatus> {
        self.0
            .with(|content| u64::try_from(content.len()).map_err(|_| NtStatus::UNSUCCESSFUL))
    }

    fn set_size(&self, size: u64) -> Result<(), NtStatus> {
        let size = index(size)?;
        self.0.with(|content| {
            content.resize(size, 0);
            Ok(())
        })
    }

    fn flush(&self) -> Result<(), NtStatus> {
        Ok(())
    }
}
