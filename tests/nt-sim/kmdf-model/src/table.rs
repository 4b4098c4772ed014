//! The table of the KMDF functions that the model has.
//!
//! One list serves all who need it: [`Kmdf`](crate::Kmdf)'s methods are made from it, [`FUNCTIONS`]
//! describes it, and a front end makes its own entry points from it by
//! [`for_each_function!`](crate::for_each_function). The index is the function's place in the table
//! that a driver receives when it binds to the framework; the level is the highest IRQL at which
//! the function's documentation page allows it. `DriverGlobals`, the first parameter of each, is
//! left out.

/// The structures of [`crate::types`] with their sizes and the offsets of their fields, to hold C headers against.
pub const LAYOUTS: &[Layout] = crate::types::LAYOUTS;

/// A structure: its name, its size, and its fields with their offsets, in bytes.
pub type Layout = (&'static str, usize, &'static [(&'static str, usize)]);

/// The constants of all enumerations of [`crate::types`], to hold C headers against.
pub const CONSTANTS: &[(&str, core::ffi::c_int)] = crate::types::CONSTANTS;

/// Invokes a macro on the list of functions: `index name level fn(parameters) -> result;` each.
///
/// The types are those of [`crate::types`] and [`sim_platform::nt`], which the caller must have in
/// scope; the level is `PASSIVE` or `DISPATCH`.
#[macro_export]
macro_rules! for_each_function {
    ($($with:ident)::+) => {
        $($with)::+! {
            25 WdfControlDeviceInitAllocate PASSIVE fn(
                Driver: WDFDRIVER,
                SDDLString: *const UNICODE_STRING
            ) -> PWDFDEVICE_INIT;
            27 WdfControlFinishInitializing PASSIVE fn(Device: WDFDEVICE);
            39 WdfDeviceGetDriver DISPATCH fn(Device: WDFDEVICE) -> WDFDRIVER;
            54 WdfDeviceInitFree PASSIVE fn(DeviceInit: PWDFDEVICE_INIT);
            61 WdfDeviceInitSetIoType PASSIVE fn(DeviceInit: PWDFDEVICE_INIT, IoType: WDF_DEVICE_IO_TYPE);
            62 WdfDeviceInitSetExclusive PASSIVE fn(DeviceInit: PWDFDEVICE_INIT, IsExclusive: BOOLEAN);
            66 WdfDeviceInitSetDeviceType PASSIVE fn(DeviceInit: PWDFDEVICE_INIT, DeviceType: ULONG);
            67 WdfDeviceInitAssignName PASSIVE fn(
                DeviceInit: PWDFDEVICE_INIT,
                DeviceName: PCUNICODE_STRING
            ) -> NTSTATUS;
            68 WdfDeviceInitAssignSDDLString PASSIVE fn(
                DeviceInit: PWDFDEVICE_INIT,
                SDDLString: PCUNICODE_STRING
            ) -> NTSTATUS;
            70 WdfDeviceInitSetCharacteristics PASSIVE fn(
                DeviceInit: PWDFDEVICE_INIT,
                DeviceCharacteristics: ULONG,
                OrInValues: BOOLEAN
            );
            71 WdfDeviceInitSetFileObjectConfig PASSIVE fn(
                DeviceInit: PWDFDEVICE_INIT,
                FileObjectConfig: PWDF_FILEOBJECT_CONFIG,
                FileObjectAttributes: PWDF_OBJECT_ATTRIBUTES
            );
            72 WdfDeviceInitSetRequestAttributes PASSIVE fn(
                DeviceInit: PWDFDEVICE_INIT,
                RequestAttributes: PWDF_OBJECT_ATTRIBUTES
            );
            75 WdfDeviceCreate PASSIVE fn(
                DeviceInit: *mut PWDFDEVICE_INIT,
                DeviceAttributes: PWDF_OBJECT_ATTRIBUTES,
                Device: *mut WDFDEVICE
            ) -> NTSTATUS;
            80 WdfDeviceCreateSymbolicLink PASSIVE fn(
                Device: WDFDEVICE,
                SymbolicLinkName: PCUNICODE_STRING
            ) -> NTSTATUS;
            92 WdfDeviceGetDefaultQueue DISPATCH fn(Device: WDFDEVICE) -> WDFQUEUE;
            116 WdfDriverCreate PASSIVE fn(
                DriverObject: PDRIVER_OBJECT,
                RegistryPath: PCUNICODE_STRING,
                DriverAttributes: PWDF_OBJECT_ATTRIBUTES,
                DriverConfig: PWDF_DRIVER_CONFIG,
                Driver: *mut WDFDRIVER
            ) -> NTSTATUS;
            117 WdfDriverGetRegistryPath PASSIVE fn(Driver: WDFDRIVER) -> PWSTR;
            118 WdfDriverWdmGetDriverObject PASSIVE fn(Driver: WDFDRIVER) -> PDRIVER_OBJECT;
            119 WdfDriverOpenParametersRegistryKey PASSIVE fn(
                Driver: WDFDRIVER,
                DesiredAccess: ACCESS_MASK,
                KeyAttributes: PWDF_OBJECT_ATTRIBUTES,
                Key: *mut WDFKEY
            ) -> NTSTATUS;
            137 WdfFileObjectGetFileName PASSIVE fn(FileObject: WDFFILEOBJECT) -> PUNICODE_STRING;
            139 WdfFileObjectGetDevice DISPATCH fn(FileObject: WDFFILEOBJECT) -> WDFDEVICE;
            152 WdfIoQueueCreate DISPATCH fn(
                Device: WDFDEVICE,
                Config: PWDF_IO_QUEUE_CONFIG,
                QueueAttributes: PWDF_OBJECT_ATTRIBUTES,
                Queue: *mut WDFQUEUE
            ) -> NTSTATUS;
            153 WdfIoQueueGetState DISPATCH fn(
                Queue: WDFQUEUE,
                QueueRequests: PULONG,
                DriverRequests: PULONG
            ) -> WDF_IO_QUEUE_STATE;
            154 WdfIoQueueStart DISPATCH fn(Queue: WDFQUEUE);
            155 WdfIoQueueStop DISPATCH fn(
                Queue: WDFQUEUE,
                StopComplete: PFN_WDF_IO_QUEUE_STATE,
                Context: WDFCONTEXT
            );
            156 WdfIoQueueStopSynchronously PASSIVE fn(Queue: WDFQUEUE);
            157 WdfIoQueueGetDevice DISPATCH fn(Queue: WDFQUEUE) -> WDFDEVICE;
            164 WdfIoQueuePurgeSynchronously PASSIVE fn(Queue: WDFQUEUE);
            165 WdfIoQueuePurge DISPATCH fn(
                Queue: WDFQUEUE,
                PurgeComplete: PFN_WDF_IO_QUEUE_STATE,
                Context: WDFCONTEXT
            );
            202 WdfObjectGetTypedContextWorker DISPATCH fn(
                Handle: WDFOBJECT,
                TypeInfo: PCWDF_OBJECT_CONTEXT_TYPE_INFO
            ) -> PVOID;
            203 WdfObjectAllocateContext DISPATCH fn(
                Handle: WDFOBJECT,
                ContextAttributes: PWDF_OBJECT_ATTRIBUTES,
                Context: *mut PVOID
            ) -> NTSTATUS;
            204 WdfObjectContextGetObject DISPATCH fn(ContextPointer: PVOID) -> WDFOBJECT;
            205 WdfObjectReferenceActual DISPATCH fn(Handle: WDFOBJECT, Tag: PVOID, Line: LONG, File: PCCH);
            206 WdfObjectDereferenceActual DISPATCH fn(Handle: WDFOBJECT, Tag: PVOID, Line: LONG, File: PCCH);
            207 WdfObjectCreate DISPATCH fn(
                Attributes: PWDF_OBJECT_ATTRIBUTES,
                Object: *mut WDFOBJECT
            ) -> NTSTATUS;
            208 WdfObjectDelete DISPATCH fn(Object: WDFOBJECT);
            229 WdfRegistryOpenKey PASSIVE fn(
                ParentKey: WDFKEY,
                KeyName: PCUNICODE_STRING,
                DesiredAccess: ACCESS_MASK,
                KeyAttributes: PWDF_OBJECT_ATTRIBUTES,
                Key: *mut WDFKEY
            ) -> NTSTATUS;
            230 WdfRegistryCreateKey PASSIVE fn(
                ParentKey: WDFKEY,
                KeyName: PCUNICODE_STRING,
                DesiredAccess: ACCESS_MASK,
                CreateOptions: ULONG,
                CreateDisposition: PULONG,
                KeyAttributes: PWDF_OBJECT_ATTRIBUTES,
                Key: *mut WDFKEY
            ) -> NTSTATUS;
            231 WdfRegistryClose PASSIVE fn(Key: WDFKEY);
            232 WdfRegistryWdmGetHandle PASSIVE fn(Key: WDFKEY) -> HANDLE;
            233 WdfRegistryRemoveKey PASSIVE fn(Key: WDFKEY) -> NTSTATUS;
            234 WdfRegistryRemoveValue PASSIVE fn(Key: WDFKEY, ValueName: PCUNICODE_STRING) -> NTSTATUS;
            235 WdfRegistryQueryValue PASSIVE fn(
                Key: WDFKEY,
                ValueName: PCUNICODE_STRING,
                ValueLength: ULONG,
                Value: PVOID,
                ValueLengthQueried: PULONG,
                ValueType: PULONG
            ) -> NTSTATUS;
            238 WdfRegistryQueryUnicodeString PASSIVE fn(
                Key: WDFKEY,
                ValueName: PCUNICODE_STRING,
                ValueByteLength: PUSHORT,
                Value: PUNICODE_STRING
            ) -> NTSTATUS;
            240 WdfRegistryQueryULong PASSIVE fn(
                Key: WDFKEY,
                ValueName: PCUNICODE_STRING,
                Value: PULONG
            ) -> NTSTATUS;
            241 WdfRegistryAssignValue PASSIVE fn(
                Key: WDFKEY,
                ValueName: PCUNICODE_STRING,
                ValueType: ULONG,
                ValueLength: ULONG,
                Value: PVOID
            ) -> NTSTATUS;
            244 WdfRegistryAssignUnicodeString PASSIVE fn(
                Key: WDFKEY,
                ValueName: PCUNICODE_STRING,
                Value: PCUNICODE_STRING
            ) -> NTSTATUS;
            246 WdfRegistryAssignULong PASSIVE fn(
                Key: WDFKEY,
                ValueName: PCUNICODE_STRING,
                Value: ULONG
            ) -> NTSTATUS;
            255 WdfRequestMarkCancelable DISPATCH fn(
                Request: WDFREQUEST,
                EvtRequestCancel: PFN_WDF_REQUEST_CANCEL
            );
            256 WdfRequestUnmarkCancelable DISPATCH fn(Request: WDFREQUEST) -> NTSTATUS;
            257 WdfRequestIsCanceled DISPATCH fn(Request: WDFREQUEST) -> BOOLEAN;
            259 WdfRequestIsFrom32BitProcess DISPATCH fn(Request: WDFREQUEST) -> BOOLEAN;
            263 WdfRequestComplete DISPATCH fn(Request: WDFREQUEST, Status: NTSTATUS);
            264 WdfRequestCompleteWithPriorityBoost DISPATCH fn(
                Request: WDFREQUEST,
                Status: NTSTATUS,
                PriorityBoost: CCHAR
            );
            265 WdfRequestCompleteWithInformation DISPATCH fn(
                Request: WDFREQUEST,
                Status: NTSTATUS,
                Information: ULONG_PTR
            );
            266 WdfRequestGetParameters DISPATCH fn(Request: WDFREQUEST, Parameters: PWDF_REQUEST_PARAMETERS);
            269 WdfRequestRetrieveInputBuffer DISPATCH fn(
                Request: WDFREQUEST,
                MinimumRequiredLength: usize,
                Buffer: *mut PVOID,
                Length: *mut usize
            ) -> NTSTATUS;
            270 WdfRequestRetrieveOutputBuffer DISPATCH fn(
                Request: WDFREQUEST,
                MinimumRequiredSize: usize,
                Buffer: *mut PVOID,
                Length: *mut usize
            ) -> NTSTATUS;
            275 WdfRequestSetInformation DISPATCH fn(Request: WDFREQUEST, Information: ULONG_PTR);
            276 WdfRequestGetInformation DISPATCH fn(Request: WDFREQUEST) -> ULONG_PTR;
            277 WdfRequestGetFileObject DISPATCH fn(Request: WDFREQUEST) -> WDFFILEOBJECT;
            280 WdfRequestGetRequestorMode DISPATCH fn(Request: WDFREQUEST) -> KPROCESSOR_MODE;
            282 WdfRequestGetIoQueue DISPATCH fn(Request: WDFREQUEST) -> WDFQUEUE;
            315 WdfSpinLockCreate DISPATCH fn(
                SpinLockAttributes: PWDF_OBJECT_ATTRIBUTES,
                SpinLock: *mut WDFSPINLOCK
            ) -> NTSTATUS;
            316 WdfSpinLockAcquire DISPATCH fn(SpinLock: WDFSPINLOCK);
            317 WdfSpinLockRelease DISPATCH fn(SpinLock: WDFSPINLOCK);
            393 WdfRequestMarkCancelableEx DISPATCH fn(
                Request: WDFREQUEST,
                EvtRequestCancel: PFN_WDF_REQUEST_CANCEL
            ) -> NTSTATUS;
            446 WdfFileObjectGetInitiatorProcessId DISPATCH fn(FileObject: WDFFILEOBJECT) -> ULONG;
            447 WdfRequestGetRequestorProcessId DISPATCH fn(Request: WDFREQUEST) -> ULONG;
        }
    };
}

/// One function of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its place in the table that a driver binds to.
    pub index: u32,
    /// Its name.
    pub name: &'static str,
    /// The highest IRQL at which it may be called.
    pub highest_irql: u8,
    /// Its parameters after `DriverGlobals`, and its result.
    pub prototype: &'static str,
}

/// Highest IRQL of functions that may block or touch paged memory.
pub(crate) const PASSIVE: u8 = 0;
/// Highest IRQL of all other functions.
pub(crate) const DISPATCH: u8 = 2;

macro_rules! describe {
    ($($index:literal $name:ident $level:ident fn($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {
        /// The functions that the model has, in the order of their indices.
        pub const FUNCTIONS: &[Function] = &[$(
            Function {
                index: $index,
                name: stringify!($name),
                highest_irql: $level,
                prototype: stringify!(($($arg: $ty),*) $(-> $ret)?),
            },
        )*];
    };
}
for_each_function!(describe);
