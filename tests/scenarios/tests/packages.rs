//! What the Windows tools take for granted, and tell only on Windows: the driver packages, the files that
//! build and install them, and numbers that scripts repeat.
//!
//! That an INF file is one of a primitive package is checked whenever it is installed on a simulated
//! machine (`nt_sim::inf`); here is what a machine does not need and `InfVerif` or an
//! administrator does.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use nsemail_contract::{ids, ioctl};
use nsemail_embedded::{CLIENT_INF, PROVIDER_INF};
use nt_sim::inf::{Inf, stamp};
use toml::Table;

const PACKAGES: [(&str, &str, &str); 2] = [
    ("provider-driver", ids::PROVIDER_SERVICE, PROVIDER_INF),
    ("client-driver", ids::CLIENT_SERVICE, CLIENT_INF),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn toml(path: &str) -> Table {
    text(path)
        .parse()
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn members(manifest: &Table, key: &str) -> BTreeSet<String> {
    let members = manifest["workspace"][key].as_array().unwrap();
    members
        .iter()
        .map(|member| member.as_str().unwrap().to_owned())
        .collect()
}

fn parsed(inf: &str) -> Inf {
    Inf::parse(&stamp(inf, "amd64", "1.31")).unwrap()
}

#[test]
fn every_section_of_an_inf_file_is_reached() {
    for (_, service, text) in PACKAGES {
        let inf = parsed(text);
        let named: BTreeSet<String> = inf
            .sections()
            .iter()
            .flat_map(|section| &section.entries)
            .flat_map(|entry| &entry.fields)
            .map(|field| field.to_ascii_lowercase())
            .collect();
        for section in inf.sections() {
            let name = section.name.to_ascii_lowercase();
            let by_rule = [
                "version",
                "destinationdirs",
                "sourcedisksnames",
                "sourcedisksfiles",
                "strings",
            ];
            assert!(
                by_rule.contains(&name.as_str())
                    || name.starts_with("defaultinstall.")
                    || named.contains(&name),
                "{service}: nothing leads to [{}]",
                section.name
            );
        }
    }
}

#[test]
fn an_inf_file_has_the_sections_of_a_primitive_package_and_of_a_driver_of_the_framework() {
    for (_, service, text) in PACKAGES {
        let inf = Inf::parse(text).unwrap();
        for section in [
            "Version",
            "DestinationDirs",
            "SourceDisksNames",
            "SourceDisksFiles",
            "DefaultInstall.NT$ARCH$",
            "DefaultInstall.NT$ARCH$.Services",
            "DefaultInstall.NT$ARCH$.Wdf",
            "Strings",
        ] {
            assert!(inf.section(section).is_some(), "{service} has no [{section}]");
        }
        let destinations = &inf.section("DestinationDirs").unwrap().entries;
        assert!(
            destinations.iter().all(|entry| entry.field(0) == "13"),
            "{service}"
        );
        let install = inf.section("Service_Inst").unwrap();
        for (key, value) in [
            ("ServiceType", "1"),
            ("StartType", "3"),
            ("ErrorControl", "1"),
            ("ServiceBinary", &format!(r"%13%\{service}.sys")),
        ] {
            assert_eq!(install.entry(key).unwrap().field(0), value, "{service}: {key}");
        }
        assert!(
            text.is_ascii(),
            "{service}: InfVerif takes no other text without a byte order mark"
        );
    }
}

#[test]
fn every_string_of_an_inf_file_is_used() {
    for (_, service, text) in PACKAGES {
        for entry in &parsed(text).section("Strings").unwrap().entries {
            let name = entry.key.as_deref().unwrap();
            assert!(
                text.contains(&format!("%{name}%")),
                "{service}: {name} is not used"
            );
        }
    }
}

#[test]
fn a_package_leaves_to_the_tools_what_they_stamp_and_to_windows_what_it_decides() {
    for (_, service, text) in PACKAGES {
        let inf = Inf::parse(text).unwrap();
        let version = inf.section("Version").unwrap();
        assert_eq!(
            version.entry("DriverVer").unwrap().field(0),
            "",
            "{service}: stampinf sets it"
        );
        assert_eq!(
            version.entry("CatalogFile").unwrap().field(0),
            format!("{service}.cat")
        );
        assert!(inf.section("DefaultInstall.NT$ARCH$").is_some(), "{service}");
        // A primitive package has no device, so no class to install.
        assert!(
            inf.sections()
                .iter()
                .all(|section| !section.name.starts_with("ClassInstall32")),
            "{service}"
        );
    }
}

#[test]
fn no_service_waits_for_another() {
    for (_, service, text) in PACKAGES {
        let inf = parsed(text);
        let install = inf.section("Service_Inst").unwrap();
        // With it, service control would refuse to stop the provider driver while the client driver runs.
        for key in ["Dependencies", "LoadOrderGroup"] {
            assert!(install.entry(key).is_none(), "{service} has {key}");
        }
    }
}

#[test]
fn both_packages_are_of_one_class_that_is_theirs() {
    let class = |inf: &str| {
        let inf = parsed(inf);
        let version = inf.section("Version").unwrap();
        ["Class", "ClassGuid", "Provider"].map(|key| version.entry(key).unwrap().field(0).to_owned())
    };
    assert_eq!(class(PROVIDER_INF), class(CLIENT_INF));
    // InfVerif accepts it from Microsoft's samples only.
    assert_ne!(class(CLIENT_INF)[0], "Sample");
}

#[test]
fn the_tools_find_each_inf_file_under_the_name_of_its_crate() {
    for (folder, service, inf) in PACKAGES {
        let manifest = toml(&format!("{folder}/Cargo.toml"));
        let package = manifest["package"]["name"].as_str().unwrap().replace('-', "_");
        assert_eq!(package, service);
        assert_eq!(text(&format!("inf/{package}.inx")), inf);
        // Its copy there is made by the build and kept out of the repository.
        let ignored = text(&format!("{folder}/.gitignore"));
        assert!(ignored.lines().any(|line| line == "/*.inx"), "{folder}");
    }
}

#[test]
fn only_the_shells_are_drivers_and_only_they_are_packaged() {
    let manifest = toml("Cargo.toml");
    let all = members(&manifest, "members");
    let drivers: BTreeSet<String> = all
        .iter()
        .filter(|member| {
            let manifest = toml(&format!("{member}/Cargo.toml"));
            let metadata = manifest["package"]
                .get("metadata")
                .and_then(|metadata| metadata.get("wdk"));
            // One configuration for the workspace; each driver takes it with an empty table.
            assert!(
                metadata.is_none_or(|wdk| wdk.as_table().unwrap().is_empty()),
                "{member}"
            );
            metadata.is_some()
        })
        .cloned()
        .collect();
    assert_eq!(drivers, PACKAGES.map(|(folder, ..)| folder.to_owned()).into());
    assert!(drivers.is_disjoint(&members(&manifest, "default-members")));

    let tasks = toml("Makefile.toml");
    let packaged = tasks["env"]["CARGO_MAKE_WORKSPACE_INCLUDE_MEMBERS"]
        .as_array()
        .unwrap();
    let packaged: BTreeSet<String> = packaged
        .iter()
        .map(|member| member.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(packaged, drivers);
}

#[test]
fn the_framework_is_the_one_of_windows_10_2004() {
    let manifest = toml("Cargo.toml");
    let model = &manifest["workspace"]["metadata"]["wdk"]["driver-model"];
    assert_eq!(model["driver-type"].as_str(), Some("KMDF"));
    assert_eq!(model["kmdf-version-major"].as_integer(), Some(1));
    assert_eq!(model["target-kmdf-version-minor"].as_integer(), Some(31));
}

#[test]
fn every_task_finds_its_script() {
    for makefile in [
        "Makefile.toml",
        "client-driver/Makefile.toml",
        "provider-driver/Makefile.toml",
    ] {
        let makefile = toml(makefile);
        let tasks = makefile.get("tasks").and_then(|tasks| tasks.as_table());
        for (name, task) in tasks.into_iter().flatten() {
            let arguments = task.get("args").and_then(|args| args.as_array());
            for argument in arguments
                .into_iter()
                .flatten()
                .filter_map(|argument| argument.as_str())
            {
                // A staged folder has the same scripts.
                let script = argument.replace("${WDK_BUILD_OUTPUT_DIRECTORY}/nsemail_lab", "tests/windows");
                let is_script = Path::new(&script)
                    .extension()
                    .is_some_and(|extension| extension == "ps1");
                assert!(!is_script || root().join(&script).is_file(), "{name}: {script}");
            }
        }
    }
}

#[test]
fn scripts_say_the_numbers_and_names_that_the_drivers_do() {
    let device = text("tests/windows/Device.psm1");
    assert!(device.contains(&format!("0x{:04X}0000L", ioctl::DEVICE_TYPE)));
    assert!(device.contains(r"'\\.\NsEmail'"));

    let scenarios = text("tests/windows/Scenarios.psm1");
    let code = |function: u32, access: u32| (ioctl::DEVICE_TYPE << 16) | (access << 14) | (function << 2);
    for (call, code, name) in [
        ("Get-ControlCode 0x803 1", code(0x803, 1), "LOOKUP"),
        ("Get-ControlCode 0x805 2", code(0x805, 2), "SET_SERVICE"),
        ("Get-ControlCode 0x806 1", code(0x806, 1), "PROVIDERS"),
        ("Get-ControlCode 0x900 1", code(0x900, 1), ""),
    ] {
        assert!(scenarios.contains(call), "{call}");
        assert_eq!(ioctl::name(code).unwrap_or_default(), name);
    }
    assert!(scenarios.contains(&format!("'{}'", ids::DEFAULT_PROVIDER)));

    let lab = text("tests/windows/Lab.psm1");
    for (_, service, _) in PACKAGES {
        assert!(lab.contains(&format!("'{service}'")));
        assert!(text("tests/windows/Gates.psm1").contains(&format!("'{service}.sys'")));
    }
}

#[test]
fn scripts_are_ascii_as_windows_powershell_reads_them() {
    // Without a byte order mark it takes a file for one in the code page of the machine.
    let scripts = fs::read_dir(root().join("tests/windows"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let scripts = scripts.filter(|path| path.extension().is_some_and(|extension| extension != "md"));
    for script in scripts {
        assert!(fs::read(&script).unwrap().is_ascii(), "{}", script.display());
    }
}
