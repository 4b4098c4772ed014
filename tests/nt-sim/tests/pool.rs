//! The pool, and what the verifier says about its misuse.

use std::ptr;

use nt_sim::{
    DRIVER_OBJECT, DriverImage, DriverName, Finding, Machine, NTSTATUS, PCUNICODE_STRING,
    POOL_FLAG_NON_PAGED, PVOID, Rule, STATUS_SUCCESS, frames,
    ntddk::{ExAllocatePool2, ExFreePool, ExFreePoolWithTag},
    pool::BlockState,
};

const TAG: u32 = u32::from_le_bytes(*b"TstA");
const OTHER_TAG: u32 = u32::from_le_bytes(*b"TstB");
const SIZE: usize = 40;

const unsafe extern "system" fn entry(_: *mut DRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
    STATUS_SUCCESS
}

/// A machine that knows one driver, `test.sys`, whose tags begin with `Tst`.
fn machine() -> (Machine, DriverName) {
    // Tests look at memory that is gone, on purpose.
    let machine = Machine::builder()
        .sanitizer(false)
        .build()
        .expect("a machine in memory");
    machine.add_image(DriverImage {
        file_name: "test.sys".to_owned(),
        entry,
        pool_tag_prefix: *b"Tst",
    });
    (machine, DriverName::new("test.sys"))
}

/// Runs `body` as a callback of the driver and returns what the verifier says afterwards.
fn findings(machine: &Machine, driver: &DriverName, body: impl FnOnce()) -> Vec<Finding> {
    let entered = machine.enter();
    frames::callback(driver, "DriverEntry", body);
    drop(entered);
    machine.report()
}

/// The one finding that there should be.
fn only(findings: Vec<Finding>) -> Finding {
    let [finding] = <[Finding; 1]>::try_from(findings).expect("one finding");
    finding
}

#[inline(never)]
fn allocate_forgotten_record() -> PVOID {
    // SAFETY: allocating has no conditions.
    unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, SIZE as u64, TAG) }
}

#[test]
fn pool_is_zeroed_and_aligned_to_sixteen_bytes() {
    let (machine, driver) = machine();
    let found = findings(&machine, &driver, || {
        for size in [1_usize, 15, 16, 17, 4096] {
            // SAFETY: allocating has no conditions.
            let block = unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED, size as u64, TAG) };
            assert_eq!(block.addr() % 16, 0);
            // SAFETY: the block has this many bytes.
            let bytes = unsafe { core::slice::from_raw_parts(block.cast::<u8>(), size) };
            assert!(bytes.iter().all(|byte| *byte == 0));
            // SAFETY: allocated above, and not used again.
            unsafe { ExFreePoolWithTag(block, TAG) };
        }
    });
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(machine.pool_usage().blocks, 0);
}

#[test]
fn a_leak_at_unload_is_reported_with_tag_count_and_call_site() {
    let (machine, driver) = machine();
    let early = findings(&machine, &driver, || {
        for _ in 0..3 {
            assert!(!allocate_forgotten_record().is_null());
        }
    });
    assert!(early.is_empty(), "nothing leaks before the unload: {early:?}");

    let entered = machine.enter();
    machine.check_unloaded(&driver);
    drop(entered);

    let finding = only(machine.report());
    assert_eq!(finding.rule, Rule::PoolLeak);
    assert_eq!(finding.driver, Some(driver));
    let text = finding.to_string();
    for part in ["test.sys", "3 pool block(s), 120 bytes", "TstA"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let site = finding.site.expect("a call site").lines();
    assert!(
        site[0].contains("allocate_forgotten_record") && site[0].contains("pool.rs:"),
        "{site:?}"
    );
}

#[test]
fn a_leak_belongs_to_the_driver_whose_tag_it_carries_whoever_runs() {
    let (machine, driver) = machine();
    let other = DriverName::new("other.sys");
    let found = findings(&machine, &other, || {
        assert!(!allocate_forgotten_record().is_null());
    });
    assert!(found.is_empty());
    let entered = machine.enter();
    machine.check_unloaded(&other);
    assert!(machine.report().is_empty());
    machine.check_unloaded(&driver);
    drop(entered);
    assert_eq!(only(machine.report()).rule, Rule::PoolLeak);
}

#[test]
fn a_write_after_free_is_reported_with_both_call_sites() {
    let (machine, driver) = machine();
    let finding = only(findings(&machine, &driver, || {
        let block = allocate_forgotten_record();
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(block, TAG) };
        assert!(matches!(machine.pool_block(block), BlockState::Freed { .. }));
        // SAFETY: wrong on purpose; the simulator keeps the memory of freed blocks for a while.
        let late = unsafe { block.cast::<u8>().add(7) };
        // SAFETY: as above.
        unsafe { late.write(1) };
    }));
    assert_eq!(finding.rule, Rule::PoolWriteAfterFree);
    let text = finding.to_string();
    for part in ["byte 7 of 40", "TstA", "allocate_forgotten_record"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn a_second_free_is_reported_and_does_no_harm() {
    let (machine, driver) = machine();
    let finding = only(findings(&machine, &driver, || {
        let block = allocate_forgotten_record();
        // SAFETY: allocated above.
        unsafe { ExFreePool(block) };
        // SAFETY: wrong on purpose; the verifier knows each block.
        unsafe { ExFreePool(block) };
    }));
    assert_eq!(finding.rule, Rule::PoolDoubleFree);
}

#[test]
fn freeing_under_another_tag_or_from_nowhere_is_reported() {
    let (machine, driver) = machine();
    let found = findings(&machine, &driver, || {
        let block = allocate_forgotten_record();
        // SAFETY: allocated above; the tag is wrong on purpose.
        unsafe { ExFreePoolWithTag(block, OTHER_TAG) };
        let local = 0_u64;
        // SAFETY: wrong on purpose; the verifier knows each block.
        unsafe { ExFreePool(ptr::from_ref(&local).cast_mut().cast()) };
    });
    let rules: Vec<Rule> = found.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [Rule::PoolWrongTag, Rule::PoolMisuse]);
}

#[test]
fn writing_past_the_end_is_reported_when_the_block_is_freed() {
    let (machine, driver) = machine();
    let finding = only(findings(&machine, &driver, || {
        let block = allocate_forgotten_record();
        // SAFETY: wrong on purpose; a guard lies behind the block.
        let past = unsafe { block.cast::<u8>().add(SIZE) };
        // SAFETY: as above.
        unsafe { past.write(1) };
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(block, TAG) };
    }));
    assert_eq!(finding.rule, Rule::PoolOverrun);
}

#[test]
fn exactly_the_chosen_allocation_fails() {
    let (machine, driver) = machine();
    let found = findings(&machine, &driver, || {
        machine.fail_allocation(1);
        let blocks = [(); 3].map(|()| allocate_forgotten_record());
        assert_eq!(blocks.map(<*mut _>::is_null), [false, true, false]);
        assert!(machine.allocation_has_failed());
        for block in blocks.into_iter().filter(|block| !block.is_null()) {
            // SAFETY: allocated above.
            unsafe { ExFreePool(block) };
        }
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn without_the_verifier_pool_works_and_is_counted() {
    let machine = Machine::builder()
        .verifier(false)
        .build()
        .expect("a machine in memory");
    let driver = DriverName::new("test.sys");
    let found = findings(&machine, &driver, || {
        let block = allocate_forgotten_record();
        assert_eq!(machine.pool_usage().bytes, SIZE);
        // SAFETY: allocated above.
        unsafe { ExFreePoolWithTag(block, TAG) };
        assert_eq!(machine.pool_usage().bytes, 0);
    });
    assert!(found.is_empty());
}

#[test]
fn usage_is_that_of_all_threads_also_of_those_that_are_gone() {
    for verifier in [true, false] {
        let machine = Machine::builder()
            .verifier(verifier)
            .build()
            .expect("a machine in memory");
        let allocated = std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let _entered = machine.enter();
                // Addresses, which may go from thread to thread.
                [(); 3].map(|()| allocate_forgotten_record().expose_provenance())
            });
            other.join().expect("the other thread allocates")
        });
        assert_eq!(machine.pool_usage().blocks, 3);
        assert_eq!(machine.pool_usage().bytes, 3 * SIZE);
        let entered = machine.enter();
        for address in allocated {
            // SAFETY: it was allocated by the other thread, and nobody uses it.
            unsafe { ExFreePoolWithTag(ptr::with_exposed_provenance_mut(address), TAG) };
        }
        drop(entered);
        assert_eq!(machine.pool_usage().blocks, 0);
        assert_eq!(machine.pool_usage().bytes, 0);
    }
}
