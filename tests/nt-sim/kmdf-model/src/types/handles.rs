//! Handles: pointers to structures that nobody has.

use core::ffi::c_void;

use sim_platform::nt::CHAR;

macro_rules! handles {
    ($($handle:ident $target:ident;)*) => {$(
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $target {
            pub unused: core::ffi::c_int,
        }
        pub type $handle = *mut $target;
    )*};
}

handles! {
    WDFDRIVER WDFDRIVER__;
    WDFDEVICE WDFDEVICE__;
    WDFQUEUE WDFQUEUE__;
    WDFREQUEST WDFREQUEST__;
    WDFFILEOBJECT WDFFILEOBJECT__;
    WDFKEY WDFKEY__;
    WDFSPINLOCK WDFSPINLOCK__;
}

/// Any framework object.
pub type WDFOBJECT = *mut c_void;
/// A driver's own pointer, handed back to it.
pub type WDFCONTEXT = *mut c_void;

/// What a device is to become; only the framework looks inside.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WDFDEVICE_INIT {
    _unused: [u8; 0],
}
pub type PWDFDEVICE_INIT = *mut WDFDEVICE_INIT;

pub type LPCSTR = *const CHAR;
pub type PCCH = *const CHAR;
