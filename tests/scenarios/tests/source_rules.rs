//! Rules about the sources of the drivers that no compiler checks.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The crates that end up in a driver image.
const DRIVER_CRATES: [&str; 8] = [
    "shared-npi/contract",
    "shared-npi/nmr",
    "shared-npi/alloc",
    "shared-npi/kernel",
    "client-driver/core",
    "provider-driver/core",
    "client-driver",
    "provider-driver",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every line of code, without comments, of the driver crates: path, line number, text.
fn driver_lines() -> Vec<(PathBuf, usize, String)> {
    let mut files = Vec::new();
    for folder in DRIVER_CRATES {
        rust_files(&root().join(folder).join("src"), &mut files);
    }
    assert!(
        files.len() > 40,
        "the driver crates have moved: only {} files found",
        files.len()
    );
    let mut lines = Vec::new();
    for file in files {
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default().trim();
            if !code.is_empty() {
                lines.push((file.clone(), number + 1, code.to_owned()));
            }
        }
    }
    lines
}

/// Fails with all `places` at once.
fn assert_none(rule: &str, places: &[(PathBuf, usize, String)]) {
    let list: Vec<_> = places
        .iter()
        .map(|(path, line, code)| format!("{}:{line}: {code}", path.display()))
        .collect();
    assert!(list.is_empty(), "{rule}\n{}", list.join("\n"));
}

/// What follows `static` in an item, if the line declares one.
fn static_item(code: &str) -> Option<&str> {
    let item = code.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
    item.strip_prefix("static ")
}

#[test]
fn drivers_have_no_mutable_statics() {
    // State belongs to a machine, so that two machines can run one driver at the same time.
    const MUTABLE: [&str; 7] = ["mut ", "Atomic", "Cell", "Lock", "Mutex", "Once", "Lazy"];
    // What loom explores instead of a kernel, compiled for nothing else.
    const MODELLED: &str = "shared-npi/nmr/src/sync/modelled.rs";
    let places: Vec<_> = driver_lines()
        .into_iter()
        .filter(|(path, _, _)| !path.ends_with(MODELLED))
        .filter(|(_, _, code)| {
            static_item(code).is_some_and(|item| MUTABLE.iter().any(|word| item.contains(word)))
        })
        .collect();
    assert_none("a driver keeps state in a static", &places);
}

#[test]
fn only_crate_roots_choose_between_the_kernels() {
    let places: Vec<_> = driver_lines()
        .into_iter()
        .filter(|(path, _, code)| {
            code.contains("feature = \"sim\"") && path.file_name().is_some_and(|name| name != "lib.rs")
        })
        .collect();
    assert_none(
        "a source below the crate root depends on the kernel that it is built for",
        &places,
    );
}

#[test]
fn no_source_of_a_driver_knows_for_which_system_or_build_it_is_compiled() {
    // The images of the Linux build are made of the same lines as those of Windows.
    const KNOWS: [&str; 6] = [
        "target_os",
        "target_env",
        "target_family",
        "cfg(windows",
        "cfg(unix",
        "wine",
    ];
    let places: Vec<_> = driver_lines()
        .into_iter()
        .filter(|(_, _, code)| KNOWS.iter().any(|word| code.contains(word)))
        .collect();
    assert_none("a source depends on the system that it is built for", &places);
}

#[test]
fn shells_are_entry_points_and_nothing_else() {
    for shell in ["client-driver", "provider-driver"] {
        let mut files = Vec::new();
        rust_files(&root().join(shell).join("src"), &mut files);
        assert_eq!(files.len(), 1, "{shell} has more than its entry point");
    }
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["to", "do!("].concat();
    let others = ["unimple", "mented!("].concat();
    let places: Vec<_> = driver_lines()
        .into_iter()
        .filter(|(_, _, code)| code.contains(&marks) || code.contains(&others))
        .collect();
    assert_none("unfinished code", &places);
}
