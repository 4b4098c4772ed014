//! Both real drivers start, meet, and stop on the embedded machine.

use nsemail_contract::ids;
use nsemail_embedded::{Embedded, Options, Order, PROVIDER_PARAMETERS};
use nt_sim::{
    io::{Access, Identity},
    ntstatus::NtStatus,
    scm::{ServiceState, StopOutcome},
};

#[test]
fn both_drivers_start_and_stop_in_either_order() {
    for order in [Order::ProviderFirst, Order::ClientFirst] {
        let machine = Embedded::boot(Options::new().order(order)).unwrap();
        for service in [ids::PROVIDER_SERVICE, ids::CLIENT_SERVICE] {
            assert_eq!(machine.query(service), Ok(ServiceState::Running));
        }
        machine.shutdown().assert_clean();
    }
}

#[test]
fn each_driver_can_be_stopped_first() {
    for first in [ids::PROVIDER_SERVICE, ids::CLIENT_SERVICE] {
        let machine = Embedded::boot(Options::new()).unwrap();
        assert_eq!(machine.stop(first), Ok(StopOutcome::Stopped));
        machine.shutdown().assert_clean();
    }
}

#[test]
fn everyone_opens_the_client_and_administrators_the_provider() {
    let machine = Embedded::boot(Options::new()).unwrap();
    let user = machine.process(Identity::User);
    let administrator = machine.process(Identity::Administrator);
    for (process, access, path, expected) in [
        (&user, Access::READ, ids::CLIENT_PATH, Ok(())),
        (
            &user,
            Access::READ_WRITE,
            ids::CLIENT_PATH,
            Err(NtStatus::ACCESS_DENIED),
        ),
        (
            &user,
            Access::READ,
            ids::PROVIDER_PATH,
            Err(NtStatus::ACCESS_DENIED),
        ),
        (&administrator, Access::READ_WRITE, ids::CLIENT_PATH, Ok(())),
        (&administrator, Access::READ_WRITE, ids::PROVIDER_PATH, Ok(())),
    ] {
        let opened = process.open(path, access).map(|_| ());
        assert_eq!(opened, expected, "{:?} {path}", process.identity());
    }
    machine.shutdown().assert_clean();
}

#[test]
fn a_state_folder_serves_one_machine_at_a_time_and_keeps_what_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options::new().state_dir(folder.path());
    let machine = Embedded::boot(options()).unwrap();
    let second = Embedded::boot(options()).unwrap_err();
    assert!(second.to_string().contains("used by another process"), "{second}");
    let key = format!(r"{PROVIDER_PARAMETERS}\Providers\{}", ids::DEFAULT_PROVIDER);
    machine.registry().delete_path(&key).unwrap();
    machine.shutdown().assert_clean();
    // The seed does not come back: the package is installed already.
    let machine = Embedded::boot(options()).unwrap();
    assert!(machine.registry().open_key(None, &key).is_err());
    machine.shutdown().assert_clean();
}
