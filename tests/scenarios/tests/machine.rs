//! What only a simulated machine makes possible: to restart it, to have two of them, to look at its timeline.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::{fs, path::Path, thread};

use nmr_steps::{Step, steps};
use nsemail::client::Query;
use nsemail_contract::{LookupFlags, WsaCode};
use nsemail_embedded::Options;
use scenarios::{
    kernel::{Driver, Service},
    program::{DEFAULT, EXAMPLE, code, until},
    simulated::Simulated,
};

const ADDRESS: &str = "192.0.2.7:5060/tcp";

#[test]
fn names_survive_a_restart_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let boot = || Simulated::with(Options::new().state_dir(folder.path()));
    let first = boot();
    first.start();
    let admin = first.kernel().administrator();
    for who in [
        "alice@example.com",
        "alice@example.net",
        "alice@elsewhere.example",
    ] {
        admin.register(who, &[ADDRESS]).unwrap();
    }
    drop(admin);
    let stored = first.kernel().stored();
    assert_eq!(stored.len(), 3);
    first.end();

    let second = boot();
    second.start();
    assert_eq!(second.kernel().stored(), stored);
    assert_eq!(
        second.kernel().user().look_up("alice@example.net").unwrap(),
        [ADDRESS]
    );
    second.end();
}

#[test]
fn what_was_acknowledged_is_on_the_disk_while_the_machine_still_runs() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Simulated::with(Options::new().state_dir(folder.path()));
    machine.start();
    let admin = machine.kernel().administrator();
    admin.register("bob@example.com", &[ADDRESS]).unwrap();
    admin.register("bob@example.com", &["192.0.2.8:25"]).unwrap();
    let hold = machine.kernel().hold_flush();
    let unanswered = admin.submit_register("carol@example.com", &[ADDRESS, "192.0.2.9:25"]);
    hold.wait_until_reached();

    // What a disk has at a power failure, in the middle of a registration.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder.path(), copy.path());
    let after = Simulated::with(Options::new().state_dir(copy.path()));
    after.start();
    let user = after.kernel().user();
    assert_eq!(user.look_up("bob@example.com").unwrap(), ["192.0.2.8:25/tcp"]);
    let carol = user.look_up("carol@example.com");
    assert!(
        carol == Err(WsaCode::WSASERVICE_NOT_FOUND)
            || carol == Ok(vec![ADDRESS.to_owned(), "192.0.2.9:25/tcp".to_owned()]),
        "half a registration: {carol:?}"
    );
    drop(user);
    after.end();

    drop(hold);
    assert_eq!(code(&unanswered.wait()), WsaCode::NO_ERROR);
    drop(admin);
    machine.end();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn two_machines_side_by_side_know_nothing_of_each_other() {
    const ROUNDS: usize = 30;
    let machines = ["192.0.2.1:1/tcp", "192.0.2.2:2/tcp"].map(|address| (Simulated::new(), address));
    thread::scope(|scope| {
        for (machine, address) in &machines {
            scope.spawn(|| {
                let kernel = machine.kernel();
                machine.start();
                let traffic = || {
                    for number in 0..ROUNDS {
                        let name = format!("user{number}@example.com");
                        let admin = kernel.administrator();
                        admin.register(&name, &[address]).unwrap();
                        assert_eq!(admin.look_up(&name).unwrap(), [*address]);
                    }
                };
                thread::scope(|scope| {
                    scope.spawn(traffic);
                    scope.spawn(traffic);
                });
                kernel.stop_at_once(Driver::Provider);
                kernel.start(Driver::Provider).unwrap();
                kernel.wait_until_attached();
                traffic();
            });
        }
    });
    let [(one, _), (other, _)] = machines;
    one.kernel().administrator().delete("user0@example.com").unwrap();
    one.end();
    assert_eq!(other.kernel().stored().len(), ROUNDS);
    assert_eq!(
        other.kernel().user().look_up("user0@example.com").unwrap(),
        ["192.0.2.2:2/tcp"]
    );
    other.end();
}

#[test]
fn a_detach_with_a_call_in_flight_is_pending_until_the_call_completes() {
    let machine = Simulated::new();
    machine.start();
    let kernel = machine.kernel();
    let admin = kernel.administrator();
    let hold = kernel.hold_flush();
    let call = admin.submit_register("niaj@example.com", &[ADDRESS]);
    hold.wait_until_reached();
    let before = machine
        .machine()
        .trace()
        .events()
        .last()
        .map_or(0, |event| event.sequence);
    let steps = || steps(machine.machine(), before);
    let detached = |step| steps().values().filter(|steps| steps.contains(&step)).count();
    thread::scope(|scope| {
        let stop = scope.spawn(|| kernel.stop(Driver::Provider));
        until("the idle provider is cleaned up", || {
            detached(Step::CleanedUp) == 1
        });
        // The client's side is done with both; on the side of the provider, one waits for its call.
        assert_eq!(detached(Step::ClientDetached), 2);
        assert_eq!(detached(Step::ProviderDetached), 1);
        assert!(!call.is_complete());
        drop(hold);
        assert_eq!(stop.join().unwrap(), Ok(Service::Stopped));
    });
    assert_eq!(code(&call.wait()), WsaCode::NO_ERROR);
    for steps in steps().into_values() {
        assert_eq!(
            steps,
            [
                Step::Deregistering,
                Step::Detaching,
                Step::ClientDetached,
                Step::ProviderDetached,
                Step::CleanedUp,
                Step::Drained
            ]
        );
    }
    drop(admin);
    machine.end();
}

/// What the registrar does with provider modules.
mod nmr_steps {
    use std::collections::BTreeMap;

    use nmr_model::{Event, Role};
    use nt_sim::{Machine, nmr, trace::Kind};

    /// A step of a module, or of its only binding.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Step {
        Deregistering,
        Detaching,
        ClientDetached,
        ProviderDetached,
        CleanedUp,
        Drained,
    }

    /// The steps of each provider module after an event of the timeline.
    pub fn steps(machine: &Machine, after: u64) -> BTreeMap<String, Vec<Step>> {
        let mut modules: BTreeMap<String, Vec<Step>> = BTreeMap::new();
        for event in machine.trace().events() {
            let Kind::Nmr(nmr::Step { event: step, .. }) = &event.kind else {
                continue;
            };
            let (module, step) = match step {
                Event::Deregistering(module) => (module, Step::Deregistering),
                Event::Detaching(binding) => (&binding.provider, Step::Detaching),
                Event::SideDetached(binding, side) if side.role == Role::Client => {
                    (&binding.provider, Step::ClientDetached)
                }
                Event::SideDetached(binding, _) => (&binding.provider, Step::ProviderDetached),
                Event::CleanedUp(binding) => (&binding.provider, Step::CleanedUp),
                Event::Drained(module) => (module, Step::Drained),
                _ => continue,
            };
            if event.sequence > after && module.role == Role::Provider {
                modules.entry(module.id.to_string()).or_default().push(step);
            }
        }
        modules
    }
}

/// A change of the catalogue that is not on the disk yet holds up nobody but other changes.
#[test]
fn look_ups_do_not_wait_for_a_change_of_the_catalogue() {
    let machine = Simulated::new();
    machine.start();
    let kernel = machine.kernel();
    let (admin, user) = (kernel.administrator(), kernel.user());
    admin.register("dora@example.com", &[ADDRESS]).unwrap();
    let flags = LookupFlags::RETURN_ALL;
    let query = Query::name("dora@example.com");
    let open = user.client().begin(&query, flags).unwrap();
    let hold = machine.machine().hold_registry_flush();
    thread::scope(|scope| {
        let first = scope.spawn(|| admin.client().enable(DEFAULT, false));
        hold.wait_until_reached();
        let second = scope.spawn(|| kernel.administrator().client().enable(EXAMPLE, false));
        // Those that begin now go by the catalogue as it was, and so does the one that is open.
        assert_eq!(user.look_up("dora@example.com").unwrap(), [ADDRESS]);
        assert_eq!(kernel.user().look_up("dora@example.com").unwrap(), [ADDRESS]);
        assert!(open.next(LookupFlags::empty()).unwrap().is_some());
        assert!(
            user.client()
                .providers()
                .unwrap()
                .iter()
                .all(|provider| provider.enabled)
        );
        admin.register("erik@example.com", &[ADDRESS]).unwrap();
        assert!(!first.is_finished() && !second.is_finished());
        drop(hold);
        first.join().unwrap().unwrap();
        second.join().unwrap().unwrap();
    });
    assert_eq!(
        user.look_up("dora@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    open.end().unwrap();
    drop((admin, user));
    machine.end();
}
