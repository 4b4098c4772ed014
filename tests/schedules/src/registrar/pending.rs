//! Detaches that end later: completions against each other, against the return of the callback, and against a
//! deregistration that is still detaching others.

use std::sync::Arc;

use nmr_model::{
    CallbackKind::{Cleanup, Detach},
    Event, Role,
};

use super::{
    modules::{Module, PENDING, Plan, SUCCESS},
    scene::{Scene, Workers},
    trail::{Call, What},
};
use crate::{
    Subject, Witness,
    chance::{any_policy, coin, draw},
    platform::step,
};

/// Answers `STATUS_PENDING`; a thread that the callback starts completes, when it gets to run: before the callback
/// returns, or after.
fn pends(workers: Arc<Workers>) -> Plan {
    Plan {
        detach: Box::new(move |side| {
            let side = Arc::clone(side);
            workers.spawn(move || side.complete());
            for _ in 0..draw(8) {
                step();
            }
            PENDING
        }),
        ..Plan::default()
    }
}

fn plan(workers: &Arc<Workers>, pending: bool) -> Plan {
    if pending {
        pends(Arc::clone(workers))
    } else {
        Plan {
            detach: Box::new(|_| SUCCESS),
            ..Plan::default()
        }
    }
}

/// Sides that pend, in every combination and order.
pub const COMPLETIONS: Subject = Subject {
    name: "completions",
    body: completions,
    reaches: &[
        "the client pends, the provider succeeds",
        "the provider pends, the client succeeds",
        "both pend, the client completes first",
        "both pend, the provider completes first",
        "both complete at once",
        "the second completer cleans up",
    ],
};

fn completions(witness: &Arc<Witness>) {
    let policy = any_policy();
    let scene = Scene::new(witness, policy);
    let workers = scene.workers();
    let [client_pends, provider_pends] = [coin(), coin()];
    let client = scene.client(plan(&workers, client_pends));
    let provider = scene.provider(plan(&workers, provider_pends));
    provider.register();
    client.register();
    let leaver = if coin() { &client } else { &provider };
    leaver.leave();
    assert_eq!([client.counts(), provider.counts()], [[1; 3]; 2]);

    let trail = scene.trail();
    let done = |module: &Module, pending: bool| {
        let what = if pending {
            What::Calls(module.key, Call::Complete)
        } else {
            What::Enters(module.key, Detach)
        };
        trail.at(what).expect("the side was detached")
    };
    let (of_client, of_provider) = (done(&client, client_pends), done(&provider, provider_pends));
    let cleanups: Vec<_> = [&client, &provider]
        .iter()
        .map(|module| trail.at(What::Enters(module.key, Cleanup)).expect("cleaned up"))
        .collect();
    for cleanup in &cleanups {
        assert!(
            *cleanup > of_client && *cleanup > of_provider,
            "cleanup comes when both sides have stopped"
        );
        assert_eq!(
            trail.thread(*cleanup),
            trail.thread(cleanups[0]),
            "one party cleans up"
        );
    }
    if policy.cleanup_after_callbacks {
        for module in [&client, &provider] {
            assert!(
                trail.in_order(
                    What::Leaves(module.key, Detach),
                    What::Enters(client.key, Cleanup)
                ),
                "cleanup waits for the callbacks"
            );
        }
    }
    match (client_pends, provider_pends) {
        (true, false) => witness.reach("the client pends, the provider succeeds"),
        (false, true) => witness.reach("the provider pends, the client succeeds"),
        (false, false) => {}
        (true, true) => {
            witness.reach(if of_client < of_provider {
                "both pend, the client completes first"
            } else {
                "both pend, the provider completes first"
            });
            let overlap = trail.overlap((client.key, Call::Complete), (provider.key, Call::Complete));
            witness.reach_if(overlap, "both complete at once");
            let last = of_client.max(of_provider);
            let pended = |module: &Module| {
                trail
                    .at(What::Leaves(module.key, Detach))
                    .is_some_and(|returned| returned < of_client.min(of_provider))
            };
            if !overlap && pended(&client) && pended(&provider) {
                // Nobody else is left to do it. (A callback may have left a moment before its status is settled, so this
                // holds for the completers only when the deregistration has returned.)
                let returned = trail.at(What::Returned(leaver.key, Call::Deregister));
                if returned.is_some_and(|returned| returned < of_client.min(of_provider)) {
                    assert_eq!(trail.thread(cleanups[0]), trail.thread(last));
                    witness.reach("the second completer cleans up");
                }
            }
        }
    }
    let stays = if leaver.role == Role::Client {
        &provider
    } else {
        &client
    };
    stays.leave();
    scene.finish();
}

/// A completion against the return of `STATUS_PENDING` from the same callback.
pub const COMPLETION_BESIDE_RETURN: Subject = Subject {
    name: "completion-beside-return",
    body: completion_beside_return,
    reaches: &[
        "the completion comes before the callback returns",
        "the completion comes after the callback returned",
        "the completion is under way when the callback returns",
    ],
};

fn completion_beside_return(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let workers = scene.workers();
    let pending_client = coin();
    let client = scene.client(plan(&workers, pending_client));
    let provider = scene.provider(plan(&workers, !pending_client));
    client.register();
    provider.register();
    let (leaver, stays) = if coin() {
        (&client, &provider)
    } else {
        (&provider, &client)
    };
    // That this returns is the assertion that no completion is lost.
    leaver.leave();
    assert_eq!([client.counts(), provider.counts()], [[1; 3]; 2]);
    let trail = scene.trail();
    let pends = if pending_client { client.key } else { provider.key };
    let (begin, unwinds) = (What::Calls(pends, Call::Complete), What::Leaves(pends, Detach));
    let end = What::Returned(pends, Call::Complete);
    witness.reach_if(
        trail.in_order(end, unwinds),
        "the completion comes before the callback returns",
    );
    witness.reach_if(
        trail.in_order(unwinds, begin),
        "the completion comes after the callback returned",
    );
    witness.reach_if(
        trail.in_order(begin, unwinds) && !trail.in_order(end, unwinds),
        "the completion is under way when the callback returns",
    );
    stays.leave();
    scene.finish();
}

/// Completions, and another deregistration, while a deregistration is still detaching its bindings.
pub const COMPLETION_BESIDE_ITERATION: Subject = Subject {
    name: "completion-beside-iteration",
    body: completion_beside_iteration,
    reaches: &[
        "a binding is gone while others are still to be detached",
        "a peer leaves while others are still to be detached",
    ],
};

fn completion_beside_iteration(witness: &Arc<Witness>) {
    let scene = Scene::under_any_policy(witness);
    let workers = scene.workers();
    let clients: Vec<_> = (0..3).map(|_| scene.client(plan(&workers, true))).collect();
    let pending = coin();
    let provider = scene.provider(plan(&workers, pending));
    for client in &clients {
        client.register();
    }
    provider.register();
    let other = Scene::thread(&clients[2], Module::leave);
    provider.leave();
    other.join().expect("left");
    assert_eq!(provider.counts(), [3; 3]);
    for client in &clients {
        assert_eq!(client.counts(), [1; 3]);
    }
    let trail = scene.trail();
    let entered = trail.all(|what| matches!(what, What::Enters(key, Detach) if key != provider.key));
    let gone = trail
        .find(|what| matches!(what, What::Tells(Event::CleanedUp(_))))
        .expect("gone");
    let call = trail
        .at(What::Calls(provider.key, Call::Deregister))
        .expect("left");
    let returned = trail
        .at(What::Returned(provider.key, Call::Deregister))
        .expect("left");
    witness.reach_if(
        (call..returned).contains(&gone) && entered.iter().any(|enters| *enters > gone),
        "a binding is gone while others are still to be detached",
    );
    witness.reach_if(
        trail.overlap(
            (clients[2].key, Call::Deregister),
            (provider.key, Call::Deregister),
        ),
        "a peer leaves while others are still to be detached",
    );
    clients[0].leave();
    clients[1].leave();
    scene.finish();
}
