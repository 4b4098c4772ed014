//! System threads with a closure as their body.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use allocator_api2::alloc::Allocator;
use pool_alloc::Box;
use wdk_sys::ntddk::{
    KeWaitForSingleObject, ObReferenceObjectByHandle, ObfDereferenceObject, PsCreateSystemThread,
};
use wdk_sys::{_KWAIT_REASON, HANDLE, PVOID};

use crate::irql::Passive;
use crate::object::{Handle, attributes};
use crate::status::{NtStatus, OUT_OF_MEMORY};

/// `THREAD_ALL_ACCESS` of ntifs.h.
const THREAD_ALL_ACCESS: u32 = 0x001F_FFFF;

/// `SYNCHRONIZE` of wdm.h.
const SYNCHRONIZE: u32 = 0x0010_0000;

/// A thread of the driver.
///
/// It must be joined: a driver whose code is unloaded under a running thread takes the system down. Dropping
/// it instead is therefore a bug of the driver and stops at once, with a panic (which is a bug check).
#[must_use = "a thread must be joined before the driver unloads"]
pub struct Thread {
    handle: Option<Handle>,
}

/// Why a thread did not start, with its body given back.
pub struct NotStarted<F> {
    /// What the kernel answered.
    pub status: NtStatus,
    /// The body, which has not run and never will.
    pub body: F,
}

impl Thread {
    /// Starts a thread that runs `body` and ends.
    ///
    /// Source: `PsCreateSystemThread`. The witness that `body` gets is its own: system threads start at
    /// `PASSIVE_LEVEL`.
    ///
    /// # Errors
    /// [`NotStarted`] with the body: out of memory, or what the kernel answers.
    pub fn spawn<F, A>(_: Passive<'_>, alloc: A, body: F) -> Result<Self, NotStarted<F>>
    where
        F: FnOnce(Passive<'_>) + Send + 'static,
        A: Allocator + Default + Send + 'static,
    {
        let Ok(memory): Result<Box<MaybeUninit<F>, A>, _> = Box::<F, A>::try_new_uninit_in(alloc) else {
            return Err(NotStarted {
                status: OUT_OF_MEMORY,
                body,
            });
        };
        let context = Box::into_raw(Box::<F, A>::write(memory, body)).cast::<c_void>();
        let mut handle: HANDLE = core::ptr::null_mut();
        let mut attributes = attributes(core::ptr::null_mut(), None);
        // SAFETY: the out parameter and the attributes are valid; a null process means the system process;
        // the start routine takes ownership of the context, whose types are its own, and both are Send. The
        // thread is at PASSIVE_LEVEL, as the witness says.
        let status = unsafe {
            PsCreateSystemThread(
                &raw mut handle,
                THREAD_ALL_ACCESS,
                &raw mut attributes,
                core::ptr::null_mut(),
                core::ptr::null_mut(),
                Some(start::<F, A>),
                context,
            )
        };
        if let Err(status) = NtStatus(status).ok() {
            // SAFETY: no thread was created, so the box is still ours.
            let body = unsafe { Box::<F, A>::from_raw_in(context.cast(), A::default()) };
            return Err(NotStarted {
                status,
                body: Box::into_inner(body),
            });
        }
        // SAFETY: the kernel just made this kernel handle for us.
        let handle = unsafe { Handle::from_raw(handle) };
        Ok(Self { handle: Some(handle) })
    }

    /// Waits until the thread has ended and no longer runs any code of the driver.
    ///
    /// It waits for the thread itself: unlike an event that the thread sets as its last act, this also covers
    /// the instructions after that act.
    ///
    /// # Panics
    /// If the kernel does not know the thread by its own handle, which would be an error in the kernel.
    pub fn join(mut self, _: Passive<'_>) {
        let Some(handle) = self.handle.take() else {
            return;
        };
        let mut thread: PVOID = core::ptr::null_mut();
        // SAFETY: the handle is valid and the out parameter too; for a kernel handle and kernel mode the type
        // of the object need not be named.
        let status = unsafe {
            ObReferenceObjectByHandle(
                handle.raw(),
                SYNCHRONIZE,
                core::ptr::null_mut(),
                0,
                &raw mut thread,
                core::ptr::null_mut(),
            )
        };
        // The handle is ours and good for everything, so there is no reason to refuse it. Going on without
        // having waited would let the thread run in unloaded code.
        assert!(
            NtStatus(status).is_success(),
            "a driver thread could not be waited for"
        );
        // SAFETY: the thread object is referenced, and this thread may block, as the witness says. A wait in
        // kernel mode that is not alertable and has no timeout ends only with the thread.
        let _ =
            unsafe { KeWaitForSingleObject(thread, _KWAIT_REASON::Executive, 0, 0, core::ptr::null_mut()) };
        // SAFETY: the reference was taken above, and the object is not used again.
        unsafe { ObfDereferenceObject(thread) };
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Going on would let the thread run in unloaded code.
        assert!(
            self.handle.is_none(),
            "a driver thread was dropped without being joined"
        );
    }
}

/// The start routine of a thread with body `F`.
unsafe extern "C" fn start<F, A>(context: *mut c_void)
where
    F: FnOnce(Passive<'_>) + Send + 'static,
    A: Allocator + Default + Send + 'static,
{
    // SAFETY: `spawn` passed this box, with these types, to this thread alone.
    let body = unsafe { Box::<F, A>::from_raw_in(context.cast(), A::default()) };
    // SAFETY: system threads start at PASSIVE_LEVEL (PsCreateSystemThread).
    let passive = unsafe { Passive::assume() };
    Box::into_inner(body)(passive);
}
