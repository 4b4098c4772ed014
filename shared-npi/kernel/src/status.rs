//! Status codes of the kernel.

pub use nmr::NtStatus;

/// What a call that can only run out of memory answers.
pub const OUT_OF_MEMORY: NtStatus = NtStatus::INSUFFICIENT_RESOURCES;

/// The status for a failed allocation: `STATUS_INSUFFICIENT_RESOURCES`. For `map_err`.
pub const fn out_of_memory(_: pool_alloc::OutOfMemory) -> NtStatus {
    OUT_OF_MEMORY
}
