//! What `AddressSanitizer` says of code that is wrong on purpose. It ends the process that it finds something in, so
//! that this has to be a process of its own.

use std::{env, process::Command};

/// Names the test whose code the process is to run.
const INSIDE: &str = "NT_SIM_SANITIZED";
/// What a process ends with that something was found in.
const FOUND: i32 = 86;
/// What a process writes that gets through the code that is right.
const SO_FAR: &str = "right so far";

/// Says that what comes next is what is wrong.
pub fn now_wrong() {
    eprintln!("{SO_FAR}");
}

/// Runs this test again in a process of its own, and there `code`, which calls [`now_wrong`] and then does something
/// that `AddressSanitizer` is to report: an error of that kind, at such an access.
#[track_caller]
pub fn expect(test: &str, kind: &str, access: &str, code: impl FnOnce()) {
    if env::var_os(INSIDE).is_some_and(|inside| inside == test) {
        code();
        return;
    }
    let options = env::var("ASAN_OPTIONS").unwrap_or_default();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, test)
        .env(
            "ASAN_OPTIONS",
            format!("{options}:abort_on_error=0:exitcode={FOUND}"),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(FOUND), "nothing was found:\n{said}");
    let (_, found) = said
        .split_once(SO_FAR)
        .unwrap_or_else(|| panic!("found where nothing is wrong:\n{said}"));
    for part in [
        format!("ERROR: AddressSanitizer: {kind} "),
        format!("{access} at "),
    ] {
        assert!(found.contains(&part), "{part} is missing in:\n{found}");
    }
}
