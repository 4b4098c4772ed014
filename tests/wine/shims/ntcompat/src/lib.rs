//! ntcompat.sys: what drivers import from the kernel and Wine's kernel does not have.
//!
//! `exports.txt` beside the manifest lists the names; the definition files of the import libraries
//! give them this home. Prototypes and meanings are those of the driver documentation.
#![no_std]

mod file;
mod hold;

use core::{ffi::c_void, ptr};

use sim_platform::nt::{LARGE_INTEGER, NTSTATUS, POOL_FLAG_UNINITIALIZED, STATUS_INVALID_PARAMETER};
use wine_kernel::nt;

wine_kernel::dll_main!();

/// See `ExAllocatePool2` in the driver documentation.
// SAFETY: no other item of the image has this name.
#[unsafe(no_mangle)]
unsafe extern "system" fn ExAllocatePool2(flags: u64, size: usize, tag: u32) -> *mut c_void {
    if size == 0 {
        return ptr::null_mut();
    }
    // SAFETY: the function asks for nothing beyond its signature.
    let memory = unsafe { nt::ExAllocatePoolWithTag(nt::NON_PAGED_POOL, size, tag) };
    if !memory.is_null() && flags & POOL_FLAG_UNINITIALIZED == 0 {
        // SAFETY: the block is as large.
        unsafe { memory.write_bytes(0, size) };
    }
    memory
}

/// See `KeGetCurrentIrql` in the driver documentation; Wine runs everything at `PASSIVE_LEVEL`.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn KeGetCurrentIrql() -> u8 {
    0
}

/// See `KeQuerySystemTimePrecise` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn KeQuerySystemTimePrecise(time: *mut LARGE_INTEGER) {
    // SAFETY: the caller passes a valid place.
    unsafe { nt::KeQuerySystemTime(time) };
}

/// See `ExInitializePushLock` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn ExInitializePushLock(lock: *mut usize) {
    // SAFETY: the caller passes a valid place.
    unsafe { lock.write(0) };
}

/// See `ExAcquirePushLockExclusiveEx` in the driver documentation. A push lock is a word, zero while
/// it is free; so is the slim reader/writer lock of user mode.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn ExAcquirePushLockExclusiveEx(lock: *mut usize, _flags: u32) {
    // SAFETY: the caller passes a lock.
    unsafe { nt::RtlAcquireSRWLockExclusive(lock) };
}

/// See `ExReleasePushLockExclusiveEx` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn ExReleasePushLockExclusiveEx(lock: *mut usize, _flags: u32) {
    // SAFETY: the caller holds the lock.
    unsafe { nt::RtlReleaseSRWLockExclusive(lock) };
}

/// See `ExAcquirePushLockSharedEx` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn ExAcquirePushLockSharedEx(lock: *mut usize, _flags: u32) {
    // SAFETY: the caller passes a lock.
    unsafe { nt::RtlAcquireSRWLockShared(lock) };
}

/// See `ExReleasePushLockSharedEx` in the driver documentation.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn ExReleasePushLockSharedEx(lock: *mut usize, _flags: u32) {
    // SAFETY: the caller holds the lock.
    unsafe { nt::RtlReleaseSRWLockShared(lock) };
}

/// See `BCryptGenRandom` in the documentation of CNG; of cng.sys on Windows. The bytes are those of
/// the host's generator.
// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn BCryptGenRandom(
    algorithm: *mut c_void,
    buffer: *mut u8,
    length: u32,
    flags: u32,
) -> NTSTATUS {
    const USE_SYSTEM_PREFERRED_RNG: u32 = 2;
    if !algorithm.is_null() || flags != USE_SYSTEM_PREFERRED_RNG || buffer.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    match file::File::open(wide!(r"\??\unix\dev\urandom"), file::Want::Read) {
        // SAFETY: the caller vouches for the buffer.
        Ok(source) => unsafe { source.read(buffer, length) },
        Err(status) => status,
    }
}
