//! Single objects from an allocator: what a box does, without ever owning the contents, as
//! they are shared with NMR and with the peers.

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::Allocator;

/// Memory for a `T`, not yet initialised; `None` if there is none.
pub fn allocate<T, A: Allocator>(allocator: &A) -> Option<NonNull<T>> {
    let memory = allocator.allocate(Layout::new::<T>()).ok()?;
    Some(memory.cast())
}

/// Gives the memory of a `T` back, without dropping the `T`.
///
/// # Safety
/// `memory` is from [`allocate`], with the same allocator, and not used again.
pub unsafe fn free<T, A: Allocator>(memory: NonNull<T>, allocator: &A) {
    // SAFETY: allocated with this layout by this allocator, as the caller says.
    unsafe { allocator.deallocate(memory.cast(), Layout::new::<T>()) };
}
