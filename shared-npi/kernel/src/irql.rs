//! Interrupt request levels.

pub use nmr::{DropAtDispatch, Passive};

/// `PASSIVE_LEVEL`: ordinary threads; may block.
pub const PASSIVE_LEVEL: u8 = 0;
/// `APC_LEVEL`: may block, normal kernel APCs are held off.
pub const APC_LEVEL: u8 = 1;
/// `DISPATCH_LEVEL`: the scheduler is off; must not block or touch paged memory.
pub const DISPATCH_LEVEL: u8 = 2;

/// The level that the calling thread runs at (`KeGetCurrentIrql`).
///
/// # IRQL
/// Any.
#[must_use]
pub fn current() -> u8 {
    // SAFETY: the function has no preconditions.
    unsafe { wdk_sys::ntddk::KeGetCurrentIrql() }
}
