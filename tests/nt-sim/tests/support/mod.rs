//! A driver for tests: its device does what the control code says, and notes what it sees.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::sync::{Arc, Mutex};

use nt_sim::{
    DriverName, Machine,
    io::{DeviceId, Dispatch, Irp, Major, NewDevice},
    ntstatus::NtStatus,
};

/// `CTL_CODE(FILE_DEVICE_UNKNOWN, function, METHOD_BUFFERED, access)`
pub const fn code(function: u32, access: u32) -> u32 {
    (0x22 << 16) | (access << 14) | (function << 2)
}

/// Gives the input back.
pub const ECHO: u32 = code(0x801, 0);
/// As [`ECHO`], and needs the right to read.
pub const ECHO_READ: u32 = code(0x801, 1);
/// As [`ECHO`], and needs the right to write.
pub const ECHO_WRITE: u32 = code(0x801, 2);
/// Is kept until it is cancelled or [`TestDevice::complete_pended`] is called.
pub const PEND: u32 = code(0x802, 0);
/// As [`PEND`], and does not mind being cancelled.
pub const PEND_DEAF: u32 = code(0x803, 0);
/// Fills the output with 7 and answers the status in the input.
pub const ANSWER: u32 = code(0x804, 0);
/// Says that it has written 1000 bytes.
pub const TOO_MUCH: u32 = code(0x805, 0);
/// Completes twice.
pub const TWICE: u32 = code(0x806, 0);

pub const DEVICE: &str = r"\Device\Test";
pub const LINK: &str = r"\DosDevices\Test";
pub const PATH: &str = r"\\.\Test";

#[derive(Default)]
pub struct TestDevice {
    pub seen: Mutex<Vec<String>>,
    pended: Mutex<Vec<Arc<Irp>>>,
}

impl TestDevice {
    pub fn note(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(what.into());
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub fn pended(&self) -> usize {
        self.pended.lock().unwrap().len()
    }

    pub fn complete_pended(&self, status: NtStatus) {
        let pended = std::mem::take(&mut *self.pended.lock().unwrap());
        for irp in pended {
            irp.complete(status, 0);
        }
    }

    fn unpend(&self, irp: &Arc<Irp>) -> bool {
        let mut pended = self.pended.lock().unwrap();
        let before = pended.len();
        pended.retain(|other| other.id() != irp.id());
        pended.len() < before
    }
}

impl Dispatch for TestDevice {
    fn create(&self, irp: &Arc<Irp>) {
        self.note("create");
        let status = if irp.file().name() == r"\refuse" {
            NtStatus::INSUFFICIENT_RESOURCES
        } else {
            NtStatus::SUCCESS
        };
        irp.complete(status, 0);
    }

    fn cleanup(&self, irp: &Arc<Irp>) {
        self.note("cleanup");
        irp.complete(NtStatus::SUCCESS, 0);
    }

    fn close(&self, irp: &Arc<Irp>) {
        self.note("close");
        irp.complete(NtStatus::SUCCESS, 0);
    }

    fn device_control(&self, irp: &Arc<Irp>) {
        let Major::DeviceControl(code) = irp.major() else {
            unreachable!()
        };
        let length = irp.input_length().min(irp.output_length());
        match code & !(3 << 14) {
            ECHO => irp.complete(NtStatus::SUCCESS, length),
            PEND | PEND_DEAF => {
                self.note("pend");
                self.pended.lock().unwrap().push(Arc::clone(irp));
                // The cancellation may have come before.
                if irp.is_cancelled() {
                    self.cancel(irp);
                }
            }
            ANSWER => {
                let mut status = [0; 4];
                // SAFETY: the test sends four bytes, and the request is not completed yet.
                unsafe { irp.system_buffer().copy_to(status.as_mut_ptr(), 4) };
                // SAFETY: the buffer has room for the output.
                unsafe { irp.system_buffer().write_bytes(7, irp.output_length()) };
                irp.complete(NtStatus(i32::from_le_bytes(status)), irp.output_length());
            }
            TOO_MUCH => irp.complete(NtStatus::SUCCESS, 1000),
            TWICE => {
                irp.complete(NtStatus::SUCCESS, 0);
                irp.complete(NtStatus::SUCCESS, 0);
            }
            _ => irp.complete(NtStatus::INVALID_DEVICE_REQUEST, 0),
        }
    }

    fn cancel(&self, irp: &Arc<Irp>) {
        if irp.major() != Major::DeviceControl(PEND_DEAF) && self.unpend(irp) {
            self.note("cancel");
            irp.complete(NtStatus::CANCELLED, 0);
        }
    }
}

/// Makes the test device on a machine, with a security descriptor of the test's choice.
pub fn add_device(machine: &Machine, sddl: &str, secure_open: bool) -> (Arc<TestDevice>, DeviceId) {
    let device = Arc::new(TestDevice::default());
    let driver = DriverName::new("test.sys");
    let id = machine
        .create_device(&NewDevice {
            driver: &driver,
            name: Some(DEVICE),
            sddl,
            secure_open,
            exclusive: false,
            dispatch: Arc::clone(&device) as Arc<dyn Dispatch>,
        })
        .unwrap();
    machine.create_symbolic_link(&driver, LINK, DEVICE).unwrap();
    machine.finish_device(id);
    (device, id)
}
