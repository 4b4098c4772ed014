//! Non-paged pool with a tag per use.

use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Layout};
use wdk_sys::ntddk::{ExAllocatePool2, ExFreePoolWithTag};
use wdk_sys::{POOL_FLAG_NON_PAGED, POOL_FLAG_UNINITIALIZED, POOL_FLAGS, PVOID};

/// The alignment of every pool block on 64-bit systems (`MEMORY_ALLOCATION_ALIGNMENT`).
pub const POOL_ALIGNMENT: usize = 16;

/// The pool tag that debuggers show as `name`, for example `tag(b"NspR")`.
#[must_use]
pub const fn tag(name: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*name)
}

/// Non-paged pool whose blocks carry `TAG`.
///
/// Refuses layouts aligned above [`POOL_ALIGNMENT`], which the pool does not promise. Source:
/// `ExAllocatePool2`, `ExFreePoolWithTag` (Windows 10 2004).
///
/// # IRQL
/// Up to `DISPATCH_LEVEL`, for allocating and freeing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool<const TAG: u32>;

impl<const TAG: u32> Pool<TAG> {
    fn allocate_with(layout: Layout, flags: POOL_FLAGS) -> Result<NonNull<[u8]>, AllocError> {
        if layout.align() > POOL_ALIGNMENT {
            return Err(AllocError);
        }
        if layout.size() == 0 {
            // Nothing is there, but it is aligned.
            let nothing = core::ptr::without_provenance_mut(layout.align());
            let nothing = NonNull::new(nothing).ok_or(AllocError)?;
            return Ok(NonNull::slice_from_raw_parts(nothing, 0));
        }
        // SAFETY: the size is not zero, the tag is not zero by the drivers' constants, and the IRQL is the
        // caller's.
        let block: PVOID = unsafe { ExAllocatePool2(flags, layout.size() as u64, TAG) };
        let block = NonNull::new(block.cast::<u8>()).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(block, layout.size()))
    }
}

// SAFETY: blocks stay valid until they are freed, wherever the (stateless) allocator is moved, and every copy
// of it frees what another allocated; alignment and size are as asked for.
unsafe impl<const TAG: u32> Allocator for Pool<TAG> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        Self::allocate_with(layout, POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        Self::allocate_with(layout, POOL_FLAG_NON_PAGED)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: a block of this size came from `ExAllocatePool2` with this tag, and is freed once, as
            // the caller promises.
            unsafe { ExFreePoolWithTag(block.as_ptr().cast(), TAG) };
        }
    }
}
