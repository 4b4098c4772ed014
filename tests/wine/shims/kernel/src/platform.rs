//! Wine as the platform of the kernel models.

use alloc::boxed::Box;
use core::{arch::asm, cell::UnsafeCell, ptr};

use sim_platform::{Event, Lock, Platform, ThreadId, nt::KEVENT};

use crate::nt;

/// The process that hosts drivers under Wine, as a [`Platform`].
#[derive(Clone, Copy, Debug)]
pub struct WinePlatform;

impl Platform for WinePlatform {
    type Lock<T: Send> = SrwLock<T>;
    type Event = KernelEvent;

    fn current_thread() -> ThreadId {
        // The kernel's own functions name the thread whose request is being served, so the number
        // is read where user mode has it: in the thread's environment block.
        let thread: u64;
        // SAFETY: Wine runs drivers in user mode, where gs leads to the environment block, which
        // has the thread's number there.
        unsafe { asm!("mov {}, gs:[0x48]", out(reg) thread, options(nostack, readonly, preserves_flags)) };
        ThreadId(thread)
    }

    fn yield_point() {
        // SAFETY: the function asks for nothing.
        unsafe { nt::ZwYieldExecution() };
    }

    fn irql() -> u8 {
        // Wine knows no other level.
        0
    }
}

/// A slim reader/writer lock of the user-mode library, held exclusively: it sleeps while it waits,
/// as nothing in Wine's kernel does that could be held this shortly.
pub struct SrwLock<T> {
    word: UnsafeCell<usize>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one thread at a time.
unsafe impl<T: Send> Send for SrwLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SrwLock<T> {}

impl<T: Send> Lock<T> for SrwLock<T> {
    fn new(value: T) -> Self {
        Self {
            word: UnsafeCell::new(0),
            value: UnsafeCell::new(value),
        }
    }

    fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the word was zero at first, and only these functions touch it.
        unsafe { nt::RtlAcquireSRWLockExclusive(self.word.get()) };
        // SAFETY: the lock is held.
        let result = with(unsafe { &mut *self.value.get() });
        // SAFETY: this thread acquired it above.
        unsafe { nt::RtlReleaseSRWLockExclusive(self.word.get()) };
        result
    }

    fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

/// A notification event of Wine's kernel.
pub struct KernelEvent(Box<UnsafeCell<KEVENT>>);

#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "the pointers in the event are the kernel's"
)]
// SAFETY: only the kernel's functions touch the event, and they may be called from any thread.
unsafe impl Send for KernelEvent {}
// SAFETY: as above.
unsafe impl Sync for KernelEvent {}

impl Event for KernelEvent {
    fn new() -> Self {
        let event = Box::new(UnsafeCell::new(KEVENT::default()));
        // SAFETY: the event stays where it is until it is freed.
        unsafe { nt::KeInitializeEvent(event.get(), nt::NOTIFICATION_EVENT, 0) };
        Self(event)
    }

    fn set(&self) {
        // SAFETY: the event is initialised.
        unsafe { nt::KeSetEvent(self.0.get(), 0, 0) };
    }

    fn clear(&self) {
        // SAFETY: the event is initialised.
        unsafe { nt::KeClearEvent(self.0.get()) };
    }

    fn is_set(&self) -> bool {
        // SAFETY: the event is initialised.
        unsafe { nt::KeReadStateEvent(self.0.get()) != 0 }
    }

    fn wait(&self) {
        // SAFETY: the event is initialised; the wait has no timeout and cannot be interrupted.
        unsafe { nt::KeWaitForSingleObject(self.0.get().cast(), 0, 0, 0, ptr::null_mut()) };
    }
}
