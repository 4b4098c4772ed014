//! What the tests share: a machine, a small NPI, a client and a provider whose behaviour each
//! test chooses, binding values that count their drops, and an allocator that counts too.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::missing_const_for_fn, reason = "tests make nothing at compile time")]

use std::alloc::Layout;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use allocator_api2::alloc::{AllocError, Allocator, Global};
use nmr::{
    Client, ClientAttach, ClientBindingRef, ClientBound, ClientOffer, ClientRegistration, Decline,
    DropAtDispatch, Guid, ModuleId, Npi, NtStatus, Passive, Provider, ProviderAttach, ProviderBindingRef,
    ProviderBound, ProviderOffer, ProviderRegistration, RegistrationConfig, borrow_provider_binding,
};
use nmr_model::{DetachCalls, Policy};
use nt_sim::Machine;

/// Runs a test on a machine of its own, once for each way in which NMR may behave, and demands
/// that the verifier finds nothing.
pub fn on_every_machine(test: impl Fn(Passive<'_>)) {
    for policy in policies() {
        on_machine(policy, &test).assert_clean();
    }
}

/// Runs a test on a machine of its own.
pub fn on_machine(policy: Policy, test: impl Fn(Passive<'_>)) -> nt_sim::Report {
    let machine = Machine::builder()
        .nmr_policy(policy)
        .build()
        .expect("a machine in memory");
    let entered = machine.enter();
    test(passive());
    drop(entered);
    machine.shutdown()
}

/// Tests run at `PASSIVE_LEVEL`.
pub fn passive() -> Passive<'static> {
    // SAFETY: no test raises the level.
    unsafe { Passive::assume() }
}

/// What the documentation leaves open, each two deviations from the default together, and all at once;
/// as far as nothing is left to other threads, since a test looks at what has happened when a call returns.
pub fn policies() -> impl Iterator<Item = Policy> {
    Policy::pairs().chain([Policy::hostile()]).map(|policy| Policy {
        attach_on_worker: false,
        cleanup_on_worker: false,
        detach_calls: match policy.detach_calls {
            DetachCalls::Parallel => DetachCalls::Together,
            calls => calls,
        },
        ..policy
    })
}

/// Counts what is allocated, and fails when told to.
#[derive(Clone, Default)]
pub struct Counting(Arc<Counts>);

#[derive(Default)]
struct Counts {
    live: AtomicIsize,
    /// How many allocations succeed before one fails; 0 or less: no limit.
    fails_in: AtomicIsize,
}

impl Counting {
    /// How many allocations are alive.
    pub fn live(&self) -> isize {
        self.0.live.load(SeqCst)
    }

    /// Lets the `n`th allocation from now fail, counted from 1.
    pub fn fail_nth(&self, n: isize) {
        self.0.fails_in.store(n, SeqCst);
    }
}

// SAFETY: the memory is the global allocator's; this only counts.
unsafe impl Allocator for Counting {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if self.0.fails_in.fetch_sub(1, SeqCst) == 1 {
            return Err(AllocError);
        }
        let memory = Global.allocate(layout)?;
        self.0.live.fetch_add(1, SeqCst);
        Ok(memory)
    }

    unsafe fn deallocate(&self, memory: NonNull<u8>, layout: Layout) {
        self.0.live.fetch_sub(1, SeqCst);
        // SAFETY: freed, so nobody else's; zero is "not alive".
        unsafe { memory.write_bytes(0, layout.size()) };
        // SAFETY: allocated above, as the caller says.
        unsafe { Global.deallocate(memory, layout) };
    }
}

/// The NPI: a provider doubles numbers, a client may be told one.
pub struct Doubling;

// SAFETY: both modules below keep to these types.
unsafe impl Npi for Doubling {
    const ID: Guid = Guid::new(
        0x2f9c_3f6e,
        0x9d0a,
        0x4c5e,
        [0x8a, 0x10, 0x6b, 0x2f, 0x4e, 0x77, 0x01, 0x5d],
    );
    type ClientCharacteristics = Version;
    type ProviderCharacteristics = Version;
    type ClientDispatch = Tell;
    type ProviderDispatch = Double;
}

/// What modules tell of themselves.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u32);

/// A provider's dispatch.
#[repr(C)]
pub struct Double {
    pub version: u32,
    pub double: unsafe extern "system" fn(context: *mut c_void, number: u32) -> u32,
}

/// A client's dispatch.
#[repr(C)]
pub struct Tell {
    pub version: u32,
}

pub static DOUBLE: Double = Double { version: 1, double };
pub static TELL_1: Tell = Tell { version: 1 };
pub static TELL_2: Tell = Tell { version: 2 };

unsafe extern "system" fn double(context: *mut c_void, number: u32) -> u32 {
    // SAFETY: a client's call, so the context is one of this provider's, and alive.
    let binding = unsafe { borrow_provider_binding::<TestProvider>(context) };
    assert!(binding.is_alive(), "called after cleanup");
    binding.module().calls.fetch_add(1, SeqCst);
    number * 2
}

/// A binding value that counts how often it is dropped.
pub struct Tracked {
    dropped: Arc<AtomicUsize>,
    alive: AtomicBool,
}

impl Tracked {
    fn new(dropped: &Arc<AtomicUsize>) -> Self {
        Self {
            dropped: Arc::clone(dropped),
            alive: AtomicBool::new(true),
        }
    }

    /// False after the drop: the allocator overwrites what it frees.
    pub fn is_alive(&self) -> bool {
        self.alive.load(SeqCst)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        assert!(self.alive.swap(false, SeqCst), "dropped twice");
        self.dropped.fetch_add(1, SeqCst);
    }
}

// SAFETY: it adds to a number and frees ordinary memory.
unsafe impl DropAtDispatch for Tracked {}

type ClientBehaviour = for<'o> fn(&TestClient, ProviderOffer<'o, TestClient>) -> ClientAttach<'o, TestClient>;
type ProviderBehaviour =
    for<'o> fn(&TestProvider, ClientOffer<'o, TestProvider>) -> ProviderAttach<'o, TestProvider>;

/// A client.
pub struct TestClient {
    pub behaviour: ClientBehaviour,
    pub bindings: Mutex<Vec<ClientBindingRef<Self>>>,
    pub dropped: Arc<AtomicUsize>,
    pub offers: AtomicUsize,
    pub detaching: AtomicUsize,
    pub alloc: Counting,
}

impl TestClient {
    pub fn new(behaviour: ClientBehaviour) -> Self {
        Self {
            behaviour,
            bindings: Mutex::default(),
            dropped: Arc::default(),
            offers: AtomicUsize::default(),
            detaching: AtomicUsize::default(),
            alloc: Counting::default(),
        }
    }

    /// A binding value that counts its drop in [`Self::dropped`].
    pub fn binding(&self) -> Tracked {
        Tracked::new(&self.dropped)
    }

    /// The binding, where there is only one.
    pub fn only(&self) -> ClientBindingRef<Self> {
        let bindings = self.bindings.lock().unwrap();
        assert_eq!(bindings.len(), 1);
        bindings[0].clone()
    }

    pub fn register(self) -> ClientRegistration<Self> {
        let alloc = self.alloc.clone();
        ClientRegistration::register(passive(), self, config(1), alloc).expect("registered")
    }
}

/// Attaches to whatever is offered.
pub fn client_accepts<'o>(
    client: &TestClient,
    offer: ProviderOffer<'o, TestClient>,
) -> ClientAttach<'o, TestClient> {
    match offer.accept(client.binding(), Some(&TELL_1)) {
        Ok(accepted) => {
            client.bindings.lock().unwrap().push(accepted.reference().clone());
            accepted.attached()
        }
        Err(rejected) => rejected.decline(),
    }
}

/// Leaves every provider alone.
pub fn client_declines<'o>(
    _: &TestClient,
    offer: ProviderOffer<'o, TestClient>,
) -> ClientAttach<'o, TestClient> {
    offer.decline(Decline::NotForMe)
}

impl Client for TestClient {
    type Npi = Doubling;
    type Binding = Tracked;
    type Allocator = Counting;

    fn characteristics(&self) -> Option<Version> {
        Some(Version(10))
    }

    fn attach<'o>(&self, _: Passive<'o>, offer: ProviderOffer<'o, Self>) -> ClientAttach<'o, Self> {
        self.offers.fetch_add(1, SeqCst);
        (self.behaviour)(self, offer)
    }

    fn detaching(&self, binding: &ClientBound<'_, Self>) {
        assert!(binding.enter().is_none(), "no call begins after detach");
        assert!(std::ptr::eq(binding.module(), self));
        self.detaching.fetch_add(1, SeqCst);
    }
}

/// A provider.
pub struct TestProvider {
    pub behaviour: ProviderBehaviour,
    pub number: u32,
    pub bindings: Mutex<Vec<ProviderBindingRef<Self>>>,
    pub dropped: Arc<AtomicUsize>,
    pub offers: AtomicUsize,
    pub detaching: AtomicUsize,
    pub calls: AtomicUsize,
    pub alloc: Counting,
}

impl TestProvider {
    pub fn new(behaviour: ProviderBehaviour) -> Self {
        Self {
            behaviour,
            number: 1,
            bindings: Mutex::default(),
            dropped: Arc::default(),
            offers: AtomicUsize::default(),
            detaching: AtomicUsize::default(),
            calls: AtomicUsize::default(),
            alloc: Counting::default(),
        }
    }

    /// A binding value that counts its drop in [`Self::dropped`].
    pub fn binding(&self) -> Tracked {
        Tracked::new(&self.dropped)
    }

    /// The binding, where there is only one.
    pub fn only(&self) -> ProviderBindingRef<Self> {
        let bindings = self.bindings.lock().unwrap();
        assert_eq!(bindings.len(), 1);
        bindings[0].clone()
    }

    pub fn register(self) -> ProviderRegistration<Self> {
        let (alloc, config) = (self.alloc.clone(), config(self.number));
        ProviderRegistration::register(passive(), self, config, alloc).expect("registered")
    }
}

/// Takes every client.
pub fn provider_accepts<'o>(
    provider: &TestProvider,
    offer: ClientOffer<'o, TestProvider>,
) -> ProviderAttach<'o, TestProvider> {
    match offer.accept(provider.binding(), Some(&DOUBLE)) {
        Ok(accepted) => {
            provider
                .bindings
                .lock()
                .unwrap()
                .push(accepted.reference().clone());
            accepted.attached()
        }
        Err(rejected) => rejected.decline(),
    }
}

/// Takes no client.
pub fn provider_declines<'o>(
    _: &TestProvider,
    offer: ClientOffer<'o, TestProvider>,
) -> ProviderAttach<'o, TestProvider> {
    offer.decline(Decline::NotForMe)
}

impl Provider for TestProvider {
    type Npi = Doubling;
    type Binding = Tracked;
    type Allocator = Counting;

    fn characteristics(&self) -> Option<Version> {
        Some(Version(20))
    }

    fn attach<'o>(&self, _: Passive<'o>, offer: ClientOffer<'o, Self>) -> ProviderAttach<'o, Self> {
        self.offers.fetch_add(1, SeqCst);
        (self.behaviour)(self, offer)
    }

    fn detaching(&self, binding: &ProviderBound<'_, Self>) {
        assert!(binding.enter().is_none(), "no call begins after detach");
        assert!(std::ptr::eq(binding.module(), self));
        self.detaching.fetch_add(1, SeqCst);
    }
}

/// Modules differ by the number of their registration.
pub fn config(number: u32) -> RegistrationConfig {
    let id = Guid::new(0xc0de_0001, 0, 0, [0, 0, 0, 0, 0, 0, 0, 1]);
    RegistrationConfig {
        number,
        ..RegistrationConfig::new(ModuleId::Guid(id))
    }
}

/// Calls the provider; `None` if the binding is no longer, or not yet, attached.
pub fn call(binding: &ClientBindingRef<TestClient>, number: u32) -> Option<u32> {
    let guard = binding.enter()?;
    assert!(guard.binding().is_alive(), "entered after cleanup");
    let dispatch = guard.peer_dispatch()?;
    // SAFETY: the provider's own entry, with its own context, while the guard exists.
    Some(unsafe { (dispatch.double)(guard.peer_context(), number) })
}

/// The drops counted so far.
pub fn drops(count: &Arc<AtomicUsize>) -> usize {
    count.load(SeqCst)
}

/// How the status of a failed attempt reads.
pub const NO_MEMORY: NtStatus = NtStatus::INSUFFICIENT_RESOURCES;
