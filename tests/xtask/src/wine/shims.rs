//! The modules that stand in for parts of Windows: the registrar, the framework's loader, and what Wine's kernel lacks.

use anyhow::Result;

use crate::command;
use crate::files;
use crate::paths::Paths;
use crate::wine::{toolchain, tools};

const TARGET: &str = "x86_64-pc-windows-msvc";
/// The modules, and a driver that shows what becomes of one that calls what they do not have.
const MODULES: [&str; 4] = ["netio", "wdfldr", "ntcompat", "probe"];

/// Builds the modules.
///
/// # Errors
/// When a tool fails.
pub fn build(paths: &Paths, jobs: usize) -> Result<()> {
    let mut cargo = toolchain::cargo()?;
    cargo
        .current_dir(paths.sources.join("shims"))
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args([
            "-Zbuild-std=core,alloc,compiler_builtins",
            "-Zbuild-std-features=compiler-builtins-mem",
        ])
        .arg(format!("--jobs={jobs}"))
        .arg("--target-dir")
        .arg(paths.target())
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER", tools::LINKER)
        .env("RUSTFLAGS", tools::IMAGE_FLAGS);
    command::run(&mut cargo)?;
    let built = paths.target().join(TARGET).join("release");
    for module in MODULES {
        files::copy(
            &built.join(format!("{module}.dll")),
            &paths.out.join(format!("{module}.sys")),
        )?;
    }
    Ok(())
}
