//! What each policy changes, seen from the modules.

mod support;

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use nmr_model::{DetachCalls, Event, Policy, Role, Rule, TeardownIrql};
use support::{IN_CRITICAL_REGION, IRQL, Module, Nmr, PENDING, SUCCESS, broken, registrar, settle, spawn};

/// A pair, client registered first, under the default with one change.
fn pair(change: impl FnOnce(&mut Policy)) -> (&'static Nmr, &'static Module, &'static Module) {
    let mut policy = Policy::default();
    change(&mut policy);
    let nmr = registrar(policy);
    let client = Module::new(nmr, Role::Client).register();
    let provider = Module::new(nmr, Role::Provider).register();
    (nmr, client, provider)
}

/// What waits, in a callback, until the test lets it go on: tells that it is there, then blocks.
fn held(hook: &support::Hook) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (arrived, arrival) = mpsc::channel();
    let (release, released) = mpsc::channel();
    *hook.lock().unwrap() = Some(Box::new(move || {
        arrived.send(()).unwrap();
        released.recv().unwrap();
    }));
    (arrival, release)
}

#[test]
fn each_field_of_the_policy_has_a_switch() {
    let lines = |policy: &Policy| {
        format!("{policy:#?}")
            .lines()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let default = lines(&Policy::default());
    let mut same = default.clone();
    for (name, policy) in Policy::singles().skip(1) {
        let changed = lines(&policy);
        assert_ne!(changed, default, "{name} changes nothing");
        same.retain(|line| changed.contains(line));
    }
    assert_eq!(same, ["Policy {", "}"], "never changed");
}

#[test]
fn detach_in_turn_calls_the_second_side_when_the_first_is_done() {
    let (_, client, provider) = pair(|policy| policy.detach_calls = DetachCalls::InTurn);
    for side in [client, provider] {
        side.detach.store(PENDING, Ordering::SeqCst);
    }
    client.deregister();
    assert_eq!([provider.counts()[1], client.counts()[1]], [1, 0]);
    provider.complete();
    assert_eq!([provider.counts()[1], client.counts()[1]], [1, 1]);
    assert_eq!([provider.counts()[2], client.counts()[2]], [0, 0]);
    client.complete();
    assert_eq!(client.wait(), SUCCESS);
    provider.leave();
}

#[test]
fn detach_in_parallel_has_both_callbacks_on_a_stack_at_once() {
    let (_, client, provider) = pair(|policy| policy.detach_calls = DetachCalls::Parallel);
    let meeting = Arc::new(Barrier::new(2));
    for side in [client, provider] {
        let meeting = Arc::clone(&meeting);
        *side.during_detach.lock().unwrap() = Some(Box::new(move || {
            meeting.wait();
        }));
    }
    provider.leave();
    client.leave();
}

#[test]
fn detach_and_cleanup_run_at_the_irql_of_the_policy_or_of_the_caller() {
    for (irql, own, expected) in [
        (TeardownIrql::Caller, 0, 0),
        (TeardownIrql::Caller, 2, 2),
        (TeardownIrql::Apc, 0, 1),
        (TeardownIrql::Apc, 2, 2),
        (TeardownIrql::Dispatch, 0, 2),
    ] {
        let (_, client, provider) = pair(|policy| policy.teardown_irql = irql);
        IRQL.set(own);
        client.deregister();
        assert_eq!(IRQL.get(), own);
        IRQL.set(0);
        client.wait();
        provider.leave();
        for side in [client, provider] {
            assert_eq!(*side.levels.lock().unwrap(), [expected; 2]);
        }
    }
}

#[test]
fn a_wait_may_return_before_the_peer_is_cleaned_up() {
    let (nmr, client, provider) = pair(|policy| {
        policy.wait_covers_peer_cleanup = false;
        policy.cleanup_on_worker = true;
    });
    let (in_cleanup, release) = held(&provider.during_cleanup);
    client.leave();
    in_cleanup.recv().unwrap();
    assert!(nmr.live_modules(1).len() == 1 && nmr.live_bindings(1).len() == 1);
    release.send(()).unwrap();
    provider.leave();
    settle(nmr);
    assert!(broken(nmr).is_empty());
}

#[test]
fn a_wait_returns_after_the_peers_cleanup_by_default() {
    let (_, client, provider) = pair(|policy| policy.cleanup_on_worker = true);
    let (in_cleanup, release) = held(&provider.during_cleanup);
    let leaver = spawn(move || {
        client.leave();
        provider.counts()[2]
    });
    in_cleanup.recv().unwrap();
    release.send(()).unwrap();
    assert_eq!(leaver.join().unwrap(), 1);
    provider.leave();
}

#[test]
fn attach_callbacks_of_one_module_may_run_at_once() {
    let nmr = registrar(Policy::default());
    let client = Module::new(nmr, Role::Client).register();
    let (attaching, release) = held(&client.during_attach);
    let first = spawn(move || Module::new(nmr, Role::Provider).register());
    attaching.recv().unwrap();
    let second = Module::new(nmr, Role::Provider).register();
    assert_eq!(
        client.counts()[0],
        2,
        "both were attached while one was in its callback"
    );
    release.send(()).unwrap();
    for module in [first.join().unwrap(), second, client] {
        module.leave();
    }
}

#[test]
fn attach_callbacks_of_one_module_are_serial_under_the_policy() {
    let policy = Policy {
        serial_attach: true,
        ..Policy::default()
    };
    let nmr = registrar(policy);
    let client = Module::new(nmr, Role::Client).register();
    let (attaching, release) = held(&client.during_attach);
    let first = spawn(move || Module::new(nmr, Role::Provider).register());
    attaching.recv().unwrap();
    // The second attach callback can only run after the first, which the test lets go when the second
    // provider is registered with the registrar, however far it comes.
    let entered = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&entered);
    let provider = Module::new(nmr, Role::Provider).keep();
    let second = spawn(move || {
        provider.register_again();
        seen.store(1, Ordering::SeqCst);
    });
    while nmr.live_modules(1).len() < 3 {
        std::thread::yield_now();
    }
    assert_eq!([client.counts()[0], entered.load(Ordering::SeqCst)], [1, 0]);
    release.send(()).unwrap();
    second.join().unwrap();
    assert_eq!(client.counts()[0], 2);
    for module in [first.join().unwrap(), provider, client] {
        module.leave();
    }
}

#[test]
fn an_attach_callback_that_registers_another_module_does_not_wait_for_itself() {
    let policy = Policy {
        serial_attach: true,
        ..Policy::default()
    };
    let nmr = registrar(policy);
    let client = Module::new(nmr, Role::Client).register();
    let inner = Module::new(nmr, Role::Provider).keep();
    *client.during_attach.lock().unwrap() = Some(Box::new(move || inner.enrol()));
    let outer = Module::new(nmr, Role::Provider).register();
    assert_eq!(client.counts()[0], 2);
    for module in [inner, outer, client] {
        module.leave();
    }
}

#[test]
fn a_registration_may_return_before_its_peers_are_attached() {
    let policy = Policy {
        attach_on_worker: true,
        ..Policy::default()
    };
    let nmr = registrar(policy);
    let client = Module::new(nmr, Role::Client).register();
    let (attaching, release) = held(&client.during_attach);
    let provider = Module::new(nmr, Role::Provider).keep();
    provider.enrol();
    attaching.recv().unwrap();
    provider.deregister();
    release.send(()).unwrap();
    assert_eq!(provider.wait(), SUCCESS);
    assert_eq!(
        [client.counts(), provider.counts()],
        [[1, 1, 1]; 2],
        "a late comer"
    );
    client.leave();
    assert!(broken(nmr).is_empty());
}

#[test]
fn a_completion_may_return_before_the_cleanup_has_run() {
    let (_, client, provider) = pair(|policy| policy.cleanup_on_worker = true);
    client.detach.store(PENDING, Ordering::SeqCst);
    let (in_cleanup, release) = held(&client.during_cleanup);
    client.deregister();
    client.nmr.detach_complete(Role::Client, client.binding());
    in_cleanup.recv().unwrap();
    release.send(()).unwrap();
    client.wait();
    provider.leave();
}

#[test]
fn cleanup_may_run_while_a_detach_callback_is_on_the_stack() {
    for after_callbacks in [true, false] {
        let (_, client, provider) = pair(|policy| policy.cleanup_after_callbacks = after_callbacks);
        // The client's callback is the second; the last call ends on another thread while it runs.
        client.detach.store(PENDING, Ordering::SeqCst);
        let (observed, cleaned) = mpsc::channel();
        *client.during_detach.lock().unwrap() = Some(Box::new(move || {
            spawn(move || client.complete()).join().unwrap();
            observed.send(client.counts()[2]).unwrap();
        }));
        client.deregister();
        assert_eq!(cleaned.recv().unwrap(), usize::from(!after_callbacks));
        client.wait();
        provider.leave();
        assert_eq!([client.counts(), provider.counts()], [[1, 1, 1]; 2]);
    }
}

#[test]
fn a_binding_may_be_detached_before_its_attach_callback_has_returned() {
    for early in [true, false] {
        let (nmr, client, provider) = pair(|policy| policy.early_detach = early);
        let late = Module::new(nmr, Role::Provider).keep();
        let (observed, counts) = mpsc::channel();
        *client.during_attach.lock().unwrap() = Some(Box::new(move || {
            client.deregister();
            observed.send(late.counts()).unwrap();
        }));
        late.register_again();
        let expected = if early { [1, 1, 1] } else { [1, 0, 0] };
        assert_eq!(counts.recv().unwrap(), expected);
        client.wait();
        late.leave();
        provider.leave();
        assert_eq!(
            [late.counts(), provider.counts(), client.counts()],
            [[1, 1, 1], [1, 1, 1], [2, 2, 2]]
        );
        assert!(broken(nmr).is_empty());
    }
}

#[test]
fn a_wait_with_apcs_held_off_is_reported_under_the_policy_only() {
    for (strict, irql, region) in [
        (false, 1, true),
        (true, 0, false),
        (true, 1, false),
        (true, 0, true),
    ] {
        let (nmr, client, provider) = pair(|policy| policy.wait_at_passive_only = strict);
        client.deregister();
        IRQL.set(irql);
        IN_CRITICAL_REGION.set(region);
        client.wait();
        IRQL.set(0);
        IN_CRITICAL_REGION.set(false);
        provider.leave();
        let reported = strict && (irql > 0 || region);
        assert_eq!(broken(nmr), vec![Rule::WaitInCallback; usize::from(reported)]);
    }
}

#[test]
fn the_newest_peer_may_be_offered_and_detached_first() {
    for newest_first in [false, true] {
        let policy = Policy {
            newest_peer_first: newest_first,
            ..Policy::default()
        };
        let nmr = registrar(policy);
        let providers = [Role::Provider; 2].map(|role| Module::new(nmr, role).register());
        let client = Module::new(nmr, Role::Client).register();
        client.leave();
        let order = |picked: fn(&Event) -> Option<usize>| support::events(nmr, picked);
        let mut expected = order(|event| match event {
            Event::Registered(module) if module.role == Role::Provider => Some(module.id),
            _ => None,
        });
        if newest_first {
            expected.reverse();
        }
        assert_eq!(
            order(|event| match event {
                Event::Proposed(binding) => Some(binding.provider.id),
                _ => None,
            }),
            expected
        );
        assert_eq!(
            order(|event| match event {
                Event::Detaching(binding) => Some(binding.provider.id),
                _ => None,
            }),
            expected
        );
        for provider in providers {
            provider.leave();
        }
    }
}
