//! Interrupt request levels in types.
//!
//! NMR calls attach callbacks at `PASSIVE_LEVEL`, but detach and cleanup callbacks at
//! whatever level the module that deregisters, or the call that ends last, happens to run
//! at: up to `DISPATCH_LEVEL`. What may block therefore asks for a [`Passive`], which attach
//! gets and detach and cleanup do not; and what is dropped in cleanup is [`DropAtDispatch`].

use core::marker::PhantomData;

/// A witness that the thread runs at `PASSIVE_LEVEL` as long as `'a` lasts.
///
/// It has no size, may be copied, and stays on its thread.
#[derive(Clone, Copy, Debug)]
pub struct Passive<'a> {
    _thread_bound: PhantomData<*const &'a ()>,
}

impl Passive<'_> {
    /// Claims that this thread runs at `PASSIVE_LEVEL`.
    ///
    /// Only named entry points do this, where the kernel's documentation promises the level:
    /// `DriverEntry`, unload, `EvtIoDeviceControl` with passive execution level, a thread's
    /// own start routine, NMR attach callbacks.
    ///
    /// # Safety
    /// The thread runs at `PASSIVE_LEVEL` and stays there, but for levels that are raised
    /// and lowered again in between, as long as the witness is used.
    #[must_use]
    pub const unsafe fn assume() -> Self {
        Self {
            _thread_bound: PhantomData,
        }
    }
}

/// What may be dropped at up to `DISPATCH_LEVEL`.
///
/// Cleanup callbacks drop the binding value, at the level of whoever ended the last call.
///
/// # Safety
/// Dropping the value must not block, must not touch paged memory, and must call nothing
/// that the kernel documents for lower levels only. It must not deregister a module of its
/// own and wait for it.
pub unsafe trait DropAtDispatch {}

macro_rules! no_drop_glue {
    ($($t:ty),* $(,)?) => {
        $(
            // SAFETY: the type has no drop code at all.
            unsafe impl DropAtDispatch for $t {}
        )*
    };
}
no_drop_glue!((), bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
