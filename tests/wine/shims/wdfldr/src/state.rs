//! What this module keeps beside the model: drivers, devices, files and requests under way.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};

use kmdf_model::{DeviceId, DeviceObject, DriverId, FileId, IrpId, Kmdf};
use sim_platform::{
    Event, Lock,
    nt::{DRIVER_OBJECT, NTSTATUS, PDRIVER_OBJECT},
};
use wine_kernel::{KernelEvent, Lazy, SrwLock, nt::Irp};

use crate::host::WineHost;

/// The framework of this process; all drivers of a service group share it.
static KMDF: Lazy<Kmdf<WineHost>> = Lazy::new();

/// The model.
pub fn kmdf() -> &'static Kmdf<WineHost> {
    KMDF.get(|| {
        wine_kernel::pin();
        Kmdf::new(WineHost::new())
    })
}

/// What is kept; the lock is held for single steps only.
pub type Shared = SrwLock<State>;

/// What is kept.
#[derive(Default)]
pub struct State {
    last_driver: usize,
    last_irp: usize,
    pub drivers: Vec<Driver>,
    pub devices: BTreeMap<DeviceObject, Device>,
    pub irps: BTreeMap<IrpId, Pending>,
    /// Files whose opening was refused, with the answer: Wine does not tell who opens them.
    refused: BTreeMap<(DeviceObject, FileId), NTSTATUS>,
}

/// A driver that is bound.
pub struct Driver {
    pub id: DriverId,
    pub name: String,
    pub object: Object,
    /// Whether it is to be unloaded as soon as no file is open.
    pub unloading: bool,
    /// Set when a file was closed.
    pub closed: Arc<KernelEvent>,
}

/// A driver object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Object(pub PDRIVER_OBJECT);

// SAFETY: the pointer is compared, and handed back to the kernel.
unsafe impl Send for Object {}

/// A device.
pub struct Device {
    pub id: DeviceId,
    pub driver: DriverId,
    pub name: Vec<u16>,
    /// Who may open it, in the security descriptor definition language.
    pub security: Vec<u16>,
    /// Files that are open, or are being opened.
    pub files: BTreeSet<FileId>,
    /// Those of them whose last handle is closed.
    pub closing: BTreeSet<FileId>,
}

/// A request that the framework has.
#[derive(Clone, Copy)]
pub struct Pending {
    pub irp: *mut Irp,
    /// The file that it opens, if that is what it does.
    pub opens: Option<(DeviceObject, FileId)>,
}

// SAFETY: a packet belongs to the framework, on whatever thread, until it is completed.
unsafe impl Send for Pending {}

impl State {
    /// Takes note of a driver.
    pub fn add_driver(&mut self, name: String, object: *mut DRIVER_OBJECT) -> DriverId {
        self.last_driver += 1;
        let id = DriverId(self.last_driver);
        self.drivers.push(Driver {
            id,
            name,
            object: Object(object),
            unloading: false,
            closed: Arc::new(KernelEvent::new()),
        });
        id
    }

    pub fn driver(&mut self, id: DriverId) -> Option<&mut Driver> {
        self.drivers.iter_mut().find(|driver| driver.id == id)
    }

    pub fn driver_of(&mut self, object: PDRIVER_OBJECT) -> Option<&mut Driver> {
        self.drivers.iter_mut().find(|driver| driver.object.0 == object)
    }

    /// Whether a file of one of the driver's devices is open.
    pub fn has_files(&self, id: DriverId) -> bool {
        self.devices
            .values()
            .any(|device| device.driver == id && !device.files.is_empty())
    }

    /// Names a request.
    pub fn add_irp(&mut self, irp: *mut Irp, opens: Option<(DeviceObject, FileId)>) -> IrpId {
        self.last_irp += 1;
        let id = IrpId(self.last_irp);
        self.irps.insert(id, Pending { irp, opens });
        id
    }

    /// Takes note that the opening of a file is refused.
    pub fn refuse(&mut self, device: DeviceObject, file: FileId, status: NTSTATUS) {
        self.refused.insert((device, file), status);
    }

    /// What the opening of a file was answered.
    pub fn opened(&self, device: DeviceObject, file: FileId) -> NTSTATUS {
        self.refused.get(&(device, file)).copied().unwrap_or_default()
    }

    /// Takes note that the last handle of a file is closed; tells whether that was news.
    pub fn begin_close(&mut self, device: DeviceObject, file: FileId) -> bool {
        let device = self.devices.get_mut(&device);
        device.is_some_and(|device| device.files.contains(&file) && device.closing.insert(file))
    }

    /// Forgets a file; the event to set if its driver waits for that.
    pub fn forget_file(&mut self, device: DeviceObject, file: FileId) -> Option<Arc<KernelEvent>> {
        self.refused.remove(&(device, file));
        let device = self.devices.get_mut(&device)?;
        device.files.remove(&file);
        device.closing.remove(&file);
        let driver = device.driver;
        self.driver(driver).map(|driver| Arc::clone(&driver.closed))
    }
}

/// Makes an empty state.
pub fn new() -> Shared {
    Shared::new(State::default())
}
