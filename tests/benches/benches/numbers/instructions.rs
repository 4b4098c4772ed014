//! Instructions of the paths that matter, counted by callgrind, against the figures that are kept.
//!
//! Callgrind runs this program again, and counts what is done within [`counted`]: not what comes before it, nor what
//! other threads do meanwhile. To see where the instructions go:
//!
//! ```sh
//! valgrind --tool=callgrind --toggle-collect='*counted*' target/release/deps/numbers-… \
//!     --probe 'IOCTL look-up' --times 1024
//! callgrind_annotate --inclusive=yes callgrind.out.…
//! ```

use std::hint::black_box;
use std::process::Command;

use allocator_api2::alloc::Global;
use anyhow::{Context as _, Result, bail, ensure};
use fastrand::Rng;
use nsemail_benches::instructions::{Kept, TOLERANCE, sum_of};
use nsemail_benches::names::Names;
use nsemail_benches::report::compiler;
use nsemail_benches::{Goal, Options, Report, Row, Sample};
use nsemail_contract::Text;
use nsemail_provider_core::store::{HashKey, Key, Limits, Store};

use crate::drivers::{Content, Drivers, Setting};
use crate::guard::module::Pair;
use crate::ioctl::question::{BATCH, Device, Questions};

/// What is counted, how often it is done (for the IOCTLs, a multiple of [`BATCH`]), and what does it.
type Probe = (&'static str, usize, fn(usize) -> Result<()>);

const PROBES: &[Probe] = &[
    ("store look-up", 5_000, store),
    ("call guard", 20_000, guard),
    ("IOCTL look-up", 512, |times| ioctl(times, 1)),
    ("IOCTL look-up in a batch", 512, |times| ioctl(times, BATCH)),
];

/// What to install, and where.
const MISSING: &str = "instruction counts need valgrind, which is not installed: `apt-get install valgrind` on Debian and Ubuntu";

/// The figure that is kept of something that is counted, for a line that shows its time.
pub fn kept(what: &str) -> Result<Option<u64>> {
    Ok(Kept::read(&Kept::file())?.instructions.get(what).copied())
}

/// Does what is counted, so often.
pub fn probe(name: &str, times: usize) -> Result<()> {
    let found = PROBES.iter().find(|(what, ..)| *what == name);
    let (_, _, run) = found.with_context(|| format!("nothing is called {name}"))?;
    run(times)
}

/// Runs the suite.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        if options.only.is_some() {
            bail!(MISSING);
        }
        report.note(format!("Not counted: {MISSING}."));
        return Ok(());
    }
    let file = Kept::file();
    let mut kept = Kept::read(&file)?;
    let mut counts = Vec::new();
    for &(what, times, _) in PROBES {
        let sum = count(what, times)?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        counts.push((what, sum as f64 / times as f64));
    }
    if options.keep {
        kept.compiler = compiler();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are positive and small"
        )]
        let rounded = counts
            .iter()
            .map(|(what, count)| ((*what).to_owned(), count.round() as u64));
        kept.instructions = rounded.collect();
        kept.write(&file)?;
    }
    for (what, counted) in counts {
        let samples = vec![("counted", Sample::exactly(counted))];
        let mut row = Row::of(what, "instructions", samples, &[], Goal::AtMost(TOLERANCE));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        if let Some(&figure) = kept.instructions.get(what) {
            row.peers = vec![("kept", Sample::exactly(figure as f64))];
        }
        report.add(row);
        if let Some(objection) = kept.objection(what, counted) {
            report.fail(objection);
        }
    }
    Ok(())
}

/// Instructions of a run of this program that does it so often.
fn count(what: &str, times: usize) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("callgrind.out");
    let run = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg("--toggle-collect=*instructions::counted*")
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(std::env::current_exe()?)
        .args(["--probe", what, "--times", &times.to_string()])
        .output()
        .context("valgrind")?;
    ensure!(
        run.status.success(),
        "{what} under valgrind: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    let sum = sum_of(&std::fs::read_to_string(output)?)?;
    ensure!(sum > 0, "callgrind has counted nothing of {what}");
    Ok(sum)
}

/// What callgrind counts, and nothing else. It is found by its name.
#[inline(never)]
fn counted(work: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    work()
}

fn store(times: usize) -> Result<()> {
    let names = Names { count: 4_000 };
    let mut store = Store::try_new_in(HashKey::new([1, 2]), Limits::DEFAULT, Global)?;
    for number in 0..names.count {
        store.load_put(Content::of(names, number).record()?)?;
    }
    let mut rng = Rng::with_seed(77);
    let asked: Vec<Vec<u16>> = (0..1_000)
        .map(|_| {
            let number = rng.usize(..names.count);
            names.spelled_otherwise(number, &mut rng).encode_utf16().collect()
        })
        .collect();
    let mut out = [0; 2048];
    counted(&mut || {
        for name in asked.iter().cycle().take(times) {
            let key = Key::new(Text::from_stored_units(name), Text::EMPTY);
            let copied = store.finder().find(0, &key, |bytes| {
                out.get_mut(..bytes.len())
                    .map(|place| place.copy_from_slice(bytes))
            });
            copied
                .flatten()
                .context("every name is there, and its record short")?;
            black_box(&out);
        }
        Ok(())
    })
}

fn guard(times: usize) -> Result<()> {
    let pair = Pair::attach()?;
    let entered = pair.machine().enter();
    let result = counted(&mut || {
        (0..times).for_each(|_| pair.call());
        Ok(())
    });
    drop(entered);
    pair.detach();
    result
}

fn ioctl(times: usize, batch: usize) -> Result<()> {
    let names = Names { count: 500 };
    let drivers = Drivers::boot(Setting {
        lazy: true,
        ..Setting::default()
    })?;
    drivers.fill(names)?;
    let device = Device::open(&drivers)?;
    let questions = Questions::new(names, BATCH);
    // Once before: what is done at first only, does not count.
    questions.ask(&device, batch, 1);
    counted(&mut || {
        questions.ask(&device, batch, times / BATCH);
        Ok(())
    })?;
    drop(device);
    drivers.shutdown()
}
