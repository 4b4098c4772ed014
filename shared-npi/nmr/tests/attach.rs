//! Attaching: offers, what becomes of them, and what is left when they fail.

mod support;

use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;

use nmr::{Decline, Deregistering, ModuleId, NtStatus, ProviderRegistration, ProviderRole};
use nmr_model::Policy;
use support::{
    Counting, DOUBLE, TELL_1, TELL_2, TestClient, TestProvider, Version, call, client_accepts,
    client_declines, config, drops, on_every_machine, on_machine, policies, provider_accepts,
    provider_declines,
};

#[test]
fn modules_attach_whichever_registers_first() {
    on_every_machine(|passive| {
        for provider_first in [true, false] {
            let (client, provider);
            if provider_first {
                provider = TestProvider::new(provider_accepts).register();
                client = TestClient::new(client_accepts).register();
            } else {
                client = TestClient::new(client_accepts).register();
                provider = TestProvider::new(provider_accepts).register();
            }
            assert_eq!(call(&client.module().only(), 21), Some(42));
            let client = client.deregister(passive);
            let provider = provider.deregister(passive);
            assert_eq!((client.offers.into_inner(), provider.offers.into_inner()), (1, 1));
        }
    });
}

#[test]
fn each_side_reads_what_the_other_tells_of_itself() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(|provider, offer| {
            let peer = offer.peer();
            assert_eq!(peer.characteristics, Some(&Version(10)));
            assert_eq!(Some(peer.module_id), Some(Some(config(0).module_id)));
            assert_eq!((peer.number, peer.version), (1, 0));
            assert_eq!(offer.client_dispatch().map(|tell| tell.version), Some(1));
            provider_accepts(provider, offer)
        });
        let provider = TestProvider {
            number: 7,
            ..provider
        }
        .register();
        let client = TestClient::new(|client, offer| {
            let peer = offer.peer();
            assert_eq!(peer.characteristics, Some(&Version(20)));
            assert!(matches!(peer.module_id, Some(ModuleId::Guid(_))));
            assert_eq!(peer.number, 7);
            client_accepts(client, offer)
        })
        .register();
        assert_eq!(client.deregister(passive).offers.into_inner(), 1);
        provider.deregister(passive);
    });
}

#[test]
fn a_client_that_declines_leaves_nothing_behind() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(provider_accepts).register();
        let client = TestClient::new(client_declines).register();
        let client = client.deregister(passive);
        let provider = provider.deregister(passive);
        assert_eq!(client.offers.into_inner(), 1);
        assert_eq!(provider.offers.into_inner(), 0, "the provider is not asked");
        assert_eq!((client.alloc.live(), provider.alloc.live()), (0, 0));
    });
}

#[test]
fn a_provider_that_declines_gives_the_client_its_binding_back() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(provider_declines).register();
        let client = TestClient::new(|client, offer| {
            let rejected = offer
                .accept(client.binding(), Some(&TELL_1))
                .expect_err("declined");
            assert_eq!(rejected.status(), NtStatus::NOINTERFACE);
            let (offer, binding) = rejected.into_parts();
            assert_eq!(drops(&client.dropped), 0);
            drop(binding);
            assert_eq!(client.alloc.live(), 1, "the registration alone");
            offer.decline(Decline::NotReady)
        })
        .register();
        let client = client.deregister(passive);
        provider.deregister(passive);
        assert_eq!((drops(&client.dropped), client.detaching.into_inner()), (1, 0));
    });
}

#[test]
fn a_rejected_client_may_try_again_with_another_dispatch() {
    on_every_machine(|passive| {
        let provider =
            TestProvider::new(
                |provider, offer| match offer.client_dispatch().map(|tell| tell.version) {
                    Some(2) => provider_accepts(provider, offer),
                    _ => provider_declines(provider, offer),
                },
            )
            .register();
        let client = TestClient::new(|client, mut offer| {
            let mut binding = client.binding();
            for dispatch in [None, Some(&TELL_1), Some(&TELL_2)] {
                match offer.accept(binding, dispatch) {
                    Ok(accepted) => {
                        client.bindings.lock().unwrap().push(accepted.reference().clone());
                        return accepted.attached();
                    }
                    Err(rejected) => (offer, binding) = rejected.into_parts(),
                }
            }
            offer.decline(Decline::NotForMe)
        })
        .register();
        assert_eq!(call(&client.module().only(), 4), Some(8));
        let provider = provider.deregister(passive);
        let client = client.deregister(passive);
        assert_eq!(provider.offers.into_inner(), 3);
        assert_eq!((drops(&client.dropped), drops(&provider.dropped)), (1, 1));
    });
}

#[test]
fn a_provider_may_fail_after_it_has_accepted() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(|provider, offer| {
            let accepted = offer.accept(provider.binding(), Some(&DOUBLE)).expect("memory");
            let reference = accepted.reference().clone();
            let (binding, token) = accepted.reject(Decline::NotReady);
            assert_eq!(drops(&provider.dropped), 0);
            assert!(reference.enter().is_none());
            drop(binding);
            token
        })
        .register();
        let client = TestClient::new(|client, offer| {
            let rejected = offer
                .accept(client.binding(), Some(&TELL_1))
                .expect_err("rejected");
            assert_eq!(rejected.status(), NtStatus::DEVICE_NOT_READY);
            rejected.decline()
        })
        .register();
        let provider = provider.deregister(passive);
        let client = client.deregister(passive);
        assert_eq!((drops(&client.dropped), drops(&provider.dropped)), (1, 1));
        assert_eq!((client.alloc.live(), provider.alloc.live()), (0, 0));
    });
}

/// NMR undoes the provider's half and tells the client nothing; so the client's binding value
/// has to stay as long as the provider may use it. The verifier frowns on it: that is a rule.
#[test]
fn a_client_may_fail_after_the_provider_has_accepted() {
    for policy in policies() {
        let report = on_machine(policy, |passive| {
            let provider = TestProvider::new(provider_accepts).register();
            let client = TestClient::new(|client, offer| {
                let accepted = offer.accept(client.binding(), Some(&TELL_1)).expect("accepted");
                client.bindings.lock().unwrap().push(accepted.reference().clone());
                let guard = accepted.enter().expect("the provider has accepted");
                let dispatch = guard.peer_dispatch().expect("its dispatch");
                // SAFETY: the provider's own entry and context, while the guard exists.
                assert_eq!(unsafe { (dispatch.double)(guard.peer_context(), 2) }, 4);
                drop(guard);
                accepted.abandon(Decline::NotReady)
            })
            .register();
            assert!(client.module().only().enter().is_none());
            assert_eq!(
                drops(&provider.module().dropped),
                1,
                "NMR took the provider's half back"
            );
            assert_eq!(drops(&client.module().dropped), 0);
            let client = client.deregister(passive);
            assert_eq!(drops(&client.dropped), 1);
            drop(client.bindings);
            assert_eq!(client.alloc.live(), 0);
            provider.deregister(passive);
        });
        assert_eq!(report.findings.len(), 1, "{report}");
    }
}

/// No registrar is known to detach a binding whose attach callback is on the stack; if one does, NMR cleans
/// the client's context up, and the failure finds that it has nothing to keep any more.
#[test]
fn a_client_may_fail_although_it_was_detached_and_cleaned_up_already() {
    static PROVIDER: Mutex<Option<ProviderRegistration<TestProvider>>> = Mutex::new(None);
    static LEAVING: Mutex<Option<Deregistering<ProviderRole<TestProvider>>>> = Mutex::new(None);
    let policy = Policy {
        early_detach: true,
        ..Policy::default()
    };
    let report = on_machine(policy, |passive| {
        *PROVIDER.lock().unwrap() = Some(TestProvider::new(provider_accepts).register());
        let client = TestClient::new(|client, offer| {
            let accepted = offer.accept(client.binding(), Some(&TELL_1)).expect("accepted");
            let provider = PROVIDER.lock().unwrap().take().expect("registered");
            *LEAVING.lock().unwrap() = Some(provider.begin_deregister());
            assert_eq!(drops(&client.dropped), 1, "cleaned up");
            accepted.abandon(Decline::NotReady)
        })
        .register();
        let leaving = LEAVING.lock().unwrap().take().expect("deregistered");
        leaving.wait(passive);
        let client = client.deregister(passive);
        assert_eq!(drops(&client.dropped), 1);
        assert_eq!(client.alloc.live(), 0);
    });
    assert_eq!(report.findings.len(), 1, "{report}");
}

#[test]
fn a_dispatch_may_be_null_on_either_side() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(|provider, offer| {
            assert!(offer.client_dispatch().is_none());
            let accepted = offer.accept(provider.binding(), None).expect("memory");
            provider
                .bindings
                .lock()
                .unwrap()
                .push(accepted.reference().clone());
            accepted.attached()
        })
        .register();
        let client = TestClient::new(|client, offer| {
            let accepted = offer.accept(client.binding(), None).expect("accepted");
            client.bindings.lock().unwrap().push(accepted.reference().clone());
            accepted.attached()
        })
        .register();
        let guard = client.module().only().enter().expect("attached");
        assert!(guard.peer_dispatch().is_none());
        assert!(!guard.peer_context().is_null());
        drop(guard);
        assert!(
            provider
                .module()
                .only()
                .enter()
                .expect("attached")
                .peer_dispatch()
                .is_none()
        );
        client.deregister(passive);
        provider.deregister(passive);
    });
}

#[test]
fn no_call_begins_before_the_attach_callback_has_returned() {
    on_every_machine(|passive| {
        let provider = TestProvider::new(|provider, offer| {
            let accepted = offer.accept(provider.binding(), Some(&DOUBLE)).expect("memory");
            assert!(accepted.reference().enter().is_none());
            provider
                .bindings
                .lock()
                .unwrap()
                .push(accepted.reference().clone());
            accepted.attached()
        })
        .register();
        let client = TestClient::new(|client, offer| {
            let accepted = offer.accept(client.binding(), Some(&TELL_1)).expect("accepted");
            assert!(accepted.reference().enter().is_none());
            client.bindings.lock().unwrap().push(accepted.reference().clone());
            accepted.attached()
        })
        .register();
        assert!(client.module().only().enter().is_some());
        assert!(provider.module().only().enter().is_some());
        client.deregister(passive);
        provider.deregister(passive);
    });
}

#[test]
fn without_memory_nothing_is_attached_and_nothing_leaks() {
    on_every_machine(|passive| {
        for fails in 1..=2 {
            // The client has no memory.
            let provider = TestProvider::new(provider_accepts).register();
            let client = TestClient::new(|client, offer| {
                let rejected = offer
                    .accept(client.binding(), Some(&TELL_1))
                    .expect_err("no memory");
                assert_eq!(rejected.status(), support::NO_MEMORY);
                // The reason is what NMR gets, unless the provider has given one.
                let (offer, _) = rejected.into_parts();
                offer.decline(Decline::NotForMe)
            });
            client.alloc.fail_nth(fails + 1);
            let client = client.register();
            let (client, provider) = (client.deregister(passive), provider.deregister(passive));
            assert_eq!(provider.offers.into_inner(), 0);
            assert_eq!((client.alloc.live(), drops(&client.dropped)), (0, 1));

            // The provider has none.
            let client = TestClient::new(|client, offer| {
                let rejected = offer
                    .accept(client.binding(), Some(&TELL_1))
                    .expect_err("declined");
                assert_eq!(rejected.status(), support::NO_MEMORY);
                rejected.decline()
            })
            .register();
            let provider = TestProvider::new(provider_accepts);
            provider.alloc.fail_nth(fails + 1);
            let provider = provider.register();
            let (client, provider) = (client.deregister(passive), provider.deregister(passive));
            assert_eq!((client.alloc.live(), drops(&client.dropped)), (0, 1));
            assert_eq!((provider.alloc.live(), drops(&provider.dropped)), (0, 1));
        }
    });
}

#[test]
fn every_pair_is_offered_once_and_decided_by_itself() {
    on_every_machine(|passive| {
        fn picky<'o>(
            client: &TestClient,
            offer: nmr::ProviderOffer<'o, TestClient>,
        ) -> nmr::ClientAttach<'o, TestClient> {
            match offer.peer().number {
                2 => client_declines(client, offer),
                _ => client_accepts(client, offer),
            }
        }
        let provider = |number| {
            TestProvider {
                number,
                ..TestProvider::new(provider_accepts)
            }
            .register()
        };
        let first = provider(1);
        let everyone = TestClient::new(client_accepts).register();
        let second = provider(2);
        let picky = TestClient::new(picky).register();
        let third = provider(3);

        for (client, bound) in [(&everyone, 3), (&picky, 2)] {
            assert_eq!(client.module().offers.load(SeqCst), 3);
            let bindings = client.module().bindings.lock().unwrap().clone();
            assert_eq!(bindings.len(), bound);
            assert!(bindings.iter().all(|binding| call(binding, 5) == Some(10)));
        }
        for (provider, bound) in [(&first, 2), (&second, 1), (&third, 2)] {
            assert_eq!(provider.module().bindings.lock().unwrap().len(), bound);
        }

        // All of them first begin, and then wait.
        let providers = [first, second, third].map(nmr::Registration::begin_deregister);
        let clients = [everyone, picky].map(nmr::Registration::begin_deregister);
        for provider in providers {
            let provider = provider.wait(passive);
            assert_eq!(drops(&provider.dropped), provider.bindings.lock().unwrap().len());
        }
        for client in clients {
            let client = client.wait(passive);
            assert_eq!(drops(&client.dropped), client.bindings.lock().unwrap().len());
        }
    });
}

#[test]
fn a_module_that_registers_again_is_offered_again() {
    on_every_machine(|passive| {
        let client = TestClient::new(client_accepts).register();
        let mut module = TestProvider::new(provider_accepts);
        for round in 1..=3 {
            let provider = module.register();
            let newest = client.module().bindings.lock().unwrap().last().cloned();
            assert_eq!(call(&newest.expect("attached"), 3), Some(6));
            module = provider.deregister(passive);
            assert_eq!(drops(&module.dropped), round);
            assert_eq!(drops(&client.module().dropped), round);
        }
        let client = client.deregister(passive);
        assert_eq!(client.offers.load(SeqCst), 3);
        drop(client.bindings);
        assert_eq!(client.alloc.live(), 0);
    });
}

#[test]
fn another_module_may_be_registered_inside_an_attach() {
    static NESTED: Mutex<Vec<nmr::ProviderRegistration<TestProvider>>> = Mutex::new(Vec::new());

    fn attach<'o>(
        client: &TestClient,
        offer: nmr::ProviderOffer<'o, TestClient>,
    ) -> nmr::ClientAttach<'o, TestClient> {
        if offer.peer().number == 1 {
            let nested = TestProvider {
                number: 2,
                ..TestProvider::new(provider_accepts)
            };
            NESTED.lock().unwrap().push(nested.register());
        }
        client_accepts(client, offer)
    }

    on_every_machine(|passive| {
        let provider = TestProvider::new(provider_accepts).register();
        let client = TestClient::new(attach).register();
        let nested = NESTED
            .lock()
            .unwrap()
            .pop()
            .expect("registered inside the attach");
        let bindings = client.module().bindings.lock().unwrap().clone();
        assert_eq!(bindings.len(), 2);
        assert!(bindings.iter().all(|binding| call(binding, 1) == Some(2)));
        let waiting = (client.begin_deregister(), nested.begin_deregister());
        provider.deregister(passive);
        waiting.1.wait(passive);
        waiting.0.wait(passive);
    });
}

#[test]
fn without_memory_a_registration_gives_the_module_back() {
    on_every_machine(|_| {
        let alloc = Counting::default();
        alloc.fail_nth(1);
        let module = TestClient::new(client_accepts);
        let error = nmr::ClientRegistration::register(support::passive(), module, config(1), alloc)
            .expect_err("no memory");
        assert_eq!(error.status, support::NO_MEMORY);
        assert_eq!(error.module.offers.into_inner(), 0);
        // What did not work once may work later.
        let registration = TestClient::new(client_accepts).register();
        registration.deregister(support::passive());
    });
}
