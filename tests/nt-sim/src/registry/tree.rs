//! The tree of keys, without locks or files.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Value;
use crate::ntstatus::NtStatus;

/// The longest name of a key, in UTF-16 units.
const KEY_NAME_MAX: usize = 255;
/// The longest name of a value, in UTF-16 units.
const VALUE_NAME_MAX: usize = 16_383;
/// 1601 to 1970, in units of 100 ns.
const EPOCH_1601: u64 = 116_444_736_000_000_000;

/// Names a key for as long as the machine runs; never used again for another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

/// What the registry knows about a key besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The last part of its path.
    pub name: String,
    /// How many keys are below it.
    pub subkeys: usize,
    /// The length of the longest name below it, in UTF-16 units.
    pub max_subkey_name: usize,
    /// How many values it has.
    pub values: usize,
    /// The length of the longest value name, in UTF-16 units.
    pub max_value_name: usize,
    /// The size of the longest value.
    pub max_value_data: usize,
    /// When it was last changed, in units of 100 ns since 1601.
    pub last_write: u64,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) volatile: bool,
    pub(super) values: Vec<(String, Value)>,
    /// By folded name.
    pub(super) children: BTreeMap<String, KeyId>,
    parent: Option<KeyId>,
    last_write: u64,
}

#[derive(Debug)]
pub(super) struct Tree {
    keys: HashMap<KeyId, Key>,
    next: u64,
}

const ROOT: KeyId = KeyId(0);

/// Names are the same if they are the same in upper case.
fn fold(name: &str) -> String {
    name.to_uppercase()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos() / 100)
        .unwrap_or(0)
        .saturating_add(EPOCH_1601)
}

impl Tree {
    /// Makes a tree with the keys that every Windows has.
    pub(super) fn new() -> Self {
        let mut tree = Self {
            keys: HashMap::new(),
            next: 1,
        };
        tree.keys.insert(ROOT, Key::new("", None, false));
        for path in [r"\Registry\Machine\Software", super::SERVICES, r"\Registry\User"] {
            // These paths are well-formed.
            let _ = tree.create_path(path);
        }
        tree
    }

    fn key(&self, id: KeyId) -> Result<&Key, NtStatus> {
        self.keys.get(&id).ok_or(NtStatus::KEY_DELETED)
    }

    fn key_mut(&mut self, id: KeyId) -> Result<&mut Key, NtStatus> {
        self.keys.get_mut(&id).ok_or(NtStatus::KEY_DELETED)
    }

    /// Returns the key to start from and the parts of the path.
    fn start<'p>(&self, parent: Option<KeyId>, path: &'p str) -> Result<(KeyId, Vec<&'p str>), NtStatus> {
        let (start, relative) = match (parent, path.strip_prefix('\\')) {
            (None, Some(rest)) => (ROOT, rest),
            (Some(parent), None) => (parent, path),
            (None, None) | (Some(_), Some(_)) => return Err(NtStatus::OBJECT_PATH_SYNTAX_BAD),
        };
        self.key(start)?;
        let relative = relative.strip_suffix('\\').unwrap_or(relative);
        if relative.is_empty() {
            return Ok((start, Vec::new()));
        }
        let parts: Vec<&str> = relative.split('\\').collect();
        let bad = |part: &&str| {
            part.is_empty() || part.contains('\0') || part.encode_utf16().count() > KEY_NAME_MAX
        };
        if parts.iter().any(bad) {
            return Err(NtStatus::OBJECT_NAME_INVALID);
        }
        Ok((start, parts))
    }

    pub(super) fn open(&self, parent: Option<KeyId>, path: &str) -> Result<KeyId, NtStatus> {
        let (mut at, parts) = self.start(parent, path)?;
        let last = parts.len().saturating_sub(1);
        for (depth, part) in parts.into_iter().enumerate() {
            at = *self.key(at)?.children.get(&fold(part)).ok_or(if depth == last {
                NtStatus::OBJECT_NAME_NOT_FOUND
            } else {
                NtStatus::OBJECT_PATH_NOT_FOUND
            })?;
        }
        Ok(at)
    }

    pub(super) fn create(
        &mut self,
        parent: Option<KeyId>,
        path: &str,
        volatile: bool,
    ) -> Result<(KeyId, bool), NtStatus> {
        let (mut at, parts) = self.start(parent, path)?;
        let Some((name, above)) = parts.split_last() else {
            return Ok((at, false));
        };
        for part in above {
            let child = self.key(at)?.children.get(&fold(part));
            at = *child.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        }
        if let Some(existing) = self.key(at)?.children.get(&fold(name)) {
            return Ok((*existing, false));
        }
        Ok((self.add(at, name, volatile)?, true))
    }

    pub(super) fn create_path(&mut self, path: &str) -> Result<KeyId, NtStatus> {
        let (mut at, parts) = self.start(None, path)?;
        for part in parts {
            at = match self.key(at)?.children.get(&fold(part)) {
                Some(existing) => *existing,
                None => self.add(at, part, false)?,
            };
        }
        Ok(at)
    }

    /// Adds a key that is known to be missing.
    pub(super) fn add(&mut self, parent: KeyId, name: &str, volatile: bool) -> Result<KeyId, NtStatus> {
        let id = KeyId(self.next);
        let above = self.key_mut(parent)?;
        if above.volatile && !volatile {
            return Err(NtStatus::CHILD_MUST_BE_VOLATILE);
        }
        above.children.insert(fold(name), id);
        above.last_write = now();
        self.next += 1;
        self.keys.insert(id, Key::new(name, Some(parent), volatile));
        Ok(id)
    }

    pub(super) fn delete(&mut self, id: KeyId) -> Result<(), NtStatus> {
        let key = self.key(id)?;
        let Some(parent) = key.parent else {
            return Err(NtStatus::CANNOT_DELETE);
        };
        if !key.children.is_empty() {
            return Err(NtStatus::CANNOT_DELETE);
        }
        let name = fold(&key.name);
        self.keys.remove(&id);
        let above = self.key_mut(parent)?;
        above.children.remove(&name);
        above.last_write = now();
        Ok(())
    }

    pub(super) fn delete_all(&mut self, id: KeyId) -> Result<(), NtStatus> {
        let children: Vec<KeyId> = self.key(id)?.children.values().copied().collect();
        for child in children {
            self.delete_all(child)?;
        }
        self.delete(id)
    }

    pub(super) fn value(&self, id: KeyId, name: &str) -> Result<&(String, Value), NtStatus> {
        let folded = fold(name);
        let mut values = self.key(id)?.values.iter();
        values
            .find(|(own, _)| fold(own) == folded)
            .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)
    }

    pub(super) fn set_value(&mut self, id: KeyId, name: &str, value: Value) -> Result<(), NtStatus> {
        if name.encode_utf16().count() > VALUE_NAME_MAX {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let folded = fold(name);
        let key = self.key_mut(id)?;
        match key.values.iter_mut().find(|(own, _)| fold(own) == folded) {
            Some((_, old)) => *old = value,
            None => key.values.push((name.to_owned(), value)),
        }
        key.last_write = now();
        Ok(())
    }

    pub(super) fn delete_value(&mut self, id: KeyId, name: &str) -> Result<(), NtStatus> {
        let folded = fold(name);
        let key = self.key_mut(id)?;
        let at = key
            .values
            .iter()
            .position(|(own, _)| fold(own) == folded)
            .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        key.values.remove(at);
        key.last_write = now();
        Ok(())
    }

    pub(super) fn subkeys(&self, id: KeyId) -> Result<Vec<String>, NtStatus> {
        self.key(id)?
            .children
            .values()
            .map(|child| Ok(self.key(*child)?.name.clone()))
            .collect()
    }

    pub(super) fn values(&self, id: KeyId) -> Result<Vec<(String, Value)>, NtStatus> {
        Ok(self.key(id)?.values.clone())
    }

    pub(super) fn info(&self, id: KeyId) -> Result<KeyInfo, NtStatus> {
        let key = self.key(id)?;
        let length = |name: &str| name.encode_utf16().count();
        let names = self.subkeys(id)?;
        let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        Ok(KeyInfo {
            name: key.name.clone(),
            subkeys: names.len(),
            max_subkey_name: longest(&mut names.iter().map(|name| length(name))),
            values: key.values.len(),
            max_value_name: longest(&mut key.values.iter().map(|(name, _)| length(name))),
            max_value_data: longest(&mut key.values.iter().map(|(_, value)| value.data.len())),
            last_write: key.last_write,
        })
    }

    pub(super) const fn root() -> KeyId {
        ROOT
    }

    /// Returns a key for the code that writes the tree to a file.
    pub(super) fn get(&self, id: KeyId) -> Option<&Key> {
        self.keys.get(&id)
    }

    /// Returns the key below `parent` with this name, for the code that reads a file.
    pub(super) fn child(&self, parent: KeyId, name: &str) -> Option<KeyId> {
        self.keys.get(&parent)?.children.get(&fold(name)).copied()
    }
}

impl Key {
    fn new(name: &str, parent: Option<KeyId>, volatile: bool) -> Self {
        Self {
            name: name.to_owned(),
            volatile,
            values: Vec::new(),
            children: BTreeMap::new(),
            parent,
            last_write: now(),
        }
    }
}
