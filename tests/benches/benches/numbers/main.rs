//! Runs every suite and prints one table: `cargo bench -p nsemail-benches [-- --quick] [-- --markdown] [-- SUITE]`.

mod counting;
mod store;
mod verifier;

use anyhow::Result;
use nsemail_benches::{Options, Report};

#[global_allocator]
static MEMORY: counting::Counting = counting::Counting;

/// A suite's name and what runs it.
type Suite = (&'static str, fn(&Options, &mut Report) -> Result<()>);

const SUITES: &[Suite] = &[("store", store::run), ("verifier", verifier::run)];

fn main() -> Result<()> {
    let options = Options::from_command_line();
    let mut report = Report::default();
    for (name, run) in SUITES {
        if options.wants(name) {
            run(&options, &mut report)?;
        }
    }
    report.print(options.markdown);
    Ok(())
}
