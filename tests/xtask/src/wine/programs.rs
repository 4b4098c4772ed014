//! The programs that use the drivers, as processes of their own: the tool, and the agent that runs the scenarios.

use anyhow::Result;

use crate::command;
use crate::files;
use crate::paths::Paths;
use crate::wine::{toolchain, tools};

/// The target of the library for Windows 7: that for Windows 10 wants a module that Wine 8 does not have.
const TARGET: &str = "x86_64-win7-windows-gnu";
const PROGRAMS: [(&str, &str); 2] = [("nsemail", "nsemail"), ("nsemail-agent", "nsemail-agent")];

/// Builds the programs.
///
/// # Errors
/// When a tool fails.
pub fn build(paths: &Paths, jobs: usize) -> Result<()> {
    let mut cargo = toolchain::cargo()?;
    cargo
        .current_dir(&paths.repository)
        // Not optimised: they wait for drivers, and are built twice as fast.
        .args(["build", "--locked", "--target", TARGET])
        .arg("-Zbuild-std=std,panic_abort")
        .arg(format!("--jobs={jobs}"))
        .arg("--target-dir")
        .arg(paths.target())
        .env(
            "CARGO_TARGET_X86_64_WIN7_WINDOWS_GNU_LINKER",
            tools::PROGRAM_LINKER,
        );
    for (package, _) in PROGRAMS {
        cargo.args(["--package", package]);
    }
    command::run(&mut cargo)?;
    let built = paths.target().join(TARGET).join("debug");
    for (_, program) in PROGRAMS {
        let file = format!("{program}.exe");
        files::copy(&built.join(&file), &paths.out.join(&file))?;
    }
    Ok(())
}
