//! Handles of devices, and requests on them.

use std::{
    collections::HashMap,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use windows_sys::Win32::{
    Foundation::{
        CloseHandle, DUPLICATE_SAME_ACCESS, DuplicateHandle, ERROR_INVALID_HANDLE, ERROR_IO_PENDING,
        GENERIC_READ, GENERIC_WRITE, HANDLE, INVALID_HANDLE_VALUE,
    },
    Storage::FileSystem::{
        CreateFileW, FILE_FLAG_OVERLAPPED, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING,
    },
    System::{
        IO::{CancelIoEx, DeviceIoControl, GetOverlappedResult, OVERLAPPED},
        Threading::{CreateEventW, GetCurrentProcess},
    },
};

use crate::{last_error, wide};

/// The stand-in framework's control code to ask what the opening of a file was answered, and whether this program has the
/// access that it wants.
const WAS_OPENED: u32 = 0x0022_3FFC;
/// Its control code to say that the last handle of a file is about to be closed.
const IS_CLOSING: u32 = 0x0022_3FF8;
/// A token that no order has.
const OWN_TOKEN: u32 = 0;

/// What is open and what is under way.
#[derive(Default)]
pub struct Devices {
    last: u32,
    open: HashMap<u32, Open>,
    calls: HashMap<u32, Arc<Call>>,
}

/// A handle.
#[derive(Clone, Copy)]
struct Open {
    handle: HANDLE,
    /// The number of the file's first handle.
    file: u32,
}

/// A request. It owns all that the system writes to until it has ended.
pub struct Call {
    handle: HANDLE,
    overlapped: *mut OVERLAPPED,
    output: *mut [u8],
    room: u32,
    input: *mut [u8],
    /// What sending it answered, if it was refused.
    failed: Option<u32>,
    /// Whether it had ended when it was sent.
    at_once: bool,
    ended: AtomicBool,
}

// SAFETY: the pointers are to memory of the request's own, which only the system writes to until the
// request has ended, and only the thread that waits for it reads after that.
unsafe impl Send for Call {}
// SAFETY: as above.
unsafe impl Sync for Call {}

/// How a request ended.
pub struct Outcome {
    pub error: u32,
    pub returned: u32,
    pub output: Vec<u8>,
}

impl Devices {
    /// Takes note of a handle: of the file of another one, or of a file of its own.
    fn add(&mut self, handle: HANDLE, of: Option<u32>) -> u32 {
        self.last += 1;
        let file = of.unwrap_or(self.last);
        self.open.insert(self.last, Open { handle, file });
        self.last
    }

    /// The system's handle of that number; an invalid one if there is none.
    pub fn handle(&self, handle: u32) -> HANDLE {
        self.open
            .get(&handle)
            .map_or(INVALID_HANDLE_VALUE, |open| open.handle)
    }

    pub fn open(&mut self, path: &str, wanted: u32) -> Result<u32, u32> {
        let access = if wanted & 2 == 0 {
            GENERIC_READ
        } else {
            GENERIC_READ | GENERIC_WRITE
        };
        let path = wide(path);
        // SAFETY: the path is terminated and outlives the call; the other pointers may be null.
        let handle = unsafe {
            CreateFileW(
                path.as_ptr(),
                access,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                ptr::null(),
                OPEN_EXISTING,
                FILE_FLAG_OVERLAPPED,
                ptr::null_mut(),
            )
        };
        if handle == INVALID_HANDLE_VALUE {
            return Err(last_error());
        }
        let number = self.add(handle, None);
        // Wine lets every opening succeed; the stand-in framework knows better.
        let asked = self.send(OWN_TOKEN, number, WAS_OPENED, wanted.to_le_bytes().to_vec(), 0);
        match asked.wait().error {
            0 => Ok(number),
            error => {
                self.close(number);
                Err(error)
            }
        }
    }

    pub fn close(&mut self, handle: u32) -> u32 {
        let Some(&Open { file, .. }) = self.open.get(&handle) else {
            return ERROR_INVALID_HANDLE;
        };
        if self.open.values().filter(|other| other.file == file).count() == 1 {
            // If the driver is gone there is nobody to tell.
            self.send(OWN_TOKEN, handle, IS_CLOSING, Vec::new(), 0).wait();
            self.let_calls_end(self.handle(handle));
        }
        let Some(Open { handle, .. }) = self.open.remove(&handle) else {
            return ERROR_INVALID_HANDLE;
        };
        // SAFETY: the handle is open and ours.
        if unsafe { CloseHandle(handle) } == 0 {
            last_error()
        } else {
            0
        }
    }

    /// Gives Wine time to bring back the calls that a driver ends because their handle is closed. On Windows they have
    /// ended when its closing returns.
    fn let_calls_end(&self, handle: HANDLE) {
        const PATIENCE: Duration = Duration::from_secs(10);
        let start = Instant::now();
        let under_way = |call: &Arc<Call>| call.handle == handle && !call.has_ended();
        while self.calls.values().any(under_way) && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn duplicate(&mut self, handle: u32) -> Result<u32, u32> {
        let file = self.open.get(&handle).map(|open| open.file);
        let mut second = ptr::null_mut();
        // SAFETY: the function asks for nothing.
        let this = unsafe { GetCurrentProcess() };
        // SAFETY: the out parameter is valid.
        let done = unsafe {
            DuplicateHandle(
                this,
                self.handle(handle),
                this,
                &raw mut second,
                0,
                0,
                DUPLICATE_SAME_ACCESS,
            )
        };
        if done == 0 {
            Err(last_error())
        } else {
            Ok(self.add(second, file))
        }
    }

    /// Sends a request.
    pub fn send(&mut self, token: u32, handle: u32, code: u32, input: Vec<u8>, room: u32) -> Arc<Call> {
        // The buffers stay until the request has ended; the small structure, which tells whether it has,
        // until this program ends.
        let output = Box::into_raw(vec![0_u8; room as usize].into_boxed_slice());
        let input = Box::into_raw(input.into_boxed_slice());
        let overlapped: *mut OVERLAPPED = Box::leak(Box::new(OVERLAPPED::default()));
        // SAFETY: all parameters may be null.
        let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
        // SAFETY: the structure was just made.
        unsafe { (*overlapped).hEvent = event };
        let handle = self.handle(handle);
        // SAFETY: both buffers and the structure stay until the request has ended.
        let done = unsafe {
            DeviceIoControl(
                handle,
                code,
                input.cast(),
                u32::try_from(input.len()).unwrap_or(u32::MAX),
                output.cast(),
                room,
                ptr::null_mut(),
                overlapped,
            )
        };
        let failed = (done == 0)
            .then(last_error)
            .filter(|error| *error != ERROR_IO_PENDING);
        let call = Arc::new(Call {
            handle,
            overlapped,
            output,
            room,
            input,
            failed,
            at_once: done != 0,
            ended: AtomicBool::new(false),
        });
        self.calls.retain(|_, call| !call.ended.load(Ordering::Acquire));
        self.calls.insert(token, Arc::clone(&call));
        call
    }

    /// Cancels a request; tells whether it was under way.
    pub fn cancel(&self, token: u32) -> bool {
        let Some(call) = self.calls.get(&token) else {
            return false;
        };
        // SAFETY: the structure is that of the request.
        call.failed.is_none() && unsafe { CancelIoEx(call.handle, call.overlapped) } != 0
    }

    /// Tells whether a request has ended.
    pub fn has_ended(&self, token: u32) -> bool {
        self.calls.get(&token).is_none_or(|call| call.has_ended())
    }
}

/// Calls `then` when a request has ended: at once if it has.
pub fn when_ended(call: Arc<Call>, then: impl FnOnce(Outcome) + Send + 'static) {
    if call.failed.is_some() || call.at_once {
        then(call.wait());
        return;
    }
    thread::spawn(move || then(call.wait()));
}

impl Call {
    fn has_ended(&self) -> bool {
        const STATUS_PENDING: usize = 0x103;
        // SAFETY: the structure stays for ever; the system writes this member last.
        let status = unsafe { (&raw const (*self.overlapped).Internal).read_volatile() };
        self.failed.is_some() || status != STATUS_PENDING
    }

    /// Waits for the end; called once.
    fn wait(&self) -> Outcome {
        let mut returned = 0;
        let error = self.failed.unwrap_or_else(|| {
            // SAFETY: the structure is that of the request, whose event it has; its handle may be closed
            // by now, but is then not used: the event tells of the end.
            let done = unsafe { GetOverlappedResult(self.handle, self.overlapped, &raw mut returned, 1) };
            if done == 0 { last_error() } else { 0 }
        });
        if error != 0 && self.failed.is_none() {
            // SAFETY: the request has ended.
            returned = u32::try_from(unsafe { (*self.overlapped).InternalHigh }).unwrap_or(u32::MAX);
        }
        let length = returned.min(self.room) as usize;
        // SAFETY: the request has ended, so nobody uses the buffer, and this is called once.
        let output = unsafe { Box::from_raw(self.output) };
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(self.input) });
        let output = output.get(..length).unwrap_or_default().to_vec();
        // SAFETY: the event is this request's, and the request has ended.
        let event = unsafe { (*self.overlapped).hEvent };
        // SAFETY: as above.
        unsafe { CloseHandle(event) };
        self.ended.store(true, Ordering::Release);
        Outcome {
            error,
            returned,
            output,
        }
    }
}
