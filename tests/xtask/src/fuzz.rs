//! The properties of `fuzz-properties`, driven by libFuzzer under `AddressSanitizer`.
//!
//! Everything goes below `target/asan`: in `corpus` what was found to reach something new, in `finds` what breaks a
//! property.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::files;
use crate::paths::Paths;
use crate::sanitize::{self, Sanitizer};

/// The flags by which the compiler counts what is reached and tells libFuzzer what is compared.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// What one run of one target came to.
struct Outcome {
    target: String,
    executions: String,
    /// Edges of the code that were reached.
    reached: String,
    /// Inputs that break the property.
    finds: Vec<PathBuf>,
}

/// Builds the targets, and runs one of them or all, each for that long.
///
/// # Errors
/// When there is no such target, they cannot be built, or one finds something.
pub fn run(paths: &Paths, target: Option<&str>, time: Duration) -> Result<()> {
    let corpora = paths.repository.join("tests/fuzz/corpus");
    let targets = targets(&corpora)?;
    if let Some(name) = target
        && !targets.iter().any(|target| target == name)
    {
        bail!(
            "there is no target `{name}`: choose one of {}",
            targets.join(", ")
        );
    }
    let build = [
        "build",
        "--profile",
        "fuzz",
        "--package",
        "fuzz-targets",
        "--bins",
    ];
    command::run(sanitize::cargo(paths, Sanitizer::Address, COVERAGE)?.args(build))?;
    let made = paths.repository.join("target").join(Sanitizer::Address.runtime());
    let programs = made.join(sanitize::host()?).join("fuzz");
    let mut outcomes = Vec::new();
    for name in targets
        .iter()
        .filter(|name| target.is_none_or(|target| target == *name))
    {
        println!("\n== {name}, for {} s", time.as_secs());
        let seeds = corpora.join(name);
        outcomes.push(fuzz(paths, &programs.join(name), &made, &seeds, name, time)?);
    }
    println!("\n{:<12}{:>12}{:>10}  finds", "target", "executions", "edges");
    for outcome in &outcomes {
        let Outcome {
            target,
            executions,
            reached,
            finds,
        } = outcome;
        println!("{target:<12}{executions:>12}{reached:>10}  {}", finds.len());
    }
    let finds: Vec<_> = outcomes
        .iter()
        .flat_map(|outcome| outcome.finds.iter().map(move |find| (&outcome.target, find)))
        .collect();
    for (target, find) in &finds {
        println!(
            "\n{target} does not hold for {find}. Keep the input, and it is a test until it holds:\n\
             \x20   cp {find} tests/fuzz/corpus/{target}/NAME && cargo test -p fuzz-properties",
            find = paths.shown(find)
        );
    }
    if !finds.is_empty() {
        bail!("{} inputs break a property", finds.len());
    }
    Ok(())
}

/// The names of the targets: each has a corpus.
fn targets(corpora: &Path) -> Result<Vec<String>> {
    let entries = corpora
        .read_dir()
        .with_context(|| format!("{} cannot be read", corpora.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn fuzz(
    paths: &Paths,
    program: &Path,
    made: &Path,
    seeds: &Path,
    target: &str,
    time: Duration,
) -> Result<Outcome> {
    let corpus = made.join("corpus").join(target);
    let finds = made.join("finds").join(target);
    files::make_folder(&corpus)?;
    files::make_folder(&finds)?;
    let before = inputs(&finds)?;
    let log = made.join(format!("{target}.log"));
    let output = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    println!("output goes to {}", paths.shown(&log));
    let status = Command::new(program)
        .current_dir(&paths.repository)
        .envs(Sanitizer::Address.options(paths))
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-artifact_prefix={}/", finds.display()))
        // A thread of a machine may still be on its way out when libFuzzer looks for leaks; `sanitize` looks at the end.
        .args([
            "-timeout=60",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
            "-detect_leaks=0",
        ])
        .args([corpus.as_path(), seeds])
        .stdin(Stdio::null())
        .stderr(output)
        .status()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let said = String::from_utf8_lossy(&files::read_bytes(&log)?).into_owned();
    let mut finds = inputs(&finds)?;
    finds.retain(|find| !before.contains(find));
    if !status.success() && finds.is_empty() {
        bail!(
            "{target} ended with {status} and left no input: see {}",
            paths.shown(&log)
        );
    }
    Ok(Outcome {
        target: target.to_owned(),
        executions: after(&said, "stat::number_of_executed_units:"),
        reached: after(&said, " cov:"),
        finds,
    })
}

fn inputs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = folder
        .read_dir()
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// The word that follows the last such label.
fn after(text: &str, label: &str) -> String {
    let rest = text.rsplit_once(label).map_or("", |(_, rest)| rest);
    rest.split_whitespace().next().unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::after;

    #[test]
    fn the_last_number_of_a_label_counts() {
        let text = "#1 NEW cov: 10 ft: 12\n#2 DONE cov: 11 ft: 13\nstat::number_of_executed_units: 42\n";
        assert_eq!(after(text, " cov:"), "11");
        assert_eq!(after(text, "stat::number_of_executed_units:"), "42");
        assert_eq!(after(text, "none:"), "?");
    }
}
