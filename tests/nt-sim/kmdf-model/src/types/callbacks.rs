//! Event callbacks. A null pointer, `None` here, is a callback that the driver does not have.

use sim_platform::nt::{NTSTATUS, ULONG};

use super::{
    PCWDF_OBJECT_CONTEXT_TYPE_INFO, PWDFDEVICE_INIT, WDFCONTEXT, WDFDEVICE, WDFDRIVER, WDFFILEOBJECT,
    WDFOBJECT, WDFQUEUE, WDFREQUEST,
};

macro_rules! callbacks {
    ($($event:ident $pointer:ident fn($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {$(
        pub type $event = Option<unsafe extern "C" fn($($arg: $ty),*) $(-> $ret)?>;
        pub type $pointer = $event;
    )*};
}

callbacks! {
    EVT_WDF_OBJECT_CONTEXT_CLEANUP PFN_WDF_OBJECT_CONTEXT_CLEANUP fn(Object: WDFOBJECT);
    EVT_WDF_OBJECT_CONTEXT_DESTROY PFN_WDF_OBJECT_CONTEXT_DESTROY fn(Object: WDFOBJECT);
    EVT_WDF_DRIVER_DEVICE_ADD PFN_WDF_DRIVER_DEVICE_ADD
        fn(Driver: WDFDRIVER, DeviceInit: PWDFDEVICE_INIT) -> NTSTATUS;
    EVT_WDF_DRIVER_UNLOAD PFN_WDF_DRIVER_UNLOAD fn(Driver: WDFDRIVER);
    EVT_WDF_DEVICE_FILE_CREATE PFN_WDF_DEVICE_FILE_CREATE
        fn(Device: WDFDEVICE, Request: WDFREQUEST, FileObject: WDFFILEOBJECT);
    EVT_WDF_FILE_CLOSE PFN_WDF_FILE_CLOSE fn(FileObject: WDFFILEOBJECT);
    EVT_WDF_FILE_CLEANUP PFN_WDF_FILE_CLEANUP fn(FileObject: WDFFILEOBJECT);
    EVT_WDF_REQUEST_CANCEL PFN_WDF_REQUEST_CANCEL fn(Request: WDFREQUEST);
    EVT_WDF_IO_QUEUE_IO_DEFAULT PFN_WDF_IO_QUEUE_IO_DEFAULT fn(Queue: WDFQUEUE, Request: WDFREQUEST);
    EVT_WDF_IO_QUEUE_IO_STOP PFN_WDF_IO_QUEUE_IO_STOP
        fn(Queue: WDFQUEUE, Request: WDFREQUEST, ActionFlags: ULONG);
    EVT_WDF_IO_QUEUE_IO_RESUME PFN_WDF_IO_QUEUE_IO_RESUME fn(Queue: WDFQUEUE, Request: WDFREQUEST);
    EVT_WDF_IO_QUEUE_IO_READ PFN_WDF_IO_QUEUE_IO_READ
        fn(Queue: WDFQUEUE, Request: WDFREQUEST, Length: usize);
    EVT_WDF_IO_QUEUE_IO_WRITE PFN_WDF_IO_QUEUE_IO_WRITE
        fn(Queue: WDFQUEUE, Request: WDFREQUEST, Length: usize);
    EVT_WDF_IO_QUEUE_IO_DEVICE_CONTROL PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL
        fn(
            Queue: WDFQUEUE,
            Request: WDFREQUEST,
            OutputBufferLength: usize,
            InputBufferLength: usize,
            IoControlCode: ULONG
        );
    EVT_WDF_IO_QUEUE_IO_INTERNAL_DEVICE_CONTROL PFN_WDF_IO_QUEUE_IO_INTERNAL_DEVICE_CONTROL
        fn(
            Queue: WDFQUEUE,
            Request: WDFREQUEST,
            OutputBufferLength: usize,
            InputBufferLength: usize,
            IoControlCode: ULONG
        );
    EVT_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE PFN_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE
        fn(Queue: WDFQUEUE, Request: WDFREQUEST);
    EVT_WDF_IO_QUEUE_STATE PFN_WDF_IO_QUEUE_STATE fn(Queue: WDFQUEUE, Context: WDFCONTEXT);
}

pub type PFN_GET_UNIQUE_CONTEXT_TYPE = Option<unsafe extern "C" fn() -> PCWDF_OBJECT_CONTEXT_TYPE_INFO>;
