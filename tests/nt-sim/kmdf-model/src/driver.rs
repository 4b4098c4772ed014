//! Drivers: binding to the framework, the driver object, unloading.

use alloc::vec::Vec;

use sim_platform::nt::{
    ACCESS_MASK, CHAR, GENERIC_ALL, GENERIC_WRITE, KEY_CREATE_SUB_KEY, KEY_SET_VALUE, NTSTATUS,
    PCUNICODE_STRING, PDRIVER_OBJECT, PWSTR, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_HANDLE,
    STATUS_INVALID_PARAMETER, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS,
};

use crate::{
    CallbackIrql, DriverId, Host, Kmdf, Rule,
    attributes::{self, Attributes},
    call::{Call, read_string, write_out},
    handle::Kind,
    object,
    placed::Placed,
    registry, request,
    state::{Binding, Data, Driver, Kept, Stage},
    types::{
        _WDF_DRIVER_INIT_FLAGS, PWDF_DRIVER_CONFIG, PWDF_DRIVER_GLOBALS, PWDF_OBJECT_ATTRIBUTES,
        WDF_DRIVER_CONFIG, WDF_DRIVER_GLOBALS, WDFDRIVER, WDFKEY,
    },
};

/// Tag of contexts of a driver whose name is too short to make one.
const DEFAULT_TAG: u32 = u32::from_le_bytes(*b"FxDr");

impl<H: Host> Kmdf<H> {
    /// Binds a driver to the framework, as `WdfVersionBind` does before `DriverEntry`.
    ///
    /// `name` is the driver's service name. The globals stay valid until [`unbind`](Self::unbind).
    pub fn bind(&self, driver: DriverId, name: &str) -> PWDF_DRIVER_GLOBALS {
        let mut globals = WDF_DRIVER_GLOBALS::default();
        // One less than there is room for, so that the name ends with a zero.
        let room = globals.DriverName.len() - 1;
        for (target, byte) in globals.DriverName.iter_mut().zip(name.bytes().take(room)) {
            *target = CHAR::from_ne_bytes([byte]);
        }
        let tag = name
            .as_bytes()
            .first_chunk::<4>()
            .map_or(DEFAULT_TAG, |name| u32::from_le_bytes(*name));
        globals.DriverTag = tag;
        let globals = Placed::new(Kept(globals));
        let pointer = globals.as_ptr().cast();
        Call::event(self, "WdfVersionBind").with(|state| {
            let binding = Binding {
                id: driver,
                globals,
                tag,
                object: None,
            };
            if let Some(vacant) = state.drivers.iter_mut().find(|slot| slot.is_none()) {
                *vacant = Some(binding);
            } else {
                state.drivers.push(Some(binding));
            }
        });
        pointer
    }

    /// Unloads a driver: calls `EvtDriverUnload`, then deletes its control devices, then all else.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn unload(&self, driver: DriverId) {
        let call = Call::event(self, "EvtDriverUnload");
        let found = call.with(|state| {
            let (index, binding) = state.binding_by_id(driver)?;
            let object = binding.object?;
            Some((index, object, state.find_driver(object)?.unload?))
        });
        if let Some((index, object, unload)) = found
            && let Some(frame) = attributes::frame(&call, index, "EvtDriverUnload", CallbackIrql::Passive)
        {
            call.host().callback(frame, || {
                // SAFETY: the driver set the callback for its driver object, which exists.
                unsafe { unload(object.pointer()) }
            });
        }
        self.tear_down(&call, driver);
    }

    /// Ends the binding, as `WdfVersionUnbind` does: after [`unload`](Self::unload), or after a
    /// `DriverEntry` that failed, whose objects are deleted now, without `EvtDriverUnload`.
    ///
    /// Reports what the driver leaves behind.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub fn unbind(&self, driver: DriverId) {
        let call = Call::event(self, "WdfVersionUnbind");
        self.tear_down(&call, driver);
        let Some((index, left)) = call.with(|state| {
            let index = state.binding_by_id(driver)?.0;
            Some((index, state.objects_of(index)))
        }) else {
            return;
        };
        for handle in left {
            let raw = handle.raw();
            let rule = call.with(|state| {
                let object = state.find(handle)?;
                Some(match &object.data {
                    Data::DeviceInit(_) => Rule::DeviceInitLeaked,
                    Data::Request(request) if !request.is_completed() => Rule::RequestLeaked { request: raw },
                    Data::File(_) if object.stage == Stage::Live => Rule::FileOpenAtUnload { file: raw },
                    _ => Rule::ReferenceLeaked {
                        handle: raw,
                        kind: handle.kind,
                        references: object.references,
                    },
                })
            });
            if let Some(rule) = rule {
                call.report_for(Some(driver), rule);
            }
            if handle.kind == Kind::Request {
                request::abandon(&call, handle);
            }
            object::discard(&call, handle);
        }
        let binding = call.with(|state| state.drivers.get_mut(index).and_then(Option::take));
        drop(binding);
    }

    fn tear_down(&self, call: &Call<'_, H>, driver: DriverId) {
        debug_assert!(core::ptr::eq(call.kmdf, self));
        let Some((object, devices)) = call.with(|state| {
            let object = state.binding_by_id(driver)?.1.object?;
            let children = &state.find(object)?.children;
            let devices: Vec<_> = children
                .iter()
                .copied()
                .filter(|child| child.kind == Kind::Device)
                .collect();
            Some((object, devices))
        }) else {
            return;
        };
        for device in devices {
            object::delete_tree(call, device);
        }
        object::delete_tree(call, object);
        call.with(|state| {
            let index = state.binding_by_id(driver).map(|(index, _)| index)?;
            let binding = state.drivers.get_mut(index)?.as_mut()?;
            binding.object = None;
            binding
                .globals
                .update(|globals| globals.0.Driver = core::ptr::null_mut());
            Some(())
        });
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDriverCreate<H: Host>(
    call: &Call<'_, H>,
    driver_object: PDRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    config: PWDF_DRIVER_CONFIG,
    driver: *mut WDFDRIVER,
) -> NTSTATUS {
    if !call.require(driver_object, "DriverObject") || !call.require(config, "DriverConfig") {
        return STATUS_INVALID_PARAMETER;
    }
    let Some(index) = call.driver() else {
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: not null, so the caller vouches for it.
    let config = unsafe { config.read() };
    if !call.check_size(
        "WDF_DRIVER_CONFIG",
        config.Size as usize,
        size_of::<WDF_DRIVER_CONFIG>(),
    ) {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    let non_pnp = config.DriverInitFlags & _WDF_DRIVER_INIT_FLAGS::WdfDriverInitNonPnpDriver.cast_unsigned();
    if config.EvtDriverDeviceAdd.is_some() {
        if non_pnp != 0 {
            call.report(Rule::InvalidParameter {
                reason: "a driver with WdfDriverInitNonPnpDriver has no EvtDriverDeviceAdd",
            });
            return STATUS_INVALID_PARAMETER;
        }
        call.report(Rule::Unsupported {
            feature: "Plug and Play drivers",
        });
        return STATUS_INVALID_PARAMETER;
    }
    if non_pnp == 0 {
        call.report(Rule::InvalidParameter {
            reason: "a driver without EvtDriverDeviceAdd sets WdfDriverInitNonPnpDriver",
        });
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    let attributes = match unsafe { Attributes::read(call, attributes) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    // SAFETY: the caller's promise.
    let Some(mut registry_path) = (unsafe { read_string(registry_path) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    registry_path.push(0);
    if attributes.parent != 0 {
        call.report(Rule::InvalidParameter {
            reason: "a driver object has no parent",
        });
        return STATUS_INVALID_PARAMETER;
    }
    let exists = call.with(|state| {
        let binding = state.drivers.get_mut(index)?.as_mut()?;
        if config.DriverPoolTag != 0 {
            binding.tag = config.DriverPoolTag;
        }
        binding.object
    });
    if exists.is_some() {
        call.report(Rule::InvalidParameter {
            reason: "the driver has its driver object already",
        });
        return STATUS_INVALID_PARAMETER;
    }
    let data = Data::Driver(Driver {
        object: Kept(driver_object),
        unload: config.EvtDriverUnload,
        registry_path,
    });
    match attributes::create(call, index, None, &attributes, CallbackIrql::UpToDispatch, data) {
        Ok(handle) => {
            call.with(|state| {
                let binding = state.drivers.get_mut(index)?.as_mut()?;
                binding.object = Some(handle);
                let tag = binding.tag;
                binding.globals.update(|globals| {
                    globals.0.Driver = handle.pointer();
                    globals.0.DriverFlags = config.DriverInitFlags;
                    globals.0.DriverTag = tag;
                });
                Some(())
            });
            // SAFETY: the caller's promise.
            unsafe { write_out(driver, handle.pointer()) };
            if let Some((id, _)) = call.with(|state| state.owner(index)) {
                let can_unload = config.EvtDriverUnload.is_some();
                // SAFETY: the caller's promise.
                unsafe { call.host().driver_created(id, driver_object, can_unload) };
            }
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDriverGetRegistryPath<H: Host>(call: &Call<'_, H>, driver: WDFDRIVER) -> PWSTR {
    // The string has a place of its own, which stays until the driver object goes.
    call.checked(|state| Ok(state.driver(driver)?.1.registry_path.as_mut_ptr()))
        .unwrap_or(core::ptr::null_mut())
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDriverWdmGetDriverObject<H: Host>(call: &Call<'_, H>, driver: WDFDRIVER) -> PDRIVER_OBJECT {
    call.checked(|state| Ok(state.driver(driver)?.1.object.0))
        .unwrap_or(core::ptr::null_mut())
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfDriverOpenParametersRegistryKey<H: Host>(
    call: &Call<'_, H>,
    driver: WDFDRIVER,
    access: ACCESS_MASK,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    key: *mut WDFKEY,
) -> NTSTATUS {
    let path = call.checked(|state| Ok(state.driver(driver)?.1.registry_path.clone()));
    let Some(path) = path else {
        return STATUS_INVALID_HANDLE;
    };
    let path: Vec<u16> = path
        .iter()
        .copied()
        .take_while(|unit| *unit != 0)
        .chain("\\Parameters".encode_utf16())
        .collect();
    let writes = access & (KEY_SET_VALUE | KEY_CREATE_SUB_KEY | GENERIC_WRITE | GENERIC_ALL) != 0;
    // SAFETY: the caller's promise.
    unsafe {
        registry::open(call, attributes, key, |host| {
            match host.open_key(None, &path, access) {
                // A driver that means to write gets the key made for it.
                Err(STATUS_OBJECT_NAME_NOT_FOUND) if writes => {
                    host.create_key(None, &path, access, 0).map(|(key, _)| key)
                }
                answer => answer,
            }
        })
    }
}
