//! Tasks of this repository that are more than one cargo command: `cargo xtask <task>`.
//!
//! `wine build` makes the real driver images on Linux, from the published WDK crates and without the WDK, and
//! what they need to run under Wine. `wine check` holds the images against the rules for drivers. `sanitize` runs the
//! tests in a build that watches them, and `fuzz` looks for inputs that break a property.

mod command;
mod files;
mod fuzz;
mod image;
mod paths;
mod sanitize;
mod wine;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::paths::Paths;

/// Tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// The real driver images on Linux
    #[command(subcommand)]
    Wine(WineTask),
    /// Run the tests in a build that watches them (on Linux, with a toolchain of rustup)
    Sanitize {
        /// What watches
        #[arg(value_enum)]
        sanitizer: sanitize::Sanitizer,
        /// Arguments of `cargo test` instead of all tests
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Have libFuzzer look for inputs that break a property (on Linux, with a toolchain of rustup)
    Fuzz {
        /// The property; all of them by default
        target: Option<String>,
        /// How long for each
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "60s")]
        time: Duration,
    },
}

#[derive(Subcommand)]
enum WineTask {
    /// Build the driver images, the modules that stand in for parts of Windows, and the programs
    Build {
        /// Install the Debian packages that are missing (with apt-get; with sudo unless run by root)
        #[arg(long)]
        install: bool,
        /// Jobs that cargo may run at a time
        #[arg(long, short, default_value_t = 2)]
        jobs: usize,
        /// What to build; everything by default
        #[arg(long, value_enum)]
        only: Option<wine::Part>,
    },
    /// Check the driver images that were built: imports, sections, stack, symbols, size, version
    Check,
    /// Build everything, and run the scenarios with the real drivers under Wine
    Test {
        /// Run what was built before
        #[arg(long)]
        no_build: bool,
        /// Install the Debian packages that are missing (with apt-get; with sudo unless run by root)
        #[arg(long)]
        install: bool,
        /// Jobs that cargo may run at a time
        #[arg(long, short, default_value_t = 2)]
        jobs: usize,
        /// Run only the scenarios with this in their names
        filter: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let paths = Paths::of_this_repository();
    match task {
        Task::Wine(WineTask::Build { install, jobs, only }) => wine::build(&paths, *install, *jobs, *only),
        Task::Wine(WineTask::Check) => image::check(&paths),
        Task::Wine(WineTask::Test {
            no_build,
            install,
            jobs,
            filter,
        }) => {
            if !no_build {
                wine::build(&paths, *install, *jobs, None)?;
            }
            wine::run::run(&paths, filter.as_deref())
        }
        Task::Fuzz { target, time } => fuzz::run(&paths, target.as_deref(), *time),
        Task::Sanitize { sanitizer, arguments } => sanitize::run(&paths, *sanitizer, arguments),
    }
}
