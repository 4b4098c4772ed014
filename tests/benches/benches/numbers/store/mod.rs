//! The provider's store against maps that a program could use instead, and against what cannot be undercut.
//!
//! Every contender holds the same records under the same names. A look-up begins with a name as a caller spelled it, in
//! UTF-16, folds and hashes it with a secret key (SipHash-1-3 for all), finds the record, and copies it out. Of the
//! look-ups, 95 % hit. With changes, one operation in twenty registers or deletes a name.

mod contenders;
mod domains;
mod workload;

use std::thread;
use std::time::Instant;

use allocator_api2::alloc::Global;
use anyhow::Result;
use nsemail_benches::measure::{Contender, take_turns};
use nsemail_benches::names::Names;
use nsemail_benches::plot::{self, Axis, Series};
use nsemail_benches::{Goal, Options, Report, Row, Sample};
use nsemail_provider_core::store::Record;

use self::contenders::{Floor, Map, TOGETHER};
use self::workload::{Operation, Workload};
use crate::counting::allocated;
use crate::instructions::kept;

/// What the others are called, in the order of [`contenders::peers`].
const FLOOR: &str = "fold + hash + one read";

/// Runs the suite.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    let sizes: &[usize] = if options.quick {
        &[4_000, 250_000]
    } else {
        &[4_000, 1_000_000, 4_000_000]
    };
    let mut by_size: Vec<(usize, Vec<(&'static str, Sample)>)> = Vec::new();
    let mut by_threads = Vec::new();
    for &size in sizes {
        let names = Names { count: size };
        let contenders = contenders::all(names);
        if Some(&size) == sizes.last() {
            memory(report, names, &contenders);
        }
        let contenders: Vec<_> = contenders.into_iter().map(|(name, map, _)| (name, map)).collect();
        let goal = if size < 10_000 { 1.0 } else { 0.7 };
        let workload = Workload::new(names, 0, false);
        let turns = contenders
            .iter()
            .map(|(name, map)| Contender::new(name, together(&**map, &workload)));
        let samples = take_turns(options.rounds(), turns.collect());
        let what = format!("look-up, {}, {TOGETHER} names together", short(size));
        report.add(Row::of(what, "ns", samples, &[], Goal::None));
        for changes in [false, true] {
            for threads in [1, 2] {
                let workloads: Vec<_> = (0..threads)
                    .map(|thread| Workload::new(names, thread, changes))
                    .collect();
                let floor = Floor::new(names);
                let mut turns: Vec<_> = contenders
                    .iter()
                    .map(|(name, map)| Contender::new(name, round(&**map, &workloads)))
                    .collect();
                turns.push(Contender::new(FLOOR, round(&floor, &workloads)));
                let samples = take_turns(options.rounds(), turns);
                if !changes && threads == 1 {
                    by_size.push((size, samples.clone()));
                }
                if !changes && size == sizes[sizes.len() - 1] {
                    by_threads.push((threads, samples.clone()));
                }
                let what = format!(
                    "look-up{}, {}, {threads} thread{}",
                    if changes { ", 5 % changes" } else { "" },
                    short(size),
                    if threads == 1 { "" } else { "s" },
                );
                let row = Row::of(what, "ns", samples, &[FLOOR], Goal::AtMost(goal));
                // The count is that of a look-up and nothing else.
                let counted = !changes && threads == 1;
                report.add(row.instructions(kept("store look-up")?.filter(|_| counted)));
            }
        }
    }
    domains::run(options, report);

    let folder = options.results();
    let of_sizes = series(by_size.iter().map(|(size, samples)| (*size, samples.as_slice())));
    let file = folder.join("look-up-by-size.svg");
    plot::lines(
        &file,
        "Exact look-up, one thread",
        ("names", Axis::Logarithmic),
        "ns per look-up",
        &of_sizes,
    )?;
    let of_threads = series(
        by_threads
            .iter()
            .map(|(threads, samples)| (*threads, samples.as_slice())),
    );
    let file = folder.join("look-up-by-threads.svg");
    let title = format!("Exact look-up, {} names", short(sizes[sizes.len() - 1]));
    plot::lines(
        &file,
        &title,
        ("threads", Axis::Linear),
        "ns per look-up",
        &of_threads,
    )?;
    Ok(())
}

/// One round: every thread runs the next window of its operations; the result is nanoseconds per operation.
fn round<'a>(map: &'a dyn Map, workloads: &'a [Workload]) -> impl FnMut() -> f64 + 'a {
    let mut turn = 0;
    move || {
        let windows: Vec<_> = workloads.iter().map(|workload| workload.window(turn)).collect();
        turn += 1;
        let nanoseconds = thread::scope(|scope| {
            #[expect(clippy::needless_collect, reason = "all are to run before one is waited for")]
            let threads: Vec<_> = windows
                .iter()
                .map(|window| scope.spawn(move || run_window(map, window)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .sum::<f64>()
        });
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let threads = windows.len() as f64;
        nanoseconds / threads
    }
}

/// One round of one thread, a few names at a time; the others look each up by itself.
fn together<'a>(map: &'a dyn Map, workload: &'a Workload) -> impl FnMut() -> f64 + 'a {
    let mut turn = 0;
    move || {
        let window = workload.window(turn);
        turn += 1;
        let names: Vec<&[u16]> = window
            .operations()
            .filter_map(|operation| match operation {
                Operation::LookUp(units) => Some(units),
                Operation::Register(_) | Operation::Delete(_) => None,
            })
            .collect();
        let mut out = [0; 2048];
        let start = Instant::now();
        let some = names.chunks(TOGETHER);
        let found: usize = some.map(|some| map.look_up_together(some, &mut out)).sum();
        let elapsed = start.elapsed();
        assert_eq!(found, window.hits(), "every contender finds what is there");
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let names = names.len() as f64;
        elapsed.as_secs_f64() * 1e9 / names
    }
}

fn run_window(map: &dyn Map, window: &workload::Window<'_>) -> f64 {
    let mut out = [0; 2048];
    let mut found = 0;
    let start = Instant::now();
    for operation in window.operations() {
        match operation {
            Operation::LookUp(units) => found += usize::from(map.look_up(units, &mut out).is_some()),
            Operation::Register(name) => map.register(name),
            Operation::Delete(name) => map.delete(name),
        }
    }
    let elapsed = start.elapsed();
    if map.answers() {
        assert_eq!(found, window.hits(), "every contender finds what is there");
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let operations = window.len() as f64;
    elapsed.as_secs_f64() * 1e9 / operations
}

/// Bytes that a contender requested from the allocator, to the raw bytes of what it stores.
fn memory(report: &mut Report, names: Names, contenders: &[(&'static str, Box<dyn Map>, usize)]) {
    let raw: usize = (0..names.count)
        .map(|number| contenders::raw_bytes(names, number))
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let per_raw = |bytes: usize| Sample::exactly(bytes as f64 / raw as f64);
    let samples = contenders.iter().map(|(name, _, bytes)| (*name, per_raw(*bytes)));
    let mut row = Row::of(
        format!("memory, {}", short(names.count)),
        "× raw",
        samples.collect(),
        &[],
        Goal::None,
    );
    row.floors = vec![("goal: 1.4 × raw", Sample::exactly(1.4))];
    report.add(row);
    let packed: usize = (0..names.count)
        .map(|number| contenders::record(names, number).as_bytes().len())
        .sum();
    let ours = contenders.first().map_or(0, |(.., bytes)| *bytes);
    let each = |bytes: usize| bytes / names.count;
    let head = Record::<Global>::HEAD;
    report.note(format!(
        "Raw bytes a record: {}. The store takes {}: {head} for count, hash, place and length, {} for the packed record, {} for \
         the table and the domains' lists.",
        each(raw),
        each(ours),
        each(packed),
        each(ours.saturating_sub(packed)).saturating_sub(head),
    ));
}

/// Bytes that building something has allocated, with what was built.
pub fn measured<T>(build: impl FnOnce() -> T) -> (T, usize) {
    let before = allocated();
    let value = build();
    (value, allocated() - before)
}

fn series<'a>(points: impl Iterator<Item = (usize, &'a [(&'static str, Sample)])>) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for (x, samples) in points {
        for (name, sample) in samples {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let point = (x as f64, sample.median);
            match series.iter_mut().find(|series| series.name == *name) {
                Some(series) => series.points.push(point),
                None => series.push(Series {
                    name,
                    points: vec![point],
                }),
            }
        }
    }
    series
}

fn short(size: usize) -> String {
    if size >= 1_000_000 {
        format!("{} M", size / 1_000_000)
    } else {
        format!("{} k", size / 1_000)
    }
}
