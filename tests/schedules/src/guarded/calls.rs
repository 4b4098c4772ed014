//! Calls against the detach of their binding, and references that outlive it.

use std::sync::{Arc, PoisonError};

use nmr_model::Role;

use super::{
    modules::{Adder, Sum, call, dawdle},
    stage::{Module, Stage, Trail, What},
};
use crate::{
    Subject, Witness,
    chance::{any_policy, coin},
    platform::step,
};

/// A stage with both modules attached.
fn attached(witness: &Arc<Witness>) -> (Stage, Module, Module) {
    let stage = Stage::new(witness, any_policy());
    let client = stage.register(Role::Client, false);
    let provider = stage.register(Role::Provider, false);
    (stage, client, provider)
}

fn adder(module: &Module) -> &Adder {
    match module {
        Module::Client(client) => client.module(),
        Module::Provider(_) => unreachable!("the client"),
    }
}

fn sum(module: &Module) -> &Sum {
    match module {
        Module::Provider(provider) => provider.module(),
        Module::Client(_) => unreachable!("the provider"),
    }
}

/// Both leave, one after the other.
fn leave(stage: &Stage, modules: [Module; 2]) {
    let [first, second] = modules;
    stage.leave(first);
    stage.leave(second);
}

/// What holds for a binding that was there, whatever called through it.
fn check(trail: &Trail) {
    for role in [Role::Client, Role::Provider] {
        assert_eq!(trail.count(What::Detaching(role)), 1);
        let told = trail.at(What::Detached(role)).expect("detached");
        for side in [Role::Client, Role::Provider] {
            let cleaned = trail.at(What::CleanedUp(side)).expect("cleaned up");
            assert!(told < cleaned, "a cleanup comes after both detach callbacks");
            assert_eq!(
                trail.under_way(role, cleaned),
                0,
                "a cleanup comes after all calls"
            );
        }
    }
}

/// The end of the last call against the return of the detach callback that found it.
pub const COMPLETION_BESIDE_RETURN: Subject = Subject {
    name: "guarded-completion-beside-return",
    body: completion_beside_return,
    reaches: &[
        "the call ends while the detach callback runs",
        "the call ends after the deregistration has returned, and cleans up",
        "the call ends before the detach begins",
        "the call is refused",
    ],
};

fn completion_beside_return(witness: &Arc<Witness>) {
    let (stage, client, provider) = attached(witness);
    let role = if coin() { Role::Client } else { Role::Provider };
    let caller = match role {
        Role::Client => {
            let binding = adder(&client).reference().expect("attached");
            stage.thread(role, move |stage| call(&stage.log, Role::Client, &binding))
        }
        Role::Provider => {
            let binding = sum(&provider).reference().expect("attached");
            stage.thread(role, move |stage| call(&stage.log, Role::Provider, &binding))
        }
    };
    dawdle(30);
    let first = coin();
    let modules = if first {
        [client, provider]
    } else {
        [provider, client]
    };
    let leaver = if first { Role::Client } else { Role::Provider };
    // That this returns is the assertion that no completion is lost.
    leave(&stage, modules);
    let served = caller.join().expect("called");
    let trail = stage.finish();
    check(&trail);
    if !served {
        witness.reach("the call is refused");
        return;
    }
    let ends = What::Ends(role);
    if trail.in_order(ends, What::Detaching(role)) {
        witness.reach("the call ends before the detach begins");
    } else if trail.in_order(ends, What::Detached(role)) {
        witness.reach("the call ends while the detach callback runs");
    } else if trail.in_order(What::Left(leaver), ends) {
        // Nobody else was left to complete the detach, and so to clean up.
        for side in [Role::Client, Role::Provider] {
            assert_eq!(trail.thread(What::CleanedUp(side)), trail.thread(ends));
        }
        witness.reach("the call ends after the deregistration has returned, and cleans up");
    }
}

/// Calls of both sides, the client's on two processors, against the detach.
pub const CALLS_BESIDE_DETACH: Subject = Subject {
    name: "guarded-calls-beside-detach",
    body: calls_beside_detach,
    reaches: &[
        "two calls of the client are under way when the detach begins",
        "calls of both sides are under way when the detach begins",
        "all calls are refused",
    ],
};

/// Calls until it is refused, a few times at most.
fn call_on<R>(log: &super::stage::Log, role: Role, binding: &nmr::BindingRef<R>)
where
    R: nmr::Role<Binding = super::modules::Bound, PeerDispatch = super::modules::Table>,
{
    for _ in 0..3 {
        if !call(log, role, binding) {
            assert!(binding.enter().is_none(), "a processor that was refused stays so");
            break;
        }
    }
}

fn calls_beside_detach(witness: &Arc<Witness>) {
    let (stage, client, provider) = attached(witness);
    let mut callers: Vec<_> = (0..2)
        .map(|_| {
            let binding = adder(&client).reference().expect("attached");
            stage.thread(Role::Client, move |stage| {
                call_on(&stage.log, Role::Client, &binding);
            })
        })
        .collect();
    let binding = sum(&provider).reference().expect("attached");
    callers.push(stage.thread(Role::Provider, move |stage| {
        call_on(&stage.log, Role::Provider, &binding);
    }));
    dawdle(60);
    let modules = if coin() {
        [client, provider]
    } else {
        [provider, client]
    };
    leave(&stage, modules);
    for caller in callers {
        caller.join().expect("called");
    }
    let trail = stage.finish();
    check(&trail);
    let begins = trail.at(What::Detaching(Role::Client)).expect("detached");
    let under_way = [Role::Client, Role::Provider].map(|role| trail.under_way(role, begins));
    witness.reach_if(
        under_way[0] == 2,
        "two calls of the client are under way when the detach begins",
    );
    witness.reach_if(
        under_way[0] > 0 && under_way[1] > 0,
        "calls of both sides are under way when the detach begins",
    );
    witness.reach_if(
        trail.count(What::Calls(Role::Client)) + trail.count(What::Calls(Role::Provider)) == 0,
        "all calls are refused",
    );
}

/// A provider calls its client as soon as it can.
pub const EARLY_CALLS: Subject = Subject {
    name: "guarded-early-calls",
    body: early_calls,
    reaches: &[
        "the client is called before it has registered",
        "the client is called when it has registered",
    ],
};

fn early_calls(witness: &Arc<Witness>) {
    let stage = Stage::new(witness, any_policy());
    let provider = stage.register(Role::Provider, false);
    let place = sum(&provider).place();
    let caller = stage.thread(Role::Provider, move |stage| {
        for _ in 0..200 {
            let binding = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if binding.is_some_and(|binding| call(&stage.log, Role::Provider, &binding)) {
                break;
            }
            step();
        }
    });
    let client = stage.register(Role::Client, false);
    caller.join().expect("called");
    leave(&stage, [client, provider]);
    let trail = stage.finish();
    check(&trail);
    let first = What::Calls(Role::Provider);
    if trail.at(first).is_some() {
        witness.reach(if trail.in_order(first, What::Registered(Role::Client)) {
            "the client is called before it has registered"
        } else {
            "the client is called when it has registered"
        });
    }
}

/// References that are kept while, and after, their binding is reclaimed.
pub const KEPT_REFERENCES: Subject = Subject {
    name: "guarded-kept-references",
    body: kept_references,
    reaches: &[
        "a reference is dropped before the cleanup",
        "a reference is dropped after the cleanup",
        "a call is refused after the cleanup",
        "a call is refused between detach and cleanup",
    ],
};

fn kept_references(witness: &Arc<Witness>) {
    let (stage, client, provider) = attached(witness);
    let keepers: Vec<_> = (0..2)
        .map(|_| {
            let binding = adder(&client).reference().expect("attached");
            stage.thread(Role::Client, move |stage| {
                dawdle(30);
                let kept = binding.clone();
                drop(binding);
                let served = call(&stage.log, Role::Client, &kept);
                drop(kept);
                let gone = stage.log.trail().at(What::CleanedUp(Role::Client)).is_some();
                (served, gone)
            })
        })
        .collect();
    // The module's own reference goes too: the last one may be any.
    adder_forgets(&stage, &client);
    dawdle(60);
    leave(&stage, [provider, client]);
    for keeper in keepers {
        let (served, gone) = keeper.join().expect("called");
        witness.reach(if gone {
            "a reference is dropped after the cleanup"
        } else {
            "a reference is dropped before the cleanup"
        });
        witness.reach_if(!served && gone, "a call is refused after the cleanup");
        witness.reach_if(!served && !gone, "a call is refused between detach and cleanup");
    }
    check(&stage.finish());
}

fn adder_forgets(stage: &Stage, client: &Module) {
    stage.inside(Role::Client, "system thread", || adder(client).forget());
}
