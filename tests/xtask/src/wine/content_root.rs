//! A folder in the shape of an installed WDK, for wdk-build to find: headers and libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::files;
use crate::paths::Paths;
use crate::wine::imports::{self, COMPATIBILITY, Import};
use crate::wine::{tools, wdf_header};

/// The version that the folders are named after.
pub const VERSION: &str = "10.0.26100.0";
const KMDF: &str = "1.31";

/// Import libraries: the name that the linker is asked for, and the image that it stands for. `hal` and `wmilib` are
/// asked for by wdk-sys, and nothing of them is used.
const LIBRARIES: [(&str, &str); 6] = [
    ("ntoskrnl", "ntoskrnl.exe"),
    ("netio", "netio.sys"),
    ("cng", "cng.sys"),
    ("WdfLdr", "wdfldr.sys"),
    ("hal", "hal.dll"),
    ("wmilib", "wmilib.sys"),
];

/// Libraries of code that the WDK links into every driver.
const STATIC_LIBRARIES: [&str; 2] = ["WdfDriverEntry", "BufferOverflowFastFailK"];

/// Makes the folder, or brings it up to date. Answers whether a header changed.
///
/// # Errors
/// When a source is missing or a tool fails.
pub fn make(paths: &Paths) -> Result<bool> {
    let headers = make_headers(paths)?;
    make_import_libraries(paths)?;
    make_static_libraries(paths)?;
    Ok(headers)
}

fn kernel_libraries(paths: &Paths) -> PathBuf {
    paths.content_root.join("Lib").join(VERSION).join("km/x64")
}

fn framework_libraries(paths: &Paths) -> PathBuf {
    paths.content_root.join("Lib/wdf/kmdf/x64").join(KMDF)
}

fn make_headers(paths: &Paths) -> Result<bool> {
    let from = paths.sources.join("headers");
    let include = paths.content_root.join("Include");
    let system = include.join(VERSION);
    // wdk-build wants them to exist, whatever is in them.
    files::make_folder(&system.join("km/ufx/1.1"))?;
    files::make_folder(&system.join("shared"))?;
    let framework = include.join("wdf/kmdf").join(KMDF);
    let mut changed = files::copy_folder(&from.join("km"), &system.join("km"))?;
    changed |= files::copy(&from.join("wdf/types.h"), &framework.join("types.h"))?;
    changed |= files::write(&framework.join("wdf.h"), wdf_header::text(paths)?.as_bytes())?;
    Ok(changed)
}

fn make_import_libraries(paths: &Paths) -> Result<()> {
    let table = imports::table(paths)?;
    for (library, image) in LIBRARIES {
        let of_library = |import: &&Import| import.image == image;
        let here = table
            .iter()
            .filter(of_library)
            .filter(|import| import.home() == image);
        let elsewhere = table
            .iter()
            .filter(of_library)
            .filter(|import| import.home() != image);
        // Both parts go into the one library that the linker is asked for.
        let parts = [
            make_import_library(paths, library, image, here)?,
            make_import_library(
                paths,
                &format!("{library}-{COMPATIBILITY}"),
                COMPATIBILITY,
                elsewhere,
            )?,
        ];
        let folder = if library == "WdfLdr" {
            framework_libraries(paths)
        } else {
            kernel_libraries(paths)
        };
        merge(&folder.join(format!("{library}.lib")), &parts)?;
    }
    Ok(())
}

fn make_import_library<'a>(
    paths: &Paths,
    name: &str,
    image: &str,
    imports: impl Iterator<Item = &'a Import>,
) -> Result<PathBuf> {
    let mut definition = format!("LIBRARY {image}\nEXPORTS\n");
    for import in imports {
        definition.push_str(&import.name);
        definition.push('\n');
    }
    let file = paths.scratch.join(format!("{name}.def"));
    files::write(&file, definition.as_bytes())?;
    let library = paths.scratch.join(format!("{name}.lib"));
    let mut tool = Command::new(tools::DLLTOOL);
    command::run(
        tool.args(["-m", "i386:x86-64", "-d"])
            .arg(file)
            .arg("-l")
            .arg(&library),
    )?;
    Ok(library)
}

fn make_static_libraries(paths: &Paths) -> Result<()> {
    for name in STATIC_LIBRARIES {
        let object = paths.scratch.join(format!("{name}.obj"));
        let mut clang = Command::new(tools::CLANG);
        clang.args([
            "--target=x86_64-pc-windows-msvc",
            "-O2",
            "-ffreestanding",
            "-c",
            "-o",
        ]);
        clang
            .arg(&object)
            .arg(paths.sources.join("entry").join(format!("{name}.c")));
        command::run(&mut clang)?;
        let folder = if name == "WdfDriverEntry" {
            framework_libraries(paths)
        } else {
            kernel_libraries(paths)
        };
        merge(&folder.join(format!("{name}.lib")), &[object])?;
    }
    Ok(())
}

fn merge(library: &Path, parts: &[PathBuf]) -> Result<()> {
    if let Some(folder) = library.parent() {
        files::make_folder(folder)?;
    }
    let mut out = std::ffi::OsString::from("/out:");
    out.push(library);
    command::run(Command::new(tools::LIBRARIAN).arg("/nologo").arg(out).args(parts))
}
