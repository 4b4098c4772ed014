//! Enumerations: a module of constants and a type for each.

macro_rules! enums {
    ($($module:ident $name:ident { $($constant:ident = $value:literal,)* })*) => {
        $(
            pub mod $module {
                pub type Type = core::ffi::c_int;
                $(pub const $constant: Type = $value;)*
            }
            pub use $module::Type as $name;
        )*

        /// The constants of all enumerations, to hold C headers against.
        pub(crate) const CONSTANTS: &[(&str, core::ffi::c_int)] =
            &[$($((stringify!($constant), $value)),*),*];
    };
}

enums! {
    _WDF_TRI_STATE WDF_TRI_STATE {
        WdfFalse = 0,
        WdfTrue = 1,
        WdfUseDefault = 2,
    }
    _WDF_EXECUTION_LEVEL WDF_EXECUTION_LEVEL {
        WdfExecutionLevelInvalid = 0,
        WdfExecutionLevelInheritFromParent = 1,
        WdfExecutionLevelPassive = 2,
        WdfExecutionLevelDispatch = 3,
    }
    _WDF_SYNCHRONIZATION_SCOPE WDF_SYNCHRONIZATION_SCOPE {
        WdfSynchronizationScopeInvalid = 0,
        WdfSynchronizationScopeInheritFromParent = 1,
        WdfSynchronizationScopeDevice = 2,
        WdfSynchronizationScopeQueue = 3,
        WdfSynchronizationScopeNone = 4,
    }
    _WDF_DRIVER_INIT_FLAGS WDF_DRIVER_INIT_FLAGS {
        WdfDriverInitNonPnpDriver = 1,
        WdfDriverInitNoDispatchOverride = 2,
        WdfVerifyOn = 4,
        WdfVerifierOn = 8,
        WdfDriverInitCompanion = 16,
    }
    _WDF_DEVICE_IO_TYPE WDF_DEVICE_IO_TYPE {
        WdfDeviceIoUndefined = 0,
        WdfDeviceIoNeither = 1,
        WdfDeviceIoBuffered = 2,
        WdfDeviceIoDirect = 3,
        WdfDeviceIoBufferedOrDirect = 4,
        WdfDeviceIoMaximum = 5,
    }
    _WDF_FILEOBJECT_CLASS WDF_FILEOBJECT_CLASS {
        WdfFileObjectInvalid = 0,
        WdfFileObjectNotRequired = 1,
        WdfFileObjectWdfCanUseFsContext = 2,
        WdfFileObjectWdfCanUseFsContext2 = 3,
        WdfFileObjectWdfCannotUseFsContexts = 4,
        WdfFileObjectCanBeOptional = -2_147_483_648,
    }
    _WDF_REQUEST_TYPE WDF_REQUEST_TYPE {
        WdfRequestTypeCreate = 0,
        WdfRequestTypeClose = 2,
        WdfRequestTypeRead = 3,
        WdfRequestTypeWrite = 4,
        WdfRequestTypeDeviceControl = 14,
        WdfRequestTypeDeviceControlInternal = 15,
        WdfRequestTypeCleanup = 18,
    }
    _WDF_IO_QUEUE_DISPATCH_TYPE WDF_IO_QUEUE_DISPATCH_TYPE {
        WdfIoQueueDispatchInvalid = 0,
        WdfIoQueueDispatchSequential = 1,
        WdfIoQueueDispatchParallel = 2,
        WdfIoQueueDispatchManual = 3,
        WdfIoQueueDispatchMax = 4,
    }
    _WDF_IO_QUEUE_STATE WDF_IO_QUEUE_STATE {
        WdfIoQueueAcceptRequests = 1,
        WdfIoQueueDispatchRequests = 2,
        WdfIoQueueNoRequests = 4,
        WdfIoQueueDriverNoRequests = 8,
        WdfIoQueuePnpHeld = 16,
    }
}
