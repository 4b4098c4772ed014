//! What happens in the demonstration, step by step.

use std::io::BufReader;
use std::thread;

use nsemail::client::Query;
use nsemail::transfer;
use nsemail::transport::{Device, embedded};
use nsemail::{Client, Error, Registration, entry, notation};
use nsemail_contract::ids::{CLIENT_SERVICE, PROVIDER_SERVICE};
use nsemail_contract::{LookupFlags, Operation, SetFlags};
use nt_sim::files;
use nt_sim::io::{FileHandle, Process};
use nt_sim::scm::StopOutcome;
use nt_sim::trace::Kind;

use super::Stage;
use crate::output::found_lines;

/// The names that the last step imports.
const NAMES: &str = include_str!("../../../data/names.csv");

/// Names that are looked up after the import, the last of which is not there.
const SAMPLE: [&str; 6] = [
    "alice@example.com",
    "DAVE.example@example.org",
    "\"at@inside\"@example.org",
    "ЧЕБУРАШКА@ящик-с-апельсинами.example",
    "root@localhost",
    "nobody@example.com",
];

/// Namespace providers that a fresh installation hosts.
const PROVIDERS: usize = 2;

pub fn tell(stage: &mut Stage) -> Result<(), Error> {
    load(stage)?;
    let process = stage.process();
    let client = register(stage, &process)?;
    look_up(stage, &client)?;
    run_down(stage, &process)?;
    drop(client);
    detach_in_flight(stage)?;
    unload(stage)?;
    import(stage)
}

fn registration(name: &str, addresses: &[&str]) -> Result<Registration, Error> {
    Ok(Registration {
        name: name.to_owned(),
        addresses: addresses
            .iter()
            .map(|address| notation::parse(address))
            .collect::<Result<_, _>>()?,
        ..Registration::default()
    })
}

fn load(stage: &mut Stage) -> Result<(), Error> {
    stage
        .timeline
        .step("Both drivers load; the registrar attaches them")?;
    stage.start(PROVIDER_SERVICE)?;
    stage.start(CLIENT_SERVICE)?;
    stage.timeline.wait_for(PROVIDERS, attached)
}

fn register(stage: &mut Stage, process: &Process) -> Result<Client<FileHandle>, Error> {
    stage.timeline.step("A program registers a name")?;
    let client = Client::new(embedded::open(process, Device::Client, true)?);
    let alice = registration(
        "alice@example.com",
        &["192.0.2.7:5060/tcp", "[2001:db8::7]:5060/udp"],
    )?;
    let done = client.set(Operation::Register, SetFlags::empty(), &alice)?;
    stage.timeline.say(&format!(
        "alice@example.com is registered at {} and on the disk",
        done.provider
    ))?;
    Ok(client)
}

fn look_up(stage: &mut Stage, client: &Client<FileHandle>) -> Result<(), Error> {
    stage
        .timeline
        .step("It looks names up: one that is there, one that is not, one record by record")?;
    for name in ["Alice@Example.COM", "nobody@example.com"] {
        match client.look_up(&Query::name(name), LookupFlags::RETURN_ALL) {
            Ok(records) => {
                let blocks: String = records.iter().map(|found| found_lines(found, None)).collect();
                stage.timeline.say(&format!("{name}:\n{blocks}"))?;
            }
            Err(error @ Error::Code(_)) => stage.timeline.say(&format!("{name}: {error}"))?,
            Err(error) => return Err(error),
        }
    }
    let lookup = client.begin(&Query::name("alice@example.com"), LookupFlags::RETURN_ALL)?;
    let mut records = 0_usize;
    while lookup.next(LookupFlags::empty())?.is_some() {
        records = records.saturating_add(1);
    }
    lookup.end()?;
    stage
        .timeline
        .say(&format!("begin, next, next, end: {records} record, then no more"))
}

fn run_down(stage: &mut Stage, process: &Process) -> Result<(), Error> {
    stage
        .timeline
        .step("The program is killed with a look-up open; its session is run down")?;
    let client = Client::new(embedded::open(process, Device::Client, false)?);
    let lookup = client.begin(&Query::name("alice@example.com"), LookupFlags::RETURN_ALL)?;
    lookup.next(LookupFlags::empty())?;
    process.kill();
    stage
        .timeline
        .say("the program is gone; what it registered stays")
}

/// Whether a provider was attached; providers load on their own thread, after the service has started.
fn attached(kind: &Kind) -> bool {
    matches!(kind, Kind::Nmr(_)) && kind.to_string().ends_with("is attached")
}

/// Whether a provider module has answered the registrar's request to detach.
const fn detach_returned(kind: &Kind) -> bool {
    match kind {
        Kind::CallbackReturned { callback } => matches!(callback.as_bytes(), b"ProviderDetachClient"),
        _ => false,
    }
}

fn detach_in_flight(stage: &mut Stage) -> Result<(), Error> {
    stage
        .timeline
        .step("The provider driver is stopped while a registration is in flight")?;
    let process = stage.process();
    let client = Client::new(embedded::open(&process, Device::Client, true)?);
    let bob = registration("bob@example.com", &["192.0.2.8:5060/tcp"])?;
    let bindings = client
        .providers()?
        .iter()
        .filter(|provider| provider.attached)
        .count();
    let machine = stage.machine.machine().clone();
    let hold = machine.hold(files::Operation::FlushFile);
    let timeline = &mut stage.timeline;
    thread::scope(|scope| {
        let call = scope.spawn(|| client.set(Operation::Register, SetFlags::empty(), &bob));
        hold.wait_until_reached();
        timeline
            .say("the registration of bob@example.com is in flight: its write to the disk is held back")?;
        let stop = scope.spawn(|| machine.stop(PROVIDER_SERVICE));
        timeline.wait_for(bindings, detach_returned)?;
        let service = machine
            .query(PROVIDER_SERVICE)
            .map_err(|error| Error::RulesBroken(error.to_string()))?;
        let in_flight = if call.is_finished() {
            "no call is in flight"
        } else {
            "the call is still in flight"
        };
        timeline.say(&format!(
            "{in_flight}, the service is {service}; now the write may go on"
        ))?;
        hold.release();
        let gone = |_| Error::RulesBroken("a thread of the demonstration panicked".to_owned());
        let done = call.join().map_err(gone)??;
        let outcome = match stop.join().map_err(gone)? {
            Ok(StopOutcome::Stopped) => "the provider driver is unloaded".to_owned(),
            Ok(StopOutcome::StopPending) => "the provider driver waits to be unloaded".to_owned(),
            Err(error) => format!("the provider driver is not stopped: {error}"),
        };
        timeline.say(&format!(
            "the call succeeded, {} address added; {outcome}",
            done.added
        ))
    })?;
    let answer = client.look_up(&Query::name("alice@example.com"), LookupFlags::RETURN_ALL);
    let answer = answer.map_or_else(
        |error| error.to_string(),
        |records| format!("{} records", records.len()),
    );
    stage
        .timeline
        .say(&format!("alice@example.com without a provider: {answer}"))
}

fn unload(stage: &mut Stage) -> Result<(), Error> {
    stage.timeline.step("The client driver is stopped")?;
    let stopped = stage.machine.stop(CLIENT_SERVICE);
    stopped
        .map(drop)
        .map_err(|error| Error::RulesBroken(error.to_string()))
}

fn import(stage: &mut Stage) -> Result<(), Error> {
    stage
        .timeline
        .step("Both drivers start again, the other way round, and get real names")?;
    stage.start(CLIENT_SERVICE)?;
    stage.start(PROVIDER_SERVICE)?;
    stage.timeline.wait_for(PROVIDERS, attached)?;
    let process = stage.process();
    let client = Client::new(embedded::open(&process, Device::Client, true)?);
    let bob = client.look_up(&Query::name("bob@example.com"), LookupFlags::RETURN_ALL)?;
    let address = bob
        .first()
        .and_then(|found| found.record.addresses.first())
        .map(notation::format);
    stage.timeline.say(&format!(
        "bob@example.com is still there: {}",
        address.unwrap_or_default()
    ))?;

    let lines = entry::read(BufReader::new(NAMES.as_bytes()), None)?;
    let (mut imported, mut refused) = (0_usize, Vec::new());
    transfer::import(&client, lines, 8, |outcome| match outcome.result {
        Ok(_) => imported = imported.saturating_add(1),
        Err(error) => refused.push(format!("line {}: {error}", outcome.line)),
    })?;
    let left_out = stage.timeline.leave_out()?;
    for refusal in &refused {
        stage.timeline.say(refusal)?;
    }
    let total = imported.saturating_add(refused.len());
    stage.timeline.say(&format!(
        "imported {imported} of {total} names ({left_out} events are not shown)"
    ))?;

    let queries: Vec<Query> = SAMPLE.into_iter().map(Query::name).collect();
    let answers = client.look_up_many(&queries, LookupFlags::RETURN_ALL)?;
    for (name, answer) in SAMPLE.iter().zip(answers) {
        let told = match answer {
            Ok(records) => records
                .iter()
                .map(|found| found_lines(found, None))
                .collect::<String>(),
            Err(code) => format!("{name}: {code}"),
        };
        stage.timeline.say(&told)?;
    }
    drop(client);
    stage.timeline.step("The machine shuts down")
}
