//! `demo`: a fresh machine in memory, and what its kernel sees of the drivers at work.
//!
//! Every line of the timeline is an event that the simulated kernel recorded; the lines between,
//! marked by a star, are what this program did and saw.

mod story;
mod timeline;

use nsemail::{Error, ExitCode, TransportError};
use nsemail_embedded::{Embedded, Options, Order};
use nt_sim::io::{Identity, Process};
use serde_json::json;

use crate::cli::Demo;
use crate::connect::boot_error;
use crate::output::{self, Output};
use timeline::Timeline;

pub fn run(demo: &Demo, output: Output) -> Result<ExitCode, Error> {
    let machine = Embedded::boot(Options::new().order(Order::InstallOnly)).map_err(boot_error)?;
    let timeline = Timeline::new(machine.trace(), demo.verbose, output);
    let mut stage = Stage { machine, timeline };
    let told = story::tell(&mut stage);
    let ended = stage.end();
    told.and(ended)
}

/// The machine and what is told of it.
struct Stage {
    machine: Embedded,
    timeline: Timeline,
}

impl Stage {
    /// A new program on the machine.
    fn process(&self) -> Process {
        self.machine.process(Identity::Administrator)
    }

    /// Starts a service.
    fn start(&self, service: &str) -> Result<(), Error> {
        let started = self.machine.start(service);
        started.map_err(|error| Error::Transport(TransportError::NotRunning(format!("{service}: {error}"))))
    }

    /// Shuts the machine down and says what the verifier found.
    fn end(self) -> Result<ExitCode, Error> {
        let Self {
            machine,
            mut timeline,
        } = self;
        let report = machine.shutdown();
        timeline.say(if report.is_clean() {
            "the verifier found no broken rule"
        } else {
            "the verifier found broken rules"
        })?;
        let json = timeline.is_json();
        let steps = timeline.finish()?;
        if json {
            let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            output::print(&format!(
                "{:#}\n",
                json!({ "steps": steps, "findings": findings })
            ))?;
        }
        if report.is_clean() {
            Ok(ExitCode::Ok)
        } else {
            Err(Error::RulesBroken(report.to_string()))
        }
    }
}
