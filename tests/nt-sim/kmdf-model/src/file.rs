//! File objects: what user mode opened.

use alloc::vec::Vec;

use sim_platform::nt::{PUNICODE_STRING, ULONG, UNICODE_STRING};

use crate::{
    FileId, Host,
    call::Call,
    handle::{Handle, Kind},
    placed::Placed,
    state::Kept,
    types::{WDFDEVICE, WDFFILEOBJECT},
};

/// An open file.
pub struct File {
    pub id: FileId,
    /// The characters that `name` points to.
    _characters: Vec<u16>,
    name: Placed<Kept<UNICODE_STRING>>,
    pub process_id: u32,
    /// Requests for this file that are not completed.
    pub requests: usize,
}

impl File {
    pub fn new(id: FileId, name: &[u16], process_id: u32) -> Self {
        let mut characters = name.to_vec();
        let length = u16::try_from(characters.len() * 2).unwrap_or(u16::MAX - 1);
        let string = UNICODE_STRING {
            Length: length,
            MaximumLength: length,
            Buffer: characters.as_mut_ptr(),
        };
        Self {
            id,
            _characters: characters,
            name: Placed::new(Kept(string)),
            process_id,
            requests: 0,
        }
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfFileObjectGetFileName<H: Host>(call: &Call<'_, H>, file: WDFFILEOBJECT) -> PUNICODE_STRING {
    // The wrapper is the string, no more.
    call.checked(|state| Ok(state.file(file)?.1.name.as_ptr().cast()))
        .unwrap_or(core::ptr::null_mut())
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfFileObjectGetDevice<H: Host>(call: &Call<'_, H>, file: WDFFILEOBJECT) -> WDFDEVICE {
    call.checked(|state| Ok(state.resolve(file.addr(), Kind::File)?.1.parent))
        .flatten()
        .map_or(core::ptr::null_mut(), Handle::pointer)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfFileObjectGetInitiatorProcessId<H: Host>(call: &Call<'_, H>, file: WDFFILEOBJECT) -> ULONG {
    call.checked(|state| Ok(state.file(file)?.1.process_id))
        .unwrap_or(0)
}
