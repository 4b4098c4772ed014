//! The I/O manager's requests on their way into the framework.

use std::sync::Arc;

use kmdf_model::{CreateIrp, DeviceControlIrp, DeviceId, FileId, IrpId, Requestor};

use crate::{
    KPROCESSOR_MODE, Machine,
    io::{self, Dispatch, Irp, Major},
    ntstatus::NtStatus,
    thread,
};

/// A device of the framework, as the I/O manager sees it.
pub(super) struct FrameworkDevice(pub(super) DeviceId);

/// By which name the framework knows a request.
fn irp_id(irp: &Irp) -> IrpId {
    // Numbers of requests are counted from 1 in each machine; none can reach the width of usize.
    IrpId(usize::try_from(irp.id().0).unwrap_or(usize::MAX))
}

/// By which number the I/O manager knows it.
pub(super) const fn number_of(irp: IrpId) -> io::IrpId {
    io::IrpId(irp.0 as u64)
}

fn file_id(irp: &Irp) -> FileId {
    FileId(usize::try_from(irp.file_id().0).unwrap_or(usize::MAX))
}

/// `UserMode`
const USER_MODE: KPROCESSOR_MODE = 1;

const REQUESTOR: Requestor = Requestor {
    mode: USER_MODE,
    process_id: 0,
    is_32_bit: false,
};

/// Hands a request over to the framework until [`super::host::SimHost`] completes it.
fn hand_over(irp: &Arc<Irp>) -> IrpId {
    thread::with(|current| {
        let irps = &current.machine.wdf_state().irps;
        irps.with(|irps| irps.insert(Arc::clone(irp)));
    });
    irp_id(irp)
}

impl Dispatch for FrameworkDevice {
    fn create(&self, irp: &Arc<Irp>) {
        let name: Vec<u16> = irp.file().name().encode_utf16().collect();
        Machine::current().wdf_state().kmdf.create(
            self.0,
            &CreateIrp {
                irp: hand_over(irp),
                file: file_id(irp),
                name: &name,
                requestor: REQUESTOR,
            },
        );
    }

    fn cleanup(&self, irp: &Arc<Irp>) {
        Machine::current().wdf_state().kmdf.cleanup(self.0, file_id(irp));
        irp.complete(NtStatus::SUCCESS, 0);
    }

    fn close(&self, irp: &Arc<Irp>) {
        Machine::current().wdf_state().kmdf.close(self.0, file_id(irp));
        irp.complete(NtStatus::SUCCESS, 0);
    }

    fn device_control(&self, irp: &Arc<Irp>) {
        let Major::DeviceControl(code) = irp.major() else {
            irp.complete(NtStatus::INVALID_DEVICE_REQUEST, 0);
            return;
        };
        let control = DeviceControlIrp {
            irp: hand_over(irp),
            file: file_id(irp),
            code,
            buffer: irp.system_buffer().cast(),
            input_length: irp.input_length(),
            output_length: irp.output_length(),
            requestor: REQUESTOR,
        };
        thread::with(|current| current.machine.wdf_state().kmdf.device_control(self.0, &control));
    }

    fn cancel(&self, irp: &Arc<Irp>) {
        Machine::current().wdf_state().kmdf.cancel(irp_id(irp));
    }
}
