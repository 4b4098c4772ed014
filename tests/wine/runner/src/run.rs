//! Runs the list of scenarios.

use std::{
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use nt_sim::inf::Package;
use scenarios::{for_each_scenario, kernel::Kernel, simulated::Simulated};

use crate::{
    install,
    machine::{self, Machine},
    own,
    prefix::Prefix,
    record::{self, Recorded, Transcript},
};

/// How long a scenario may take. None takes nearly as long, also on a busy machine; who does hangs.
const PATIENCE: Duration = Duration::from_mins(10);
/// Lines of the log that say that something is wrong.
const ALARMS: [&str; 5] = [
    "VIOLATION",
    "STOP:",
    "Unhandled exception",
    "unimplemented function",
    "page fault",
];

/// What to run, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder with the built images: both drivers, the three stand-in modules, both programs.
    pub images: PathBuf,
    /// The folder with the INF files.
    pub inf: PathBuf,
    /// Where the prefix is made; what is there goes.
    pub prefix: PathBuf,
    /// Where all that is printed goes.
    pub log: PathBuf,
    /// Run only scenarios with this in their names.
    pub filter: Option<String>,
}

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// With what went wrong.
    Failed(String),
    /// Not at all, because Wine cannot do what it is about.
    Skipped(&'static str),
}

/// How all ended.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Each scenario, its outcome, and the time that it took.
    pub scenarios: Vec<(String, Outcome, Duration)>,
}

impl Summary {
    /// Whether none failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        let mut scenarios = self.scenarios.iter();
        scenarios.all(|(_, outcome, _)| !matches!(outcome, Outcome::Failed(_)))
    }

    /// Adds a scenario that has ended, and tells of it.
    fn add(&mut self, name: &str, outcome: Outcome, took: Duration) {
        let shown = match &outcome {
            Outcome::Passed => "ok".to_owned(),
            Outcome::Failed(error) => format!("FAILED: {error}"),
            Outcome::Skipped(why) => format!("ignored, not on Wine: {why}"),
        };
        println!("wine {name} ... {shown} ({:.1} s)", took.as_secs_f32());
        self.scenarios.push((name.to_owned(), outcome, took));
    }

    /// How many there are of a kind.
    fn count(&self, of_kind: impl Fn(&Outcome) -> bool) -> usize {
        self.scenarios
            .iter()
            .filter(|(_, outcome, _)| of_kind(outcome))
            .count()
    }

    /// One line for all, in the form of other tests.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "test result: {}. {} passed; {} failed; {} ignored",
            if self.passed() { "ok" } else { "FAILED" },
            self.count(|outcome| *outcome == Outcome::Passed),
            self.count(|outcome| matches!(outcome, Outcome::Failed(_))),
            self.count(|outcome| matches!(outcome, Outcome::Skipped(_)))
        )
    }
}

/// A scenario.
type Scenario = fn(&dyn Kernel);

macro_rules! list {
    ($($module:ident: [$($scenario:ident,)+],)+) => {
        /// All scenarios by name.
        const SCENARIOS: &[(&str, Scenario)] = &[$($(
            (concat!(stringify!($module), "::", stringify!($scenario)), scenarios::$module::$scenario),
        )+)+];
    };
}
for_each_scenario!(list);

/// What Wine 8 cannot do.
const SKIPPED: [(&str, &str); 1] = [(
    "lifecycle::a_stop_waits_for_the_last_handle_and_the_device_works_until_then",
    "Wine serves service control of a group one by one, so two stops cannot be pending at a time",
)];

/// What is to be run: a scenario of the common list, or one for Wine alone.
#[derive(Clone, Copy)]
enum Work {
    Common(Scenario, Compared),
    Own(own::Scenario),
}

/// How the outcome of a scenario is compared with that on the simulated machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// By what it asserts.
    Asserted,
    /// Answer by answer as well: it always asks the same, one thing after the other.
    EachAnswer,
}

impl Compared {
    fn of(scenario: &str) -> Self {
        // Not those that ask at random: no two runs of them ask the same.
        const ONE_BY_ONE: [&str; 4] = [
            "names::",
            "access::",
            "malformed::an_output",
            "malformed::every_truncation",
        ];
        if ONE_BY_ONE.iter().any(|module| scenario.starts_with(module)) {
            Self::EachAnswer
        } else {
            Self::Asserted
        }
    }
}

/// Runs a scenario of the common list.
fn run_common(scenario: Scenario, compared: Compared, machine: &Machine) {
    if compared == Compared::Asserted {
        scenario(machine);
        return;
    }
    let (wine, simulated) = (Transcript::default(), Transcript::default());
    scenario(&Recorded::new(machine, &wine));
    let simulation = Simulated::new();
    scenario(&Recorded::new(&simulation, &simulated));
    simulation.end();
    if let Some(difference) = record::difference(&wine.lines(), &simulated.lines()) {
        panic!("{difference}");
    }
}

/// Runs the scenarios.
pub fn run(options: &Options) -> Result<Summary, String> {
    let packages = install::read(&options.inf)?;
    let prefix = Arc::new(Prefix::make(&options.prefix, &options.log, &options.images)?);
    machine::prepare(&prefix)?;
    let mut runner = Runner {
        prefix,
        packages,
        machine: None,
    };
    let mut summary = Summary::default();
    let common = SCENARIOS
        .iter()
        .map(|(name, scenario)| (*name, Work::Common(*scenario, Compared::of(name))));
    let own = own::SCENARIOS.map(|scenario| (scenario.name, Work::Own(scenario)));
    for (name, work) in common.chain(own) {
        if options
            .filter
            .as_ref()
            .is_some_and(|filter| !name.contains(filter.as_str()))
        {
            continue;
        }
        let start = Instant::now();
        let skipped = SKIPPED.iter().find(|(skipped, _)| *skipped == name);
        let outcome = skipped.map_or_else(|| runner.run(name, work), |(_, why)| Outcome::Skipped(why));
        summary.add(name, outcome, start.elapsed());
    }
    if summary.scenarios.is_empty() {
        return Err("no scenario has that in its name".to_owned());
    }
    let start = Instant::now();
    let end = runner.end().map_or_else(Outcome::Failed, |()| Outcome::Passed);
    summary.add(
        "wine::all_drivers_stop_and_no_process_is_left_behind",
        end,
        start.elapsed(),
    );
    Ok(summary)
}

/// Runs scenarios one after the other on one machine, as long as they pass.
struct Runner {
    prefix: Arc<Prefix>,
    packages: Vec<Package>,
    machine: Option<Arc<Machine>>,
}

impl Runner {
    fn run(&mut self, name: &str, work: Work) -> Outcome {
        let ready = match self.machine.take() {
            Some(machine) => machine.reset(&self.packages).map(|()| machine),
            None => Machine::boot(&self.prefix, &self.packages).map(Arc::new),
        };
        let outcome = match ready {
            Ok(machine) => self.run_on(name, work, machine),
            Err(error) => Outcome::Failed(error),
        };
        if outcome != Outcome::Passed {
            // Whatever state it is in, the next one gets a new machine.
            self.machine = None;
            self.prefix.end_all();
        }
        outcome
    }

    /// Runs one scenario on a thread of its own. If it hangs, the machine is switched off under it.
    fn run_on(&mut self, name: &str, work: Work, machine: Arc<Machine>) -> Outcome {
        let before = self.prefix.log().len();
        let (sender, ended) = mpsc::channel();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let result = panic::catch_unwind(AssertUnwindSafe(|| match work {
                Work::Common(scenario, compared) => {
                    run_common(scenario, compared, &machine);
                    machine
                }
                Work::Own(scenario) => (scenario.run)(machine),
            }));
            // If nobody listens any more, it took too long.
            let _ = sender.send(());
            result
        });
        let Ok(thread) = thread else {
            return Outcome::Failed("no thread can be made".to_owned());
        };
        let in_time = ended.recv_timeout(PATIENCE).is_ok();
        if !in_time {
            self.prefix.end_all();
        }
        let result = thread.join().unwrap_or_else(Err);
        let log = self.prefix.log();
        let said = log.get(before..).unwrap_or_default();
        let expected = match work {
            Work::Common(..) => None,
            Work::Own(scenario) => scenario.alarm,
        };
        let (awaited, alarm): (Vec<&str>, Vec<&str>) = said
            .lines()
            .filter(|line| ALARMS.iter().any(|alarm| line.contains(alarm)))
            .partition(|line| expected.is_some_and(|expected| line.contains(expected)));
        match (result, alarm.first()) {
            _ if !in_time => Outcome::Failed(format!("it hangs; the end of the log:\n{}", tail(said))),
            (Err(panic), _) => {
                let what = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                let what = what.unwrap_or("panic");
                Outcome::Failed(format!("{what}; the end of the log:\n{}", tail(said)))
            }
            (Ok(_), Some(alarm)) => Outcome::Failed((*alarm).to_owned()),
            (Ok(_), None) if expected.is_some() && awaited.is_empty() => {
                Outcome::Failed(format!("the log does not say {}", expected.unwrap_or_default()))
            }
            (Ok(machine), None) => {
                self.machine = Some(machine);
                Outcome::Passed
            }
        }
    }

    /// Stops the drivers, ends all processes, and makes sure that they have ended.
    fn end(mut self) -> Result<(), String> {
        let stopped = match self.machine.take() {
            Some(machine) => machine.reset(&self.packages),
            None => Ok(()),
        };
        self.prefix.end_all();
        stopped?;
        match self.prefix.processes() {
            left if left.is_empty() => Ok(()),
            left => Err(format!("processes are left behind: {}", left.join(", "))),
        }
    }
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(25);
    lines.get(from..).unwrap_or_default().join("\n")
}
