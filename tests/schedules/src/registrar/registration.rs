//! Registrations beside each other: each pair meets exactly once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use nmr_model::{CallbackKind::Attach, Event, Role};

use super::{
    modules::{INSUFFICIENT_RESOURCES, Module, NOINTERFACE, Plan, SUCCESS, UNTOUCHED},
    scene::Scene,
    trail::{Call, What},
};
use crate::{Subject, Witness};

/// A client and a provider register at once.
pub const BOTH_REGISTER: Subject = Subject {
    name: "both-register",
    body: both_register,
    reaches: &[
        "both registrations overlap",
        "the client's registration offers",
        "the provider's registration offers",
        "a registration returns before its peer's has offered",
    ],
};

fn both_register(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let client = scene.client(Plan::default());
    let provider = scene.provider(Plan::default());
    let other = Scene::thread(&provider, Module::register);
    client.register();
    other.join().expect("registered");
    assert_eq!([client.counts(), provider.counts()], [[1, 0, 0]; 2]);

    let trail = scene.trail();
    witness.reach_if(
        trail.overlap((client.key, Call::Register), (provider.key, Call::Register)),
        "both registrations overlap",
    );
    let offered = trail.at(What::Enters(client.key, Attach)).expect("offered");
    for (module, offers) in [
        (&client, "the client's registration offers"),
        (&provider, "the provider's registration offers"),
    ] {
        let registers = trail.at(What::Calls(module.key, Call::Register)).expect("called");
        let returned = trail.at(What::Returned(module.key, Call::Register));
        if trail.thread(registers) == trail.thread(offered) {
            witness.reach(offers);
        } else {
            witness.reach_if(
                returned.is_some_and(|returned| returned < offered),
                "a registration returns before its peer's has offered",
            );
        }
    }
    client.leave();
    provider.leave();
    let trail = scene.finish();
    assert_eq!(trail.bindings().len(), 1, "a pair meets once");
}

/// Two clients and three providers, one of them choosy, register at once.
pub const MANY_PAIRS: Subject = Subject {
    name: "many-pairs",
    body: many_pairs,
    reaches: &["two registrations overlap", "two offers overlap"],
};

fn many_pairs(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let mut modules = vec![scene.client(Plan::default()), scene.client(Plan::default())];
    let choosy = Arc::new(AtomicBool::new(false));
    for choice in [None, Some(choosy), None] {
        modules.push(scene.provider(Plan {
            attach: Box::new(move |_| match &choice {
                // The first that comes, and nobody else.
                Some(taken) if taken.swap(true, SeqCst) => NOINTERFACE,
                _ => SUCCESS,
            }),
            ..Plan::default()
        }));
    }
    let threads: Vec<_> = modules
        .iter()
        .map(|module| Scene::thread(module, Module::register))
        .collect();
    for thread in threads {
        thread.join().expect("registered");
    }
    let trail = scene.trail();
    let met = trail.bindings();
    assert_eq!(met.len(), 6, "each of two clients meets each of three providers");
    assert_eq!(
        trail
            .all(|what| matches!(what, What::Tells(Event::Attached(_))))
            .len(),
        5
    );
    for module in &modules {
        // One after another on the registering thread, in the order in which the peers registered.
        let registers = trail.at(What::Calls(module.key, Call::Register)).expect("called");
        let own: Vec<_> = met
            .iter()
            .filter(|met| met.thread == trail.thread(registers))
            .map(|met| match module.role {
                Role::Client => met.modules.1,
                Role::Provider => met.modules.0,
            })
            .collect();
        assert!(
            own.is_sorted(),
            "offers come in the order of registration: {own:?}"
        );
    }
    for one in &modules {
        for other in modules.iter().filter(|other| other.key > one.key) {
            let calls = ((one.key, Call::Register), (other.key, Call::Register));
            witness.reach_if(trail.overlap(calls.0, calls.1), "two registrations overlap");
        }
    }
    let entries = trail.all(|what| matches!(what, What::Enters(key, Attach) if key <= 2));
    let exits = trail.all(|what| matches!(what, What::Leaves(key, Attach) if key <= 2));
    let nested = entries
        .windows(2)
        .any(|pair| !exits.iter().any(|exit| (pair[0]..pair[1]).contains(exit)));
    witness.reach_if(nested, "two offers overlap");

    let threads: Vec<_> = modules
        .iter()
        .map(|module| Scene::thread(module, Module::leave))
        .collect();
    for thread in threads {
        thread.join().expect("left");
    }
    let trail = scene.finish();
    assert_eq!(
        trail
            .all(|what| matches!(what, What::Tells(Event::CleanedUp(_))))
            .len(),
        5
    );
}

/// A registration fails for lack of memory while a peer registers.
pub const FAILING_REGISTRATION: Subject = Subject {
    name: "failing-registration",
    body: failing_registration,
    reaches: &["a registration fails while its peer registers"],
};

fn failing_registration(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let client = scene.client(Plan::default());
    let provider = scene.provider(Plan::default());
    scene.log().fail(Some(client.key));
    let other = Scene::thread(&provider, Module::register);
    assert_eq!(client.try_register(), INSUFFICIENT_RESOURCES);
    assert_eq!(client.handle(), UNTOUCHED, "the output is not written");
    other.join().expect("registered");
    let trail = scene.trail();
    witness.reach_if(
        trail.overlap((client.key, Call::Register), (provider.key, Call::Register)),
        "a registration fails while its peer registers",
    );
    assert!(trail.bindings().is_empty() && client.shown().is_empty() && provider.shown().is_empty());
    // It may be tried again, with the same characteristics.
    scene.log().fail(None);
    client.register();
    assert_eq!([client.counts(), provider.counts()], [[1, 0, 0]; 2]);
    provider.leave();
    client.leave();
    scene.finish();
}

/// A provider leaves and registers again with the same characteristics, while a second client registers.
pub const RE_REGISTRATION: Subject = Subject {
    name: "re-registration",
    body: re_registration,
    reaches: &[
        "a peer registers beside the deregistration",
        "a peer registers beside the second registration",
        "a peer meets both registrations",
        "a peer meets the second registration only",
    ],
};

fn re_registration(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let client = scene.client(Plan::default());
    let late = scene.client(Plan::default());
    let provider = scene.provider(Plan::default());
    client.register();
    provider.register();
    let first = provider.handle();
    let other = Scene::thread(&late, Module::register);
    provider.leave();
    provider.register();
    other.join().expect("registered");
    assert_ne!(provider.handle(), first, "a registration is a new module");

    let trail = scene.trail();
    let of = |key| {
        trail
            .bindings()
            .into_iter()
            .filter(move |met| met.client == key)
            .count()
    };
    assert_eq!(
        of(client.key),
        2,
        "the peer that stayed is offered both registrations"
    );
    assert!((1..=2).contains(&of(late.key)));
    witness.reach_if(of(late.key) == 2, "a peer meets both registrations");
    witness.reach_if(of(late.key) == 1, "a peer meets the second registration only");
    assert_eq!(client.counts(), [2, 1, 1]);
    let again = trail
        .all(|what| what == What::Calls(provider.key, Call::Register))
        .pop()
        .expect("called");
    let (begin, end) = (
        trail.at(What::Calls(late.key, Call::Register)).expect("called"),
        trail
            .at(What::Returned(late.key, Call::Register))
            .expect("returned"),
    );
    witness.reach_if(
        trail.overlap((late.key, Call::Register), (provider.key, Call::Deregister)),
        "a peer registers beside the deregistration",
    );
    witness.reach_if(
        (begin..end).contains(&again),
        "a peer registers beside the second registration",
    );
    for module in [&client, &late, &provider] {
        module.leave();
    }
    scene.finish();
}

/// A pair whose provider declined meets again when the provider registers again, and once.
pub const REJECTED_AND_OFFERED_AGAIN: Subject = Subject {
    name: "rejected-and-offered-again",
    body: rejected_and_offered_again,
    reaches: &["another peer comes in between"],
};

fn rejected_and_offered_again(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let client = scene.client(Plan::default());
    let late = scene.client(Plan::default());
    let declines = Arc::new(AtomicBool::new(true));
    let willing = Arc::clone(&declines);
    let provider = scene.provider(Plan {
        attach: Box::new(move |_| {
            if declines.load(SeqCst) {
                NOINTERFACE
            } else {
                SUCCESS
            }
        }),
        ..Plan::default()
    });
    client.register();
    provider.register();
    assert_eq!([client.counts(), provider.counts()], [[0; 3]; 2]);
    let other = Scene::thread(&late, Module::register);
    provider.leave();
    willing.store(false, SeqCst);
    provider.register();
    other.join().expect("registered");
    assert_eq!(client.counts(), [1, 0, 0], "offered again, and accepted");
    assert_eq!(late.counts()[0], 1);
    let trail = scene.trail();
    let of = |key| {
        trail
            .bindings()
            .into_iter()
            .filter(move |met| met.client == key)
            .count()
    };
    assert_eq!(of(client.key), 2, "offered once to each registration");
    witness.reach_if(
        trail.overlap((late.key, Call::Register), (provider.key, Call::Deregister)),
        "another peer comes in between",
    );
    for module in [&client, &late, &provider] {
        module.leave();
    }
    scene.finish();
}
