//! Modules that come and go on threads of their own, under any mixture of policies.
//!
//! What holds under all of them is what the scene asserts at its end: each side that was attached is detached and
//! cleaned up once, no context leaks, no module is left, each pair meets once, no rule was broken.

use std::sync::Arc;

use nmr_model::Event;

use super::{
    modules::{Module, PENDING, Plan, SUCCESS},
    scene::{Scene, Workers},
    trail::{Call, What},
};
use crate::{
    Subject, Witness,
    chance::{draw, every_policy},
    platform::step,
};

/// Two clients and two providers, one of which comes twice.
pub const CHURN: Subject = Subject {
    name: "churn",
    body: churn,
    reaches: &[
        "one registers while another deregisters",
        "a module is attached and detached inside one registration",
        "a wait begins before the module is drained",
    ],
};

/// Pends or not, as it comes; a worker completes.
fn fickle(workers: Arc<Workers>) -> Plan {
    Plan {
        detach: Box::new(move |side| {
            if draw(2) == 0 {
                return SUCCESS;
            }
            let side = Arc::clone(side);
            workers.spawn(move || side.complete());
            for _ in 0..draw(4) {
                step();
            }
            PENDING
        }),
        ..Plan::default()
    }
}

fn churn(witness: &Arc<Witness>) {
    let scene = Scene::new(witness, every_policy());
    let plan = || fickle(scene.workers());
    let modules = [
        scene.client(plan()),
        scene.client(plan()),
        scene.provider(plan()),
        scene.provider(plan()),
    ];
    let comes_and_goes = |module: &Module| {
        module.register();
        module.leave();
    };
    let twice = move |module: &Module| {
        comes_and_goes(module);
        comes_and_goes(module);
    };
    let threads = [
        Scene::thread(&modules[0], comes_and_goes),
        Scene::thread(&modules[1], comes_and_goes),
        Scene::thread(&modules[2], twice),
        Scene::thread(&modules[3], comes_and_goes),
    ];
    for thread in threads {
        thread.join().expect("came and went");
    }
    let trail = scene.finish();
    for one in &modules {
        for other in modules.iter().filter(|other| other.key != one.key) {
            witness.reach_if(
                trail.overlap((one.key, Call::Register), (other.key, Call::Deregister)),
                "one registers while another deregisters",
            );
        }
    }
    let told =
        |wanted: fn(Event) -> bool| trail.all(|what| matches!(what, What::Tells(event) if wanted(event)));
    let registered = |key| trail.at(What::Returned(key, Call::Register));
    let cleaned = told(|event| matches!(event, Event::CleanedUp(_)));
    witness.reach_if(
        modules
            .iter()
            .any(|module| cleaned.first() < registered(module.key).as_ref() && !cleaned.is_empty()),
        "a module is attached and detached inside one registration",
    );
    let drained = told(|event| matches!(event, Event::Drained(_)));
    let waits = trail.all(|what| matches!(what, What::Calls(_, Call::Wait)));
    witness.reach_if(
        waits.first() < drained.first(),
        "a wait begins before the module is drained",
    );
}
