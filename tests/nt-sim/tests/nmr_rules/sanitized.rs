//! Rules about memory that is only read after it is gone, which `AddressSanitizer` sees:
//! `cargo xtask sanitize address` runs these. The verifier has nothing to say in them before that.

use std::{
    ffi::c_void,
    hint::black_box,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering::SeqCst},
    },
};

use nmr::raw::NPI_REGISTRATION_INSTANCE;
use nt_sim::{Machine, thread::Entered};

use crate::{
    fixture::{Context, Module, PENDING, allocate, free},
    sanitized_process::{expect, now_wrong},
};

/// A machine as a build for `AddressSanitizer` makes it, with the test's thread on it.
fn machine() -> (Machine, Entered) {
    let machine = Machine::builder().build().unwrap();
    let entered = machine.enter();
    (machine, entered)
}

#[test]
fn no_rule_is_unchecked_that_needs_address_sanitizer() {
    let (machine, entered) = machine();
    drop(entered);
    let report = machine.shutdown();
    let unchecked: Vec<_> = report
        .unchecked
        .iter()
        .map(|unchecked| unchecked.rule.number())
        .collect();
    assert!(!unchecked.contains(&20) && !unchecked.contains(&36), "{report}");
}

#[test]
fn rule_20_the_instance_of_a_peer_is_not_read_after_that_peer_is_gone() {
    let test = "sanitized::rule_20_the_instance_of_a_peer_is_not_read_after_that_peer_is_gone";
    expect(test, "heap-use-after-free", "READ of size 2", || {
        let (_machine, _entered) = machine();
        let provider = Module::provider().registered(|_| {});
        let kept = Arc::new(AtomicPtr::default());
        let keep = Arc::clone(&kept);
        let _client = Module::client().registered(|client| {
            client.attach = Box::new(move |offer| {
                keep.store(offer.peer.cast_mut(), SeqCst);
                offer.attach()
            });
        });
        let peer: *mut NPI_REGISTRATION_INSTANCE = kept.load(SeqCst);
        // SAFETY: the provider is registered.
        assert_eq!(unsafe { (*peer).Version }, 0);
        provider.leave();
        now_wrong();
        // SAFETY: wrong on purpose: the provider is gone.
        black_box(unsafe { peer.cast::<u16>().read_volatile() });
    });
}

#[test]
fn rule_36_a_context_is_not_read_after_its_cleanup() {
    let test = "sanitized::rule_36_a_context_is_not_read_after_its_cleanup";
    expect(test, "heap-use-after-free", "READ of size 8", || {
        let (_machine, _entered) = machine();
        let provider = Module::provider().registered(|_| {});
        let client = Module::client().registered(|_| {});
        client.leave();
        provider.leave();
        // What a worker does that looks at its binding once more after it has completed the detach.
        let context: *mut Context = client.context.load(SeqCst);
        now_wrong();
        // SAFETY: wrong on purpose: the cleanup callback has freed it.
        black_box(unsafe { context.cast::<u64>().read_volatile() });
    });
}

#[test]
fn rule_36_a_context_is_not_read_after_the_call_that_completes_the_detach() {
    let test = "sanitized::rule_36_a_context_is_not_read_after_the_call_that_completes_the_detach";
    expect(test, "heap-use-after-free", "READ of size 8", || {
        let (_machine, _entered) = machine();
        let provider = Module::provider().registered(|_| {});
        let client = Module::client().registered(|client| client.detach = Box::new(|_| PENDING));
        assert_eq!(provider.deregister(), PENDING);
        let context: *mut Context = client.context.load(SeqCst);
        client.complete();
        now_wrong();
        // SAFETY: wrong on purpose: what the call has completed may include the cleanup.
        black_box(unsafe { context.cast::<u64>().read_volatile() });
    });
}

#[test]
fn rule_28_a_dispatch_table_in_pool_is_not_read_after_its_module_is_gone() {
    let test = "sanitized::rule_28_a_dispatch_table_in_pool_is_not_read_after_its_module_is_gone";
    expect(test, "heap-use-after-free", "READ of size 8", || {
        let (_machine, _entered) = machine();
        let table: *mut *const c_void = allocate(64).cast();
        let provider = Module::provider().registered(|provider| provider.dispatch = table.cast());
        let kept = Arc::new(AtomicPtr::<c_void>::default());
        let keep = Arc::clone(&kept);
        let _client = Module::client().registered(|client| {
            client.attach = Box::new(move |offer| {
                let status = offer.attach();
                // SAFETY: the attach has succeeded, so that the context is there.
                let dispatch = unsafe { (*offer.module.context.load(SeqCst)).peer_dispatch };
                keep.store(dispatch.cast_mut(), SeqCst);
                status
            });
        });
        let dispatch: *mut *const c_void = kept.load(SeqCst).cast();
        // SAFETY: the provider is there, and its table has this entry.
        assert_eq!(unsafe { dispatch.read() }, ptr::null());
        provider.leave();
        free(table.cast());
        now_wrong();
        // SAFETY: wrong on purpose: what a client does that calls by a table that it kept.
        black_box(unsafe { dispatch.read_volatile() });
    });
}
