//! Rules 9 to 22: attach.

use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst},
    },
};

use nmr::raw::NPI_REGISTRATION_INSTANCE;
use nmr_model::Policy;
use nt_sim::Rule;

use crate::fixture::{
    Lab, Module, NO_MEMORY, NOINTERFACE, PENDING, PushLock, SUCCESS, at_dispatch_level, attach_provider,
    free, in_driver, nmr,
};

#[test]
fn rule_09_a_client_attaches_in_its_callback_on_its_thread_at_passive_level() {
    let lab = Lab::new();
    let machine = lab.machine.clone();
    let client = Module::client().registered(|client| {
        client.attach = Box::new(move |offer| {
            let (machine, binding) = (machine.clone(), AtomicPtr::new(offer.binding));
            let elsewhere = std::thread::spawn(move || {
                let _entered = machine.enter();
                attach_provider(binding.load(SeqCst), ptr::null_mut(), ptr::null())
            });
            assert!(elsewhere.join().unwrap() < 0);
            at_dispatch_level(|| offer.attach())
        });
    });
    let provider = Module::provider().registered(|_| {});
    in_driver(&client.driver, "system thread", || {
        assert!(attach_provider(client.binding.load(SeqCst), ptr::null_mut(), ptr::null()) < 0);
    });
    client.leave();
    provider.leave();
    lab.expect([nmr(9); 3]);
}

#[test]
fn rule_10_a_client_does_not_attach_again_after_success() {
    let lab = Lab::new();
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| {
            let status = offer.attach();
            assert!(attach_provider(offer.binding, ptr::null_mut(), ptr::null()) < 0);
            status
        });
    });
    let provider = Module::provider().registered(|_| {});
    client.leave();
    provider.leave();
    lab.expect([nmr(10)]);
}

#[test]
fn rule_10_a_client_may_attach_again_after_failure() {
    let lab = Lab::new();
    let tries = AtomicUsize::new(0);
    let provider = Module::provider().registered(|provider| {
        provider.attach = Box::new(move |offer| match tries.fetch_add(1, SeqCst) {
            0 => NOINTERFACE,
            _ => offer.accept(),
        });
    });
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| match offer.attach() {
            NOINTERFACE => offer.attach(),
            other => other,
        });
    });
    client.leave();
    provider.leave();
    lab.unload(&client);
    lab.expect([]);
}

#[test]
fn rule_11_a_client_attaches_with_the_binding_handle_of_the_proposal() {
    let lab = Lab::new();
    let providers = [(); 2].map(|()| Module::provider().registered(|_| {}));
    let earlier = AtomicPtr::default();
    let client = Module::client().registered(|client| {
        client.attach = Box::new(move |offer| {
            let other: nmr::raw::HANDLE = earlier.swap(offer.binding, SeqCst);
            if !other.is_null() {
                assert!(attach_provider(other, ptr::null_mut(), ptr::null()) < 0);
            }
            offer.attach()
        });
    });
    in_driver(&client.driver, "system thread", || {
        for wrong in [client.handle(), providers[0].binding.load(SeqCst)] {
            assert!(attach_provider(wrong, ptr::null_mut(), ptr::null()) < 0);
        }
    });
    client.leave();
    for provider in &providers {
        provider.leave();
    }
    lab.expect([nmr(11); 3]);
}

#[test]
fn rule_12_a_client_does_not_succeed_without_attaching() {
    let lab = Lab::new();
    let provider = Module::provider().registered(|_| {});
    let client = Module::client().registered(|client| client.attach = Box::new(|_| SUCCESS));
    client.leave();
    provider.leave();
    lab.expect([nmr(12)]);
}

#[test]
fn rule_12_a_client_does_not_fail_after_it_has_attached() {
    let lab = Lab::new();
    let provider = Module::provider().registered(|_| {});
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| {
            assert_eq!(offer.attach(), SUCCESS);
            NO_MEMORY
        });
    });
    client.leave();
    provider.leave();
    lab.expect([nmr(12)]);
}

#[test]
fn rule_12_a_client_that_declines_a_healthy_peer_says_no_interface() {
    let lab = Lab::new();
    let provider = Module::provider().registered(|_| {});
    let client = Module::client().registered(|client| client.attach = Box::new(|_| NO_MEMORY));
    client.leave();
    provider.leave();
    assert!(lab.expect([nmr(12)])[0].is_advice());
}

#[test]
fn rule_13_an_attach_is_never_pending() {
    let lab = Lab::new();
    let provider = Module::provider().registered(|provider| {
        provider.attach = Box::new(|offer| {
            offer.accept();
            PENDING
        });
    });
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| {
            let context = offer.module.new_context(offer.binding);
            offer.attach_with(context.cast())
        });
    });
    client.leave();
    provider.leave();
    // The provider's, and the client's who passes it on.
    lab.expect([nmr(13); 2]);
}

#[test]
fn rule_14_a_provider_that_accepts_writes_both_outputs() {
    let lab = Lab::new();
    let provider = Module::provider().registered(|provider| provider.attach = Box::new(|_| SUCCESS));
    let client = Module::client().registered(|_| {});
    client.leave();
    provider.leave();
    lab.expect([nmr(14)]);
}

#[test]
fn rule_17_the_context_of_a_failed_attach_is_freed_by_the_client() {
    let lab = Lab::new();
    let provider = Module::provider().registered(|provider| provider.attach = Box::new(|_| NOINTERFACE));
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| {
            let context = offer.module.new_context(offer.binding);
            offer.attach_with(context.cast())
        });
    });
    client.leave();
    provider.leave();
    lab.unload(&client);
    lab.expect([nmr(17), Rule::PoolLeak]);
}

#[test]
fn rule_17_the_context_of_a_failed_attach_is_not_touched_after_that() {
    let lab = Lab::new();
    let provider = Module::provider().registered(|provider| provider.attach = Box::new(|_| NOINTERFACE));
    let client = Module::client().registered(|_| {});
    client.leave();
    provider.leave();
    // SAFETY: the verifier keeps freed pool; wrong on purpose.
    unsafe { client.context.load(SeqCst).cast::<u8>().write(1) };
    lab.expect([nmr(17)]);
}

#[test]
fn rule_18_each_live_binding_has_a_context_of_its_own() {
    let lab = Lab::new();
    let providers = [(); 2].map(|()| Module::provider().registered(|_| {}));
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| {
            let shared = offer.module.context.load(SeqCst);
            if shared.is_null() {
                return offer.attach();
            }
            offer.attach_with(shared.cast())
        });
        client.cleanup = Some(Box::new(|side| {
            if side.module.cleaned.load(SeqCst) == 2 {
                side.free();
            }
        }));
    });
    client.leave();
    for provider in &providers {
        provider.leave();
    }
    lab.expect([nmr(18)]);
}

#[test]
fn rule_19_contexts_in_pool_need_a_cleanup_callback() {
    let lab = Lab::new();
    let provider = Module::provider().registered(|_| {});
    let client = Module::client().registered(|client| client.cleanup = None);
    client.leave();
    provider.leave();
    in_driver(&client.driver, "EvtDriverUnload", || {
        free(client.context.load(SeqCst).cast());
    });
    lab.expect([nmr(19)]);
}

#[test]
fn rule_20_the_instance_of_a_peer_is_not_used_after_that_peer_is_gone() {
    let lab = Lab::new();
    let provider = Module::provider().registered(|_| {});
    let kept = Arc::new(AtomicPtr::default());
    let keep = Arc::clone(&kept);
    let client = Module::client().registered(|client| {
        client.attach = Box::new(move |offer| {
            keep.store(offer.peer.cast_mut(), SeqCst);
            offer.attach()
        });
    });
    let peer: *mut NPI_REGISTRATION_INSTANCE = kept.load(SeqCst);
    // SAFETY: the provider is registered.
    assert_eq!(unsafe { (*peer).Version }, 0);
    provider.leave();
    // SAFETY: the verifier keeps the memory; wrong on purpose.
    let read = unsafe { (*peer).Version };
    assert_eq!(read, 0xDDDD, "what a pointer that was kept leads to");
    // SAFETY: as above.
    unsafe { (*peer).Number = 1 };
    client.leave();
    lab.expect([nmr(20)]);
}

#[test]
fn rule_21_no_lock_is_held_across_the_attach_that_detach_takes() {
    static LOCK: PushLock = PushLock::new();
    let lab = Lab::new();
    let provider = Module::provider().registered(|_| {});
    let client = Module::client().registered(|client| {
        client.attach = Box::new(|offer| LOCK.with(|| offer.attach()));
        client.detach = Box::new(|_| LOCK.with(|| SUCCESS));
    });
    client.leave();
    provider.leave();
    // A push lock is not for a detach callback at all.
    lab.expect([nmr(21), nmr(35)]);
}

#[test]
fn rule_22_the_registration_handle_is_not_used_in_an_attach_callback() {
    for handle_before_attach in [false, true] {
        let lab = Lab::with(Policy {
            handle_before_attach,
            ..Policy::default()
        });
        let provider = Module::provider().registered(|_| {});
        let mut client = Module::client();
        client.attach = Box::new(move |offer| {
            // Whether the handle is there is up to the registrar.
            assert_eq!(offer.module.deregister_here() == PENDING, handle_before_attach);
            offer.attach()
        });
        in_driver(&client.driver, "DriverEntry", || {
            assert_eq!(client.register_at(client.handle_storage()), SUCCESS);
        });
        if handle_before_attach {
            assert_eq!(client.wait(), SUCCESS);
        } else {
            client.leave();
        }
        provider.leave();
        lab.expect([nmr(22)]);
    }
}
