//! Keys of Wine's registry.

use alloc::{vec, vec::Vec};
use core::ptr;

use sim_platform::nt::{
    ACCESS_MASK, HANDLE, NTSTATUS, OBJ_CASE_INSENSITIVE, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES,
    REG_CREATED_NEW_KEY, UNICODE_STRING,
};
use wine_kernel::nt;

/// `STATUS_BUFFER_OVERFLOW`
const BUFFER_OVERFLOW: NTSTATUS = 0x8000_0005_u32.cast_signed();
/// `STATUS_BUFFER_TOO_SMALL`
const BUFFER_TOO_SMALL: NTSTATUS = 0xC000_0023_u32.cast_signed();
/// `KeyValuePartialInformation`
const PARTIAL_INFORMATION: i32 = 2;
/// Title index, type and length come before the data.
const HEADER: usize = 12;

const fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if status < 0 { Err(status) } else { Ok(()) }
}

fn attributes(parent: Option<HANDLE>, name: &mut UNICODE_STRING) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: nt::size_u32::<OBJECT_ATTRIBUTES>(),
        RootDirectory: parent.unwrap_or_default(),
        ObjectName: name,
        Attributes: OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE,
        ..OBJECT_ATTRIBUTES::default()
    }
}

/// See [`kmdf_model::Host::open_key`].
pub fn open(parent: Option<HANDLE>, path: &[u16], access: ACCESS_MASK) -> Result<HANDLE, NTSTATUS> {
    let mut name = nt::counted(path);
    let mut attributes = attributes(parent, &mut name);
    let mut key = ptr::null_mut();
    // SAFETY: the out parameter, the attributes and the name are valid during the call.
    check(unsafe { nt::ZwOpenKey(&raw mut key, access, &raw mut attributes) })?;
    Ok(key)
}

/// See [`kmdf_model::Host::create_key`].
pub fn create(
    parent: Option<HANDLE>,
    path: &[u16],
    access: ACCESS_MASK,
    options: u32,
) -> Result<(HANDLE, bool), NTSTATUS> {
    let mut name = nt::counted(path);
    let mut attributes = attributes(parent, &mut name);
    let mut key = ptr::null_mut();
    let mut disposition = 0;
    // SAFETY: the out parameters, the attributes and the name are valid during the call.
    let status = unsafe {
        nt::ZwCreateKey(
            &raw mut key,
            access,
            &raw mut attributes,
            0,
            ptr::null_mut(),
            options,
            &raw mut disposition,
        )
    };
    check(status)?;
    Ok((key, disposition == REG_CREATED_NEW_KEY))
}

/// See [`kmdf_model::Host::close_key`].
pub fn close(key: HANDLE) {
    // SAFETY: the model closes a key that it opened, once.
    unsafe { nt::ZwClose(key) };
}

/// See [`kmdf_model::Host::delete_key`].
pub fn delete(key: HANDLE) -> Result<(), NTSTATUS> {
    // SAFETY: the key is open.
    check(unsafe { nt::ZwDeleteKey(key) })
}

/// See [`kmdf_model::Host::query_value`].
pub fn query(key: HANDLE, name: &[u16]) -> Result<(u32, Vec<u8>), NTSTATUS> {
    let mut name = nt::counted(name);
    let mut room = 256;
    loop {
        let mut information = vec![0_u8; room];
        let mut needed = 0;
        // SAFETY: the key is open; name, buffer and out parameter are valid during the call.
        let status = unsafe {
            nt::ZwQueryValueKey(
                key,
                &raw mut name,
                PARTIAL_INFORMATION,
                information.as_mut_ptr().cast(),
                u32::try_from(room).unwrap_or(u32::MAX),
                &raw mut needed,
            )
        };
        if (status == BUFFER_OVERFLOW || status == BUFFER_TOO_SMALL) && needed as usize > room {
            room = needed as usize;
            continue;
        }
        check(status)?;
        let word = |at: usize| {
            let bytes = information.get(at..).and_then(<[u8]>::first_chunk::<4>);
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let (kind, length) = (word(4), word(8) as usize);
        let end = HEADER.saturating_add(length);
        let data = information.get(HEADER..end).unwrap_or_default().to_vec();
        return Ok((kind, data));
    }
}

/// See [`kmdf_model::Host::set_value`].
pub fn set(key: HANDLE, name: &[u16], kind: u32, data: &[u8]) -> Result<(), NTSTATUS> {
    let mut name = nt::counted(name);
    // SAFETY: the key is open; name and data are valid during the call, which only reads them.
    check(unsafe {
        nt::ZwSetValueKey(
            key,
            &raw mut name,
            0,
            kind,
            data.as_ptr().cast_mut().cast(),
            u32::try_from(data.len()).unwrap_or(u32::MAX),
        )
    })
}

/// See [`kmdf_model::Host::delete_value`].
pub fn delete_value(key: HANDLE, name: &[u16]) -> Result<(), NTSTATUS> {
    let mut name = nt::counted(name);
    // SAFETY: the key is open; the name is valid during the call.
    check(unsafe { nt::ZwDeleteValueKey(key, &raw mut name) })
}
