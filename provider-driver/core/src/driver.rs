//! The driver: what `DriverEntry` starts, and unload ends.
//!
//! Start: state, device, then the host thread, which registers with NMR. Stop, also after a start that failed: the host
//! thread, which deregisters and joins the journal threads; then the device.

use nsemail_contract::wire::EventKind;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::status::{NtStatus, out_of_memory};
use nsemail_kernel::thread::Thread;
use nsemail_kernel::wdf::{self, ControlDevice, Driver, DriverHandle};
use pool_alloc::Arc;
use wdk_sys::{DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING};

use crate::device::{self, AdminDevice};
use crate::host::{Common, Host};
use crate::memory::{FRAMEWORK_TAG, Memory};
use crate::parameters::Settings;

/// The driver while it is loaded.
struct ProviderDriver {
    host: Arc<Host, Memory>,
    device: Option<ControlDevice<AdminDevice>>,
    thread: Option<Thread>,
}

impl ProviderDriver {
    fn try_new(driver: DriverHandle, passive: Passive<'_>) -> Result<Self, NtStatus> {
        let settings = Settings::read(driver.parameters(passive).ok().as_ref(), passive);
        let common = Common::try_new(settings).map_err(out_of_memory)?;
        let common = Arc::try_new_in(common, Memory::default()).map_err(out_of_memory)?;
        let host = Arc::try_new_in(Host::new(common), Memory::default()).map_err(out_of_memory)?;
        Ok(Self {
            host,
            device: None,
            thread: None,
        })
    }
}

impl Driver for ProviderDriver {
    fn start(&mut self, driver: DriverHandle, passive: Passive<'_>) -> Result<(), NtStatus> {
        let device = AdminDevice::new(self.host.clone());
        let device = &*self
            .device
            .insert(ControlDevice::create(driver, passive, device::CONFIG, device)?);
        let host = self.host.clone();
        let body = move |passive: Passive<'_>| host.run(driver, passive);
        let thread =
            Thread::spawn(passive, Memory::default(), body).map_err(|not_started| not_started.status)?;
        self.thread = Some(thread);
        device.finish_initializing(passive);
        self.host.common().event(
            EventKind::STARTED,
            None,
            [0; 2],
            format_args!("the driver started"),
        );
        Ok(())
    }

    fn unload(self, passive: Passive<'_>) {
        if let Some(thread) = self.thread {
            self.host.stop();
            thread.join(passive);
        }
        if let Some(device) = self.device {
            device.delete(passive);
        }
    }
}

/// The driver's entry point.
///
/// # Safety
///
/// Called by the kernel, once, at `PASSIVE_LEVEL`, with the driver's object and the path of its registry key.
pub unsafe extern "system" fn driver_entry(
    driver: *mut DRIVER_OBJECT,
    registry_path: PCUNICODE_STRING,
) -> NTSTATUS {
    // SAFETY: passed on to the caller; nothing follows.
    unsafe { wdf::create(driver, registry_path, FRAMEWORK_TAG, ProviderDriver::try_new) }
}
