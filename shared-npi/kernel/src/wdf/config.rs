//! What the `WDF_…_CONFIG_INIT` functions of the WDK headers do, which exist in C only.

use wdk_sys::{
    _WDF_FILEOBJECT_CLASS, _WDF_IO_QUEUE_DISPATCH_TYPE, _WDF_TRI_STATE, WDF_DRIVER_CONFIG,
    WDF_FILEOBJECT_CONFIG, WDF_IO_QUEUE_CONFIG,
};

use super::size_of_u32;

/// `WdfDriverInitNonPnpDriver` of `WDF_DRIVER_INIT_FLAGS`.
const NON_PNP_DRIVER: u32 = 1;

/// `WDF_DRIVER_CONFIG_INIT` for a driver without devices of the Plug and Play manager; `unload` is required
/// of it.
pub(super) fn driver(unload: UnloadCallback, pool_tag: u32) -> WDF_DRIVER_CONFIG {
    WDF_DRIVER_CONFIG {
        Size: size_of_u32::<WDF_DRIVER_CONFIG>(),
        EvtDriverUnload: Some(unload),
        DriverInitFlags: NON_PNP_DRIVER,
        DriverPoolTag: pool_tag,
        ..WDF_DRIVER_CONFIG::default()
    }
}

/// `WDF_FILEOBJECT_CONFIG_INIT`.
pub(super) fn file_object(
    create: CreateCallback,
    cleanup: FileCallback,
    close: FileCallback,
) -> WDF_FILEOBJECT_CONFIG {
    WDF_FILEOBJECT_CONFIG {
        Size: size_of_u32::<WDF_FILEOBJECT_CONFIG>(),
        EvtDeviceFileCreate: Some(create),
        EvtFileClose: Some(close),
        EvtFileCleanup: Some(cleanup),
        AutoForwardCleanupClose: _WDF_TRI_STATE::WdfUseDefault,
        FileObjectClass: _WDF_FILEOBJECT_CLASS::WdfFileObjectWdfCanUseFsContext,
    }
}

/// `WDF_IO_QUEUE_CONFIG_INIT_DEFAULT_QUEUE` for a parallel queue without power management.
pub(super) fn default_queue(device_control: DeviceControlCallback) -> WDF_IO_QUEUE_CONFIG {
    let mut config = WDF_IO_QUEUE_CONFIG {
        Size: size_of_u32::<WDF_IO_QUEUE_CONFIG>(),
        DispatchType: _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel,
        PowerManaged: _WDF_TRI_STATE::WdfFalse,
        DefaultQueue: 1,
        EvtIoDeviceControl: Some(device_control),
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    // No limit to the number of requests at work.
    config.Settings.Parallel.NumberOfPresentedRequests = u32::MAX;
    config
}

pub(super) type UnloadCallback = unsafe extern "C" fn(wdk_sys::WDFDRIVER);
pub(super) type CreateCallback =
    unsafe extern "C" fn(wdk_sys::WDFDEVICE, wdk_sys::WDFREQUEST, wdk_sys::WDFFILEOBJECT);
pub(super) type FileCallback = unsafe extern "C" fn(wdk_sys::WDFFILEOBJECT);
pub(super) type DeviceControlCallback =
    unsafe extern "C" fn(wdk_sys::WDFQUEUE, wdk_sys::WDFREQUEST, usize, usize, u32);
