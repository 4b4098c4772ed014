//! Ends a test that hangs, and shows what its machine did last.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use nt_sim::Machine;

/// Far more than any test takes.
const LIMIT: Duration = Duration::from_mins(3);
/// How much of the timeline is shown.
const SHOWN: usize = 80;

/// Watches a machine until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Closed when the watchdog is dropped, which the watching thread sees.
    _done: Sender<()>,
}

impl Watchdog {
    /// Watches a machine that the calling thread has made, whose name is that of the test.
    pub(crate) fn new(machine: &Machine) -> Self {
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let (done, ended) = mpsc::channel();
        let machine = machine.clone();
        thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                let events = machine.trace().events();
                for event in events.iter().skip(events.len().saturating_sub(SHOWN)) {
                    eprintln!("{event}");
                }
                eprintln!("{test} hangs; above is what its machine did last");
                std::process::abort();
            }
        });
        Self { _done: done }
    }
}
