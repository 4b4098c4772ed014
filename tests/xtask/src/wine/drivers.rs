//! The driver images.

use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::files;
use crate::paths::{DRIVERS, Paths};
use crate::wine::{content_root, stage, toolchain, tools, wdk_build};

const TARGET: &str = "x86_64-pc-windows-msvc";

/// Builds the driver images, with symbols and maps.
///
/// # Errors
/// When a source is missing or a tool fails.
pub fn build(paths: &Paths, jobs: usize) -> Result<()> {
    wdk_build::make(paths)?;
    stage::make(paths)?;
    if content_root::make(paths)? {
        // The macro that calls the framework keeps what it read of the bindings, and does not look again.
        files::remove_folder(&paths.target())?;
    }
    let mut cargo = cargo(paths, jobs)?;
    for driver in DRIVERS {
        cargo.arg("--package").arg(driver.replace('_', "-"));
    }
    command::run(&mut cargo)?;

    let built = paths.target().join(TARGET).join("release");
    for driver in DRIVERS {
        files::copy(
            &built.join(format!("{driver}.dll")),
            &paths.out.join(format!("{driver}.sys")),
        )?;
        files::copy(
            &built.join(format!("{driver}.pdb")),
            &paths.out.join(format!("{driver}.pdb")),
        )?;
        files::copy(
            &built.join(format!("deps/{driver}.map")),
            &paths.out.join(format!("{driver}.map")),
        )?;
    }
    Ok(())
}

fn cargo(paths: &Paths, jobs: usize) -> Result<Command> {
    let headers = tools::header_arguments()?;
    let mut cargo = toolchain::cargo()?;
    cargo
        .current_dir(&paths.stage)
        .args(["build", "--release", "--target", TARGET])
        .args([
            "-Zbuild-std=core,alloc,compiler_builtins",
            "-Zbuild-std-features=compiler-builtins-mem",
        ])
        .arg(format!("--jobs={jobs}"))
        .arg("--target-dir")
        .arg(paths.target())
        // Where wdk-build looks for a WDK.
        .env("WDKContentRoot", &paths.content_root)
        .env("Version_Number", content_root::VERSION)
        // The bindings, and the file of C that wdk-sys compiles.
        .env("BINDGEN_EXTRA_CLANG_ARGS", &headers)
        .env("CC_x86_64_pc_windows_msvc", tools::CLANG)
        .env("AR_x86_64_pc_windows_msvc", tools::ARCHIVER)
        .env(
            "CFLAGS_x86_64_pc_windows_msvc",
            format!("--target={TARGET} -fms-extensions -fms-compatibility -Wno-everything {headers}"),
        )
        .env("RC_x86_64_pc_windows_msvc", tools::RESOURCE_COMPILER)
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_MSVC_LINKER", tools::LINKER)
        .env("RUSTFLAGS", tools::IMAGE_FLAGS);
    if let Some(libclang) = tools::libclang() {
        cargo.env("LIBCLANG_PATH", libclang);
    }
    Ok(cargo)
}
