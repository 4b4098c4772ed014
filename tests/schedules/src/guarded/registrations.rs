//! Deregistrations against attaches, and against each other.

use std::sync::Arc;

use nmr_model::Role;

use super::{
    modules::{call, dawdle},
    stage::{Module, Stage, Trail, What},
};
use crate::{
    Subject, Witness,
    chance::{any_policy, coin},
};

/// A module leaves beside the registration of its peer.
pub const ATTACH_BESIDE_LEAVING: Subject = Subject {
    name: "guarded-attach-beside-leaving",
    body: attach_beside_leaving,
    reaches: &[
        "the modules do not meet",
        "a module begins to leave while it is being attached",
        "the modules are attached, and one calls before the other leaves",
        "the modules are attached, and the first call comes too late",
    ],
};

/// A call by whichever side a module is.
fn try_call(stage: &Stage, module: &Module) -> bool {
    let log = &stage.log;
    match module {
        Module::Client(client) => client
            .module()
            .reference()
            .is_some_and(|binding| call(log, Role::Client, &binding)),
        Module::Provider(provider) => provider
            .module()
            .reference()
            .is_some_and(|binding| call(log, Role::Provider, &binding)),
    }
}

/// What holds for a pair of modules that have left.
fn check_pair(trail: &Trail) -> bool {
    let met = trail.count(What::Attaching(Role::Client));
    assert!(met <= 1, "a pair meets once");
    for role in [Role::Client, Role::Provider] {
        assert_eq!(trail.count(What::Attaching(role)), met);
        assert_eq!(
            trail.count(What::Detaching(role)),
            met,
            "one detach for each side"
        );
    }
    for role in [Role::Client, Role::Provider] {
        // Whatever a side still calls, both contexts outlive it.
        let last_end = trail.at(What::Ends(role)).unwrap_or(0);
        for side in [Role::Client, Role::Provider] {
            if let Some(cleaned) = trail.at(What::CleanedUp(side)) {
                assert!(cleaned >= last_end, "a call outlives a binding");
                assert_eq!(
                    trail.under_way(role, cleaned),
                    0,
                    "a call is under way at a cleanup"
                );
            }
        }
        let waited = trail.at(What::Waited(role)).expect("both have left");
        if let Some(cleaned) = trail.at(What::CleanedUp(role)) {
            assert!(cleaned < waited, "a wait ends after the own cleanup");
        }
    }
    met == 1
}

fn attach_beside_leaving(witness: &Arc<Witness>) {
    let stage = Stage::new(witness, any_policy());
    let leaver = if coin() { Role::Client } else { Role::Provider };
    let leaving = stage.register(leaver, false);
    let newcomer = leaver.peer();
    let other = stage.thread(newcomer, move |stage| {
        let module = stage.register(newcomer, false);
        let served = try_call(stage, &module);
        (module, served)
    });
    dawdle(200);
    stage.leave(leaving);
    let (module, served) = other.join().expect("registered");
    stage.inside(newcomer, "system thread", || {
        assert!(!try_call(&stage, &module), "no call when the peer has gone");
    });
    stage.leave(module);
    let trail = stage.finish();
    let met = check_pair(&trail);
    assert!(met || !served, "a call without a binding");
    witness.reach(match (met, served) {
        (false, _) => "the modules do not meet",
        (true, true) => "the modules are attached, and one calls before the other leaves",
        (true, false) => "the modules are attached, and the first call comes too late",
    });
    let offered = What::Attaching(Role::Client);
    witness.reach_if(
        trail.in_order(offered, What::Leaves(leaver))
            && trail.in_order(What::Leaves(leaver), What::Registered(newcomer)),
        "a module begins to leave while it is being attached",
    );
}

/// Both modules leave at once, while both call each other.
pub const BOTH_LEAVE: Subject = Subject {
    name: "guarded-both-leave",
    body: both_leave,
    reaches: &[
        "both leave at once",
        "both leave at once, with a call of the client under way",
        "both leave at once, with a call of the provider under way",
        "one has left when the other begins",
    ],
};

fn both_leave(witness: &Arc<Witness>) {
    let stage = Stage::new(witness, any_policy());
    let client = stage.register(Role::Client, false);
    let provider = stage.register(Role::Provider, false);
    let (Module::Client(adder), Module::Provider(sum)) = (&client, &provider) else {
        unreachable!("one of each");
    };
    let references = (
        adder.module().reference().expect("attached"),
        sum.module().reference().expect("attached"),
    );
    let calls = [
        stage.thread(Role::Client, move |stage| {
            call(&stage.log, Role::Client, &references.0);
            drop(references.0);
        }),
        stage.thread(Role::Provider, move |stage| {
            call(&stage.log, Role::Provider, &references.1);
            drop(references.1);
        }),
    ];
    let other = {
        let stage = stage.clone();
        shuttle::thread::spawn(move || {
            dawdle(60);
            stage.leave(provider);
        })
    };
    dawdle(60);
    stage.leave(client);
    other.join().expect("left");
    for thread in calls {
        thread.join().expect("called");
    }
    let trail = stage.finish();
    assert!(check_pair(&trail));
    let between = |first: Role, second: Role| {
        trail.in_order(What::Leaves(first), What::Leaves(second))
            && trail.in_order(What::Leaves(second), What::Waited(first))
    };
    let second = if between(Role::Client, Role::Provider) {
        Role::Provider
    } else if between(Role::Provider, Role::Client) {
        Role::Client
    } else {
        witness.reach("one has left when the other begins");
        return;
    };
    witness.reach("both leave at once");
    let begun = trail.at(What::Leaves(second)).expect("left");
    witness.reach_if(
        trail.under_way(Role::Client, begun) > 0,
        "both leave at once, with a call of the client under way",
    );
    witness.reach_if(
        trail.under_way(Role::Provider, begun) > 0,
        "both leave at once, with a call of the provider under way",
    );
}
