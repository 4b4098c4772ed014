//! A provider that adds up numbers, and a client that gives it some.

use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use allocator_api2::alloc::Global;
use nmr::{
    Client, ClientAttach, ClientBindingRef, ClientOffer, ClientRegistration, Decline, Guid, ModuleId, Npi,
    Passive, Provider, ProviderAttach, ProviderOffer, ProviderRegistration, RegistrationConfig,
    borrow_provider_binding,
};

// The interface, known to both drivers.

struct Adding;

#[repr(C)]
struct AddingProvider {
    version: u32,
    add: unsafe extern "system" fn(provider_binding: *mut c_void, number: u32) -> u32,
}

// SAFETY: who registers under this id keeps to these types, for as long as NMR says.
unsafe impl Npi for Adding {
    const ID: Guid = Guid::new(
        0x6d2c_0f4a,
        0x1b77,
        0x4f3e,
        [0x9c, 0x52, 0x0a, 0xd4, 0x5e, 0x11, 0x83, 0x60],
    );
    type ClientCharacteristics = ();
    type ProviderCharacteristics = ();
    type ClientDispatch = ();
    type ProviderDispatch = AddingProvider;
}

// A provider driver. It adds up what all its clients give it.

#[derive(Default)]
struct Adder {
    sum: AtomicU32,
}

static ADDER: AddingProvider = AddingProvider { version: 1, add };

unsafe extern "system" fn add(provider_binding: *mut c_void, number: u32) -> u32 {
    // SAFETY: a client passes the context that it was given, and only while it is attached.
    let binding = unsafe { borrow_provider_binding::<Adder>(provider_binding) };
    binding.module().sum.fetch_add(number, Relaxed) + number
}

impl Provider for Adder {
    type Npi = Adding;
    type Binding = ();
    type Allocator = Global;

    fn attach<'o>(&self, _: Passive<'o>, offer: ClientOffer<'o, Self>) -> ProviderAttach<'o, Self> {
        match offer.accept((), Some(&ADDER)) {
            Ok(accepted) => accepted.attached(),
            Err(rejected) => rejected.decline(),
        }
    }
}

// A client driver. It keeps the provider that it attached to last.

struct Caller {
    provider: Mutex<Option<ClientBindingRef<Self>>>,
}

impl Client for Caller {
    type Npi = Adding;
    type Binding = ();
    type Allocator = Global;

    fn attach<'o>(&self, _: Passive<'o>, offer: ProviderOffer<'o, Self>) -> ClientAttach<'o, Self> {
        if offer.peer().number != 0 {
            return offer.decline(Decline::NotForMe);
        }
        match offer.accept((), None) {
            Ok(accepted) => {
                *self.provider.lock().unwrap() = Some(accepted.reference().clone());
                accepted.attached()
            }
            Err(rejected) => rejected.decline(),
        }
    }
}

impl Caller {
    fn add(&self, number: u32) -> Option<u32> {
        let binding = self.provider.lock().unwrap().clone()?;
        let guard = binding.enter()?;
        let provider = guard.peer_dispatch().filter(|dispatch| dispatch.version == 1)?;
        // SAFETY: the provider's entry, with the provider's context, while the guard exists.
        Some(unsafe { (provider.add)(guard.peer_context(), number) })
    }
}

// What the drivers do when they are loaded and unloaded.

#[test]
fn a_client_calls_a_provider() {
    let machine = nt_sim::Machine::builder().build().unwrap();
    let _on_this_machine = machine.enter();
    // SAFETY: as in DriverEntry, nothing has raised the level.
    let passive = unsafe { Passive::assume() };
    let config = RegistrationConfig::new(ModuleId::Guid(Adding::ID));

    let caller = Caller {
        provider: Mutex::new(None),
    };
    let client = ClientRegistration::register(passive, caller, config, Global).unwrap();
    assert_eq!(client.module().add(1), None);

    let provider = ProviderRegistration::register(passive, Adder::default(), config, Global).unwrap();
    assert_eq!(client.module().add(40), Some(40));
    assert_eq!(client.module().add(2), Some(42));

    provider.deregister(passive);
    assert_eq!(client.module().add(3), None);
    client.deregister(passive);
}
