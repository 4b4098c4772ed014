//! Rules 15, 16, 23 to 28 and 39: the calls that modules make into each other, seen by a probe.

use std::{
    ffi::c_void,
    mem::MaybeUninit,
    ptr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering::SeqCst},
        mpsc,
    },
};

use nmr_model::{Event, Role};
use nt_sim::{
    _EVENT_TYPE::NotificationEvent,
    Finding, KEVENT, Machine, Rule,
    nmr::probe::Guid,
    ntddk::{KeInitializeEvent, KeLowerIrql, KeRaiseIrqlToDpcLevel, KeSetEvent},
    thread::irql,
    trace::Kind,
};

use crate::fixture::{
    Context, Lab, Module, NOINTERFACE, PENDING, POSSIBLE_DEADLOCK, SUCCESS, Side, in_driver, nmr,
};

/// Runs what the caller gives it, and says that it did.
type Run = unsafe extern "system" fn(binding: *mut c_void, work: *const Work) -> u32;

/// What happens inside a call.
struct Work(Box<dyn Fn()>);

#[derive(Clone, Copy)]
#[repr(C)]
struct ProviderTable {
    run: Run,
    /// Takes down what was set up.
    close: Option<Run>,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct ClientTable {
    tell: Option<unsafe extern "system" fn(binding: *mut c_void)>,
}

nt_sim::shadow_tables! {
    struct TestProbe {
        npi: crate::fixture::NPI,
        irql: irql::APC,
        teardown: [close],
    }
    provider: ProviderTable {
        run(work: *const Work) -> u32 = 0;
        close(work: *const Work) -> u32 = 0;
    }
    client: ClientTable {
        tell();
    }
}

static PROVIDER: ProviderTable = ProviderTable {
    run,
    close: Some(run),
};

static CLIENT: ClientTable = ClientTable { tell: Some(tell) };

/// A client whose function uses an event.
static WAKING_CLIENT: ClientTable = ClientTable { tell: Some(wake) };

unsafe extern "system" fn run(_: *mut c_void, work: *const Work) -> u32 {
    // SAFETY: the caller keeps it for as long as the call.
    (unsafe { &*work }.0)();
    1
}

const unsafe extern "system" fn tell(_: *mut c_void) {}

unsafe extern "system" fn wake(_: *mut c_void) {
    // SAFETY: room for an event, whether it was initialised or not.
    unsafe { KeSetEvent(EVENT.load(SeqCst), 0, 0) };
}

/// The event of the client that is woken.
static EVENT: AtomicPtr<KEVENT> = AtomicPtr::new(ptr::null_mut());

/// What a side knows of its peer.
#[derive(Clone, Copy)]
struct Peer {
    context: *mut c_void,
    dispatch: *const c_void,
}

// SAFETY: tests use it on other threads while the binding is there, or to be caught.
unsafe impl Send for Peer {}
// SAFETY: as above.
unsafe impl Sync for Peer {}

impl Peer {
    /// The peer of the last binding of a module.
    fn of(module: &Module) -> Self {
        Self::in_context(module.context.load(SeqCst))
    }

    const fn in_context(context: *const Context) -> Self {
        // SAFETY: the binding is there.
        let context = unsafe { &*context };
        Self {
            context: context.peer,
            dispatch: context.peer_dispatch,
        }
    }

    const fn provider(&self) -> &ProviderTable {
        // SAFETY: a provider's table, or the probe's in its place, which stays after the binding.
        unsafe { &*self.dispatch.cast() }
    }

    /// Calls the provider; whether it was reached.
    fn run(&self, work: impl Fn() + 'static) -> bool {
        let work = Work(Box::new(work));
        // SAFETY: as the interface says, or to be caught.
        unsafe { (self.provider().run)(self.context, &raw const work) == 1 }
    }

    /// Calls the provider to take down; whether it was reached.
    fn close(&self) -> bool {
        let work = Work(Box::new(|| {}));
        let close = self.provider().close.unwrap();
        // SAFETY: as above.
        unsafe { close(self.context, &raw const work) == 1 }
    }

    /// Calls the client.
    fn tell(&self) {
        // SAFETY: a client's table, or the probe's in its place.
        let table = unsafe { &*self.dispatch.cast::<ClientTable>() };
        // SAFETY: as the interface says, or to be caught.
        unsafe { (table.tell.unwrap())(self.context) };
    }
}

fn lab() -> Lab {
    Lab::on(Machine::builder().probe(TestProbe))
}

fn client(change: impl FnOnce(&mut Module)) -> Box<Module> {
    Module::client().registered(|module| {
        module.dispatch = ptr::from_ref(&CLIENT).cast();
        change(module);
    })
}

fn provider(change: impl FnOnce(&mut Module)) -> Box<Module> {
    Module::provider().registered(|module| {
        module.dispatch = ptr::from_ref(&PROVIDER).cast();
        change(module);
    })
}

/// Calls the provider in a routine of the client's driver that begins now.
fn call_later(client: &Module, peer: Peer) -> bool {
    in_driver(&client.driver, "EvtIoDeviceControl", || peer.run(|| {}))
}

#[test]
fn calls_between_attach_and_detach_give_no_finding() {
    let lab = lab();
    let provider = provider(|_| {});
    let client = client(|_| {});
    assert!(call_later(&client, Peer::of(&client)));
    Peer::of(&provider).tell();
    client.leave();
    provider.leave();
    lab.expect([]);
}

#[test]
fn without_a_probe_the_report_says_which_rules_are_off() {
    let off = |lab: Lab| -> Vec<u8> {
        let report = lab.end();
        report
            .unchecked
            .iter()
            .map(|unchecked| unchecked.rule.number())
            .collect()
    };
    let rules = [15, 16, 23, 24, 25, 26, 27, 28, 39];
    let without = off(Lab::new());
    assert!(rules.iter().all(|rule| without.contains(rule)), "{without:?}");
    let with = off(lab());
    assert!(!rules.iter().any(|rule| with.contains(rule)), "{with:?}");
}

#[test]
fn rule_15_nobody_is_called_before_the_attach_has_succeeded() {
    let lab = lab();
    let provider = provider(|module| {
        module.attach = Box::new(|offer| {
            let client = Peer {
                context: offer.peer_context,
                dispatch: offer.peer_dispatch,
            };
            client.tell();
            offer.accept()
        });
    });
    let client = client(|_| {});
    client.leave();
    provider.leave();
    lab.expect([nmr(15)]);
}

#[test]
fn rule_15_a_client_that_is_not_accepted_is_not_called_on_another_thread_either() {
    for accepts in [false, true] {
        let lab = lab();
        let machine = lab.machine.clone();
        let provider = provider(move |module| {
            module.attach = Box::new(move |offer| {
                let (driver, machine) = (offer.module.driver.clone(), machine.clone());
                let [context, dispatch] =
                    [offer.peer_context.addr(), offer.peer_dispatch.expose_provenance()];
                let caller = std::thread::spawn(move || {
                    let _entered = machine.enter();
                    let client = Peer {
                        context: ptr::without_provenance_mut(context),
                        dispatch: ptr::with_exposed_provenance(dispatch),
                    };
                    in_driver(&driver, "system thread", || client.tell());
                });
                caller.join().unwrap();
                if accepts { offer.accept() } else { NOINTERFACE }
            });
        });
        let client = client(|_| {});
        client.leave();
        provider.leave();
        if accepts {
            lab.expect([]);
        } else {
            lab.expect([nmr(15)]);
        }
    }
}

#[test]
fn rule_16_a_client_is_ready_when_it_attaches() {
    let lab = lab();
    let room: &'static mut MaybeUninit<KEVENT> = Box::leak(Box::new(MaybeUninit::zeroed()));
    EVENT.store(room.as_mut_ptr(), SeqCst);
    let provider = Arc::new(provider(|_| {}));
    let calling = Arc::clone(&provider);
    // A provider that calls at once: as soon as it has accepted, on another thread, and before
    // NmrClientAttachProvider returns.
    let (go, accepted) = mpsc::channel::<()>();
    let (report, done) = mpsc::channel::<()>();
    let machine = lab.machine.clone();
    let caller = std::thread::spawn(move || {
        accepted.recv().unwrap();
        let entered = machine.enter();
        in_driver(&calling.driver, "system thread", || Peer::of(&calling).tell());
        drop(entered);
        report.send(()).unwrap();
    });
    let done = std::sync::Mutex::new(done);
    lab.machine.trace().subscribe(Arc::new(move |event| {
        if matches!(&event.kind, Kind::Nmr(step) if matches!(step.event, Event::Accepted(_))) {
            go.send(()).unwrap();
            done.lock().unwrap().recv().unwrap();
        }
    }));
    let client = client(|module| {
        module.dispatch = ptr::from_ref(&WAKING_CLIENT).cast();
        module.attach = Box::new(|offer| {
            let status = offer.attach();
            // Too late: the provider may have called.
            // SAFETY: room for an event.
            unsafe { KeInitializeEvent(EVENT.load(SeqCst), NotificationEvent, 0) };
            status
        });
    });
    caller.join().unwrap();
    client.leave();
    provider.leave();
    lab.expect([Rule::BadObject, nmr(16)]);
}

#[test]
fn rule_23_no_new_call_after_the_detach_callback_was_entered() {
    let lab = lab();
    let provider = provider(|_| {});
    let client = client(|module| {
        module.detach = Box::new(|side| {
            assert!(Peer::in_context(side.context).run(|| {}), "the call goes on");
            PENDING
        });
    });
    provider.deregister();
    // An operation that begins when the detach is under way.
    assert!(call_later(&client, Peer::of(&client)));
    client.complete();
    provider.wait();
    client.leave();
    let findings = lab.expect([nmr(23), nmr(23)]);
    assert!(findings.iter().all(|finding: &Finding| finding.since.is_some()));
}

#[test]
fn rule_23_calls_that_take_down_are_made_until_the_detach_is_reported() {
    let lab = lab();
    let provider = provider(|_| {});
    let client = client(|module| module.detach = Box::new(|_| PENDING));
    let peer = Peer::of(&client);
    provider.deregister();
    assert!(in_driver(&client.driver, "system thread", || peer.close()));
    client.complete();
    provider.wait();
    client.leave();
    assert!(!peer.close());
    lab.expect([nmr(28)]);
}

#[test]
fn rule_24_no_call_after_the_detach_was_reported() {
    let lab = lab();
    // The provider's side keeps the binding alive.
    let provider = provider(|module| module.detach = Box::new(|_| PENDING));
    let client = client(|_| {});
    provider.deregister();
    assert!(!call_later(&client, Peer::of(&client)), "the call does not go on");
    provider.complete();
    provider.wait();
    client.leave();
    lab.expect([nmr(24)]);
}

#[test]
fn rule_25_a_detach_is_not_reported_with_own_calls_in_flight() {
    let lab = lab();
    let provider = Rc::new(provider(|_| {}));
    let client = client(|_| {});
    let called = Rc::clone(&provider);
    let reached = Peer::of(&client).run(move || {
        called.deregister();
    });
    assert!(reached);
    provider.wait();
    client.leave();
    lab.expect([nmr(25)]);
}

#[test]
fn rule_25_a_call_in_flight_makes_the_detach_pending() {
    let lab = lab();
    let provider = Rc::new(provider(|_| {}));
    let client = client(|module| module.detach = Box::new(|_| PENDING));
    let called = Rc::clone(&provider);
    Peer::of(&client).run(move || {
        called.deregister();
    });
    client.complete();
    provider.wait();
    client.leave();
    lab.expect([]);
}

#[test]
fn rule_26_a_detach_is_not_pending_for_nothing() {
    let lab = lab();
    let provider = provider(|_| {});
    let _client = client(|module| module.detach = Box::new(|_| PENDING));
    provider.deregister();
    // Nobody waits, as the wait would never end.
    lab.expect([nmr(26), nmr(29)]);
}

#[test]
fn rule_27_a_call_passes_the_context_of_this_binding() {
    let lab = lab();
    let providers = [provider(|_| {}), provider(|_| {})];
    let client = client(|_| {});
    let [first, second] = providers
        .each_ref()
        .map(|provider| provider.context.load(SeqCst).cast());
    let peer = Peer::of(&client);
    let wrong = if peer.context == first { second } else { first };
    for context in [wrong, ptr::null_mut(), client.context.load(SeqCst).cast()] {
        assert!(!Peer { context, ..peer }.run(|| {}), "the call does not go on");
    }
    client.leave();
    for provider in providers {
        provider.leave();
    }
    lab.expect([nmr(27); 3]);
}

#[test]
fn rule_28_no_call_into_a_module_that_has_deregistered() {
    let lab = lab();
    let provider = provider(|_| {});
    let client = client(|_| {});
    let peer = Peer::of(&client);
    provider.leave();
    assert!(!call_later(&client, peer), "the call does not go on");
    client.leave();
    lab.expect([nmr(28)]);
}

#[test]
fn rule_39_a_cleanup_callback_does_not_call_the_peer() {
    let lab = lab();
    let provider = provider(|_| {});
    let client = client(|module| {
        module.cleanup = Some(Box::new(|side: &Side| {
            assert!(
                !Peer::in_context(side.context).run(|| {}),
                "the call does not go on"
            );
            side.free();
        }));
    });
    client.leave();
    provider.leave();
    lab.expect([nmr(39)]);
}

/// In `unload.rs` is what is seen without a probe.
#[test]
fn rule_43_a_module_is_not_waited_for_in_a_call_that_its_drain_waits_for() {
    for leaves in [Role::Client, Role::Provider] {
        let lab = lab();
        let provider: &'static Module = Box::leak(provider(|module| module.detach = Box::new(|_| SUCCESS)));
        // The call is in flight when the client's detach begins, and is told the end of when it has returned.
        let client: &'static Module = Box::leak(client(|module| module.detach = Box::new(|_| PENDING)));
        let leaver = if leaves == Role::Client { client } else { provider };
        in_driver(&client.driver, "EvtIoDeviceControl", || {
            let reached = Peer::of(client).run(move || {
                assert_eq!(leaver.deregister_here(), PENDING);
                assert_eq!(leaver.wait_here(), POSSIBLE_DEADLOCK, "the wait is ended");
            });
            assert!(reached);
            client.complete();
        });
        assert_eq!(leaver.wait(), SUCCESS, "out of the call");
        let stays = if leaves == Role::Client { provider } else { client };
        stays.leave();
        lab.expect([nmr(43)]);
    }
}

/// Only the calls of the module that is waited for matter.
#[test]
fn rule_43_another_module_may_be_waited_for_in_a_call() {
    let lab = lab();
    let provider = provider(|_| {});
    let client = client(|_| {});
    let other: &'static Module = Box::leak(Module::provider().registered(|module| {
        // Of another interface, so that the client is not attached to it.
        module.npi = Guid::new(0x6C0F_FEE1, 1, 2, [3; 8]);
    }));
    in_driver(&client.driver, "EvtIoDeviceControl", || {
        assert!(Peer::of(&client).run(|| {
            assert_eq!(other.deregister_here(), PENDING);
            assert_eq!(other.wait_here(), SUCCESS);
        }));
    });
    client.leave();
    provider.leave();
    lab.expect([]);
}

#[test]
fn entries_are_called_at_the_irql_that_the_interface_allows() {
    let lab = lab();
    let provider = provider(|_| {});
    let client = client(|_| {});
    let peer = Peer::of(&client);
    in_driver(&client.driver, "system thread", || {
        // SAFETY: has no conditions.
        let before = unsafe { KeRaiseIrqlToDpcLevel() };
        peer.run(|| {});
        // SAFETY: raised above.
        unsafe { KeLowerIrql(before) };
    });
    client.leave();
    provider.leave();
    lab.expect([Rule::IrqlTooHigh]);
}
