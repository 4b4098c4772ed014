//! Handles: opaque values that name a slot, the generation of its tenant, and what it is.
//!
//! A handle is never an address. A stale one, one of another type and one that never was are told
//! apart, so that a report can say which it is.

use core::fmt;

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// WDFDRIVER.
    Driver = 1,
    /// WDFDEVICE.
    Device,
    /// WDFQUEUE.
    Queue,
    /// WDFREQUEST.
    Request,
    /// WDFFILEOBJECT.
    File,
    /// WDFKEY.
    Key,
    /// WDFSPINLOCK.
    SpinLock,
    /// A plain WDFOBJECT.
    Object,
    /// `PWDFDEVICE_INIT`.
    DeviceInit,
}

impl Kind {
    /// In the order of their numbers, which begin with 1.
    const ALL: [Self; 9] = [
        Self::Driver,
        Self::Device,
        Self::Queue,
        Self::Request,
        Self::File,
        Self::Key,
        Self::SpinLock,
        Self::Object,
        Self::DeviceInit,
    ];

    /// Returns the name of the handle's C type.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Driver => "WDFDRIVER",
            Self::Device => "WDFDEVICE",
            Self::Queue => "WDFQUEUE",
            Self::Request => "WDFREQUEST",
            Self::File => "WDFFILEOBJECT",
            Self::Key => "WDFKEY",
            Self::SpinLock => "WDFSPINLOCK",
            Self::Object => "WDFOBJECT",
            Self::DeviceInit => "WDFDEVICE_INIT",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}

/// Marks a value as a handle of the framework.
const MARK: usize = 0xDF;
const MARK_SHIFT: u32 = 56;
const KIND_SHIFT: u32 = 48;
const INDEX_SHIFT: u32 = 24;
const INDEX_MASK: usize = (1 << 24) - 1;
/// Generations leave the three lowest bits clear, as in a pointer.
const GENERATION_SHIFT: u32 = 3;
const GENERATION_MASK: usize = (1 << 21) - 1;

/// A handle, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub kind: Kind,
    pub index: usize,
    pub generation: u32,
}

impl Handle {
    /// The generation after this one; wraps.
    pub(crate) const fn next_generation(generation: u32) -> u32 {
        (generation + 1) & 0x1F_FFFF
    }

    pub(crate) const fn raw(self) -> usize {
        (MARK << MARK_SHIFT)
            | ((self.kind as usize) << KIND_SHIFT)
            | (self.index << INDEX_SHIFT)
            | ((self.generation as usize) << GENERATION_SHIFT)
    }

    /// The handle as the pointer type that a driver sees.
    pub(crate) const fn pointer<T>(self) -> *mut T {
        core::ptr::without_provenance_mut(self.raw())
    }

    pub(crate) fn parse(raw: usize) -> Option<Self> {
        let code = (raw >> KIND_SHIFT) & 0xFF;
        let kind = *Kind::ALL.get(code.wrapping_sub(1))?;
        let generation = u32::try_from((raw >> GENERATION_SHIFT) & GENERATION_MASK).ok()?;
        let handle = Self {
            kind,
            index: (raw >> INDEX_SHIFT) & INDEX_MASK,
            generation,
        };
        (handle.raw() == raw).then_some(handle)
    }
}
