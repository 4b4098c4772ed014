//! `cargo soak`: all subjects under ever new schedules, until it is told to stop.
//!
//! Whatever fails leaves a file in `target/soak` with what happened and the command that replays it, and the soak goes
//! on. The file `running` there names the schedule under way, in case a schedule takes the whole process with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, panic,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, Command, value_parser};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{Failure, Seed, Seeds, Subject, Witness, run, subjects, table};

/// What the command line asks for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    duration: Option<Duration>,
    schedules: Option<u64>,
    only: Vec<String>,
    base: Option<u64>,
    replay: Option<Seed>,
    timeline: bool,
    list: bool,
}

/// The command line. By hand, because what clap's derive writes allows itself lints that this workspace forbids.
fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("cargo soak")
        .about("Runs the registrar's races and both drivers under ever new schedules")
        .after_help(
            "Example: cargo soak --for 20m\nStops by Ctrl-C; the exit code is 1 if a schedule failed.",
        )
        .arg(
            option("for", "DURATION", "Stops after that time, as in 90s, 20m, 8h")
                .value_parser(humantime::parse_duration),
        )
        .arg(
            option("schedules", "NUMBER", "Stops after that many schedules").value_parser(value_parser!(u64)),
        )
        .arg(option("only", "SUBJECT", "Runs only this subject; may be repeated").action(ArgAction::Append))
        .arg(
            option(
                "base",
                "NUMBER",
                "Takes the schedules from here on, instead of from the time of day",
            )
            .value_parser(value_parser!(u64)),
        )
        .arg(
            option(
                "replay",
                "SEED",
                "Runs the schedule of this seed once, for the one subject of --only",
            )
            .value_parser(value_parser!(Seed))
            .conflicts_with_all(["for", "schedules", "base"]),
        )
        .arg(flag("timeline", "With --replay: prints every decision and step").requires("replay"))
        .arg(flag("list", "Names the subjects"))
}

impl Options {
    fn parse() -> Self {
        let matches = command().get_matches();
        Self {
            duration: matches.get_one("for").copied(),
            schedules: matches.get_one("schedules").copied(),
            only: matches.get_many("only").unwrap_or_default().cloned().collect(),
            base: matches.get_one("base").copied(),
            replay: matches.get_one("replay").copied(),
            timeline: matches.get_flag("timeline"),
            list: matches.get_flag("list"),
        }
    }
}

/// How long one subject runs before the next has its turn.
const TURN: Duration = Duration::from_millis(300);

/// The command; everything has been said when it returns.
#[must_use]
pub fn main() -> ExitCode {
    match soak(&Options::parse(), &folder()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo soak: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Where findings are left.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/soak")
}

/// Does what `options` say; whether every schedule passed.
///
/// # Errors
///
/// There is no such subject, or `folder` cannot be written.
pub fn soak(options: &Options, folder: &Path) -> anyhow::Result<bool> {
    let chosen: Vec<&'static Subject> = subjects()
        .filter(|subject| options.only.is_empty() || options.only.iter().any(|name| name == subject.name))
        .collect();
    for name in &options.only {
        if chosen.iter().all(|subject| subject.name != name) {
            bail!("there is no subject {name}; --list names them");
        }
    }
    if options.list {
        for subject in chosen {
            println!("{}", subject.name);
        }
        return Ok(true);
    }
    if let Some(seed) = options.replay {
        let [subject] = chosen[..] else {
            bail!("--replay takes one subject, by --only");
        };
        return Ok(replay(subject, seed, options.timeline));
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Soak::new(options, chosen, folder).run()
}

fn replay(subject: &'static Subject, seed: Seed, timeline: bool) -> bool {
    let witness = Arc::new(if timeline {
        Witness::with_timeline()
    } else {
        Witness::default()
    });
    let ended = run(subject, seed, &witness);
    for line in witness.timeline() {
        println!("{line}");
    }
    match ended {
        Ok(decisions) => println!("{}: passed, {decisions} decisions", subject.name),
        Err(failure) => {
            println!("{failure}");
            return false;
        }
    }
    true
}

/// A soak under way.
struct Soak<'a> {
    options: &'a Options,
    folder: &'a Path,
    subjects: Vec<(&'static Subject, Seeds, Arc<Witness>)>,
    base: u64,
    schedules: u64,
    decisions: u64,
    /// Failed schedules, by subject and by the first line of what they said.
    findings: BTreeMap<(&'static str, String), u64>,
    bar: ProgressBar,
}

impl<'a> Soak<'a> {
    fn new(options: &'a Options, subjects: Vec<&'static Subject>, folder: &'a Path) -> Self {
        let base = options.base.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(0))
        });
        let subjects = subjects.into_iter();
        Self {
            options,
            folder,
            subjects: subjects
                .map(|subject| (subject, Seeds::new(base), Arc::default()))
                .collect(),
            base,
            schedules: 0,
            decisions: 0,
            findings: BTreeMap::new(),
            bar: ProgressBar::new_spinner(),
        }
    }

    fn run(mut self) -> anyhow::Result<bool> {
        let running = self.folder.join("running");
        if let Ok(left) = fs::read_to_string(&running) {
            println!("an earlier soak ended in the middle of a schedule: {left}");
        }
        // A finding says what the panic said; where it came from is seen in its replay.
        panic::set_hook(Box::new(|_| ()));
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        ctrlc::set_handler(move || stopping.store(true, Ordering::Relaxed))
            .context("Ctrl-C cannot be caught")?;
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}")
            .context("the template of the progress")?;
        self.bar.set_style(style);
        println!(
            "schedules from {} on; findings go to {}",
            self.base,
            self.folder.display()
        );
        let start = Instant::now();
        let is_over = |schedules: u64| {
            stop.load(Ordering::Relaxed)
                || self
                    .options
                    .duration
                    .is_some_and(|limit| start.elapsed() >= limit)
                || self.options.schedules.is_some_and(|limit| schedules >= limit)
        };
        'soak: loop {
            for place in 0..self.subjects.len() {
                let turn = Instant::now();
                while turn.elapsed() < TURN {
                    if is_over(self.schedules) {
                        break 'soak;
                    }
                    self.one(place, &running)?;
                }
            }
        }
        self.bar.finish_and_clear();
        // Absent if no schedule ran.
        let _ = fs::remove_file(&running);
        self.report(start.elapsed());
        Ok(self.findings.is_empty())
    }

    /// Runs one schedule of one subject.
    fn one(&mut self, place: usize, running: &Path) -> anyhow::Result<()> {
        let Some((subject, seeds, witness)) = self.subjects.get_mut(place) else {
            return Ok(());
        };
        let Some(seed) = seeds.next() else { return Ok(()) };
        let command = Failure {
            subject: subject.name,
            seed,
            message: String::new(),
        }
        .replay();
        fs::write(running, command).with_context(|| format!("cannot write {}", running.display()))?;
        let ended = run(subject, seed, witness);
        self.schedules += 1;
        let name = subject.name;
        match ended {
            Ok(decisions) => {
                seeds.learn(decisions);
                self.decisions += u64::from(decisions);
            }
            Err(failure) => self.keep(&failure)?,
        }
        let transitions: u64 = self.transitions();
        self.bar.set_message(format!(
            "{} schedules, {} decisions, {transitions} transitions, {} findings; {name}",
            self.schedules,
            self.decisions,
            self.findings.len()
        ));
        self.bar.tick();
        Ok(())
    }

    fn transitions(&self) -> u64 {
        let of = |entry: &(_, _, Arc<Witness>)| entry.2.transitions.total();
        self.subjects.iter().map(of).sum()
    }

    /// Leaves a file for a failure, if it is the first of its kind.
    fn keep(&mut self, failure: &Failure) -> anyhow::Result<()> {
        let first = failure.message.lines().next().unwrap_or_default().to_owned();
        let times = self.findings.entry((failure.subject, first)).or_default();
        *times += 1;
        if *times > 1 {
            return Ok(());
        }
        let seed = failure.seed.to_string().replace(':', "-");
        let file = self.folder.join(format!("{}-{seed}.txt", failure.subject));
        let text = format!("{}\n\n{}\n", failure.replay(), failure.message);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        self.bar.println(format!("{failure}\nkept in {}", file.display()));
        Ok(())
    }

    fn report(&self, elapsed: Duration) {
        let all = nmr_model::transitions::Transitions::default();
        let mut unreached = BTreeSet::new();
        let mut decided: BTreeMap<_, u64> = BTreeMap::new();
        for (subject, _, witness) in &self.subjects {
            all.merge(&witness.transitions);
            for (point, times) in witness.decided() {
                *decided.entry(point).or_default() += times;
            }
            let reached = witness.reached();
            unreached.extend(
                subject
                    .reaches
                    .iter()
                    .filter(|situation| !reached.contains_key(*situation))
                    .map(|situation| format!("{}: {situation}", subject.name)),
            );
        }
        println!("{}", table(&all).0);
        let decided: Vec<_> = decided
            .iter()
            .map(|(point, times)| {
                let point = point.map_or_else(|| "others".to_owned(), |point| format!("{point:?}"));
                format!("{point} {times}")
            })
            .collect();
        println!("decisions by kind of step: {}", decided.join(", "));
        for situation in unreached {
            println!("not reached: {situation}");
        }
        for ((subject, first), times) in &self.findings {
            println!("{times} x {subject}: {first}");
        }
        println!(
            "{} schedules, {} decisions, {} transitions, {} findings in {}",
            self.schedules,
            self.decisions,
            all.total(),
            self.findings.len(),
            humantime::format_duration(Duration::from_secs(elapsed.as_secs()))
        );
    }
}
