//! Files in the driver's own data directory.
//!
//! A [`Directory`] comes from [`DriverHandle::data_directory`](crate::wdf::DriverHandle::data_directory);
//! names are relative to it. Files are opened for synchronous access: when a call returns, it is done.
//! Reading and writing name their offset, there is no current position. Source: `ZwCreateFile` and its kin.

use wdk_sys::ntddk::{
    ZwCreateFile, ZwFlushBuffersFile, ZwQueryInformationFile, ZwReadFile, ZwSetInformationFile, ZwWriteFile,
};
use wdk_sys::{_FILE_INFORMATION_CLASS, FILE_INFORMATION_CLASS, HANDLE, IO_STATUS_BLOCK, LARGE_INTEGER};

use crate::irql::Passive;
use crate::object::{Handle, attributes};
use crate::status::NtStatus;
use crate::unicode::UnicodeStr;

// wdm.h
const DELETE: u32 = 0x0001_0000;
const SYNCHRONIZE: u32 = 0x0010_0000;
const FILE_GENERIC_READ: u32 = 0x0012_0089;
const FILE_GENERIC_WRITE: u32 = 0x0012_0116;
const FILE_ATTRIBUTE_NORMAL: u32 = 0x80;
const FILE_OPEN: u32 = 1;
const FILE_CREATE: u32 = 2;
const FILE_OPEN_IF: u32 = 3;
const FILE_SYNCHRONOUS_IO_NONALERT: u32 = 0x20;
const FILE_NON_DIRECTORY_FILE: u32 = 0x40;

/// The most that one kernel call transfers; longer reads and writes are done in pieces.
const MAX_TRANSFER: usize = 1 << 20;

/// The longest file name, in UTF-16 units.
pub const MAX_FILE_NAME_UNITS: usize = 255;

/// What to do about a file that is, or is not, there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Open it; `STATUS_OBJECT_NAME_NOT_FOUND` if it is not there.
    Open,
    /// Create it; `STATUS_OBJECT_NAME_COLLISION` if it is there.
    Create,
    /// Open it, or create it empty.
    OpenOrCreate,
}

/// An open directory.
pub struct Directory(Handle);

impl Directory {
    /// # Safety
    /// `handle` is a valid kernel handle of a directory that nobody else closes.
    pub(crate) const unsafe fn from_raw(handle: HANDLE) -> Self {
        // SAFETY: passed on to the caller.
        Self(unsafe { Handle::from_raw(handle) })
    }

    /// Opens or creates the file `name` in this directory, for reading, writing, renaming and deleting.
    /// Others may not open it meanwhile.
    ///
    /// # Errors
    /// What the kernel answers; see [`Disposition`].
    pub fn open(&self, _: Passive<'_>, name: &[u16], disposition: Disposition) -> Result<File, NtStatus> {
        let mut name = UnicodeStr::new(name)?;
        let mut attributes = attributes(self.0.raw(), Some(&mut name));
        let mut handle: HANDLE = core::ptr::null_mut();
        let mut io = IO_STATUS_BLOCK::default();
        // SAFETY: the out parameters, the attributes and the name they point to are valid during the call;
        // the allocation size and the extended attributes are optional.
        let status = unsafe {
            ZwCreateFile(
                &raw mut handle,
                FILE_GENERIC_READ | FILE_GENERIC_WRITE | DELETE | SYNCHRONIZE,
                &raw mut attributes,
                &raw mut io,
                core::ptr::null_mut(),
                FILE_ATTRIBUTE_NORMAL,
                0,
                match disposition {
                    Disposition::Open => FILE_OPEN,
                    Disposition::Create => FILE_CREATE,
                    Disposition::OpenOrCreate => FILE_OPEN_IF,
                },
                FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE,
                core::ptr::null_mut(),
                0,
            )
        };
        NtStatus(status).ok()?;
        // SAFETY: the kernel just made this kernel handle for us.
        Ok(File(unsafe { Handle::from_raw(handle) }))
    }

    /// Deletes the file `name`; false if there is none.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn delete(&self, passive: Passive<'_>, name: &[u16]) -> Result<bool, NtStatus> {
        match self.open(passive, name, Disposition::Open) {
            Err(NtStatus::OBJECT_NAME_NOT_FOUND) => Ok(false),
            Err(status) => Err(status),
            Ok(file) => file.delete(passive).map(|()| true),
        }
    }
}

/// An open file, closed when dropped.
pub struct File(Handle);

impl File {
    /// Reads from `offset` until `buffer` is full or the file ends; returns how much was read.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn read_at(&self, _: Passive<'_>, offset: u64, buffer: &mut [u8]) -> Result<usize, NtStatus> {
        let mut done = 0_usize;
        for piece in buffer.chunks_mut(MAX_TRANSFER) {
            let wanted = piece.len();
            let mut at = position(offset, done)?;
            let mut io = IO_STATUS_BLOCK::default();
            // SAFETY: the file is open for synchronous reading, so buffer, offset and status block are not
            // used after the call; event, APC and key are optional.
            let status = unsafe {
                ZwReadFile(
                    self.0.raw(),
                    core::ptr::null_mut(),
                    None,
                    core::ptr::null_mut(),
                    &raw mut io,
                    piece.as_mut_ptr().cast(),
                    crate::wdf::len_u32(wanted),
                    &raw mut at,
                    core::ptr::null_mut(),
                )
            };
            match NtStatus(status) {
                NtStatus::END_OF_FILE => break,
                status => status.ok()?,
            }
            let read = transferred(&io, wanted);
            done = done.saturating_add(read);
            if read < wanted {
                break;
            }
        }
        Ok(done)
    }

    /// Writes all of `data` at `offset`, growing the file if need be. On an error part of it may have been
    /// written.
    ///
    /// # Errors
    /// What the kernel answers; `STATUS_DISK_FULL` if it wrote less than asked.
    pub fn write_at(&self, _: Passive<'_>, offset: u64, data: &[u8]) -> Result<(), NtStatus> {
        let mut done = 0_usize;
        for piece in data.chunks(MAX_TRANSFER) {
            let mut at = position(offset, done)?;
            let mut io = IO_STATUS_BLOCK::default();
            // SAFETY: the file is open for synchronous writing, so data, offset and status block are not used
            // after the call, which only reads the data; event, APC and key are optional.
            let status = unsafe {
                ZwWriteFile(
                    self.0.raw(),
                    core::ptr::null_mut(),
                    None,
                    core::ptr::null_mut(),
                    &raw mut io,
                    piece.as_ptr().cast_mut().cast(),
                    crate::wdf::len_u32(piece.len()),
                    &raw mut at,
                    core::ptr::null_mut(),
                )
            };
            NtStatus(status).ok()?;
            if transferred(&io, piece.len()) < piece.len() {
                return Err(NtStatus::DISK_FULL);
            }
            done = done.saturating_add(piece.len());
        }
        Ok(())
    }

    /// Makes what was written durable, and the file's length with it.
    ///
    /// # Errors
    /// What the kernel answers; then nothing is known about what is durable.
    pub fn flush(&self, _: Passive<'_>) -> Result<(), NtStatus> {
        let mut io = IO_STATUS_BLOCK::default();
        // SAFETY: the file is open, the status block valid.
        NtStatus(unsafe { ZwFlushBuffersFile(self.0.raw(), &raw mut io) }).ok()
    }

    /// The length in bytes.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn len(&self, _: Passive<'_>) -> Result<u64, NtStatus> {
        let mut information = StandardInformation::default();
        let mut io = IO_STATUS_BLOCK::default();
        // SAFETY: the file is open; status block and buffer are valid, the latter for the class that is asked
        // for.
        let status = unsafe {
            ZwQueryInformationFile(
                self.0.raw(),
                &raw mut io,
                (&raw mut information).cast(),
                crate::wdf::size_of_u32::<StandardInformation>(),
                _FILE_INFORMATION_CLASS::FileStandardInformation,
            )
        };
        NtStatus(status).ok()?;
        Ok(information.end_of_file.cast_unsigned())
    }

    /// Cuts or extends the file to `len` bytes; new bytes are zero.
    ///
    /// # Errors
    /// What the kernel answers; `STATUS_INVALID_PARAMETER` if `len` is above `i64::MAX`.
    pub fn set_len(&self, passive: Passive<'_>, len: u64) -> Result<(), NtStatus> {
        let end = i64::try_from(len).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        self.set_information(passive, _FILE_INFORMATION_CLASS::FileEndOfFileInformation, &end)
    }

    /// Gives the file another name in its directory. With `replace`, a file of that name is replaced.
    ///
    /// # Errors
    /// What the kernel answers; `STATUS_OBJECT_NAME_COLLISION` without `replace`;
    /// `STATUS_OBJECT_NAME_INVALID` for a name that is too long.
    pub fn rename(&self, passive: Passive<'_>, name: &[u16], replace: bool) -> Result<(), NtStatus> {
        let mut information = RenameInformation {
            replace_if_exists: u8::from(replace),
            // No directory and a simple name: stay in the directory.
            root_directory: 0,
            file_name_length: crate::wdf::len_u32(name.len().saturating_mul(2)),
            file_name: [0; MAX_FILE_NAME_UNITS],
        };
        information
            .file_name
            .get_mut(..name.len())
            .ok_or(NtStatus::OBJECT_NAME_INVALID)?
            .copy_from_slice(name);
        self.set_information(
            passive,
            _FILE_INFORMATION_CLASS::FileRenameInformation,
            &information,
        )
    }

    /// Deletes the file.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn delete(self, passive: Passive<'_>) -> Result<(), NtStatus> {
        // FILE_DISPOSITION_INFORMATION { DeleteFile: TRUE }; the file goes when the handle is closed.
        self.set_information(
            passive,
            _FILE_INFORMATION_CLASS::FileDispositionInformation,
            &1_u8,
        )
    }

    fn set_information<T>(
        &self,
        _: Passive<'_>,
        class: FILE_INFORMATION_CLASS,
        value: &T,
    ) -> Result<(), NtStatus> {
        let mut io = IO_STATUS_BLOCK::default();
        // SAFETY: the file is open; the status block is valid, and the callers pass the structure of the
        // class, which the call only reads.
        let status = unsafe {
            ZwSetInformationFile(
                self.0.raw(),
                &raw mut io,
                core::ptr::from_ref(value).cast_mut().cast(),
                crate::wdf::size_of_u32::<T>(),
                class,
            )
        };
        NtStatus(status).ok()
    }
}

/// `FILE_STANDARD_INFORMATION`.
#[repr(C)]
#[derive(Default)]
struct StandardInformation {
    allocation_size: i64,
    end_of_file: i64,
    number_of_links: u32,
    delete_pending: u8,
    directory: u8,
}
const _: () = assert!(size_of::<StandardInformation>() == 24);

/// `FILE_RENAME_INFORMATION` with room for the name.
#[repr(C)]
struct RenameInformation {
    replace_if_exists: u8,
    root_directory: usize,
    file_name_length: u32,
    file_name: [u16; MAX_FILE_NAME_UNITS],
}
const _: () = assert!(core::mem::offset_of!(RenameInformation, root_directory) == 8);
const _: () = assert!(core::mem::offset_of!(RenameInformation, file_name_length) == 16);
const _: () = assert!(core::mem::offset_of!(RenameInformation, file_name) == 20);

fn position(offset: u64, done: usize) -> Result<LARGE_INTEGER, NtStatus> {
    let at = offset
        .checked_add(done as u64)
        .and_then(|at| i64::try_from(at).ok())
        .ok_or(NtStatus::INVALID_PARAMETER)?;
    Ok(LARGE_INTEGER { QuadPart: at })
}

/// What a transfer reports, never more than was asked for.
fn transferred(io: &IO_STATUS_BLOCK, wanted: usize) -> usize {
    usize::try_from(io.Information).map_or(wanted, |bytes| bytes.min(wanted))
}
