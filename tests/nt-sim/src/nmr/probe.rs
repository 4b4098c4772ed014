//! The probe: seeing the calls that modules make into each other.
//!
//! The registrar hands dispatch tables from one side of a binding to the other, and is not there when they
//! are used. For an NPI that gives the machine its [`ShadowTables`] (made by
//! [`shadow_tables!`](crate::shadow_tables), given by [`MachineBuilder::probe`](crate::machine::MachineBuilder::probe))
//! each side gets a table of the same layout instead, whose entries come here, are judged, and go on to the
//! real ones. Without it the report says which rules are not checked.
//!
//! What is judged, by who calls, on which binding, when, and with which context:
//!
//! - a call before the attach has succeeded, or from the provider while the client was not ready for it. A
//!   provider's attach callback may let other threads call as its last act, and nobody can tell a call between
//!   that and its return from a later one; so such a call is reported if the callback does not accept the client;
//! - a new call after the caller's own detach callback was entered. A call that was let in before may
//!   still be about to be made, which only its driver knows; so this is reported where it is certain: the
//!   call stands in the detach callback itself, or belongs to an operation (a callback, a thread) that
//!   began after that one had returned;
//! - a call after the caller reported the end of its detach, in its cleanup, or into a module that is gone;
//! - a detach that is reported with calls of that side in flight, or that stays pending although none was;
//! - a wait for the end of a module inside a call that its drain waits for, which is ended instead of hanging;
//! - another context than the one that belongs to the table;
//! - a call above the IRQL that the NPI allows.
//!
//! A call that could touch what is gone does not go on: the entry returns what the NPI says.

mod slots;
mod tables;
mod tap;

use std::{
    ffi::c_void,
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

pub use ::nmr::Guid;
pub use nmr_model::Role;
use nmr_model::{BindingInfo, Callback, Event, ModuleInfo, Moment, Rule};

pub use slots::{SLOTS, Slot};
pub use tables::{Entry, Shadow};
pub use tap::Call;

use super::Breach;
use crate::{KIRQL, Machine};
pub(super) use tap::Tap;

/// What an NPI tells the simulator, so that calls between its modules can be seen.
///
/// [`shadow_tables!`](crate::shadow_tables) implements it.
pub trait ShadowTables: fmt::Debug + Send + Sync + 'static {
    /// The NPIID.
    fn npi(&self) -> Guid;

    /// The highest IRQL at which entries may be called.
    fn irql(&self) -> KIRQL;

    /// Whether an entry may be called until the caller's detach is reported: by such it takes down what it has
    /// set up, or ends what was begun. All others are barred when its detach callback is entered.
    fn is_teardown(&self, entry: &str) -> bool;

    /// Makes a table like `dispatch`, which a module of `whose` role gave, with entries that come to `slot`.
    ///
    /// # Safety
    ///
    /// `dispatch` points to a table of this NPI.
    unsafe fn shadow(&self, whose: Role, slot: Slot, dispatch: *const c_void) -> Shadow;
}

/// A dispatch table passes from the side of `whose` to the other: what that one gets.
///
/// # Safety
///
/// `dispatch` is NULL or points to a table of this NPI.
pub(super) unsafe fn pass(
    machine: &Machine,
    binding: &BindingInfo,
    npi: [u8; 16],
    whose: Role,
    context: *mut c_void,
    dispatch: *const c_void,
) -> *const c_void {
    if dispatch.is_null() || !machine.verifier_is_on() {
        return dispatch;
    }
    let probe = machine
        .config()
        .probes
        .iter()
        .find(|probe| bytes(probe.npi()) == npi);
    let Some(probe) = probe else { return dispatch };
    let known = machine
        .nmr_state()
        .taps
        .with(|taps| taps.get(&binding.id).cloned());
    let tap = match known {
        Some(tap) => tap,
        None => match slots::claim(|slot| Tap::new(machine, *binding, Arc::clone(probe), slot)) {
            Some(tap) => {
                machine
                    .nmr_state()
                    .taps
                    .with(|taps| taps.insert(binding.id, Arc::clone(&tap)));
                tap
            }
            // More bindings at once than there are slots: this one is not watched.
            None => return dispatch,
        },
    };
    if whose == Role::Provider {
        // It is known only now if the client gave no table.
        tap.accepted();
    }
    // SAFETY: the caller vouches for the table.
    unsafe { tap.shadow(whose, context, dispatch) }
}

/// A callback of a binding runs.
pub(super) fn around<R>(machine: &Machine, callback: &Callback, run: impl FnOnce() -> R) -> R {
    let tap = tap(machine, &callback.binding);
    let Some(tap) = tap else { return run() };
    tap.entered(callback.role, callback.kind);
    let result = run();
    tap.returned(callback.role, callback.kind);
    result
}

/// Whether the calling thread, which is about to wait for the end of a module, is in a call that this waits for; then
/// that is reported.
pub(super) fn waits_in_call(machine: &Machine, module: ModuleInfo) -> bool {
    let taps: Vec<_> = machine
        .nmr_state()
        .taps
        .with(|taps| taps.values().cloned().collect());
    let inside = taps.iter().find(|tap| {
        let binding = tap.binding();
        [binding.client.id, binding.provider.id].contains(&module.id) && tap.is_in_call()
    });
    let Some(tap) = inside else { return false };
    Breach::new(
        Rule::WaitInCallback,
        module,
        format!(
            "the wait stands in a call between the modules of binding {}, which is over only when this call is",
            tap.binding().id
        ),
    )
    .since(Moment::Deregistered(module.id))
    .report();
    true
}

/// Something happened to a module or a binding.
pub(super) fn event(machine: &Machine, event: &Event) {
    let (Event::Accepted(binding)
    | Event::Rejected(binding, _)
    | Event::Attached(binding)
    | Event::SideDetached(binding, _)
    | Event::CleanedUp(binding)) = event
    else {
        return;
    };
    let Some(tap) = tap(machine, binding) else { return };
    match event {
        Event::Accepted(_) => tap.accepted(),
        Event::Attached(_) => tap.attached(),
        Event::SideDetached(_, side) => tap.reported(side.role),
        Event::Rejected(..) | Event::CleanedUp(_) => {
            tap.gone();
            machine.nmr_state().taps.with(|taps| taps.remove(&binding.id));
        }
        _ => {}
    }
}

/// How many calls between modules were seen on a machine so far: none if no NPI of theirs has a probe.
#[must_use]
pub fn calls_seen(machine: &Machine) -> u64 {
    machine.nmr_state().calls.load(Relaxed)
}

/// The machine ends: whose detach is pending for nothing will not complete any more.
pub(crate) fn check_end(machine: &Machine) {
    let taps: Vec<_> = machine
        .nmr_state()
        .taps
        .with(|taps| taps.values().cloned().collect());
    for tap in taps {
        for role in [Role::Client, Role::Provider] {
            if tap.pends_for_nothing(role) {
                Breach::new(
                    Rule::PendingForNothing,
                    (tap.binding(), role),
                    "the detach callback returned STATUS_PENDING with no call in flight, and the detach was never completed",
                )
                .since(Moment::Detached(tap.binding().id, role))
                .report();
            }
        }
    }
}

fn tap(machine: &Machine, binding: &BindingInfo) -> Option<Arc<Tap>> {
    machine
        .nmr_state()
        .taps
        .with(|taps| taps.get(&binding.id).cloned())
}

const fn bytes(guid: Guid) -> [u8; 16] {
    // SAFETY: a GUID is sixteen bytes without padding.
    unsafe { std::ptr::from_ref(&guid).cast::<[u8; 16]>().read() }
}
