//! What `AddressSanitizer` is told of memory that a driver has no business with, though the host has not freed it.
//!
//! In a build without it there is nobody to tell.
#![cfg_attr(
    not(address_sanitizer),
    allow(
        clippy::missing_const_for_fn,
        reason = "they do something in a build for AddressSanitizer"
    )
)]

#[cfg(address_sanitizer)]
unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const core::ffi::c_void, size: usize);
    fn __asan_unpoison_memory_region(start: *const core::ffi::c_void, size: usize);
}

/// Makes every access to some bytes an error, until they are opened or given back to the host.
///
/// # Safety
///
/// The bytes are a part of one live allocation, and reach to a multiple of eight bytes or to its end.
#[cfg(address_sanitizer)]
pub unsafe fn close(start: *const u8, size: usize) {
    // SAFETY: the caller vouches for the bytes.
    unsafe { __asan_poison_memory_region(start.cast(), size) };
}

/// Allows access to bytes that were closed.
///
/// # Safety
///
/// As for [`close`].
#[cfg(address_sanitizer)]
pub unsafe fn open(start: *const u8, size: usize) {
    // SAFETY: the caller vouches for the bytes.
    unsafe { __asan_unpoison_memory_region(start.cast(), size) };
}

#[cfg(not(address_sanitizer))]
pub unsafe fn close(_: *const u8, _: usize) {}

#[cfg(not(address_sanitizer))]
pub unsafe fn open(_: *const u8, _: usize) {}
