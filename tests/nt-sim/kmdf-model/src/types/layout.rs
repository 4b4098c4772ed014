//! Sizes and offsets on 64-bit Windows, held at compile time.

use core::mem::offset_of;

use super::{
    _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_1 as CreateParameters,
    _WDF_REQUEST_PARAMETERS__bindgen_ty_1__bindgen_ty_4 as DeviceIoControlParameters, WDF_DRIVER_CONFIG,
    WDF_DRIVER_GLOBALS, WDF_FILEOBJECT_CONFIG, WDF_IO_QUEUE_CONFIG, WDF_OBJECT_ATTRIBUTES,
    WDF_OBJECT_CONTEXT_TYPE_INFO, WDF_REQUEST_PARAMETERS,
};

macro_rules! layouts {
    ($($name:ident $size:literal { $($field:ident @ $offset:literal,)* })*) => {
        /// Structures with their sizes and the offsets of their fields, to hold C headers against.
        pub(crate) const LAYOUTS: &[crate::table::Layout] =
            &[$((stringify!($name), $size, &[$((stringify!($field), $offset)),*])),*];

        #[cfg(target_pointer_width = "64")]
        const _: () = {$(
            assert!(size_of::<$name>() == $size);
            $(assert!(offset_of!($name, $field) == $offset);)*
        )*};
    };
}

layouts! {
    WDF_DRIVER_GLOBALS 56 { Driver @ 0, DriverFlags @ 8, DriverTag @ 12, DriverName @ 16, DisplaceDriverUnload @ 48, }
    WDF_DRIVER_CONFIG 32 {
        Size @ 0, EvtDriverDeviceAdd @ 8, EvtDriverUnload @ 16, DriverInitFlags @ 24, DriverPoolTag @ 28,
    }
    WDF_OBJECT_ATTRIBUTES 56 {
        Size @ 0, EvtCleanupCallback @ 8, EvtDestroyCallback @ 16, ExecutionLevel @ 24,
        SynchronizationScope @ 28, ParentObject @ 32, ContextSizeOverride @ 40, ContextTypeInfo @ 48,
    }
    WDF_OBJECT_CONTEXT_TYPE_INFO 40 {
        Size @ 0, ContextName @ 8, ContextSize @ 16, UniqueType @ 24, EvtDriverGetUniqueContextType @ 32,
    }
    WDF_FILEOBJECT_CONFIG 40 {
        Size @ 0, EvtDeviceFileCreate @ 8, EvtFileClose @ 16, EvtFileCleanup @ 24,
        AutoForwardCleanupClose @ 32, FileObjectClass @ 36,
    }
    WDF_IO_QUEUE_CONFIG 96 {
        Size @ 0, DispatchType @ 4, PowerManaged @ 8, AllowZeroLengthRequests @ 12, DefaultQueue @ 13,
        EvtIoDefault @ 16, EvtIoRead @ 24, EvtIoWrite @ 32, EvtIoDeviceControl @ 40,
        EvtIoInternalDeviceControl @ 48, EvtIoStop @ 56, EvtIoResume @ 64, EvtIoCanceledOnQueue @ 72,
        Settings @ 80, Driver @ 88,
    }
    WDF_REQUEST_PARAMETERS 40 { Size @ 0, MinorFunction @ 2, Type @ 4, Parameters @ 8, }
    CreateParameters 24 { SecurityContext @ 0, Options @ 8, FileAttributes @ 16, ShareAccess @ 18, EaLength @ 20, }
    DeviceIoControlParameters 32 {
        OutputBufferLength @ 0, InputBufferLength @ 8, IoControlCode @ 16, Type3InputBuffer @ 24,
    }
}
