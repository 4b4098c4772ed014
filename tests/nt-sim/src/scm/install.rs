//! Installing a driver package.

use super::{key_path, put};
use crate::{
    Machine,
    inf::{InfError, Package, RegistryValue, ServiceEntry},
    ntstatus::NtStatus,
    registry::Value,
    trace::Kind,
};

/// The architecture whose install sections apply.
const ARCHITECTURE: &str = "amd64";
/// The framework version of this machine.
const KMDF_VERSION: &str = "1.31";
/// `SERVICE_KERNEL_DRIVER`
const KERNEL_DRIVER: u32 = 1;

impl Machine {
    /// Installs a primitive driver package from the text of its INF file, stamped or not, and returns
    /// the names of its services. The images it copies must be known ([`Machine::add_image`]).
    ///
    /// A service that is there already is updated, its parameters as their flags say; it keeps
    /// running what it runs.
    ///
    /// # Errors
    ///
    /// Returns the first fault of the file with its line. Nothing is changed then.
    pub fn install(&self, inf: &str) -> Result<Vec<String>, InfError> {
        let _entered = self.enter();
        let package = Package::read(inf, ARCHITECTURE, KMDF_VERSION)?;
        for file in &package.files {
            if self.image(file).is_none() {
                return Err(InfError::whole(format!("{file} is not in the package")));
            }
        }
        let store = store_folder(&package, inf);
        for service in &package.services {
            self.write_service(service, &store).map_err(|status| {
                InfError::whole(format!("service {} cannot be written: {status}", service.name))
            })?;
            self.trace().record(|| Kind::Service {
                what: format!("service {}: installed", service.name),
            });
        }
        for service in package.services.iter().filter(|service| service.start_now) {
            self.start(&service.name).map_err(|error| {
                InfError::whole(format!(
                    "service {} is installed but not started: {error}",
                    service.name
                ))
            })?;
        }
        Ok(package.services.into_iter().map(|service| service.name).collect())
    }

    /// Tells whether exactly this package is installed: every service is there and runs its image.
    ///
    /// # Errors
    ///
    /// Returns the first fault of the file with its line.
    pub fn is_installed(&self, inf: &str) -> Result<bool, InfError> {
        let package = Package::read(inf, ARCHITECTURE, KMDF_VERSION)?;
        let store = store_folder(&package, inf);
        Ok(package.services.iter().all(|service| {
            let path = self.registry().get(&key_path(&service.name), "ImagePath");
            path == Some(Value::sz(&format!(r"{store}\{}", service.binary)))
        }))
    }

    fn write_service(&self, service: &ServiceEntry, store: &str) -> Result<(), NtStatus> {
        let name = &service.name;
        put(self, name, "Type", Value::dword(KERNEL_DRIVER))?;
        put(self, name, "Start", Value::dword(service.start_type))?;
        put(self, name, "ErrorControl", Value::dword(service.error_control))?;
        put(
            self,
            name,
            "ImagePath",
            Value::sz(&format!(r"{store}\{}", service.binary)),
        )?;
        if !service.display_name.is_empty() {
            put(self, name, "DisplayName", Value::sz(&service.display_name))?;
        }
        for entry in &service.registry {
            self.add_value(name, entry)?;
        }
        Ok(())
    }

    fn add_value(&self, service: &str, entry: &RegistryValue) -> Result<(), NtStatus> {
        let registry = self.registry();
        let key = registry.create_path(&format!(r"{}\{}", key_path(service), entry.subkey))?;
        let Some((name, value)) = &entry.value else {
            return Ok(());
        };
        if entry.keep_existing && registry.query(key, name).is_ok() {
            return Ok(());
        }
        registry.set(key, name, value.clone())
    }
}

/// Returns the folder of the driver store that a package goes to; another content means another one.
fn store_folder(package: &Package, inf: &str) -> String {
    let stem = package
        .catalog
        .rsplit_once('.')
        .map_or(package.catalog.as_str(), |(stem, _)| stem);
    // FNV-1a: any change of the text shows.
    let hash = inf.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    format!(
        r"\SystemRoot\System32\DriverStore\FileRepository\{}.inf_{ARCHITECTURE}_{hash:016x}",
        stem.to_lowercase()
    )
}
