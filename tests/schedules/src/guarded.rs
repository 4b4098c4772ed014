//! The races of the registrar through the safe layer: call guards, bindings and registrations of a client and a
//! provider, on a simulated machine whose probe sees their calls.
//!
//! Each subject is one race of the contract, as in [`registrar`](crate::registrar); here what has to hold is what the
//! layer promises to a driver: no call is let in after a detach, no binding value is used after its cleanup, a detach ends
//! when the last call does, and nothing is freed twice or never.

mod abandon;
mod calls;
mod modules;
mod registrations;
mod stage;

use crate::Subject;

/// All races, in the order in which a binding lives.
pub const SUBJECTS: &[Subject] = &[
    registrations::ATTACH_BESIDE_LEAVING,
    registrations::BOTH_LEAVE,
    abandon::ABANDON_BESIDE_DETACH,
    calls::COMPLETION_BESIDE_RETURN,
    calls::CALLS_BESIDE_DETACH,
    calls::EARLY_CALLS,
    calls::KEPT_REFERENCES,
];
