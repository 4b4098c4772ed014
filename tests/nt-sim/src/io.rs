//! The I/O manager: devices and their names, processes, handles, requests.
//!
//! Towards drivers (by way of their framework): [`NewDevice`] and the functions of this module make
//! devices and symbolic links; [`Dispatch`] takes an [`Irp`], which ends by [`Irp::complete`].
//! Towards tests and tools: [`Process`] opens devices and sends requests from many threads.
//!
//! Rules, as on Windows:
//! - the security descriptor decides when a device is opened, and the access bits of a control code
//!   decide for each request, before the driver sees it;
//! - cleanup comes when the last handle of a file is closed, and close after the last request of the
//!   file besides; a file whose create failed gets neither;
//! - a driver is not unloaded while a file of one of its devices is open; meanwhile open files work and
//!   new opens are refused with `STATUS_NO_SUCH_DEVICE`;
//! - no lock of this module is held while a driver runs.

mod buffer;
mod device;
mod identity;
mod irp;
mod namespace;
mod process;
pub mod sddl;
mod step;
mod under_way;

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use buffer::SpareBuffers;
pub use device::{Device, DeviceId, Dispatch, FileId, FileObject, NewDevice};
pub use identity::Identity;
pub use irp::{Completion, Irp, IrpId, Major};
use namespace::Namespace;
use process::ProcessState;
pub use process::{Access, FileHandle, PendingCall, Process};
pub use step::{RequestEvent, RequestStep};
pub(crate) use under_way::UnderWay;

use crate::{DriverName, Machine, machine::Config, ntstatus::NtStatus, sync::StateLock};

/// What this module keeps per machine.
#[derive(Debug, Default)]
pub(crate) struct State {
    ids: AtomicU64,
    namespace: StateLock<Namespace>,
    processes: StateLock<Vec<Weak<ProcessState>>>,
    buffers: SpareBuffers,
}

impl State {
    /// The state of a machine that was just built.
    pub(crate) fn new(_config: &Config) -> Self {
        Self::default()
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Creates a device that cannot be opened before [`Self::finish_device`].
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_COLLISION`, `OBJECT_NAME_INVALID`, or `INVALID_PARAMETER` for a security
    /// descriptor that cannot be read.
    pub(crate) fn create_device(&self, new: &NewDevice<'_>) -> Result<Arc<Device>, NtStatus> {
        let security = sddl::SecurityDescriptor::parse(new.sddl).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        let device = Arc::new(Device::new(DeviceId(self.next_id()), new, security));
        self.namespace.with(|namespace| namespace.add_device(&device))?;
        Ok(device)
    }

    /// Lets a device be opened.
    pub(crate) fn finish_device(&self, device: DeviceId) {
        self.namespace.with(|namespace| namespace.finish_device(device));
    }

    /// Deletes a device. It cannot be opened any more; files that are open stay.
    pub(crate) fn delete_device(&self, device: DeviceId) {
        self.namespace.with(|namespace| namespace.delete_device(device));
    }

    /// Makes a symbolic link such as `\DosDevices\NsEmail` to a full device name.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_COLLISION` or `OBJECT_NAME_INVALID`.
    pub(crate) fn create_symbolic_link(
        &self,
        driver: &DriverName,
        link: &str,
        target: &str,
    ) -> Result<(), NtStatus> {
        self.namespace
            .with(|namespace| namespace.add_link(driver, link, target))
    }

    /// Removes a symbolic link.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND`.
    pub(crate) fn delete_symbolic_link(&self, link: &str) -> Result<(), NtStatus> {
        self.namespace.with(|namespace| namespace.remove_link(link))
    }

    /// Finds the device for a name that is being opened, and what of the name is beyond the device.
    fn resolve(&self, path: &str) -> Result<(Arc<Device>, String), NtStatus> {
        self.namespace.with(|namespace| namespace.resolve(path))
    }

    /// Counts a file of a device, unless its driver waits to be unloaded or the device is deleted.
    fn reference(&self, device: &Arc<Device>) -> Result<(), NtStatus> {
        self.namespace.with(|namespace| namespace.reference(device))
    }

    /// A file of a device is gone; if its driver waits for that, it is unloaded now.
    fn dereference(&self, machine: &Machine, device: &Device) {
        if self.namespace.with(|namespace| namespace.dereference(device)) {
            crate::scm::unload_now(machine, device.driver());
        }
    }

    fn file_closed(&self, machine: &Machine, file: &FileObject) {
        self.dereference(machine, file.device());
    }

    /// Refuses new files of a driver's devices from now on. Tells whether no file is open, so that the
    /// driver can be unloaded at once; otherwise `scm::unload_now` is called when the last one closes.
    pub(crate) fn begin_unload(&self, driver: &DriverName) -> bool {
        self.namespace.with(|namespace| namespace.begin_unload(driver))
    }

    /// Forgets a driver that is not loaded any more, and returns the names of devices and links that
    /// it left behind. They are removed.
    pub(crate) fn end_unload(&self, driver: &DriverName) -> Vec<String> {
        self.namespace.with(|namespace| namespace.end_unload(driver))
    }
}

impl Machine {
    /// Starts a process of user mode.
    #[must_use]
    pub fn process(&self, identity: Identity) -> Process {
        let io = self.io_state();
        let state = ProcessState::new(io.next_id(), identity);
        io.processes.with(|processes| {
            processes.retain(|process| process.strong_count() > 0);
            processes.push(Arc::downgrade(&state));
        });
        Process::new(self.clone(), state)
    }
}

/// What a framework, or a test that stands for a driver, does with devices.
impl Machine {
    /// Creates a device (`IoCreateDeviceSecure`) that cannot be opened before
    /// [`Machine::finish_device`].
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_COLLISION`, `OBJECT_NAME_INVALID`, or `INVALID_PARAMETER` for a security
    /// descriptor that cannot be read.
    pub fn create_device(&self, new: &NewDevice<'_>) -> Result<DeviceId, NtStatus> {
        self.io_state().create_device(new).map(|device| device.id())
    }

    /// Lets a device be opened (clears `DO_DEVICE_INITIALIZING`).
    pub fn finish_device(&self, device: DeviceId) {
        self.io_state().finish_device(device);
    }

    /// Deletes a device (`IoDeleteDevice`). It cannot be opened any more; files that are open stay.
    pub fn delete_device(&self, device: DeviceId) {
        self.io_state().delete_device(device);
    }

    /// Makes a symbolic link such as `\DosDevices\NsEmail` to a full device name
    /// (`IoCreateSymbolicLink`).
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_COLLISION` or `OBJECT_NAME_INVALID`.
    pub fn create_symbolic_link(
        &self,
        driver: &DriverName,
        link: &str,
        target: &str,
    ) -> Result<(), NtStatus> {
        self.io_state().create_symbolic_link(driver, link, target)
    }

    /// Removes a symbolic link (`IoDeleteSymbolicLink`).
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND`.
    pub fn delete_symbolic_link(&self, link: &str) -> Result<(), NtStatus> {
        self.io_state().delete_symbolic_link(link)
    }
}

/// Ends all processes; what they have open would keep drivers loaded.
pub(crate) fn shutdown(machine: &Machine) {
    let processes: Vec<Arc<ProcessState>> = machine
        .io_state()
        .processes
        .with(core::mem::take)
        .iter()
        .filter_map(Weak::upgrade)
        .filter(|process| process.has_open_files())
        .collect();
    for process in processes {
        Process::new(machine.clone(), process).kill();
    }
}
