//! The registry's file: one JSON document.
//!
//! A key is an object with `values` (name, type and content each) and `keys`. Strings, numbers and
//! lists of strings are written as such; whatever does not fit its type, or has another type, is
//! written as hexadecimal digits.

use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tree::{KeyId, Tree};
use super::value::{Value, kind};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<StoredValue>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Self>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredValue {
    name: String,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize, Deserialize)]
enum Content {
    #[serde(rename = "REG_SZ")]
    Sz(String),
    #[serde(rename = "REG_DWORD")]
    Dword(u32),
    #[serde(rename = "REG_BINARY")]
    Binary(String),
    /// The type's number and the bytes in hexadecimal.
    #[serde(rename = "raw")]
    Raw(u32, String),
}

impl From<&Value> for Content {
    fn from(value: &Value) -> Self {
        if let Some(number) = value.as_dword() {
            return Self::Dword(number);
        }
        match value.as_text() {
            Some(text) if *value == Value::sz(&text) => Self::Sz(text),
            _ if value.kind == kind::BINARY => Self::Binary(hex(&value.data)),
            _ => Self::Raw(value.kind, hex(&value.data)),
        }
    }
}

impl Content {
    fn into_value(self) -> Option<Value> {
        Some(match self {
            Self::Sz(text) => Value::sz(&text),
            Self::Dword(number) => Value::dword(number),
            Self::Binary(digits) => Value::binary(unhex(&digits)?),
            Self::Raw(kind, digits) => Value {
                kind,
                data: unhex(&digits)?,
            },
        })
    }
}

/// Writes the tree beside `path` and puts it in its place.
pub(super) fn write(path: &Path, tree: &Tree, durable: bool) -> Result<()> {
    let root = stored(tree, Tree::root()).ok_or_else(|| Error::other("no root key"))?;
    let fresh = path.with_extension("new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(&root)?)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    std::fs::rename(&fresh, path)
}

/// Reads a tree from the content of its file.
pub(super) fn decode(bytes: &[u8]) -> Result<Tree> {
    let root: StoredKey = serde_json::from_slice(bytes)?;
    let mut tree = Tree::new();
    for key in root.keys {
        load(&mut tree, Tree::root(), key)?;
    }
    Ok(tree)
}

fn stored(tree: &Tree, id: KeyId) -> Option<StoredKey> {
    let key = tree.get(id)?;
    if key.volatile {
        return None;
    }
    Some(StoredKey {
        name: key.name.clone(),
        values: key
            .values
            .iter()
            .map(|(name, value)| StoredValue {
                name: name.clone(),
                content: value.into(),
            })
            .collect(),
        keys: key
            .children
            .values()
            .filter_map(|child| stored(tree, *child))
            .collect(),
    })
}

fn load(tree: &mut Tree, parent: KeyId, key: StoredKey) -> Result<()> {
    let bad = || Error::new(ErrorKind::InvalidData, format!("registry key {:?}", key.name));
    if key.name.is_empty() || key.name.contains(['\\', '\0']) {
        return Err(bad());
    }
    let id = match tree.child(parent, &key.name) {
        Some(id) => id,
        None => tree.add(parent, &key.name, false).map_err(|_| bad())?,
    };
    for value in key.values {
        let content = value
            .content
            .into_value()
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("registry value {:?}", value.name)))?;
        tree.set_value(id, &value.name, content)
            .map_err(|status| Error::new(ErrorKind::InvalidData, status))?;
    }
    for child in key.keys {
        load(tree, id, child)?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
