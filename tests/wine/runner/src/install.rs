//! Installs the drivers from their INF files.

use std::{fs, path::Path};

use nsemail_agent::Order;
use nt_sim::inf::{self, Package, ServiceEntry};

use crate::agent::{Agent, Gone};

/// The INF files, in `inf/`.
pub const FILES: [&str; 2] = ["nsemail_provider.inx", "nsemail_client.inx"];
/// Drivers of one group share a process, and so a registrar.
const GROUP: &str = "NsEmail";
const ARCHITECTURE: &str = "amd64";
const KMDF_VERSION: &str = "1.31";
/// `ERROR_SERVICE_EXISTS`
const SERVICE_EXISTS: u32 = 1073;

/// Reads the packages.
pub fn read(folder: &Path) -> Result<Vec<Package>, String> {
    let package = |file: &str| {
        let path = folder.join(file);
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let bytes = fs::read(&path).map_err(|error| failed(&error))?;
        let text = inf::decode(&bytes).map_err(|error| failed(&error))?;
        Package::read(&text, ARCHITECTURE, KMDF_VERSION).map_err(|error| failed(&error))
    };
    FILES.into_iter().map(package).collect()
}

fn gone(Gone: Gone) -> String {
    "the program that installs is gone".to_owned()
}

/// Makes a service, unless it is there.
pub fn create(agent: &Agent, service: &ServiceEntry, group: &str) -> Result<(), String> {
    let image = format!(r"C:\windows\system32\drivers\{}", service.binary);
    let created = agent
        .ask(Order::CreateService, |message| {
            message
                .text(&service.name)
                .text(&service.display_name)
                .text(&image)
                .text(group)
                .number(service.start_type)
                .number(service.error_control)
        })
        .map_err(gone)?
        .number();
    if created != 0 && created != SERVICE_EXISTS {
        return Err(format!("{} cannot be installed: error {created}", service.name));
    }
    Ok(())
}

/// Makes the services as they are on a fresh machine; whatever values are there already go.
pub fn install(agent: &Agent, packages: &[Package]) -> Result<(), String> {
    for service in packages.iter().flat_map(|package| &package.services) {
        create(agent, service, GROUP)?;
        let key = format!(r"SYSTEM\CurrentControlSet\Services\{}", service.name);
        let parameters = format!(r"{key}\Parameters");
        // There may be none.
        agent
            .ask(Order::DeleteKey, |message| message.text(&parameters))
            .map_err(gone)?;
        for entry in &service.registry {
            let Some((name, value)) = &entry.value else {
                continue;
            };
            let path = format!(r"{key}\{}", entry.subkey);
            let set = agent
                .ask(Order::SetValue, |message| {
                    message
                        .text(&path)
                        .text(name)
                        .number(value.kind)
                        .bytes(&value.data)
                })
                .map_err(gone)?
                .number();
            if set != 0 {
                return Err(format!("{path}: value {name} cannot be set: error {set}"));
            }
        }
    }
    Ok(())
}
