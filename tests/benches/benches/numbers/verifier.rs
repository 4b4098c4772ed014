//! What the verifier costs: every scenario through both drivers, on a machine of its own, with the verifier and
//! without.

use std::time::Instant;

use anyhow::Result;
use nsemail_benches::measure::{Contender, take_turns};
use nsemail_benches::{Goal, Options, Report, Row};
use nsemail_embedded::Options as Machine;
use scenarios::{for_each_scenario, kernel::Kernel, simulated::Simulated};

macro_rules! list {
    ($($module:ident: [$($scenario:ident,)+],)+) => {
        &[$($(scenarios::$module::$scenario,)+)+]
    };
}

const SCENARIOS: &[fn(&dyn Kernel)] = for_each_scenario!(list);

/// Runs the suite.
#[expect(clippy::unnecessary_wraps, reason = "suites have one signature")]
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    let turns = vec![
        Contender::new("verifier on", || seconds(true)),
        Contender::new("verifier off", || seconds(false)),
    ];
    // Each turn is the whole list, which is long enough for few rounds.
    let samples = take_turns(options.rounds().min(5), turns);
    let what = format!("{} scenarios, verifier on", SCENARIOS.len());
    report.add(Row::of(what, "s", samples, &[], Goal::AtMost(3.0)));
    Ok(())
}

fn seconds(verifier: bool) -> f64 {
    let start = Instant::now();
    for scenario in SCENARIOS {
        let machine = Simulated::with(Machine::new().verifier(verifier));
        scenario(&machine);
        machine.end();
    }
    start.elapsed().as_secs_f64()
}
