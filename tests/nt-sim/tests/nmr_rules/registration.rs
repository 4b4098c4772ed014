//! Rules 1 to 8: the arguments of a registration.

use std::ptr;

use nmr::raw::NPI_CLIENT_CHARACTERISTICS;
use nmr_model::Role;
use nt_sim::{POOL_FLAG_NON_PAGED, POOL_FLAG_PAGED};

use crate::fixture::{
    INVALID_PARAMETER, Lab, Module, PushLock, SUCCESS, allocate_from, at_dispatch_level, deregister, free,
    in_driver, nmr,
};

#[test]
fn a_client_and_a_provider_that_keep_every_rule_give_no_finding() {
    for client_first in [true, false] {
        let lab = Lab::new();
        let (client, provider);
        if client_first {
            client = Module::client().registered(|_| {});
            provider = Module::provider().registered(|_| {});
        } else {
            provider = Module::provider().registered(|_| {});
            client = Module::client().registered(|_| {});
        }
        provider.leave();
        client.leave();
        lab.unload(&client);
        lab.unload(&provider);
        lab.expect([]);
    }
}

#[test]
fn rule_01_characteristics_carry_version_0_and_their_own_length() {
    let lab = Lab::new();
    let mut client = Module::client();
    client.client.Length -= 8;
    assert_eq!(client.register(), INVALID_PARAMETER);
    let mut provider = Module::provider();
    provider.provider.Version = 1;
    assert_eq!(provider.register(), INVALID_PARAMETER);
    lab.expect([nmr(1); 2]);
}

#[test]
fn rule_02_callbacks_npi_and_size_are_there() {
    let lab = Lab::new();
    for spoil in [
        |module: &mut Module| module.provider.ProviderAttachClient = None,
        |module: &mut Module| module.provider.ProviderDetachClient = None,
        |module: &mut Module| module.instance().NpiId = ptr::null(),
        |module: &mut Module| module.instance().Size = 0,
    ] {
        let mut provider = Module::provider();
        spoil(&mut provider);
        assert_eq!(provider.register(), INVALID_PARAMETER);
    }
    lab.expect([nmr(2); 4]);
}

#[test]
fn rule_03_a_module_id_is_there_and_well_formed() {
    let lab = Lab::new();
    for spoil in [
        |module: &mut Module| module.instance().ModuleId = ptr::null(),
        |module: &mut Module| module.id.Length = 0,
        |module: &mut Module| module.id.Type = 3,
    ] {
        // Real systems take such a module.
        Module::provider().registered(spoil).leave();
    }
    lab.expect([nmr(3); 3]);
}

#[test]
fn rule_04_the_version_of_an_instance_is_0() {
    let lab = Lab::new();
    Module::provider()
        .registered(|module| module.instance().Version = 1)
        .leave();
    lab.expect([nmr(4)]);
}

#[test]
fn rule_05_a_module_registers_at_passive_level() {
    let lab = Lab::new();
    let client = Module::client();
    in_driver(&client.driver, "DriverEntry", || {
        at_dispatch_level(|| assert_eq!(client.register_here(), INVALID_PARAMETER));
    });
    lab.expect([nmr(5)]);
}

#[test]
fn rule_05_a_module_registers_without_a_lock_that_its_callbacks_take() {
    static LOCK: PushLock = PushLock::new();
    let lab = Lab::new();
    let mut client = Module::client();
    client.attach = Box::new(|offer| {
        LOCK.with(|| {});
        offer.attach()
    });
    in_driver(&client.driver, "DriverEntry", || {
        LOCK.with(|| assert_eq!(client.register_here(), SUCCESS));
    });
    let provider = Module::provider().registered(|_| {});
    client.leave();
    provider.leave();
    lab.expect([nmr(5)]);
}

#[test]
fn rule_06_characteristics_are_not_changed_before_the_wait_has_returned() {
    let lab = Lab::new();
    let mut provider = Module::provider().registered(|_| {});
    provider.instance().Number = 7;
    provider.leave();
    let mut provider = Module::provider().registered(|_| {});
    provider.npi.data1 += 1;
    provider.leave();
    lab.expect([nmr(6); 2]);
}

#[test]
fn rule_06_characteristics_are_not_freed_not_paged_and_not_on_a_stack_that_is_gone() {
    let lab = Lab::new();
    let client = Module::client();
    for (pool, freed) in [(POOL_FLAG_NON_PAGED, true), (POOL_FLAG_PAGED, false)] {
        let block = in_driver(&client.driver, "DriverEntry", || {
            let block: *mut NPI_CLIENT_CHARACTERISTICS =
                allocate_from(pool, size_of_val(&client.client)).cast();
            // SAFETY: the block is large and aligned enough.
            unsafe { block.write(client.client) };
            client.register_copy(block);
            if freed {
                free(block.cast());
            }
            block.cast()
        });
        client.leave();
        if !freed {
            in_driver(&client.driver, "EvtDriverUnload", || free(block));
        }
    }
    in_driver(&client.driver, "DriverEntry", || {
        let on_stack = client.client;
        client.register_copy(&raw const on_stack);
    });
    client.leave();
    lab.expect([nmr(6); 3]);
}

#[test]
fn rule_07_a_handle_is_not_stored_over_that_of_a_live_registration() {
    let lab = Lab::new();
    let (first, second) = (Module::provider(), Module::provider());
    let mut handle = ptr::null_mut();
    in_driver(&first.driver, "DriverEntry", || {
        assert_eq!(first.register_at(&raw mut handle), SUCCESS);
        assert_eq!(second.register_at(&raw mut handle), SUCCESS);
    });
    second.set_handle(handle);
    second.leave();
    lab.unload(&first);
    // The first registration can never be undone.
    lab.expect([nmr(7), nmr(46)]);
}

#[test]
fn rule_08_a_handle_is_used_only_if_the_registration_succeeded() {
    let lab = Lab::new();
    let provider = Module::provider();
    lab.machine.fail_allocation(0);
    assert!(provider.register() < 0);
    assert_eq!(deregister(Role::Provider, provider.handle()), INVALID_PARAMETER);
    lab.expect([nmr(8)]);
}
