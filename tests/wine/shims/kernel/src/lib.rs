//! Wine's kernel, as far as the stand-in modules need it.
//!
//! Wine runs drivers in user mode, in a process of its own, on an `ntoskrnl.exe` of its own. Here are
//! that kernel's functions ([`nt`]), the [`Platform`](sim_platform::Platform) that the kernel models
//! run on, the allocator and the panic handler of a module, and a way to print.
//!
//! Rules: a module of this kind is never unloaded once it was used ([`pin`]), because another
//! thread may still be on its way out of it when the last driver goes; nothing is done in `DllMain`.
#![no_std]

extern crate alloc;

mod cell;
mod float;
mod heap;
pub mod nt;
mod panic;
mod platform;
mod print;
mod thread;
pub mod wdf;

pub use cell::Lazy;
pub use heap::Heap;
pub use platform::{KernelEvent, SrwLock, WinePlatform};
pub use print::print;
pub use thread::spawn;

/// The entry point of a module, which has nothing to do.
#[macro_export]
macro_rules! dll_main {
    () => {
        /// Called by the loader.
        // SAFETY: no other item of the image has this name.
        #[unsafe(no_mangle)]
        extern "system" fn DllMain(
            _module: *mut core::ffi::c_void,
            _reason: u32,
            _reserved: *mut core::ffi::c_void,
        ) -> i32 {
            1
        }
    };
}

/// Prints a line to the debugger, which is Wine's standard error under the channel `debugstr`.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => {
        $crate::print(core::format_args!($($argument)*))
    };
}

/// Keeps the module that this code is linked into in memory until its process ends.
#[cfg(windows)]
pub fn pin() {
    const LDR_ADDREF_DLL_PIN: u32 = 1;
    unsafe extern "C" {
        // Defined by the linker: the first byte of the image.
        static __ImageBase: u8;
    }
    let base = (&raw const __ImageBase).cast_mut().cast();
    // SAFETY: the base address of an image is its handle.
    let status = unsafe { nt::LdrAddRefDll(LDR_ADDREF_DLL_PIN, base) };
    if status < 0 {
        log!("a module cannot be kept in memory: {status:#010X}");
    }
}

/// Keeps the module that this code is linked into in memory until its process ends.
#[cfg(not(windows))]
pub const fn pin() {}
