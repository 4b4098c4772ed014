//! Runs the tool.
#![allow(dead_code, reason = "each test file uses its part of this")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a run of the tool left behind.
#[derive(Debug)]
pub struct Run {
    pub exit_code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    #[track_caller]
    pub fn expect(&self, exit_code: i32) {
        assert_eq!(self.exit_code, exit_code, "{self:#?}");
    }

    /// Expects an error that is told on the standard error alone.
    #[track_caller]
    pub fn expect_error(&self, exit_code: i32, message: &str) {
        self.expect(exit_code);
        assert!(
            self.stderr.contains(message),
            "{message:?} is missing in {self:#?}"
        );
        assert_eq!(self.stdout, "", "nothing belongs on the standard output");
    }
}

/// Runs the tool without a terminal.
pub fn nsemail(arguments: &[&str]) -> Run {
    nsemail_with_input(arguments, b"")
}

/// Runs the tool with something on its standard input.
pub fn nsemail_with_input(arguments: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nsemail"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A tool that does not read its input may end before it is written.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Run {
        exit_code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A simulated machine that keeps its state from run to run.
pub struct Machine(TempDir);

impl Machine {
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_with_input(arguments, b"")
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Run {
        let folder = self.folder().to_str().unwrap();
        nsemail_with_input(&[&["--embedded", folder][..], arguments].concat(), input)
    }

    /// Runs a command that succeeds, and reads its document.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[arguments, &["--json"]].concat());
        run.expect(0);
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// The addresses that a name has.
    #[track_caller]
    pub fn addresses(&self, name: &str) -> Vec<String> {
        let document = self.json(&["lookup", name]);
        let addresses = document["results"][0]["records"][0]["addresses"]
            .as_array()
            .unwrap();
        addresses
            .iter()
            .map(|address| address.as_str().unwrap().to_owned())
            .collect()
    }
}
