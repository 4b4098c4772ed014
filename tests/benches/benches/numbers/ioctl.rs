//! Look-ups by IOCTL through both drivers, against a map in the program itself with the same messages.
//!
//! A program writes a request, gets a reply from the device, and reads it. The peer writes the same request, reads it as
//! a driver would, folds the name, finds the record in a `RwLock<hashbrown>`, writes the same reply, and reads that: it
//! does all that is to be done but the way through two drivers. Names are spelled as in the store's suite, 95 % hit.

pub mod question;

use anyhow::Result;
use nsemail_benches::measure::{Contender, take_turns};
use nsemail_benches::names::Names;
use nsemail_benches::{Goal, Options, Report, Row};

use self::question::{BATCH, Device, Map, Questions};
use crate::drivers::{Drivers, Setting};
use crate::instructions::kept;

/// Runs the suite.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    let sizes: &[usize] = if options.quick {
        &[4_000]
    } else {
        &[4_000, 1_000_000]
    };
    for &count in sizes {
        let names = Names { count };
        let size = if count < 1_000_000 { "4 k" } else { "1 M" };
        let drivers = Drivers::boot(Setting {
            lazy: true,
            ..Setting::default()
        })?;
        drivers.fill(names)?;
        let device = Device::open(&drivers)?;
        let map = Map::of(names);
        let questions = Questions::new(names, if options.quick { 4_096 } else { 32_768 });
        for (what, batch, goal, figure) in [
            ("one by one", 1, 3.0, "IOCTL look-up"),
            ("batches of 64", BATCH, 1.3, "IOCTL look-up in a batch"),
        ] {
            let turns = vec![
                Contender::new("both drivers", || questions.ask(&device, batch, 1)),
                Contender::new("RwLock<hashbrown>", || questions.ask(&map, batch, 1)),
            ];
            let samples = take_turns(options.rounds(), turns);
            let what = format!("IOCTL look-up, {size}, {what}");
            let row = Row::of(what, "ns", samples, &[], Goal::AtMost(goal));
            report.add(row.instructions(kept(figure)?));
        }
        drop(device);
        drivers.shutdown()?;
    }
    verifier(options, report)
}

/// What the verifier makes of it.
fn verifier(options: &Options, report: &mut Report) -> Result<()> {
    let names = Names { count: 4_000 };
    let questions = Questions::new(names, 1_024);
    let boot = |verifier| {
        let drivers = Drivers::boot(Setting {
            verifier,
            lazy: true,
            ..Setting::default()
        })?;
        drivers.fill(names)?;
        let device = Device::open(&drivers)?;
        Ok::<_, anyhow::Error>((drivers, device))
    };
    let (on, off) = (boot(true)?, boot(false)?);
    let turns = vec![
        Contender::new("verifier on", || questions.ask(&on.1, 1, 1)),
        Contender::new("verifier off", || questions.ask(&off.1, 1, 1)),
    ];
    let samples = take_turns(options.rounds(), turns);
    let what = "IOCTL look-up, 4 k, one by one, verifier on";
    report.add(Row::of(what, "ns", samples, &[], Goal::AtMost(3.0)));
    for (drivers, device) in [on, off] {
        drop(device);
        drivers.shutdown()?;
    }
    Ok(())
}
