//! Building for Windows on Linux, to run under Wine.
//!
//! Everything is made below `target/wine`; the files to run are in its folder `out`. Nothing of the repository
//! changes, and no driver source knows of this build.

pub mod content_root;
pub mod drivers;
pub mod imports;
pub mod programs;
pub mod run;
pub mod shims;
pub mod stage;
pub mod toolchain;
pub mod tools;
pub mod wdf_header;
pub mod wdk_build;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::files;
use crate::paths::Paths;

/// What can be built by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The driver images
    Drivers,
    /// The modules that stand in for parts of Windows
    Shims,
    /// The programs that use the drivers
    Programs,
}

/// Builds everything, or one part.
///
/// # Errors
/// When tools are missing, or something cannot be built.
pub fn build(paths: &Paths, install: bool, jobs: usize, only: Option<Part>) -> Result<()> {
    let lock_file = paths.repository.join("Cargo.lock");
    let before = files::read(&lock_file)?;
    tools::require(install)?;
    println!("building with {}", toolchain::version());
    let wanted = |part| only.is_none_or(|only| only == part);
    if wanted(Part::Drivers) {
        drivers::build(paths, jobs).context("the driver images were not built")?;
    }
    if wanted(Part::Shims) {
        shims::build(paths, jobs).context("the stand-in modules were not built")?;
    }
    if wanted(Part::Programs) {
        programs::build(paths, jobs).context("the programs were not built")?;
    }
    if files::read(&lock_file)? != before {
        bail!("the build changed Cargo.lock, which is the repository's");
    }
    println!("made in {}:", paths.shown(&paths.out));
    for entry in paths.out.read_dir()?.flatten() {
        println!(
            "{:>9}  {}",
            entry.metadata()?.len(),
            entry.file_name().to_string_lossy()
        );
    }
    Ok(())
}
