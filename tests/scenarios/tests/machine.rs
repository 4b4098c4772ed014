//! What only a simulated machine makes possible: to restart it, to have two of them, to look at its timeline,
//! to prepare its registry.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::{fs, path::Path, sync::Arc, thread};

use nmr_steps::{Step, steps};
use nsemail::{client::Query, transport::TransportError};
use nsemail_contract::{
    Guid, LookupFlags, Operation, SetFlags, WsaCode,
    wire::{CounterKind, EventKind},
};
use nsemail_embedded::{CLIENT_PARAMETERS, Options, PROVIDER_PARAMETERS};
use nt_sim::{
    DriverName,
    io::{self, Identity, NewDevice},
    registry::Value,
};
use scenarios::{
    kernel::{Access, Driver, Kernel, Service, Who, Win32},
    program::{DEFAULT, EXAMPLE, addresses, code, until},
    simulated::Simulated,
};

mod watchdog;

const ADDRESS: &str = "192.0.2.7:5060/tcp";

/// A machine that is watched.
struct Watched {
    machine: Simulated,
    _watchdog: watchdog::Watchdog,
}

impl Watched {
    fn new(test: &'static str, options: Options) -> Self {
        let machine = Simulated::with(options);
        let watchdog = watchdog::Watchdog::new(test, machine.machine());
        Self {
            machine,
            _watchdog: watchdog,
        }
    }

    fn kernel(&self) -> &dyn Kernel {
        &self.machine
    }

    /// Starts both drivers and waits for those providers that can be had.
    fn start(&self) {
        for driver in Driver::BOTH {
            self.kernel().start(driver).unwrap();
        }
        self.machine.wait_until_ready();
    }

    fn end(self) {
        self.machine.end();
    }
}

#[test]
fn names_survive_a_restart_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let boot = || Watched::new("restart", Options::new().state_dir(folder.path()));
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
    let machine = Watched::new("power failure", Options::new().state_dir(folder.path()));
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
    let after = Watched::new("after power failure", Options::new().state_dir(copy.path()));
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
    let machines = ["192.0.2.1:1/tcp", "192.0.2.2:2/tcp"]
        .map(|address| (Watched::new("side by side", Options::new()), address));
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
fn a_start_that_runs_out_of_memory_leaves_nothing_behind() {
    for driver in Driver::BOTH {
        let machine = Watched::new("out of memory", Options::new());
        let kernel = machine.kernel();
        let before = machine.machine.machine().pool_usage();
        let mut failures = 0;
        for allocation in 0.. {
            machine.machine.machine().fail_allocation(allocation);
            let started = kernel.start(driver);
            if let Err(error) = started {
                failures += 1;
                assert_eq!(
                    error,
                    Win32::NO_SYSTEM_RESOURCES,
                    "{driver:?}, allocation {allocation}"
                );
                assert_eq!(kernel.service(driver), Service::Stopped);
                let opened = kernel.process(Who::System).open(driver.device(), Access::Read);
                assert_eq!(
                    opened.err(),
                    Some(Win32::FILE_NOT_FOUND),
                    "its device stayed behind"
                );
            } else {
                // What failed, if anything did, was something that the driver does without.
                kernel.stop_at_once(driver);
            }
            assert_eq!(
                machine.machine.machine().pool_usage(),
                before,
                "{driver:?}, allocation {allocation}"
            );
            if !machine.machine.machine().allocation_has_failed() {
                break;
            }
        }
        assert!(failures > 5, "{driver:?} allocates more than that when it starts");
        // The next start works.
        machine.start();
        let admin = kernel.administrator();
        admin.register("dave@example.com", &[ADDRESS]).unwrap();
        assert_eq!(admin.look_up("dave@example.com").unwrap(), [ADDRESS]);
        drop(admin);
        machine.end();
    }
}

#[test]
fn a_start_whose_device_name_is_taken_leaves_nothing_behind() {
    struct Nothing;
    impl io::Dispatch for Nothing {
        fn create(&self, irp: &Arc<io::Irp>) {
            irp.complete(nt_sim::ntstatus::NtStatus::NOT_SUPPORTED, 0);
        }
        fn cleanup(&self, irp: &Arc<io::Irp>) {
            self.create(irp);
        }
        fn close(&self, irp: &Arc<io::Irp>) {
            self.create(irp);
        }
        fn device_control(&self, irp: &Arc<io::Irp>) {
            self.create(irp);
        }
        fn cancel(&self, _: &Arc<io::Irp>) {}
    }
    for (driver, name) in [
        (Driver::Client, nsemail_contract::ids::CLIENT_DEVICE),
        (Driver::Provider, nsemail_contract::ids::PROVIDER_DEVICE),
    ] {
        let machine = Watched::new("name taken", Options::new());
        let other = machine
            .machine
            .machine()
            .create_device(&NewDevice {
                driver: &DriverName::new("other.sys"),
                name: Some(name),
                sddl: "D:P(A;;GA;;;SY)",
                secure_open: true,
                exclusive: false,
                dispatch: Arc::new(Nothing),
            })
            .unwrap();
        let before = machine.machine.machine().pool_usage();
        assert!(machine.kernel().start(driver).is_err());
        assert_eq!(machine.kernel().service(driver), Service::Stopped);
        assert_eq!(machine.machine.machine().pool_usage(), before);
        machine.machine.machine().delete_device(other);
        machine.start();
        machine
            .kernel()
            .administrator()
            .register("erin@example.com", &[ADDRESS])
            .unwrap();
        machine.end();
    }
}

#[test]
fn every_call_that_runs_out_of_memory_is_told_so_and_changes_nothing() {
    let machine = Watched::new("calls without memory", Options::new());
    machine.start();
    let kernel = machine.kernel();
    let admin = kernel.administrator();
    let host = machine.machine.machine();
    let mut failures = 0;
    for allocation in 0.. {
        let name = format!("user{allocation}@example.com");
        host.fail_allocation(allocation);
        let registration = scenarios::program::name(&name, &[ADDRESS]);
        let registered = admin
            .client()
            .set(Operation::Register, SetFlags::empty(), &registration);
        let registered = registered.map_err(out_of_memory);
        let failed = host.allocation_has_failed();
        match &registered {
            Ok(reply) => assert_eq!(admin.look_up_at(reply.provider, &name).unwrap(), [ADDRESS]),
            Err(code) => {
                assert!(failed);
                assert_eq!(*code, WsaCode::WSA_NOT_ENOUGH_MEMORY, "allocation {allocation}");
                assert_eq!(admin.look_up(&name), Err(WsaCode::WSASERVICE_NOT_FOUND));
                failures += 1;
            }
        }
        if !failed {
            break;
        }
        admin.client().end_session().unwrap();
    }
    assert!(failures > 3, "a registration allocates more than that");

    admin.register("frank@example.com", &[ADDRESS]).unwrap();
    let query = Query::name("frank@example.com");
    for allocation in 0.. {
        admin.client().end_session().unwrap();
        host.fail_allocation(allocation);
        let found = admin.client().look_up(&query, LookupFlags::RETURN_ALL);
        let failed = host.allocation_has_failed();
        match found.map_err(out_of_memory) {
            Ok(found) => assert_eq!(addresses(&found[0].record), [ADDRESS]),
            // A provider that is out of memory is as good as one that does not have the name.
            Err(code) => assert!(
                [WsaCode::WSA_NOT_ENOUGH_MEMORY, WsaCode::WSASERVICE_NOT_FOUND].contains(&code),
                "allocation {allocation}: {code}"
            ),
        }
        if !failed {
            break;
        }
    }
    assert_eq!(admin.counted(CounterKind::CALLS), 0);
    drop(admin);
    machine.end();
}

/// What a program without memory is told: by the drivers, or by the framework, which could not even hand
/// them the request.
#[track_caller]
fn out_of_memory(error: nsemail::Error) -> WsaCode {
    match error {
        nsemail::Error::Code(code) => code,
        nsemail::Error::Transport(TransportError::Other(text)) => {
            assert_eq!(text, format!("{:?}", Win32::NO_SYSTEM_RESOURCES));
            WsaCode::WSA_NOT_ENOUGH_MEMORY
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_damaged_entry_disables_its_provider_with_an_event_and_no_other() {
    let entry = format!(r"{PROVIDER_PARAMETERS}\Providers\{EXAMPLE}");
    let damages: [(&str, Value); 5] = [
        ("Blob", Value::binary(vec![1, 2, 3])),
        ("Blob", Value::sz("not a blob")),
        ("Identifier", Value::sz("")),
        ("Identifier", Value::dword(1)),
        ("PreferredName", Value::sz("no address")),
    ];
    for (value, damage) in damages {
        let machine = Watched::new("damaged entry", Options::new());
        let kernel = machine.kernel();
        let registry = machine.machine.machine().registry();
        let good = registry.get(&entry, value);
        registry.put(&entry, value, damage.clone()).unwrap();
        registry
            .put(
                &format!(r"{PROVIDER_PARAMETERS}\Providers\nonsense"),
                "Enabled",
                Value::dword(1),
            )
            .unwrap();
        machine.start();
        let provider = kernel.program(Who::Administrator).open_admin();
        assert_eq!(
            provider.events(EventKind::ENTRY_SKIPPED, EXAMPLE),
            1,
            "{value}: {damage:?}"
        );
        assert_eq!(provider.events(EventKind::ENTRY_SKIPPED, Guid::NIL), 1);
        assert_eq!(provider.client().hosted().unwrap().len(), 1);
        drop(provider);
        let admin = kernel.administrator();
        assert_eq!(admin.attached(), 1);
        // The other one is secondary for this domain.
        let reply = admin.register("grace@example.net", &[ADDRESS]).unwrap();
        assert_eq!(reply.provider, DEFAULT);

        let key = registry.open_key(None, &entry).unwrap();
        match good {
            Some(good) => registry.set(key, value, good).unwrap(),
            None => registry.delete_value(key, value).unwrap(),
        }
        kernel.stop_at_once(Driver::Provider);
        kernel.start(Driver::Provider).unwrap();
        kernel.wait_until_attached();
        assert_eq!(
            admin.register("heidi@example.net", &[ADDRESS]).unwrap().provider,
            EXAMPLE
        );
        drop(admin);
        machine.end();
    }
}

#[test]
fn a_provider_that_is_switched_off_is_not_hosted() {
    let machine = Watched::new("switched off", Options::new());
    let entry = format!(r"{PROVIDER_PARAMETERS}\Providers\{DEFAULT}");
    machine
        .machine
        .machine()
        .registry()
        .put(&entry, "Enabled", Value::dword(0))
        .unwrap();
    machine.start();
    let admin = machine.kernel().administrator();
    assert_eq!(admin.attached(), 1);
    assert_eq!(
        admin.register("ivan@example.com", &[ADDRESS]).unwrap().provider,
        EXAMPLE
    );
    assert_eq!(
        admin.register("ivan@elsewhere.example", &[ADDRESS]),
        Err(WsaCode::WSASERVICE_NOT_FOUND),
        "the wildcard provider is off"
    );
    drop(admin);
    machine.end();
}

#[test]
fn members_of_the_configured_group_may_register() {
    const GROUP: &str = "S-1-5-21-1-2-3-1105";
    let machine = Watched::new("write group", Options::new());
    let host = machine.machine.machine();
    host.registry()
        .put(CLIENT_PARAMETERS, "WriteGroup", Value::sz(GROUP))
        .unwrap();
    machine.start();
    let open = |identity| {
        host.process(identity)
            .open(r"\\.\NsEmail", io::Access::READ_WRITE)
            .err()
    };
    assert_eq!(open(Identity::member_of(GROUP).unwrap()), None);
    let denied = Some(nt_sim::ntstatus::NtStatus::ACCESS_DENIED);
    assert_eq!(open(Identity::member_of("S-1-5-21-1-2-3-1106").unwrap()), denied);
    assert_eq!(open(Identity::User), denied);
    machine.end();
}

#[test]
fn a_limit_that_is_hit_is_an_answer_and_an_event() {
    let machine = Watched::new("limits", Options::new());
    let registry = machine.machine.machine().registry();
    for (limit, value) in [("MaxCalls", 1), ("MaxSessions", 3), ("MaxLookUpsPerSession", 2)] {
        registry
            .put(CLIENT_PARAMETERS, limit, Value::dword(value))
            .unwrap();
    }
    machine.start();
    let kernel = machine.kernel();
    let admin = kernel.administrator();
    let limits = || {
        let events = admin.client().events(0).unwrap();
        events
            .iter()
            .filter(|event| event.kind == EventKind::LIMIT_HIT)
            .count()
    };
    assert_eq!(limits(), 0);

    let hold = kernel.hold_flush();
    let call = admin.submit_register("judy@example.com", &[ADDRESS]);
    hold.wait_until_reached();
    assert_eq!(
        admin.register("mallory@example.com", &[ADDRESS]),
        Err(WsaCode::WSA_NOT_ENOUGH_MEMORY)
    );
    assert_eq!(limits(), 1);
    drop(hold);
    assert_eq!(code(&call.wait()), WsaCode::NO_ERROR);
    until("the call is over", || admin.counted(CounterKind::CALLS) == 0);
    admin.register("mallory@example.com", &[ADDRESS]).unwrap();

    let others = [kernel.user(), kernel.user()];
    let refused = kernel.program(Who::User).try_open(Access::Read).err();
    assert_eq!(refused, Some(Win32::NO_SYSTEM_RESOURCES));
    assert_eq!(limits(), 2);
    drop(others);

    let query = Query::name("judy@example.com");
    let flags = LookupFlags::RETURN_ALL;
    let open = [
        admin.client().begin(&query, flags).unwrap(),
        admin.client().begin(&query, flags).unwrap(),
    ];
    let third = admin.client().begin(&query, flags).map(drop);
    assert_eq!(third.unwrap_err().code(), Some(WsaCode::WSA_NOT_ENOUGH_MEMORY));
    assert_eq!(limits(), 3);
    drop(open);
    admin.client().begin(&query, flags).unwrap().end().unwrap();
    drop(admin);
    machine.end();
}

#[test]
fn a_detach_with_a_call_in_flight_is_pending_until_the_call_completes() {
    let machine = Watched::new("pending detach", Options::new());
    machine.start();
    let kernel = machine.kernel();
    let admin = kernel.administrator();
    let hold = kernel.hold_flush();
    let call = admin.submit_register("niaj@example.com", &[ADDRESS]);
    hold.wait_until_reached();
    let before = machine
        .machine
        .machine()
        .trace()
        .events()
        .last()
        .map_or(0, |event| event.sequence);
    let steps = || steps(machine.machine.machine(), before);
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
