//! The machine's registry: a tree of keys with typed values.
//!
//! Names keep their case and are compared without it. Keys live at paths such as
//! `\Registry\Machine\System\CurrentControlSet\Services\x`. An open key is named by a [`KeyId`];
//! when the key is deleted, what still uses the id gets `STATUS_KEY_DELETED`.
//!
//! A registry with a folder is kept there in one file of JSON that a person can read and edit while
//! the machine is off. Every change replaces the file as a whole (written beside it, then renamed),
//! so a process that dies leaves the old or the new registry. Volatile keys are never written.
//!
//! Rule: the one lock is held for plain work on the tree and the file, never across anything that
//! calls out of this module.

mod hold;
mod store;
mod tree;
mod value;

use std::{
    path::{Path, PathBuf},
    sync::Weak,
};

pub use hold::Hold;
use tree::Tree;
pub use tree::{KeyId, KeyInfo};
pub use value::{Value, kind};

use crate::{Machine, machine::Config, ntstatus::NtStatus, sync::StateLock};

/// What this module keeps per machine.
pub(crate) type State = Registry;

/// The path below which every service has its key.
pub const SERVICES: &str = r"\Registry\Machine\System\CurrentControlSet\Services";

/// A registry, shared by all threads of a machine.
#[derive(Debug)]
pub struct Registry {
    tree: StateLock<Tree>,
    file: Option<PathBuf>,
    gate: StateLock<Weak<hold::Gate>>,
}

impl Registry {
    /// The registry of a machine that is being built.
    pub(crate) fn new(config: &Config) -> std::io::Result<Self> {
        config.state_dir.as_ref().map_or_else(
            || Ok(Self::in_memory()),
            |folder| Self::open(&folder.join("registry.json")),
        )
    }

    /// Makes a registry that is gone with the machine.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            tree: StateLock::new(Tree::new()),
            file: None,
            gate: StateLock::default(),
        }
    }

    /// Opens the registry that is kept in the file `path`; without a file it starts empty.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or is no registry.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let tree = match std::fs::read(path) {
            Ok(bytes) => store::decode(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Tree::new(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            tree: StateLock::new(tree),
            file: Some(path.to_owned()),
            gate: StateLock::default(),
        })
    }

    /// Opens the key at `path`, seen from `parent`, or from the root if the path begins with `\`.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND` if the last part of the path is missing, `OBJECT_PATH_NOT_FOUND` if
    /// an earlier one is, `KEY_DELETED` if the parent is gone.
    pub fn open_key(&self, parent: Option<KeyId>, path: &str) -> Result<KeyId, NtStatus> {
        self.read(|tree| tree.open(parent, path))
    }

    /// Opens the key at `path` or makes it, if only its last part is missing. Tells whether the
    /// key was made.
    ///
    /// # Errors
    ///
    /// As [`Self::open_key`]; `CHILD_MUST_BE_VOLATILE` for a lasting key below a volatile one.
    pub fn create_key(
        &self,
        parent: Option<KeyId>,
        path: &str,
        volatile: bool,
    ) -> Result<(KeyId, bool), NtStatus> {
        self.change(|tree| tree.create(parent, path, volatile))
    }

    /// Opens the key at `path` and makes all parts that are missing.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_INVALID` if the path is no absolute path of the registry.
    pub fn create_path(&self, path: &str) -> Result<KeyId, NtStatus> {
        self.change(|tree| tree.create_path(path))
    }

    /// Deletes a key that has no keys below it.
    ///
    /// # Errors
    ///
    /// `CANNOT_DELETE` if there are keys below it; `KEY_DELETED` if it is gone already.
    pub fn delete_key(&self, key: KeyId) -> Result<(), NtStatus> {
        self.change(|tree| tree.delete(key))
    }

    /// Deletes the key at `path` and all below it.
    ///
    /// # Errors
    ///
    /// As [`Self::open_key`].
    pub fn delete_path(&self, path: &str) -> Result<(), NtStatus> {
        self.change(|tree| {
            let key = tree.open(None, path)?;
            tree.delete_all(key)
        })
    }

    /// Returns a value of a key.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND` if the key has no such value; `KEY_DELETED`.
    pub fn query(&self, key: KeyId, name: &str) -> Result<Value, NtStatus> {
        self.read(|tree| tree.value(key, name).map(|(_, value)| value.clone()))
    }

    /// Returns a value of a key with its name in the case that it was written with.
    ///
    /// # Errors
    ///
    /// As [`Self::query`].
    pub fn query_named(&self, key: KeyId, name: &str) -> Result<(String, Value), NtStatus> {
        self.read(|tree| tree.value(key, name).cloned())
    }

    /// Sets a value of a key.
    ///
    /// # Errors
    ///
    /// `KEY_DELETED`.
    pub fn set(&self, key: KeyId, name: &str, value: Value) -> Result<(), NtStatus> {
        self.change(|tree| tree.set_value(key, name, value))
    }

    /// Deletes a value of a key.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND` if the key has no such value; `KEY_DELETED`.
    pub fn delete_value(&self, key: KeyId, name: &str) -> Result<(), NtStatus> {
        self.change(|tree| tree.delete_value(key, name))
    }

    /// Returns the names of the keys below a key, in alphabetical order.
    ///
    /// # Errors
    ///
    /// `KEY_DELETED`.
    pub fn subkeys(&self, key: KeyId) -> Result<Vec<String>, NtStatus> {
        self.read(|tree| tree.subkeys(key))
    }

    /// Returns the values of a key in the order in which they were first set.
    ///
    /// # Errors
    ///
    /// `KEY_DELETED`.
    pub fn values(&self, key: KeyId) -> Result<Vec<(String, Value)>, NtStatus> {
        self.read(|tree| tree.values(key))
    }

    /// Returns name, counts and last write time of a key.
    ///
    /// # Errors
    ///
    /// `KEY_DELETED`.
    pub fn info(&self, key: KeyId) -> Result<KeyInfo, NtStatus> {
        self.read(|tree| tree.info(key))
    }

    /// Returns a value by the path of its key; for tests and tools.
    #[must_use]
    pub fn get(&self, path: &str, name: &str) -> Option<Value> {
        let key = self.open_key(None, path).ok()?;
        self.query(key, name).ok()
    }

    /// Sets a value by the path of its key, which is made if it is missing; for tests and tools.
    ///
    /// # Errors
    ///
    /// As [`Self::create_path`].
    pub fn put(&self, path: &str, name: &str, value: Value) -> Result<(), NtStatus> {
        let key = self.create_path(path)?;
        self.set(key, name, value)
    }

    /// Makes sure that all changes would outlast a power failure.
    ///
    /// # Errors
    ///
    /// `IO_DEVICE_ERROR` if the folder does not take them.
    pub fn flush(&self) -> Result<(), NtStatus> {
        self.pass();
        self.tree.with(|tree| self.save(tree, true))
    }

    fn read<R>(&self, work: impl FnOnce(&Tree) -> Result<R, NtStatus>) -> Result<R, NtStatus> {
        self.tree.with(|tree| work(tree))
    }

    fn change<R>(&self, work: impl FnOnce(&mut Tree) -> Result<R, NtStatus>) -> Result<R, NtStatus> {
        self.tree.with(|tree| {
            let result = work(tree)?;
            self.save(tree, false)?;
            Ok(result)
        })
    }

    fn save(&self, tree: &Tree, durable: bool) -> Result<(), NtStatus> {
        let Some(path) = &self.file else { return Ok(()) };
        store::write(path, tree, durable).map_err(|_| NtStatus::IO_DEVICE_ERROR)
    }
}

impl Machine {
    /// Returns the registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        self.registry_state()
    }
}

/// Makes the registry durable, when all drivers are stopped.
pub(crate) fn shutdown(machine: &Machine) {
    // A folder that takes no more changes has failed them before; here nobody is left to be told.
    let _ = machine.registry().flush();
}
