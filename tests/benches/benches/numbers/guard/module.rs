//! A client and a provider that are attached to each other on a machine, by the registrar's safe layer.

use core::ffi::c_void;
use core::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};

use allocator_api2::alloc::Global;
use anyhow::{Context as _, Result, anyhow};
use nmr::{
    Client, ClientAttach, ClientBindingRef, ClientOffer, ClientRegistration, Guid, ModuleId, Npi, Passive,
    Provider, ProviderAttach, ProviderOffer, ProviderRegistration, RegistrationConfig,
};
use nt_sim::Machine;

/// An interface whose provider doubles numbers.
struct Doubling;

// SAFETY: both modules below keep to these types.
unsafe impl Npi for Doubling {
    const ID: Guid = Guid::new(
        0x5c1e_77a4,
        0x0b92,
        0x4d0f,
        [0x9a, 0x31, 0x5e, 0x08, 0xd7, 0x64, 0x3b, 0x29],
    );
    type ClientCharacteristics = u32;
    type ProviderCharacteristics = u32;
    type ClientDispatch = u32;
    type ProviderDispatch = Dispatch;
}

#[repr(C)]
struct Dispatch {
    double: unsafe extern "system" fn(context: *mut c_void, number: u32) -> u32,
}

static DISPATCH: Dispatch = Dispatch { double };

/// The provider's entry; the arguments may be any.
pub const unsafe extern "system" fn double(_: *mut c_void, number: u32) -> u32 {
    number.wrapping_mul(2)
}

type Attached = Arc<Mutex<Option<ClientBindingRef<Caller>>>>;

struct Caller(Attached);

impl Client for Caller {
    type Npi = Doubling;
    type Binding = ();
    type Allocator = Global;

    fn characteristics(&self) -> Option<u32> {
        None
    }

    fn attach<'o>(&self, _: Passive<'o>, offer: ProviderOffer<'o, Self>) -> ClientAttach<'o, Self> {
        match offer.accept((), Some(&0)) {
            Ok(accepted) => {
                let reference = accepted.reference().clone();
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reference);
                accepted.attached()
            }
            Err(rejected) => rejected.decline(),
        }
    }
}

struct Doubler;

impl Provider for Doubler {
    type Npi = Doubling;
    type Binding = ();
    type Allocator = Global;

    fn characteristics(&self) -> Option<u32> {
        None
    }

    fn attach<'o>(&self, _: Passive<'o>, offer: ClientOffer<'o, Self>) -> ProviderAttach<'o, Self> {
        match offer.accept((), Some(&DISPATCH)) {
            Ok(accepted) => accepted.attached(),
            Err(rejected) => rejected.decline(),
        }
    }
}

/// Both modules, attached.
pub struct Pair {
    binding: ClientBindingRef<Caller>,
    client: ClientRegistration<Caller>,
    provider: ProviderRegistration<Doubler>,
    machine: Machine,
}

const fn passive() -> Passive<'static> {
    // SAFETY: no bench raises the level.
    unsafe { Passive::assume() }
}

impl Pair {
    /// Registers both on a machine of their own.
    pub fn attach() -> Result<Self> {
        let machine = Machine::builder().verifier(false).build()?;
        let entered = machine.enter();
        let config = || RegistrationConfig::new(ModuleId::Guid(Doubling::ID));
        let attached = Attached::default();
        let provider = ProviderRegistration::register(passive(), Doubler, config(), Global)
            .map_err(|error| anyhow!("the provider: {error:?}"))?;
        let client = ClientRegistration::register(passive(), Caller(Arc::clone(&attached)), config(), Global)
            .map_err(|error| anyhow!("the client: {error:?}"))?;
        let binding = attached.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(entered);
        Ok(Self {
            binding: binding.context("the modules are attached")?,
            client,
            provider,
            machine,
        })
    }

    /// The machine that a calling thread has to be on.
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Enters, calls the provider, and leaves.
    #[inline]
    pub fn call(&self) {
        let Some(guard) = self.binding.enter() else { return };
        let Some(dispatch) = guard.peer_dispatch() else {
            return;
        };
        // SAFETY: the provider's own entry, with its own context, while the guard exists.
        black_box(unsafe { (dispatch.double)(guard.peer_context(), black_box(1)) });
    }

    /// Deregisters both.
    pub fn detach(self) {
        let entered = self.machine.enter();
        drop(self.binding);
        drop(self.client.deregister(passive()));
        let Doubler = self.provider.deregister(passive());
        drop(entered);
    }
}
