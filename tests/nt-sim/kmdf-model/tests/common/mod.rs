//! A small machine and a small driver for the tests of the model.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(
    clippy::significant_drop_tightening,
    reason = "what the machine has seen is noted and read as a whole"
)]

pub mod machine;

use std::{
    cell::RefCell,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use kmdf_model::{
    CreateIrp, DeviceControlIrp, DeviceId, DriverId, FileId, IrpId, Kmdf, Requestor, Rule, types::*,
};
use machine::{Ended, Seen, TestHost, guard};
use sim_platform::nt::*;

thread_local! {
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// Calls a function of the framework as the driver of a world.
macro_rules! wdf {
    ($world:expr, $name:ident $(, $argument:expr)* $(,)?) => {{
        let world: &$crate::common::World = &$world;
        // SAFETY: the tests pass pointers to their own variables, and callbacks that stay.
        unsafe { world.kmdf.$name(world.globals() $(, $argument)*) }
    }};
}
pub(crate) use wdf;

/// What a driver does with a control code.
pub type OnControl = fn(&World, WDFREQUEST, u32);

/// A machine with one bound driver.
pub struct World {
    pub kmdf: Kmdf<TestHost>,
    globals: AtomicUsize,
    /// What the driver keeps of requests that it pended, in the order of their arrival.
    pub pended: Mutex<Vec<usize>>,
    /// What the driver does with a request; by default it pends it.
    pub on_control: Mutex<Option<OnControl>>,
    /// How many requests the driver is presented with at this moment, and the most so far.
    pub inside: Mutex<(usize, usize)>,
    next: AtomicUsize,
}

pub const DRIVER: DriverId = DriverId(7);

const USER: Requestor = Requestor {
    mode: 1,
    process_id: 42,
    is_32_bit: false,
};

impl World {
    /// Makes a machine with a bound driver, and puts the calling thread on it.
    pub fn new() -> Arc<Self> {
        let world = Arc::new(Self {
            kmdf: Kmdf::new(TestHost::default()),
            globals: AtomicUsize::new(0),
            pended: Mutex::default(),
            on_control: Mutex::default(),
            inside: Mutex::default(),
            next: AtomicUsize::new(100),
        });
        let globals = world.kmdf.bind(DRIVER, "tested");
        world
            .globals
            .store(globals.expose_provenance(), Ordering::Relaxed);
        world.enter();
        world
    }

    /// Puts the calling thread on this machine, for the driver's callbacks to find it.
    pub fn enter(self: &Arc<Self>) {
        WORLD.set(Some(Arc::clone(self)));
    }

    /// The machine of the calling thread.
    pub fn current() -> Arc<Self> {
        WORLD
            .with_borrow(Clone::clone)
            .expect("the thread is on a machine")
    }

    pub fn globals(&self) -> PWDF_DRIVER_GLOBALS {
        ptr::with_exposed_provenance_mut(self.globals.load(Ordering::Relaxed))
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.kmdf.host().seen()
    }

    pub fn log(&self) -> Vec<String> {
        self.seen().log.clone()
    }

    pub fn violations(&self) -> Vec<Rule> {
        self.seen().violations.clone()
    }

    /// Makes the driver object.
    pub fn create_driver(&self, attributes: Option<WDF_OBJECT_ATTRIBUTES>) -> WDFDRIVER {
        let mut driver = ptr::null_mut();
        let mut config = WDF_DRIVER_CONFIG {
            Size: size::<WDF_DRIVER_CONFIG>(),
            EvtDriverUnload: Some(evt_unload),
            DriverInitFlags: _WDF_DRIVER_INIT_FLAGS::WdfDriverInitNonPnpDriver as u32,
            ..WDF_DRIVER_CONFIG::default()
        };
        let text = wide(r"\Registry\Machine\System\CurrentControlSet\Services\tested");
        let path = unicode(&text);
        let mut attributes = attributes;
        let attributes = attributes.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        // The model keeps the address and does not look behind it.
        let object = ptr::without_provenance_mut(0x1000);
        let status = wdf!(
            self,
            WdfDriverCreate,
            object,
            &raw const path,
            attributes,
            &raw mut config,
            &raw mut driver
        );
        assert_eq!(status, STATUS_SUCCESS);
        driver
    }

    /// Makes a control device with file events, and says which device the host is to name.
    pub fn create_device(
        &self,
        driver: WDFDRIVER,
        requests: Option<WDF_OBJECT_ATTRIBUTES>,
    ) -> (WDFDEVICE, DeviceId) {
        let sddl = wide("D:P(A;;GA;;;SY)");
        let sddl = unicode(&sddl);
        let mut init = wdf!(self, WdfControlDeviceInitAllocate, driver, &raw const sddl);
        assert!(!init.is_null());
        let name = wide(r"\Device\Tested");
        let name = unicode(&name);
        assert_eq!(
            wdf!(self, WdfDeviceInitAssignName, init, &raw const name),
            STATUS_SUCCESS
        );
        let mut files = WDF_FILEOBJECT_CONFIG {
            Size: size::<WDF_FILEOBJECT_CONFIG>(),
            EvtDeviceFileCreate: Some(evt_file_create),
            EvtFileClose: Some(evt_file),
            EvtFileCleanup: Some(evt_file),
            AutoForwardCleanupClose: _WDF_TRI_STATE::WdfUseDefault,
            FileObjectClass: _WDF_FILEOBJECT_CLASS::WdfFileObjectWdfCannotUseFsContexts,
        };
        wdf!(
            self,
            WdfDeviceInitSetFileObjectConfig,
            init,
            &raw mut files,
            ptr::null_mut()
        );
        if let Some(mut requests) = requests {
            wdf!(self, WdfDeviceInitSetRequestAttributes, init, &raw mut requests);
        }
        let mut attributes = attributes();
        attributes.ExecutionLevel = _WDF_EXECUTION_LEVEL::WdfExecutionLevelPassive;
        let mut device = ptr::null_mut();
        let status = wdf!(
            self,
            WdfDeviceCreate,
            &raw mut init,
            &raw mut attributes,
            &raw mut device
        );
        assert_eq!(status, STATUS_SUCCESS);
        assert!(init.is_null(), "the structure is used up");
        let link = wide(r"\DosDevices\Tested");
        let link = unicode(&link);
        assert_eq!(
            wdf!(self, WdfDeviceCreateSymbolicLink, device, &raw const link),
            STATUS_SUCCESS
        );
        wdf!(self, WdfControlFinishInitializing, device);
        let id = *self.seen().devices.values().next_back().expect("a device");
        (device, id)
    }

    /// Makes the device's default queue.
    pub fn create_queue(&self, device: WDFDEVICE, dispatch: WDF_IO_QUEUE_DISPATCH_TYPE) -> WDFQUEUE {
        let mut config = WDF_IO_QUEUE_CONFIG {
            Size: size::<WDF_IO_QUEUE_CONFIG>(),
            DispatchType: dispatch,
            PowerManaged: _WDF_TRI_STATE::WdfUseDefault,
            DefaultQueue: 1,
            EvtIoDeviceControl: Some(evt_device_control),
            ..WDF_IO_QUEUE_CONFIG::default()
        };
        config.Settings.Parallel.NumberOfPresentedRequests = u32::MAX;
        let mut queue = ptr::null_mut();
        let status = wdf!(
            self,
            WdfIoQueueCreate,
            device,
            &raw mut config,
            ptr::null_mut(),
            &raw mut queue
        );
        assert_eq!(status, STATUS_SUCCESS);
        queue
    }

    pub fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Opens a file, and says how that ended.
    pub fn open(&self, device: DeviceId) -> (FileId, NTSTATUS) {
        let (file, irp) = (FileId(self.next()), IrpId(self.next()));
        let name = wide(r"\part");
        self.kmdf.create(
            device,
            &CreateIrp {
                irp,
                file,
                name: &name,
                requestor: USER,
            },
        );
        (file, self.ended(irp).status)
    }

    /// Sends a control code without a buffer.
    pub fn send(&self, device: DeviceId, file: FileId, code: u32) -> IrpId {
        let irp = IrpId(self.next());
        self.send_as(device, file, code, irp, &mut [], 0, 0);
        irp
    }

    /// Sends a control code under a chosen name.
    #[expect(clippy::too_many_arguments, reason = "a packet has that many parts")]
    pub fn send_as(
        &self,
        device: DeviceId,
        file: FileId,
        code: u32,
        irp: IrpId,
        buffer: &mut [u8],
        input_length: usize,
        output_length: usize,
    ) {
        let address = if buffer.is_empty() {
            ptr::null_mut()
        } else {
            buffer.as_mut_ptr()
        };
        self.kmdf.device_control(
            device,
            &DeviceControlIrp {
                irp,
                file,
                code,
                buffer: address.cast(),
                input_length,
                output_length,
                requestor: USER,
            },
        );
    }

    /// Gives a packet up, as the I/O manager does.
    pub fn cancel(&self, irp: IrpId) {
        self.seen().cancelled.insert(irp);
        self.kmdf.cancel(irp);
    }

    /// How a packet ended, which must have happened exactly once.
    pub fn ended(&self, irp: IrpId) -> Ended {
        let ended = self.seen().ended.get(&irp).cloned().unwrap_or_default();
        assert_eq!(ended.len(), 1, "{irp:?} is completed exactly once");
        ended[0]
    }

    pub fn is_ended(&self, irp: IrpId) -> bool {
        self.seen().ended.contains_key(&irp)
    }

    /// Takes the request that the driver pended first.
    pub fn take_pended(&self) -> WDFREQUEST {
        ptr::without_provenance_mut(guard(&self.pended).remove(0))
    }

    /// Unloads the driver, and demands that it left nothing behind.
    pub fn unload(&self) {
        self.kmdf.unload(DRIVER);
        self.kmdf.unbind(DRIVER);
        let seen = self.seen();
        assert!(seen.memory.is_empty(), "contexts are freed");
        assert!(seen.devices.is_empty(), "devices are deleted");
        assert!(seen.links.is_empty(), "links are deleted");
        assert!(seen.open_keys.is_empty(), "keys are closed");
    }
}

const extern "C" fn evt_unload(_driver: WDFDRIVER) {}

/// Opens every file.
extern "C" fn evt_file_create(_device: WDFDEVICE, request: WDFREQUEST, _file: WDFFILEOBJECT) {
    wdf!(World::current(), WdfRequestComplete, request, STATUS_SUCCESS);
}

const extern "C" fn evt_file(_file: WDFFILEOBJECT) {}

extern "C" fn evt_device_control(
    _queue: WDFQUEUE,
    request: WDFREQUEST,
    _output_length: usize,
    _input_length: usize,
    code: u32,
) {
    let world = World::current();
    {
        let mut inside = guard(&world.inside);
        inside.0 += 1;
        inside.1 = inside.1.max(inside.0);
    }
    let action = *guard(&world.on_control);
    match action {
        Some(action) => action(&world, request, code),
        None => guard(&world.pended).push(request.addr()),
    }
    guard(&world.inside).0 -= 1;
}

/// Completes a request with `STATUS_CANCELLED`, as a cancel callback.
pub extern "C" fn evt_cancel(request: WDFREQUEST) {
    wdf!(World::current(), WdfRequestComplete, request, STATUS_CANCELLED);
}

/// The size of a structure, as its `Size` member has it.
pub fn size<T>() -> u32 {
    u32::try_from(size_of::<T>()).expect("structures are small")
}

/// UTF-16 of a text.
pub fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// A counted string over units that outlive it.
pub fn unicode(units: &[u16]) -> UNICODE_STRING {
    let length = u16::try_from(size_of_val(units)).expect("the strings are short");
    UNICODE_STRING {
        Length: length,
        MaximumLength: length,
        Buffer: units.as_ptr().cast_mut(),
    }
}

/// Attributes as the documented initialiser leaves them.
pub fn attributes() -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size::<WDF_OBJECT_ATTRIBUTES>(),
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

/// Makes a context type that lives for the rest of the process.
pub fn context_type(bytes: usize) -> PCWDF_OBJECT_CONTEXT_TYPE_INFO {
    let info = Box::leak(Box::new(WDF_OBJECT_CONTEXT_TYPE_INFO {
        Size: size::<WDF_OBJECT_CONTEXT_TYPE_INFO>(),
        ContextName: c"Tested".as_ptr(),
        ContextSize: bytes,
        ..WDF_OBJECT_CONTEXT_TYPE_INFO::default()
    }));
    let this: PCWDF_OBJECT_CONTEXT_TYPE_INFO = info;
    info.UniqueType = this;
    info
}
