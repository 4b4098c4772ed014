//! Ends a test that hangs, and shows what its machine did last.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use nt_sim::Machine;

/// Far more than any test takes.
const LIMIT: Duration = Duration::from_secs(180);
/// How much of the timeline is shown.
const SHOWN: usize = 80;

/// Watches a test until it is dropped.
pub struct Watchdog {
    _done: Sender<()>,
}

impl Watchdog {
    /// Watches the calling test.
    pub fn new(test: &'static str, machine: &Machine) -> Self {
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
