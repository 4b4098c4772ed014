//! A client and a provider on the safe layer, which call each other and note what happens to them.

use std::{
    ffi::c_void,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use nmr::{
    Client, ClientAttach, ClientBindingRef, ClientBound, ClientOffer, ClientRegistration, Decline,
    DropAtDispatch, Guid, ModuleId, Npi, Passive, Provider, ProviderAttach, ProviderBindingRef,
    ProviderBound, ProviderOffer, ProviderRegistration, RegistrationConfig, borrow_client_binding,
    borrow_provider_binding,
};
use nmr_model::Role;
use nsemail_kernel::pool::{Pool, tag};
use nt_sim::thread::irql;

use super::stage::{Log, What, passive};
use crate::{chance::draw, platform::step};

/// Where registrations and bindings are kept.
pub type Memory = Pool<{ tag(b"Schd") }>;

/// The NPI: either side adds one to a number.
pub struct Adding;

// SAFETY: both modules below keep to these types.
unsafe impl Npi for Adding {
    const ID: Guid = Guid::new(0x5ced_0001, 2, 3, [4; 8]);
    type ClientCharacteristics = ();
    type ProviderCharacteristics = ();
    type ClientDispatch = Table;
    type ProviderDispatch = Table;
}

/// Both sides' dispatch.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Table {
    pub add: unsafe extern "system" fn(context: *mut c_void, number: u32) -> u32,
}

nt_sim::shadow_tables! {
    /// Sees the calls between both.
    pub struct AddingProbe {
        npi: Adding::ID,
        irql: irql::DISPATCH,
        teardown: [],
    }
    provider: Table {
        add(number: u32) -> u32 = 0;
    }
    client: Table {
        add(number: u32) -> u32 = 0;
    }
}

static CLIENT: Table = Table { add: client_add };
static PROVIDER: Table = Table { add: provider_add };

/// What a living binding value says.
const ALIVE: u32 = 0x600D_600D;

/// What a side keeps for a binding. The pool overwrites what is freed.
pub struct Bound {
    alive: AtomicU32,
    role: Role,
    log: Arc<Log>,
}

impl Bound {
    fn new(role: Role, log: &Arc<Log>) -> Self {
        log.note(What::Attaching(role));
        Self {
            alive: AtomicU32::new(ALIVE),
            role,
            log: Arc::clone(log),
        }
    }

    pub fn check(&self) {
        assert_eq!(self.alive.load(SeqCst), ALIVE, "used after its cleanup");
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        assert_eq!(self.alive.swap(0, SeqCst), ALIVE, "dropped twice");
        self.log.note(What::CleanedUp(self.role));
    }
}

// SAFETY: it writes to a list, and frees ordinary memory.
unsafe impl DropAtDispatch for Bound {}

unsafe extern "system" fn client_add(context: *mut c_void, number: u32) -> u32 {
    // SAFETY: a provider's call, so the context is one of this client's, and alive.
    let bound = unsafe { borrow_client_binding::<Adder>(context) };
    bound.binding().check();
    dawdle(LONG);
    bound.binding().check();
    number + 1
}

unsafe extern "system" fn provider_add(context: *mut c_void, number: u32) -> u32 {
    // SAFETY: a client's call, so the context is one of this provider's, and alive.
    let bound = unsafe { borrow_provider_binding::<Sum>(context) };
    bound.binding().check();
    dawdle(LONG);
    bound.binding().check();
    number + 1
}

/// Takes up to so many steps, so that others may run.
pub fn dawdle(most: u8) {
    for _ in 0..draw(most + 1) {
        step();
    }
}

/// In callbacks.
const SHORT: u8 = 4;
/// In calls, for a whole detach to go on beside them.
const LONG: u8 = 60;

/// The client.
pub struct Adder {
    log: Arc<Log>,
    /// It fails every attach after the provider has accepted.
    abandons: bool,
    reference: Mutex<Option<ClientBindingRef<Self>>>,
}

/// The place where a provider puts its binding.
pub type Place = Arc<Mutex<Option<ProviderBindingRef<Sum>>>>;

/// The provider.
pub struct Sum {
    log: Arc<Log>,
    reference: Place,
}

const fn config() -> RegistrationConfig {
    RegistrationConfig::new(ModuleId::Guid(Adding::ID))
}

impl Adder {
    pub fn register(log: &Arc<Log>, abandons: bool) -> ClientRegistration<Self> {
        let module = Self {
            log: Arc::clone(log),
            abandons,
            reference: Mutex::default(),
        };
        ClientRegistration::register(passive(), module, config(), Pool).expect("registered")
    }

    /// The binding, if there was one.
    pub fn reference(&self) -> Option<ClientBindingRef<Self>> {
        self.reference
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets the binding.
    pub fn forget(&self) {
        let reference = self
            .reference
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(reference);
    }
}

impl Sum {
    pub fn register(log: &Arc<Log>) -> ProviderRegistration<Self> {
        let module = Self {
            log: Arc::clone(log),
            reference: Place::default(),
        };
        ProviderRegistration::register(passive(), module, config(), Pool).expect("registered")
    }

    /// The binding, if there was one.
    pub fn reference(&self) -> Option<ProviderBindingRef<Self>> {
        self.reference
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where the binding can be found as soon as there is one.
    pub fn place(&self) -> Place {
        Arc::clone(&self.reference)
    }
}

impl Client for Adder {
    type Npi = Adding;
    type Binding = Bound;
    type Allocator = Memory;

    fn attach<'o>(&self, _: Passive<'o>, offer: ProviderOffer<'o, Self>) -> ClientAttach<'o, Self> {
        dawdle(SHORT);
        let accepted = match offer.accept(Bound::new(Role::Client, &self.log), Some(&CLIENT)) {
            Ok(accepted) => accepted,
            Err(rejected) => return rejected.decline(),
        };
        if self.abandons {
            dawdle(LONG);
            self.log.note(What::Abandons);
            let failed = accepted.abandon(Decline::NotForMe);
            dawdle(SHORT);
            return failed;
        }
        let reference = accepted.reference().clone();
        let before = self
            .reference
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(reference);
        drop(before);
        accepted.attached()
    }

    fn detaching(&self, bound: &ClientBound<'_, Self>) {
        self.log.note(What::Detaching(Role::Client));
        bound.check();
        assert!(bound.enter().is_none(), "no call begins after detach");
        dawdle(if self.abandons { LONG } else { SHORT });
        bound.check();
        self.log.note(What::Detached(Role::Client));
    }
}

impl Provider for Sum {
    type Npi = Adding;
    type Binding = Bound;
    type Allocator = Memory;

    fn attach<'o>(&self, _: Passive<'o>, offer: ClientOffer<'o, Self>) -> ProviderAttach<'o, Self> {
        dawdle(SHORT);
        match offer.accept(Bound::new(Role::Provider, &self.log), Some(&PROVIDER)) {
            Ok(accepted) => {
                let reference = accepted.reference().clone();
                let before = self
                    .reference
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .replace(reference);
                drop(before);
                accepted.attached()
            }
            Err(rejected) => rejected.decline(),
        }
    }

    fn detaching(&self, bound: &ProviderBound<'_, Self>) {
        self.log.note(What::Detaching(Role::Provider));
        bound.check();
        assert!(bound.enter().is_none(), "no call begins after detach");
        dawdle(SHORT);
        bound.check();
        self.log.note(What::Detached(Role::Provider));
    }
}

/// A call through a binding: whether it was let in.
pub fn call<R: nmr::Role<Binding = Bound, PeerDispatch = Table>>(
    log: &Log,
    role: Role,
    binding: &nmr::BindingRef<R>,
) -> bool {
    let Some(guard) = binding.enter() else {
        log.note(What::Refused(role));
        return false;
    };
    log.note(What::Calls(role));
    guard.binding().check();
    let dispatch = guard.peer_dispatch().expect("both sides have one");
    // SAFETY: the peer's entry, with the peer's context, while the guard exists.
    assert_eq!(unsafe { (dispatch.add)(guard.peer_context(), 41) }, 42);
    guard.binding().check();
    log.note(What::Ends(role));
    drop(guard);
    true
}
