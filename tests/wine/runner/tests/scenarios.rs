//! The scenarios with the real driver images under Wine.
//!
//! `cargo xtask wine test` builds the images, says where they are, and runs this. Without images there is
//! nothing to run. An argument chooses the scenarios with that in their names.

use std::{env, path::PathBuf, process::ExitCode};

use wine_runner::{Options, run};

/// The folder with the images.
const IMAGES: &str = "NSEMAIL_WINE_IMAGES";
/// The folder below which the prefix is made.
const TARGET: &str = "NSEMAIL_WINE_TARGET";

fn main() -> ExitCode {
    let folder = |variable| env::var_os(variable).map(PathBuf::from);
    let (Some(images), Some(target)) = (folder(IMAGES), folder(TARGET)) else {
        println!("no driver images to run: `cargo xtask wine test` builds them and runs this");
        return ExitCode::SUCCESS;
    };
    let options = Options {
        images,
        inf: concat!(env!("CARGO_MANIFEST_DIR"), "/../../../inf").into(),
        prefix: target.join("prefix"),
        log: target.join("log.txt"),
        filter: env::args().skip(1).find(|argument| !argument.starts_with('-')),
    };
    match run(&options) {
        Ok(summary) => {
            println!("{}", summary.line());
            if summary.passed() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
