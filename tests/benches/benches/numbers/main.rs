//! Runs every suite and prints one table: `cargo bench -p nsemail-benches [-- --quick] [-- --markdown] [-- SUITE]`.

mod counting;
mod drivers;
mod guard;
mod instructions;
mod ioctl;
mod loading;
mod pages;
mod registration;
mod store;
mod verifier;
mod wine;

use anyhow::Result;
use nsemail_benches::{Options, Report};

#[global_allocator]
static MEMORY: counting::Counting = counting::Counting;

/// A suite's name and what runs it.
type Suite = (&'static str, fn(&Options, &mut Report) -> Result<()>);

const SUITES: &[Suite] = &[
    ("instructions", instructions::run),
    ("store", store::run),
    ("guard", guard::run),
    ("ioctl", ioctl::run),
    ("registration", registration::run),
    ("loading", loading::run),
    ("verifier", verifier::run),
    ("wine", wine::run),
];

fn main() -> Result<()> {
    let options = Options::from_command_line();
    if let (Some(probe), Some(times)) = (&options.probe, options.times) {
        return instructions::probe(probe, times);
    }
    let pages = pages::arrange(&options)?;
    let mut report = Report::default();
    report.note(format!("Memory is in pages of {pages}, for all."));
    for (name, run) in SUITES {
        if options.wants(name) {
            run(&options, &mut report)?;
        }
    }
    report.print(options.markdown);
    report.result()
}
