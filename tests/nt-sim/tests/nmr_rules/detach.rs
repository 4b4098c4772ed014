//! Rules 29 to 40, and 51: the end of a binding.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use nmr_model::Role;
use nt_sim::{
    LARGE_INTEGER, Machine, Rule,
    ntddk::{KeDelayExecutionThread, KeEnterCriticalRegion, KeRaiseIrqlToDpcLevel},
    scheduler::Closed,
};

use crate::fixture::{
    Lab, Module, NOINTERFACE, PENDING, POSSIBLE_DEADLOCK, SUCCESS, SpinLock, allocate, complete, free,
    ignore_cleanup, in_driver, nmr,
};

/// A client with a detach callback of its own, attached to a provider that keeps every rule.
fn client_that_detaches(
    detach: impl Fn(&crate::fixture::Side) -> i32 + Send + Sync + 'static,
) -> [Box<Module>; 2] {
    let client = Module::client().registered(|client| client.detach = Box::new(detach));
    [client, Module::provider().registered(|_| {})]
}

fn leave(modules: &[Box<Module>]) {
    for module in modules {
        module.leave();
    }
}

#[test]
fn rule_29_a_pending_detach_is_completed() {
    let lab = Lab::new();
    let [client, provider] = client_that_detaches(|_| PENDING);
    assert_eq!(client.deregister(), PENDING);
    lab.machine.check_drains();
    client.complete();
    assert_eq!(client.wait(), SUCCESS);
    provider.leave();
    lab.expect([nmr(29)]);
}

#[test]
fn rule_29_a_wait_that_nobody_can_end_is_ended_on_a_closed_machine() {
    let lab = Lab::on(Machine::builder().scheduler(Closed::new()));
    let [client, provider] = client_that_detaches(|_| PENDING);
    assert_eq!(client.deregister(), PENDING);
    assert_eq!(client.wait(), POSSIBLE_DEADLOCK);
    client.complete();
    assert_eq!(client.wait(), SUCCESS);
    provider.leave();
    let found = lab.expect([nmr(29)]);
    let text = found[0].to_string();
    for part in [
        "client.sys: error: NMR rule 29",
        "ClientDetachProvider",
        "the client's side of binding",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn rule_30_a_side_reports_the_end_of_its_detach_once() {
    let lab = Lab::new();
    let client = Module::client().registered(|_| {});
    let provider = Module::provider().registered(|provider| provider.detach = Box::new(|_| PENDING));
    assert_eq!(client.deregister(), PENDING);
    // The return of STATUS_SUCCESS was the report.
    client.complete();
    provider.complete();
    // The binding is gone.
    provider.complete();
    assert_eq!(client.wait(), SUCCESS);
    provider.leave();
    lab.expect([nmr(30); 2]);
}

#[test]
fn rule_31_a_detach_is_not_completed_before_it_began() {
    let lab = Lab::new();
    let modules = client_that_detaches(|_| PENDING);
    modules[0].complete();
    leave(&modules);
    lab.expect([nmr(31)]);
}

#[test]
fn rule_32_a_detach_is_not_completed_inside_its_callback() {
    let lab = Lab::new();
    leave(&client_that_detaches(|side| {
        side.complete();
        PENDING
    }));
    assert!(lab.expect([nmr(32)])[0].is_advice());
    let lab = Lab::new();
    leave(&client_that_detaches(|side| {
        side.complete();
        SUCCESS
    }));
    lab.expect([nmr(32), nmr(30)]);
}

#[test]
fn rule_33_a_detach_is_completed_with_the_own_binding_handle() {
    let lab = Lab::new();
    let [client, provider] = client_that_detaches(|_| PENDING);
    assert_eq!(client.deregister(), PENDING);
    in_driver(&client.driver, "system thread", || {
        complete(Role::Client, client.handle());
        complete(Role::Client, provider.binding.load(SeqCst));
        complete(Role::Provider, client.binding.load(SeqCst));
    });
    client.complete();
    assert_eq!(client.wait(), SUCCESS);
    provider.leave();
    lab.expect([nmr(33); 3]);
}

#[test]
fn rule_34_a_detach_succeeds_or_is_pending() {
    let lab = Lab::new();
    leave(&client_that_detaches(|_| NOINTERFACE));
    lab.expect([nmr(34)]);
}

#[test]
fn rule_35_a_detach_does_not_block() {
    let lab = Lab::new();
    leave(&client_that_detaches(|_| {
        let mut time = LARGE_INTEGER { QuadPart: -1 };
        // SAFETY: the interval can be read.
        unsafe { KeDelayExecutionThread(0, 0, &raw mut time) };
        SUCCESS
    }));
    lab.expect([nmr(35)]);
}

#[test]
fn rule_36_a_context_is_not_touched_after_its_cleanup() {
    let lab = Lab::new();
    let modules = client_that_detaches(|_| SUCCESS);
    leave(&modules);
    // What a worker does that looks at its binding once more after it has completed the detach.
    // SAFETY: the verifier keeps freed pool; wrong on purpose.
    unsafe { modules[0].context.load(SeqCst).cast::<u8>().write(1) };
    lab.expect([nmr(36)]);
}

#[test]
fn rule_37_a_context_is_not_freed_before_its_cleanup() {
    let lab = Lab::new();
    let client = Module::client().registered(|client| {
        client.client.ClientCleanupBindingContext = Some(ignore_cleanup);
        client.detach = Box::new(|side| {
            side.free();
            SUCCESS
        });
    });
    let provider = Module::provider().registered(|_| {});
    client.leave();
    provider.leave();
    lab.unload(&client);
    let found = lab.expect([nmr(37)]);
    let text = found[0].to_string();
    for part in [
        "client.sys: error: NMR rule 37",
        "ExFreePool was called for the binding context",
        "ClientDetachProvider",
        "since  NmrClientAttachProvider",
        "legal  free it in the cleanup callback",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn rule_38_a_context_is_freed_by_its_cleanup() {
    let lab = Lab::new();
    let client = Module::client().registered(|client| client.cleanup = Some(Box::new(|_| {})));
    let provider = Module::provider().registered(|_| {});
    client.leave();
    provider.leave();
    lab.unload(&client);
    lab.expect([nmr(38), Rule::PoolLeak]);
}

#[test]
fn rule_40_a_callback_leaves_irql_locks_and_critical_regions_as_they_were() {
    static LOCK: SpinLock = SpinLock::new();
    let lab = Lab::new();
    leave(&client_that_detaches(|_| {
        // SAFETY: wrong on purpose: never lowered.
        unsafe { KeRaiseIrqlToDpcLevel() };
        SUCCESS
    }));
    lab.expect([nmr(40)]);
    let lab = Lab::new();
    leave(&client_that_detaches(|_| {
        LOCK.acquire();
        SUCCESS
    }));
    // The lock, and the IRQL that comes with it.
    lab.expect([nmr(40); 2]);
    let lab = Lab::new();
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| {
            // SAFETY: wrong on purpose: never left.
            unsafe { KeEnterCriticalRegion() };
            offer.attach()
        });
    });
    let provider = Module::provider().registered(|_| {});
    leave(&[client, provider]);
    lab.expect([nmr(40)]);
}

#[test]
fn rule_51_a_detach_allocates_nothing() {
    let lab = Lab::new();
    leave(&client_that_detaches(|_| {
        free(allocate(8));
        SUCCESS
    }));
    lab.expect([nmr(51)]);
}

#[test]
fn rule_51_an_allocation_that_fails_in_a_detach_hangs_the_unload() {
    let lab = Lab::on(Machine::builder().scheduler(Closed::new()));
    let machine: Arc<Machine> = Arc::new(lab.machine.clone());
    let [client, provider] = client_that_detaches(move |_| {
        machine.fail_allocation(0);
        let work_item = allocate(64);
        assert!(
            work_item.is_null(),
            "there is nothing to complete the detach with"
        );
        PENDING
    });
    assert_eq!(client.deregister(), PENDING);
    assert_eq!(client.wait(), POSSIBLE_DEADLOCK);
    client.complete();
    assert_eq!(client.wait(), SUCCESS);
    provider.leave();
    lab.expect([nmr(51), nmr(29)]);
}
