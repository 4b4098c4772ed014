//! Modules that break rules, or use what is tolerated: the registrar stays whole.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use nmr_model::{Policy, Role};

use super::{
    modules::{Module, NOINTERFACE, PENDING, Plan, SUCCESS},
    scene::Scene,
};
use crate::{
    Subject, Witness,
    chance::{any_policy, coin, draw},
};

/// What schedules of correct modules never do.
pub const MISUSE: Subject = Subject {
    name: "misuse",
    body: misuse,
    reaches: &[
        "completed before the detach began",
        "completed twice before the detach began",
        "completed inside the detach, then pending",
        "completed inside the detach, then success",
        "completed twice inside the detach",
        "completed twice after the detach",
        "the client fails after its provider accepted",
        "the client tries again after its provider declined",
        "the client declines",
    ],
};

/// The deviations, in the order of [`MISUSE`].
const KINDS: u8 = 9;

fn misuse(witness: &Arc<Witness>) {
    let kind = draw(KINDS);
    // Who completes inside its callback may find its binding gone there, unless cleanup waits for callbacks.
    let policy = Policy {
        cleanup_after_callbacks: true,
        ..any_policy()
    };
    let scene = Scene::new(witness, policy);
    let deviates = coin();
    let detach = move |own: Role| -> Plan {
        let deviant = deviates == (own == Role::Client);
        Plan {
            detach: Box::new(move |side| {
                match kind {
                    _ if !deviant => return SUCCESS,
                    2 | 3 => side.complete(),
                    4 => {
                        side.complete();
                        side.complete();
                    }
                    // The completion has come already.
                    0 | 1 => return PENDING,
                    _ => return SUCCESS,
                }
                if kind == 3 { SUCCESS } else { PENDING }
            }),
            ..Plan::default()
        }
    };
    let declined = AtomicBool::new(false);
    let client = scene.client(Plan {
        attach: Box::new(move |side| match kind {
            6 => {
                let status = side.attach();
                if status >= 0 {
                    side.deny();
                }
                NOINTERFACE
            }
            7 => match side.attach() {
                SUCCESS => SUCCESS,
                _ => side.attach(),
            },
            8 => NOINTERFACE,
            _ => side.attach(),
        }),
        ..detach(Role::Client)
    });
    let provider = scene.provider(Plan {
        attach: Box::new(move |_| {
            if kind == 7 && !declined.swap(true, SeqCst) {
                NOINTERFACE
            } else {
                SUCCESS
            }
        }),
        ..detach(Role::Provider)
    });
    let other = Scene::thread(&provider, Module::register);
    client.register();
    other.join().expect("registered");
    let deviant = if deviates { &client } else { &provider };
    if kind <= 1 {
        for side in deviant.shown() {
            side.complete();
            if kind == 1 {
                side.complete();
            }
        }
    }
    let other = Scene::thread(&provider, Module::leave);
    if kind == 5 {
        // Once the side is done, or once the binding is gone: both are too late.
        let sides = deviant.shown();
        scene.workers().spawn(move || {
            for side in sides {
                side.complete();
                side.complete();
            }
        });
    }
    client.leave();
    other.join().expect("left");
    let findings = scene.finish_with_findings();
    // To complete inside the callback is unusual, to try again or to decline is not even that.
    let breaks = !matches!(kind, 2 | 7 | 8);
    assert_eq!(!findings.is_empty(), breaks, "{findings:?}");
    witness.reach(MISUSE.reaches[usize::from(kind)]);
}
