//! Calls that fail although nothing is wrong with them.
//!
//! Every kernel function that may fail for want of something passes here before it takes effect. A test
//! [injects](Machine::inject) a [`Fault`]: which [`Calls`], how many of them succeed before, how many fail
//! then, and how. What failed is kept as a [`Hit`], with the driver and the place in its code.
//!
//! To fail each call of a run in turn, a test counts up [`Fault::after`] until a run has no hit. To fail one
//! call per *place*, it has a run [recorded](Machine::record_fallible_calls) and injects [`Calls::At`] for
//! each place that was met.
//!
//! Functions that cannot fail for callers who keep their contract have no place here: closing, waiting,
//! `ObReferenceObjectByHandle` of a valid handle, initialising what lies in the driver's own memory.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    DriverName, Machine,
    files::{self, Operation},
    ntstatus::NtStatus,
    sync::StateLock,
    thread,
    verifier::CallSite,
};

/// What a call needs that may be wanting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Pool memory.
    Pool,
    /// The registry.
    Registry,
    /// Files and directories.
    File,
    /// System threads.
    Thread,
    /// Framework objects other than devices.
    Object,
    /// Devices and their names.
    Device,
    /// The memory of the Network Module Registrar for a module or a binding.
    Registrar,
    /// Random numbers.
    Random,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Pool,
        Self::Registry,
        Self::File,
        Self::Thread,
        Self::Object,
        Self::Device,
        Self::Registrar,
        Self::Random,
    ];
}

/// Some of the calls that may fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Calls {
    /// All of them.
    All,
    /// Those of some classes.
    Of(&'static [Class]),
    /// Those of one function.
    Function(&'static str),
    /// Those that are made at one place.
    At(Place),
}

/// A call in the code of a driver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The kernel function, by its documented name.
    pub function: &'static str,
    /// Where it is called.
    pub site: CallSite,
}

impl Place {
    /// The innermost functions of drivers that lead to the call. Whoever called these, the tests or a program, does
    /// not count.
    #[must_use]
    pub fn path(&self) -> Vec<String> {
        let mut lines = self.site.lines();
        lines.retain(|line| !line.contains("(tests/"));
        lines
    }

    /// Whether both are calls of one function by the same functions of drivers.
    fn is(&self, other: &Self) -> bool {
        self.function == other.function && (self.site == other.site || self.path() == other.path())
    }
}

/// Calls that fail although nothing is wrong with them.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which calls.
    pub calls: Calls,
    /// How many of them succeed before.
    pub after: usize,
    /// How many of them fail then; `usize::MAX` for all.
    pub times: usize,
    /// How they fail; `None` for how such a call usually does. An allocation gives NULL in any case.
    pub status: Option<NtStatus>,
    /// A write that fails has written the first half of its bytes.
    pub torn: bool,
}

impl Fault {
    /// One call fails, as such a call usually does.
    #[must_use]
    pub const fn once(calls: Calls, after: usize) -> Self {
        Self {
            calls,
            after,
            times: 1,
            status: None,
            torn: false,
        }
    }
}

impl From<files::Fault> for Fault {
    fn from(fault: files::Fault) -> Self {
        Self {
            calls: Calls::Function(fault.operation.function()),
            after: fault.after,
            times: fault.times,
            status: Some(fault.status),
            torn: false,
        }
    }
}

/// A call that was made to fail.
#[derive(Clone, Debug)]
pub struct Hit {
    /// What was wanting.
    pub class: Class,
    /// Which function was called, and where.
    pub place: Place,
    /// How it failed.
    pub status: NtStatus,
    /// Whose callback ran, if one did: the framework also allocates for a driver before it calls it.
    pub driver: Option<DriverName>,
}

/// How a call is to fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub(crate) status: NtStatus,
    /// A write is to write a part first.
    pub(crate) torn: bool,
}

/// What this module keeps per machine.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Whether there is anything to do here: read on every call.
    active: AtomicBool,
    inner: StateLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    faults: Vec<Fault>,
    hits: Vec<Hit>,
    /// The places that were met, in the order in which they were, while they are recorded.
    recorded: Option<(Vec<Place>, HashSet<Place>)>,
    /// How many calls were made since faults were injected or calls recorded.
    calls: usize,
}

impl State {
    /// What every call that may fail goes through before it takes effect.
    ///
    /// # Errors
    /// How it is to fail.
    #[inline]
    pub(crate) fn judge(&self, class: Class, function: &'static str) -> Result<(), Failure> {
        if self.is_active() {
            self.decide(class, function)
        } else {
            Ok(())
        }
    }

    /// Whether any call may be made to fail, or is recorded.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    #[cold]
    fn decide(&self, class: Class, function: &'static str) -> Result<(), Failure> {
        self.inner.with(|inner| {
            inner.calls += 1;
            let places = inner.recorded.is_some()
                || inner
                    .faults
                    .iter()
                    .any(|fault| matches!(&fault.calls, Calls::At(place) if place.function == function));
            let place = places.then(|| Place {
                function,
                site: CallSite::here(),
            });
            if let (Some((order, known)), Some(place)) = (&mut inner.recorded, &place)
                && known.insert(place.clone())
            {
                order.push(place.clone());
            }
            let applies = |calls: &Calls| match calls {
                Calls::All => true,
                Calls::Of(classes) => classes.contains(&class),
                Calls::Function(name) => *name == function,
                Calls::At(at) => place.as_ref().is_some_and(|place| place.is(at)),
            };
            for fault in inner.faults.iter_mut().filter(|fault| applies(&fault.calls)) {
                if fault.after > 0 {
                    fault.after -= 1;
                } else if fault.times > 0 {
                    fault.times -= usize::from(fault.times != usize::MAX);
                    let over = fault.times == 0;
                    let torn = fault.torn;
                    let status = fault.status.unwrap_or_else(|| usual_status(function));
                    inner.hits.push(Hit {
                        class,
                        place: place.unwrap_or_else(|| Place {
                            function,
                            site: CallSite::here(),
                        }),
                        status,
                        driver: thread::current_driver(),
                    });
                    if over {
                        inner.faults.retain(|fault| fault.times > 0);
                        let active = !inner.faults.is_empty() || inner.recorded.is_some();
                        self.active.store(active, Ordering::Relaxed);
                    }
                    return Err(Failure { status, torn });
                }
            }
            Ok(())
        })
    }

    /// As [`Self::judge`], for a call that fails wholly or not at all.
    ///
    /// # Errors
    /// The status with which it is to fail.
    #[inline]
    pub(crate) fn pass(&self, class: Class, function: &'static str) -> Result<(), NtStatus> {
        self.judge(class, function).map_err(|failure| failure.status)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Inner) -> R) -> R {
        self.inner.with(|inner| {
            let result = change(inner);
            let active = !inner.faults.is_empty() || inner.recorded.is_some();
            self.active.store(active, Ordering::Relaxed);
            result
        })
    }
}

/// How a function fails that has no fault of its own.
fn usual_status(function: &str) -> NtStatus {
    let of = |operation: Operation| operation.function();
    if [of(Operation::WriteFile), of(Operation::SetEndOfFile)].contains(&function) {
        NtStatus::DISK_FULL
    } else if [of(Operation::ReadFile), of(Operation::FlushFile)].contains(&function) {
        NtStatus::IO_DEVICE_ERROR
    } else {
        NtStatus::INSUFFICIENT_RESOURCES
    }
}

/// Lets a call of the machine's current driver pass, or says how it is to fail.
///
/// # Errors
/// The status with which it is to fail.
pub(crate) fn pass(class: Class, function: &'static str) -> Result<(), NtStatus> {
    thread::with(|current| current.machine.faults_state().pass(class, function))
}

impl Machine {
    /// Makes calls of drivers fail from now on.
    pub fn inject(&self, fault: impl Into<Fault>) {
        let fault = fault.into();
        self.faults_state().change(|inner| {
            if inner.faults.is_empty() {
                inner.calls = 0;
            }
            inner.faults.push(fault);
        });
    }

    /// As [`Self::inject`]; a write that fails so has written the first half of its bytes.
    pub fn inject_torn(&self, fault: impl Into<Fault>) {
        let mut fault = fault.into();
        fault.torn = true;
        self.inject(fault);
    }

    /// The calls that have failed so, in the order in which they did.
    #[must_use]
    pub fn hits(&self) -> Vec<Hit> {
        self.faults_state().inner.with(|inner| inner.hits.clone())
    }

    /// How many calls have failed so.
    #[must_use]
    pub fn faults_hit(&self) -> usize {
        self.faults_state().inner.with(|inner| inner.hits.len())
    }

    /// Lets calls succeed again; what was hit stays known.
    pub fn clear_faults(&self) {
        self.faults_state().change(|inner| inner.faults.clear());
    }

    /// Makes one allocation of a driver fail: the one after `skip` more that succeed. What the registrar
    /// needs for the registration of a module counts as one.
    pub fn fail_allocation(&self, skip: u64) {
        let after = usize::try_from(skip).unwrap_or(usize::MAX);
        self.faults_state().change(|inner| inner.hits.clear());
        self.inject(Fault::once(Calls::Of(MEMORY), after));
    }

    /// Tells whether an allocation that was to fail has failed, and forgets it if it has not.
    #[must_use]
    pub fn allocation_has_failed(&self) -> bool {
        self.faults_state().change(|inner| {
            inner.faults.retain(|fault| fault.calls != Calls::Of(MEMORY));
            let failed = |hit: &Hit| MEMORY.contains(&hit.class);
            let before = inner.hits.len();
            inner.hits.retain(|hit| !failed(hit));
            inner.hits.len() != before
        })
    }

    /// Begins to record where calls are made that may fail.
    pub fn record_fallible_calls(&self) {
        self.faults_state().change(|inner| {
            inner.recorded = Some((Vec::new(), HashSet::new()));
            inner.calls = 0;
        });
    }

    /// Ends the recording: how many calls were made that may fail, and at which places, in the order in which
    /// those were met.
    #[must_use]
    pub fn take_fallible_calls(&self) -> (usize, Vec<Place>) {
        self.faults_state().change(|inner| {
            let places = inner.recorded.take().map_or_else(Vec::new, |(order, _)| order);
            (inner.calls, places)
        })
    }
}

/// What stands for memory.
const MEMORY: &[Class] = &[Class::Pool, Class::Registrar];
