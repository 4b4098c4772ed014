//! Handles of kernel objects, and the structures by which they are named.

use wdk_sys::ntddk::ZwClose;
use wdk_sys::{HANDLE, OBJ_CASE_INSENSITIVE, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES};

use crate::unicode::UnicodeStr;

/// A kernel handle, closed when dropped.
///
/// Kernel handles (`OBJ_KERNEL_HANDLE`) are valid in every thread of the system. They are opened and closed
/// at `PASSIVE_LEVEL`; the types around this one are used and dropped there.
pub struct Handle(HANDLE);

// SAFETY: a kernel handle may be used from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above; the kernel synchronises access to its objects.
unsafe impl Sync for Handle {}

impl Handle {
    /// Takes ownership of a handle.
    ///
    /// # Safety
    /// `handle` is a valid kernel handle that nobody else closes.
    pub const unsafe fn from_raw(handle: HANDLE) -> Self {
        Self(handle)
    }

    /// The handle, for calls made while `self` lives.
    pub const fn raw(&self) -> HANDLE {
        self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is valid and owned; closing fails only for handles that are not.
        let _ = unsafe { ZwClose(self.0) };
    }
}

/// Attributes that name an object under the directory or key `root`.
///
/// The result points to `name`, which must outlive its use.
pub fn attributes(root: HANDLE, name: Option<&mut UnicodeStr<'_>>) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: crate::wdf::size_of_u32::<OBJECT_ATTRIBUTES>(),
        RootDirectory: root,
        ObjectName: name.map_or(core::ptr::null_mut(), UnicodeStr::as_raw),
        Attributes: OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE,
        ..OBJECT_ATTRIBUTES::default()
    }
}
