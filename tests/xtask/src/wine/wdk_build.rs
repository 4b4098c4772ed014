//! wdk-build as it is published, made to run on a host that is not Windows.
//!
//! The crate refuses other hosts in three places: where it sets environment variables, where it looks for an
//! installed WDK in the registry, and where it makes symbolic links. A copy has those three lifted, and nothing else.
//! The copy is made from the package that cargo downloaded, after comparing its checksum; it is never kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::command;
use crate::files;
use crate::paths::Paths;

const VERSION: &str = "0.6.0";
/// Of the package in the registry, which is also what the registry's index and the lock file say.
const CHECKSUM: &str = "16f5c1804e317c1a316c5c8b81df269eaa4df220d03fb6b47315c298f21a592f";

/// Makes the copy.
///
/// # Errors
/// When the package is another one than this module knows, or cannot be read.
pub fn make(paths: &Paths) -> Result<()> {
    let package = package(paths)?;
    let checksum = hex::encode(Sha256::digest(files::read_bytes(&package)?));
    if checksum != CHECKSUM {
        bail!(
            "{} has the checksum {checksum}, but wdk-build {VERSION} has {CHECKSUM}; remove the file so that cargo \
             fetches it again",
            package.display()
        );
    }
    let unpacked = paths.scratch.join("wdk-build");
    files::remove_folder(&unpacked)?;
    files::make_folder(&unpacked)?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--gzip").arg("--strip-components=1");
    command::run(tar.arg("--directory").arg(&unpacked).arg("--file").arg(&package))?;

    edit(&unpacked.join("src/utils.rs"), lift_environment_and_registry)?;
    edit(&unpacked.join("src/cargo_make.rs"), |text| {
        Ok(text.replace("std::os::windows::fs::symlink_file", "std::os::unix::fs::symlink"))
    })?;
    edit(&unpacked.join("Cargo.toml"), drop_windows)?;
    files::copy_folder(&unpacked, &paths.wdk_build)?;
    Ok(())
}

/// The package file that cargo downloaded.
fn package(paths: &Paths) -> Result<PathBuf> {
    let manifest = paths.repository.join("Cargo.toml");
    let mut fetch = Command::new("cargo");
    command::run(
        fetch
            .args(["fetch", "--locked", "--quiet", "--manifest-path"])
            .arg(&manifest),
    )?;
    let mut metadata = Command::new("cargo");
    metadata.args(["metadata", "--locked", "--format-version", "1", "--manifest-path"]);
    let metadata = command::output(metadata.arg(&manifest))?;
    // Of this long line only one path is wanted: …/registry/src/<index>/wdk-build-<version>/Cargo.toml
    let folder = format!("wdk-build-{VERSION}");
    let end = format!("/{folder}/Cargo.toml\"");
    let Some((before, _)) = metadata.split_once(&end) else {
        bail!("the workspace does not use wdk-build {VERSION}; this task knows no other version");
    };
    let index = before.rsplit('"').next().unwrap_or_default();
    let (registry, index) = index
        .rsplit_once("/src/")
        .with_context(|| format!("{index} is no folder of cargo's registry"))?;
    Ok(Path::new(registry)
        .join("cache")
        .join(index)
        .join(format!("{folder}.crate")))
}

fn edit(file: &Path, change: impl Fn(&str) -> Result<String>) -> Result<()> {
    let text = files::read(file)?.replace("\r\n", "\n");
    let changed = change(&text).with_context(|| format!("{} is not as expected", file.display()))?;
    if changed == text {
        bail!("{} is not as expected: nothing to change", file.display());
    }
    files::write(file, changed.as_bytes())?;
    Ok(())
}

fn lift_environment_and_registry(text: &str) -> Result<String> {
    // Each function is there twice, once for Windows and once to refuse.
    let text = text.replace("#[cfg(not(target_os = \"windows\"))]", "#[cfg(any())]");
    let text = text.replace("#[cfg(target_os = \"windows\")]", "#[cfg(all())]");
    let text = cut(&text, "use windows::{", "};\n")?;
    let text = text.replace("ffi::{CStr, OsStr}", "ffi::OsStr");
    // The look-up under each of two keys, and the function that they call.
    let text = cut(
        &text,
        "    if let Some(path) = read_registry_key_string_value(",
        "\n    }\n",
    )?;
    let text = cut(
        &text,
        "    if let Some(path) = read_registry_key_string_value(",
        "\n    }\n",
    )?;
    cut(&text, "/// Read a string value from a registry key\n", "\n}\n")
}

fn drop_windows(text: &str) -> Result<String> {
    let text = cut(text, "[dependencies.windows]\n", "]\n\n")?;
    cut(&text, "[dev-dependencies.windows]\n", "]\n\n")
}

/// The text without what stands from `start` to the end of the next `end`.
fn cut(text: &str, start: &str, end: &str) -> Result<String> {
    let parts = text
        .split_once(start)
        .and_then(|(before, rest)| rest.split_once(end).map(|(_, after)| [before, after].concat()));
    parts.with_context(|| format!("it has no part from `{}` to `{}`", start.trim(), end.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_takes_the_part_with_both_ends() {
        assert_eq!(cut("a[b]c[d]", "[", "]").unwrap(), "ac[d]");
        assert!(cut("a[b", "[", "]").is_err());
        assert!(cut("a]b", "[", "]").is_err());
    }
}
