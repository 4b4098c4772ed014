//! What the build scripts of both driver images do besides asking wdk-build for the linker's arguments.

mod version;

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use version::VersionResource;

/// Prepares the image of the package whose build script calls this.
///
/// Puts its INF file where the WDK's tools look for it, links what the drivers call and wdk-sys does not link, and
/// gives the image a version resource.
///
/// # Errors
/// When a file cannot be read or written, when a variable that cargo sets is missing, or when the resource compiler
/// fails or is not there.
pub fn prepare() -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let image = env::var("CARGO_PKG_NAME")?.replace('-', "_");

    // The INF file has its one home in `inf/`; the tools look for it beside the manifest, under the name of the crate.
    let inx = format!("{image}.inx");
    let home = package.join("../inf").join(&inx);
    println!("cargo::rerun-if-changed={}", home.display());
    fs::copy(&home, package.join(&inx)).map_err(|error| format!("{}: {error}", home.display()))?;

    // The Network Module Registrar, and `BCryptGenRandom`.
    println!("cargo::rustc-link-lib=netio");
    println!("cargo::rustc-link-lib=cng");

    let resource = VersionResource {
        file: format!("{image}.sys"),
        description: env::var("CARGO_PKG_DESCRIPTION")?,
        version: env::var("CARGO_PKG_VERSION")?,
        license: env::var("CARGO_PKG_LICENSE")?,
        debug: env::var("PROFILE")? == "debug",
    };
    let script = PathBuf::from(env::var("OUT_DIR")?).join("version.rc");
    fs::write(&script, resource.script()?)?;
    embed_resource::compile_for_cdylib(&script, embed_resource::NONE).manifest_required()?;
    Ok(())
}
