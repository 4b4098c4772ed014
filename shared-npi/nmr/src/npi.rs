//! What a network programming interface (NPI) is, and what its modules tell of themselves.

use core::fmt;

use crate::{Guid, NtStatus, raw};

/// A network programming interface: the id under which NMR pairs modules, and the types that
/// the two sides exchange.
///
/// NMR compares nothing but [`Self::ID`]. Versions, numbers, module ids and characteristics
/// are for the modules to judge when they attach.
///
/// # Safety
/// This is the contract between drivers that do not know each other's code. Whoever
/// implements it vouches that every module that registers under [`Self::ID`]
///
/// * gives `NpiSpecificCharacteristics` that are null or point to a valid value of its
///   characteristics type, shared between threads and unchanged while it is registered,
///   together with everything that the value points to;
/// * gives a dispatch pointer that is null or points to a valid value of its dispatch type,
///   for as long as the binding lasts.
///
/// Where an NPI has several versions, the types are the prefix that all of them begin with.
pub unsafe trait Npi: 'static {
    /// The NPIID.
    const ID: Guid;
    /// What `NpiSpecificCharacteristics` of a client points to; `()` if the NPI defines none.
    type ClientCharacteristics: 'static;
    /// What `NpiSpecificCharacteristics` of a provider points to; `()` if the NPI defines none.
    type ProviderCharacteristics: 'static;
    /// The functions that a provider calls in a client; `()` if there are none.
    type ClientDispatch: Sync + 'static;
    /// The functions that a client calls in a provider; `()` if there are none.
    type ProviderDispatch: Sync + 'static;
}

/// Identifies a module among those of its NPI (`NPI_MODULEID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleId {
    /// `MIT_GUID`.
    Guid(Guid),
    /// `MIT_IF_LUID`: the interface that the module stands for.
    Interface(raw::LUID),
}

impl ModuleId {
    /// The C form.
    pub(crate) const fn to_raw(self) -> raw::NPI_MODULEID {
        #[expect(clippy::cast_possible_truncation, reason = "24 bytes; raw.rs asserts it")]
        let length = size_of::<raw::NPI_MODULEID>() as u16;
        match self {
            Self::Guid(guid) => raw::NPI_MODULEID {
                Length: length,
                Type: raw::MIT_GUID,
                Id: raw::NPI_MODULEID_ID { Guid: guid },
            },
            Self::Interface(luid) => raw::NPI_MODULEID {
                Length: length,
                Type: raw::MIT_IF_LUID,
                Id: raw::NPI_MODULEID_ID { IfLuid: luid },
            },
        }
    }

    /// The typed form; `None` for a type that the header does not define.
    const fn from_raw(id: &raw::NPI_MODULEID) -> Option<Self> {
        match id.Type {
            raw::MIT_GUID => {
                // SAFETY: the type says that the union holds a GUID, and any bytes are one.
                Some(Self::Guid(unsafe { id.Id.Guid }))
            }
            raw::MIT_IF_LUID => {
                // SAFETY: the type says that the union holds a LUID, and any bytes are one.
                Some(Self::Interface(unsafe { id.Id.IfLuid }))
            }
            _ => None,
        }
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guid(guid) => fmt::Display::fmt(guid, f),
            Self::Interface(luid) => write!(f, "LUID {:08X}-{:08X}", luid.HighPart, luid.LowPart),
        }
    }
}

/// How a module presents itself to its possible peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationConfig {
    /// The module.
    pub module_id: ModuleId,
    /// Which of several implementations or instances this is; zero if there is only one.
    pub number: u32,
    /// Zero, unless the NPI gives it a meaning.
    pub version: u16,
}

impl RegistrationConfig {
    /// The only instance of a module, with nothing that an NPI would have to define.
    #[must_use]
    pub const fn new(module_id: ModuleId) -> Self {
        Self {
            module_id,
            number: 0,
            version: 0,
        }
    }
}

/// What the module at the other end told of itself when it registered.
///
/// Borrowed for the attach callback: only while it lasts is the peer known to be registered.
/// Copy what is to be kept.
#[derive(Debug)]
pub struct Peer<'o, T> {
    /// The module; `None` if the peer gave none, or one of an unknown type.
    pub module_id: Option<ModuleId>,
    /// Its instance number.
    pub number: u32,
    /// The version of its registration, zero unless the NPI gives it a meaning.
    pub version: u16,
    /// What the NPI defines; `None` if the pointer is null. An allegation until its version,
    /// size and contents were checked.
    pub characteristics: Option<&'o T>,
}

impl<T> Clone for Peer<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Peer<'_, T> {}

impl<'o, T> Peer<'o, T> {
    /// Reads a registration instance.
    ///
    /// # Safety
    /// The pointers in `instance` are null or valid, and valid as long as `'o` lasts;
    /// `NpiSpecificCharacteristics` points to a `T`, if it is not null.
    pub(crate) unsafe fn read(instance: &'o raw::NPI_REGISTRATION_INSTANCE) -> Self {
        // SAFETY: null or valid for `'o`, as the caller says.
        let module_id = unsafe { instance.ModuleId.as_ref() };
        // SAFETY: null or a valid `T` for `'o`, as the caller says.
        let characteristics = unsafe { instance.NpiSpecificCharacteristics.cast::<T>().as_ref() };
        Self {
            module_id: module_id.and_then(ModuleId::from_raw),
            number: instance.Number,
            version: instance.Version,
            characteristics,
        }
    }
}

/// Why a module does not attach to a peer. Every reason is an error status: an attach
/// callback that declines cannot look as if it had succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decline {
    /// A healthy peer, but not one for this module (`STATUS_NOINTERFACE`).
    NotForMe,
    /// The peer's characteristics are malformed (`STATUS_INVALID_PARAMETER`).
    InvalidPeer,
    /// There is no memory (`STATUS_INSUFFICIENT_RESOURCES`).
    OutOfMemory,
    /// The module does not take peers now (`STATUS_DEVICE_NOT_READY`).
    NotReady,
}

impl Decline {
    /// The status that NMR, and through it the peer, gets to see.
    pub const fn status(self) -> NtStatus {
        match self {
            Self::NotForMe => NtStatus::NOINTERFACE,
            Self::InvalidPeer => NtStatus::INVALID_PARAMETER,
            Self::OutOfMemory => NtStatus::INSUFFICIENT_RESOURCES,
            Self::NotReady => NtStatus::DEVICE_NOT_READY,
        }
    }
}
