//! Keys below `HKEY_LOCAL_MACHINE`.

use std::ptr;

use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, KEY_ALL_ACCESS, REG_OPTION_NON_VOLATILE, RegCloseKey, RegCreateKeyExW,
    RegDeleteTreeW, RegSetValueExW,
};

use crate::wide;

pub fn delete(path: &str) -> u32 {
    let path = wide(path);
    // SAFETY: the path is terminated.
    unsafe { RegDeleteTreeW(HKEY_LOCAL_MACHINE, path.as_ptr()) }
}

pub fn set(path: &str, name: &str, kind: u32, data: &[u8]) -> u32 {
    let (path, name) = (wide(path), wide(name));
    let mut key = ptr::null_mut();
    // SAFETY: the path is terminated, and the out parameter valid; the other pointers may be null.
    let error = unsafe {
        RegCreateKeyExW(
            HKEY_LOCAL_MACHINE,
            path.as_ptr(),
            0,
            ptr::null(),
            REG_OPTION_NON_VOLATILE,
            KEY_ALL_ACCESS,
            ptr::null(),
            &raw mut key,
            ptr::null_mut(),
        )
    };
    if error != 0 {
        return error;
    }
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    // SAFETY: the key is open, the name terminated, and the data has this length.
    let error = unsafe { RegSetValueExW(key, name.as_ptr(), 0, kind, data.as_ptr(), length) };
    // SAFETY: the key is open and ours.
    unsafe { RegCloseKey(key) };
    error
}
