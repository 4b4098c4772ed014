//! Modules come and go on several threads while calls run; nothing is called too late, and
//! everything is freed once.

mod support;

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

use nmr_model::Policy;
use nt_sim::Machine;
use support::{TestClient, TestProvider, call, client_accepts, drops, on_machine, passive, provider_accepts};

const ROUNDS: usize = 20;

#[test]
fn providers_and_clients_come_and_go_under_traffic() {
    for (_, policy) in Policy::singles().chain([("hostile", Policy::hostile())]) {
        on_machine(policy, |_| {
            let machine = Machine::current();
            let steady = TestClient::new(client_accepts).register();
            let stop = AtomicBool::new(false);
            let answered = AtomicUsize::new(0);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let _entered = machine.enter();
                        while !stop.load(Relaxed) {
                            let bindings = steady.module().bindings.lock().unwrap().clone();
                            for binding in &bindings {
                                answered.fetch_add(usize::from(call(binding, 1).is_some()), Relaxed);
                            }
                            if bindings.len() > 50 {
                                let mut bindings = steady.module().bindings.lock().unwrap();
                                bindings.retain(|binding| binding.enter().is_some());
                            }
                            // The comers need the list as well.
                            thread::yield_now();
                        }
                    });
                }
                let comers: Vec<_> = (0..2)
                    .map(|_| {
                        scope.spawn(|| {
                            let _entered = machine.enter();
                            for _ in 0..ROUNDS {
                                let provider = TestProvider::new(provider_accepts).register();
                                thread::yield_now();
                                let provider = provider.deregister(passive());
                                let bound = provider.bindings.into_inner().expect("no panic");
                                assert_eq!(drops(&provider.dropped), bound.len());
                                drop(bound);
                                assert_eq!(provider.alloc.live(), 0);
                            }
                        })
                    })
                    .collect();
                let passing = scope.spawn(|| {
                    let _entered = machine.enter();
                    for _ in 0..ROUNDS {
                        let client = TestClient::new(client_accepts).register();
                        for binding in client.module().bindings.lock().unwrap().iter() {
                            call(binding, 1);
                        }
                        let client = client.deregister(passive());
                        assert_eq!(drops(&client.dropped), client.bindings.lock().unwrap().len());
                        drop(client.bindings);
                        assert_eq!(client.alloc.live(), 0);
                    }
                });
                for comer in comers {
                    comer.join().expect("no panic");
                }
                passing.join().expect("no panic");
                stop.store(true, SeqCst);
            });
            assert!(answered.into_inner() > 0, "calls went through");
            let steady = steady.deregister(passive());
            drop(steady.bindings);
            assert_eq!(steady.alloc.live(), 0);
        })
        .assert_clean();
    }
}
