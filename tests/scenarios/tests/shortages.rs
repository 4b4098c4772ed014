//! Starts and calls that fail for want of memory, or of a name.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::sync::Arc;

use nsemail::{client::Query, transport::TransportError};
use nsemail_contract::{LookupFlags, Operation, SetFlags, WsaCode, ids, wire::CounterKind};
use nt_sim::{
    DriverName, files,
    io::{self, NewDevice},
    ntstatus::NtStatus,
};
use scenarios::{
    kernel::{Access, Driver, Service, Who, Win32},
    program::{EXAMPLE, addresses, answered, name},
    simulated::Simulated,
};

const ADDRESS: &str = "192.0.2.7:5060/tcp";

#[test]
fn a_start_that_runs_out_of_memory_leaves_nothing_behind() {
    for driver in Driver::BOTH {
        let machine = Simulated::new();
        let kernel = machine.kernel();
        let before = machine.machine().pool_usage();
        let mut failures = 0;
        for allocation in 0.. {
            machine.machine().fail_allocation(allocation);
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
                machine.machine().pool_usage(),
                before,
                "{driver:?}, allocation {allocation}"
            );
            if !machine.machine().allocation_has_failed() {
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
            irp.complete(NtStatus::NOT_SUPPORTED, 0);
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
        (Driver::Client, ids::CLIENT_DEVICE),
        (Driver::Provider, ids::PROVIDER_DEVICE),
    ] {
        let machine = Simulated::new();
        let other = machine
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
        let before = machine.machine().pool_usage();
        assert!(machine.kernel().start(driver).is_err());
        assert_eq!(machine.kernel().service(driver), Service::Stopped);
        assert_eq!(machine.machine().pool_usage(), before);
        machine.machine().delete_device(other);
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
    let machine = Simulated::new();
    machine.start();
    let kernel = machine.kernel();
    let admin = kernel.administrator();
    let host = machine.machine();
    let mut failures = 0;
    for allocation in 0.. {
        let who = format!("user{allocation}@example.com");
        host.fail_allocation(allocation);
        let registration = name(&who, &[ADDRESS]);
        let registered = admin
            .client()
            .set(Operation::Register, SetFlags::empty(), &registration);
        let registered = registered.map_err(out_of_memory);
        let failed = host.allocation_has_failed();
        match &registered {
            Ok(reply) => assert_eq!(admin.look_up_at(reply.provider, &who).unwrap(), [ADDRESS]),
            Err(code) => {
                assert!(failed);
                assert_eq!(*code, WsaCode::WSA_NOT_ENOUGH_MEMORY, "allocation {allocation}");
                assert_eq!(admin.look_up(&who), Err(WsaCode::WSASERVICE_NOT_FOUND));
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
fn names_that_an_uninstallation_could_not_delete_go_when_it_is_asked_for_again() {
    let machine = Simulated::new();
    machine.start();
    let kernel = machine.kernel();
    let admin = kernel.administrator();
    let provider = kernel.program(Who::Administrator).open_admin();
    let reply = admin.register("grace@example.net", &[ADDRESS]).unwrap();
    assert_eq!(reply.provider, EXAMPLE);
    machine.machine().inject(files::Fault {
        operation: files::Operation::DeleteFile,
        after: 0,
        times: 1,
        status: NtStatus::IO_DEVICE_ERROR,
    });
    let uninstall = || answered(provider.client().uninstall(EXAMPLE, true));
    assert_eq!(uninstall(), Err(WsaCode::WSASYSCALLFAILURE));
    assert_eq!(uninstall(), Ok(()));
    assert_eq!(uninstall(), Err(WsaCode::WSAEINVAL), "nothing is left of it");
    drop((admin, provider));
    machine.end();
}
