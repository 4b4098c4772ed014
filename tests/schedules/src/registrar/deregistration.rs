//! Deregistrations against attaches, against each other, and inside callbacks.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use nmr_model::{
    CallbackKind::{Attach, Cleanup, Detach},
    Event, Policy, Role,
};

use super::{
    modules::{Module, Plan},
    scene::Scene,
    trail::{Call, Trail, What},
};
use crate::{
    Subject, Witness,
    chance::{any_policy, coin, draw},
    platform::step,
};

/// A module leaves beside an offer that has not begun.
pub const LEAVING_BESIDE_AN_OFFER: Subject = Subject {
    name: "leaving-beside-an-offer",
    body: leaving_beside_an_offer,
    reaches: &[
        "a client leaves and the offer is dropped",
        "a provider leaves and the offer is dropped",
        "a client leaves and is offered a provider all the same",
        "a provider leaves and is offered all the same",
    ],
};

/// A module leaves while it is being attached.
pub const LEAVING_DURING_AN_ATTACH: Subject = Subject {
    name: "leaving-during-an-attach",
    body: leaving_during_an_attach,
    reaches: &[
        "a client's deregistration returns during its attach",
        "a provider's deregistration returns during its attach",
    ],
};

/// One module is there; its peer registers on a thread of its own while it leaves.
struct Late {
    leaver: Arc<Module>,
    newcomer: Arc<Module>,
    client: Arc<Module>,
}

fn late(scene: &Scene, attaching: fn()) -> Late {
    let plan = || Plan {
        attach: Box::new(move |side| {
            attaching();
            let status = match side.module().role {
                Role::Client => side.attach(),
                Role::Provider => 0,
            };
            attaching();
            status
        }),
        ..Plan::default()
    };
    let (client, provider) = (scene.client(plan()), scene.provider(plan()));
    let (leaver, newcomer) = if coin() {
        (Arc::clone(&client), provider)
    } else {
        (provider, Arc::clone(&client))
    };
    leaver.register();
    let other = Scene::thread(&newcomer, Module::register);
    leaver.leave();
    other.join().expect("registered");
    Late {
        leaver,
        newcomer,
        client,
    }
}

/// What holds however a leaving module and an offer meet.
fn check_late(late: &Late, trail: &Trail) {
    let met = trail.bindings();
    assert!(met.len() <= 1);
    let offered = met.first().is_some_and(|met| met.offered);
    let entered = trail.at(What::Enters(late.client.key, Attach));
    assert_eq!(offered, entered.is_some());
    // Whatever was attached was detached, and cleaned up before the wait of the leaver returned.
    let attached = usize::from(offered);
    assert_eq!(late.leaver.counts(), [attached; 3]);
    assert_eq!(late.newcomer.counts(), [attached; 3]);
    if offered {
        let waited = trail
            .at(What::Returned(late.leaver.key, Call::Wait))
            .expect("waited");
        let cleaned = trail
            .find(|what| matches!(what, What::Tells(Event::CleanedUp(_))))
            .expect("cleaned up");
        let closed = trail
            .find(|what| matches!(what, What::Tells(Event::Closed(_))))
            .expect("closed");
        for side in [&late.leaver, &late.newcomer] {
            let cleanup = trail.at(What::Leaves(side.key, Cleanup)).expect("cleaned up");
            assert!(cleanup < waited && cleanup < closed && cleanup < cleaned);
        }
    }
}

fn leaving_beside_an_offer(witness: &Arc<Witness>) {
    let policy = any_policy();
    let scene = Scene::new(witness, policy);
    let late = late(&scene, || ());
    let trail = scene.trail();
    check_late(&late, &trail);
    let left = trail
        .find(|what| matches!(what, What::Tells(Event::Deregistering(_))))
        .expect("left");
    let offer = trail.find(|what| matches!(what, What::Tells(Event::Proposed(_))));
    let dropped = trail.bindings().iter().any(|met| !met.offered);
    assert!(
        !(dropped && policy.offer_after_deregister),
        "under this policy nothing is dropped"
    );
    let is_client = late.leaver.role == Role::Client;
    if dropped {
        witness.reach(if is_client {
            "a client leaves and the offer is dropped"
        } else {
            "a provider leaves and the offer is dropped"
        });
    }
    // The registrar may tell of a step after it took the next one: only under this policy is the order that of the steps.
    if policy.offer_after_deregister && offer.is_some_and(|offer| left < offer) {
        witness.reach(if is_client {
            "a client leaves and is offered a provider all the same"
        } else {
            "a provider leaves and is offered all the same"
        });
    }
    late.newcomer.leave();
    scene.finish();
}

fn leaving_during_an_attach(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let late = late(&scene, || {
        step();
        step();
    });
    let trail = scene.trail();
    check_late(&late, &trail);
    let returned = What::Returned(late.leaver.key, Call::Deregister);
    let inside = trail.in_order(What::Enters(late.client.key, Attach), returned)
        && trail.in_order(returned, What::Leaves(late.client.key, Attach));
    if inside {
        witness.reach(match late.leaver.role {
            Role::Client => "a client's deregistration returns during its attach",
            Role::Provider => "a provider's deregistration returns during its attach",
        });
        // The attach ends, and the registering thread detaches at once, still inside its registration.
        let attached = trail.at(What::Leaves(late.client.key, Attach)).expect("attached");
        let registered = trail
            .at(What::Returned(late.newcomer.key, Call::Register))
            .expect("registered");
        for side in [&late.leaver, &late.newcomer] {
            let detach = trail.at(What::Enters(side.key, Detach)).expect("detached");
            assert!((attached..registered).contains(&detach));
            assert_eq!(trail.thread(detach), trail.thread(registered));
        }
    }
    late.newcomer.leave();
    scene.finish();
}

/// Both modules of a binding deregister at once, sometimes at `DISPATCH_LEVEL`.
pub const BOTH_DEREGISTER: Subject = Subject {
    name: "both-deregister",
    body: both_deregister,
    reaches: &[
        "both deregistrations overlap",
        "the client's deregistration detaches",
        "the provider's deregistration detaches",
        "the detach runs at DISPATCH_LEVEL",
    ],
};

fn both_deregister(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let client = scene.client(Plan::default());
    let provider = scene.provider(Plan::default());
    provider.register();
    client.register();
    let dispatch = coin();
    let other = Scene::thread(&provider, move |provider| {
        if dispatch {
            provider.deregister_at_dispatch();
        } else {
            provider.deregister();
        }
        provider.wait();
    });
    client.leave();
    other.join().expect("left");
    assert_eq!([client.counts(), provider.counts()], [[1; 3]; 2]);

    let trail = scene.trail();
    let begun = trail.all(|what| matches!(what, What::Tells(Event::Detaching(_))));
    assert_eq!(begun.len(), 1, "one of them begins the detach");
    let by = trail.thread(begun[0]);
    for (module, detaches) in [
        (&client, "the client's deregistration detaches"),
        (&provider, "the provider's deregistration detaches"),
    ] {
        let call = trail
            .at(What::Calls(module.key, Call::Deregister))
            .expect("called");
        witness.reach_if(trail.thread(call) == by, detaches);
        witness.reach_if(
            trail.thread(call) == by && dispatch && module.role == Role::Provider,
            "the detach runs at DISPATCH_LEVEL",
        );
        for side in [&client, &provider] {
            assert!(
                trail.in_order(
                    What::Leaves(side.key, Cleanup),
                    What::Returned(module.key, Call::Wait)
                ),
                "both waits return after both cleanups"
            );
        }
    }
    witness.reach_if(
        trail.overlap((client.key, Call::Deregister), (provider.key, Call::Deregister)),
        "both deregistrations overlap",
    );
    scene.finish();
}

/// A module deregisters inside one of its own callbacks.
pub const INSIDE_AN_OWN_CALLBACK: Subject = Subject {
    name: "inside-an-own-callback",
    body: inside_an_own_callback,
    reaches: &[
        "deregistered inside the own attach",
        "deregistered inside the own detach",
        "deregistered inside the own cleanup",
    ],
};

fn inside_an_own_callback(witness: &Arc<Witness>) {
    let kind = [Attach, Detach, Cleanup][usize::from(draw(3))];
    // A cleanup beside the callback would end what the callback stands in.
    let policy = Policy {
        cleanup_after_callbacks: true,
        ..any_policy()
    };
    let scene = Scene::new(witness, policy);
    let once = Arc::new(AtomicBool::new(false));
    let leaves = move |now, module: &Module| {
        if now == kind && !once.swap(true, SeqCst) {
            module.deregister();
        }
    };
    let (in_attach, in_detach, in_cleanup) = (leaves.clone(), leaves.clone(), leaves);
    let client = scene.client(Plan {
        attach: Box::new(move |side| {
            let status = side.attach();
            in_attach(Attach, &side.module());
            status
        }),
        detach: Box::new(move |side| {
            in_detach(Detach, &side.module());
            0
        }),
        cleanup: Box::new(move |side| in_cleanup(Cleanup, &side.module())),
    });
    let (first, second) = (scene.provider(Plan::default()), scene.provider(Plan::default()));
    client.register();
    first.register();
    // The second comes and the first leaves at once; in one of their callbacks the client goes.
    let other = Scene::thread(&second, Module::register);
    first.leave();
    other.join().expect("registered");
    client.wait();
    second.leave();

    let trail = scene.finish();
    let call = trail.at(What::Calls(client.key, Call::Deregister)).expect("left");
    let returned = trail
        .at(What::Returned(client.key, Call::Deregister))
        .expect("left");
    let thread = trail.thread(call);
    let of_thread = |what| {
        let all = trail.all(|entry| entry == what);
        all.into_iter()
            .filter(|place| trail.thread(*place) == thread)
            .collect::<Vec<_>>()
    };
    let entered = of_thread(What::Enters(client.key, kind))
        .into_iter()
        .rfind(|place| *place < call);
    let unwound = of_thread(What::Leaves(client.key, kind))
        .into_iter()
        .find(|place| returned < *place);
    let waited = trail.at(What::Returned(client.key, Call::Wait)).expect("waited");
    assert!(
        entered.is_some() && unwound.is_some_and(|unwound| unwound < waited),
        "the wait returns when the callback has unwound"
    );
    witness.reach(match kind {
        Attach => "deregistered inside the own attach",
        Detach => "deregistered inside the own detach",
        Cleanup => "deregistered inside the own cleanup",
    });
}

/// A module deregisters while its own registration is still offering it to its peers. It needs a registrar that writes
/// the handle before.
pub const INSIDE_THE_OWN_REGISTRATION: Subject = Subject {
    name: "inside-the-own-registration",
    body: inside_the_own_registration,
    reaches: &[
        "deregistered while the own registration offers",
        "peers that were still to be offered are dropped",
    ],
};

fn inside_the_own_registration(witness: &Arc<Witness>) {
    let policy = Policy {
        handle_before_attach: true,
        ..any_policy()
    };
    let scene = Scene::new(witness, policy);
    let once = AtomicBool::new(false);
    let client = scene.client(Plan {
        attach: Box::new(move |side| {
            let status = side.attach();
            if !once.swap(true, SeqCst) {
                side.module().deregister();
            }
            status
        }),
        ..Plan::default()
    });
    let (first, second) = (scene.provider(Plan::default()), scene.provider(Plan::default()));
    first.register();
    let other = Scene::thread(&second, Module::register);
    client.register();
    // It may be the other thread that offers first, and in whose callback the client goes.
    other.join().expect("registered");
    client.wait();
    let trail = scene.trail();
    let call = What::Calls(client.key, Call::Deregister);
    witness.reach_if(
        trail.in_order(call, What::Returned(client.key, Call::Register)),
        "deregistered while the own registration offers",
    );
    witness.reach_if(
        trail.bindings().iter().any(|met| !met.offered),
        "peers that were still to be offered are dropped",
    );
    for provider in [&first, &second] {
        provider.leave();
    }
    let trail = scene.finish();
    let waited = trail.at(What::Returned(client.key, Call::Wait)).expect("waited");
    let last = trail
        .all(|what| matches!(what, What::Leaves(key, _) if key == client.key))
        .pop();
    assert!(last < Some(waited), "no callback runs after the wait");
}

/// A cleanup callback deregisters another module: no lock is held around it.
pub const INSIDE_A_PEERS_CLEANUP: Subject = Subject {
    name: "inside-a-cleanup",
    body: inside_a_cleanup,
    reaches: &[
        "deregistered inside the cleanup of another module",
        "the peer of both leaves meanwhile",
    ],
};

fn inside_a_cleanup(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let next: Arc<OnceLock<Arc<Module>>> = Arc::default();
    let follower = Arc::clone(&next);
    let client = scene.client(Plan {
        cleanup: Box::new(move |_| follower.get().expect("set before").deregister()),
        ..Plan::default()
    });
    let other = scene.client(Plan::default());
    assert!(next.set(Arc::clone(&other)).is_ok());
    let provider = scene.provider(Plan::default());
    for module in [&provider, &client, &other] {
        module.register();
    }
    let leaving = Scene::thread(&provider, Module::leave);
    client.leave();
    other.wait();
    leaving.join().expect("left");
    drop(next);
    for module in [&client, &other] {
        assert_eq!(module.counts(), [1; 3]);
    }
    let trail = scene.trail();
    let call = trail.at(What::Calls(other.key, Call::Deregister)).expect("left");
    let cleanup = trail.at(What::Enters(client.key, Cleanup)).expect("cleaned up");
    assert_eq!(trail.thread(call), trail.thread(cleanup));
    witness.reach("deregistered inside the cleanup of another module");
    witness.reach_if(
        trail.overlap((other.key, Call::Deregister), (provider.key, Call::Deregister)),
        "the peer of both leaves meanwhile",
    );
    scene.finish();
}
