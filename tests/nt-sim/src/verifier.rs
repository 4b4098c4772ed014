//! The verifier: which rule was broken, by whom, where, and what is legal instead.
//!
//! It is on unless a machine is built without it. Findings are collected, and put into the timeline;
//! nothing is stopped, except where going on would mean to hang or to touch freed memory.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use nmr_model::{Class, Severity};
use sim_platform::ThreadId;

pub use crate::call_site::CallSite;
use crate::{
    DriverName, KIRQL, Machine, nmr,
    sync::StateLock,
    thread::{self, irql},
    trace::Kind,
};

/// A rule of the kernel, the framework, or the registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A function was called above the IRQL that its documentation allows.
    IrqlTooHigh,
    /// A function was called below the IRQL that its documentation demands, or lowered or raised it
    /// the wrong way.
    IrqlWrong,
    /// A callback returned at another IRQL than it was entered at.
    IrqlChanged,
    /// A callback entered and left critical regions unevenly.
    CriticalRegionChanged,
    /// A push lock was taken while normal kernel APCs could still arrive.
    ApcsEnabled,
    /// A callback returned with a lock held.
    LockHeldOnReturn,
    /// A lock was taken twice by one thread, or released by one that does not hold it.
    LockMisuse,
    /// Pool was not freed when its driver was unloaded.
    PoolLeak,
    /// Pool was freed twice.
    PoolDoubleFree,
    /// Pool was written after it was freed.
    PoolWriteAfterFree,
    /// More was written than was allocated.
    PoolOverrun,
    /// Pool was freed under another tag than it was allocated.
    PoolWrongTag,
    /// An address was freed that is not from the pool, or an allocation asked for nonsense.
    PoolMisuse,
    /// An event, lock or thread object was used that was never initialised or is gone.
    BadObject,
    /// A handle is not open, or of another kind.
    BadHandle,
    /// A driver was unloaded while a thread of it was running.
    ThreadAtUnload,
    /// A driver was unloaded with something of it still registered, bound or open.
    LiveAtUnload,
    /// A rule of the Network Module Registrar, by its number.
    Nmr(nmr_model::Rule),
    /// A rule of the Kernel-Mode Driver Framework.
    Kmdf,
    /// A parameter that the documentation rules out.
    BadParameter,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nmr(rule) => return write!(f, "{rule}: {}", rule.title()),
            Self::IrqlTooHigh => "IRQL too high",
            Self::IrqlWrong => "wrong IRQL",
            Self::IrqlChanged => "callback changed the IRQL",
            Self::CriticalRegionChanged => "callback left a critical region unevenly",
            Self::ApcsEnabled => "push lock without a critical region",
            Self::LockHeldOnReturn => "callback returned with a lock held",
            Self::LockMisuse => "lock taken twice or released by another",
            Self::PoolLeak => "pool leak",
            Self::PoolDoubleFree => "pool freed twice",
            Self::PoolWriteAfterFree => "pool written after free",
            Self::PoolOverrun => "pool overrun",
            Self::PoolWrongTag => "pool freed under another tag",
            Self::PoolMisuse => "pool misuse",
            Self::BadObject => "object not initialised or gone",
            Self::BadHandle => "bad handle",
            Self::ThreadAtUnload => "thread still running at unload",
            Self::LiveAtUnload => "still registered at unload",
            Self::Kmdf => "KMDF contract",
            Self::BadParameter => "bad parameter",
        })
    }
}

/// The call that set up what was broken later.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// Which function or callback it was.
    pub call: &'static str,
    /// Where it was made.
    pub site: CallSite,
}

/// A broken rule.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// Whose code broke it, as far as it is known.
    pub driver: Option<DriverName>,
    /// The callback that ran.
    pub callback: Option<&'static str>,
    /// The thread on which it happened.
    pub thread: Option<ThreadId>,
    /// The call that broke it.
    pub call: Option<&'static str>,
    /// Where the call was made, or where the thing at fault was made.
    pub site: Option<CallSite>,
    /// For a rule of the registrar: the module or the side of a binding.
    pub subject: Option<nmr_model::Subject>,
    /// The same in words.
    pub whose: Option<String>,
    /// The call that set it up, for example the registration or the attach.
    pub since: Option<SetUp>,
    /// What happened.
    pub message: String,
    /// What is legal instead.
    pub remedy: String,
}

impl Finding {
    /// A finding about no place, thread or driver yet.
    #[must_use]
    pub fn new(rule: Rule, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            rule,
            severity: match rule {
                Rule::Nmr(rule) => rule.severity(),
                _ => Severity::Error,
            },
            driver: None,
            callback: None,
            thread: None,
            call: None,
            site: None,
            subject: None,
            whose: None,
            since: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// Tells whether this is a hint to look at rather than a defect: real systems tolerate it, or nobody
    /// can be certain.
    #[must_use]
    pub fn is_advice(&self) -> bool {
        let advisory = matches!(self.rule, Rule::Nmr(rule) if rule.class() == Class::Advisory);
        advisory || self.severity == Severity::Lint
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_ref().map_or("the machine", DriverName::as_str);
        writeln!(f, "{driver}: {}: {}", self.severity, self.rule)?;
        writeln!(f, "  what   {}", self.message)?;
        match (self.callback, self.thread) {
            (Some(callback), Some(thread)) => {
                writeln!(f, "  in     {callback}, thread {}", thread.0)?;
            }
            (None, Some(thread)) => writeln!(f, "  in     thread {}", thread.0)?,
            (Some(callback), None) => writeln!(f, "  in     {callback}")?,
            (None, None) => {}
        }
        if let Some(whose) = &self.whose {
            writeln!(f, "  whose  {whose}")?;
        }
        for (index, line) in self.site.iter().flat_map(CallSite::lines).enumerate() {
            let label = if index == 0 { "at" } else { "" };
            writeln!(f, "  {label:<6} {line}")?;
        }
        if let Some(since) = &self.since {
            writeln!(f, "  since  {}", since.call)?;
            for line in since.site.lines() {
                writeln!(f, "         {line}")?;
            }
        }
        write!(f, "  legal  {}", self.remedy)
    }
}

/// How many findings are kept; one that repeats should not fill the memory.
const KEPT: usize = 1000;

/// The findings of a machine.
#[derive(Debug, Default)]
pub(crate) struct State {
    findings: StateLock<Vec<Finding>>,
    advice: StateLock<Vec<Finding>>,
    dropped: AtomicUsize,
}

impl State {
    pub(crate) fn add(&self, finding: Finding) {
        let list = if finding.is_advice() {
            &self.advice
        } else {
            &self.findings
        };
        list.with(|findings| {
            if findings.len() < KEPT {
                findings.push(finding);
            } else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// How many findings were made on a thread.
    pub(crate) fn of_thread(&self, thread: Option<ThreadId>) -> usize {
        self.findings
            .with(|findings| findings.iter().filter(|finding| finding.thread == thread).count())
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.findings.with(|findings| findings.clone())
    }

    pub(crate) fn advice(&self) -> Vec<Finding> {
        self.advice.with(|advice| advice.clone())
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Reports that the code on the calling thread broke a rule, if the verifier is on.
///
/// `call` is the function that was called wrongly, if one was; driver, callback, thread and call site
/// are taken from the thread.
pub fn report(rule: Rule, call: Option<&'static str>, message: impl Into<String>, remedy: impl Into<String>) {
    let Some(machine) = thread::try_with(|current| current.machine.clone()) else {
        return;
    };
    if !machine.verifier_is_on() {
        return;
    }
    let frame = thread::current_frame();
    let (driver, callback) = frame.map_or((None, None), |frame| (Some(frame.driver), Some(frame.callback)));
    report_finding(
        &machine,
        Finding {
            driver,
            callback,
            thread: thread::current_thread(),
            call,
            site: Some(CallSite::here()),
            ..Finding::new(rule, message, remedy)
        },
    );
}

/// Reports a finding that was put together elsewhere, if the verifier is on.
pub fn report_finding(machine: &Machine, finding: Finding) {
    if !machine.verifier_is_on() {
        return;
    }
    if !finding.is_advice() {
        machine.trace().record(|| Kind::Broken {
            what: format!(
                "{}: {}: {}",
                finding.driver.as_ref().map_or("the machine", DriverName::as_str),
                finding.rule,
                finding.message
            ),
        });
    }
    machine.verifier_state().add(finding);
}

/// Checks the IRQL limit that a function documents.
///
/// Inside a callback that may be called at a higher IRQL than now, that IRQL counts.
#[inline]
pub fn require_irql_at_most(call: &'static str, limit: KIRQL) {
    if !thread::is_unobserved() {
        check_irql(call, limit);
    }
}

#[cold]
fn check_irql(call: &'static str, limit: KIRQL) {
    let too_high = thread::with(|current| {
        if !current.machine.verifier_is_on() {
            return None;
        }
        let now = current.state.irql.get();
        if now > limit {
            return Some((now, None));
        }
        let frames = current.state.frames.borrow();
        frames
            .iter()
            .find(|frame| frame.contract > limit)
            .map(|frame| (frame.contract, Some((frame.callback, frame.nmr))))
    });
    let Some((found, contract)) = too_high else {
        return;
    };
    let limit_name = irql::name(limit);
    contract.map_or_else(
        || {
            report(
                Rule::IrqlTooHigh,
                Some(call),
                format!(
                    "{call} was called at {}; it may be called at {limit_name} at most",
                    irql::name(found)
                ),
                format!(
                    "call {call} where the IRQL is {limit_name} or lower: before a spin lock is taken \
                     or after it is released, or from a thread of the driver"
                ),
            );
        },
        |(callback, nmr)| {
            let message = format!(
                "{call}, which needs {limit_name} or lower, was called inside {callback}, which the \
                 kernel may call at {}",
                irql::name(found)
            );
            if let Some(nmr) = nmr {
                if !nmr::first_in(nmr_model::Rule::BlockingInDetach, &nmr) {
                    return;
                }
                nmr::Breach::in_callback(nmr_model::Rule::BlockingInDetach, &nmr, message)
                    .by(call)
                    .report();
                return;
            }
            report(
                Rule::IrqlTooHigh,
                Some(call),
                message,
                format!("leave the work to a thread of the driver and return from {callback}"),
            );
        },
    );
}
