//! The Rust compiler.
//!
//! There are no ready-made libraries of the targets on Debian, so the standard library is built from its sources:
//! any compiler that has them beside it will do.

use std::path::PathBuf;
use std::process::Command;

use crate::command;

/// The compiler of Debian's package rustc-web; its sources are in rust-web-src.
const DEBIAN: &str = "/usr/bin/rustc";

/// A compiler with the sources of its library: the one that is active here, or Debian's.
pub fn find() -> Option<PathBuf> {
    ["rustc", DEBIAN].into_iter().map(PathBuf::from).find(|rustc| {
        let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output();
        let Ok(sysroot) = sysroot else { return false };
        let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
        let library = PathBuf::from(sysroot).join("lib/rustlib/src/rust/library");
        library.join("core/src/lib.rs").is_file()
    })
}

/// cargo, building for a target whose library it builds too.
///
/// # Errors
/// When there is no compiler with the sources of its library.
pub fn cargo() -> anyhow::Result<Command> {
    let rustc = find().ok_or_else(|| anyhow::anyhow!("no Rust compiler with the sources of its library"))?;
    let mut cargo = Command::new("cargo");
    cargo
        .env("RUSTC", rustc)
        // Building the library is not stable yet.
        .env("RUSTC_BOOTSTRAP", "1")
        // What this program was itself run with is of no concern there.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    Ok(cargo)
}

/// The compiler as messages name it.
pub fn version() -> String {
    let version = find().and_then(|rustc| command::output(Command::new(rustc).arg("--version")).ok());
    version.unwrap_or_default().trim().to_owned()
}
