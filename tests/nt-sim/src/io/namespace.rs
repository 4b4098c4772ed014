//! The names of devices, and which of them may be opened.

use std::{collections::HashMap, sync::Arc};

use super::device::{Device, DeviceId};
use crate::{DriverName, ntstatus::NtStatus};

/// Where user mode's names of devices live.
const GLOBAL: &str = r"\GLOBAL??\";

/// All devices and symbolic links of a machine. Names are kept folded to upper case.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    devices: HashMap<DeviceId, Entry>,
    names: HashMap<String, DeviceId>,
    links: HashMap<String, Link>,
    drivers: HashMap<DriverName, DriverFiles>,
}

#[derive(Debug)]
struct Entry {
    device: Arc<Device>,
    initializing: bool,
    files: usize,
}

#[derive(Debug)]
struct Link {
    driver: DriverName,
    target: String,
}

/// What keeps a driver loaded.
#[derive(Debug, Default)]
struct DriverFiles {
    open: usize,
    unloading: bool,
}

/// Brings a name into the form under which it is kept: one directory for all names of user mode,
/// upper case.
fn canonical(path: &str) -> Result<String, NtStatus> {
    let upper = path.to_uppercase();
    let rooted = [
        r"\\.\",
        r"\\?\",
        r"\??\GLOBAL\",
        r"\??\",
        r"\DOSDEVICES\GLOBAL\",
        r"\DOSDEVICES\",
    ]
    .iter()
    .find_map(|prefix| upper.strip_prefix(prefix))
    .map_or_else(|| upper.clone(), |rest| format!("{GLOBAL}{rest}"));
    let bad = !rooted.starts_with('\\') || rooted.len() < 2 || rooted.contains('\0');
    if bad {
        Err(NtStatus::OBJECT_NAME_INVALID)
    } else {
        Ok(rooted)
    }
}

impl Namespace {
    pub(super) fn add_device(&mut self, device: &Arc<Device>) -> Result<(), NtStatus> {
        if let Some(name) = device.name() {
            let name = canonical(name)?;
            if self.names.contains_key(&name) || self.links.contains_key(&name) {
                return Err(NtStatus::OBJECT_NAME_COLLISION);
            }
            self.names.insert(name, device.id());
        }
        let entry = Entry {
            device: Arc::clone(device),
            initializing: true,
            files: 0,
        };
        self.devices.insert(device.id(), entry);
        Ok(())
    }

    pub(super) fn finish_device(&mut self, device: DeviceId) {
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.initializing = false;
        }
    }

    pub(super) fn delete_device(&mut self, device: DeviceId) {
        self.devices.remove(&device);
        self.names.retain(|_, id| *id != device);
    }

    pub(super) fn add_link(&mut self, driver: &DriverName, link: &str, target: &str) -> Result<(), NtStatus> {
        let name = canonical(link)?;
        if self.names.contains_key(&name) || self.links.contains_key(&name) {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        }
        let link = Link {
            driver: driver.clone(),
            target: canonical(target)?,
        };
        self.links.insert(name, link);
        Ok(())
    }

    pub(super) fn remove_link(&mut self, link: &str) -> Result<(), NtStatus> {
        let name = canonical(link)?;
        self.links
            .remove(&name)
            .map(|_| ())
            .ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)
    }

    /// Finds the device whose name, or a link to it, is the longest leading part of `path`.
    pub(super) fn resolve(&self, path: &str) -> Result<(Arc<Device>, String), NtStatus> {
        let name = canonical(path)?;
        let ends = name
            .match_indices('\\')
            .map(|(at, _)| at)
            .skip(1)
            .chain([name.len()]);
        for end in ends.collect::<Vec<usize>>().into_iter().rev() {
            let (head, tail) = name.split_at(end);
            let device_name = self.links.get(head).map_or(head, |link| link.target.as_str());
            let Some(entry) = self.names.get(device_name).and_then(|id| self.devices.get(id)) else {
                continue;
            };
            // The tail as it was written; folding may have changed its length, so count characters.
            let skip = path.chars().count().saturating_sub(tail.chars().count());
            let written: String = path.chars().skip(skip).collect();
            let tail = if written.to_uppercase() == tail {
                written
            } else {
                tail.to_owned()
            };
            return Ok((Arc::clone(&entry.device), tail));
        }
        Err(NtStatus::OBJECT_NAME_NOT_FOUND)
    }

    pub(super) fn reference(&mut self, device: &Arc<Device>) -> Result<(), NtStatus> {
        let entry = self
            .devices
            .get_mut(&device.id())
            .ok_or(NtStatus::NO_SUCH_DEVICE)?;
        let driver = self.drivers.entry(device.driver().clone()).or_default();
        if entry.initializing || driver.unloading {
            return Err(NtStatus::NO_SUCH_DEVICE);
        }
        if device.exclusive() && entry.files > 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        entry.files += 1;
        driver.open += 1;
        Ok(())
    }

    /// Tells whether this was the last file that an unload waited for.
    pub(super) fn dereference(&mut self, device: &Device) -> bool {
        if let Some(entry) = self.devices.get_mut(&device.id()) {
            entry.files = entry.files.saturating_sub(1);
        }
        self.drivers.get_mut(device.driver()).is_some_and(|driver| {
            driver.open = driver.open.saturating_sub(1);
            driver.open == 0 && driver.unloading
        })
    }

    pub(super) fn begin_unload(&mut self, driver: &DriverName) -> bool {
        let driver = self.drivers.entry(driver.clone()).or_default();
        driver.unloading = true;
        driver.open == 0
    }

    pub(super) fn end_unload(&mut self, driver: &DriverName) -> Vec<String> {
        self.drivers.remove(driver);
        let mut left = Vec::new();
        let mut gone = Vec::new();
        for (id, entry) in &self.devices {
            if entry.device.driver() == driver {
                left.push(format!(
                    "device {}",
                    entry.device.name().unwrap_or("without a name")
                ));
                gone.push(*id);
            }
        }
        for id in gone {
            self.delete_device(id);
        }
        self.links.retain(|name, link| {
            let stays = link.driver != *driver;
            if !stays {
                left.push(format!("symbolic link {name}"));
            }
            stays
        });
        left.sort();
        left
    }
}
