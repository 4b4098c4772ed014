//! The rules of binding life cycles, one test each.

mod support;

use std::sync::atomic::Ordering;

use nmr_model::{Event, FailedClient, Policy, Role, Rule};
use support::{
    Attaching, INVALID_PARAMETER, IRQL, Module, NOINTERFACE, PENDING, SUCCESS, broken, count, registrar,
    settle,
};

/// What a driver has to live with: each two deviations from the default, and all at once.
fn policies() -> impl Iterator<Item = Policy> {
    Policy::pairs().chain([Policy::hostile()])
}

#[test]
fn a_pair_attaches_whichever_registers_first_and_ends_whoever_leaves_first() {
    for policy in policies() {
        for (first, leaver) in [
            (Role::Client, 0),
            (Role::Client, 1),
            (Role::Provider, 0),
            (Role::Provider, 1),
        ] {
            let nmr = registrar(policy);
            let modules = [
                Module::new(nmr, first).register(),
                Module::new(nmr, first.peer()).register(),
            ];
            modules[leaver].leave_for_good();
            assert_eq!(modules.map(Module::counts), [[1, 1, 1]; 2], "{policy:?}");
            modules[1 - leaver].leave();
            assert!(broken(nmr).is_empty());
            assert!(nmr.live_modules(1).is_empty() && nmr.live_bindings(1).is_empty());
        }
    }
}

#[test]
fn cleanup_waits_for_the_second_completion_in_either_order() {
    for policy in policies() {
        for (client_pends, provider_pends, client_first) in [
            (true, false, true),
            (false, true, true),
            (true, true, true),
            (true, true, false),
        ] {
            let nmr = registrar(policy);
            let client = Module::new(nmr, Role::Client).register();
            let provider = Module::new(nmr, Role::Provider).register();
            client
                .detach
                .store(if client_pends { PENDING } else { SUCCESS }, Ordering::SeqCst);
            provider
                .detach
                .store(if provider_pends { PENDING } else { SUCCESS }, Ordering::SeqCst);
            assert_eq!(client.deregister(), PENDING);
            settle(nmr);
            let mut open: Vec<&Module> = Vec::new();
            if client_pends {
                open.push(client);
            }
            if provider_pends {
                open.push(provider);
            }
            if !client_first {
                open.reverse();
            }
            // A side whose detach callback waits for the other side has nothing to complete yet.
            while let Some(next) = open.iter().position(|side| side.counts()[1] == 1) {
                assert_eq!(
                    [client.counts()[2], provider.counts()[2]],
                    [0, 0],
                    "cleaned up too early"
                );
                open.remove(next).complete();
            }
            assert_eq!([client.counts(), provider.counts()], [[1, 1, 1]; 2]);
            assert_eq!(client.wait(), SUCCESS);
            provider.leave();
            assert!(broken(nmr).is_empty());
        }
    }
}

#[test]
fn a_rejected_pair_leaves_no_trace_and_is_offered_again_on_re_registration() {
    for declines_client in [true, false] {
        let nmr = registrar(Policy::default());
        let mut client = Module::new(nmr, Role::Client);
        let provider = Module::new(nmr, Role::Provider);
        if declines_client {
            client.attaching = Attaching::Decline;
        } else {
            *provider.accept.lock().unwrap() = vec![NOINTERFACE, SUCCESS];
        }
        let (client, provider) = (client.register(), provider.register());
        assert_eq!([client.counts(), provider.counts()], [[0, 0, 0]; 2]);
        provider.leave();
        provider.register_again();
        let attached = usize::from(!declines_client);
        assert_eq!([client.counts()[0], provider.counts()[0]], [attached; 2]);
        client.leave();
        provider.leave();
        assert!(broken(nmr).is_empty());
    }
}

#[test]
fn a_failed_attach_may_be_repeated_inside_the_same_callback() {
    let nmr = registrar(Policy::default());
    let mut client = Module::new(nmr, Role::Client);
    client.attaching = Attaching::Retry;
    let provider = Module::new(nmr, Role::Provider);
    *provider.accept.lock().unwrap() = vec![NOINTERFACE, SUCCESS];
    let (client, provider) = (client.register(), provider.register());
    client.leave();
    provider.leave();
    assert_eq!([client.counts(), provider.counts()], [[1, 1, 1]; 2]);
    assert!(broken(nmr).is_empty());
}

#[test]
fn a_module_that_deregisters_during_attach_is_attached_and_at_once_detached() {
    for policy in policies() {
        for leaver in [Role::Client, Role::Provider] {
            let nmr = registrar(policy);
            // Whoever leaves has registered first, so that it holds its handle.
            let client = Module::new(nmr, Role::Client).keep();
            let provider = Module::new(nmr, Role::Provider).keep();
            let (first, second) = match leaver {
                Role::Client => (client, provider),
                Role::Provider => (provider, client),
            };
            first.register_again();
            *client.during_attach.lock().unwrap() = Some(Box::new(move || {
                assert_eq!(first.deregister(), PENDING);
            }));
            second.register_again();
            assert_eq!(
                [client.counts(), provider.counts()],
                [[1, 1, 1]; 2],
                "before Register returned"
            );
            assert_eq!(first.wait(), SUCCESS);
            second.leave();
            assert!(broken(nmr).is_empty());
        }
    }
}

#[test]
fn a_client_that_fails_after_the_provider_accepted_leaves_only_the_providers_side_to_undo() {
    for policy in policies() {
        let nmr = registrar(policy);
        let mut client = Module::new(nmr, Role::Client);
        client.attaching = Attaching::FailAfterwards;
        let provider = Module::new(nmr, Role::Provider).register();
        let client = client.register();
        assert_eq!(provider.counts(), [1, 1, 1]);
        let told = match policy.failed_client {
            FailedClient::Left => [0, 0],
            FailedClient::CleanedUp => [0, 1],
            FailedClient::Detached => [1, 1],
        };
        assert_eq!(client.counts()[1..], told, "{policy:?}");
        client.leave();
        provider.leave();
        assert_eq!(broken(nmr), [Rule::StatusNotPassedOn]);
    }
}

#[test]
fn success_without_attach_makes_no_binding() {
    let nmr = registrar(Policy::default());
    let mut client = Module::new(nmr, Role::Client);
    client.attaching = Attaching::Pretend;
    let (provider, client) = (Module::new(nmr, Role::Provider).register(), client.register());
    client.leave();
    provider.leave();
    assert_eq!(provider.counts(), [0, 0, 0]);
    assert_eq!(client.counts()[1..], [0, 0]);
    assert_eq!(broken(nmr), [Rule::StatusNotPassedOn]);
}

#[test]
fn a_second_attach_after_success_is_refused() {
    let nmr = registrar(Policy::default());
    let mut client = Module::new(nmr, Role::Client);
    client.attaching = Attaching::Twice;
    let (provider, client) = (Module::new(nmr, Role::Provider).register(), client.register());
    client.leave();
    provider.leave();
    assert_eq!([client.counts(), provider.counts()], [[1, 1, 1]; 2]);
    assert_eq!(broken(nmr), [Rule::AttachedTwice]);
}

#[test]
fn a_null_binding_context_is_passed_to_detach_and_cleanup_as_any_other_or_to_neither() {
    let mut expected = 0;
    for policy in policies() {
        let nmr = registrar(policy);
        let [client, provider] = [Role::Client, Role::Provider].map(|role| {
            let mut module = Module::new(nmr, role);
            module.null_context = true;
            module.register()
        });
        assert_eq!([client.counts()[0], provider.counts()[0]], [1, 1]);
        client.leave_for_good();
        provider.leave();
        if !policy.skip_null_contexts {
            // Detach and cleanup of both sides.
            expected += 4;
        }
        assert_eq!(support::NULL_CONTEXTS.load(Ordering::SeqCst), expected);
        assert!(broken(nmr).is_empty());
    }
}

#[test]
fn one_driver_with_both_sides_of_an_npi_attaches_to_itself_and_to_others() {
    let nmr = registrar(Policy::default());
    let own = [Role::Client, Role::Provider].map(|role| Module::new(nmr, role).register());
    let other = Module::new(nmr, Role::Provider).register();
    assert_eq!(own.map(|module| module.counts()[0]), [2, 1]);
    for module in own.iter().chain([&other]) {
        module.leave();
    }
    assert_eq!(
        [own[0].counts(), own[1].counts(), other.counts()],
        [[2, 2, 2], [1, 1, 1], [1, 1, 1]]
    );
    assert!(broken(nmr).is_empty());
}

#[test]
fn every_pair_gets_exactly_one_binding() {
    let nmr = registrar(Policy::default());
    let clients = [Role::Client; 2].map(|role| Module::new(nmr, role).register());
    let mut providers = vec![Module::new(nmr, Role::Provider).register()];
    let picky = Module::new(nmr, Role::Provider);
    *picky.accept.lock().unwrap() = vec![NOINTERFACE, SUCCESS];
    providers.push(picky.register());
    providers.push(Module::new(nmr, Role::Provider).register());
    assert_eq!(count(nmr, |event| matches!(event, Event::Proposed(_))), 6);
    assert_eq!(count(nmr, |event| matches!(event, Event::Attached(_))), 5);
    for module in clients.iter().chain(&providers) {
        module.leave();
    }
    assert_eq!(count(nmr, |event| matches!(event, Event::CleanedUp(_))), 5);
    assert!(broken(nmr).is_empty());
}

#[test]
fn completing_twice_completing_early_and_wrong_handles_are_reported_and_harmless() {
    let nmr = registrar(Policy::default());
    let client = Module::new(nmr, Role::Client).register();
    let provider = Module::new(nmr, Role::Provider).register();
    provider.detach.store(PENDING, Ordering::SeqCst);
    provider.complete();
    assert_eq!(
        broken(nmr),
        [Rule::CompletedEarly],
        "counts as the one completion"
    );
    nmr.detach_complete(Role::Client, provider.binding());
    nmr.detach_complete(Role::Client, client.handle());
    nmr.detach_complete(Role::Client, std::ptr::null_mut());
    client.leave();
    assert_eq!([client.counts(), provider.counts()], [[1, 1, 1]; 2]);
    provider.complete();
    provider.leave();
    assert_eq!(
        broken(nmr)[1..],
        [
            Rule::WrongHandleCompleted,
            Rule::WrongHandleCompleted,
            Rule::WrongHandleCompleted,
            Rule::CompletedTwice
        ]
    );
}

#[test]
fn deregistering_twice_waiting_first_and_dead_handles_are_refused() {
    let nmr = registrar(Policy::default());
    let client = Module::new(nmr, Role::Client).register();
    assert_eq!(client.wait(), INVALID_PARAMETER);
    assert_eq!(nmr.deregister(Role::Provider, client.handle()), INVALID_PARAMETER);
    assert_eq!(client.deregister(), PENDING);
    assert_eq!(client.deregister(), INVALID_PARAMETER);
    assert_eq!(client.wait(), SUCCESS);
    assert_eq!(client.wait(), INVALID_PARAMETER);
    assert_eq!(client.deregister(), INVALID_PARAMETER);
    assert_eq!(
        nmr.deregister(Role::Client, std::ptr::null_mut()),
        INVALID_PARAMETER
    );
    assert_eq!(
        broken(nmr),
        [
            Rule::WaitMisused,
            Rule::DeregisteredTwice,
            Rule::DeregisteredTwice,
            Rule::WaitMisused,
            Rule::WaitMisused,
            Rule::HandleNeverGiven
        ]
    );
}

#[test]
fn waiting_in_an_own_callback_is_refused_instead_of_hanging() {
    let nmr = registrar(Policy::default());
    let client = Module::new(nmr, Role::Client).register();
    *client.during_attach.lock().unwrap() = Some(Box::new(move || {
        assert_eq!(client.deregister(), PENDING);
        assert!(client.wait() < 0);
    }));
    let provider = Module::new(nmr, Role::Provider).register();
    assert_eq!(client.wait(), SUCCESS);
    provider.leave();
    assert_eq!(broken(nmr), [Rule::WaitInCallback]);
}

#[test]
fn a_module_may_deregister_at_dispatch_level_but_not_wait_there() {
    let nmr = registrar(Policy::default());
    let client = Module::new(nmr, Role::Client).register();
    let provider = Module::new(nmr, Role::Provider).register();
    IRQL.set(2);
    assert_eq!(client.deregister(), PENDING);
    assert!(broken(nmr).is_empty());
    client.wait();
    IRQL.set(0);
    provider.leave();
    assert_eq!(broken(nmr), [Rule::WaitInCallback]);
}

#[test]
fn modules_that_come_and_go_on_many_threads_leave_nothing_behind() {
    for (_, policy) in Policy::singles().chain([("hostile", Policy::hostile())]) {
        let nmr = registrar(policy);
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                support::spawn(move || {
                    let role = if worker % 2 == 0 {
                        Role::Client
                    } else {
                        Role::Provider
                    };
                    let module = Module::new(nmr, role).register();
                    for _ in 0..50 {
                        module.leave();
                        module.enrol();
                    }
                    module.leave();
                    module
                })
            })
            .collect();
        let mut modules = Vec::new();
        for worker in workers {
            modules.push(worker.join().unwrap());
        }
        settle(nmr);
        let sum = |wanted: Role, index: usize| -> usize {
            modules
                .iter()
                .filter(|module| module.role == wanted)
                .map(|module| module.counts()[index])
                .sum()
        };
        for index in 0..3 {
            assert_eq!(sum(Role::Client, index), sum(Role::Client, 0));
            assert_eq!(
                sum(Role::Provider, index),
                sum(Role::Client, 0),
                "each binding has two sides"
            );
        }
        assert!(broken(nmr).is_empty());
        assert!(nmr.live_modules(1).is_empty() && nmr.live_bindings(1).is_empty());
    }
}
