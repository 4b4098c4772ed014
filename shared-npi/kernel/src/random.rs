//! Entropy for keyed hashes.

use crate::irql::Passive;
use crate::status::NtStatus;

/// `BCRYPT_USE_SYSTEM_PREFERRED_RNG`: no algorithm handle, the system's generator.
const USE_SYSTEM_PREFERRED_RNG: u32 = 2;

unsafe extern "system" {
    // Of bcrypt.h, exported by cng.sys; the shells link cng.lib, the simulator defines it.
    fn BCryptGenRandom(algorithm: *mut core::ffi::c_void, buffer: *mut u8, length: u32, flags: u32) -> i32;
}

/// A key for a keyed hash (`SipHash` and its kin), from the system's random number generator.
///
/// Source: `BCryptGenRandom`.
///
/// # Errors
/// What the generator answers.
pub fn seed(passive: Passive<'_>) -> Result<[u64; 2], NtStatus> {
    let mut bytes = [[0_u8; 8]; 2];
    fill(passive, bytes.as_flattened_mut())?;
    Ok(bytes.map(u64::from_le_bytes))
}

/// Fills `buffer` with random bytes.
///
/// # Errors
/// What the generator answers; `STATUS_INVALID_PARAMETER` for more than 4 GiB.
pub fn fill(_: Passive<'_>, buffer: &mut [u8]) -> Result<(), NtStatus> {
    let length = u32::try_from(buffer.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
    // SAFETY: with this flag the algorithm handle is null, and the thread is at PASSIVE_LEVEL, as the witness
    // says; the buffer is valid for writes of its length.
    let status = unsafe {
        BCryptGenRandom(
            core::ptr::null_mut(),
            buffer.as_mut_ptr(),
            length,
            USE_SYSTEM_PREFERRED_RNG,
        )
    };
    NtStatus(status).ok()
}
