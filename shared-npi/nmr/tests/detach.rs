//! Detaching: pending while calls are in flight, complete exactly once, then cleaned up.

mod support;

use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use nt_sim::Machine;
use nt_sim::ntddk::{KeLowerIrql, KeRaiseIrqlToDpcLevel};
use support::{
    TestClient, TestProvider, call, client_accepts, drops, on_every_machine, passive, provider_accepts,
};

/// Starts a thread on the machine of this one.
fn spawn<'s, 'e: 's, T: Send + 's>(
    scope: &'s thread::Scope<'s, 'e>,
    body: impl FnOnce() -> T + Send + 's,
) -> thread::ScopedJoinHandle<'s, T> {
    let machine = Machine::current();
    scope.spawn(move || {
        let _entered = machine.enter();
        body()
    })
}

#[test]
fn a_guard_makes_detach_pending_and_its_drop_completes_it() {
    on_every_machine(|passive| {
        for provider_leaves in [true, false] {
            for side_with_guard in ["client", "provider"] {
                let provider = TestProvider::new(provider_accepts).register();
                let client = TestClient::new(client_accepts).register();
                let of_client = client.module().only();
                let of_provider = provider.module().only();
                let client_guard =
                    (side_with_guard == "client").then(|| of_client.enter().expect("attached"));
                let provider_guard =
                    (side_with_guard == "provider").then(|| of_provider.enter().expect("attached"));

                let (stays, leaves) = if provider_leaves {
                    (Ok(client), Err(provider.begin_deregister()))
                } else {
                    (Err(provider), Ok(client.begin_deregister()))
                };
                // The detach has begun on one side at least: the other's turn may come when that has ended.
                assert!(of_client.enter().is_none() || of_provider.enter().is_none());
                if let Some(guard) = &client_guard {
                    assert!(guard.binding().is_alive());
                }
                if let Some(guard) = &provider_guard {
                    assert!(guard.binding().is_alive());
                }
                let ended = AtomicBool::new(false);
                let waited = thread::scope(|scope| {
                    let waiting = spawn(scope, || {
                        let waited = match leaves {
                            Ok(client) => Ok(client.wait(support::passive())),
                            Err(provider) => Err(provider.wait(support::passive())),
                        };
                        assert!(ended.load(SeqCst), "the wait ended before the call");
                        waited
                    });
                    thread::sleep(Duration::from_millis(2));
                    ended.store(true, SeqCst);
                    drop((client_guard, provider_guard));
                    waiting.join().expect("waited")
                });
                let (client, provider) = match (stays, waited) {
                    (Ok(client), Err(provider)) => (client.deregister(passive), provider),
                    (Err(provider), Ok(client)) => (client, provider.deregister(passive)),
                    _ => unreachable!("one of each"),
                };
                assert_eq!((drops(&client.dropped), drops(&provider.dropped)), (1, 1));
                assert_eq!(
                    (client.detaching.into_inner(), provider.detaching.into_inner()),
                    (1, 1)
                );
            }
        }
    });
}

#[test]
fn only_the_last_of_several_guards_completes() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(provider_accepts).register();
        let client = TestClient::new(client_accepts).register();
        let binding = client.module().only();
        let mut guards: Vec<_> = (0..5).map(|_| binding.enter().expect("attached")).collect();
        let leaving = provider.begin_deregister();
        while let Some(guard) = guards.pop() {
            assert_eq!(drops(&client.module().dropped), 0);
            drop(guard);
        }
        assert_eq!(
            drops(&client.module().dropped),
            1,
            "cleaned up inside the last drop"
        );
        leaving.wait(passive);
        client.deregister(passive);
    });
}

#[test]
fn the_other_side_may_still_be_called_while_one_is_pending() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(provider_accepts).register();
        let client = TestClient::new(client_accepts).register();
        let guard = client.module().only().enter().expect("attached");
        let leaving = provider.begin_deregister();
        let dispatch = guard.peer_dispatch().expect("a dispatch");
        // SAFETY: the provider's own entry and context, while the guard exists.
        assert_eq!(unsafe { (dispatch.double)(guard.peer_context(), 8) }, 16);
        drop(guard);
        leaving.wait(passive);
        client.deregister(passive);
    });
}

#[test]
fn a_reference_outlives_its_binding_and_no_longer_enters() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(provider_accepts).register();
        let client = TestClient::new(client_accepts).register();
        let kept = client.module().only();
        provider.deregister(passive);
        let client = client.deregister(passive);
        assert_eq!(drops(&client.dropped), 1);
        assert!(kept.enter().is_none());
        assert!(kept == client.only());
        drop(client.bindings);
        assert_eq!(client.alloc.live(), 1, "what the reference keeps");
        drop(kept);
        assert_eq!(client.alloc.live(), 0);
    });
}

#[test]
fn a_call_that_ends_on_another_thread_completes_there() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(provider_accepts).register();
        let client = TestClient::new(client_accepts).register();
        let guard = client.module().only().enter().expect("attached");
        let provider = thread::scope(|scope| {
            // An accepted asynchronous call: the guard travels with it.
            let completer = spawn(scope, move || {
                thread::sleep(Duration::from_millis(1));
                drop(guard);
            });
            let provider = provider.deregister(passive);
            completer.join().expect("completed");
            provider
        });
        assert_eq!(drops(&provider.dropped), 1);
        client.deregister(passive);
    });
}

#[test]
fn modules_that_leave_at_the_same_time_detach_once() {
    on_every_machine(|_| {
        for _ in 0..20 {
            let provider = TestProvider::new(provider_accepts).register();
            let client = TestClient::new(client_accepts).register();
            let start = Barrier::new(2);
            let (client, provider) = thread::scope(|scope| {
                let client = spawn(scope, || {
                    start.wait();
                    client.deregister(passive())
                });
                let provider = spawn(scope, || {
                    start.wait();
                    provider.deregister(passive())
                });
                (
                    client.join().expect("deregistered"),
                    provider.join().expect("deregistered"),
                )
            });
            assert_eq!((drops(&client.dropped), drops(&provider.dropped)), (1, 1));
            assert_eq!(
                (client.detaching.into_inner(), provider.detaching.into_inner()),
                (1, 1)
            );
            drop((client.bindings, provider.bindings));
            assert_eq!((client.alloc.live(), provider.alloc.live()), (0, 0));
        }
    });
}

/// A provider leaves while a client is attaching to it: attached, and detached at once.
#[test]
fn a_late_comer_is_detached_before_register_returns() {
    static IN_ATTACH: Barrier = Barrier::new(2);
    static GO_ON: Barrier = Barrier::new(2);

    on_every_machine(|passive| {
        let provider = TestProvider::new(provider_accepts).register();
        thread::scope(|scope| {
            let client = spawn(scope, || {
                TestClient::new(|client, offer| {
                    IN_ATTACH.wait();
                    GO_ON.wait();
                    client_accepts(client, offer)
                })
                .register()
            });
            IN_ATTACH.wait();
            let leaving = provider.begin_deregister();
            GO_ON.wait();
            let client = client.join().expect("registered");
            assert_eq!(client.module().detaching.load(SeqCst), 1);
            assert!(client.module().only().enter().is_none());
            let provider = leaving.wait(passive);
            assert_eq!(
                (drops(&client.module().dropped), drops(&provider.dropped)),
                (1, 1)
            );
            client.deregister(passive);
        });
    });
}

/// Runs at `DISPATCH_LEVEL`.
fn at_dispatch<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: below DISPATCH_LEVEL before, and lowered to the same level below.
    let before = unsafe { KeRaiseIrqlToDpcLevel() };
    let result = body();
    // SAFETY: the level at which the thread was.
    unsafe { KeLowerIrql(before) };
    result
}

#[test]
fn detach_and_cleanup_run_at_dispatch_level() {
    on_every_machine(|passive| {
        // The deregistration is begun there: all callbacks run in it.
        let provider = TestProvider::new(provider_accepts).register();
        let client = TestClient::new(client_accepts).register();
        let leaving = at_dispatch(|| provider.begin_deregister());
        assert_eq!(drops(&leaving.wait(passive).dropped), 1);
        assert_eq!(drops(&client.deregister(passive).dropped), 1);

        // The last call ends there: the cleanups run in the drop of its guard.
        let provider = TestProvider::new(provider_accepts).register();
        let client = TestClient::new(client_accepts).register();
        let guard = client.module().only().enter().expect("attached");
        let leaving = client.begin_deregister();
        assert_eq!(drops(&provider.module().dropped), 0);
        at_dispatch(|| drop(guard));
        assert_eq!(drops(&provider.module().dropped), 1);
        leaving.wait(passive);
        provider.deregister(passive);
    });
}

#[test]
fn a_machine_is_left_as_it_was_found() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(provider_accepts).register();
        let client = TestClient::new(client_accepts).register();
        assert_eq!(call(&client.module().only(), 1), Some(2));
        let (client, provider) = (client.deregister(passive), provider.deregister(passive));
        assert_eq!(provider.calls.into_inner(), 1);
        drop((client.bindings, provider.bindings));
        assert_eq!((client.alloc.live(), provider.alloc.live()), (0, 0));
    });
}

#[test]
#[should_panic(expected = "a registered module was dropped, not deregistered")]
fn a_registration_cannot_be_dropped_silently() {
    let machine = Machine::builder().build().expect("a machine in memory");
    let _entered = machine.enter();
    drop(TestClient::new(client_accepts).register());
}

#[test]
#[should_panic(expected = "a deregistration was dropped, not waited for")]
fn a_deregistration_cannot_be_dropped_silently() {
    let machine = Machine::builder().build().expect("a machine in memory");
    let _entered = machine.enter();
    drop(TestClient::new(client_accepts).register().begin_deregister());
}
