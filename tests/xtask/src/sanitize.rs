//! The tests in builds that watch them run.
//!
//! `-Z sanitizer` is not stable yet, but the runtimes come with every toolchain of rustup, so the one that is active
//! builds here too: what is watched is what it makes. Everything goes below a folder of its own in `target`.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::command;
use crate::paths::Paths;

/// What watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sanitizer {
    /// Every access to memory that is freed, or out of bounds; at the end, memory that nobody knows of any more
    Address,
}

impl Sanitizer {
    /// Its name, as the compiler and its runtime have it.
    const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
        }
    }

    /// What its runtime is called, and the folder of what is built with it.
    const fn runtime(self) -> &'static str {
        match self {
            Self::Address => "asan",
        }
    }

    /// The flags of the compiler. The `cfg` is what the simulated pool knows it by.
    const fn flags(self) -> &'static str {
        match self {
            Self::Address => "-Zsanitizer=address --cfg address_sanitizer -Cforce-frame-pointers=yes",
        }
    }

    /// Where its options are read from, and what they are.
    fn options(self, paths: &Paths) -> Vec<(&'static str, String)> {
        let file = |name: &str| paths.repository.join("tests/xtask/sanitizers").join(name);
        match self {
            Self::Address => vec![
                // Tests that run a schedule switch stacks, which the check for uses of returned frames does not follow.
                ("ASAN_OPTIONS", "detect_stack_use_after_return=0".to_owned()),
                (
                    "LSAN_OPTIONS",
                    format!(
                        "suppressions={}:print_suppressions=0",
                        file("leaks.txt").display()
                    ),
                ),
            ],
        }
    }
}

/// cargo, building with a sanitizer, and with these flags besides; `target` is the triple of this machine.
///
/// # Errors
/// When the active toolchain has no runtime of that sanitizer.
pub fn cargo(paths: &Paths, sanitizer: Sanitizer, more_flags: &str) -> Result<Command> {
    let host = host()?;
    let libraries = command::output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let suffix = format!("_rt.{}.a", sanitizer.runtime());
    let has_runtime = std::fs::read_dir(libraries.trim())
        .with_context(|| format!("{} cannot be read", libraries.trim()))?
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().ends_with(&suffix));
    if !has_runtime {
        bail!(
            "the active Rust toolchain has no runtime of this sanitizer (`librustc-…{suffix}`): use one of rustup's for \
             Linux on x86-64, for example by `rustup default stable`"
        );
    }
    let target = paths.repository.join("target").join(sanitizer.runtime());
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(&paths.repository)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", format!("{} {more_flags}", sanitizer.flags()))
        .env("RUSTDOCFLAGS", sanitizer.flags())
        .env("CARGO_TARGET_DIR", target)
        // With a target named, the flags are for what runs, and not for what builds it.
        .env("CARGO_BUILD_TARGET", host)
        .envs(sanitizer.options(paths))
        // What this program was itself run with is of no concern there.
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    Ok(cargo)
}

/// The triple of this machine.
///
/// # Errors
/// When there is no compiler.
pub fn host() -> Result<String> {
    let version = command::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// Builds the tests with a sanitizer and runs them: those of the arguments of `cargo test`, or all.
///
/// # Errors
/// When they cannot be built, one fails, or the sanitizer finds something.
pub fn run(paths: &Paths, sanitizer: Sanitizer, arguments: &[String]) -> Result<()> {
    println!("{} sanitizer, on what follows `cargo test`", sanitizer.name());
    command::run(cargo(paths, sanitizer, "")?.arg("test").args(arguments))
}
