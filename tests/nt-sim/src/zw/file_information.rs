//! The services that ask about files and change them: name, end, deletion. Source: the pages of the
//! functions.
#![expect(non_snake_case, reason = "the names of the kernel's functions")]

use core::slice;

use super::{
    arguments::{attributes, done, status, text},
    file_object::file,
};
use crate::{
    _FILE_INFORMATION_CLASS as Class, BOOLEAN, FILE_DISPOSITION_INFORMATION, FILE_END_OF_FILE_INFORMATION,
    FILE_INFORMATION_CLASS, FILE_POSITION_INFORMATION, FILE_STANDARD_INFORMATION, HANDLE, LARGE_INTEGER,
    Machine, NTSTATUS, PIO_STATUS_BLOCK, POBJECT_ATTRIBUTES, PVOID, ULONG, faults,
    files::{Disposition, OpenFile, OpenOptions, Rights},
    ntstatus::NtStatus,
    thread::irql,
    verifier,
};

/// Where the name begins in `FILE_RENAME_INFORMATION`.
const RENAME_NAME: usize = 20;

/// Reads a structure that a driver passes, if it is long enough.
///
/// # Safety
///
/// `information` points to `length` bytes.
unsafe fn structure<T: Copy>(information: PVOID, length: ULONG) -> Result<T, NtStatus> {
    if usize::try_from(length).unwrap_or(0) < size_of::<T>() {
        return Err(NtStatus::INFO_LENGTH_MISMATCH);
    }
    // SAFETY: the caller vouches for the bytes, and there are enough of them.
    Ok(unsafe { information.cast::<T>().read_unaligned() })
}

/// Reads a number of a structure.
const fn number(value: LARGE_INTEGER) -> i64 {
    // SAFETY: all bits of the union are initialised, and every one of them is an integer.
    unsafe { value.QuadPart }
}

/// Changes a file: its name, its end, its position, or whether it is to be deleted. IRQL:
/// PASSIVE_LEVEL.
///
/// # Safety
///
/// The status block can be written, and `information` points to `length` bytes.
pub unsafe fn ZwSetInformationFile(
    file_handle: HANDLE,
    io_status_block: PIO_STATUS_BLOCK,
    information: PVOID,
    length: ULONG,
    class: FILE_INFORMATION_CLASS,
) -> NTSTATUS {
    verifier::require_irql_at_most("ZwSetInformationFile", irql::PASSIVE);
    let machine = Machine::current();
    let result = file(&machine, file_handle).and_then(|object| match class {
        Class::FileEndOfFileInformation => {
            // SAFETY: the caller vouches for the bytes.
            let end: FILE_END_OF_FILE_INFORMATION = unsafe { structure(information, length) }?;
            let end = u64::try_from(number(end.EndOfFile)).map_err(|_| NtStatus::INVALID_PARAMETER)?;
            object.file.set_size(end)
        }
        Class::FilePositionInformation => {
            // SAFETY: the caller vouches for the bytes.
            let at: FILE_POSITION_INFORMATION = unsafe { structure(information, length) }?;
            let at = number(at.CurrentByteOffset);
            object
                .file
                .set_position(u64::try_from(at).map_err(|_| NtStatus::INVALID_PARAMETER)?);
            Ok(())
        }
        Class::FileDispositionInformation => {
            // SAFETY: the caller vouches for the bytes.
            let disposition: FILE_DISPOSITION_INFORMATION = unsafe { structure(information, length) }?;
            object.file.set_delete(disposition.DeleteFile != 0)
        }
        Class::FileRenameInformation => {
            // SAFETY: the caller vouches for the bytes.
            let rename = unsafe { rename(information, length) }?;
            let root = rename.root.map(|root| file(&machine, root)).transpose()?;
            object
                .file
                .rename(root.as_ref().map(|root| &root.file), &rename.name, rename.replace)
        }
        _ => Err(NtStatus::INVALID_PARAMETER),
    });
    // SAFETY: the caller vouches for the block.
    unsafe { done(io_status_block, result.map(|()| 0)) }
}

struct Rename {
    replace: bool,
    root: Option<HANDLE>,
    name: String,
}

/// Reads `FILE_RENAME_INFORMATION`.
///
/// # Safety
///
/// `information` points to `length` bytes.
unsafe fn rename(information: PVOID, length: ULONG) -> Result<Rename, NtStatus> {
    let length = usize::try_from(length).unwrap_or(0);
    if length < RENAME_NAME || information.is_null() {
        return Err(NtStatus::INFO_LENGTH_MISMATCH);
    }
    // SAFETY: the caller vouches for the bytes.
    let bytes = unsafe { slice::from_raw_parts(information.cast::<u8>(), length) };
    let fault = NtStatus::INFO_LENGTH_MISMATCH;
    let replace = *bytes.first().ok_or(fault)? != 0;
    let root = bytes
        .get(8..16)
        .and_then(|part| part.try_into().ok())
        .ok_or(fault)?;
    let root = usize::try_from(u64::from_le_bytes(root)).map_err(|_| fault)?;
    let size = bytes
        .get(16..20)
        .and_then(|part| part.try_into().ok())
        .ok_or(fault)?;
    let size = usize::try_from(u32::from_le_bytes(size)).map_err(|_| fault)?;
    let name = bytes
        .get(RENAME_NAME..)
        .and_then(|rest| rest.get(..size))
        .ok_or(fault)?;
    let units: Vec<u16> = name
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    if units.is_empty() {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    Ok(Rename {
        replace,
        root: (root != 0).then(|| core::ptr::without_provenance_mut(root)),
        name: text(&units)?,
    })
}

/// Reads about a file. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The status block can be written, and `information` can take `length` bytes.
pub unsafe fn ZwQueryInformationFile(
    file_handle: HANDLE,
    io_status_block: PIO_STATUS_BLOCK,
    information: PVOID,
    length: ULONG,
    class: FILE_INFORMATION_CLASS,
) -> NTSTATUS {
    const CALL: &str = "ZwQueryInformationFile";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    let passed = faults::pass(faults::Class::File, CALL);
    let result = passed.and_then(|()| {
        let object = file(&Machine::current(), file_handle)?;
        if class != Class::FileStandardInformation {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        if usize::try_from(length).unwrap_or(0) < size_of::<FILE_STANDARD_INFORMATION>() {
            return Err(NtStatus::INFO_LENGTH_MISMATCH);
        }
        let info = object.file.info()?;
        let size = i64::try_from(info.size).map_err(|_| NtStatus::UNSUCCESSFUL)?;
        let standard = FILE_STANDARD_INFORMATION {
            AllocationSize: LARGE_INTEGER { QuadPart: size },
            EndOfFile: LARGE_INTEGER { QuadPart: size },
            NumberOfLinks: ULONG::from(!info.delete_pending),
            DeletePending: BOOLEAN::from(info.delete_pending),
            Directory: BOOLEAN::from(info.directory),
        };
        // SAFETY: the caller vouches for the bytes, and there are enough of them.
        unsafe {
            information
                .cast::<FILE_STANDARD_INFORMATION>()
                .write_unaligned(standard);
        }
        Ok(size_of::<FILE_STANDARD_INFORMATION>())
    });
    // SAFETY: the caller vouches for the block.
    unsafe { done(io_status_block, result) }
}

/// Deletes a file by its name. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The attributes are valid.
pub unsafe fn ZwDeleteFile(object_attributes: POBJECT_ATTRIBUTES) -> NTSTATUS {
    const CALL: &str = "ZwDeleteFile";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    let machine = Machine::current();
    // SAFETY: the caller vouches for the attributes.
    let deleted = unsafe { attributes(CALL, object_attributes) }.and_then(|attributes| {
        let options = OpenOptions {
            access: Rights {
                delete: true,
                ..Rights::default()
            },
            share: Rights {
                read: true,
                write: true,
                delete: true,
            },
            disposition: Disposition::Open,
            kind: None,
            append_only: false,
            delete_on_close: false,
        };
        let (opened, _) = match attributes.root {
            None => OpenFile::open(&machine, &attributes.name, options)?,
            Some(root) => file(&machine, root)?.file.open_below(&attributes.name, options)?,
        };
        opened.set_delete(true)
    });
    status(deleted)
}
