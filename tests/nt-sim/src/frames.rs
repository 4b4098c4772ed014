//! Entering a driver's callback.
//!
//! Whoever calls into a driver does it through [`callback`]: the thread then knows whose code it runs,
//! and on return the verifier compares IRQL, locks and critical regions with those on entry.

use std::{cell::Cell, mem};

use nmr_model::Callback;

use crate::{
    DriverName, KIRQL,
    nmr::{self, Breach},
    platform,
    scheduler::Point,
    thread::{self, Current, Frame, HeldLock, irql},
    trace::Kind,
    verifier::{self, CallSite, Rule},
    wdf::Globals,
};

/// Runs a callback that the kernel calls at `PASSIVE_LEVEL` only.
pub fn callback<R>(driver: &DriverName, name: &'static str, run: impl FnOnce() -> R) -> R {
    callback_at(driver, name, irql::PASSIVE, run)
}

/// Runs a callback that the kernel may call at any IRQL up to `contract`.
///
/// Within it the verifier holds every call against `contract`, even when the callback happens to run
/// at a lower IRQL now.
pub fn callback_at<R>(
    driver: &DriverName,
    name: &'static str,
    contract: KIRQL,
    run: impl FnOnce() -> R,
) -> R {
    let base = 0_u8;
    let entry = enter(driver, name, contract, None, None, &raw const base);
    let result = between_points(run);
    leave(&entry);
    result
}

/// As [`callback_at`], for the framework, which knows what it is called with in turn.
pub(crate) fn framework_callback<R>(
    driver: &DriverName,
    globals: Globals,
    name: &'static str,
    contract: KIRQL,
    run: impl FnOnce() -> R,
) -> R {
    let base = 0_u8;
    let entry = enter(driver, name, contract, None, Some(globals), &raw const base);
    let result = between_points(run);
    leave(&entry);
    result
}

/// Runs a callback of a network module.
pub(crate) fn nmr_callback<R>(
    driver: &DriverName,
    contract: KIRQL,
    nmr: &Callback,
    run: impl FnOnce() -> R,
) -> R {
    let base = 0_u8;
    let entry = enter(driver, nmr.name(), contract, Some(*nmr), None, &raw const base);
    let result = between_points(run);
    leave(&entry);
    result
}

/// Runs a callback with the points at its beginning and its end.
pub(crate) fn between_points<R>(run: impl FnOnce() -> R) -> R {
    platform::preemption_point(Point::Callback);
    let result = run();
    platform::preemption_point(Point::Return);
    result
}

/// What a thread looked like when a callback began.
struct Entry {
    driver: DriverName,
    callback: &'static str,
    irql: KIRQL,
    critical_regions: u32,
    locks: usize,
    depth: usize,
    nmr: Option<Callback>,
}

/// `base` is a variable of the caller, which is above all that the callback has on its stack.
fn enter(
    driver: &DriverName,
    callback: &'static str,
    contract: KIRQL,
    nmr: Option<Callback>,
    globals: Option<Globals>,
    base: *const u8,
) -> Entry {
    thread::with(|current| {
        let state = &current.state;
        let entry = Entry {
            driver: driver.clone(),
            callback,
            irql: state.irql.get(),
            critical_regions: state.critical_regions.get(),
            locks: state.locks.borrow().len(),
            depth: state.frames.borrow().len(),
            nmr,
        };
        if entry.depth == 0 {
            state.operation.set(thread::now());
        }
        state.frames.borrow_mut().push(Frame {
            driver: driver.clone(),
            callback,
            contract,
            nmr,
            base: base.addr(),
            globals: Cell::new(globals),
            lent: Vec::new(),
        });
        current
            .machine
            .trace()
            .record(|| Kind::CallbackEntered { callback });
        entry
    })
}

fn leave(entry: &Entry) {
    let left = thread::with(|current| {
        let state = &current.state;
        current.machine.trace().record(|| Kind::CallbackReturned {
            callback: entry.callback,
        });
        if !current.machine.verifier_is_on() {
            restore(current, entry);
            return None;
        }
        let locks: Vec<HeldLock> = state
            .locks
            .borrow()
            .get(entry.locks..)
            .unwrap_or_default()
            .to_vec();
        Some((state.irql.get(), state.critical_regions.get(), locks))
    });
    if let Some((now, regions, locks)) = left {
        check(entry, now, regions, &locks);
        thread::with(|current| restore(current, entry));
    }
}

/// Makes a thread look as it did when a callback began: the damage stays with the callback that did it.
fn restore(current: &Current, entry: &Entry) {
    let state = &current.state;
    let gone = {
        let mut frames = state.frames.borrow_mut();
        let gone = frames
            .get_mut(entry.depth)
            .map(|frame| mem::take(&mut frame.lent));
        frames.truncate(entry.depth);
        gone.unwrap_or_default()
    };
    if !gone.is_empty() {
        nmr::stack_gone(&current.machine, entry.callback, &gone);
    }
    state.irql.set(entry.irql);
    state.critical_regions.set(entry.critical_regions);
    state.locks.borrow_mut().truncate(entry.locks);
}

fn check(entry: &Entry, now: KIRQL, regions: u32, locks: &[HeldLock]) {
    let Entry { callback, .. } = entry;
    let report = |rule: Rule, message: String, remedy: &str| match &entry.nmr {
        Some(nmr) => Breach::in_callback(nmr_model::Rule::CallbackUnbalanced, nmr, message)
            .placed(Some(CallSite::routine(nmr.routine)))
            .report(),
        None => verifier::report(rule, None, message, remedy),
    };
    if now != entry.irql {
        report(
            Rule::IrqlChanged,
            format!(
                "{callback} was entered at {} and returned at {}",
                irql::name(entry.irql),
                irql::name(now)
            ),
            "return at the IRQL at which the callback was entered: lower what was raised, \
             release each spin lock with the IRQL that its acquisition gave back",
        );
    }
    if regions != entry.critical_regions {
        report(
            Rule::CriticalRegionChanged,
            format!(
                "{callback} was entered {} critical regions deep and returned {regions} deep",
                entry.critical_regions
            ),
            "pair each KeEnterCriticalRegion with one KeLeaveCriticalRegion on every path",
        );
    }
    for lock in locks {
        report(
            Rule::LockHeldOnReturn,
            format!(
                "{callback} returned and still holds the {} at {:#x}",
                lock.kind, lock.address
            ),
            "release every lock that a callback takes before it returns",
        );
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.callback, self.driver)
    }
}
