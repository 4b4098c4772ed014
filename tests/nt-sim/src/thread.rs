//! The context of a simulated thread: its machine, IRQL, critical regions, callbacks and locks.
//!
//! Code that runs on a simulated thread finds its machine here. A thread of the host enters a
//! machine by [`Machine::enter`] (every call from outside does so by itself), and leaves it when the
//! guard is dropped; entering nests. Threads that a machine starts are entered from the beginning.
//!
//! The context is kept per thread of the host, or per task where a scheduler lets several tasks take
//! turns on one ([`Slot::Task`]).

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    mem,
    ptr::{self, NonNull},
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

use sim_platform::ThreadId;

use crate::{
    DISPATCH_LEVEL, DriverName, KIRQL, Machine, PASSIVE_LEVEL, ke, pool,
    scheduler::{Scheduler, Slot},
    wdf,
};

/// IRQLs as the kernel functions take them.
pub mod irql {
    use crate::KIRQL;

    /// Ordinary thread execution.
    pub const PASSIVE: KIRQL = 0;
    /// Normal kernel APCs are held off.
    pub const APC: KIRQL = 1;
    /// No thread switch, no blocking.
    pub const DISPATCH: KIRQL = 2;
    /// Everything is held off.
    pub const HIGH: KIRQL = 15;

    /// Returns the name of an IRQL as the documentation writes it.
    #[must_use]
    pub const fn name(irql: KIRQL) -> &'static str {
        match irql {
            PASSIVE => "PASSIVE_LEVEL",
            APC => "APC_LEVEL",
            DISPATCH => "DISPATCH_LEVEL",
            HIGH => "HIGH_LEVEL",
            _ => "DIRQL",
        }
    }
}

const _: () = assert!(PASSIVE_LEVEL == 0 && DISPATCH_LEVEL == 2);

/// A callback of a driver that is running on a thread.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Whose callback it is.
    pub driver: DriverName,
    /// Its name in the field's terms, for example `EvtIoDeviceControl`.
    pub callback: &'static str,
    /// The highest IRQL at which the kernel may call this callback: code in it must do with what is
    /// legal there, even when it happens to be called lower.
    pub contract: KIRQL,
    /// What the registrar says of it, if it is one of a network module.
    pub nmr: Option<nmr_model::Callback>,
    /// Where its stack begins, about.
    pub(crate) base: usize,
    /// The globals that its driver passes to the framework, once they were asked for.
    pub(crate) globals: Cell<Option<wdf::Globals>>,
    /// What of its stack is lent to the registrar.
    pub(crate) lent: Vec<(nmr_model::ModuleInfo, nmr_model::Lent)>,
}

/// A lock that a thread holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLock {
    /// What kind of lock.
    pub kind: &'static str,
    /// Where it is.
    pub address: usize,
}

/// The state of one simulated thread; touched by that thread only.
#[derive(Debug)]
pub(crate) struct ThreadState {
    pub(crate) id: ThreadId,
    pub(crate) irql: Cell<KIRQL>,
    pub(crate) critical_regions: Cell<u32>,
    pub(crate) frames: RefCell<Vec<Frame>>,
    pub(crate) locks: RefCell<Vec<HeldLock>>,
    /// The routine of this system thread asked to end it.
    pub(crate) terminated: Cell<bool>,
    /// What the pool keeps for this thread.
    pub(crate) pool: pool::OfThread,
    /// When the outermost callback on this thread began, or else the thread itself; see [`now`].
    pub(crate) operation: Cell<u64>,
}

impl ThreadState {
    fn new(machine: &Machine, id: ThreadId) -> Self {
        Self {
            id,
            pool: machine.pool_state().begin_thread(),
            irql: Cell::new(irql::PASSIVE),
            critical_regions: Cell::new(0),
            frames: RefCell::new(Vec::new()),
            locks: RefCell::new(Vec::new()),
            terminated: Cell::new(false),
            operation: Cell::new(now()),
        }
    }
}

/// A simulated thread on its machine.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) machine: Machine,
    pub(crate) state: ThreadState,
}

impl Drop for Current {
    fn drop(&mut self) {
        self.machine.pool_state().end_thread(&self.state.pool);
    }
}

/// Names the task that runs, if one does.
type CurrentTask = fn() -> Option<u64>;

struct Slots {
    /// Names the task that runs, once a scheduler has run several on this thread of the host.
    task: Cell<Option<CurrentTask>>,
    tasks: RefCell<BTreeMap<u64, Rc<Current>>>,
    current: RefCell<Option<Rc<Current>>>,
    /// The context that this thread of the host entered last, to be used again.
    last: RefCell<Option<Rc<Current>>>,
}

// Nearly every function of the kernel comes here, so both are found without any set-up.
thread_local! {
    static SLOTS: Slots = const { Slots::new() };
    /// The context that [`SLOTS`] has as the current one, if its machine is [unobserved](is_unobserved); else null.
    static UNOBSERVED: Cell<*const Current> = const { Cell::new(ptr::null()) };
}

impl Slots {
    const fn new() -> Self {
        Self {
            task: Cell::new(None),
            tasks: RefCell::new(BTreeMap::new()),
            current: RefCell::new(None),
            last: RefCell::new(None),
        }
    }

    #[inline]
    fn get(&self) -> Option<Rc<Current>> {
        self.task().map_or_else(
            || self.current.borrow().clone(),
            |task| self.tasks.borrow().get(&task).cloned(),
        )
    }

    /// The task that runs, if a scheduler runs tasks on this thread of the host now.
    fn task(&self) -> Option<u64> {
        self.task.get().and_then(|task| task())
    }

    fn replace(&self, new: Option<Rc<Current>>) -> Option<Rc<Current>> {
        let task = self.task();
        let unobserved = new
            .as_ref()
            .filter(|new| task.is_none() && new.machine.is_unobserved());
        UNOBSERVED.set(unobserved.map_or(ptr::null(), Rc::as_ptr));
        match (task, new) {
            (None, new) => self.current.replace(new),
            (Some(task), Some(new)) => self.tasks.borrow_mut().insert(task, new),
            (Some(task), None) => self.tasks.borrow_mut().remove(&task),
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // The end of the thread: what is pointed to goes with this.
        UNOBSERVED.set(ptr::null());
    }
}

/// Prepares this thread of the host for a scheduler that runs several tasks on it.
pub(crate) fn adopt(scheduler: &dyn Scheduler) {
    if let Slot::Task(task) = scheduler.slot() {
        SLOTS.with(|slots| {
            slots.task.set(Some(task));
            UNOBSERVED.set(ptr::null());
            // What an earlier run left behind, for example one that ended in the middle.
            let stale = mem::take(&mut *slots.tasks.borrow_mut());
            slots.last.take();
            drop(stale);
        });
        ke::divide();
    }
}

/// Whether the calling thread is on a machine that neither checks rules nor decides about every step of its threads: then
/// the points where it could do either are passed at once.
#[inline]
pub(crate) fn is_unobserved() -> bool {
    !UNOBSERVED.get().is_null()
}

/// The context of the calling thread, if it is on a machine.
#[inline]
fn current() -> Option<Rc<Current>> {
    let unobserved = UNOBSERVED.get();
    if unobserved.is_null() {
        return observed();
    }
    // SAFETY: it is a pointer that `Rc::as_ptr` gave, and the slot holds a reference for as long as it is there.
    unsafe { Rc::increment_strong_count(unobserved) };
    // SAFETY: as above; the reference is the one that was counted just now.
    Some(unsafe { Rc::from_raw(unobserved) })
}

/// As [`current`], where anybody may look.
#[cold]
fn observed() -> Option<Rc<Current>> {
    SLOTS.try_with(Slots::get).ok().flatten()
}

/// As [`try_with`], without a reference of its own where that can be: `leaf` looks at the context, and calls nothing
/// else. It is for the functions of this module.
#[inline]
fn try_leaf<R>(leaf: impl FnOnce(&Current) -> R) -> Option<R> {
    let unobserved = UNOBSERVED.get();
    if unobserved.is_null() {
        return try_with(leaf);
    }
    // SAFETY: it is a pointer that `Rc::as_ptr` gave, and the slot holds a reference for as long as it is there. It is
    // there until the end of `leaf`, which neither enters a machine nor leaves one, as all closures in this module show.
    Some(leaf(unsafe { &*unobserved }))
}

/// Sets the IRQL of the calling thread; returns the one before.
///
/// # Panics
///
/// As [`with`].
#[inline]
#[track_caller]
pub(crate) fn replace_irql(new: KIRQL) -> KIRQL {
    try_leaf(|current| current.state.irql.replace(new)).unwrap_or_else(|| on_no_machine())
}

/// The calling thread is in one critical region more.
///
/// # Panics
///
/// As [`with`].
#[inline]
#[track_caller]
pub(crate) fn enter_critical_region() {
    try_leaf(|current| current.state.critical_regions.update(|regions| regions + 1))
        .unwrap_or_else(|| on_no_machine());
}

/// The calling thread is in one critical region less; tells whether it was in any.
///
/// # Panics
///
/// As [`with`].
#[inline]
#[track_caller]
pub(crate) fn leave_critical_region() -> bool {
    try_leaf(|current| {
        let regions = &current.state.critical_regions;
        regions.replace(regions.get().saturating_sub(1)) > 0
    })
    .unwrap_or_else(|| on_no_machine())
}

/// Allocates pool from what the calling thread has freed, if there is such a block and nobody looks.
#[inline]
pub(crate) fn reuse_pool(size: usize, tag: u32, zero: bool) -> Option<NonNull<u8>> {
    try_leaf(|current| {
        if current.machine.faults_state().is_active() {
            return None;
        }
        current.state.pool.reuse(size, tag, zero)
    })
    .flatten()
}

/// Forgets a machine that has ended, unless the calling thread is still on it.
pub(crate) fn forget(machine: &Machine) {
    let last = SLOTS.with(|slots| {
        let matches = slots
            .last
            .borrow()
            .as_ref()
            .is_some_and(|last| last.machine.is(machine));
        if matches { slots.last.take() } else { None }
    });
    drop(last);
}

/// Runs `with` on the context of the calling thread, if it is on a machine.
#[inline]
pub(crate) fn try_with<R>(with: impl FnOnce(&Current) -> R) -> Option<R> {
    Some(with(&*current()?))
}

/// Runs `with` on the context of the calling thread.
///
/// # Panics
///
/// If the thread is on no machine: a kernel function was called from outside.
#[inline]
#[track_caller]
pub(crate) fn with<R>(with: impl FnOnce(&Current) -> R) -> R {
    let Some(current) = current() else { on_no_machine() };
    with(&current)
}

#[cold]
#[track_caller]
fn on_no_machine() -> ! {
    panic!(
        "a kernel function was called on a thread that is on no simulated machine; \
         enter one by Machine::enter, or start the thread by PsCreateSystemThread"
    )
}

/// What a thread was on before it entered a machine.
#[derive(Debug, Default)]
enum Before {
    /// The same machine: there is nothing to leave.
    #[default]
    Same,
    /// No machine.
    None,
    /// Another machine, or another thread of this one.
    Other(Rc<Current>),
}

impl From<Option<Rc<Current>>> for Before {
    fn from(before: Option<Rc<Current>>) -> Self {
        before.map_or(Self::None, Self::Other)
    }
}

/// Keeps the calling thread on a machine; dropping it leaves the machine.
#[derive(Debug)]
#[must_use = "dropping this leaves the machine"]
pub struct Entered {
    /// What the thread was on before.
    before: Before,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = match mem::take(&mut self.before) {
            Before::Same => return,
            Before::None => None,
            Before::Other(before) => Some(before),
        };
        // At the end of a thread of the host there is nothing left to lead back to.
        drop(SLOTS.try_with(|slots| slots.replace(before)));
    }
}

/// Enters `machine` as a thread that came from outside, or does nothing if the caller is on it.
#[inline]
pub(crate) fn enter(machine: &Machine) -> Entered {
    if try_leaf(|current| current.machine.is(machine)) == Some(true) {
        return Entered { before: Before::Same };
    }
    enter_from_elsewhere(machine)
}

fn enter_from_elsewhere(machine: &Machine) -> Entered {
    SLOTS.with(|slots| {
        let before = slots.get();
        let reusable = slots.task().is_none();
        let last = reusable
            .then(|| slots.last.borrow().clone())
            .flatten()
            .filter(|last| last.machine.is(machine));
        let context = last.unwrap_or_else(|| {
            let new = Rc::new(Current {
                machine: machine.clone(),
                state: ThreadState::new(machine, machine.new_thread_id()),
            });
            if reusable {
                slots.last.replace(Some(Rc::clone(&new)));
            }
            new
        });
        slots.replace(Some(context));
        Entered {
            before: before.into(),
        }
    })
}

/// Enters `machine` as a thread that the machine itself started.
pub(crate) fn enter_new(machine: &Machine, id: ThreadId) -> Entered {
    let context = Rc::new(Current {
        machine: machine.clone(),
        state: ThreadState::new(machine, id),
    });
    SLOTS.with(|slots| Entered {
        before: slots.replace(Some(context)).into(),
    })
}

/// A moment: later ones are greater, on all threads of the process.
pub(crate) fn now() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(0);
    NOW.fetch_add(1, Ordering::Relaxed)
}

/// When what the calling thread does was begun: its outermost callback, or else the thread.
pub(crate) fn operation() -> u64 {
    try_with(|current| current.state.operation.get()).unwrap_or(0)
}

/// Returns the IRQL of the calling thread; PASSIVE off any machine.
#[must_use]
#[inline]
pub fn current_irql() -> KIRQL {
    try_leaf(|current| current.state.irql.get()).unwrap_or(irql::PASSIVE)
}

/// Returns the calling thread, if it is on a machine.
#[must_use]
#[inline]
pub fn current_thread() -> Option<ThreadId> {
    try_leaf(|current| current.state.id)
}

/// Returns the innermost callback that runs on the calling thread, if one does.
#[must_use]
pub fn current_frame() -> Option<Frame> {
    try_with(|current| current.state.frames.borrow().last().cloned()).flatten()
}

/// Returns the driver whose callback runs on the calling thread, if one does.
#[must_use]
pub fn current_driver() -> Option<DriverName> {
    try_with(|current| {
        let frames = current.state.frames.borrow();
        frames.last().map(|frame| frame.driver.clone())
    })
    .flatten()
}

/// Returns the callbacks that run on the calling thread, outermost first.
#[must_use]
pub fn current_frames() -> Vec<Frame> {
    try_with(|current| current.state.frames.borrow().clone()).unwrap_or_default()
}

/// Returns the locks that the calling thread holds, in the order in which it took them.
#[must_use]
pub fn held_locks() -> Vec<HeldLock> {
    try_with(|current| current.state.locks.borrow().clone()).unwrap_or_default()
}
