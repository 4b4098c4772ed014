//! Asks wdk-build for the linker arguments of a KMDF driver.
//!
//! The INF file has its one home in `inf/`; the WDK tools look for it beside the manifest, under the
//! name of the crate, so it is copied there.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let inx = concat!(env!("CARGO_PKG_NAME"), ".inx").replace('-', "_");
    let home = package.join("../inf").join(&inx);
    println!("cargo::rerun-if-changed={}", home.display());
    fs::copy(&home, package.join(&inx))?;
    // The Network Module Registrar.
    println!("cargo::rustc-link-lib=netio");
    // `BCryptGenRandom`.
    println!("cargo::rustc-link-lib=cng");
    wdk_build::configure_wdk_binary_build()?;
    Ok(())
}
