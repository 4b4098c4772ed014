//! The tests in builds that watch them run.
//!
//! `-Z sanitizer` is not stable yet, but the runtimes come with every toolchain of rustup, so the one that is active
//! builds for `AddressSanitizer` too: what is watched is what it makes. `ThreadSanitizer` has to see the locks of the
//! standard library, which is therefore built along, by a compiler that has its sources. Everything goes below a folder of
//! its own in `target`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::command;
use crate::paths::Paths;
use crate::wine::toolchain;

/// What watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sanitizer {
    /// Every access to memory that is freed, or out of bounds; at the end, memory that nobody knows of any more
    Address,
    /// Accesses to the same memory by two threads that nothing orders
    Thread,
}

/// Packages none of whose tests runs under a scheduler of its own: that switches stacks, which `ThreadSanitizer` takes
/// for one thread.
const WITHOUT_SCHEDULES: [&str; 5] = ["kmdf-model", "nmr", "nmr-model", "pool-alloc", "pool-table"];

impl Sanitizer {
    /// Its name, as the compiler and its runtime have it.
    const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
        }
    }

    /// What its runtime is called, and the folder of what is built with it.
    pub const fn runtime(self) -> &'static str {
        match self {
            Self::Address => "asan",
            Self::Thread => "tsan",
        }
    }

    /// The flags of the compiler. The `cfg` is what the simulated pool knows it by.
    const fn flags(self) -> &'static str {
        match self {
            Self::Address => "-Zsanitizer=address --cfg address_sanitizer -Cforce-frame-pointers=yes",
            Self::Thread => "-Zsanitizer=thread -Zexternal-clangrt",
        }
    }

    /// Where its options are read from, and what they are.
    pub fn options(self, paths: &Paths) -> Vec<(&'static str, String)> {
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
            Self::Thread => vec![(
                "TSAN_OPTIONS",
                format!("suppressions={}:history_size=7", file("races.txt").display()),
            )],
        }
    }
}

/// cargo, building with a sanitizer, and with these flags besides.
///
/// # Errors
/// When the active toolchain has no runtime of that sanitizer, or there is no compiler that can build for it.
pub fn cargo(paths: &Paths, sanitizer: Sanitizer, more_flags: &str) -> Result<Command> {
    let runtime = runtime(sanitizer)?;
    let mut flags = format!("{} {more_flags}", sanitizer.flags());
    let mut cargo = match sanitizer {
        Sanitizer::Address => {
            let mut cargo = Command::new("cargo");
            cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTDOCFLAGS", &flags);
            cargo
        }
        Sanitizer::Thread => {
            flags.push_str(&link_flags(&runtime)?);
            let mut cargo = toolchain::cargo().context(
                "the standard library has to be built along: on Debian, install rustc-web and rust-web-src",
            )?;
            cargo
                .env("CARGO_UNSTABLE_BUILD_STD", "std")
                // Tests unwind; with everything else aborting, there would be two standard libraries.
                .env("CARGO_PROFILE_DEV_PANIC", "unwind");
            cargo
        }
    };
    cargo
        .current_dir(&paths.repository)
        .env("RUSTFLAGS", flags)
        .env(
            "CARGO_TARGET_DIR",
            paths.repository.join("target").join(sanitizer.runtime()),
        )
        // With a target named, the flags are for what runs, and not for what builds it.
        .env("CARGO_BUILD_TARGET", host()?)
        .envs(sanitizer.options(paths))
        // What this program was itself run with is of no concern there.
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    Ok(cargo)
}

/// The library of the active toolchain that is linked to what is watched.
fn runtime(sanitizer: Sanitizer) -> Result<PathBuf> {
    let libraries = command::output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let suffix = format!("_rt.{}.a", sanitizer.runtime());
    let entries = std::fs::read_dir(libraries.trim())
        .with_context(|| format!("{} cannot be read", libraries.trim()))?;
    let mut files = entries.flatten().map(|entry| entry.path());
    let runtime = files.find(|file| file.to_string_lossy().ends_with(&suffix));
    runtime.with_context(|| {
        format!(
            "the active Rust toolchain has no runtime of this sanitizer (`librustc-…{suffix}`): use one of rustup's for \
             Linux on x86-64, for example by `rustup default stable`"
        )
    })
}

/// Another compiler knows nothing of the runtime, nor of the linker that can link it, which stands beside it.
fn link_flags(runtime: &Path) -> Result<String> {
    let libraries = runtime.parent().context("the runtime is in a folder")?;
    let linkers = libraries.with_file_name("bin").join("gcc-ld");
    if !linkers.join("ld.lld").is_file() {
        bail!("the active Rust toolchain has no linker in {}", linkers.display());
    }
    Ok(format!(
        " -Clink-arg=-Wl,--whole-archive,{},--no-whole-archive -Clink-arg=-lc -Clink-arg=-fuse-ld=lld -Clink-arg=-B{}",
        runtime.display(),
        linkers.display()
    ))
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

/// Builds the tests with a sanitizer and runs them: those of the arguments of `cargo test`, or all that can be watched.
///
/// # Errors
/// When they cannot be built, one fails, or the sanitizer finds something.
pub fn run(paths: &Paths, sanitizer: Sanitizer, arguments: &[String]) -> Result<()> {
    println!("with the {} sanitizer", sanitizer.name());
    let mut cargo = cargo(paths, sanitizer, "")?;
    cargo.arg("test").args(arguments);
    if arguments.is_empty() && sanitizer == Sanitizer::Thread {
        for package in WITHOUT_SCHEDULES {
            cargo.args(["--package", package]);
        }
    }
    command::run(&mut cargo)
}
