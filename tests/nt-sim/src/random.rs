//! Random numbers.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

use crate::{
    NTSTATUS, PUCHAR, PVOID, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG,
    faults::{self, Class},
    sync::StateLock,
    thread::{self, irql},
    verifier,
};

/// The random numbers of a machine: the same in every run if it was built with a seed.
#[derive(Debug)]
pub(crate) struct State(StateLock<u64>);

impl State {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        // The keys of the standard library's hash maps come from the host's random numbers.
        let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Self(StateLock::new(seed))
    }

    /// The next number of Steele, Lea and Flood's `SplitMix64`.
    fn next(&self) -> u64 {
        self.0.with(|state| {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        })
    }
}

const BCRYPT_USE_SYSTEM_PREFERRED_RNG: ULONG = 2;

/// Fills a buffer with random bytes; of cng.sys, resolved at link time. IRQL: `DISPATCH_LEVEL` at most.
///
/// # Safety
///
/// `buffer` can be written for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn BCryptGenRandom(
    algorithm: PVOID,
    buffer: PUCHAR,
    length: ULONG,
    flags: ULONG,
) -> NTSTATUS {
    verifier::require_irql_at_most("BCryptGenRandom", irql::DISPATCH);
    if !algorithm.is_null() || flags != BCRYPT_USE_SYSTEM_PREFERRED_RNG || buffer.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let Ok(length) = usize::try_from(length) else {
        return STATUS_INVALID_PARAMETER;
    };
    if let Err(status) = faults::pass(Class::Random, "BCryptGenRandom") {
        return status.0;
    }
    // SAFETY: the caller vouches for the buffer; it may be uninitialised, so it is filled first.
    unsafe { buffer.write_bytes(0, length) };
    // SAFETY: as above, and now it is initialised.
    let bytes = unsafe { core::slice::from_raw_parts_mut(buffer, length) };
    thread::with(|current| {
        for chunk in bytes.chunks_mut(8) {
            let random = current.machine.random_state().next().to_ne_bytes();
            for (byte, random) in chunk.iter_mut().zip(random) {
                *byte = random;
            }
        }
    });
    STATUS_SUCCESS
}
