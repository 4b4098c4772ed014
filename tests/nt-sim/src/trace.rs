//! The timeline of a machine: what happened, on which thread, in whose code.
//!
//! Events have a type each, so that tests compare values and not text; their `Display` is one line for
//! a person. The timeline keeps the latest events up to a bound. A subscriber sees each event as it
//! happens.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sim_platform::ThreadId;

use crate::{
    DriverName, NTSTATUS,
    io::RequestStep,
    nmr,
    ntstatus::NtStatus,
    scm::ServiceState,
    sync::StateLock,
    thread::{self},
};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A driver's image was loaded; its entry point runs next.
    DriverLoading {
        /// The image.
        driver: DriverName,
    },
    /// A driver's entry point returned.
    DriverLoaded {
        /// The image.
        driver: DriverName,
        /// What the entry point returned.
        status: NTSTATUS,
    },
    /// A driver is about to be unloaded.
    DriverUnloading {
        /// The image.
        driver: DriverName,
    },
    /// A driver is gone.
    DriverUnloaded {
        /// The image.
        driver: DriverName,
    },
    /// The kernel called into a driver.
    CallbackEntered {
        /// The callback's name.
        callback: &'static str,
    },
    /// A driver returned to the kernel.
    CallbackReturned {
        /// The callback's name.
        callback: &'static str,
    },
    /// A driver started a system thread.
    ThreadStarted {
        /// The new thread.
        thread: ThreadId,
    },
    /// A system thread ended.
    ThreadEnded {
        /// The thread.
        thread: ThreadId,
    },
    /// The registrar did something: a registration, a step of a binding, a drain.
    Nmr(nmr::Step),
    /// The I/O manager sent a request to a driver, gave it up, or got it back.
    Request(RequestStep),
    /// The framework or the I/O manager did something else: a device, an open file.
    Io {
        /// What it did, in KMDF's terms.
        what: String,
    },
    /// A service is doing something else than before.
    ServiceState {
        /// The service.
        service: String,
        /// What it is doing now.
        state: ServiceState,
    },
    /// Service control did something else.
    Service {
        /// What it did.
        what: String,
    },
    /// A driver printed to the debugger.
    Debug {
        /// The text, without a line end.
        text: String,
    },
    /// The verifier found a broken rule.
    Broken {
        /// The first line of the finding.
        what: String,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DriverLoading { driver } => write!(f, "load {driver}"),
            Self::DriverLoaded { driver, status } => {
                write!(f, "{driver}: DriverEntry returned {}", NtStatus(*status))
            }
            Self::DriverUnloading { driver } => write!(f, "unload {driver}"),
            Self::DriverUnloaded { driver } => write!(f, "{driver} is unloaded"),
            Self::CallbackEntered { callback } => write!(f, "-> {callback}"),
            Self::CallbackReturned { callback } => write!(f, "<- {callback}"),
            Self::ThreadStarted { thread } => write!(f, "thread {} started", thread.0),
            Self::ThreadEnded { thread } => write!(f, "thread {} ended", thread.0),
            Self::Nmr(step) => step.fmt(f),
            Self::Request(step) => step.fmt(f),
            Self::ServiceState { service, state } => write!(f, "service {service}: {state}"),
            Self::Io { what } | Self::Service { what } => f.write_str(what),
            Self::Debug { text } => write!(f, "prints: {text}"),
            Self::Broken { what } => write!(f, "RULE BROKEN: {what}"),
        }
    }
}

/// One event of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Place in the timeline of this machine, from 1 without gaps.
    pub sequence: u64,
    /// Time since the machine was built.
    pub since_boot: Duration,
    /// The thread on which it happened; `None` if off any simulated thread.
    pub thread: Option<ThreadId>,
    /// The driver whose code ran on that thread, if any.
    pub driver: Option<DriverName>,
    /// How many callbacks deep the thread was.
    pub depth: usize,
    /// What happened.
    pub kind: Kind,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sequence,
            since_boot,
            depth,
            kind,
            ..
        } = self;
        let thread = self.thread.map_or(0, |thread| thread.0);
        let driver = self.driver.as_ref().map_or("kernel", DriverName::as_str);
        write!(
            f,
            "{sequence:>5} {:>12.6}s thread {thread:<3} {driver:<22} {:indent$}{kind}",
            since_boot.as_secs_f64(),
            "",
            indent = depth.saturating_mul(2),
        )
    }
}

/// Sees each event as it happens, on the thread on which it happens; it must not call the machine.
pub type Subscriber = Arc<dyn Fn(&Event) + Send + Sync>;

/// The timeline of a machine.
pub struct Trace {
    on: AtomicBool,
    next: AtomicU64,
    boot: Instant,
    capacity: usize,
    inner: StateLock<Inner>,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Event>,
    subscribers: Vec<Subscriber>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("on", &self.on)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Trace {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            on: AtomicBool::new(capacity > 0),
            next: AtomicU64::new(1),
            boot: Instant::now(),
            capacity,
            inner: StateLock::default(),
        }
    }

    /// Whether anybody keeps or sees events.
    pub(crate) fn is_kept(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Adds an event; `kind` runs only if the timeline is kept.
    #[inline]
    pub fn record(&self, kind: impl FnOnce() -> Kind) {
        if self.is_kept() {
            self.add(kind());
        }
    }

    fn add(&self, kind: Kind) {
        let context = thread::try_with(|current| {
            let frames = current.state.frames.borrow();
            let driver = frames.last().map(|frame| frame.driver.clone());
            let inside = matches!(kind, Kind::CallbackEntered { .. } | Kind::CallbackReturned { .. });
            let depth = frames.len().saturating_sub(usize::from(inside));
            (current.state.id, driver, depth)
        });
        let (thread, driver, depth) = context.map_or((None, None, 0), |(thread, driver, depth)| {
            (Some(thread), driver, depth)
        });
        let (event, subscribers) = self.inner.with(|inner| {
            let event = Event {
                // Counted under the lock, so that the order of the numbers is that of the list.
                sequence: self.next.fetch_add(1, Ordering::Relaxed),
                since_boot: self.boot.elapsed(),
                thread,
                driver,
                depth,
                kind,
            };
            if inner.events.len() >= self.capacity {
                inner.events.pop_front();
            }
            inner.events.push_back(event.clone());
            (event, inner.subscribers.clone())
        });
        for subscriber in subscribers {
            subscriber(&event);
        }
    }

    /// Returns the events that are still kept, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.inner.with(|inner| inner.events.iter().cloned().collect())
    }

    /// Lets `subscriber` see each event from now on.
    pub fn subscribe(&self, subscriber: Subscriber) {
        self.on.store(true, Ordering::Relaxed);
        self.inner.with(|inner| inner.subscribers.push(subscriber));
    }

    /// Returns the time since the machine was built.
    #[must_use]
    pub fn since_boot(&self) -> Duration {
        self.boot.elapsed()
    }
}
