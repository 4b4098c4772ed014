//! Durable registration: changes that are answered when they are on the disk, by one caller and by many at once.
//!
//! Ours goes the whole way of a program's registration whose thread waits for it: an IOCTL, both drivers, the journal. It is
//! on the disk of the machine that this runs on, in the folder of the target directory: the simulated kernel's
//! `ZwFlushBuffersFile` is `fdatasync` there. Peers keep the same record under the same folded name, each in a file in
//! the same folder: `SQLite` (WAL, `synchronous=FULL`, which is `fdatasync` of its log in each commit) and redb
//! (`Durability::Immediate`), called by the thread that wants something kept, one at a time (*a commit each*), or by a
//! thread that takes all that wait and commits them together (*grouped*), which is what an application has to build by
//! itself to be fast. The floor is a log of the same records without any store: a file that was zeroed ahead, one write
//! and one `fdatasync` for each group.

mod grouping;
mod log;

use std::cell::Cell;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use nsemail_benches::measure::{Contender, take_turns};
use nsemail_benches::names::Names;
use nsemail_benches::{Goal, Options, Report, Row, Sample};
use nt_sim::io::FileHandle;

use self::grouping::{Each, Grouped};
use self::log::{Bare, Redb, Sqlite};
use crate::drivers::{Content, Drivers, Setting, register};

/// Callers at once.
const CALLERS: usize = 32;

/// Keeps records durably, for any caller.
pub trait Keeper: Sync {
    /// Returns when what is registered for the name is on the disk.
    fn keep(&self, content: &Content);
}

/// What peers keep: the folded name, and the record as our store has it.
pub struct Kept {
    name: Vec<u8>,
    record: Vec<u8>,
}

impl Kept {
    fn of(content: &Content) -> Self {
        let record = content.record().expect("there is memory");
        let folded = record.view().name().folded_units();
        Self {
            name: folded.flat_map(u16::to_le_bytes).collect(),
            record: record.as_bytes().to_vec(),
        }
    }
}

/// Hands out names that were not registered before.
struct Fresh {
    names: Names,
    used: Cell<usize>,
}

impl Fresh {
    fn take(&self, count: usize) -> Vec<Content> {
        let first = self.used.get();
        self.used.set(first + count);
        (first..first + count)
            .map(|number| Content::of(self.names, number))
            .collect()
    }

    /// Registrations a second, by so many callers at once that make so many each.
    fn rate(&self, callers: usize, each: usize, keeper: &dyn Keeper) -> f64 {
        let contents = self.take(callers * each);
        // The callers, and who measures.
        let barrier = Barrier::new(callers + 1);
        let elapsed = thread::scope(|scope| {
            let barrier = &barrier;
            let threads: Vec<_> = contents
                .chunks(each)
                .map(|own| {
                    scope.spawn(move || {
                        barrier.wait();
                        for content in own {
                            keeper.keep(content);
                        }
                    })
                })
                .collect();
            barrier.wait();
            let start = Instant::now();
            for thread in threads {
                thread.join().expect("no panic");
            }
            start.elapsed()
        });
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let registrations = contents.len() as f64;
        registrations / elapsed.as_secs_f64()
    }
}

/// What a bare log under a group of callers is called.
const LOG: &str = "bare log, grouped";

/// Runs the suite.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    let folder = options.results();
    std::fs::create_dir_all(&folder)?;
    let folder = tempfile::Builder::new()
        .prefix("registration-")
        .tempdir_in(folder)?;
    let path = |name: &str| folder.path().join(name);
    let ours = Ours::boot(&path("ours"))?;
    let fresh = Fresh {
        names: Names { count: 1 << 24 },
        used: Cell::new(0),
    };
    let each = if options.quick { 200 } else { 400 };
    // With one flush a registration, a round takes as long as the disk wants.
    let rounds = options.rounds().min(7);
    let one = |keeper: &dyn Keeper| fresh.rate(1, each, keeper);
    // Each long enough for it not to matter how the callers begin, and that some have done all of theirs before others.
    let many = |keeper: &dyn Keeper| fresh.rate(CALLERS, each / 2, keeper);

    let sqlite = Each::new(Sqlite::create(&path("one.sqlite"))?);
    let redb = Each::new(Redb::create(&path("one.redb"))?);
    let log = Each::new(Bare::create(&path("one.log"))?);
    let samples = take_turns(
        rounds,
        vec![
            Contender::new("journal", || one(&ours)),
            Contender::new("SQLite", || one(&sqlite)),
            Contender::new("redb", || one(&redb)),
            Contender::new("bare log", || one(&log)),
        ],
    );
    report.add(Row::of(
        "registration, 1 caller",
        "/s",
        samples,
        &["bare log"],
        Goal::AtLeast(1.0),
    ));

    let sqlite_grouped = Grouped::new(Sqlite::create(&path("grouped.sqlite"))?);
    let redb_grouped = Grouped::new(Redb::create(&path("grouped.redb"))?);
    let log = Grouped::new(Bare::create(&path("grouped.log"))?);
    let samples = take_turns(
        rounds,
        vec![
            Contender::new("journal", || many(&ours)),
            Contender::new("SQLite", || many(&sqlite)),
            Contender::new("redb", || many(&redb)),
            Contender::new("SQLite, grouped", || many(&sqlite_grouped)),
            Contender::new("redb, grouped", || many(&redb_grouped)),
            Contender::new(LOG, || many(&log)),
        ],
    );
    let part = |peers: [&str; 2]| {
        let of =
            |(name, _): &&(&'static str, Sample)| *name == "journal" || *name == LOG || peers.contains(name);
        samples.iter().filter(of).copied().collect()
    };
    let each = part(["SQLite", "redb"]);
    report.add(Row::of(
        "registration, 32 callers, a commit each",
        "/s",
        each,
        &[LOG],
        Goal::AtLeast(6.0),
    ));
    let grouped = part(["SQLite, grouped", "redb, grouped"]);
    report.add(Row::of(
        "registration, 32 callers, grouped",
        "/s",
        grouped,
        &[LOG],
        Goal::AtLeast(1.8),
    ));
    ours.end()
}

/// Both drivers, with their journals on the disk.
struct Ours {
    drivers: Drivers,
    handle: FileHandle,
}

impl Ours {
    fn boot(folder: &Path) -> Result<Self> {
        let drivers = Drivers::boot(Setting {
            folder: Some(folder),
            ..Setting::default()
        })?;
        let handle = drivers.open()?;
        Ok(Self { drivers, handle })
    }

    fn end(self) -> Result<()> {
        drop(self.handle);
        self.drivers.shutdown()
    }
}

impl Keeper for Ours {
    fn keep(&self, content: &Content) {
        register(&self.handle, content).expect("the registration is answered");
    }
}
