//! What a look-up costs through the real drivers, by `DeviceIoControl` of a process of its own, on Wine's kernel.
//!
//! Wine carries a request to a driver through its server process, several changes of process each way: that is what a
//! request costs which the client driver refuses at once, the floor here. What is above it is the drivers' part.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow, ensure};
use nsemail::client::{Client, Query};
use nsemail::transport::{Device, Transport, TransportError};
use nsemail_benches::measure::{Contender, take_turns};
use nsemail_benches::{Goal, Options, Report, Row};
use nsemail_contract::flags::LookupFlags;
use scenarios::kernel::{Access, Who, Win32};
use wine_runner::Measured;

/// Names of a batch.
const BATCH: u8 = 64;
/// A control code that the client driver does not have.
const UNKNOWN: u32 = 0x0022_2FFC;

/// A request, as the tool's client writes it.
struct Request {
    code: u32,
    input: Vec<u8>,
    room: usize,
}

/// Keeps what goes through it.
struct Recorder<T> {
    inner: T,
    last: Mutex<Option<Request>>,
}

impl<T: Transport> Transport for Recorder<T> {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        let request = Request {
            code,
            input: input.to_vec(),
            room: output.len(),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        self.inner.ioctl(code, input, output)
    }
}

/// Runs the suite, if the images were built.
pub fn run(options: &Options, report: &mut Report) -> Result<()> {
    let made = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/wine"));
    let images = made.join("out");
    if !images.join("nsemail_client.sys").exists() {
        report.note("Not measured under Wine: `cargo xtask wine build` makes the images for that.");
        return Ok(());
    }
    let machine = Measured::boot(&wine_runner::Options {
        images,
        inf: concat!(env!("CARGO_MANIFEST_DIR"), "/../../inf").into(),
        prefix: made.join("prefix"),
        log: made.join("log.txt"),
        filter: None,
    });
    let machine = machine.map_err(|error| anyhow!(error))?;
    let measured = measure(options, report, &machine);
    machine.end();
    measured
}

fn measure(options: &Options, report: &mut Report, machine: &Measured) -> Result<()> {
    let administrator = machine.kernel().administrator();
    let names: Vec<_> = (0..BATCH)
        .map(|number| format!("user{number}@example.com"))
        .collect();
    for name in &names {
        let registered = administrator.register(name, &["192.0.2.7:5060/tcp"]);
        ensure!(registered.is_ok(), "{name} is not registered: {registered:?}");
    }
    drop(administrator);

    let program = machine.kernel().process(Who::User);
    let opened = program.open(Device::Client, Access::Read);
    let recorder = Recorder {
        inner: opened.map_err(|error| anyhow!("the device is not opened: {error:?}"))?,
        last: Mutex::new(None),
    };
    let taken = || {
        let mut last = recorder.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.take().ok_or_else(|| anyhow!("no request was sent"))
    };
    let client = Client::new(&recorder);
    let queries: Vec<_> = names.iter().map(Query::name).collect();
    let found = client.look_up(&queries[0], LookupFlags::RETURN_ALL)?;
    ensure!(found.len() == 1, "{} records of one name", found.len());
    let one = taken()?;
    let found = client.look_up_many(&queries, LookupFlags::RETURN_ALL)?;
    ensure!(found.iter().all(Result::is_ok), "a name of a batch is not found");
    let many = taken()?;
    let refused = Request {
        code: UNKNOWN,
        input: Vec::new(),
        room: 0,
    };

    let times = if options.quick { 200 } else { 2_000 };
    let cost = |request: &Request, expected| {
        let room = u32::try_from(request.room).expect("rooms are small");
        let (answer, took) = machine
            .repeat(request.code, &request.input, room, times)
            .expect("the program runs");
        assert_eq!(answer, expected, "each request is answered alike");
        took.as_secs_f64() * 1e6 / f64::from(times)
    };
    let floor = || cost(&refused, Err(Win32::INVALID_FUNCTION));
    let turns = vec![
        Contender::new("ours", || cost(&one, Ok(()))),
        Contender::new("refused request", floor),
    ];
    let samples = take_turns(options.rounds(), turns);
    let what = "look-up by IOCTL under Wine, one by one";
    report.add(Row::of(what, "µs", samples, &["refused request"], Goal::None));
    let per_name = |cost: f64| cost / f64::from(BATCH);
    let turns = vec![
        Contender::new("ours", || per_name(cost(&many, Ok(())))),
        Contender::new("refused request", || per_name(floor())),
    ];
    let samples = take_turns(options.rounds(), turns);
    let what = "look-up by IOCTL under Wine, per name of a batch of 64";
    report.add(Row::of(what, "µs", samples, &["refused request"], Goal::None));
    Ok(())
}
