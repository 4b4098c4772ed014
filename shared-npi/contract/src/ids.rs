//! What identifies the interface, its modules, its services and its devices.

use crate::guid::Guid;

/// The network programming interface identifier under which both drivers register.
pub const NPIID: Guid = Guid::from_u128(0x5d1c_36a2_8f0b_4e57_9a37_6d1e_c02f_b845);

/// The NMR module id of the client driver.
pub const CLIENT_MODULE_ID: Guid = Guid::from_u128(0x0e4b_7f19_62cd_4a38_b5d1_38f2_79a0_c6ee);

/// The namespace provider that a fresh installation hosts.
///
/// The NMR module id of a hosted namespace provider is its provider GUID.
pub const DEFAULT_PROVIDER: Guid = Guid::from_u128(0x7a90_d3c4_15e6_4b2f_8c6a_f14d_0b92_375d);

/// The namespace of electronic mail addresses (`NS_EMAIL`, winsock2.h).
pub const NS_EMAIL: u32 = 37;
/// All namespaces (`NS_ALL`, winsock2.h); in a query it means the same as [`NS_EMAIL`] here.
pub const NS_ALL: u32 = 0;

/// Name of the client driver's service.
pub const CLIENT_SERVICE: &str = "nsemail_client";
/// Name of the provider driver's service.
pub const PROVIDER_SERVICE: &str = "nsemail_provider";

/// What a program opens to reach the client driver.
pub const CLIENT_PATH: &str = r"\\.\NsEmail";
/// The client driver's control device.
pub const CLIENT_DEVICE: &str = r"\Device\NsEmail";
/// The symbolic link to the client driver's control device.
pub const CLIENT_LINK: &str = r"\DosDevices\NsEmail";

/// What an administrator's program opens to reach the provider driver.
pub const PROVIDER_PATH: &str = r"\\.\NsEmailProvider";
/// The provider driver's control device.
pub const PROVIDER_DEVICE: &str = r"\Device\NsEmailProvider";
/// The symbolic link to the provider driver's control device.
pub const PROVIDER_LINK: &str = r"\DosDevices\NsEmailProvider";
