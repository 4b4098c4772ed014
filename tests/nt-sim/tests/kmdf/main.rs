//! KMDF on a machine: a driver serves and unloads, and what is said when it breaks rules.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "test code")]

mod driver;
#[cfg(address_sanitizer)]
mod sanitized;
#[cfg(address_sanitizer)]
#[path = "../support/sanitized.rs"]
mod sanitized_process;
#[path = "../support/schedules.rs"]
mod schedules;

use driver::{
    ANSWER_CARELESSLY, ANSWER_LATER, ECHO, IMAGE, LEAK_REFERENCE, PATH, PEND, PEND_AND_READ_REGISTRY,
    SERVICE, TWICE, WRONG_HANDLE, installed, open, started,
};
use nt_sim::{
    Finding, Machine, Rule,
    io::{Access, Identity},
    ntstatus::NtStatus,
    scheduler::Controlled,
    scm::{ServiceState, StopOutcome},
    trace::Kind,
};

/// The findings of a machine that has shut down.
fn findings(machine: &Machine) -> Vec<Finding> {
    machine.shutdown().findings
}

#[test]
fn a_framework_driver_serves_and_unloads() {
    let machine = started();
    let file = open(&machine);
    let mut output = [0; 3];
    assert_eq!(file.device_control(ECHO, b"abc", &mut output), Ok(3));
    assert_eq!(&output, b"abc");
    file.close_and_wait();
    assert_eq!(machine.stop(SERVICE), Ok(StopOutcome::Stopped));
    machine.shutdown().assert_clean();
}

#[test]
fn a_driver_entry_that_fails_leaves_nothing_behind() {
    let machine = installed(Machine::builder(), 1);
    assert!(machine.start(SERVICE).is_err());
    assert_eq!(machine.query(SERVICE), Ok(ServiceState::Stopped));
    let opened = machine.process(Identity::System).open(PATH, Access::READ);
    assert_eq!(opened.err(), Some(NtStatus::OBJECT_NAME_NOT_FOUND));
    machine.shutdown().assert_clean();
}

#[test]
fn a_stop_waits_for_the_last_handle_and_the_device_works_meanwhile() {
    let machine = started();
    let file = open(&machine);
    assert_eq!(machine.stop(SERVICE), Ok(StopOutcome::StopPending));
    let mut output = [0; 1];
    assert_eq!(file.device_control(ECHO, b"x", &mut output), Ok(1));
    file.close();
    machine.wait_until_stopped(SERVICE);
    machine.shutdown().assert_clean();
}

#[test]
fn a_dying_process_has_its_requests_cancelled_then_cleanup_then_close() {
    let machine = started();
    let process = machine.process(Identity::System);
    let file = process.open(PATH, Access::READ).unwrap();
    let pending = [file.submit(PEND, &[], 0), file.submit(PEND, &[], 0)];
    assert!(pending.iter().all(|call| !call.is_complete()));
    process.kill();
    for call in pending {
        assert_eq!(call.wait().status, NtStatus::CANCELLED);
    }
    machine.stop(SERVICE).unwrap();
    machine.wait_until_stopped(SERVICE);
    let entered: Vec<_> = machine
        .trace()
        .events()
        .into_iter()
        .filter_map(|event| match event.kind {
            Kind::CallbackEntered { callback } => Some(callback),
            _ => None,
        })
        .skip_while(|callback| *callback != "EvtRequestCancel")
        .collect();
    assert_eq!(
        entered,
        [
            "EvtRequestCancel",
            "EvtRequestCancel",
            "EvtFileCleanup",
            "EvtFileClose",
            "EvtDriverUnload"
        ]
    );
    machine.shutdown().assert_clean();
}

#[test]
fn a_second_completion_is_reported_with_who_did_it_and_where() {
    let machine = started();
    assert_eq!(open(&machine).call(TWICE, &[], 0).status, NtStatus::SUCCESS);
    let findings = findings(&machine);
    let [finding] = findings.as_slice() else {
        panic!("one finding, not {findings:?}")
    };
    assert_eq!(finding.rule, Rule::Kmdf);
    assert_eq!(finding.call, Some("WdfRequestComplete"));
    assert_eq!(finding.callback, Some("EvtIoDeviceControl"));
    assert_eq!(
        finding.driver.as_ref().map(ToString::to_string).as_deref(),
        Some(IMAGE)
    );
    let shown = finding.to_string();
    assert!(
        shown.contains("evt_device_control"),
        "the place is named: {shown}"
    );
}

#[test]
fn a_wrong_handle_is_reported_by_its_type() {
    let machine = started();
    assert_eq!(
        open(&machine).call(WRONG_HANDLE, &[], 0).status,
        NtStatus::SUCCESS
    );
    let findings = findings(&machine);
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0]
            .message
            .contains("is a WDFDEVICE, and a WDFREQUEST is needed")
    );
}

#[test]
fn a_call_that_needs_passive_level_is_reported_in_a_cancel_callback() {
    let machine = started();
    let file = open(&machine);
    let call = file.submit(PEND_AND_READ_REGISTRY, &[], 0);
    assert!(call.cancel());
    assert_eq!(call.wait().status, NtStatus::CANCELLED);
    drop(file);
    let findings = findings(&machine);
    let calls: Vec<_> = findings
        .iter()
        .map(|finding| (finding.rule, finding.call))
        .collect();
    assert_eq!(
        calls,
        [
            (Rule::IrqlTooHigh, Some("WdfRegistryOpenKey")),
            (Rule::IrqlTooHigh, Some("WdfRegistryClose")),
        ]
    );
}

#[test]
fn a_reference_that_is_never_given_back_is_reported_at_unload() {
    let machine = started();
    assert_eq!(
        open(&machine).call(LEAK_REFERENCE, &[], 0).status,
        NtStatus::SUCCESS
    );
    let findings = findings(&machine);
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0].message.contains("WDFFILEOBJECT"),
        "{}",
        findings[0].message
    );
}

#[test]
fn two_machines_run_the_same_driver_side_by_side() {
    let (one, two) = (started(), started());
    let (first, second) = (open(&one), open(&two));
    let (pending, other) = (first.submit(PEND, &[], 0), second.submit(PEND, &[], 0));
    pending.cancel();
    assert_eq!(pending.wait().status, NtStatus::CANCELLED);
    assert!(!other.is_complete());
    first.close_and_wait();
    assert_eq!(one.stop(SERVICE), Ok(StopOutcome::Stopped));
    assert_eq!(two.query(SERVICE), Ok(ServiceState::Running));
    other.cancel();
    assert_eq!(other.wait().status, NtStatus::CANCELLED);
    drop(second);
    one.shutdown().assert_clean();
    two.shutdown().assert_clean();
}

/// A request that another thread answers is cancelled meanwhile.
fn answer_races_with_cancellation(code: u32) {
    let machine = installed(Machine::builder().scheduler(Controlled::new()), 0);
    machine.start(SERVICE).unwrap();
    let file = open(&machine);
    let call = file.submit(code, &[], 0);
    call.cancel();
    let status = call.wait().status;
    assert!(
        status == NtStatus::SUCCESS || status == NtStatus::CANCELLED,
        "answered or cancelled, not {status}"
    );
    file.close_and_wait();
    assert_eq!(machine.stop(SERVICE), Ok(StopOutcome::Stopped));
    machine.shutdown().assert_clean();
}

#[test]
fn no_schedule_completes_a_request_twice_or_never() {
    schedules::none_breaks(|| answer_races_with_cancellation(ANSWER_LATER));
}

#[test]
fn some_schedule_shows_a_request_that_is_unmarked_too_late() {
    schedules::some_breaks(|| answer_races_with_cancellation(ANSWER_CARELESSLY));
}
