//! The power fails at every step that the disk makes under a workload of concurrent callers.
//!
//! One run records the disk. For each of its steps (each write, flush, change of size, name made or removed), a
//! machine boots from what the medium may hold then, in several variants; from some, the power fails again while they
//! recover. Demanded of each: every change that had been acknowledged is there; every other wholly or not at all; the
//! changes of a caller are there in the order in which it made them; and no journal is called damaged. The workload
//! makes the journal be written anew several times, so that the steps of that are among those where the power fails.
//! One of the callers waits in its calls, and so makes changes durable by itself when nobody else does.
//!
//! `NSEMAIL_SOAK=20` makes it twenty times as long.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nsemail_contract::codes::WsaCode;
use nsemail_contract::wire::{EventKind, HostedState};
use nt_sim::Machine;
use nt_sim::files::{Disk, Loss};
use support::admin::{events, state};
use support::*;

const CALLERS: usize = 4;
/// Changes that a caller has under way at a time, each of another name.
const PIPELINE: usize = 3;

/// What a name has: its addresses, or nothing at all.
type Value = Option<Vec<String>>;

/// A change that a caller made.
#[derive(Clone, Debug)]
struct Change {
    /// What the name has afterwards.
    value: Value,
    /// Steps of the disk when it was made; it is on no disk of so few.
    made: usize,
    /// Steps of the disk when it had been acknowledged; it is on every disk of so many.
    acknowledged: usize,
}

/// The changes of each name of a caller, in the order in which a round goes through the names.
type History = Vec<(String, Vec<Change>)>;

fn soak() -> usize {
    let times = std::env::var("NSEMAIL_SOAK")
        .ok()
        .and_then(|times| times.parse().ok());
    times.unwrap_or(1)
}

/// What a caller does: rounds of changes, of which those of a round are under way together.
fn calls(machine: &Machine, session: &Session, caller: usize, rounds: usize) -> History {
    let name = |number| (format!("c{caller}n{number}@example.com"), Vec::new());
    let mut history: History = (0..PIPELINE).map(name).collect();
    let flags = if caller == 0 { WAITS } else { 0 };
    for round in 0..rounds {
        let under_way: Vec<_> = history
            .iter_mut()
            .enumerate()
            .map(|(number, (name, changes))| {
                let addresses: Vec<String> = (1..=2 + number)
                    .map(|port| format!("10.{caller}.{number}.{round}:{port}"))
                    .collect();
                let remove = (round + number) % 4 == 3;
                let made = machine.files().steps();
                let call = if remove {
                    session.submit(DELETE, flags, name, &[])
                } else {
                    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
                    session.submit(REGISTER, flags, name, &addresses)
                };
                changes.push(Change {
                    value: (!remove).then_some(addresses),
                    made,
                    acknowledged: usize::MAX,
                });
                call.unwrap().unwrap()
            })
            .collect();
        for (completion, (_, changes)) in under_way.iter().zip(&mut history) {
            completion.wait().unwrap();
            changes.last_mut().unwrap().acknowledged = machine.files().steps();
        }
    }
    history
}

/// Runs the workload on a machine that records its disk.
fn workload(machine: &Machine, rounds: usize) -> Vec<History> {
    machine.start(SERVICE).unwrap();
    let caller = Caller::register(machine);
    let peer = caller.provider(PROVIDER);
    let histories = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let session = peer.session();
                scope.spawn(move || calls(machine, &session, caller, rounds))
            })
            .collect();
        // All of them run before the first is waited for.
        let mut answers = Vec::new();
        for caller in callers {
            answers.push(caller.join().unwrap());
        }
        answers
    });
    caller.deregister();
    histories
}

fn configure(machine: &Machine, durable: bool) {
    set_parameter(machine, "CompactionSlackKilobytes", 2);
    set_parameter(machine, "CompactionPercent", 150);
    // One or two objects, so that most of the changes are made while the journal is written anew.
    set_parameter(machine, "CompactionPieceBytes", 100);
    set_parameter(machine, "Durability", u32::from(durable));
}

/// Boots from a disk, and says what the names have. The machine is left running.
fn boot(disk: Disk, names: &[&str], what: &str, checked: bool) -> (Machine, BTreeMap<String, Value>) {
    let machine = installed_on(Machine::builder().disk(disk).record_disk().verifier(checked));
    configure(&machine, true);
    machine.start(SERVICE).unwrap();
    let state = state(&machine);
    assert_eq!(
        state,
        HostedState::Serving,
        "{what}: the journal is not loaded: {:?}",
        events(&machine)
    );
    let (caller, session) = client(&machine);
    let value = |name: &str| match session.addresses(name) {
        Ok(addresses) => Some(addresses),
        Err(WsaCode::WSASERVICE_NOT_FOUND) => None,
        Err(code) => panic!("{what}: {name}: {code}"),
    };
    let values = names
        .iter()
        .map(|name| ((*name).to_owned(), value(name)))
        .collect();
    caller.deregister();
    (machine, values)
}

/// Demands of what the names have that it may be so when the power failed after `at` steps.
fn judge(
    histories: &[History],
    at: usize,
    values: &BTreeMap<String, Value>,
    durable: bool,
) -> Result<(), String> {
    for history in histories {
        let mut before = usize::MAX;
        for (name, changes) in history {
            let acknowledged = changes.iter().filter(|change| change.acknowledged <= at).count();
            let made = changes.iter().filter(|change| change.made < at).count();
            let least = if durable { acknowledged } else { 0 };
            let value = &values[name];
            let after = |count: usize| count.checked_sub(1).map_or(&None, |last| &changes[last].value);
            // If two moments look the same, the later one is taken.
            let Some(count) = (least..=made).rev().find(|count| after(*count) == value) else {
                return Err(format!(
                    "{name} has {value:?} after {least} to {made} of {changes:#?}"
                ));
            };
            if durable && count > before {
                return Err(format!(
                    "{name} has change {count} before the name made before it"
                ));
            }
            before = count;
        }
    }
    Ok(())
}

fn variants(at: usize, count: usize) -> Vec<Loss> {
    let seed = |number: usize| u64::try_from(at * 1000 + number).unwrap();
    let seeded = (0..count).map(|number| match number % 3 {
        0 => Loss::Tail(seed(number)),
        _ => Loss::Scattered(seed(number)),
    });
    [Loss::Everything, Loss::Nothing]
        .into_iter()
        .chain(seeded)
        .collect()
}

/// Lets the power fail after every step of a workload. Gives the numbers of steps, boots, and power failures while
/// recovering.
fn fail_everywhere(rounds: usize, seeds: usize, durable: bool) -> (usize, usize, usize) {
    let machine = installed_on(Machine::builder().record_disk());
    configure(&machine, durable);
    let histories = workload(&machine, rounds);
    let compacted = events(&machine);
    let compacted = compacted
        .iter()
        .filter(|(kind, _)| *kind == EventKind::LOG_COMPACTED);
    assert!(
        compacted.count() >= 2,
        "the workload does not let the journal grow"
    );
    stop(&machine);
    let names: Vec<&str> = histories
        .iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    let steps = machine.files().steps();
    let (next, boots, nested) = <(AtomicUsize, AtomicUsize, AtomicUsize)>::default();
    let verify = |at: usize| {
        let mut seen: Vec<Disk> = Vec::new();
        for (number, loss) in variants(at, seeds).into_iter().enumerate() {
            let disk = machine.files().crash_image(at, loss);
            if seen.contains(&disk) {
                continue;
            }
            seen.push(disk.clone());
            let what = format!("power failure after step {at} of {steps} ({loss:?})");
            let checked = (at + number).is_multiple_of(16);
            let (booted, values) = boot(disk, &names, &what, checked);
            boots.fetch_add(1, Ordering::Relaxed);
            let verdict = judge(&histories, at, &values, durable);
            if let Err(fault) = verdict {
                let step = machine.files().describe_step(at.saturating_sub(1));
                panic!("{what}, which was {step:?}: {fault}");
            }
            stop(&booted);
            // The power fails once more, while the driver recovers or begins to serve.
            let again = (at * 7 + number) % (booted.files().steps() + 1);
            if (at + number).is_multiple_of(3) && again > 0 {
                let loss = variants(again, 3)[(at + number) % 5];
                let what = format!("{what}, and after step {again} of the next boot ({loss:?})");
                let disk = booted.files().crash_image(again, loss);
                let (third, values) = boot(disk, &names, &what, false);
                nested.fetch_add(1, Ordering::Relaxed);
                if let Err(fault) = judge(&histories, at, &values, durable) {
                    panic!("{what}: {fault}");
                }
                stop(&third);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at > steps {
                        break;
                    }
                    verify(at);
                }
            });
        }
    });
    (steps, boots.into_inner(), nested.into_inner())
}

#[test]
fn after_a_power_failure_at_any_step_every_acknowledged_change_is_there_and_every_other_wholly_or_not() {
    let (steps, boots, nested) = fail_everywhere(40 * soak(), 6 * soak().min(8), true);
    println!("{steps} steps, {boots} crash images, {nested} power failures while recovering");
    assert!(steps > 200, "{steps} steps");
    assert!(boots > steps);
}

#[test]
fn without_durability_a_power_failure_leaves_whole_changes_in_order_and_no_damage() {
    let (steps, boots, nested) = fail_everywhere(12 * soak(), 6 * soak().min(8), false);
    println!("{steps} steps, {boots} crash images, {nested} power failures while recovering");
}

#[test]
fn a_store_goes_on_after_power_failures_one_after_the_other() {
    let mut disk = None;
    let mut expected: BTreeMap<String, Value> = BTreeMap::new();
    for life in 0..40 * soak() {
        let builder = Machine::builder().record_disk().verifier(false);
        let machine = installed_on(match disk.take() {
            Some(disk) => builder.disk(disk),
            None => builder,
        });
        configure(&machine, true);
        machine.start(SERVICE).unwrap();
        assert_eq!(state(&machine), HostedState::Serving, "life {life}");
        let (caller, session) = client(&machine);
        for (name, value) in &expected {
            assert_eq!(&session.addresses(name).ok(), value, "life {life}: {name}");
        }
        for change in 0..7 {
            let name = format!("n{change}@example.com");
            let address = format!("10.0.{}.{change}:1", life % 256);
            session.set(REGISTER, 0, &name, &[&address]).unwrap();
            expected.insert(name, Some(vec![address]));
        }
        let steps = machine.files().steps();
        disk = Some(
            machine
                .files()
                .crash_image(steps, Loss::variant(life.try_into().unwrap())),
        );
        caller.deregister();
        stop(&machine);
    }
}
