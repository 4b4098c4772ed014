//! Every call of the file system fails once, and from some moment on: while changes are made, while the journal is
//! written anew, and while it is loaded.
//!
//! Demanded: the caller is told; what was acknowledged is there and what was refused is not, at once, after the next
//! changes, after a restart and after a power failure; and when the fault is gone, changes are accepted again.

mod support;

use std::collections::BTreeMap;

use nsemail_contract::codes::WsaCode;
use nsemail_contract::wire::{EventKind, HostedState};
use nt_sim::Machine;
use nt_sim::files::{Disk, Fault, Loss, Operation};
use nt_sim::ntstatus::NtStatus;
use support::admin::{events, state};
use support::*;

const OPERATIONS: [Operation; 7] = [
    Operation::CreateFile,
    Operation::ReadFile,
    Operation::WriteFile,
    Operation::FlushFile,
    Operation::RenameFile,
    Operation::SetEndOfFile,
    Operation::DeleteFile,
];
const NAMES: usize = 4;
const CHANGES: usize = 26;

/// What each name is to have; nothing for one that is not there.
type Model = BTreeMap<String, Vec<String>>;

fn addresses(number: usize) -> [String; 2] {
    [1, 2].map(|port| format!("10.0.0.{number}:{port}"))
}

fn name(number: usize) -> String {
    format!("n{}@example.com", number % NAMES)
}

/// What a refused change would have made of a name.
type Refused = Vec<(String, Option<Vec<String>>)>;

/// Makes a change, and keeps the model with what the caller was told.
fn change(session: &Session, model: &mut Model, number: usize) -> Result<(), WsaCode> {
    let name = name(number);
    let [first, second] = addresses(number);
    if number % 7 == 6 {
        match session.set(DELETE, 0, &name, &[]) {
            Ok(_) => drop(model.remove(&name)),
            Err(WsaCode::WSASERVICE_NOT_FOUND) if !model.contains_key(&name) => {}
            Err(code) => return Err(code),
        }
    } else {
        session.set(REGISTER, 0, &name, &[&first, &second])?;
        model.insert(name, vec![first, second]);
    }
    Ok(())
}

#[track_caller]
fn check(session: &Session, model: &Model, what: &str) {
    for name in (0..NAMES).map(name) {
        let found = match session.addresses(&name) {
            Ok(addresses) => Some(addresses),
            Err(WsaCode::WSASERVICE_NOT_FOUND) => None,
            Err(code) => panic!("{what}: {name}: {code}"),
        };
        assert_eq!(found.as_ref(), model.get(&name), "{what}: {name}");
    }
}

fn machine(disk: Option<Disk>) -> Machine {
    let builder = Machine::builder().record_disk().verifier(false);
    let machine = installed_on(match disk {
        Some(disk) => builder.disk(disk),
        None => builder,
    });
    set_parameter(&machine, "CompactionSlackKilobytes", 1);
    set_parameter(&machine, "CompactionPercent", 110);
    set_parameter(&machine, "CompactionPieceBytes", 100);
    machine
}

/// Starts the driver, looks, and stops it.
#[track_caller]
fn check_after_start(machine: &Machine, model: &Model, what: &str) {
    machine.start(SERVICE).unwrap();
    assert_eq!(
        state(machine),
        HostedState::Serving,
        "{what}: {:?}",
        events(machine)
    );
    let caller = Caller::register(machine);
    check(&caller.provider(PROVIDER).session(), model, what);
    caller.deregister();
    machine.stop(SERVICE).unwrap();
}

fn faults(after: usize) -> [(Fault, bool); 4] {
    let fault = |status, times| Fault {
        operation: Operation::CreateFile,
        after,
        times,
        status,
    };
    [
        (fault(NtStatus::IO_DEVICE_ERROR, 1), false),
        (fault(NtStatus::DISK_FULL, 1), true),
        (fault(NtStatus::IO_DEVICE_ERROR, 2), true),
        (fault(NtStatus::DISK_FULL, usize::MAX), true),
    ]
}

fn inject(machine: &Machine, fault: Fault, torn: bool) {
    if torn {
        machine.inject_torn(fault);
    } else {
        machine.inject(fault);
    }
}

/// One run under a fault; answers whether the fault was met.
fn run(fault: &Fault, torn: bool) -> bool {
    let what = format!("{fault:?}, torn: {torn}");
    let machine = machine(None);
    machine.start(SERVICE).unwrap();
    let (caller, session) = client(&machine);
    let mut model = Model::new();
    let mut refused = Refused::new();
    inject(&machine, fault.clone(), torn);
    for number in 0..CHANGES {
        let before = model.clone();
        if change(&session, &mut model, number).is_err() {
            assert!(machine.faults_hit() > 0, "{what}: refused for nothing");
            let value = (number % 7 != 6).then(|| addresses(number).into());
            refused.push((name(number), value));
        } else if model != before {
            refused.clear();
        }
        check(&session, &model, &what);
    }
    let met = machine.faults_hit() > 0;
    // The power fails while the fault lasts: what was refused since the journal was last written may then be there,
    // but wholly; apart from that, what was acknowledged is there.
    let now = machine.files().steps();
    for loss in [Loss::Nothing, Loss::Tail(now as u64), Loss::Scattered(now as u64)] {
        let booted = self::machine(Some(machine.files().crash_image(now, loss)));
        booted.start(SERVICE).unwrap();
        assert_eq!(state(&booted), HostedState::Serving, "{what}, {loss:?}");
        let caller = Caller::register(&booted);
        let session = caller.provider(PROVIDER).session();
        for name in (0..NAMES).map(name) {
            let found = session.addresses(&name).ok();
            let may_be =
                found.as_ref() == model.get(&name) || refused.contains(&(name.clone(), found.clone()));
            assert!(
                may_be,
                "{what}, {loss:?}: {name} has {found:?}, {model:?}, {refused:?}"
            );
        }
        caller.deregister();
        booted.shutdown().assert_clean();
    }
    machine.clear_faults();
    // Twice each name, so that nothing that was refused is the last of its name.
    for number in CHANGES..CHANGES + 2 * NAMES {
        let result = change(&session, &mut model, number);
        assert_eq!(
            result,
            Ok(()),
            "{what}: the store is not usable after the fault is gone"
        );
        check(&session, &model, &what);
    }
    let end = machine.files().steps();
    caller.deregister();
    machine.stop(SERVICE).unwrap();
    check_after_start(&machine, &model, &format!("{what}, after a restart"));
    for loss in [
        Loss::Everything,
        Loss::Nothing,
        Loss::Tail(end as u64),
        Loss::Scattered(end as u64),
    ] {
        let booted = self::machine(Some(machine.files().crash_image(end, loss)));
        check_after_start(
            &booted,
            &model,
            &format!("{what}, after a power failure ({loss:?})"),
        );
        booted.shutdown().assert_clean();
    }
    machine.shutdown().assert_clean();
    met
}

#[test]
fn every_call_that_fails_under_changes_is_told_and_costs_nothing_else() {
    let mut runs = 0;
    for operation in OPERATIONS {
        for kind in 0..4 {
            for after in 0.. {
                let (fault, torn) = faults(after)[kind].clone();
                runs += 1;
                if !run(&Fault { operation, ..fault }, torn) {
                    break;
                }
            }
        }
    }
    println!("{runs} runs");
    assert!(runs > 200, "{runs} runs");
}

/// Disks as a power failure leaves them in the middle of things: before the first change, with a torn tail, with two
/// generations; and what is on them.
fn disks() -> Vec<(Disk, Model)> {
    let machine = machine(None);
    machine.start(SERVICE).unwrap();
    let (caller, session) = client(&machine);
    let mut model = Model::new();
    let mut disks = vec![(Disk::default(), Model::new())];
    for number in 0..CHANGES {
        let (before, start) = (model.clone(), machine.files().steps());
        change(&session, &mut model, number).unwrap();
        let end = machine.files().steps();
        for at in start..=end {
            // A change alone is a write and a flush; in the middle it may be torn.
            if number == 3 || (end - start > 2 && disks.len() < 14) {
                let loss = Loss::Tail(at as u64);
                let disk = machine.files().crash_image(at, loss);
                if disks.last().is_none_or(|(last, _)| *last != disk) {
                    // Which of the two it is, a start without faults tells.
                    let booted = self::machine(Some(disk.clone()));
                    booted.start(SERVICE).unwrap();
                    assert_eq!(state(&booted), HostedState::Serving);
                    let caller = Caller::register(&booted);
                    let now = caller.provider(PROVIDER).session().addresses(&name(number)).ok();
                    let after = now.as_ref() == model.get(&name(number));
                    disks.push((disk, if after { model.clone() } else { before.clone() }));
                    caller.deregister();
                    booted.shutdown().assert_clean();
                }
            }
        }
    }
    caller.deregister();
    machine.shutdown().assert_clean();
    disks
}

#[test]
fn every_call_that_fails_while_a_journal_is_loaded_leaves_it_as_good_as_it_was() {
    let disks = disks();
    let mut runs = 0;
    for (number, (disk, model)) in disks.iter().enumerate() {
        for operation in OPERATIONS {
            // Further disks differ little in what is done with them.
            for kind in if number < 6 { 0..4 } else { 0..1 } {
                for after in 0.. {
                    let (fault, torn) = faults(after)[kind].clone();
                    let fault = Fault { operation, ..fault };
                    let what = format!("disk {number}, {fault:?} while loading");
                    let machine = machine(Some(disk.clone()));
                    inject(&machine, fault, torn);
                    runs += 1;
                    machine.start(SERVICE).unwrap();
                    if state(&machine) == HostedState::Serving {
                        let caller = Caller::register(&machine);
                        check(&caller.provider(PROVIDER).session(), model, &what);
                        caller.deregister();
                    } else {
                        assert!(machine.faults_hit() > 0, "{what}: {:?}", events(&machine));
                        let failed = events(&machine);
                        let told = [EventKind::LOAD_FAILED, EventKind::ENTRY_SKIPPED];
                        assert!(failed.iter().any(|(kind, _)| told.contains(kind)));
                    }
                    let met = machine.faults_hit() > 0;
                    machine.stop(SERVICE).unwrap();
                    machine.clear_faults();
                    let disk = machine
                        .files()
                        .crash_image(machine.files().steps(), Loss::Scattered(after as u64));
                    check_after_start(&machine, model, &format!("{what}, started again"));
                    machine.shutdown().assert_clean();
                    let booted = self::machine(Some(disk));
                    check_after_start(&booted, model, &format!("{what}, after a power failure"));
                    booted.shutdown().assert_clean();
                    if !met {
                        break;
                    }
                }
            }
        }
    }
    println!("{} disks, {runs} runs", disks.len());
    assert!(disks.len() > 8, "{} disks", disks.len());
}
