//! Characteristics as a driver hands them over: what is checked at registration, and a digest of all that
//! peers read later.

use nmr::raw;

use crate::{
    Rule,
    observer::{Lent, Loan},
    state::{Attach, Callbacks, Foreign, ModuleInfo, Role, Subject},
};

/// The characteristics of a client or a provider, in the driver's memory.
#[derive(Clone, Copy)]
pub(crate) enum Characteristics {
    Client(Foreign<raw::NPI_CLIENT_CHARACTERISTICS>),
    Provider(Foreign<raw::NPI_PROVIDER_CHARACTERISTICS>),
}

/// The part before the registration instance.
struct Header {
    version: u16,
    length: u16,
    size: usize,
    attach: Option<Attach>,
    detach: Option<crate::state::Detach>,
    cleanup: Option<crate::state::Cleanup>,
}

impl Characteristics {
    pub const fn role(self) -> Role {
        match self {
            Self::Client(_) => Role::Client,
            Self::Provider(_) => Role::Provider,
        }
    }

    pub const fn is_null(self) -> bool {
        match self {
            Self::Client(client) => client.0.is_null(),
            Self::Provider(provider) => provider.0.is_null(),
        }
    }

    /// The instance inside.
    pub const fn instance(self) -> Foreign<raw::NPI_REGISTRATION_INSTANCE> {
        match self {
            // SAFETY: only the address is taken; the structure is as large as the caller of the
            // registration promises.
            Self::Client(client) => Foreign(unsafe { &raw const (*client.0).ClientRegistrationInstance }),
            // SAFETY: as above.
            Self::Provider(provider) => {
                // SAFETY: as above.
                Foreign(unsafe { &raw const (*provider.0).ProviderRegistrationInstance })
            }
        }
    }

    /// # Safety
    ///
    /// The characteristics are valid.
    unsafe fn header(self) -> Header {
        match self {
            Self::Client(client) => {
                // SAFETY: the caller vouches for it.
                let ch = unsafe { &*client.0 };
                Header {
                    version: ch.Version,
                    length: ch.Length,
                    size: size_of_val(ch),
                    attach: ch.ClientAttachProvider.map(Attach::Client),
                    detach: ch.ClientDetachProvider,
                    cleanup: ch.ClientCleanupBindingContext,
                }
            }
            Self::Provider(provider) => {
                // SAFETY: the caller vouches for it.
                let ch = unsafe { &*provider.0 };
                Header {
                    version: ch.Version,
                    length: ch.Length,
                    size: size_of_val(ch),
                    attach: ch.ProviderAttachClient.map(Attach::Provider),
                    detach: ch.ProviderDetachClient,
                    cleanup: ch.ProviderCleanupBindingContext,
                }
            }
        }
    }

    /// Checks what registration cannot do without; the callbacks and the NPI.
    ///
    /// # Safety
    ///
    /// The characteristics are NULL, or valid with all that they point to.
    pub unsafe fn check(self) -> Result<(Callbacks, [u8; 16]), (Rule, &'static str)> {
        if self.is_null() {
            return Err((Rule::CharacteristicsPointers, "no characteristics were given"));
        }
        // SAFETY: not NULL, so valid.
        let header = unsafe { self.header() };
        let (Some(attach), Some(detach)) = (header.attach, header.detach) else {
            return Err((Rule::CharacteristicsPointers, "a required callback is NULL"));
        };
        if header.version != 0 || usize::from(header.length) != header.size {
            return Err((Rule::CharacteristicsHeader, "Version or Length is wrong"));
        }
        // SAFETY: the instance lies inside the valid characteristics.
        let instance = unsafe { &*self.instance().0 };
        if usize::from(instance.Size) != size_of_val(instance) {
            return Err((
                Rule::CharacteristicsPointers,
                "the registration instance has a wrong Size",
            ));
        }
        if instance.NpiId.is_null() {
            return Err((Rule::CharacteristicsPointers, "NpiId is NULL"));
        }
        // SAFETY: not NULL; the caller vouches for what the characteristics point to.
        let npi = unsafe { instance.NpiId.cast::<[u8; 16]>().read_unaligned() };
        let callbacks = Callbacks {
            attach,
            detach,
            cleanup: header.cleanup,
        };
        Ok((callbacks, npi))
    }

    /// What is legal enough to register, and still against the rules.
    ///
    /// # Safety
    ///
    /// As after a successful [`Self::check`].
    pub unsafe fn shortcomings(self) -> impl Iterator<Item = (Rule, &'static str)> {
        // SAFETY: the instance lies inside the valid characteristics.
        let instance = unsafe { &*self.instance().0 };
        // SAFETY: the caller vouches for what the characteristics point to.
        let identity = match unsafe { instance.ModuleId.as_ref() } {
            None => Some("ModuleId is NULL"),
            Some(id) if usize::from(id.Length) != size_of_val(id) => Some("the module id has a wrong Length"),
            Some(id) if ![raw::MIT_GUID, raw::MIT_IF_LUID].contains(&id.Type) => {
                Some("the module id has an unknown Type")
            }
            Some(_) => None,
        };
        let version = (instance.Version != 0).then_some("the registration instance has a Version");
        let identity = identity.map(|what| (Rule::ModuleIdentity, what));
        let version = version.map(|what| (Rule::InstanceVersion, what));
        identity.into_iter().chain(version)
    }

    /// The memory that the module lends while it is registered.
    ///
    /// # Safety
    ///
    /// As after a successful [`Self::check`].
    pub unsafe fn loans(
        self,
        module: ModuleInfo,
        context: usize,
        handle: usize,
    ) -> impl Iterator<Item = Loan> {
        // SAFETY: the instance lies inside the valid characteristics.
        let instance = unsafe { &*self.instance().0 };
        let (start, size) = match self {
            Self::Client(client) => (client.0.addr(), size_of::<raw::NPI_CLIENT_CHARACTERISTICS>()),
            Self::Provider(provider) => (provider.0.addr(), size_of::<raw::NPI_PROVIDER_CHARACTERISTICS>()),
        };
        // SAFETY: the caller vouches for the characteristics.
        let has_cleanup = unsafe { self.header() }.cleanup.is_some();
        let (npi, id) = (size_of::<raw::NPIID>(), size_of::<raw::NPI_MODULEID>());
        [
            (Lent::Characteristics, start, size),
            (Lent::NpiId, instance.NpiId.addr(), npi),
            (Lent::ModuleId, instance.ModuleId.addr(), id),
            (Lent::NpiData, instance.NpiSpecificCharacteristics.addr(), 1),
            (Lent::RegistrationContext, context, 1),
            (Lent::Handle, handle, size_of::<raw::HANDLE>()),
        ]
        .into_iter()
        .filter(|(_, start, _)| *start != 0)
        .map(move |(what, start, size)| Loan {
            subject: Subject::Module(module),
            what,
            start,
            size,
            has_cleanup,
        })
    }

    /// A digest of the characteristics, the NPIID and the module id, to see whether a driver changes them.
    /// The NPI's own data are left out, as nobody here knows their size.
    ///
    /// # Safety
    ///
    /// As after a successful [`Self::check`].
    pub unsafe fn digest(self) -> u64 {
        // SAFETY: the caller vouches for the characteristics.
        let header = unsafe { self.header() };
        // SAFETY: the instance lies inside the valid characteristics.
        let instance = unsafe { &*self.instance().0 };
        let mut digest = Digest::new();
        digest.add(&header.version.to_ne_bytes());
        digest.add(&header.length.to_ne_bytes());
        for routine in [
            header.attach.map_or(0, Attach::address),
            header.detach.map_or(0, |detach| detach as usize),
            header.cleanup.map_or(0, |cleanup| cleanup as usize),
            instance.NpiId.addr(),
            instance.ModuleId.addr(),
            instance.NpiSpecificCharacteristics.addr(),
        ] {
            digest.add(&routine.to_ne_bytes());
        }
        digest.add(&instance.Version.to_ne_bytes());
        digest.add(&instance.Size.to_ne_bytes());
        digest.add(&instance.Number.to_ne_bytes());
        if !instance.NpiId.is_null() {
            // SAFETY: the caller vouches for what the characteristics point to.
            digest.add(&unsafe { instance.NpiId.cast::<[u8; 16]>().read_unaligned() });
        }
        // SAFETY: as above.
        if let Some(id) = unsafe { instance.ModuleId.as_ref() } {
            digest.add(&id.Length.to_ne_bytes());
            digest.add(&id.Type.to_ne_bytes());
            // SAFETY: both members are plain bytes, and the shorter one is always there.
            let bytes = unsafe { (&raw const id.Id).cast::<[u8; 8]>().read() };
            digest.add(&bytes);
            if id.Type == raw::MIT_GUID {
                // SAFETY: the type says that the longer member is there.
                digest.add(&unsafe { (&raw const id.Id).cast::<[u8; 16]>().read() });
            }
        }
        digest.0
    }
}

/// FNV-1a.
struct Digest(u64);

impl Digest {
    const fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
        }
    }
}
