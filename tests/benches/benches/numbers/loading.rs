//! Start-up: how long it takes until a driver with many names serves them, and what a journal takes on the disk.
//!
//! Ours is timed from the start of the provider driver's service until its provider answers. The peer reads the same
//! journal file whole, checks every sum, and puts each record under its folded name into a hashbrown map that was given
//! its size beforehand.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nsemail::AdminClient;
use nsemail::client::HostedProvider;
use nsemail_benches::measure::{Contender, take_turns};
use nsemail_benches::names::Names;
use nsemail_benches::{Goal, Options, Report, Row, Sample};
use nsemail_contract::ids;
use nsemail_contract::wire::HostedState;
use nsemail_provider_core::journal::format::{HEADER_SIZE, Header, Step, step};
use nsemail_provider_core::store::RecordRef;
use nt_sim::io::{Access, Identity};

use crate::drivers::{Content, Drivers, Setting};
use crate::ioctl::question::Hasher;

/// Runs the suite.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    let names = Names {
        count: if options.quick { 50_000 } else { 1_000_000 },
    };
    let folder = options.results();
    fs::create_dir_all(&folder)?;
    let folder = tempfile::Builder::new().prefix("loading-").tempdir_in(folder)?;
    let folder = folder.path();
    fill(folder, names, report)?;
    let file = journal(folder)?;

    let turns = vec![
        Contender::new("driver", || start(folder, names).expect("the driver starts")),
        Contender::new("read, check, insert", || {
            load(&file, names).expect("the journal is sound")
        }),
    ];
    let samples = take_turns(options.rounds().min(5), turns);
    let what = format!("loading {} k names", names.count / 1_000);
    report.add(Row::of(what, "s", samples, &[], Goal::AtMost(1.2)));
    Ok(())
}

/// Registers the names, one change a frame, then has the journal written anew.
fn fill(folder: &Path, names: Names, report: &mut Report) -> Result<()> {
    let setting = Setting {
        folder: Some(folder),
        lazy: true,
        ..Setting::default()
    };
    let raw: usize = (0..names.count)
        .map(|number| Content::of(names, number).raw_bytes())
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let per_name = |bytes: u64| Sample::exactly(bytes as f64 / names.count as f64);
    let mut row = |what: &str, bytes| {
        let mut row = Row::of(what, "bytes", vec![("journal", per_name(bytes))], &[], Goal::None);
        row.floors = vec![("name, addresses, comment", per_name(raw as u64))];
        report.add(row);
    };

    let drivers = Drivers::boot(setting)?;
    drivers.fill(names)?;
    let hosted = hosted(&drivers.open_admin()?)?;
    ensure!(hosted.objects == names.count as u64, "all names are registered");
    row("journal, a change by itself", hosted.log_bytes);
    let before = hosted.log_bytes;
    drivers.shutdown()?;

    let drivers = Drivers::boot(Setting {
        compacts: true,
        ..setting
    })?;
    let admin = drivers.open_admin()?;
    let after = until(|| Ok(Some(self::hosted(&admin)?.log_bytes).filter(|bytes| *bytes < before)))?;
    row("journal, a name after compaction", after);
    drop(admin);
    drivers.shutdown()
}

/// Waits for something.
fn until<T>(mut there: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_mins(5) {
        if let Some(it) = there()? {
            return Ok(it);
        }
        thread::sleep(Duration::from_millis(1));
    }
    bail!("waited in vain")
}

fn hosted(admin: &nt_sim::io::FileHandle) -> Result<HostedProvider> {
    let hosted = AdminClient::new(admin).hosted()?;
    let default = hosted
        .into_iter()
        .find(|hosted| hosted.guid == ids::DEFAULT_PROVIDER);
    default.context("the default provider is hosted")
}

/// The longer one of the journals.
fn journal(folder: &Path) -> Result<PathBuf> {
    fn files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                files(&path, found)?;
            } else if path.extension().is_some_and(|extension| extension == "journal") {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    files(folder, &mut found)?;
    let length = |path: &PathBuf| fs::metadata(path).map_or(0, |file| file.len());
    found.into_iter().max_by_key(length).context("there is a journal")
}

/// Seconds from the start of the provider driver until its provider serves.
fn start(folder: &Path, names: Names) -> Result<f64> {
    let machine = Drivers::install(Setting {
        folder: Some(folder),
        ..Setting::default()
    })?;
    let start = Instant::now();
    machine
        .start(ids::PROVIDER_SERVICE)
        .map_err(|error| anyhow!("{error}"))?;
    let process = machine.process(Identity::Administrator);
    let admin = process
        .open(ids::PROVIDER_PATH, Access::READ)
        .map_err(|error| anyhow!("{error}"))?;
    let serving = || {
        // The provider is not listed before it is loaded from the registry.
        let hosted = hosted(&admin).ok();
        Ok(hosted.filter(|hosted| hosted.state != HostedState::Loading))
    };
    let hosted = until(serving)?;
    let elapsed = start.elapsed();
    ensure!(
        hosted.objects == names.count as u64,
        "{} of the names are loaded",
        hosted.objects
    );
    drop(admin);
    let report = machine.shutdown();
    ensure!(report.is_clean(), "{report}");
    Ok(elapsed.as_secs_f64())
}

/// Seconds for the same by hand.
fn load(file: &Path, names: Names) -> Result<f64> {
    let start = Instant::now();
    let bytes = fs::read(file)?;
    let header = Header::decode(&bytes).map_err(|fault| anyhow!("{fault:?}"))?;
    let mut map = hashbrown::HashMap::<Box<[u16]>, Box<[u8]>, Hasher>::with_capacity_and_hasher(
        names.count,
        Hasher::default(),
    );
    let mut rest = bytes.get(HEADER_SIZE..).unwrap_or_default();
    let mut sequence = 1;
    while let Step::Frame { records, size } = step(header.salt, sequence, rest, true) {
        for record in records {
            let record = record.map_err(|fault| anyhow!("{fault:?}"))?;
            if let Some(view) = RecordRef::parse(record.content) {
                map.insert(view.name().folded_units().collect(), record.content.into());
            }
        }
        rest = rest.get(size..).unwrap_or_default();
        sequence += 1;
    }
    let elapsed = start.elapsed();
    ensure!(map.len() == names.count, "{} of the names are loaded", map.len());
    Ok(elapsed.as_secs_f64())
}
