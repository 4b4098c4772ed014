//! The services for keys and values of the registry. Source: the pages of the functions.
#![expect(non_snake_case, reason = "the names of the kernel's functions")]

use core::slice;

use super::{
    arguments::{attributes, give, name, status, units},
    key_object as object,
};
use crate::{
    _KEY_INFORMATION_CLASS as KeyClass, _KEY_VALUE_INFORMATION_CLASS as ValueClass, ACCESS_MASK, HANDLE,
    KEY_INFORMATION_CLASS, KEY_VALUE_INFORMATION_CLASS, Machine, NTSTATUS, PHANDLE, POBJECT_ATTRIBUTES,
    PULONG, PUNICODE_STRING, PVOID, ULONG,
    faults::{self, Class},
    ntstatus::NtStatus,
    registry::{KeyInfo, Value},
    thread::irql,
    verifier,
};

/// `REG_CREATED_NEW_KEY`
const CREATED_NEW_KEY: u32 = 1;
/// `REG_OPENED_EXISTING_KEY`
const OPENED_EXISTING_KEY: u32 = 2;

/// The offset of a class that a key does not have.
const NO_CLASS: u32 = u32::MAX;

/// Information for a driver, and the size of its fixed part.
type Information = (Vec<u8>, usize);

/// Begins a service: checks the level, and fails if it is to.
fn enter(call: &'static str) -> Result<(), NtStatus> {
    verifier::require_irql_at_most(call, irql::PASSIVE);
    faults::pass(Class::Registry, call)
}

/// Opens or creates a key. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The pointers are valid, or NULL where the page allows it.
pub unsafe fn ZwCreateKey(
    key_handle: PHANDLE,
    desired_access: ACCESS_MASK,
    object_attributes: POBJECT_ATTRIBUTES,
    _title_index: ULONG,
    _class: PUNICODE_STRING,
    create_options: ULONG,
    disposition: PULONG,
) -> NTSTATUS {
    const CALL: &str = "ZwCreateKey";
    if let Err(status) = enter(CALL) {
        return status.0;
    }
    // SAFETY: the caller vouches for the attributes.
    let attributes = match unsafe { attributes(CALL, object_attributes) } {
        Ok(attributes) => attributes,
        Err(status) => return status.0,
    };
    let path: Vec<u16> = attributes.name.encode_utf16().collect();
    let machine = Machine::current();
    match object::create(&machine, attributes.root, &path, desired_access, create_options) {
        Err(status) => status.0,
        Ok((handle, created)) => {
            // SAFETY: the caller vouches for the out parameter.
            unsafe { key_handle.write(handle) };
            if !disposition.is_null() {
                let what = if created {
                    CREATED_NEW_KEY
                } else {
                    OPENED_EXISTING_KEY
                };
                // SAFETY: as above.
                unsafe { disposition.write(what) };
            }
            NtStatus::SUCCESS.0
        }
    }
}

/// Opens a key. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The pointers are valid.
pub unsafe fn ZwOpenKey(
    key_handle: PHANDLE,
    desired_access: ACCESS_MASK,
    object_attributes: POBJECT_ATTRIBUTES,
) -> NTSTATUS {
    const CALL: &str = "ZwOpenKey";
    if let Err(status) = enter(CALL) {
        return status.0;
    }
    // SAFETY: the caller vouches for the attributes.
    let opened = unsafe { attributes(CALL, object_attributes) }.and_then(|attributes| {
        let path: Vec<u16> = attributes.name.encode_utf16().collect();
        object::open(&Machine::current(), attributes.root, &path, desired_access)
    });
    match opened {
        Err(status) => status.0,
        Ok(handle) => {
            // SAFETY: the caller vouches for the out parameter.
            unsafe { key_handle.write(handle) };
            NtStatus::SUCCESS.0
        }
    }
}

/// Deletes a key without keys below it; the handle stays open. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// None beyond the signature.
pub unsafe fn ZwDeleteKey(key_handle: HANDLE) -> NTSTATUS {
    if let Err(status) = enter("ZwDeleteKey") {
        return status.0;
    }
    status(object::delete(&Machine::current(), key_handle))
}

/// Deletes a value. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The name is valid.
pub unsafe fn ZwDeleteValueKey(key_handle: HANDLE, value_name: PUNICODE_STRING) -> NTSTATUS {
    if let Err(status) = enter("ZwDeleteValueKey") {
        return status.0;
    }
    // SAFETY: the caller vouches for the name.
    let name = unsafe { units(value_name) };
    status(object::delete_value(&Machine::current(), key_handle, &name))
}

/// Makes sure that all changes would outlast a power failure. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// None beyond the signature.
pub unsafe fn ZwFlushKey(key_handle: HANDLE) -> NTSTATUS {
    if let Err(status) = enter("ZwFlushKey") {
        return status.0;
    }
    let machine = Machine::current();
    status(object::key(&machine, key_handle, 0).and_then(|_| machine.registry().flush()))
}

/// Sets a value. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The name is valid, and `data` points to `data_size` bytes.
pub unsafe fn ZwSetValueKey(
    key_handle: HANDLE,
    value_name: PUNICODE_STRING,
    _title_index: ULONG,
    kind: ULONG,
    data: PVOID,
    data_size: ULONG,
) -> NTSTATUS {
    if let Err(status) = enter("ZwSetValueKey") {
        return status.0;
    }
    // SAFETY: the caller vouches for the name.
    let name = unsafe { units(value_name) };
    let data = match usize::try_from(data_size) {
        Ok(size) if size > 0 && !data.is_null() => {
            // SAFETY: the caller vouches for the data.
            unsafe { slice::from_raw_parts(data.cast::<u8>(), size) }.to_vec()
        }
        _ => Vec::new(),
    };
    status(object::set(
        &Machine::current(),
        key_handle,
        &name,
        Value { kind, data },
    ))
}

/// Reads a value. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The name is valid, the buffer can take `length` bytes, and `result_length` can be written.
pub unsafe fn ZwQueryValueKey(
    key_handle: HANDLE,
    value_name: PUNICODE_STRING,
    class: KEY_VALUE_INFORMATION_CLASS,
    information: PVOID,
    length: ULONG,
    result_length: PULONG,
) -> NTSTATUS {
    if let Err(status) = enter("ZwQueryValueKey") {
        return status.0;
    }
    let machine = Machine::current();
    // SAFETY: the caller vouches for the name.
    let found = unsafe { name(value_name) }.and_then(|name| {
        let key = object::key(&machine, key_handle, object::QUERY_VALUE)?;
        let (name, value) = machine.registry().query_named(key, &name)?;
        value_information(class, &name, &value)
    });
    match found {
        Err(status) => status.0,
        // SAFETY: the caller vouches for buffer and length.
        Ok((bytes, fixed)) => unsafe { give(&bytes, fixed, information, length, result_length) },
    }
}

/// Reads a value by its place in its key. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The buffer can take `length` bytes, and `result_length` can be written.
pub unsafe fn ZwEnumerateValueKey(
    key_handle: HANDLE,
    index: ULONG,
    class: KEY_VALUE_INFORMATION_CLASS,
    information: PVOID,
    length: ULONG,
    result_length: PULONG,
) -> NTSTATUS {
    if let Err(status) = enter("ZwEnumerateValueKey") {
        return status.0;
    }
    let machine = Machine::current();
    let found = object::key(&machine, key_handle, object::QUERY_VALUE).and_then(|key| {
        let values = machine.registry().values(key)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let (name, value) = values.get(index).ok_or(NtStatus::NO_MORE_ENTRIES)?;
        value_information(class, name, value)
    });
    match found {
        Err(status) => status.0,
        // SAFETY: the caller vouches for buffer and length.
        Ok((bytes, fixed)) => unsafe { give(&bytes, fixed, information, length, result_length) },
    }
}

/// Reads about a key below a key by its place. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The buffer can take `length` bytes, and `result_length` can be written.
pub unsafe fn ZwEnumerateKey(
    key_handle: HANDLE,
    index: ULONG,
    class: KEY_INFORMATION_CLASS,
    information: PVOID,
    length: ULONG,
    result_length: PULONG,
) -> NTSTATUS {
    if let Err(status) = enter("ZwEnumerateKey") {
        return status.0;
    }
    let machine = Machine::current();
    let found = object::key(&machine, key_handle, object::ENUMERATE_SUB_KEYS).and_then(|key| {
        let registry = machine.registry();
        let names = registry.subkeys(key)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let name = names.get(index).ok_or(NtStatus::NO_MORE_ENTRIES)?;
        let below = registry.open_key(Some(key), name)?;
        key_information(class, &registry.info(below)?)
    });
    match found {
        Err(status) => status.0,
        // SAFETY: the caller vouches for buffer and length.
        Ok((bytes, fixed)) => unsafe { give(&bytes, fixed, information, length, result_length) },
    }
}

/// Reads about a key. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The buffer can take `length` bytes, and `result_length` can be written.
pub unsafe fn ZwQueryKey(
    key_handle: HANDLE,
    class: KEY_INFORMATION_CLASS,
    information: PVOID,
    length: ULONG,
    result_length: PULONG,
) -> NTSTATUS {
    if let Err(status) = enter("ZwQueryKey") {
        return status.0;
    }
    let machine = Machine::current();
    let found = object::key(&machine, key_handle, object::QUERY_VALUE)
        .and_then(|key| key_information(class, &machine.registry().info(key)?));
    match found {
        Err(status) => status.0,
        // SAFETY: the caller vouches for buffer and length.
        Ok((bytes, fixed)) => unsafe { give(&bytes, fixed, information, length, result_length) },
    }
}

/// Puts the parts of a structure one after the other.
fn words(parts: &[u32]) -> Vec<u8> {
    parts.iter().flat_map(|part| part.to_le_bytes()).collect()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn value_information(
    class: KEY_VALUE_INFORMATION_CLASS,
    name: &str,
    value: &Value,
) -> Result<Information, NtStatus> {
    let (name, size) = (utf16(name), count(value.data.len()));
    match class {
        ValueClass::KeyValueBasicInformation => {
            let head = words(&[0, value.kind, count(name.len())]);
            let fixed = head.len();
            Ok(([head, name].concat(), fixed))
        }
        ValueClass::KeyValuePartialInformation => {
            let head = words(&[0, value.kind, size]);
            let fixed = head.len();
            Ok(([head, value.data.clone()].concat(), fixed))
        }
        ValueClass::KeyValueFullInformation => {
            const FIXED: usize = 20;
            let offset = (FIXED + name.len()).next_multiple_of(8);
            let head = words(&[0, value.kind, count(offset), size, count(name.len())]);
            let mut bytes = [head, name].concat();
            bytes.resize(offset, 0);
            bytes.extend(&value.data);
            Ok((bytes, FIXED))
        }
        _ => Err(NtStatus::INVALID_PARAMETER),
    }
}

fn key_information(class: KEY_INFORMATION_CLASS, key: &KeyInfo) -> Result<Information, NtStatus> {
    let name = utf16(&key.name);
    let time = key.last_write.to_le_bytes().to_vec();
    let tail = match class {
        KeyClass::KeyBasicInformation => words(&[0, count(name.len())]),
        KeyClass::KeyNodeInformation => words(&[0, NO_CLASS, 0, count(name.len())]),
        KeyClass::KeyFullInformation => {
            let full = words(&[
                0,
                NO_CLASS,
                0,
                count(key.subkeys),
                count(key.max_subkey_name * 2),
                0,
                count(key.values),
                count(key.max_value_name * 2),
                count(key.max_value_data),
            ]);
            let bytes = [time, full].concat();
            let fixed = bytes.len();
            return Ok((bytes, fixed));
        }
        _ => return Err(NtStatus::INVALID_PARAMETER),
    };
    let fixed = time.len() + tail.len();
    Ok(([time, tail, name].concat(), fixed))
}
