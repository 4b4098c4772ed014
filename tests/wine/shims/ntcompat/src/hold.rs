//! A flush that a test can hold.
//!
//! While the file `hold-flush` is in the directory [`DIRECTORY`], whoever flushes a file waits. That one
//! waits is seen from the file `flush-held`, which is there as long.

use sim_platform::nt::{HANDLE, IO_STATUS_BLOCK, LARGE_INTEGER, NTSTATUS};
use wine_kernel::{log, nt};

use crate::{
    file::{File, Want, attributes},
    wide,
};

/// The test's file.
const HOLD: &[u16] = wide!(r"\??\C:\nsemail-test\hold-flush");
/// The answer to it.
const HELD: &[u16] = wide!(r"\??\C:\nsemail-test\flush-held");
/// How often is looked whether the hold is over: 5 ms, in the kernel's unit, relative.
const INTERVAL: i64 = -50_000;

fn is_held() -> bool {
    let mut name = nt::counted(HOLD);
    let mut attributes = attributes(&mut name);
    // FILE_BASIC_INFORMATION
    let mut information = [0_u64; 5];
    // SAFETY: attributes and name are valid during the call, and the buffer is large enough.
    let status = unsafe { nt::NtQueryAttributesFile(&raw mut attributes, information.as_mut_ptr().cast()) };
    status >= 0
}

fn wait() {
    if !is_held() {
        return;
    }
    log!("NTCOMPAT: a flush is held");
    if let Err(status) = File::open(HELD, Want::Make) {
        log!("NTCOMPAT: cannot tell of it: {status:#010X}");
    }
    while is_held() {
        let mut interval = LARGE_INTEGER { QuadPart: INTERVAL };
        // SAFETY: the interval is valid.
        unsafe { nt::KeDelayExecutionThread(0, 0, &raw mut interval) };
    }
    let mut name = nt::counted(HELD);
    let mut attributes = attributes(&mut name);
    // SAFETY: attributes and name are valid during the call.
    unsafe { nt::ZwDeleteFile(&raw mut attributes) };
    log!("NTCOMPAT: the flush goes on");
}

/// See `ZwFlushBuffersFile` in the driver documentation.
// SAFETY: no other item of the image has this name.
#[unsafe(no_mangle)]
unsafe extern "system" fn ZwFlushBuffersFile(file: HANDLE, io: *mut IO_STATUS_BLOCK) -> NTSTATUS {
    wait();
    // SAFETY: the caller's promise.
    unsafe { nt::NtFlushBuffersFile(file, io) }
}
