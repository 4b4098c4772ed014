//! The table of results.

use std::fmt;

use anyhow::{Result, ensure};
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, ContentArrangement, Table};

use crate::measure::Sample;

/// What is to be reached, as a ratio of ours to something else.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Ours is at most so many times that of the best peer, where less is better.
    AtMost(f64),
    /// Ours is at least so many times that of the best peer, where more is better.
    AtLeast(f64),
    /// The number is only to be known.
    None,
}

impl Goal {
    fn reached(self, ratio: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(ratio <= most),
            Self::AtLeast(least) => Some(ratio >= least),
            Self::None => None,
        }
    }

    /// The peer to be compared with.
    fn best(self, peers: &[(&'static str, Sample)]) -> Option<(&'static str, Sample)> {
        let by_median =
            |left: &&(&str, Sample), right: &&(&str, Sample)| left.1.median.total_cmp(&right.1.median);
        match self {
            Self::AtLeast(_) => peers.iter().max_by(by_median).copied(),
            _ => peers.iter().min_by(by_median).copied(),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most:.2}"),
            Self::AtLeast(least) => write!(f, "≥ {least:.2}"),
            Self::None => Ok(()),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The unit of all values, for example `ns`.
    pub unit: &'static str,
    /// What this project needs for it.
    pub ours: Sample,
    /// What others need, each with its name. The goal speaks of the best.
    pub peers: Vec<(&'static str, Sample)>,
    /// What cannot be undercut, for orientation.
    pub floors: Vec<(&'static str, Sample)>,
    /// What is to be reached.
    pub goal: Goal,
    /// Instructions that ours takes, as the figure that is kept has it.
    pub instructions: Option<u64>,
}

impl Row {
    /// A line from what [`crate::measure::take_turns`] gave: the first contender is ours, those in `floors` are floors.
    ///
    /// # Panics
    ///
    /// If there were no contenders.
    #[must_use]
    pub fn of(
        what: impl Into<String>,
        unit: &'static str,
        samples: Vec<(&'static str, Sample)>,
        floors: &[&str],
        goal: Goal,
    ) -> Self {
        let mut samples = samples.into_iter();
        let (_, ours) = samples.next().expect("there is a contender");
        let (floors, peers) = samples.partition(|(name, _)| floors.contains(name));
        Self {
            what: what.into(),
            unit,
            ours,
            peers,
            floors,
            goal,
            instructions: None,
        }
    }

    /// The same line with the instructions that ours takes.
    #[must_use]
    pub const fn instructions(mut self, instructions: Option<u64>) -> Self {
        self.instructions = instructions;
        self
    }

    /// Ours to that of the best peer.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.goal
            .best(&self.peers)
            .map(|(_, best)| self.ours.median / best.median)
    }
}

/// All results of a run.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    /// Adds a line, and shows it at once.
    pub fn add(&mut self, row: Row) {
        eprintln!("{}", table(std::slice::from_ref(&row), UTF8_FULL_CONDENSED));
        self.rows.push(row);
    }

    /// Adds a remark that is printed below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Says that something does not hold which must: the run fails, after everything was printed.
    pub fn fail(&mut self, failure: impl Into<String>) {
        self.failures.push(failure.into());
    }

    /// What does not hold.
    ///
    /// # Errors
    ///
    /// If there is any of it.
    pub fn result(&self) -> Result<()> {
        ensure!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        Ok(())
    }

    /// The lines so far.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Prints the table and the machine it was measured on.
    pub fn print(&self, markdown: bool) {
        let preset = if markdown {
            ASCII_MARKDOWN
        } else {
            UTF8_FULL_CONDENSED
        };
        let table = table(&self.rows, preset).to_string();
        // What stands in angle brackets is markup in Markdown.
        let table = if markdown {
            table.replace('<', "\\<")
        } else {
            table
        };
        println!("{table}");
        println!("\nMeasured on {}.", machine());
        for note in &self.notes {
            println!("{note}");
        }
    }
}

fn table(rows: &[Row], preset: &str) -> Table {
    let mut table = Table::new();
    table
        .load_preset(preset)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "what",
            "ours",
            "instructions",
            "peers",
            "floor",
            "ratio",
            "goal",
            "reached",
        ]);
    for row in rows {
        let value = |sample: &Sample| format!("{} ±{:.0} %", number(sample.median), sample.spread() * 100.0);
        let list = |samples: &[(&'static str, Sample)]| {
            let mut sorted = samples.to_vec();
            sorted.sort_by(|left, right| left.1.median.total_cmp(&right.1.median));
            let named = sorted
                .iter()
                .map(|(name, sample)| format!("{name} {}", value(sample)));
            named.collect::<Vec<_>>().join(", ")
        };
        let ratio = row.ratio();
        let reached = ratio.and_then(|ratio| row.goal.reached(ratio));
        table.add_row([
            row.what.clone(),
            format!("{} {}", value(&row.ours), row.unit),
            row.instructions.map_or_else(String::new, grouped),
            list(&row.peers),
            list(&row.floors),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            row.goal.to_string(),
            reached
                .map_or("", |reached| if reached { "yes" } else { "no" })
                .to_owned(),
        ]);
    }
    for column in [2, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Three digits, as far as they are not whole ones.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => grouped(format_args!("{value:.0}")),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Digits in groups of three.
fn grouped(number: impl fmt::Display) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The compiler that builds this, by its own word.
#[must_use]
pub fn compiler() -> String {
    std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("--version")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// Processor, number of processors that this process may use, system, compiler.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        info.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let processor = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cache = field("cache size").map_or_else(String::new, |size| format!(", cache {size}"));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory
        .split_whitespace()
        .nth(1)
        .and_then(|size| size.parse().ok());
    let memory = kilobytes.map_or_else(String::new, |size: u64| {
        format!(", {} GiB of memory", size.div_ceil(1 << 20))
    });
    let compiler = compiler();
    format!(
        "{processors} × {processor}{cache}{memory}, {}, {compiler}",
        std::env::consts::OS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: Goal) -> Row {
        let peers = [10.0, 20.0].map(|value| ("peer", Sample::exactly(value)));
        let samples = std::iter::once(("ours", Sample::exactly(5.0))).chain(peers);
        Row::of("x", "ns", samples.collect(), &[], goal)
    }

    #[test]
    fn a_goal_speaks_of_the_best_peer() {
        assert_eq!(row(Goal::AtMost(0.7)).ratio(), Some(0.5));
        assert_eq!(row(Goal::AtLeast(1.0)).ratio(), Some(0.25));
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(number(1.234), "1.23");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(1_234_567.0), "1,234,567");
    }
}
