//! A machine with the client driver and provider drivers that do what a test says.
#![allow(dead_code, reason = "no test uses all of it")]

pub mod program;
pub mod provider;

use std::sync::{Arc, Mutex};

use nsemail_contract::ids::CLIENT_SERVICE;
use nsemail_probe::EmailProbe;
use nt_sim::scm::StopOutcome;
use nt_sim::{DriverImage, Machine, Report};

use program::Program;
use provider::Module;

/// The services of the two provider drivers that a rig may have.
pub const PROVIDERS: [&str; 2] = ["first_provider", "second_provider"];

/// What the provider drivers of one machine consist of.
struct Plan {
    machine: Machine,
    modules: [Vec<Arc<Module>>; 2],
}

static PLANS: Mutex<Vec<Plan>> = Mutex::new(Vec::new());

/// The modules of a provider driver on the current machine. An entry point cannot carry state.
fn modules(driver: usize) -> Vec<Arc<Module>> {
    let machine = Machine::current();
    let of_machine = |plan: &&Plan| plan.machine.is(&machine);
    let modules = PLANS
        .lock()
        .unwrap()
        .iter()
        .find(of_machine)
        .map(|plan| plan.modules[driver].clone());
    modules.expect("a rig's machine")
}

/// A machine with everything installed.
pub struct Rig {
    pub machine: Machine,
}

impl Rig {
    /// All is installed, nothing runs.
    pub fn installed(first: Vec<Arc<Module>>, second: Vec<Arc<Module>>) -> Self {
        let machine = Machine::builder().probe(EmailProbe).build().unwrap();
        PLANS.lock().unwrap().push(Plan {
            machine: machine.clone(),
            modules: [first, second],
        });
        machine.add_image(DriverImage {
            file_name: "nsemail_client.sys".to_owned(),
            entry: nsemail_client_core::driver_entry,
            pool_tag_prefix: *b"Nsc",
        });
        machine
            .install(include_str!("../../../../inf/nsemail_client.inx"))
            .unwrap();
        for ((service, entry), pool_tag_prefix) in
            PROVIDERS.into_iter().zip(provider::ENTRIES).zip(provider::TAGS)
        {
            let image = DriverImage {
                file_name: format!("{service}.sys"),
                entry,
                pool_tag_prefix,
            };
            machine.add_image(image);
            machine.install(&INF.replace("SERVICE", service)).unwrap();
        }
        Self { machine }
    }

    /// One provider driver, the client driver, both started.
    pub fn new(modules: Vec<Arc<Module>>) -> Self {
        let rig = Self::installed(modules, Vec::new());
        rig.machine.start(PROVIDERS[0]).unwrap();
        rig.machine.start(CLIENT_SERVICE).unwrap();
        rig
    }

    /// A program with write access.
    pub fn program(&self) -> Program {
        Program::open(&self.machine)
    }

    /// Stops everything and demands that nothing was wrong.
    pub fn shutdown(self) {
        self.report().assert_clean();
    }

    pub fn report(&self) -> Report {
        let report = self.machine.shutdown();
        PLANS
            .lock()
            .unwrap()
            .retain(|plan| !plan.machine.is(&self.machine));
        report
    }

    pub fn stop(&self, service: &str) -> StopOutcome {
        self.machine.stop(service).unwrap()
    }
}

const INF: &str = r#"
[Version]
Signature = "$WINDOWS NT$"
Class = Test
ClassGuid = {00000000-1111-2222-3333-444444444444}
Provider = Test
CatalogFile = test.cat
DriverVer =
PnpLockdown = 1
[DestinationDirs]
DefaultDestDir = 13
[SourceDisksNames]
1 = Disk
[SourceDisksFiles]
SERVICE.sys = 1
[DefaultInstall.NT$ARCH$]
CopyFiles = @SERVICE.sys
[DefaultInstall.NT$ARCH$.Services]
AddService = SERVICE,, Service
[Service]
DisplayName = "A provider for tests"
ServiceType = 1
StartType = 3
ErrorControl = 1
ServiceBinary = %13%\SERVICE.sys
"#;

/// Waits until something that another thread does has happened.
#[track_caller]
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if happened() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("never: {what}");
}
