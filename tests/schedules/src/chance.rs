//! What varies from schedule to schedule besides the order of steps: drawn from the schedule's seed.

use nmr_model::{DetachOrder, Policy, SWITCHES};
use shuttle::rand::{Rng as _, thread_rng};

/// A coin of the schedule: the same seed throws the same.
pub fn coin() -> bool {
    thread_rng().gen_range(0..2_u8) == 0
}

/// One of `0..count`, by the schedule.
pub fn draw(count: u8) -> u8 {
    thread_rng().gen_range(0..count)
}

/// One of the policies under which callbacks run on the threads of those who call the registrar: the races assert
/// where and in which order they run.
pub fn any_policy() -> Policy {
    let mut policy = Policy::default();
    if coin() {
        policy.detach_order = DetachOrder::InitiatorFirst;
    }
    for switch in [
        &mut policy.provider_cleanup_first,
        &mut policy.handle_before_attach,
        &mut policy.offer_after_deregister,
        &mut policy.cleanup_after_callbacks,
    ] {
        *switch = coin();
    }
    policy
}

/// Any mixture of policies, the hostile ones included, with those of [`any_policy`].
pub fn every_policy() -> Policy {
    let mut policy = any_policy();
    for (_, switch) in SWITCHES {
        if draw(6) == 0 {
            switch(&mut policy);
        }
    }
    policy
}
