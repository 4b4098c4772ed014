//! Handles: opaque values that name a module or one side of a binding.

use core::ffi::c_void;

/// What a handle names. The two sides of a binding have different handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleKind {
    /// A client registration.
    Client,
    /// A provider registration.
    Provider,
    /// The client's half of a binding.
    ClientBinding,
    /// The provider's half of a binding.
    ProviderBinding,
}

impl HandleKind {
    /// The tag in the low bits. All are odd, so that no handle can pass for an aligned pointer.
    const fn tag(self) -> usize {
        match self {
            Self::Client => 0x3,
            Self::Provider => 0x5,
            Self::ClientBinding => 0x9,
            Self::ProviderBinding => 0xE | 0x1,
        }
    }
}

/// Bits that hold the tag.
const TAG_BITS: u32 = 4;

/// Added to the identity, so that handles are large and nothing like a small integer.
const OFFSET: usize = 0x5A_0000;

/// A decoded handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// What it names.
    pub kind: HandleKind,
    /// The identity of the module or binding.
    pub id: usize,
}

impl Handle {
    /// The value that drivers see.
    #[must_use]
    pub const fn encode(self) -> *mut c_void {
        core::ptr::without_provenance_mut(((self.id + OFFSET) << TAG_BITS) | self.kind.tag())
    }

    /// Reads a value that a driver passed; `None` if it was never a handle.
    #[must_use]
    pub fn decode(value: *mut c_void) -> Option<Self> {
        let value = value.addr();
        let tag = value & ((1 << TAG_BITS) - 1);
        let kind = [
            HandleKind::Client,
            HandleKind::Provider,
            HandleKind::ClientBinding,
            HandleKind::ProviderBinding,
        ]
        .into_iter()
        .find(|kind| kind.tag() == tag)?;
        let id = (value >> TAG_BITS).checked_sub(OFFSET)?;
        Some(Self { kind, id })
    }
}
