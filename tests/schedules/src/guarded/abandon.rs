//! A client that fails after its provider has accepted, while a hostile registrar detaches it.

use std::sync::Arc;

use nmr_model::{FailedClient, Policy, Role};
use nt_sim::Rule;

use super::{
    modules::dawdle,
    stage::{Stage, What},
};
use crate::{
    Subject, Witness,
    chance::{any_policy, coin, draw},
};

/// `abandon` against a detach that begins before the attach callback has returned.
pub const ABANDON_BESIDE_DETACH: Subject = Subject {
    name: "guarded-abandon-beside-detach",
    body: abandon_beside_detach,
    reaches: &[
        "the client abandons the attach while its detach runs",
        "the client abandons the attach after its detach",
        "the client abandons the attach, and is told of no detach",
    ],
};

fn abandon_beside_detach(witness: &Arc<Witness>) {
    let failed_client = match draw(3) {
        0 => FailedClient::Left,
        1 => FailedClient::CleanedUp,
        _ => FailedClient::Detached,
    };
    let policy = Policy {
        early_detach: true,
        failed_client,
        ..any_policy()
    };
    let stage = Stage::new(witness, policy);
    let leaver = if coin() { Role::Client } else { Role::Provider };
    let newcomer = leaver.peer();
    let leaving = stage.register(leaver, true);
    let other = stage.thread(newcomer, move |stage| stage.register(newcomer, true));
    dawdle(200);
    stage.leave(leaving);
    let module = other.join().expect("registered");
    stage.leave(module);
    // That the client fails although its provider is attached is a finding each time.
    let abandoned = stage.log.trail().count(What::Abandons);
    let trail = stage.finish_with(&vec![Rule::Nmr(nmr_model::Rule::StatusNotPassedOn); abandoned]);
    // The provider's half is taken back whatever became of the client's.
    assert_eq!(
        trail.count(What::Detaching(Role::Provider)),
        trail.count(What::Attaching(Role::Provider))
    );
    let (abandons, detaching) = (What::Abandons, What::Detaching(Role::Client));
    if trail.at(abandons).is_none() {
        return;
    }
    assert!(trail.count(detaching) <= 1);
    assert!(
        !trail.in_order(abandons, detaching),
        "what was abandoned is no binding any more"
    );
    witness.reach(if trail.at(detaching).is_none() {
        "the client abandons the attach, and is told of no detach"
    } else if trail.in_order(abandons, What::Detached(Role::Client)) {
        "the client abandons the attach while its detach runs"
    } else {
        "the client abandons the attach after its detach"
    });
}
