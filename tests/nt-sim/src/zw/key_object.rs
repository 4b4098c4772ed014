//! Open keys: what a handle of a key allows. The framework's registry functions use this, too.

use std::sync::Arc;

use super::arguments::text;
use crate::{
    ACCESS_MASK, HANDLE, Machine,
    ntstatus::NtStatus,
    ob,
    registry::{KeyId, Value},
};

/// `KEY_QUERY_VALUE`
pub(crate) const QUERY_VALUE: u32 = 0x0001;
/// `KEY_SET_VALUE`
pub(crate) const SET_VALUE: u32 = 0x0002;
/// `KEY_ENUMERATE_SUB_KEYS`
pub(crate) const ENUMERATE_SUB_KEYS: u32 = 0x0008;
/// `DELETE`
pub(crate) const DELETE: u32 = 0x0001_0000;
/// `KEY_READ`
const KEY_READ: u32 = 0x0002_0019;
/// `KEY_WRITE`
const KEY_WRITE: u32 = 0x0002_0006;
/// `KEY_ALL_ACCESS`
const KEY_ALL_ACCESS: u32 = 0x000F_003F;
/// `REG_OPTION_VOLATILE`
const OPTION_VOLATILE: u32 = 1;

/// An open key.
#[derive(Debug)]
struct KeyObject {
    key: KeyId,
    granted: u32,
}

impl ob::Object for KeyObject {
    fn kind(&self) -> &'static str {
        "key"
    }
}

const fn map_generic(access: ACCESS_MASK) -> u32 {
    let mut granted = access & 0x0FFF_FFFF;
    if access & 0x8000_0000 != 0 {
        granted |= KEY_READ;
    }
    if access & 0x4000_0000 != 0 {
        granted |= KEY_WRITE;
    }
    if access & (0x1000_0000 | 0x0200_0000) != 0 {
        granted |= KEY_ALL_ACCESS;
    }
    granted
}

/// Returns the key that a handle names, if it allows what is `needed`.
pub(crate) fn key(machine: &Machine, handle: HANDLE, needed: u32) -> Result<KeyId, NtStatus> {
    let object = ob::lookup(machine, handle).ok_or(NtStatus::INVALID_HANDLE)?;
    drop(object);
    let object = ob::lookup_as::<KeyObject>(machine, handle).ok_or(NtStatus::OBJECT_TYPE_MISMATCH)?;
    if object.granted & needed == needed {
        Ok(object.key)
    } else {
        Err(NtStatus::ACCESS_DENIED)
    }
}

/// Makes a handle to a key.
pub(crate) fn handle(machine: &Machine, key: KeyId, access: ACCESS_MASK) -> HANDLE {
    ob::insert(
        machine,
        Arc::new(KeyObject {
            key,
            granted: map_generic(access),
        }),
    )
}

fn parent_key(machine: &Machine, parent: Option<HANDLE>) -> Result<Option<KeyId>, NtStatus> {
    parent.map(|parent| key(machine, parent, 0)).transpose()
}

/// Opens a key (`ZwOpenKey`).
pub(crate) fn open(
    machine: &Machine,
    parent: Option<HANDLE>,
    path: &[u16],
    access: ACCESS_MASK,
) -> Result<HANDLE, NtStatus> {
    let parent = parent_key(machine, parent)?;
    let key = machine.registry().open_key(parent, &text(path)?)?;
    Ok(handle(machine, key, access))
}

/// Opens or makes a key (`ZwCreateKey`); tells whether it was made.
pub(crate) fn create(
    machine: &Machine,
    parent: Option<HANDLE>,
    path: &[u16],
    access: ACCESS_MASK,
    options: u32,
) -> Result<(HANDLE, bool), NtStatus> {
    let parent = parent_key(machine, parent)?;
    let volatile = options & OPTION_VOLATILE != 0;
    let (key, created) = machine.registry().create_key(parent, &text(path)?, volatile)?;
    Ok((handle(machine, key, access), created))
}

/// Deletes a key; the handle stays open (`ZwDeleteKey`).
pub(crate) fn delete(machine: &Machine, handle: HANDLE) -> Result<(), NtStatus> {
    machine.registry().delete_key(key(machine, handle, DELETE)?)
}

/// Returns a value (`ZwQueryValueKey`).
pub(crate) fn query(machine: &Machine, handle: HANDLE, name: &[u16]) -> Result<Value, NtStatus> {
    machine
        .registry()
        .query(key(machine, handle, QUERY_VALUE)?, &text(name)?)
}

/// Sets a value (`ZwSetValueKey`).
pub(crate) fn set(machine: &Machine, handle: HANDLE, name: &[u16], value: Value) -> Result<(), NtStatus> {
    machine
        .registry()
        .set(key(machine, handle, SET_VALUE)?, &text(name)?, value)
}

/// Deletes a value (`ZwDeleteValueKey`).
pub(crate) fn delete_value(machine: &Machine, handle: HANDLE, name: &[u16]) -> Result<(), NtStatus> {
    machine
        .registry()
        .delete_value(key(machine, handle, SET_VALUE)?, &text(name)?)
}
