//! Reading arguments of drivers, and writing results back.

use core::slice;

use crate::{
    HANDLE, IO_STATUS_BLOCK, NTSTATUS, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, PIO_STATUS_BLOCK, PULONG, PVOID,
    ULONG, ULONG_PTR, UNICODE_STRING,
    ntstatus::NtStatus,
    verifier::{self, Rule},
};

/// The name and the root of what is to be opened.
pub(super) struct Attributes {
    pub(super) root: Option<HANDLE>,
    pub(super) name: String,
}

/// Reads a counted string; a NULL pointer is an empty one.
///
/// # Safety
///
/// `string` is NULL or points to a valid `UNICODE_STRING`.
pub(super) unsafe fn units(string: *const UNICODE_STRING) -> Vec<u16> {
    // SAFETY: the caller vouches for the pointer, and NULL is caught here.
    let Some(string) = (unsafe { string.as_ref() }) else {
        return Vec::new();
    };
    if string.Length == 0 || string.Buffer.is_null() {
        return Vec::new();
    }
    // SAFETY: a valid string has `Length` bytes of whole units at `Buffer`.
    unsafe { slice::from_raw_parts(string.Buffer, usize::from(string.Length) / 2) }.to_vec()
}

/// Turns a name into text.
pub(super) fn text(units: &[u16]) -> Result<String, NtStatus> {
    String::from_utf16(units).map_err(|_| NtStatus::OBJECT_NAME_INVALID)
}

/// Reads a name.
///
/// # Safety
///
/// As [`units`].
pub(super) unsafe fn name(string: *const UNICODE_STRING) -> Result<String, NtStatus> {
    // SAFETY: the caller vouches for the pointer.
    text(&unsafe { units(string) })
}

/// Reads object attributes.
///
/// # Safety
///
/// `attributes` is NULL or points to valid object attributes.
pub(super) unsafe fn attributes(
    call: &'static str,
    attributes: *const OBJECT_ATTRIBUTES,
) -> Result<Attributes, NtStatus> {
    // SAFETY: the caller vouches for the pointer, and NULL is caught here.
    let attributes = unsafe { attributes.as_ref() }.ok_or(NtStatus::INVALID_PARAMETER)?;
    if usize::try_from(attributes.Length) != Ok(size_of::<OBJECT_ATTRIBUTES>()) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    if attributes.Attributes & OBJ_KERNEL_HANDLE == 0 {
        verifier::report(
            Rule::BadParameter,
            Some(call),
            format!("{call} would make a handle in the table of whatever process runs now"),
            "set OBJ_KERNEL_HANDLE in the object attributes",
        );
    }
    // SAFETY: valid attributes hold NULL or a valid name.
    let name = unsafe { name(attributes.ObjectName) }?;
    let root = attributes.RootDirectory;
    Ok(Attributes {
        root: (!root.is_null()).then_some(root),
        name,
    })
}

/// Gives a variable amount of information to a driver, as the query services do: all of it, or its
/// beginning with `STATUS_BUFFER_OVERFLOW` if at least the fixed part fits, or nothing.
///
/// # Safety
///
/// `buffer` can take `length` bytes, and `result_length` is NULL or can be written.
pub(super) unsafe fn give(
    information: &[u8],
    fixed: usize,
    buffer: PVOID,
    length: ULONG,
    result_length: PULONG,
) -> NTSTATUS {
    let room = usize::try_from(length).unwrap_or(0);
    if !result_length.is_null() {
        let needed = ULONG::try_from(information.len()).unwrap_or(ULONG::MAX);
        // SAFETY: the caller vouches for the pointer.
        unsafe { result_length.write(needed) };
    }
    if room < fixed {
        return NtStatus::BUFFER_TOO_SMALL.0;
    }
    let copied = information.len().min(room);
    if copied > 0 {
        // SAFETY: the caller vouches for `room` bytes, and the source is a slice of at least
        // `copied` bytes of our own.
        unsafe { core::ptr::copy_nonoverlapping(information.as_ptr(), buffer.cast::<u8>(), copied) };
    }
    if copied == information.len() {
        NtStatus::SUCCESS.0
    } else {
        NtStatus::BUFFER_OVERFLOW.0
    }
}

/// Turns a result into the status that a service returns.
pub(super) fn status(result: Result<(), NtStatus>) -> NTSTATUS {
    result.map_or_else(|status| status.0, |()| NtStatus::SUCCESS.0)
}

/// Fills the status block of an operation, and returns its status.
///
/// # Safety
///
/// `block` can be written.
pub(super) unsafe fn done(block: PIO_STATUS_BLOCK, result: Result<usize, NtStatus>) -> NTSTATUS {
    let (status, information) = match result {
        Ok(information) => (NtStatus::SUCCESS, information),
        Err(status) => (status, 0),
    };
    let mut value = IO_STATUS_BLOCK::default();
    value.__bindgen_anon_1.Status = status.0;
    value.Information = ULONG_PTR::try_from(information).unwrap_or(ULONG_PTR::MAX);
    // SAFETY: the caller vouches for the block.
    unsafe { block.write(value) };
    status.0
}
