//! The programs and files of the system that the build needs, and the Debian packages that have them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::wine::toolchain;

/// mingw-w64's headers, among them those of the kernel.
pub const MINGW_HEADERS: &str = "/usr/share/mingw-w64/include";
/// The C compiler: of the entry stub, of wdk-sys's shim, and what bindgen reads headers with.
pub const CLANG: &str = "clang";
/// The linker. Version 14, which Debian 12 has without a number, takes `/KERNEL` for the name of a file.
pub const LINKER: &str = "lld-link-22";
/// Makes import libraries from definition files.
pub const DLLTOOL: &str = "llvm-dlltool-22";
/// Makes and merges static libraries.
pub const LIBRARIAN: &str = "llvm-lib-22";
/// Makes static libraries, called as the Unix program.
pub const ARCHIVER: &str = "llvm-ar-22";
/// Compiles resource scripts.
pub const RESOURCE_COMPILER: &str = "llvm-rc-22";
/// Links the programs.
pub const PROGRAM_LINKER: &str = "x86_64-w64-mingw32-gcc";

/// The compiler's flags for images. They take the place of those in `.cargo/config.toml`, so what is there is said again.
/// All undefined symbols are named, not only the first twenty: each is a line that the table of imports lacks. Everything
/// is built with the same flags, so that the standard library is built once.
pub const IMAGE_FLAGS: &str = "-Ctarget-feature=+crt-static -Clink-arg=/errorlimit:0";

/// Something that is needed, and the packages to install for it.
struct Need {
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        packages: &["rustc-web", "rust-web-src"],
        present: || toolchain::find().is_some(),
    },
    Need {
        packages: &["lld-22"],
        present: || command::exists(LINKER),
    },
    Need {
        packages: &["llvm-22"],
        present: || {
            [DLLTOOL, LIBRARIAN, ARCHIVER, RESOURCE_COMPILER]
                .iter()
                .all(|tool| command::exists(tool))
        },
    },
    Need {
        packages: &["clang"],
        present: || command::exists(CLANG),
    },
    Need {
        packages: &["libclang-dev"],
        present: || libclang().is_some(),
    },
    Need {
        packages: &["mingw-w64-x86-64-dev"],
        present: || Path::new(MINGW_HEADERS).join("ddk/ntddk.h").is_file(),
    },
    Need {
        packages: &["gcc-mingw-w64-x86-64-win32"],
        present: || command::exists(PROGRAM_LINKER),
    },
    Need {
        packages: &["wine", "wine64", "libwine"],
        present: || command::exists("wine"),
    },
];

/// What makes apt-get wait for its lock, and try again when a download breaks off.
const APT_OPTIONS: [&str; 4] = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"];

/// Makes sure that everything is there; installs what is missing if `install`.
///
/// # Errors
/// When something is missing, with the line that installs it.
pub fn require(install: bool) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    // A fresh machine has no lists of packages, or old ones; a busy one may hold the lock for a while.
    let update = [&APT_OPTIONS[..], &["update"]].concat();
    let packages = ["install", "--yes", "--no-install-recommends"];
    let packages = [&APT_OPTIONS[..], &packages, &missing].concat();
    if !install {
        bail!(
            "tools are missing. On Debian 12, as root:\n\n    apt-get {}\n    apt-get {}\n\nor have it done: cargo xtask wine \
             build --install",
            update.join(" "),
            packages.join(" ")
        );
    }
    for arguments in [update, packages] {
        command::run(apt_get()?.args(arguments)).with_context(|| {
            format!(
                "these packages are needed and were not installed: {}",
                missing.join(" ")
            )
        })?;
    }
    let still = self::missing();
    if !still.is_empty() {
        bail!(
            "these packages are installed, but what is needed of them was not found: {}",
            still.join(" ")
        );
    }
    Ok(())
}

fn missing() -> Vec<&'static str> {
    NEEDS
        .iter()
        .filter(|need| !(need.present)())
        .flat_map(|need| need.packages.iter().copied())
        .collect()
}

fn apt_get() -> Result<Command> {
    let mut apt_get = if is_root()? {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        sudo
    };
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(apt_get)
}

fn is_root() -> Result<bool> {
    Ok(command::output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Where clang's own headers are.
pub fn clang_headers() -> Option<PathBuf> {
    let resources = command::output(Command::new(CLANG).arg("-print-resource-dir")).ok()?;
    Some(PathBuf::from(resources.trim()).join("include"))
}

/// The folder that the library of clang is in, for bindgen.
pub fn libclang() -> Option<PathBuf> {
    if !command::exists(CLANG) {
        return None;
    }
    // <folder>/clang/<version>/include
    let folder = clang_headers()?.ancestors().nth(3)?.to_path_buf();
    let has_library = folder.read_dir().ok()?.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name == "libclang.so" || name.starts_with("libclang-") && name.ends_with(".so")
    });
    has_library.then_some(folder)
}

/// The folders of headers for everything that is compiled for Windows, as arguments of clang.
///
/// # Errors
/// When clang does not say where its own headers are.
pub fn header_arguments() -> Result<String> {
    let Some(clang) = clang_headers() else {
        bail!("`{CLANG} -print-resource-dir` does not say where clang's headers are");
    };
    Ok(format!(
        "-isystem {} -isystem {MINGW_HEADERS} -isystem {MINGW_HEADERS}/ddk",
        clang.display()
    ))
}
