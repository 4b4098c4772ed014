//! Rules 41 to 52: deregistration and unload.

use std::{
    ptr,
    sync::{LazyLock, atomic::Ordering::SeqCst, mpsc},
};

use nmr_model::Role;
use nt_sim::{DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING, Rule};

use crate::fixture::{
    INVALID_PARAMETER, Lab, Module, NO_MEMORY, PENDING, POSSIBLE_DEADLOCK, PushLock, SUCCESS,
    at_dispatch_level, deregister, in_driver, nmr,
};

#[test]
fn rule_41_a_module_is_deregistered_once_and_with_its_own_handle() {
    let lab = Lab::new();
    let client = Module::client().registered(|_| {});
    in_driver(&client.driver, "EvtDriverUnload", || {
        assert_eq!(deregister(Role::Provider, client.handle()), INVALID_PARAMETER);
        assert_eq!(client.deregister_here(), PENDING);
        assert_eq!(client.deregister_here(), INVALID_PARAMETER);
        assert_eq!(client.wait_here(), SUCCESS);
    });
    lab.expect([nmr(41); 2]);
}

#[test]
fn rule_42_the_wait_follows_the_deregistration_once_and_ends_the_handle() {
    let lab = Lab::new();
    let client = Module::client().registered(|_| {});
    assert_eq!(client.wait(), INVALID_PARAMETER);
    client.leave();
    assert_eq!(client.wait(), INVALID_PARAMETER);
    assert_eq!(client.deregister(), INVALID_PARAMETER);
    lab.expect([nmr(42); 3]);
}

#[test]
fn rule_43_a_module_is_not_waited_for_at_dispatch_level_nor_in_its_own_callback() {
    let lab = Lab::new();
    let client = Module::client().registered(|_| {});
    assert_eq!(client.deregister(), PENDING);
    in_driver(&client.driver, "EvtDriverUnload", || {
        at_dispatch_level(|| assert_eq!(client.wait_here(), SUCCESS));
    });
    lab.expect([nmr(43)]);
    let lab = Lab::new();
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| {
            assert_eq!(offer.module.deregister_here(), PENDING);
            assert_eq!(offer.module.wait_here(), POSSIBLE_DEADLOCK);
            offer.attach()
        });
    });
    let provider = Module::provider().registered(|_| {});
    assert_eq!(client.wait(), SUCCESS);
    provider.leave();
    lab.expect([nmr(43)]);
}

#[test]
fn rule_44_no_lock_is_held_during_the_wait_that_callbacks_have_taken() {
    static LOCK: PushLock = PushLock::new();
    let lab = Lab::new();
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| {
            LOCK.with(|| {});
            offer.attach()
        });
    });
    let provider = Module::provider().registered(|_| {});
    assert_eq!(client.deregister(), PENDING);
    in_driver(&client.driver, "EvtDriverUnload", || {
        LOCK.with(|| assert_eq!(client.wait_here(), SUCCESS));
    });
    provider.leave();
    lab.expect([nmr(44)]);
}

#[test]
fn rule_44_a_wait_with_a_lock_that_a_callback_needs_is_ended_instead_of_hanging() {
    static LOCK: PushLock = PushLock::new();
    let lab = Lab::new();
    let client = Module::client().registered(|client| {
        client.detach = Box::new(|_| PENDING);
        client.cleanup = Some(Box::new(|side| LOCK.with(|| side.free())));
    });
    let provider = Module::provider().registered(|_| {});
    let (holds, goes_on) = mpsc::channel();
    let (machine, worker) = (lab.machine.clone(), &client);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _entered = machine.enter();
            goes_on.recv().unwrap();
            worker.complete();
        });
        assert_eq!(client.deregister(), PENDING);
        in_driver(&client.driver, "EvtDriverUnload", || {
            LOCK.with(|| {
                holds.send(()).unwrap();
                assert_eq!(client.wait_here(), POSSIBLE_DEADLOCK);
            });
            assert_eq!(client.wait_here(), SUCCESS);
        });
    });
    provider.leave();
    // A push lock is not for a cleanup callback at all.
    lab.expect([nmr(44), nmr(35)]);
}

#[test]
fn rule_45_a_deregistration_is_waited_for_before_the_driver_is_gone() {
    let lab = Lab::new();
    let client = Module::client().registered(|client| client.detach = Box::new(|_| PENDING));
    let provider = Module::provider().registered(|_| {});
    assert_eq!(client.deregister(), PENDING);
    lab.unload(&client);
    client.complete();
    assert_eq!(client.wait(), SUCCESS);
    provider.leave();
    lab.expect([nmr(29), nmr(45), nmr(47), Rule::PoolLeak]);
}

#[test]
fn rule_46_no_module_is_registered_when_its_driver_is_unloaded() {
    let lab = Lab::new();
    let client = Module::client().registered(|_| {});
    lab.unload(&client);
    client.leave();
    lab.expect([nmr(46)]);
}

#[test]
fn rule_47_pending_is_no_success_although_nt_success_says_yes() {
    let lab = Lab::new();
    let client = Module::client().registered(|_| {});
    let status = client.deregister();
    assert!(
        nt_sim::NT_SUCCESS(status),
        "so the driver believes that it is done"
    );
    lab.unload(&client);
    client.wait();
    lab.expect([nmr(45), nmr(47)]);
}

#[test]
fn rule_48_a_driver_entry_that_fails_undoes_its_registration() {
    static CLIENT: LazyLock<Box<Module>> = LazyLock::new(Module::client);
    unsafe extern "system" fn entry(_: *mut DRIVER_OBJECT, _: PCUNICODE_STRING) -> NTSTATUS {
        assert_eq!(CLIENT.register_here(), SUCCESS);
        NO_MEMORY
    }
    let lab = Lab::new();
    lab.load("failing.sys", entry).unwrap_err();
    CLIENT.leave();
    lab.expect([nmr(46), nmr(48)]);
}

#[test]
fn rule_49_a_driver_does_not_attach_to_itself_unawares() {
    let lab = Lab::new();
    let client = Module::client().registered(|_| {});
    let provider = Module::provider().registered(|provider| provider.driver = client.driver.clone());
    provider.leave();
    client.leave();
    lab.expect([nmr(49)]);
}

#[test]
fn rule_50_what_belongs_to_a_binding_is_kept_per_binding() {
    let lab = Lab::new();
    let providers = [(); 2].map(|()| Module::provider().registered(|_| {}));
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| offer.attach_with(ptr::null_mut()));
    });
    client.leave();
    for provider in &providers {
        provider.leave();
    }
    lab.expect([nmr(50)]);
}

#[test]
fn rule_52_a_provider_above_is_drained_before_the_client_below() {
    let lab = Lab::new();
    let below = Module::client().registered(|below| below.npi.data1 += 1);
    let above = Module::provider().registered(|above| above.driver = below.driver.clone());
    let user = Module::client().registered(|user| user.driver = nt_sim::DriverName::new("user.sys"));
    assert_eq!(user.attached.load(SeqCst), 1);
    below.leave();
    above.leave();
    user.leave();
    lab.expect([nmr(52)]);
}
