//! Scenarios that only the real thing can run: the tool as processes of its own, and power failures.

use std::{
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use nsemail_contract::{WsaCode, wire::CounterKind};
use scenarios::kernel::{Access, Driver, Kernel, Service, Who};

use crate::{machine::Machine, prefix};

/// A scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Runs it on a fresh machine; gives back the machine that it leaves.
    pub run: fn(Arc<Machine>) -> Arc<Machine>,
    /// What is to be in the log, and would otherwise be an alarm.
    pub alarm: Option<&'static str>,
}

/// The scenarios.
pub const SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "wine::the_tool_registers_and_looks_up_from_several_processes_at_once",
        run: tool,
        alarm: None,
    },
    Scenario {
        name: "wine::a_stop_waits_for_the_last_handle_and_the_device_works_until_then",
        run: pending_stop,
        alarm: None,
    },
    Scenario {
        name: "wine::what_was_acknowledged_is_there_after_a_power_failure_in_the_middle_of_a_flush",
        run: power_failure,
        alarm: None,
    },
    Scenario {
        name: "wine::a_driver_that_calls_what_the_model_does_not_have_ends_and_the_function_is_named",
        run: unsupported_function,
        alarm: Some("STOP: a driver calls KMDF function 13, WdfCollectionCreate,"),
    },
];

/// How long the tool may take.
const PATIENCE: Duration = Duration::from_mins(3);
const NAME: &str = "alice@example.com";
const ADDRESSES: [&str; 2] = ["192.0.2.7:5060/tcp", "192.0.2.8:5060/udp"];

/// Starts the tool.
fn start(machine: &Machine, arguments: &[&str]) -> Child {
    let mut command = machine.prefix().program(r"C:\windows\system32\nsemail.exe");
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.spawn().expect("the tool starts")
}

/// Waits for the tool: its exit code and what it printed.
fn end(mut child: Child) -> (Option<i32>, String) {
    let status = prefix::wait(&mut child, PATIENCE).expect("the tool ends");
    let output = child.wait_with_output().expect("the tool prints");
    (
        status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

fn run(machine: &Machine, arguments: &[&str]) -> (Option<i32>, String) {
    end(start(machine, arguments))
}

fn tool(machine: Arc<Machine>) -> Arc<Machine> {
    const DONE: Option<i32> = Some(0);
    const NOT_FOUND: Option<i32> = Some(1);
    const NOT_RUNNING: Option<i32> = Some(4);

    assert_eq!(
        run(&machine, &["lookup", NAME]).0,
        NOT_RUNNING,
        "no driver is loaded"
    );
    let kernel: &dyn Kernel = &*machine;
    kernel.start_both();
    let registered = run(
        &machine,
        &["register", NAME, "--addr", ADDRESSES[0], "--addr", ADDRESSES[1]],
    );
    assert_eq!(registered.0, DONE, "{}", registered.1);
    let programs: Vec<_> = (0..4)
        .map(|_| start(&machine, &["lookup", NAME, "--json"]))
        .collect();
    for program in programs {
        let (code, printed) = end(program);
        assert_eq!(code, DONE, "{printed}");
        for address in ADDRESSES {
            assert!(printed.contains(address), "{address} is not in {printed}");
        }
    }
    // Who looks up by another way sees the same.
    assert_eq!(kernel.user().look_up(NAME).expect("the name is found"), ADDRESSES);
    assert_eq!(run(&machine, &["deregister", NAME]).0, DONE);
    assert_eq!(run(&machine, &["delete", NAME, "--yes"]).0, DONE);
    assert_eq!(run(&machine, &["lookup", NAME]).0, NOT_FOUND);
    machine
}

/// As the scenario of this name for the simulated machine, with one stop at a time.
fn pending_stop(machine: Arc<Machine>) -> Arc<Machine> {
    let kernel: &dyn Kernel = &*machine;
    kernel.start_both();
    let session = kernel.administrator();
    session
        .register(NAME, &ADDRESSES)
        .expect("the name is registered");
    let second = session.handle().duplicate();

    assert_eq!(kernel.stop(Driver::Client), Ok(Service::StopPending));
    assert!(
        kernel.stop(Driver::Client).is_err(),
        "it is asked to stop only once"
    );
    assert!(
        kernel.start(Driver::Client).is_err(),
        "it cannot start before it has stopped"
    );
    let refused = kernel.program(Who::Administrator).try_open(Access::Read).err();
    assert!(
        refused.is_some(),
        "a device that waits for its driver's unload is opened no more"
    );
    assert_eq!(session.look_up(NAME).expect("the device works"), ADDRESSES);
    drop(session);
    assert_eq!(kernel.service(Driver::Client), Service::StopPending);
    drop(second);
    kernel.wait_until_stopped(Driver::Client);
    kernel.start(Driver::Client).expect("it starts again");
    kernel.wait_until_attached();

    let administrator = kernel.program(Who::Administrator).open_admin();
    assert_eq!(kernel.stop(Driver::Provider), Ok(Service::StopPending));
    assert_eq!(administrator.counted(CounterKind::OBJECTS), 1, "the device works");
    let user = kernel.user();
    assert_eq!(
        user.look_up(NAME).expect("the names are there until then"),
        ADDRESSES
    );
    drop(administrator);
    kernel.wait_until_stopped(Driver::Provider);
    assert_eq!(user.look_up(NAME), Err(WsaCode::WSASERVICE_NOT_FOUND));
    kernel.start(Driver::Provider).expect("it starts again");
    kernel.wait_until_attached();
    assert_eq!(user.look_up(NAME).expect("the name is found"), ADDRESSES);
    drop(user);
    machine
}

fn unsupported_function(machine: Arc<Machine>) -> Arc<Machine> {
    // In a process of its own: with it goes all that is in it.
    assert_ne!(machine.start_probe(), Ok(()), "nothing runs on after that");
    machine
}

fn power_failure(mut machine: Arc<Machine>) -> Arc<Machine> {
    for round in 0..3 {
        let kernel: &dyn Kernel = &*machine;
        kernel.start_both();
        let session = kernel.administrator();
        let acknowledged = format!("round{round}@example.com");
        session
            .register(&acknowledged, &ADDRESSES)
            .expect("the name is registered");
        let in_flight = format!("flight{round}@example.com");
        let hold = kernel.hold_flush();
        let call = session.submit_register(&in_flight, &ADDRESSES);
        hold.wait_until_reached();
        machine.prefix().end_all();
        drop((hold, call, session));
        machine = Arc::new(Machine::resume(machine.prefix()).expect("Wine boots again"));

        let kernel: &dyn Kernel = &*machine;
        kernel.start_both();
        let user = kernel.user();
        for earlier in 0..=round {
            let name = format!("round{earlier}@example.com");
            assert_eq!(
                user.look_up(&name).expect("what was acknowledged is there"),
                ADDRESSES
            );
        }
        let later = user.look_up(&in_flight);
        assert!(
            later == Err(WsaCode::WSASERVICE_NOT_FOUND)
                || later.as_deref() == Ok(&ADDRESSES.map(str::to_owned)),
            "half a change: {later:?}"
        );
        drop(user);
        for driver in [Driver::Client, Driver::Provider] {
            kernel.stop_at_once(driver);
        }
    }
    machine
}
