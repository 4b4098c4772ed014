//! The services for files, and the directories that a driver may call its own. Source: the pages of
//! the functions.
#![expect(
    non_snake_case,
    clippy::too_many_arguments,
    reason = "the names and parameters of the kernel's functions"
)]

use core::slice;

use super::{
    arguments::{attributes, name},
    file_object::{FileObject, file, handle, options},
};
use crate::{
    _DRIVER_DIRECTORY_TYPE as DirectoryType, _FILE_INFORMATION_CLASS as Class, ACCESS_MASK, BOOLEAN,
    DRIVER_DIRECTORY_TYPE, FILE_CREATED, FILE_DIRECTORY_FILE, FILE_DISPOSITION_INFORMATION,
    FILE_END_OF_FILE_INFORMATION, FILE_INFORMATION_CLASS, FILE_OPEN, FILE_OPENED, FILE_OVERWRITTEN,
    FILE_POSITION_INFORMATION, FILE_STANDARD_INFORMATION, FILE_SUPERSEDED, HANDLE, IO_STATUS_BLOCK,
    LARGE_INTEGER, Machine, NTSTATUS, PDRIVER_OBJECT, PHANDLE, PIO_APC_ROUTINE, PIO_STATUS_BLOCK,
    PLARGE_INTEGER, POBJECT_ATTRIBUTES, PULONG, PUNICODE_STRING, PVOID, ULONG, ULONG_PTR, WCHAR,
    files::{Disposition, Kind, OpenFile, OpenOptions, Outcome, Rights, WriteAt},
    ntstatus::NtStatus,
    thread::irql,
    verifier::{self, Rule},
};

/// `FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE`
const SHARE_ALL: ULONG = 7;
/// Where the name begins in `FILE_RENAME_INFORMATION`.
const RENAME_NAME: usize = 20;

/// Fills the status block of an operation, and returns its status.
///
/// # Safety
///
/// `block` can be written.
unsafe fn done(block: PIO_STATUS_BLOCK, result: Result<usize, NtStatus>) -> NTSTATUS {
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

/// Opens or creates a file or directory. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The pointers are valid, or NULL where the page allows it.
pub unsafe fn ZwCreateFile(
    file_handle: PHANDLE,
    desired_access: ACCESS_MASK,
    object_attributes: POBJECT_ATTRIBUTES,
    io_status_block: PIO_STATUS_BLOCK,
    _allocation_size: PLARGE_INTEGER,
    _file_attributes: ULONG,
    share_access: ULONG,
    create_disposition: ULONG,
    create_options: ULONG,
    _ea_buffer: PVOID,
    _ea_length: ULONG,
) -> NTSTATUS {
    const CALL: &str = "ZwCreateFile";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    let machine = Machine::current();
    // SAFETY: the caller vouches for the attributes.
    let attributes = unsafe { attributes(CALL, object_attributes) };
    let opened = attributes.and_then(|attributes| {
        let (options, synchronous) =
            options(desired_access, share_access, create_disposition, create_options)?;
        let (opened, outcome) = match attributes.root {
            None => OpenFile::open(&machine, &attributes.name, options)?,
            Some(root) => file(&machine, root)?.file.open_below(&attributes.name, options)?,
        };
        Ok((opened, outcome, synchronous))
    });
    let result = opened.map(|(opened, outcome, synchronous)| {
        let made = handle(&machine, opened, synchronous);
        // SAFETY: the caller vouches for the out parameter.
        unsafe { file_handle.write(made) };
        let outcome = match outcome {
            Outcome::Superseded => FILE_SUPERSEDED,
            Outcome::Opened => FILE_OPENED,
            Outcome::Created => FILE_CREATED,
            Outcome::Overwritten => FILE_OVERWRITTEN,
        };
        usize::try_from(outcome).unwrap_or(0)
    });
    // SAFETY: the caller vouches for the block.
    unsafe { done(io_status_block, result) }
}

/// Opens a file or directory that is there. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The pointers are valid.
pub unsafe fn ZwOpenFile(
    file_handle: PHANDLE,
    desired_access: ACCESS_MASK,
    object_attributes: POBJECT_ATTRIBUTES,
    io_status_block: PIO_STATUS_BLOCK,
    share_access: ULONG,
    open_options: ULONG,
) -> NTSTATUS {
    // SAFETY: what the caller vouches for is what the other function needs.
    unsafe {
        ZwCreateFile(
            file_handle,
            desired_access,
            object_attributes,
            io_status_block,
            core::ptr::null_mut(),
            0,
            share_access,
            FILE_OPEN,
            open_options,
            core::ptr::null_mut(),
            0,
        )
    }
}

/// Finds a file for reading or writing, and reports a use that would not be synchronous.
fn synchronous_file(
    call: &'static str,
    file_handle: HANDLE,
    event: HANDLE,
    routine: PIO_APC_ROUTINE,
) -> Result<std::sync::Arc<FileObject>, NtStatus> {
    let found = file(&Machine::current(), file_handle)?;
    if !found.synchronous || !event.is_null() || routine.is_some() {
        verifier::report(
            Rule::BadParameter,
            Some(call),
            format!("{call} is asynchronous here, and may return before the operation is done"),
            "open the file with FILE_SYNCHRONOUS_IO_NONALERT and SYNCHRONIZE, and pass no event or APC",
        );
    }
    Ok(found)
}

/// Reads a byte offset: `None` stands for the handle's position.
///
/// # Safety
///
/// `offset` is NULL or points to a valid number.
unsafe fn position(offset: PLARGE_INTEGER) -> Option<i64> {
    // SAFETY: the caller vouches for the pointer, and NULL is caught here.
    let value = unsafe { offset.as_ref() }?;
    // SAFETY: all bits of the union are initialised, and every one of them is an integer.
    Some(unsafe { value.QuadPart })
}

/// Reads from a file. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The pointers are valid, or NULL where the page allows it, and the buffer can take `length` bytes.
pub unsafe fn ZwReadFile(
    file_handle: HANDLE,
    event: HANDLE,
    apc_routine: PIO_APC_ROUTINE,
    _apc_context: PVOID,
    io_status_block: PIO_STATUS_BLOCK,
    buffer: PVOID,
    length: ULONG,
    byte_offset: PLARGE_INTEGER,
    _key: PULONG,
) -> NTSTATUS {
    const CALL: &str = "ZwReadFile";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    // SAFETY: the caller vouches for the pointer.
    let at = match unsafe { position(byte_offset) } {
        // FILE_USE_FILE_POINTER_POSITION
        None | Some(-2) => Ok(None),
        Some(offset) => u64::try_from(offset)
            .map(Some)
            .map_err(|_| NtStatus::INVALID_PARAMETER),
    };
    let result = at.and_then(|at| {
        let file = synchronous_file(CALL, file_handle, event, apc_routine)?;
        let mut content = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = file.file.read(at, &mut content)?;
        // SAFETY: the caller vouches for `length` bytes, and no more than that were read.
        unsafe { core::ptr::copy_nonoverlapping(content.as_ptr(), buffer.cast::<u8>(), read) };
        Ok(read)
    });
    // SAFETY: the caller vouches for the block.
    unsafe { done(io_status_block, result) }
}

/// Writes to a file. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The pointers are valid, or NULL where the page allows it, and the buffer holds `length` bytes.
pub unsafe fn ZwWriteFile(
    file_handle: HANDLE,
    event: HANDLE,
    apc_routine: PIO_APC_ROUTINE,
    _apc_context: PVOID,
    io_status_block: PIO_STATUS_BLOCK,
    buffer: PVOID,
    length: ULONG,
    byte_offset: PLARGE_INTEGER,
    _key: PULONG,
) -> NTSTATUS {
    const CALL: &str = "ZwWriteFile";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    // SAFETY: the caller vouches for the pointer.
    let at = match unsafe { position(byte_offset) } {
        // FILE_USE_FILE_POINTER_POSITION
        None | Some(-2) => Ok(WriteAt::Position),
        // FILE_WRITE_TO_END_OF_FILE
        Some(-1) => Ok(WriteAt::End),
        Some(offset) => u64::try_from(offset)
            .map(WriteAt::Offset)
            .map_err(|_| NtStatus::INVALID_PARAMETER),
    };
    let result = at.and_then(|at| {
        let file = synchronous_file(CALL, file_handle, event, apc_routine)?;
        let size = usize::try_from(length).unwrap_or(0);
        if size > 0 {
            // SAFETY: the caller vouches for the buffer.
            let content = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), size) };
            file.file.write(at, content)?;
        }
        Ok(size)
    });
    // SAFETY: the caller vouches for the block.
    unsafe { done(io_status_block, result) }
}

/// Makes sure that what was written would outlast a power failure. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// The status block can be written.
pub unsafe fn ZwFlushBuffersFile(file_handle: HANDLE, io_status_block: PIO_STATUS_BLOCK) -> NTSTATUS {
    verifier::require_irql_at_most("ZwFlushBuffersFile", irql::PASSIVE);
    let result = file(&Machine::current(), file_handle).and_then(|file| file.file.flush());
    // SAFETY: the caller vouches for the block.
    unsafe { done(io_status_block, result.map(|()| 0)) }
}

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
        name: super::arguments::text(&units)?,
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
    verifier::require_irql_at_most("ZwQueryInformationFile", irql::PASSIVE);
    let result = file(&Machine::current(), file_handle).and_then(|object| {
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
    super::arguments::status(deleted)
}

/// Lists names of a directory (`FileNamesInformation`). IRQL: PASSIVE_LEVEL.
///
/// Each call gives as many entries as fit, or one; the last call gives `STATUS_NO_MORE_FILES`. A
/// pattern other than none or `*` is not supported.
///
/// # Safety
///
/// The pointers are valid, or NULL where the page allows it, and `information` can take `length` bytes.
pub unsafe fn ZwQueryDirectoryFile(
    file_handle: HANDLE,
    event: HANDLE,
    apc_routine: PIO_APC_ROUTINE,
    _apc_context: PVOID,
    io_status_block: PIO_STATUS_BLOCK,
    information: PVOID,
    length: ULONG,
    class: FILE_INFORMATION_CLASS,
    return_single_entry: BOOLEAN,
    file_name: PUNICODE_STRING,
    restart_scan: BOOLEAN,
) -> NTSTATUS {
    const CALL: &str = "ZwQueryDirectoryFile";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    // SAFETY: the caller vouches for the name.
    let pattern = unsafe { name(file_name) };
    let result = pattern.and_then(|pattern| {
        if class != Class::FileNamesInformation || !matches!(pattern.as_str(), "" | "*") {
            return Err(NtStatus::NOT_SUPPORTED);
        }
        let object = synchronous_file(CALL, file_handle, event, apc_routine)?;
        let names = object.file.list()?;
        let room = usize::try_from(length).unwrap_or(0);
        let bytes = object.listed.with(|listed| {
            if restart_scan != 0 {
                *listed = 0;
            }
            let rest = names.get(*listed..).unwrap_or(&[]);
            let (bytes, count) = directory_entries(rest, room, return_single_entry != 0)?;
            *listed += count;
            Ok(bytes)
        })?;
        // SAFETY: the caller vouches for `length` bytes, and the entries were made to fit.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), information.cast::<u8>(), bytes.len()) };
        Ok(bytes.len())
    });
    // SAFETY: the caller vouches for the block.
    unsafe { done(io_status_block, result) }
}

/// Lays out `FILE_NAMES_INFORMATION` entries: offset of the next one, index, length, name.
fn directory_entries(
    names: &[(String, Kind)],
    room: usize,
    single: bool,
) -> Result<(Vec<u8>, usize), NtStatus> {
    const FIXED: usize = 12;
    if names.is_empty() {
        return Err(NtStatus::NO_MORE_FILES);
    }
    let mut bytes: Vec<u8> = Vec::new();
    let mut count = 0;
    let mut last = 0;
    for (name, _) in names.iter().take(if single { 1 } else { usize::MAX }) {
        let units: Vec<u8> = name.encode_utf16().flat_map(WCHAR::to_le_bytes).collect();
        let start = bytes.len().next_multiple_of(8);
        if start + FIXED + units.len() > room {
            break;
        }
        bytes.resize(start, 0);
        if count > 0 {
            let step = u32::try_from(start - last).unwrap_or(0).to_le_bytes();
            bytes[last..last + step.len()].copy_from_slice(&step);
        }
        bytes.extend([0; 8]);
        bytes.extend(u32::try_from(units.len()).unwrap_or(0).to_le_bytes());
        bytes.extend(units);
        last = start;
        count += 1;
    }
    if count == 0 {
        Err(NtStatus::BUFFER_OVERFLOW)
    } else {
        Ok((bytes, count))
    }
}

/// Opens a directory that belongs to a driver: that of its image, or that of its data. IRQL:
/// PASSIVE_LEVEL. Minimum: Windows 10 2004 (the data directory).
///
/// # Safety
///
/// `driver_directory_handle` can be written.
pub unsafe fn IoGetDriverDirectory(
    driver_object: PDRIVER_OBJECT,
    directory_type: DRIVER_DIRECTORY_TYPE,
    flags: ULONG,
    driver_directory_handle: PHANDLE,
) -> NTSTATUS {
    const CALL: &str = "IoGetDriverDirectory";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    let machine = Machine::current();
    let opened = driver_directory(&machine, driver_object, directory_type, flags);
    match opened {
        Err(status) => status.0,
        Ok(directory) => {
            let made = handle(&machine, directory, true);
            // SAFETY: the caller vouches for the out parameter.
            unsafe { driver_directory_handle.write(made) };
            NtStatus::SUCCESS.0
        }
    }
}

fn driver_directory(
    machine: &Machine,
    object: PDRIVER_OBJECT,
    kind: DRIVER_DIRECTORY_TYPE,
    flags: ULONG,
) -> Result<OpenFile, NtStatus> {
    let loaded = machine
        .scm_state()
        .by_object(object)
        .ok_or(NtStatus::INVALID_PARAMETER)?;
    if flags != 0 {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let path = match kind {
        DirectoryType::DriverDirectoryData => {
            format!(r"\SystemRoot\System32\drivers\DriverData\{}", loaded.service())
        }
        DirectoryType::DriverDirectoryImage => machine.image_folder(loaded.service()),
        _ => return Err(NtStatus::INVALID_PARAMETER),
    };
    machine.files_state().make_directories(&path)?;
    let access = crate::FILE_GENERIC_READ | crate::FILE_GENERIC_WRITE;
    let (options, _) = options(access, SHARE_ALL, FILE_OPEN, FILE_DIRECTORY_FILE)?;
    OpenFile::open(machine, &path, options).map(|(directory, _)| directory)
}
