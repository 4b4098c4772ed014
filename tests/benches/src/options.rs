//! The command line of a bench.

use std::path::PathBuf;

use clap::Parser;

/// How the benches are run.
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[command(about = "The project's numbers, beside those of its peers")]
pub struct Options {
    /// Few rounds, small sizes: to see that all runs, not for numbers to be quoted
    #[arg(long)]
    pub quick: bool,
    /// Prints the table in Markdown, for the README
    #[arg(long)]
    pub markdown: bool,
    /// Rounds in which the contenders take turns
    #[arg(long)]
    rounds: Option<usize>,
    /// Only the suites with this in their names
    #[arg(value_name = "SUITE")]
    pub only: Option<String>,
    /// Memory in the pages that programs get, instead of large ones
    #[arg(long)]
    pub small_pages: bool,
    /// Keeps the counts of instructions as the figures that later ones are compared with
    #[arg(long)]
    pub keep: bool,
    /// Does only one thing whose instructions are counted
    #[arg(long, hide = true, requires = "times")]
    pub probe: Option<String>,
    /// How often
    #[arg(long, hide = true)]
    pub times: Option<usize>,
    /// What cargo tells benches
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// From the command line; ends the program if that is wrong.
    #[must_use]
    pub fn from_command_line() -> Self {
        Self::parse()
    }

    /// Rounds in which the contenders take turns.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 15 }).max(1)
    }

    /// Whether the suite of that name is to run.
    #[must_use]
    pub fn wants(&self, suite: &str) -> bool {
        self.only.as_deref().is_none_or(|only| suite.contains(only))
    }

    /// Where plots and other results are written: a folder of the target directory.
    #[must_use]
    pub fn results(&self) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")),
            PathBuf::from,
        );
        target.join("numbers")
    }
}
