//! The call guard: entering, an indirect call, and leaving again, against other ways to know of calls in flight.
//!
//! Ours is the guard that a client driver takes on its binding, through the safe layer of the registrar. The peers do
//! the same around the same call: one counter for all, a counter for each thread on lines of its own (which is what
//! ours would be if threads never changed processors), and a pin of crossbeam-epoch, which says only that somebody is
//! inside, not whom to wait for.

pub mod module;

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::Result;
use nsemail_benches::measure::{Contender, take_turns};
use nsemail_benches::{Goal, Options, Report, Row, Sample};

use self::module::Pair;
use crate::instructions::kept;

/// Calls of one round on each thread.
const CALLS: u32 = 1_000_000;

/// Runs the suite.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    let calls = if options.quick { CALLS / 10 } else { CALLS };
    let pair = Pair::attach()?;
    let shared = Shared::default();
    let own = Own::default();
    let collector = crossbeam_epoch::Collector::new();
    let mut of_ours = Vec::new();
    for threads in [1, 2] {
        let samples = take_turns(
            options.rounds(),
            vec![
                Contender::new("guard", || {
                    on_threads(threads, |_| {
                        let entered = pair.machine().enter();
                        let spent = nanoseconds(calls, || pair.call());
                        drop(entered);
                        spent
                    })
                }),
                Contender::new("shared counter", || {
                    on_threads(threads, |_| nanoseconds(calls, || shared.call()))
                }),
                Contender::new("counter per thread", || {
                    on_threads(threads, |thread| nanoseconds(calls, || own.call(thread)))
                }),
                Contender::new("crossbeam-epoch", || {
                    on_threads(threads, |_| {
                        let participant = collector.register();
                        nanoseconds(calls, || {
                            let pinned = participant.pin();
                            indirect();
                            drop(pinned);
                        })
                    })
                }),
            ],
        );
        of_ours.push(samples[0].1);
        report.add(row(threads, samples)?);
    }
    let [one, two] = [of_ours[0], of_ours[1]];
    let mut flat = Row::of(
        "call guard, 2 threads to 1",
        "ns",
        vec![("guard", two)],
        &[],
        Goal::AtMost(1.3),
    );
    flat.peers = vec![("1 thread", one)];
    report.add(flat);
    pair.detach();
    Ok(())
}

/// On one thread the goal speaks of the shared counter; on two, where that is a bad idea, only of ourselves.
fn row(threads: usize, samples: Vec<(&'static str, Sample)>) -> Result<Row> {
    if threads > 1 {
        return Ok(Row::of("call guard, 2 threads", "ns", samples, &[], Goal::None));
    }
    let others = ["counter per thread", "crossbeam-epoch"];
    let row = Row::of("call guard, 1 thread", "ns", samples, &others, Goal::AtMost(1.2));
    Ok(row.instructions(kept("call guard")?))
}

/// Runs `body` on so many threads at once, and gives the mean of what it gives.
fn on_threads(threads: usize, body: impl Fn(usize) -> f64 + Sync) -> f64 {
    let total = thread::scope(|scope| {
        let body = &body;
        #[expect(clippy::needless_collect, reason = "all are to run before one is waited for")]
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || body(thread)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum::<f64>()
    });
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let threads = threads as f64;
    total / threads
}

/// Nanoseconds that one of so many calls takes.
fn nanoseconds(calls: u32, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

/// Calls through a pointer that the compiler does not know, as into a peer's dispatch.
#[inline]
fn indirect() {
    let entry: unsafe extern "system" fn(*mut core::ffi::c_void, u32) -> u32 = black_box(module::double);
    // SAFETY: the function takes any arguments.
    black_box(unsafe { entry(core::ptr::null_mut(), black_box(1)) });
}

/// One counter for all threads.
#[derive(Default)]
struct Shared(AtomicUsize);

impl Shared {
    fn call(&self) {
        self.0.fetch_add(1, Ordering::Acquire);
        indirect();
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// A counter on lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Apart(AtomicUsize);

/// A counter for each thread.
#[derive(Default)]
struct Own([Apart; 2]);

impl Own {
    fn call(&self, thread: usize) {
        let Apart(count) = &self.0[thread];
        count.fetch_add(1, Ordering::Acquire);
        indirect();
        count.fetch_sub(1, Ordering::Release);
    }
}
