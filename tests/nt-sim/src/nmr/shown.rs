//! The registration instances that peers are shown.
//!
//! A peer gets a copy of a module's instance. It reads the same in it as in the original while the module is
//! registered; afterwards it is spoilt, so that a pointer that was kept leads nowhere. For a run under
//! `AddressSanitizer` ([`MachineBuilder::sanitizer`](crate::machine::MachineBuilder::sanitizer)) it is freed, so that
//! every use is seen; otherwise it is kept, and it can be seen at the end whether someone wrote to it.

use std::{
    alloc::{Layout, alloc, dealloc},
    collections::HashMap,
    ptr::NonNull,
};

use ::nmr::raw::NPI_REGISTRATION_INSTANCE as Instance;
use nmr_model::{ModuleId, ModuleInfo, Moment, Rule};

use super::Breach;
use crate::{Machine, sync::StateLock};

/// What a copy is filled with once its module is gone.
const SPOILT: u8 = 0xDD;

/// A copy in memory of its own.
#[derive(Debug)]
struct Copy(NonNull<Instance>);

// SAFETY: the copy is written when it is made and when its module is gone; in between it is only read.
unsafe impl Send for Copy {}

impl Copy {
    /// # Safety
    ///
    /// `original` is valid.
    unsafe fn of(original: *const Instance) -> Option<Self> {
        // SAFETY: the size is not zero.
        let copy = NonNull::new(unsafe { alloc(Layout::new::<Instance>()) })?.cast::<Instance>();
        // SAFETY: the caller vouches for the original; the copy has its size and is new.
        unsafe { copy.as_ptr().copy_from_nonoverlapping(original, 1) };
        Some(Self(copy))
    }

    const fn spoil(&self) {
        // SAFETY: the copy is there until it is dropped.
        unsafe { self.0.cast::<u8>().write_bytes(SPOILT, size_of::<Instance>()) };
    }

    fn is_spoilt(&self) -> bool {
        // SAFETY: as above; any bytes will do.
        let bytes = unsafe { self.0.cast::<[u8; size_of::<Instance>()]>().read() };
        bytes.iter().all(|byte| *byte == SPOILT)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // SAFETY: `of` allocated it with this layout.
        unsafe { dealloc(self.0.as_ptr().cast(), Layout::new::<Instance>()) };
    }
}

/// The copies of a machine.
#[derive(Debug, Default)]
pub(super) struct Shown {
    live: StateLock<HashMap<ModuleId, Copy>>,
    gone: StateLock<Vec<(ModuleInfo, Copy)>>,
}

impl Shown {
    /// The copy of a module's instance; the original if there is no memory.
    ///
    /// # Safety
    ///
    /// `original` is the valid instance of the module.
    pub(super) unsafe fn show(&self, module: ModuleInfo, original: *const Instance) -> *const Instance {
        self.live.with(|live| {
            if let Some(copy) = live.get(&module.id) {
                return copy.0.as_ptr().cast_const();
            }
            // SAFETY: the caller vouches for it.
            let Some(copy) = (unsafe { Copy::of(original) }) else {
                return original;
            };
            let shown = copy.0.as_ptr().cast_const();
            live.insert(module.id, copy);
            shown
        })
    }

    /// A module is gone.
    pub(super) fn end(&self, machine: &Machine, module: ModuleInfo) {
        let Some(copy) = self.live.with(|live| live.remove(&module.id)) else {
            return;
        };
        if !machine.config().sanitizer {
            copy.spoil();
            self.gone.with(|gone| gone.push((module, copy)));
        }
    }

    /// Reports copies that were written to after their module was gone.
    pub(super) fn check(&self) {
        let written = self.gone.with(|gone| {
            let written = gone.extract_if(.., |(_, copy)| !copy.is_spoilt());
            written.map(|(module, _)| module).collect::<Vec<_>>()
        });
        for module in written {
            let what =
                "a peer wrote to the registration instance that it had been shown, after the module was gone";
            Breach::new(Rule::PeerInstanceKept, module, what)
                .since(Moment::Waited(module.id))
                .report();
        }
    }
}
