//! IRQL and critical regions of the calling thread.

use crate::{
    BOOLEAN, KIRQL,
    thread::{self, irql},
    verifier::{self, Rule},
};

/// Returns the IRQL of the calling thread. IRQL: any.
///
/// # Safety
///
/// None beyond the signature.
pub unsafe fn KeGetCurrentIrql() -> KIRQL {
    thread::current_irql()
}

/// Raises the IRQL (`KeRaiseIrql`); returns the one before. IRQL: at most `new`.
///
/// # Safety
///
/// The caller restores the IRQL on the same thread.
pub unsafe fn KfRaiseIrql(new: KIRQL) -> KIRQL {
    let before = thread::replace_irql(new);
    if new < before {
        wrong_way("KeRaiseIrql", before, new);
    }
    before
}

/// Raises the IRQL to `DISPATCH_LEVEL`; returns the one before. IRQL: `DISPATCH_LEVEL` at most.
///
/// # Safety
///
/// The caller restores the IRQL on the same thread.
pub unsafe fn KeRaiseIrqlToDpcLevel() -> KIRQL {
    // SAFETY: the caller has taken on the same duty.
    unsafe { KfRaiseIrql(irql::DISPATCH) }
}

/// Lowers the IRQL to what it was before it was raised. IRQL: at least `new`.
///
/// # Safety
///
/// `new` is what the matching raise returned.
pub unsafe fn KeLowerIrql(new: KIRQL) {
    let before = thread::replace_irql(new);
    if new > before {
        wrong_way("KeLowerIrql", before, new);
    }
}

#[cold]
fn wrong_way(call: &'static str, before: KIRQL, new: KIRQL) {
    verifier::report(
        Rule::IrqlWrong,
        Some(call),
        format!(
            "{call} was called at {} to go to {}",
            irql::name(before),
            irql::name(new)
        ),
        "raise with KeRaiseIrql, and lower with KeLowerIrql to what the raise returned",
    );
}

/// Holds off normal kernel APCs until the region is left. IRQL: `APC_LEVEL` at most.
///
/// # Safety
///
/// The caller leaves the region on the same thread.
pub unsafe fn KeEnterCriticalRegion() {
    verifier::require_irql_at_most("KeEnterCriticalRegion", irql::APC);
    thread::enter_critical_region();
}

/// Leaves a critical region. IRQL: `APC_LEVEL` at most.
///
/// # Safety
///
/// The calling thread entered one.
pub unsafe fn KeLeaveCriticalRegion() {
    const CALL: &str = "KeLeaveCriticalRegion";
    verifier::require_irql_at_most(CALL, irql::APC);
    if !thread::leave_critical_region() {
        outside_regions(CALL);
    }
}

#[cold]
fn outside_regions(call: &'static str) {
    verifier::report(
        Rule::CriticalRegionChanged,
        Some(call),
        "KeLeaveCriticalRegion was called outside any critical region",
        "pair each KeEnterCriticalRegion with one KeLeaveCriticalRegion on every path",
    );
}

/// Tells whether normal kernel APCs are held off on the calling thread. IRQL: `DISPATCH_LEVEL` at most.
///
/// # Safety
///
/// None beyond the signature.
pub unsafe fn KeAreApcsDisabled() -> BOOLEAN {
    verifier::require_irql_at_most("KeAreApcsDisabled", irql::DISPATCH);
    thread::with(|current| {
        BOOLEAN::from(current.state.critical_regions.get() > 0 || current.state.irql.get() > 0)
    })
}
