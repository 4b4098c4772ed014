//! Open files: what a handle of a file stands for.

use std::sync::Arc;

use crate::{
    ACCESS_MASK, HANDLE, Machine, PIO_APC_ROUTINE, ULONG,
    files::{Disposition, Kind, OpenFile, OpenOptions, Rights},
    ntstatus::NtStatus,
    ob,
    sync::StateLock,
    verifier::{self, Rule},
};

const FILE_READ_DATA: u32 = 0x1;
const FILE_WRITE_DATA: u32 = 0x2;
const FILE_APPEND_DATA: u32 = 0x4;
const DELETE: u32 = 0x0001_0000;
const SYNCHRONIZE: u32 = 0x0010_0000;

/// An open file or directory.
#[derive(Debug)]
pub(super) struct FileObject {
    pub(super) file: OpenFile,
    /// The I/O manager waits for each operation (`FILE_SYNCHRONOUS_IO_…`).
    pub(super) synchronous: bool,
    /// How far a listing of this directory has come.
    pub(super) listed: StateLock<usize>,
}

impl ob::Object for FileObject {
    fn kind(&self) -> &'static str {
        "file"
    }
}

/// Returns the file that a handle names.
pub(super) fn file(machine: &Machine, handle: HANDLE) -> Result<Arc<FileObject>, NtStatus> {
    if ob::lookup(machine, handle).is_none() {
        return Err(NtStatus::INVALID_HANDLE);
    }
    ob::lookup_as(machine, handle).ok_or(NtStatus::OBJECT_TYPE_MISMATCH)
}

/// Finds a file for reading or writing, and reports a use that would not be synchronous.
pub(super) fn synchronous_file(
    call: &'static str,
    file_handle: HANDLE,
    event: HANDLE,
    routine: PIO_APC_ROUTINE,
) -> Result<Arc<FileObject>, NtStatus> {
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

/// Makes a handle to a file.
pub(super) fn handle(machine: &Machine, file: OpenFile, synchronous: bool) -> HANDLE {
    ob::insert(
        machine,
        Arc::new(FileObject {
            file,
            synchronous,
            listed: StateLock::new(0),
        }),
    )
}

/// Translates the arguments of `ZwCreateFile`; tells also whether the file is for synchronous use.
pub(super) fn options(
    access: ACCESS_MASK,
    share: ULONG,
    disposition: ULONG,
    options: ULONG,
) -> Result<(OpenOptions, bool), NtStatus> {
    let synchronous = options & (crate::FILE_SYNCHRONOUS_IO_ALERT | crate::FILE_SYNCHRONOUS_IO_NONALERT) != 0;
    let access = crate::io::sddl::map_generic(access);
    if synchronous && access & SYNCHRONIZE == 0 {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let directory = options & crate::FILE_DIRECTORY_FILE != 0;
    let plain = options & crate::FILE_NON_DIRECTORY_FILE != 0;
    let delete_on_close = options & crate::FILE_DELETE_ON_CLOSE != 0;
    if (directory && plain) || (delete_on_close && access & DELETE == 0) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    let disposition = match disposition {
        crate::FILE_SUPERSEDE => Disposition::Supersede,
        crate::FILE_OPEN => Disposition::Open,
        crate::FILE_CREATE => Disposition::Create,
        crate::FILE_OPEN_IF => Disposition::OpenIf,
        crate::FILE_OVERWRITE => Disposition::Overwrite,
        crate::FILE_OVERWRITE_IF => Disposition::OverwriteIf,
        _ => return Err(NtStatus::INVALID_PARAMETER),
    };
    let kind = if directory {
        Some(Kind::Directory)
    } else {
        plain.then_some(Kind::File)
    };
    let options = OpenOptions {
        access: Rights {
            read: access & FILE_READ_DATA != 0,
            write: access & (FILE_WRITE_DATA | FILE_APPEND_DATA) != 0,
            delete: access & DELETE != 0,
        },
        share: Rights {
            read: share & crate::FILE_SHARE_READ != 0,
            write: share & crate::FILE_SHARE_WRITE != 0,
            delete: share & crate::FILE_SHARE_DELETE != 0,
        },
        disposition,
        kind,
        append_only: access & (FILE_WRITE_DATA | FILE_APPEND_DATA) == FILE_APPEND_DATA,
        delete_on_close,
    };
    Ok((options, synchronous))
}
