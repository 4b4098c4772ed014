//! How an image and the framework's loader find each other.
#![expect(
    missing_docs,
    reason = "members have the documented names and meanings of WDF_BIND_INFO"
)]

use core::ffi::c_void;

/// `WDF_BIND_INFO`: what a driver asks for, by the library that its image is linked with.
#[repr(C)]
#[derive(Debug)]
pub struct BindInfo {
    pub size: u32,
    pub component: *const u16,
    pub major: u32,
    pub minor: u32,
    pub build: u32,
    pub function_count: u32,
    pub function_table: *mut *const c_void,
    pub module: *mut c_void,
}

const _: () = assert!(core::mem::offset_of!(BindInfo, function_table) == 32);
