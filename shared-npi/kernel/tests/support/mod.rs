//! A small driver over the wrappers, and a machine that runs it.
#![allow(dead_code, reason = "each test program uses its part")]

pub mod checks;
pub mod driver;

use nt_sim::scm::Win32Error;
use nt_sim::{DriverImage, Machine};

/// The service of the test driver.
pub const SERVICE: &str = "echo";
/// The path of its device.
pub const PATH: &str = r"\\.\Echo";

/// A control code of the test driver: `METHOD_BUFFERED`, for whoever may read.
#[must_use]
pub const fn code(function: u32) -> u32 {
    (0x22 << 16) | (1 << 14) | ((0x800 + function) << 2)
}

const INF: &str = r#"
[Version]
Signature   = "$WINDOWS NT$"
Class       = Echo
ClassGuid   = {7F1D2C5B-53A0-4E7B-9D5E-0C5D3B1A9E42}
Provider    = %Name%
CatalogFile = echo.cat
DriverVer   =
PnpLockdown = 1

[DestinationDirs]
DefaultDestDir = 13

[SourceDisksNames]
1 = %Name%

[SourceDisksFiles]
echo.sys = 1

[DefaultInstall.NTamd64]
CopyFiles = Files

[Files]
echo.sys

[DefaultInstall.NTamd64.Services]
AddService = echo, , Service

[Service]
ServiceType   = 1
StartType     = 3
ErrorControl  = 1
ServiceBinary = %13%\echo.sys
AddReg        = Parameters

[Parameters]
HKR, Parameters, FailAt, 0x00010001, FAIL_AT

[Strings]
Name = "Echo"
"#;

/// A machine on which the driver is installed; its start fails at step `fail_at`, if that is not 0.
#[must_use]
pub fn machine(fail_at: u32) -> Machine {
    let machine = Machine::builder().in_memory().build().unwrap();
    machine.add_image(DriverImage {
        file_name: "echo.sys".into(),
        entry: driver::driver_entry,
        pool_tag_prefix: *b"Ech",
    });
    let inf = INF.replace("FAIL_AT", &fail_at.to_string());
    assert_eq!(machine.install(&inf).unwrap(), [SERVICE]);
    machine
}

/// A machine on which the driver runs.
#[must_use]
pub fn started() -> Machine {
    let machine = machine(0);
    machine
        .start(SERVICE)
        .unwrap_or_else(|error: Win32Error| panic!("the driver does not start: {error}"));
    machine
}

/// Stops the driver, which must leave nothing behind, and break no rule.
pub fn stop(machine: &Machine) {
    machine.stop(SERVICE).unwrap();
    machine.wait_until_stopped(SERVICE);
    machine.shutdown().assert_clean();
}
