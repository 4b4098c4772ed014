//! The timeline of a machine, told step by step.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nsemail::Error;
use nsemail_contract::ioctl;
use nt_sim::io::Major;
use nt_sim::trace::{Event, Kind, Trace};
use serde_json::{Value, json};

use crate::output::{Output, print};

/// How long to wait for an event that is about to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Events that happened since the last time that something was told.
#[derive(Default)]
struct Feed {
    events: Mutex<Vec<Event>>,
    arrived: Condvar,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what happens on a machine.
pub struct Timeline {
    feed: Arc<Feed>,
    verbose: bool,
    output: Output,
    steps: Vec<Value>,
    title: Option<String>,
    /// What was said and what happened in the current step, for programs.
    entries: Vec<Value>,
}

impl Timeline {
    pub fn new(trace: &Trace, verbose: bool, output: Output) -> Self {
        let feed = Arc::new(Feed::default());
        let listener = Arc::clone(&feed);
        trace.subscribe(Arc::new(move |event: &Event| {
            listener.lock().push(event.clone());
            listener.arrived.notify_all();
        }));
        Self {
            feed,
            verbose,
            output,
            steps: Vec::new(),
            title: None,
            entries: Vec::new(),
        }
    }

    pub const fn is_json(&self) -> bool {
        self.output.json
    }

    /// Starts a step.
    pub fn step(&mut self, title: &str) -> Result<(), Error> {
        self.end_step()?;
        self.title = Some(title.to_owned());
        if self.output.json {
            Ok(())
        } else {
            print(&format!("\n== {title}\n"))
        }
    }

    /// Tells what this program did or saw, after everything that happened before.
    pub fn say(&mut self, what: &str) -> Result<(), Error> {
        self.tell()?;
        self.entries.push(json!({ "said": what }));
        if self.output.json {
            return Ok(());
        }
        print(&format!(" * {}\n", what.trim_end().replace('\n', "\n   ")))
    }

    /// Tells what happened on the machine since the last time.
    pub fn tell(&mut self) -> Result<(), Error> {
        let events = std::mem::take(&mut *self.feed.lock());
        let mut text = String::new();
        for event in events
            .iter()
            .filter(|event| self.verbose || belongs_to_story(event))
        {
            if self.output.json {
                self.entries.push(document(event));
            } else {
                text += &line(event);
            }
        }
        print(&text)
    }

    /// Leaves out what happened since the last time, unless everything is wanted; answers how many
    /// events that are.
    pub fn leave_out(&mut self) -> Result<usize, Error> {
        if self.verbose {
            self.tell()?;
            return Ok(0);
        }
        let left_out = std::mem::take(&mut *self.feed.lock()).len();
        self.entries.push(json!({ "left_out": left_out }));
        Ok(left_out)
    }

    /// Waits until `count` events that `wanted` describes have happened since the last time that
    /// something was told.
    pub fn wait_for(&self, count: usize, wanted: impl Fn(&Kind) -> bool) -> Result<(), Error> {
        let missing =
            |events: &mut Vec<Event>| events.iter().filter(|event| wanted(&event.kind)).count() < count;
        let outcome = self
            .feed
            .arrived
            .wait_timeout_while(self.feed.lock(), PATIENCE, missing);
        let timeout = outcome.unwrap_or_else(PoisonError::into_inner).1;
        if timeout.timed_out() {
            let what = "the machine has not done what it should have done by now";
            return Err(Error::RulesBroken(what.to_owned()));
        }
        Ok(())
    }

    fn end_step(&mut self) -> Result<(), Error> {
        self.tell()?;
        let entries = std::mem::take(&mut self.entries);
        if let Some(title) = self.title.take() {
            self.steps.push(json!({ "step": title, "timeline": entries }));
        }
        Ok(())
    }

    /// All that was told, for programs.
    pub fn finish(mut self) -> Result<Vec<Value>, Error> {
        self.end_step()?;
        Ok(self.steps)
    }
}

/// Whether an event is told to people who did not ask for all of them.
fn belongs_to_story(event: &Event) -> bool {
    match &event.kind {
        Kind::Debug { .. } | Kind::CallbackReturned { .. } => false,
        // Opening and closing a file is told by the callbacks that it causes.
        Kind::Request(step) => matches!(step.major, Major::DeviceControl(_)),
        Kind::CallbackEntered { callback } => {
            !matches!(*callback, "EvtDestroyCallback" | "EvtCleanupCallback")
        }
        _ => true,
    }
}

/// The event as the machine describes it, with the names of control codes.
fn described(kind: &Kind) -> String {
    let text = kind.to_string();
    let code = text.split_once("code 0x").and_then(|(_, rest)| rest.get(..8));
    let name = code
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .and_then(ioctl::name);
    match (code, name) {
        (Some(digits), Some(name)) => text.replacen(&format!("code 0x{digits}"), name, 1),
        _ => text,
    }
}

fn line(event: &Event) -> String {
    let thread = event.thread.map_or(0, |thread| thread.0);
    let driver = event.driver.as_ref().map_or("kernel", |driver| driver.as_str());
    let millis = event.since_boot.as_secs_f64() * 1000.0;
    let indent = event.depth.saturating_mul(2);
    let what = described(&event.kind);
    format!(
        "{millis:>10.3} ms  thread {thread:<3} {driver:<20} {:indent$}{what}\n",
        ""
    )
}

fn document(event: &Event) -> Value {
    json!({
        "sequence": event.sequence,
        "microseconds": u64::try_from(event.since_boot.as_micros()).unwrap_or(u64::MAX),
        "thread": event.thread.map(|thread| thread.0),
        "driver": event.driver.as_ref()
            .map(nt_sim::DriverName::as_str),
        "depth": event.depth,
        "what": described(&event.kind),
    })
}
