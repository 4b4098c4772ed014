//! Running the images under Wine: the scenarios of the simulated machine, with the real drivers.

use std::env;
use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::paths::Paths;

/// Runs the scenarios whose names contain `filter`, or all, with the images that were built.
///
/// # Errors
/// When one does not end as it does on the simulated machine.
pub fn run(paths: &Paths, filter: Option<&str>) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    tests
        .current_dir(&paths.repository)
        .args([
            "test",
            "--quiet",
            "--package",
            "wine-runner",
            "--test",
            "scenarios",
            "--",
        ])
        .args(filter)
        .env("NSEMAIL_WINE_IMAGES", &paths.out)
        .env("NSEMAIL_WINE_TARGET", paths.made());
    command::run(&mut tests)
}
