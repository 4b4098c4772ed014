//! Threads of a module's own.

use alloc::boxed::Box;
use core::{ffi::c_void, ptr};

use sim_platform::nt::{HANDLE, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, THREAD_ALL_ACCESS};

use crate::{log, nt};

type Body = Box<dyn FnOnce() + Send>;

/// Runs `body` on a new thread, which nobody waits for.
pub fn spawn(body: impl FnOnce() + Send + 'static) {
    let body: Body = Box::new(body);
    let context = Box::into_raw(Box::new(body));
    let mut handle: HANDLE = ptr::null_mut();
    let mut attributes = OBJECT_ATTRIBUTES {
        Length: nt::size_u32::<OBJECT_ATTRIBUTES>(),
        Attributes: OBJ_KERNEL_HANDLE,
        ..OBJECT_ATTRIBUTES::default()
    };
    // SAFETY: the out parameter and the attributes are valid; the start routine gets its context.
    let status = unsafe {
        nt::PsCreateSystemThread(
            &raw mut handle,
            THREAD_ALL_ACCESS,
            &raw mut attributes,
            ptr::null_mut(),
            ptr::null_mut(),
            start,
            context.cast(),
        )
    };
    if status < 0 {
        log!("no thread can be made: {status:#010X}");
        // SAFETY: no thread has it.
        let body = unsafe { Box::from_raw(context) };
        // Late is better than never.
        body();
        return;
    }
    // SAFETY: the handle was just made.
    unsafe { nt::ZwClose(handle) };
}

unsafe extern "system" fn start(context: *mut c_void) {
    // SAFETY: it is what `spawn` passed, to this thread alone.
    let body: Box<Body> = unsafe { Box::from_raw(context.cast()) };
    body();
}
