//! What a primitive driver package installs, and the rules that it must keep.

use super::parse::{Entry, Inf, Section};
use super::registry_values::{RegistryValue, number};
use super::{InfError, stamp};

/// The directory number of the package's own folder in the driver store.
const DRIVER_STORE: &str = "13";
/// `SPSVCINST_ASSOCSERVICE`: the service is the function driver of a device.
const ASSOCSERVICE: u32 = 0x0000_0002;
/// `SPSVCINST_STARTSERVICE`: start the service once it is installed.
const STARTSERVICE: u32 = 0x0000_0800;
/// `SERVICE_KERNEL_DRIVER`.
const KERNEL_DRIVER: u32 = 1;
/// `SERVICE_DEMAND_START`.
const DEMAND_START: u32 = 3;
/// The endings that an install section of any architecture may have.
const ARCHITECTURES: [&str; 4] = ["amd64", "arm64", "x86", "arm"];

/// What one INF file installs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The name of the catalog file, which also names the package.
    pub catalog: String,
    /// The files that go to the driver store.
    pub files: Vec<String>,
    /// The services that are made.
    pub services: Vec<ServiceEntry>,
}

/// One service of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// The service's name.
    pub name: String,
    /// What a person sees as its name; empty if not given.
    pub display_name: String,
    /// `SERVICE_*_START`.
    pub start_type: u32,
    /// `SERVICE_ERROR_*`.
    pub error_control: u32,
    /// The driver's file name; it is one of [`Package::files`].
    pub binary: String,
    /// Whether the service starts as soon as it is installed.
    pub start_now: bool,
    /// The values below the service's key.
    pub registry: Vec<RegistryValue>,
}

impl Package {
    /// Stamps, parses and checks an INF file for `architecture` (`amd64`, `arm64`).
    ///
    /// # Errors
    ///
    /// Returns the first fault.
    pub fn read(text: &str, architecture: &str, kmdf_version: &str) -> Result<Self, InfError> {
        let inf = Inf::parse(&stamp(text, architecture, kmdf_version))?;
        let catalog = check_version(&inf)?;
        check_kind(&inf)?;
        let install = format!("DefaultInstall.NT{architecture}");
        let section = inf.section(&install).ok_or_else(|| {
            InfError::whole(format!(
                "no [{install}] section: the package is not for this architecture"
            ))
        })?;
        let files = copied_files(&inf, section)?;
        let services = services(&inf, &install, &files)?;
        check_wdf(&inf, &install, kmdf_version, &services)?;
        Ok(Self {
            catalog,
            files,
            services,
        })
    }
}

/// Checks the `[Version]` section and returns the name of the catalog.
fn check_version(inf: &Inf) -> Result<String, InfError> {
    let version = need(inf, "Version")?;
    let signature = value(version, "Signature")?;
    if !signature.field(0).eq_ignore_ascii_case("$WINDOWS NT$") {
        return Err(InfError::at(signature.line, "Signature must be \"$WINDOWS NT$\""));
    }
    value(version, "Class")?;
    value(version, "Provider")?;
    let class = value(version, "ClassGuid")?;
    if !is_guid(class.field(0)) {
        return Err(InfError::at(
            class.line,
            "ClassGuid is not of the form {8-4-4-4-12}",
        ));
    }
    let lockdown = value(version, "PnpLockdown")?;
    if lockdown.field(0) != "1" {
        return Err(InfError::at(lockdown.line, "PnpLockdown must be 1"));
    }
    if version.entry("DriverVer").is_none() {
        return Err(InfError::at(version.line, "no DriverVer entry; it may be empty"));
    }
    let catalog = value(version, "CatalogFile")?;
    if !is_file_name(catalog.field(0)) {
        return Err(InfError::at(catalog.line, "CatalogFile is not a plain file name"));
    }
    Ok(catalog.field(0).to_owned())
}

/// Checks that this is a primitive package: no devices, decorated install sections, no section
/// that describes the removal.
fn check_kind(inf: &Inf) -> Result<(), InfError> {
    for section in inf.sections() {
        let name = section.name.to_ascii_lowercase();
        if name == "manufacturer" {
            return Err(InfError::at(
                section.line,
                "a primitive package has no [Manufacturer] section",
            ));
        }
        if name.starts_with("defaultuninstall") {
            return Err(InfError::at(
                section.line,
                "a primitive package has no [DefaultUninstall] section: removal undoes what was \
                 installed",
            ));
        }
        let Some(decoration) = name.strip_prefix("defaultinstall") else {
            continue;
        };
        let known = decoration.strip_prefix(".nt").is_some_and(|rest| {
            let architecture = rest.split('.').next().unwrap_or("");
            ARCHITECTURES.contains(&architecture)
        });
        if !known {
            return Err(InfError::at(
                section.line,
                format!(
                    "[{}] does not name an architecture, as .NTamd64 does",
                    section.name
                ),
            ));
        }
    }
    Ok(())
}

/// Follows CopyFiles and checks every file against the source and destination sections.
fn copied_files(inf: &Inf, install: &Section) -> Result<Vec<String>, InfError> {
    let destinations = need(inf, "DestinationDirs")?;
    for entry in &destinations.entries {
        if entry.field(0) != DRIVER_STORE || !entry.field(1).is_empty() {
            return Err(InfError::at(
                entry.line,
                "files may go to directory 13 only, the package's folder in the driver store",
            ));
        }
    }
    let mut files: Vec<String> = Vec::new();
    for copy in install.entries.iter().filter(|entry| entry.is("CopyFiles")) {
        for list in &copy.fields {
            let found = if let Some(file) = list.strip_prefix('@') {
                check_destination(destinations, "DefaultDestDir", copy.line)?;
                vec![(copy.line, file.to_owned())]
            } else {
                check_destination(destinations, list, copy.line)?;
                file_list(inf, list, copy.line)?
            };
            for (line, file) in found {
                check_source(inf, &file, line)?;
                if files.iter().any(|old| old.eq_ignore_ascii_case(&file)) {
                    return Err(InfError::at(line, format!("{file} is copied twice")));
                }
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        return Err(InfError::at(install.line, "the install section copies no file"));
    }
    Ok(files)
}

fn check_destination(destinations: &Section, list: &str, line: u32) -> Result<(), InfError> {
    if destinations
        .entry(list)
        .or_else(|| destinations.entry("DefaultDestDir"))
        .is_none()
    {
        return Err(InfError::at(
            line,
            format!("[DestinationDirs] has no folder for {list}"),
        ));
    }
    Ok(())
}

fn file_list(inf: &Inf, list: &str, line: u32) -> Result<Vec<(u32, String)>, InfError> {
    let section = inf
        .section(list)
        .ok_or_else(|| InfError::at(line, format!("there is no section [{list}]")))?;
    let file = |entry: &Entry| {
        let name = entry.field(0);
        if entry.key.is_some() || !is_file_name(name) {
            return Err(InfError::at(entry.line, "not a file name"));
        }
        if !entry.field(1).is_empty() && !entry.field(1).eq_ignore_ascii_case(name) {
            return Err(InfError::at(
                entry.line,
                "a file must not be renamed while it is copied",
            ));
        }
        Ok((entry.line, name.to_owned()))
    };
    section.entries.iter().map(file).collect()
}

fn check_source(inf: &Inf, file: &str, line: u32) -> Result<(), InfError> {
    if !is_file_name(file) {
        return Err(InfError::at(line, format!("{file:?} is not a file name")));
    }
    let entry = need(inf, "SourceDisksFiles")?
        .entry(file)
        .ok_or_else(|| InfError::at(line, format!("{file} is not listed in [SourceDisksFiles]")))?;
    if !entry.field(1).is_empty() {
        return Err(InfError::at(
            entry.line,
            "the file is in a subfolder of the package, but goes to its top",
        ));
    }
    if need(inf, "SourceDisksNames")?.entry(entry.field(0)).is_none() {
        return Err(InfError::at(
            entry.line,
            format!("disk {:?} is not listed in [SourceDisksNames]", entry.field(0)),
        ));
    }
    Ok(())
}

fn services(inf: &Inf, install: &str, files: &[String]) -> Result<Vec<ServiceEntry>, InfError> {
    let section = need(inf, &format!("{install}.Services"))?;
    let mut services: Vec<ServiceEntry> = Vec::new();
    for entry in &section.entries {
        if !entry.is("AddService") {
            return Err(InfError::at(entry.line, "only AddService is supported here"));
        }
        let service = service(inf, entry, files)?;
        if services
            .iter()
            .any(|old| old.name.eq_ignore_ascii_case(&service.name))
        {
            return Err(InfError::at(
                entry.line,
                format!("{} is there twice", service.name),
            ));
        }
        services.push(service);
    }
    if services.is_empty() {
        return Err(InfError::at(section.line, "the package makes no service"));
    }
    Ok(services)
}

fn service(inf: &Inf, add: &Entry, files: &[String]) -> Result<ServiceEntry, InfError> {
    let name = add.field(0);
    if name.is_empty() || name.contains(['\\', '/']) {
        return Err(InfError::at(add.line, "AddService without a proper service name"));
    }
    let flags = match add.field(1) {
        "" => 0,
        text => number(text).ok_or_else(|| InfError::at(add.line, format!("flags {text} are no number")))?,
    };
    if flags & ASSOCSERVICE != 0 {
        return Err(InfError::at(
            add.line,
            "flag 0x2 is for the function driver of a device; a primitive package has none",
        ));
    }
    if flags & !STARTSERVICE != 0 {
        return Err(InfError::at(
            add.line,
            format!("flags 0x{flags:08X} are not supported"),
        ));
    }
    let section = inf
        .section(add.field(2))
        .ok_or_else(|| InfError::at(add.line, format!("there is no section [{}]", add.field(2))))?;
    let kind = dword(section, "ServiceType")?;
    if kind.1 != KERNEL_DRIVER {
        return Err(InfError::at(kind.0, "ServiceType must be 1, a kernel driver"));
    }
    let start = dword(section, "StartType")?;
    if start.1 != DEMAND_START {
        return Err(InfError::at(
            start.0,
            "StartType must be 3: nothing else starts on this machine",
        ));
    }
    let error = dword(section, "ErrorControl")?;
    if error.1 > 3 {
        return Err(InfError::at(error.0, "ErrorControl is 0 to 3"));
    }
    let binary = value(section, "ServiceBinary")?;
    let file = binary.field(0).strip_prefix("%13%\\").ok_or_else(|| {
        InfError::at(
            binary.line,
            "ServiceBinary must be %13%\\ and a file of the package",
        )
    })?;
    if !files.iter().any(|copied| copied.eq_ignore_ascii_case(file)) {
        return Err(InfError::at(
            binary.line,
            format!("{file} is not copied by this package"),
        ));
    }
    Ok(ServiceEntry {
        name: name.to_owned(),
        display_name: section
            .entry("DisplayName")
            .map_or("", |entry| entry.field(0))
            .to_owned(),
        start_type: start.1,
        error_control: error.1,
        binary: file.to_owned(),
        start_now: flags & STARTSERVICE != 0,
        registry: registry_values(inf, section)?,
    })
}

fn registry_values(inf: &Inf, service: &Section) -> Result<Vec<RegistryValue>, InfError> {
    let mut values = Vec::new();
    for add in service.entries.iter().filter(|entry| entry.is("AddReg")) {
        for name in &add.fields {
            let section = inf
                .section(name)
                .ok_or_else(|| InfError::at(add.line, format!("there is no section [{name}]")))?;
            for entry in &section.entries {
                values.push(RegistryValue::read(entry)?);
            }
        }
    }
    Ok(values)
}

/// Checks the `.Wdf` section, if there is one: it must speak of a service of this package and of
/// a framework version that the machine has.
fn check_wdf(inf: &Inf, install: &str, machine: &str, services: &[ServiceEntry]) -> Result<(), InfError> {
    let Some(section) = inf.section(&format!("{install}.Wdf")) else {
        return Ok(());
    };
    for entry in &section.entries {
        if !entry.is("KmdfService") {
            return Err(InfError::at(entry.line, "only KmdfService is supported here"));
        }
        if !services
            .iter()
            .any(|service| service.name.eq_ignore_ascii_case(entry.field(0)))
        {
            return Err(InfError::at(
                entry.line,
                "KmdfService names no service of this package",
            ));
        }
        let details = inf
            .section(entry.field(1))
            .ok_or_else(|| InfError::at(entry.line, format!("there is no section [{}]", entry.field(1))))?;
        let wanted = value(details, "KmdfLibraryVersion")?;
        let (Some(have), Some(want)) = (version(machine), version(wanted.field(0))) else {
            return Err(InfError::at(
                wanted.line,
                "KmdfLibraryVersion is not of the form 1.31",
            ));
        };
        if want.0 != have.0 || want.1 > have.1 {
            return Err(InfError::at(
                wanted.line,
                format!("needs KMDF {}, but this machine has {machine}", wanted.field(0)),
            ));
        }
    }
    Ok(())
}

fn need<'a>(inf: &'a Inf, name: &str) -> Result<&'a Section, InfError> {
    inf.section(name)
        .ok_or_else(|| InfError::whole(format!("no [{name}] section")))
}

fn value<'a>(section: &'a Section, key: &str) -> Result<&'a Entry, InfError> {
    match section.entry(key) {
        None => Err(InfError::at(
            section.line,
            format!("[{}] has no {key}", section.name),
        )),
        Some(entry) if entry.field(0).is_empty() => Err(InfError::at(entry.line, format!("{key} is empty"))),
        Some(entry) => Ok(entry),
    }
}

fn dword(section: &Section, key: &str) -> Result<(u32, u32), InfError> {
    let entry = value(section, key)?;
    let number =
        number(entry.field(0)).ok_or_else(|| InfError::at(entry.line, format!("{key} is no number")))?;
    Ok((entry.line, number))
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|'])
}

fn is_guid(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return false;
    };
    let lengths = [8, 4, 4, 4, 12];
    let groups: Vec<&str> = inner.split('-').collect();
    groups.len() == lengths.len()
        && groups.iter().zip(lengths).all(|(group, length)| {
            group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}
