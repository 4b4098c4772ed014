//! Keys and values of the registry.

use alloc::vec::Vec;

use sim_platform::nt::{
    ACCESS_MASK, HANDLE, NTSTATUS, PCUNICODE_STRING, PULONG, PUNICODE_STRING, PUSHORT, PVOID,
    REG_CREATED_NEW_KEY, REG_DWORD, REG_EXPAND_SZ, REG_OPENED_EXISTING_KEY, REG_SZ, STATUS_BUFFER_OVERFLOW,
    STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS, ULONG,
    USHORT,
};

use crate::{
    Host,
    attributes::Attributes,
    call::{Call, read_string, status_of, write_out},
    object,
    state::{Data, Kept},
    types::{PWDF_OBJECT_ATTRIBUTES, WDFKEY},
};

/// Makes a key object of the key that `open` opens.
///
/// # Safety
/// `attributes` as for [`Attributes::read`]; `key` is null or may be written.
pub unsafe fn open<H: Host>(
    call: &Call<'_, H>,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    key: *mut WDFKEY,
    open: impl FnOnce(&H) -> Result<HANDLE, NTSTATUS>,
) -> NTSTATUS {
    if !call.require(key, "Key") {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    let attributes = match unsafe { Attributes::read(call, attributes) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    let opened = match open(call.host()) {
        Ok(opened) => opened,
        Err(status) => return status,
    };
    match object::create_below_driver(call, &attributes, Data::Key(Kept(opened))) {
        Ok(handle) => {
            // SAFETY: not null, so the caller vouches for it.
            unsafe { key.write(handle.pointer()) };
            STATUS_SUCCESS
        }
        Err(status) => {
            call.host().close_key(opened);
            status
        }
    }
}

/// Returns the host's key of a key object.
fn key_of<H: Host>(call: &Call<'_, H>, key: WDFKEY) -> Result<HANDLE, NTSTATUS> {
    call.checked(|state| Ok(*state.key(key)?.1))
        .map(|key| key.0)
        .ok_or(STATUS_INVALID_HANDLE)
}

/// Returns the host's key of a parent, which may be null.
fn parent_of<H: Host>(call: &Call<'_, H>, parent: WDFKEY) -> Result<Option<HANDLE>, NTSTATUS> {
    if parent.is_null() {
        Ok(None)
    } else {
        key_of(call, parent).map(Some)
    }
}

/// Reads the value that a call names.
///
/// # Safety
/// As for [`read_string`].
unsafe fn query<H: Host>(
    call: &Call<'_, H>,
    key: WDFKEY,
    name: PCUNICODE_STRING,
) -> Result<(u32, Vec<u8>), NTSTATUS> {
    let key = key_of(call, key)?;
    // SAFETY: the caller's promise.
    let name = unsafe { read_string(name) }.ok_or(STATUS_INVALID_PARAMETER)?;
    call.host().query_value(key, &name)
}

/// Writes the value that a call names.
///
/// # Safety
/// As for [`read_string`].
unsafe fn assign<H: Host>(
    call: &Call<'_, H>,
    key: WDFKEY,
    name: PCUNICODE_STRING,
    kind: u32,
    data: &[u8],
) -> NTSTATUS {
    let key = match key_of(call, key) {
        Ok(key) => key,
        Err(status) => return status,
    };
    // SAFETY: the caller's promise.
    let Some(name) = (unsafe { read_string(name) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    status_of(call.host().set_value(key, &name, kind, data))
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryOpenKey<H: Host>(
    call: &Call<'_, H>,
    parent: WDFKEY,
    name: PCUNICODE_STRING,
    access: ACCESS_MASK,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    key: *mut WDFKEY,
) -> NTSTATUS {
    let parent = match parent_of(call, parent) {
        Ok(parent) => parent,
        Err(status) => return status,
    };
    // SAFETY: the caller's promise.
    let Some(path) = (unsafe { read_string(name) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: the caller's promise.
    unsafe { open(call, attributes, key, |host| host.open_key(parent, &path, access)) }
}

/// # Safety
/// See [`crate::Kmdf`].
#[expect(
    clippy::too_many_arguments,
    reason = "the function is documented with as many"
)]
pub unsafe fn WdfRegistryCreateKey<H: Host>(
    call: &Call<'_, H>,
    parent: WDFKEY,
    name: PCUNICODE_STRING,
    access: ACCESS_MASK,
    options: ULONG,
    disposition: PULONG,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    key: *mut WDFKEY,
) -> NTSTATUS {
    let parent = match parent_of(call, parent) {
        Ok(parent) => parent,
        Err(status) => return status,
    };
    // SAFETY: the caller's promise.
    let Some(path) = (unsafe { read_string(name) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    let mut fate = REG_OPENED_EXISTING_KEY;
    // SAFETY: the caller's promise.
    let status = unsafe {
        open(call, attributes, key, |host| {
            let (opened, new) = host.create_key(parent, &path, access, options)?;
            if new {
                fate = REG_CREATED_NEW_KEY;
            }
            Ok(opened)
        })
    };
    if status == STATUS_SUCCESS {
        // SAFETY: the caller's promise.
        unsafe { write_out(disposition, fate) };
    }
    status
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryClose<H: Host>(call: &Call<'_, H>, key: WDFKEY) {
    if let Some(handle) = call.checked(|state| Ok(state.key(key)?.0)) {
        object::delete_tree(call, handle);
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryWdmGetHandle<H: Host>(call: &Call<'_, H>, key: WDFKEY) -> HANDLE {
    key_of(call, key).unwrap_or(core::ptr::null_mut())
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryRemoveKey<H: Host>(call: &Call<'_, H>, key: WDFKEY) -> NTSTATUS {
    let Some((handle, opened)) = call.checked(|state| {
        let (handle, opened) = state.key(key)?;
        Ok((handle, *opened))
    }) else {
        return STATUS_INVALID_HANDLE;
    };
    let status = status_of(call.host().delete_key(opened.0));
    // A key that was removed is closed with its object; after a failure the driver still has it.
    if status == STATUS_SUCCESS {
        object::delete_tree(call, handle);
    }
    status
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryRemoveValue<H: Host>(
    call: &Call<'_, H>,
    key: WDFKEY,
    name: PCUNICODE_STRING,
) -> NTSTATUS {
    let key = match key_of(call, key) {
        Ok(key) => key,
        Err(status) => return status,
    };
    // SAFETY: the caller's promise.
    let Some(name) = (unsafe { read_string(name) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    status_of(call.host().delete_value(key, &name))
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryQueryValue<H: Host>(
    call: &Call<'_, H>,
    key: WDFKEY,
    name: PCUNICODE_STRING,
    length: ULONG,
    value: PVOID,
    queried: PULONG,
    kind: PULONG,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let (found, data) = match unsafe { query(call, key, name) } {
        Ok(found) => found,
        Err(status) => return status,
    };
    let Ok(size) = u32::try_from(data.len()) else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: the caller's promise.
    unsafe { write_out(queried, size) };
    // SAFETY: the caller's promise.
    unsafe { write_out(kind, found) };
    if length < size || (value.is_null() && size != 0) {
        return STATUS_BUFFER_OVERFLOW;
    }
    if size != 0 {
        // SAFETY: the caller vouches for `length` bytes, which are enough; the copy is the model's.
        unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), value.cast(), data.len()) };
    }
    STATUS_SUCCESS
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryQueryULong<H: Host>(
    call: &Call<'_, H>,
    key: WDFKEY,
    name: PCUNICODE_STRING,
    value: PULONG,
) -> NTSTATUS {
    if !call.require(value, "Value") {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    let (kind, data) = match unsafe { query(call, key, name) } {
        Ok(found) => found,
        Err(status) => return status,
    };
    match <[u8; 4]>::try_from(data.as_slice()) {
        Ok(bytes) if kind == REG_DWORD => {
            // SAFETY: not null, so the caller vouches for it.
            unsafe { value.write(ULONG::from_le_bytes(bytes)) };
            STATUS_SUCCESS
        }
        _ => STATUS_OBJECT_TYPE_MISMATCH,
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryQueryUnicodeString<H: Host>(
    call: &Call<'_, H>,
    key: WDFKEY,
    name: PCUNICODE_STRING,
    length: PUSHORT,
    value: PUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let (kind, data) = match unsafe { query(call, key, name) } {
        Ok(found) => found,
        Err(status) => return status,
    };
    if kind != REG_SZ && kind != REG_EXPAND_SZ {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    let units: Vec<u16> = data
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    // What the string takes with its terminating zero, and without.
    let Ok(whole) = USHORT::try_from(units.len() * 2 + 2) else {
        return STATUS_INVALID_PARAMETER;
    };
    let text = whole - 2;
    // SAFETY: the caller's promise.
    unsafe { write_out(length, whole) };
    if value.is_null() {
        return STATUS_SUCCESS;
    }
    // SAFETY: not null, so the caller vouches for it.
    let mut target = unsafe { value.read() };
    if target.MaximumLength < text || (target.Buffer.is_null() && text != 0) {
        return STATUS_BUFFER_OVERFLOW;
    }
    if text != 0 {
        // SAFETY: the caller vouches for `MaximumLength` bytes, which are enough.
        unsafe { core::ptr::copy_nonoverlapping(units.as_ptr(), target.Buffer, units.len()) };
    }
    target.Length = text;
    // SAFETY: not null, so the caller vouches for it.
    unsafe { value.write(target) };
    STATUS_SUCCESS
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryAssignValue<H: Host>(
    call: &Call<'_, H>,
    key: WDFKEY,
    name: PCUNICODE_STRING,
    kind: ULONG,
    length: ULONG,
    value: PVOID,
) -> NTSTATUS {
    let data = if length == 0 {
        Vec::new()
    } else if value.is_null() {
        return STATUS_INVALID_PARAMETER;
    } else {
        // SAFETY: not null, so the caller vouches for `length` bytes.
        unsafe { core::slice::from_raw_parts(value.cast::<u8>(), length as usize) }.to_vec()
    };
    // SAFETY: the caller's promise.
    unsafe { assign(call, key, name, kind, &data) }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryAssignUnicodeString<H: Host>(
    call: &Call<'_, H>,
    key: WDFKEY,
    name: PCUNICODE_STRING,
    value: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let Some(mut units) = (unsafe { read_string(value) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    units.push(0);
    let data: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    // SAFETY: the caller's promise.
    unsafe { assign(call, key, name, REG_SZ, &data) }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfRegistryAssignULong<H: Host>(
    call: &Call<'_, H>,
    key: WDFKEY,
    name: PCUNICODE_STRING,
    value: ULONG,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    unsafe { assign(call, key, name, REG_DWORD, &value.to_le_bytes()) }
}
