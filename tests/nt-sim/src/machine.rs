//! The simulated computer, as a value.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sim_platform::ThreadId;

use crate::{
    DriverImage, DriverName, bugcheck, faults, files, io, ke,
    nmr::{self, probe::ShadowTables},
    ob, pool, ps, random, registry,
    scheduler::{self, Scheduler, Slot},
    scm,
    sync::StateLock,
    thread::{self, Entered},
    trace::Trace,
    verifier::{self, Finding},
    wdf,
};

/// How a machine is made.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, each a question of its own"
)]
pub(crate) struct Config {
    /// Where registry and files are kept; `None` keeps them in memory.
    pub(crate) state_dir: Option<PathBuf>,
    /// What is on the disk of a machine without a folder when it is switched on.
    pub(crate) disk: Option<files::Disk>,
    /// Whether such a disk records what becomes of it.
    pub(crate) record_disk: bool,
    /// How threads run.
    pub(crate) scheduler: Arc<dyn Scheduler>,
    /// Whether rules are checked.
    pub(crate) verifier: bool,
    /// Whether freed memory goes back to the host at once.
    pub(crate) sanitizer: bool,
    /// Where random numbers come from; `None` asks the host.
    pub(crate) seed: Option<u64>,
    /// How the registrar behaves where its documentation leaves that open.
    pub(crate) nmr_policy: nmr_model::Policy,
    /// Whose calls the verifier sees.
    pub(crate) probes: Vec<Arc<dyn ShadowTables>>,
    /// How many events the timeline keeps.
    pub(crate) trace_capacity: usize,
    /// Whether what drivers print goes to the standard error of the host as well.
    pub(crate) echo_debug_output: bool,
}

/// Says how a machine is to be made.
#[derive(Debug)]
#[must_use]
pub struct MachineBuilder(Config);

impl MachineBuilder {
    /// Keeps registry and files in memory, and loses them with the machine; the default.
    pub fn in_memory(mut self) -> Self {
        self.0.state_dir = None;
        self
    }

    /// Keeps registry and files in a folder of the host.
    pub fn state_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.0.state_dir = Some(path.as_ref().to_owned());
        self
    }

    /// Lets a machine in memory start with what is on a disk, for example after a power failure. Its registry starts
    /// empty all the same.
    pub fn disk(mut self, disk: files::Disk) -> Self {
        self.0.disk = Some(disk);
        self
    }

    /// Has a machine in memory record what becomes of its disk, for [`files::Files::crash_image`].
    pub const fn record_disk(mut self) -> Self {
        self.0.record_disk = true;
        self
    }

    /// Runs threads by another scheduler than [`scheduler::Native`].
    pub fn scheduler(mut self, scheduler: Arc<dyn Scheduler>) -> Self {
        self.0.scheduler = scheduler;
        self
    }

    /// Switches the verifier on (the default) or off.
    pub const fn verifier(mut self, on: bool) -> Self {
        self.0.verifier = on;
        self
    }

    /// Gives freed pool back to the host at once, and puts no guard behind blocks: `AddressSanitizer` then sees every
    /// use of freed pool, and every access past the end of a block. Without this it is kept for a while, and the
    /// verifier sees writes to it. On by default in a build for `AddressSanitizer` (`--cfg address_sanitizer`).
    pub const fn sanitizer(mut self, on: bool) -> Self {
        self.0.sanitizer = on;
        self
    }

    /// Makes the machine's random numbers the same in every run.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.0.seed = Some(seed);
        self
    }

    /// Lets the registrar behave in another way where its documentation leaves that open.
    pub const fn nmr_policy(mut self, policy: nmr_model::Policy) -> Self {
        self.0.nmr_policy = policy;
        self
    }

    /// Lets the verifier see the calls between the modules of an NPI; see [`nmr::probe`].
    pub fn probe(mut self, tables: impl ShadowTables) -> Self {
        self.0.probes.push(Arc::new(tables));
        self
    }

    /// Keeps that many events in the timeline; 0 keeps none.
    pub const fn trace_capacity(mut self, events: usize) -> Self {
        self.0.trace_capacity = events;
        self
    }

    /// Also writes what drivers print to the standard error of the host.
    pub const fn echo_debug_output(mut self, on: bool) -> Self {
        self.0.echo_debug_output = on;
        self
    }

    /// Makes the machine.
    ///
    /// # Errors
    ///
    /// If the state folder cannot be used.
    pub fn build(self) -> std::io::Result<Machine> {
        Machine::new(self.0)
    }
}

/// A simulated computer; clones are the same one.
///
/// Calls from any thread of the host are welcome: each enters the machine for as long as it takes.
/// End a machine by [`Machine::shutdown`].
#[derive(Clone)]
pub struct Machine(Arc<Inner>);

/// What a machine consists of; each module keeps its own part.
struct Inner {
    config: Config,
    controlled: bool,
    next_thread: AtomicU64,
    trace: Trace,
    images: StateLock<Vec<DriverImage>>,
    verifier: verifier::State,
    faults: faults::State,
    ke: ke::State,
    ps: ps::State,
    ob: ob::State,
    pool: pool::State,
    random: random::State,
    registry: registry::State,
    files: files::State,
    scm: scm::State,
    io: io::State,
    nmr: nmr::State,
    wdf: wdf::State,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl Machine {
    /// Begins to make a machine.
    pub fn builder() -> MachineBuilder {
        MachineBuilder(Config {
            state_dir: None,
            disk: None,
            record_disk: false,
            scheduler: scheduler::native(),
            verifier: true,
            sanitizer: cfg!(address_sanitizer),
            seed: None,
            nmr_policy: nmr_model::Policy::default(),
            probes: Vec::new(),
            trace_capacity: 100_000,
            echo_debug_output: false,
        })
    }

    fn new(config: Config) -> std::io::Result<Self> {
        bugcheck::install_panic_hook();
        thread::adopt(&*config.scheduler);
        let machine = Self(Arc::new(Inner {
            controlled: matches!(config.scheduler.slot(), Slot::Task(_)),
            next_thread: AtomicU64::new(1),
            trace: Trace::new(config.trace_capacity),
            images: StateLock::default(),
            verifier: verifier::State::default(),
            faults: faults::State::default(),
            ke: ke::State::default(),
            ps: ps::State::default(),
            ob: ob::State::default(),
            pool: pool::State::new(config.verifier, config.sanitizer),
            random: random::State::new(config.seed),
            registry: registry::State::new(&config)?,
            files: files::State::new(&config)?,
            scm: scm::State::new(&config),
            io: io::State::new(&config),
            nmr: nmr::State::new(&config),
            wdf: wdf::State::new(&config),
            config,
        }));
        let inner = Arc::downgrade(&machine.0);
        machine.scheduler().when_stuck(Arc::new(move || {
            if let Some(inner) = inner.upgrade() {
                let machine = Self(inner);
                let _entered = machine.enter();
                nmr::stuck(&machine);
            }
        }));
        Ok(machine)
    }

    /// Returns the machine that the calling thread is on.
    ///
    /// # Panics
    ///
    /// If it is on none.
    #[must_use]
    #[track_caller]
    pub fn current() -> Self {
        thread::with(|current| current.machine.clone())
    }

    /// Returns the machine that the calling thread is on, if it is on one.
    #[must_use]
    pub fn try_current() -> Option<Self> {
        thread::try_with(|current| current.machine.clone())
    }

    /// Puts the calling thread on this machine until the guard is dropped.
    pub fn enter(&self) -> Entered {
        thread::enter(self)
    }

    /// The calling thread polls: it cannot go on until another thread of this machine has run.
    pub fn give_way(&self) {
        self.scheduler().yield_point();
    }

    /// Tells whether both are the same machine.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Makes an image known, so that a service can be started from it.
    ///
    /// An image of the same file name is replaced.
    pub fn add_image(&self, image: DriverImage) {
        let name = DriverName::new(&image.file_name);
        self.pool_state().add_driver(image.pool_tag_prefix, name.clone());
        self.0.images.with(|images| {
            images.retain(|known| DriverName::new(&known.file_name) != name);
            images.push(image);
        });
    }

    /// Returns the image of a file name, whatever its case.
    #[must_use]
    pub fn image(&self, file_name: &str) -> Option<DriverImage> {
        let name = DriverName::new(file_name);
        self.0.images.with(|images| {
            images
                .iter()
                .find(|image| DriverName::new(&image.file_name) == name)
                .cloned()
        })
    }

    /// Returns the timeline.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Returns what the verifier has found so far.
    #[must_use]
    pub fn report(&self) -> Vec<Finding> {
        self.pool_state().check_quarantine(self);
        self.0.verifier.findings()
    }

    /// Returns what the verifier would look at, but cannot call wrong: what real systems tolerate, and
    /// what nobody can be certain of.
    #[must_use]
    pub fn advice(&self) -> Vec<Finding> {
        self.0.verifier.advice()
    }

    /// Tells whether rules are checked.
    #[must_use]
    pub fn verifier_is_on(&self) -> bool {
        self.0.config.verifier
    }

    /// Starts a thread of the machine itself, not of a driver.
    pub fn spawn(&self, name: &str, body: impl FnOnce() + Send + 'static) {
        let machine = self.clone();
        let id = self.new_thread_id();
        self.scheduler().spawn(
            name,
            Box::new(move || {
                let entered = thread::enter_new(&machine, id);
                body();
                drop(entered);
            }),
        );
    }

    /// Checks that nothing of a driver is left, after its unload routine has returned.
    ///
    /// Service control calls this; what is left becomes findings.
    pub fn check_unloaded(&self, driver: &DriverName) {
        self.check_gone(driver, false);
    }

    /// As [`Self::check_unloaded`], also after a DriverEntry that `failed`.
    pub(crate) fn check_gone(&self, driver: &DriverName, failed: bool) {
        nmr::check_unloaded(self, driver, failed);
        wdf::check_unloaded(self, driver);
        ps::check_unloaded(self, driver);
        self.pool_state().check_unloaded(self, driver);
    }

    /// Stops all services, releases registry and files, and says what the verifier found.
    ///
    /// The machine is of no use afterwards.
    #[must_use = "the report says which rules were broken"]
    pub fn shutdown(&self) -> Report {
        let entered = self.enter();
        scm::shutdown(self);
        io::shutdown(self);
        registry::shutdown(self);
        files::shutdown(self);
        nmr::check_end(self);
        let report = Report {
            findings: self.report(),
            advice: self.advice(),
            unchecked: nmr::unchecked(self),
            dropped: self.0.verifier.dropped(),
        };
        ob::shutdown(self);
        drop(entered);
        thread::forget(self);
        report
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn scheduler(&self) -> &dyn Scheduler {
        &*self.0.config.scheduler
    }

    /// Tells whether the scheduler decides about every step.
    pub(crate) fn is_controlled(&self) -> bool {
        self.0.controlled
    }

    /// See [`thread::is_unobserved`].
    pub(crate) fn is_unobserved(&self) -> bool {
        !self.0.controlled && !self.0.config.verifier
    }

    pub(crate) fn new_thread_id(&self) -> ThreadId {
        ThreadId(self.0.next_thread.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn verifier_state(&self) -> &verifier::State {
        &self.0.verifier
    }

    pub(crate) fn faults_state(&self) -> &faults::State {
        &self.0.faults
    }

    pub(crate) fn ke_state(&self) -> &ke::State {
        &self.0.ke
    }

    pub(crate) fn ps_state(&self) -> &ps::State {
        &self.0.ps
    }

    pub(crate) fn ob_state(&self) -> &ob::State {
        &self.0.ob
    }

    pub(crate) fn pool_state(&self) -> &pool::State {
        &self.0.pool
    }

    pub(crate) fn random_state(&self) -> &random::State {
        &self.0.random
    }

    pub(crate) fn registry_state(&self) -> &registry::State {
        &self.0.registry
    }

    pub(crate) fn files_state(&self) -> &files::State {
        &self.0.files
    }

    pub(crate) fn scm_state(&self) -> &scm::State {
        &self.0.scm
    }

    pub(crate) fn io_state(&self) -> &io::State {
        &self.0.io
    }

    pub(crate) fn nmr_state(&self) -> &nmr::State {
        &self.0.nmr
    }

    pub(crate) fn wdf_state(&self) -> &wdf::State {
        &self.0.wdf
    }
}

/// What the verifier found by the end of a machine.
#[derive(Clone, Debug)]
#[must_use = "the report says which rules were broken"]
pub struct Report {
    /// The findings, in the order in which they were made.
    pub findings: Vec<Finding>,
    /// What to look at, without being wrong for certain.
    pub advice: Vec<Finding>,
    /// The rules of the registrar that were not checked, or not wholly.
    pub unchecked: Vec<nmr::Unchecked>,
    /// How many more there were than are kept.
    pub dropped: usize,
}

impl Report {
    /// Tells whether no rule was broken.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Demands that no rule was broken.
    ///
    /// # Panics
    ///
    /// If one was; the message is the report.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            writeln!(f, "the verifier found nothing")?;
        } else {
            writeln!(f, "the verifier found {} broken rules", self.findings.len())?;
        }
        for finding in self.findings.iter().chain(&self.advice) {
            writeln!(f, "{finding}")?;
        }
        if self.dropped > 0 {
            writeln!(f, "... and {} more, which were not kept", self.dropped)?;
        }
        let mut unchecked = self.unchecked.clone();
        unchecked.sort_by_key(|off| off.why);
        for rules in unchecked.chunk_by(|a, b| a.why == b.why) {
            let numbers: Vec<String> = rules.iter().map(|off| off.rule.number().to_string()).collect();
            let why = rules.first().map_or("", |off| off.why);
            writeln!(f, "not checked: NMR rule(s) {}: {why}", numbers.join(", "))?;
        }
        Ok(())
    }
}
