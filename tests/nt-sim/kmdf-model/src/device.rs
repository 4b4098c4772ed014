//! Control devices: describing, making, naming and ending them.

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use sim_platform::nt::{
    BOOLEAN, DEVICE_TYPE, FILE_DEVICE_UNKNOWN, NTSTATUS, PCUNICODE_STRING, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG, UNICODE_STRING,
};

use crate::{
    CallbackIrql, DeviceId, DeviceObject, DeviceSpec, FileId, Host, Rule,
    attributes::{self, Attributes},
    call::{Call, read_string, status_of},
    handle::{Handle, Kind},
    object,
    state::{Contexts, Data, Object, Stage},
    types::{
        _WDF_DEVICE_IO_TYPE, _WDF_FILEOBJECT_CLASS, PFN_WDF_DEVICE_FILE_CREATE, PFN_WDF_FILE_CLEANUP,
        PFN_WDF_FILE_CLOSE, PWDF_FILEOBJECT_CONFIG, PWDF_OBJECT_ATTRIBUTES, PWDFDEVICE_INIT,
        WDF_DEVICE_IO_TYPE, WDF_FILEOBJECT_CONFIG, WDFDEVICE, WDFDRIVER, WDFQUEUE,
    },
};

/// Which file events a device wants, and how its file objects are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileEvents {
    pub create: PFN_WDF_DEVICE_FILE_CREATE,
    pub close: PFN_WDF_FILE_CLOSE,
    pub cleanup: PFN_WDF_FILE_CLEANUP,
    pub attributes: Attributes,
}

/// What a device is to become.
#[derive(Clone, Debug)]
pub struct DeviceInit {
    sddl: Vec<u16>,
    name: Option<Vec<u16>>,
    device_type: DEVICE_TYPE,
    characteristics: u32,
    exclusive: bool,
    /// `None` if the device has no file objects.
    files: Option<FileEvents>,
    requests: Attributes,
}

/// A control device.
pub struct Device {
    pub object: DeviceObject,
    /// Whether `WdfControlFinishInitializing` was called.
    pub finished: bool,
    pub events: Option<FileEvents>,
    pub requests: Attributes,
    pub default_queue: Option<Handle>,
    pub queues: Vec<Handle>,
    pub files: BTreeMap<FileId, Handle>,
    links: Vec<Vec<u16>>,
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfControlDeviceInitAllocate<H: Host>(
    call: &Call<'_, H>,
    driver: WDFDRIVER,
    sddl: *const UNICODE_STRING,
) -> PWDFDEVICE_INIT {
    // SAFETY: the caller's promise.
    let Some(sddl) = (unsafe { read_string(sddl) }) else {
        call.report(Rule::NullParameter {
            parameter: "SDDLString",
        });
        return core::ptr::null_mut();
    };
    let init = DeviceInit {
        sddl,
        name: None,
        device_type: FILE_DEVICE_UNKNOWN,
        characteristics: 0,
        exclusive: false,
        files: None,
        requests: Attributes::default(),
    };
    call.checked(|state| {
        let (_, object) = state.resolve(driver.addr(), Kind::Driver)?;
        let driver = object.driver;
        Ok(state.insert(Object {
            driver,
            parent: None,
            children: Vec::new(),
            references: 1,
            stage: Stage::Live,
            execution: CallbackIrql::UpToDispatch,
            contexts: Contexts::default(),
            data: Data::DeviceInit(Box::new(init)),
        }))
    })
    .and_then(Result::ok)
    .map_or(core::ptr::null_mut(), Handle::pointer)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceInitFree<H: Host>(call: &Call<'_, H>, init: PWDFDEVICE_INIT) {
    let removed = call.checked(|state| {
        let handle = state.device_init(init)?.0;
        Ok(state.remove(handle))
    });
    drop(removed);
}

/// Changes what a device is to become.
fn change<H: Host>(call: &Call<'_, H>, init: PWDFDEVICE_INIT, change: impl FnOnce(&mut DeviceInit)) -> bool {
    call.checked(|state| {
        change(state.device_init(init)?.1);
        Ok(())
    })
    .is_some()
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceInitSetIoType<H: Host>(
    call: &Call<'_, H>,
    init: PWDFDEVICE_INIT,
    io_type: WDF_DEVICE_IO_TYPE,
) {
    // The type concerns read and write requests, which the model does not have.
    if io_type != _WDF_DEVICE_IO_TYPE::WdfDeviceIoBuffered {
        call.report(Rule::Unsupported {
            feature: "devices without buffered I/O",
        });
    }
    change(call, init, |_| ());
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceInitSetExclusive<H: Host>(
    call: &Call<'_, H>,
    init: PWDFDEVICE_INIT,
    exclusive: BOOLEAN,
) {
    change(call, init, |init| init.exclusive = exclusive != 0);
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceInitSetDeviceType<H: Host>(
    call: &Call<'_, H>,
    init: PWDFDEVICE_INIT,
    device_type: ULONG,
) {
    change(call, init, |init| init.device_type = device_type);
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceInitAssignName<H: Host>(
    call: &Call<'_, H>,
    init: PWDFDEVICE_INIT,
    name: PCUNICODE_STRING,
) -> NTSTATUS {
    let assigned = if name.is_null() {
        None
    } else {
        // SAFETY: the caller's promise.
        match unsafe { read_string(name) } {
            Some(name) if !name.is_empty() => Some(name),
            _ => return STATUS_INVALID_PARAMETER,
        }
    };
    if change(call, init, |init| init.name = assigned) {
        STATUS_SUCCESS
    } else {
        STATUS_INVALID_PARAMETER
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceInitAssignSDDLString<H: Host>(
    call: &Call<'_, H>,
    init: PWDFDEVICE_INIT,
    sddl: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let Some(sddl) = (unsafe { read_string(sddl) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    if change(call, init, |init| init.sddl = sddl) {
        STATUS_SUCCESS
    } else {
        STATUS_INVALID_PARAMETER
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceInitSetCharacteristics<H: Host>(
    call: &Call<'_, H>,
    init: PWDFDEVICE_INIT,
    characteristics: ULONG,
    or_in: BOOLEAN,
) {
    change(call, init, |init| {
        let kept = if or_in == 0 { 0 } else { init.characteristics };
        init.characteristics = kept | characteristics;
    });
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceInitSetFileObjectConfig<H: Host>(
    call: &Call<'_, H>,
    init: PWDFDEVICE_INIT,
    config: PWDF_FILEOBJECT_CONFIG,
    attributes: PWDF_OBJECT_ATTRIBUTES,
) {
    if !call.require(config, "FileObjectConfig") {
        return;
    }
    // SAFETY: not null, so the caller vouches for it.
    let config = unsafe { config.read() };
    if !call.check_size(
        "WDF_FILEOBJECT_CONFIG",
        config.Size as usize,
        size_of::<WDF_FILEOBJECT_CONFIG>(),
    ) {
        return;
    }
    // SAFETY: the caller's promise.
    let Ok(attributes) = (unsafe { Attributes::read(call, attributes) }) else {
        return;
    };
    let class = config.FileObjectClass & !_WDF_FILEOBJECT_CLASS::WdfFileObjectCanBeOptional;
    if class == _WDF_FILEOBJECT_CLASS::WdfFileObjectInvalid {
        call.report(Rule::InvalidParameter {
            reason: "FileObjectClass is not set; WDF_FILEOBJECT_CONFIG_INIT says WdfFileObjectWdfCannotUseFsContexts",
        });
        return;
    }
    let events = FileEvents {
        create: config.EvtDeviceFileCreate,
        close: config.EvtFileClose,
        cleanup: config.EvtFileCleanup,
        attributes,
    };
    let wanted = class != _WDF_FILEOBJECT_CLASS::WdfFileObjectNotRequired;
    change(call, init, |init| init.files = wanted.then_some(events));
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceInitSetRequestAttributes<H: Host>(
    call: &Call<'_, H>,
    init: PWDFDEVICE_INIT,
    attributes: PWDF_OBJECT_ATTRIBUTES,
) {
    // SAFETY: the caller's promise.
    if let Ok(attributes) = unsafe { Attributes::read(call, attributes) } {
        change(call, init, |init| init.requests = attributes);
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceCreate<H: Host>(
    call: &Call<'_, H>,
    init: *mut PWDFDEVICE_INIT,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    device: *mut WDFDEVICE,
) -> NTSTATUS {
    if !call.require(init, "DeviceInit") || !call.require(device, "Device") {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    let attributes = match unsafe { Attributes::read(call, attributes) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    if attributes.parent != 0 {
        call.report(Rule::InvalidParameter {
            reason: "the parent of a device is its driver and cannot be chosen",
        });
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: not null, so the caller vouches for it.
    let given = unsafe { init.read() };
    let Some((init_handle, wanted, driver)) = call.checked(|state| {
        let (handle, wanted) = state.device_init(given)?;
        let wanted = wanted.clone();
        let driver = state.find(handle).map_or(0, |object| object.driver);
        Ok((handle, wanted, driver))
    }) else {
        return STATUS_INVALID_HANDLE;
    };
    match make_device(call, driver, &wanted, &attributes) {
        Ok(handle) => {
            drop(call.with(|state| state.remove(init_handle)));
            // SAFETY: not null, so the caller vouches for it.
            unsafe { device.write(handle.pointer()) };
            // SAFETY: not null, so the caller vouches for it. The structure is used up.
            unsafe { init.write(core::ptr::null_mut()) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

fn make_device<H: Host>(
    call: &Call<'_, H>,
    driver: usize,
    wanted: &DeviceInit,
    attributes: &Attributes,
) -> Result<Handle, NTSTATUS> {
    let (id, parent, inherited) = call
        .with(|state| {
            let parent = state.drivers.get(driver)?.as_ref()?.object?;
            let inherited = state.find(parent)?.execution;
            let (id, _) = state.owner(driver)?;
            Some((id, parent, inherited))
        })
        .ok_or(STATUS_INVALID_DEVICE_STATE)?;
    let data = Data::Device(Box::new(Device {
        // Replaced below: the host must know the framework's name for the device first.
        object: DeviceObject(0),
        finished: false,
        events: wanted.files,
        requests: wanted.requests,
        default_queue: None,
        queues: Vec::new(),
        files: BTreeMap::new(),
        links: Vec::new(),
    }));
    let handle = attributes::create(call, driver, Some(parent), attributes, inherited, data)?;
    let spec = DeviceSpec {
        device: DeviceId(handle.raw()),
        driver: id,
        name: wanted.name.as_deref(),
        sddl: &wanted.sddl,
        device_type: wanted.device_type,
        characteristics: wanted.characteristics,
        exclusive: wanted.exclusive,
    };
    match call.host().create_device(&spec) {
        Ok(object) => {
            call.with(|state| {
                if let Some(device) = state.find_device(handle) {
                    device.object = object;
                }
            });
            Ok(handle)
        }
        Err(status) => {
            // The driver never saw it, so its callbacks are not called.
            object::discard(call, handle);
            Err(status)
        }
    }
}

/// Ends what a framework device stands for in the kernel.
pub fn dispose<H: Host>(call: &Call<'_, H>, handle: Handle) {
    let found = call.with(|state| {
        let device = state.find_device(handle)?;
        Some((device.object, core::mem::take(&mut device.links)))
    });
    if let Some((object, links)) = found {
        for link in links {
            call.host().delete_symbolic_link(&link);
        }
        call.host().delete_device(object);
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfControlFinishInitializing<H: Host>(call: &Call<'_, H>, device: WDFDEVICE) {
    let object = call.checked(|state| {
        let device = state.device(device)?.1;
        device.finished = true;
        Ok(device.object)
    });
    if let Some(object) = object {
        call.host().finish_device(object);
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceCreateSymbolicLink<H: Host>(
    call: &Call<'_, H>,
    device: WDFDEVICE,
    name: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let link = match unsafe { read_string(name) } {
        Some(link) if !link.is_empty() => link,
        _ => return STATUS_INVALID_PARAMETER,
    };
    let Some((handle, object)) = call.checked(|state| {
        let (handle, device) = state.device(device)?;
        Ok((handle, device.object))
    }) else {
        return STATUS_INVALID_HANDLE;
    };
    let status = status_of(call.host().create_symbolic_link(&link, object));
    if status == STATUS_SUCCESS {
        call.with(|state| {
            if let Some(device) = state.find_device(handle) {
                device.links.push(link);
            }
        });
    }
    status
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceGetDriver<H: Host>(call: &Call<'_, H>, device: WDFDEVICE) -> WDFDRIVER {
    call.checked(|state| Ok(state.resolve(device.addr(), Kind::Device)?.1.parent))
        .flatten()
        .map_or(core::ptr::null_mut(), Handle::pointer)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDeviceGetDefaultQueue<H: Host>(call: &Call<'_, H>, device: WDFDEVICE) -> WDFQUEUE {
    call.checked(|state| Ok(state.device(device)?.1.default_queue))
        .flatten()
        .map_or(core::ptr::null_mut(), Handle::pointer)
}
