//! The services that open, read and write files. Source: the pages of the functions.
#![expect(
    non_snake_case,
    clippy::too_many_arguments,
    reason = "the names and parameters of the kernel's functions"
)]

use core::slice;

use super::{
    arguments::{attributes, done},
    file_object::{file, handle, options, synchronous_file},
};
use crate::{
    ACCESS_MASK, FILE_CREATED, FILE_OPEN, FILE_OPENED, FILE_OVERWRITTEN, FILE_SUPERSEDED, HANDLE, Machine,
    NTSTATUS, PHANDLE, PIO_APC_ROUTINE, PIO_STATUS_BLOCK, PLARGE_INTEGER, POBJECT_ATTRIBUTES, PULONG, PVOID,
    ULONG,
    files::{OpenFile, Outcome, WriteAt},
    ntstatus::NtStatus,
    thread::irql,
    verifier,
};

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
