//! Rules 1 to 8: the arguments of a registration.

use crate::fixture::{INVALID_PARAMETER, Lab, Module, NOINTERFACE, PENDING, SUCCESS, deregister, nmr};
use nmr_model::Role;

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
    lab.expect([nmr(1), nmr(1)]);
}

#[test]
fn rule_02_callbacks_npi_and_size_are_there() {
    let lab = Lab::new();
    for spoil in [
        |module: &mut Module| module.provider.ProviderAttachClient = None,
        |module: &mut Module| module.provider.ProviderDetachClient = None,
        |module: &mut Module| module.instance().NpiId = std::ptr::null(),
        |module: &mut Module| module.instance().Size = 0,
    ] {
        let mut provider = Module::provider();
        spoil(&mut provider);
        assert_eq!(provider.register(), INVALID_PARAMETER);
    }
    lab.expect([nmr(2); 4]);
}

#[test]
fn rule_08_a_handle_is_used_only_if_the_registration_succeeded() {
    let lab = Lab::new();
    let provider = Module::provider();
    lab.machine.fail_allocation(0);
    assert!(provider.register() < 0);
    assert_eq!(deregister(Role::Provider, provider.handle()), INVALID_PARAMETER);
    lab.expect([nmr(8)]);
    let _ = (NOINTERFACE, PENDING, SUCCESS);
}
