//! The services for directories, and the directories that a driver may call its own. Source: the
//! pages of the functions.
#![expect(
    non_snake_case,
    clippy::too_many_arguments,
    reason = "the names and parameters of the kernel's functions"
)]

use super::{
    arguments::{done, name},
    file_object::{handle, options, synchronous_file},
};
use crate::{
    _DRIVER_DIRECTORY_TYPE as DirectoryType, _FILE_INFORMATION_CLASS as Class, BOOLEAN,
    DRIVER_DIRECTORY_TYPE, FILE_DIRECTORY_FILE, FILE_INFORMATION_CLASS, FILE_OPEN, HANDLE, Machine, NTSTATUS,
    PDRIVER_OBJECT, PHANDLE, PIO_APC_ROUTINE, PIO_STATUS_BLOCK, PUNICODE_STRING, PVOID, ULONG, WCHAR, faults,
    files::{Kind, OpenFile},
    ntstatus::NtStatus,
    thread::irql,
    verifier,
};

/// `FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE`
const SHARE_ALL: ULONG = 7;

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
        faults::pass(faults::Class::File, CALL)?;
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
