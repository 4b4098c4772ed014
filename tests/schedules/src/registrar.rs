//! The races of the registrar: the model alone, with modules that do what a race needs.
//!
//! Each subject is one race of the contract. It asserts the outcome in every schedule, and says when a schedule was
//! one in which the race took place: a test that never gets there proves nothing.

mod churn;
mod deregistration;
mod misuse;
mod modules;
mod pending;
mod registration;
mod scene;
mod trail;

use crate::Subject;

/// All races, in the order in which a binding lives.
pub const SUBJECTS: &[Subject] = &[
    registration::BOTH_REGISTER,
    registration::MANY_PAIRS,
    registration::FAILING_REGISTRATION,
    registration::RE_REGISTRATION,
    registration::REJECTED_AND_OFFERED_AGAIN,
    deregistration::LEAVING_BESIDE_AN_OFFER,
    deregistration::LEAVING_DURING_AN_ATTACH,
    deregistration::BOTH_DEREGISTER,
    deregistration::INSIDE_AN_OWN_CALLBACK,
    deregistration::INSIDE_THE_OWN_REGISTRATION,
    deregistration::INSIDE_A_PEERS_CLEANUP,
    pending::COMPLETIONS,
    pending::COMPLETION_BESIDE_RETURN,
    pending::COMPLETION_BESIDE_ITERATION,
    churn::CHURN,
    misuse::MISUSE,
];
