//! IRQL, critical regions and locks: what the verifier says when a driver gets them wrong.

use nt_sim::{
    _EVENT_TYPE::NotificationEvent,
    _KWAIT_REASON::Executive,
    DriverName, Finding, KEVENT, KPROCESSOR_MODE, LARGE_INTEGER, Machine, POOL_FLAG_PAGED, Rule,
    STATUS_TIMEOUT, frames,
    ntddk::{
        ExAcquirePushLockExclusiveEx, ExAllocatePool2, ExReleasePushLockExclusiveEx,
        KeAcquireSpinLockRaiseToDpc, KeEnterCriticalRegion, KeGetCurrentIrql, KeInitializeEvent,
        KeLeaveCriticalRegion, KeLowerIrql, KeRaiseIrqlToDpcLevel, KeReleaseSpinLock, KeSetEvent,
        KeWaitForSingleObject,
    },
    thread::irql,
};

/// Whose wait it is.
const KERNEL_MODE: KPROCESSOR_MODE = 0;

fn findings(contract: u8, body: impl FnOnce()) -> Vec<Finding> {
    let machine = Machine::builder().build().expect("a machine in memory");
    let entered = machine.enter();
    frames::callback_at(&DriverName::new("test.sys"), "EvtTest", contract, body);
    // SAFETY: has no conditions.
    assert_eq!(unsafe { KeGetCurrentIrql() }, irql::PASSIVE);
    drop(entered);
    machine.shutdown().findings
}

fn rules(found: &[Finding]) -> Vec<Rule> {
    found.iter().map(|finding| finding.rule).collect()
}

#[expect(
    clippy::unnecessary_box_returns,
    reason = "an event must not move once it is initialised"
)]
fn new_event(set: bool) -> Box<KEVENT> {
    let mut event = Box::new(KEVENT::default());
    // SAFETY: the event is ours and nobody uses it yet.
    unsafe { KeInitializeEvent(&raw mut *event, NotificationEvent, set.into()) };
    event
}

#[inline(never)]
fn wait_for_the_journal(event: &mut KEVENT) {
    // SAFETY: the event is initialised.
    let status = unsafe {
        KeWaitForSingleObject(
            (&raw mut *event).cast(),
            Executive,
            KERNEL_MODE,
            0,
            core::ptr::null_mut(),
        )
    };
    assert_eq!(status, 0);
}

#[test]
fn waiting_at_dispatch_level_is_reported_with_the_call_the_limit_and_the_place() {
    let mut event = new_event(true);
    let found = findings(irql::PASSIVE, || {
        // SAFETY: lowered below.
        let before = unsafe { KeRaiseIrqlToDpcLevel() };
        wait_for_the_journal(&mut event);
        // SAFETY: as the raise returned.
        unsafe { KeLowerIrql(before) };
    });
    assert_eq!(rules(&found), [Rule::IrqlTooHigh]);
    let text = found[0].to_string();
    for part in [
        "test.sys",
        "EvtTest",
        "KeWaitForSingleObject was called at DISPATCH_LEVEL",
        "APC_LEVEL at most",
        "wait_for_the_journal",
        "irql.rs:",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn a_callback_that_may_come_at_dispatch_level_must_not_wait_even_at_passive_level() {
    let mut event = new_event(true);
    let found = findings(irql::DISPATCH, || wait_for_the_journal(&mut event));
    assert_eq!(rules(&found), [Rule::IrqlTooHigh]);
    assert!(found[0].to_string().contains("inside EvtTest"));
}

#[test]
fn a_wait_of_no_time_and_setting_an_event_are_legal_at_dispatch_level() {
    let mut event = new_event(false);
    let found = findings(irql::DISPATCH, || {
        let mut now = LARGE_INTEGER { QuadPart: 0 };
        // SAFETY: the event is initialised.
        let status = unsafe {
            KeWaitForSingleObject((&raw mut *event).cast(), Executive, KERNEL_MODE, 0, &raw mut now)
        };
        assert_eq!(status, STATUS_TIMEOUT);
        // SAFETY: as above.
        unsafe { KeSetEvent(&raw mut *event, 0, 0) };
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn paged_pool_is_not_for_dispatch_level() {
    let found = findings(irql::PASSIVE, || {
        // SAFETY: lowered below.
        let before = unsafe { KeRaiseIrqlToDpcLevel() };
        // SAFETY: allocating has no conditions.
        let block = unsafe { ExAllocatePool2(POOL_FLAG_PAGED, 8, 1) };
        // SAFETY: as the raise returned.
        unsafe { KeLowerIrql(before) };
        // SAFETY: allocated above.
        unsafe { nt_sim::ntddk::ExFreePool(block) };
    });
    assert_eq!(rules(&found), [Rule::IrqlTooHigh]);
}

#[test]
fn an_irql_left_raised_is_reported_and_put_right() {
    let found = findings(irql::PASSIVE, || {
        // SAFETY: wrong on purpose: never lowered.
        unsafe { KeRaiseIrqlToDpcLevel() };
    });
    assert_eq!(rules(&found), [Rule::IrqlChanged]);
}

#[test]
fn a_spin_lock_held_on_return_is_reported() {
    let mut lock = 0_u64;
    let found = findings(irql::PASSIVE, || {
        // SAFETY: a spin lock of zero is free; wrong on purpose: never released.
        unsafe { KeAcquireSpinLockRaiseToDpc(&raw mut lock) };
    });
    assert_eq!(rules(&found), [Rule::IrqlChanged, Rule::LockHeldOnReturn]);
    assert!(found[1].message.contains("spin lock"));
}

#[test]
fn a_push_lock_needs_a_critical_region() {
    let mut lock = 0_u64;
    let found = findings(irql::PASSIVE, || {
        // SAFETY: a push lock of zero is free.
        unsafe { ExAcquirePushLockExclusiveEx(&raw mut lock, 0) };
        // SAFETY: acquired above.
        unsafe { ExReleasePushLockExclusiveEx(&raw mut lock, 0) };
        // SAFETY: left below.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: as above.
        unsafe { ExAcquirePushLockExclusiveEx(&raw mut lock, 0) };
        // SAFETY: acquired above.
        unsafe { ExReleasePushLockExclusiveEx(&raw mut lock, 0) };
        // SAFETY: entered above.
        unsafe { KeLeaveCriticalRegion() };
    });
    assert_eq!(rules(&found), [Rule::ApcsEnabled]);
}

#[test]
fn a_critical_region_left_open_is_reported() {
    let found = findings(irql::PASSIVE, || {
        // SAFETY: wrong on purpose: never left.
        unsafe { KeEnterCriticalRegion() };
    });
    assert_eq!(rules(&found), [Rule::CriticalRegionChanged]);
}

#[test]
fn releasing_a_lock_that_is_not_held_is_reported() {
    let mut lock = 0_u64;
    let found = findings(irql::PASSIVE, || {
        // SAFETY: lowered below.
        let before = unsafe { KeRaiseIrqlToDpcLevel() };
        // SAFETY: wrong on purpose: never acquired.
        unsafe { KeReleaseSpinLock(&raw mut lock, before) };
    });
    assert_eq!(rules(&found), [Rule::LockMisuse]);
}

#[test]
fn an_event_that_was_never_initialised_is_reported() {
    let mut event = KEVENT::default();
    let found = findings(irql::PASSIVE, || wait_for_the_journal(&mut event));
    assert_eq!(rules(&found), [Rule::BadObject]);
}
