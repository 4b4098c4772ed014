//! The power fails at every step of the disk while programs register names through both drivers.
//!
//! What the provider driver's own tests demand at length (`provider-driver/core/tests/durability.rs`) is demanded here of
//! what a program sees: what it was told is there after the restart, and everything else wholly or not at all.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::{collections::BTreeMap, thread};

use nsemail_contract::WsaCode;
use nsemail_embedded::{Options, PROVIDER_PARAMETERS};
use nt_sim::{
    files::{Disk, Loss},
    registry::Value,
};
use scenarios::simulated::Simulated;

const CHANGES: usize = 9;

/// What a program did to its name: the addresses afterwards, and between which steps of the disk it did it.
struct Change {
    addresses: Option<Vec<String>>,
    made: usize,
    acknowledged: usize,
}

fn booted(disk: Option<Disk>) -> Simulated {
    let machine = Simulated::with(Options::new().verifier(disk.is_none()).machine(|machine| {
        let machine = machine.record_disk();
        match disk {
            Some(disk) => machine.disk(disk),
            None => machine,
        }
    }));
    for (name, value) in [
        ("CompactionSlackKilobytes", 1),
        ("CompactionPercent", 110),
        ("CompactionPieceBytes", 100),
    ] {
        let value = Value::dword(value);
        machine
            .machine()
            .registry()
            .put(PROVIDER_PARAMETERS, name, value)
            .unwrap();
    }
    machine.start();
    machine
}

fn name(program: usize) -> String {
    // The first is at the other provider.
    let domain = if program == 0 {
        "example.net"
    } else {
        "example.com"
    };
    format!("user{program}@{domain}")
}

fn changes(machine: &Simulated, program: usize) -> Vec<Change> {
    let admin = machine.kernel().administrator();
    let name = name(program);
    let steps = || machine.machine().files().steps();
    (0..CHANGES)
        .map(|number| {
            let made = steps();
            let addresses = [1, 2].map(|port| format!("192.0.{program}.{number}:{port}/tcp"));
            let addresses = (number != 3).then_some(addresses);
            match &addresses {
                Some([first, second]) => admin.register(&name, &[first, second]).unwrap(),
                None => admin.delete(&name).unwrap(),
            };
            Change {
                addresses: addresses.map(Vec::from),
                made,
                acknowledged: steps(),
            }
        })
        .collect()
}

#[test]
fn what_programs_were_told_is_there_after_a_power_failure_at_any_step() {
    let machine = booted(None);
    let done: BTreeMap<usize, Vec<Change>> = thread::scope(|scope| {
        let machine = &machine;
        let programs = [0, 1, 2].map(|program| (program, scope.spawn(move || changes(machine, program))));
        programs
            .map(|(program, changes)| (program, changes.join().unwrap()))
            .into()
    });
    let files = machine.machine().files();
    let steps = files.steps();
    let mut boots = 0;
    for at in 0..=steps {
        let mut disks: Vec<Disk> = Vec::new();
        let seed = u64::try_from(at).unwrap();
        for loss in [
            Loss::Everything,
            Loss::Nothing,
            Loss::Tail(seed),
            Loss::Scattered(seed),
        ] {
            let disk = files.crash_image(at, loss);
            if disks.contains(&disk) {
                continue;
            }
            disks.push(disk.clone());
            let after = booted(Some(disk));
            boots += 1;
            let user = after.kernel().user();
            for (program, changes) in &done {
                let found = match user.look_up(&name(*program)) {
                    Ok(addresses) => Some(addresses),
                    Err(WsaCode::WSASERVICE_NOT_FOUND) => None,
                    Err(code) => panic!("step {at} of {steps}, {loss:?}: {code}"),
                };
                let told = changes.iter().filter(|change| change.acknowledged <= at).count();
                let begun = changes.iter().filter(|change| change.made < at).count();
                let state = |count: usize| {
                    count
                        .checked_sub(1)
                        .and_then(|last| changes[last].addresses.clone())
                };
                assert!(
                    (told..=begun).any(|count| state(count) == found),
                    "step {at} of {steps} ({:?}), {loss:?}: program {program} has {found:?} after {told} to {begun} changes",
                    at.checked_sub(1).and_then(|step| files.describe_step(step)),
                );
            }
            drop(user);
            after.end();
        }
    }
    println!("{steps} steps, {boots} crash images");
    assert!(steps > 40 && boots > steps);
    machine.end();
}
