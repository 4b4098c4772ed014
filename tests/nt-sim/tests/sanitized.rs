//! What a driver does to pool that the verifier alone does not see, and `AddressSanitizer` does:
//! `cargo xtask sanitize address` runs these.
#![cfg(address_sanitizer)]

#[path = "support/sanitized.rs"]
mod sanitized;

use std::{hint::black_box, ptr::NonNull};

use nt_sim::{
    DriverName, Machine, POOL_FLAG_NON_PAGED, frames,
    ntddk::{ExAllocatePool2, ExFreePoolWithTag},
};
use sanitized::{expect, now_wrong};

const TAG: u32 = u32::from_le_bytes(*b"TstA");
const SIZE: usize = 40;

/// Runs `body` as a callback of a driver, with a block of pool.
fn with_pool(body: impl FnOnce(NonNull<u8>)) {
    // What is right goes through, with the verifier and without it.
    for verifier in [true, false] {
        let machine = Machine::builder().verifier(verifier).build().unwrap();
        let _entered = machine.enter();
        frames::callback(&DriverName::new("test.sys"), "DriverEntry", || {
            allocate_and_free();
        });
    }
    let machine = Machine::builder().build().unwrap();
    let _entered = machine.enter();
    frames::callback(&DriverName::new("test.sys"), "DriverEntry", || body(allocate()));
}

fn allocate() -> NonNull<u8> {
    // SAFETY: allocating has no conditions.
    let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, SIZE as u64, TAG) };
    NonNull::new(block.cast()).unwrap()
}

fn free(block: NonNull<u8>) {
    // SAFETY: tests free what they have allocated.
    unsafe { ExFreePoolWithTag(block.as_ptr().cast(), TAG) };
}

fn allocate_and_free() {
    let block = allocate();
    // SAFETY: the block has this many bytes.
    unsafe { block.write_bytes(7, SIZE) };
    free(block);
}

#[test]
fn a_read_of_freed_pool_is_reported() {
    expect(
        "a_read_of_freed_pool_is_reported",
        "heap-use-after-free",
        "READ of size 8",
        || {
            with_pool(|block| {
                free(block);
                now_wrong();
                // SAFETY: wrong on purpose: the block is gone.
                black_box(unsafe { block.cast::<u64>().read_volatile() });
            });
        },
    );
}

#[test]
fn a_write_to_freed_pool_is_reported_where_it_happens() {
    expect(
        "a_write_to_freed_pool_is_reported_where_it_happens",
        "heap-use-after-free",
        "WRITE of size 4",
        || {
            with_pool(|block| {
                free(block);
                now_wrong();
                // SAFETY: wrong on purpose: the block is gone.
                unsafe { block.cast::<u32>().write_volatile(1) };
            });
        },
    );
}

#[test]
fn a_read_past_the_end_of_a_block_is_reported() {
    expect(
        "a_read_past_the_end_of_a_block_is_reported",
        "heap-buffer-overflow",
        "READ of size 1",
        || {
            with_pool(|block| {
                // SAFETY: wrong on purpose: the block ends there.
                let end = unsafe { block.add(SIZE) };
                now_wrong();
                // SAFETY: wrong on purpose.
                black_box(unsafe { end.read_volatile() });
            });
        },
    );
}

#[test]
fn a_write_past_the_end_of_a_block_is_reported_where_it_happens() {
    expect(
        "a_write_past_the_end_of_a_block_is_reported_where_it_happens",
        "heap-buffer-overflow",
        "WRITE of size 1",
        || {
            with_pool(|block| {
                // SAFETY: wrong on purpose: the block ends there.
                let end = unsafe { block.add(SIZE) };
                now_wrong();
                // SAFETY: wrong on purpose.
                unsafe { end.write_volatile(1) };
            });
        },
    );
}

#[test]
fn a_read_before_a_block_is_reported() {
    expect(
        "a_read_before_a_block_is_reported",
        "use-after-poison",
        "READ of size 2",
        || {
            with_pool(|block| {
                // SAFETY: wrong on purpose: the block begins behind it.
                let before = unsafe { block.cast::<u16>().sub(1) };
                now_wrong();
                // SAFETY: wrong on purpose.
                black_box(unsafe { before.read_volatile() });
            });
        },
    );
}
