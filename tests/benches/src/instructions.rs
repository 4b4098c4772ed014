//! Counts of instructions: what a run under callgrind says, and the figures that are kept.
//!
//! A count does not depend on what else the machine does, so it shows a change that times on a noisy machine do not. It
//! does depend on the compiler, whose version is kept with the figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// How much a count may grow over the kept one.
pub const TOLERANCE: f64 = 1.10;

/// The kept figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The compiler that they were taken with.
    pub compiler: String,
    /// Instructions of each thing that is counted.
    pub instructions: BTreeMap<String, u64>,
}

impl Kept {
    /// Where the figures of this package are.
    #[must_use]
    pub fn file() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml")
    }

    /// Reads them; of a file that is not there, there are none.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is malformed.
    pub fn read(file: &Path) -> Result<Self> {
        match std::fs::read_to_string(file) {
            Ok(text) => toml::from_str(&text).with_context(|| file.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| file.display().to_string()),
        }
    }

    /// Writes them.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = format!(
            "# Kept by `cargo bench -p nsemail-benches -- instructions --keep`; a count that is more than 10 % above its \
             figure fails.\n{}",
            toml::to_string(self)?
        );
        std::fs::write(file, text).with_context(|| file.display().to_string())
    }

    /// What is wrong with a count, if anything is.
    #[must_use]
    pub fn objection(&self, what: &str, counted: f64) -> Option<String> {
        let Some(&kept) = self.instructions.get(what) else {
            return Some(format!("{what}: no figure is kept"));
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let ratio = counted / kept as f64;
        (ratio > TOLERANCE).then(|| {
            format!(
                "{what}: {counted:.0} instructions, {:.0} % more than the {kept} that are kept (by {})",
                (ratio - 1.0) * 100.0,
                self.compiler
            )
        })
    }
}

/// The sum of a run, as callgrind writes it into its output.
///
/// # Errors
///
/// There is none.
pub fn sum_of(output: &str) -> Result<u64> {
    let line = |name: &str| output.lines().find_map(|line| line.strip_prefix(name));
    let sum = line("totals:").or_else(|| line("summary:"));
    let sum = sum.and_then(|sum| sum.split_whitespace().next());
    sum.context("callgrind's output has no sum")?
        .parse()
        .context("callgrind's sum")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept {
            compiler: "rustc 1".to_owned(),
            instructions: BTreeMap::from([("look-up".to_owned(), 1000)]),
        }
    }

    #[test]
    fn a_count_may_grow_by_a_tenth_and_not_more() {
        assert_eq!(kept().objection("look-up", 900.0), None);
        assert_eq!(kept().objection("look-up", 1100.0), None);
        let objection = kept().objection("look-up", 1101.0).expect("too many");
        assert!(objection.contains("1101"), "{objection}");
    }

    #[test]
    fn what_has_no_figure_fails() {
        assert!(kept().objection("guard", 1.0).is_some());
    }

    #[test]
    fn figures_are_read_as_they_were_written() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("figures.toml");
        assert_eq!(Kept::read(&file)?, Kept::default());
        kept().write(&file)?;
        assert_eq!(Kept::read(&file)?, kept());
        Ok(())
    }

    #[test]
    fn the_sum_of_a_run_is_found() -> Result<()> {
        assert_eq!(
            sum_of("events: Ir\nsummary: 12\n\nfn=(1)\n1 5\n\ntotals: 34\n")?,
            34
        );
        assert!(sum_of("events: Ir\n").is_err());
        Ok(())
    }
}
