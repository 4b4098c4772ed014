//! A client that fails after its provider has accepted, while a registrar detaches it, under every interleaving: built
//! with `--cfg loom`, empty otherwise.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p nmr --test loom_abandon`
//!
//! The registrar here is a hostile one, in place of the simulator: it detaches the client as soon as the provider has
//! accepted, on another thread, and cleans up as soon as the detach has ended, although the attach callback may still
//! be on the stack.
#![cfg(loom)]

use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::{self, NonNull};

use allocator_api2::alloc::{AllocError, Allocator, Global};
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::sync::{Arc, Mutex};
use loom::thread::{self, JoinHandle};
use nmr::raw::{
    HANDLE, NPI_CLIENT_CHARACTERISTICS, NPI_PROVIDER_CHARACTERISTICS, NPI_REGISTRATION_INSTANCE, NTSTATUS,
};
use nmr::{
    Client, ClientAttach, ClientBound, ClientRegistration, Decline, DropAtDispatch, Guid, ModuleId, Npi,
    NtStatus, Passive, ProviderOffer, RegistrationConfig,
};

struct Nothing;

// SAFETY: the one provider is the registrar below, which has no dispatch.
unsafe impl Npi for Nothing {
    const ID: Guid = Guid::new(1, 2, 3, [4; 8]);
    type ClientCharacteristics = ();
    type ProviderCharacteristics = ();
    type ClientDispatch = ();
    type ProviderDispatch = ();
}

/// Keeps what is freed until the end of an execution, and looks then whether it was written to.
#[derive(Clone)]
struct Memory(std::sync::Arc<std::sync::Mutex<Blocks>>);

#[derive(Default)]
struct Blocks {
    live: usize,
    freed: Vec<(usize, Layout)>,
}

/// What freed memory is filled with.
const FREED: u8 = 0xDD;

// SAFETY: the memory is the global allocator's, which gets it back at the end only.
unsafe impl Allocator for Memory {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.0.lock().unwrap().live += 1;
        Global.allocate(layout)
    }

    unsafe fn deallocate(&self, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: freed, so nobody else's.
        unsafe { memory.write_bytes(FREED, layout.size()) };
        let mut blocks = self.0.lock().unwrap();
        blocks.live -= 1;
        blocks.freed.push((memory.as_ptr().expose_provenance(), layout));
    }
}

impl Memory {
    fn end(self) {
        let mut blocks = self.0.lock().unwrap();
        assert_eq!(blocks.live, 0, "memory is left");
        for (address, layout) in blocks.freed.drain(..) {
            let block: *mut u8 = ptr::with_exposed_provenance_mut(address);
            for offset in 0..layout.size() {
                // SAFETY: a byte of a block that was kept.
                let byte = unsafe { block.add(offset).read() };
                assert_eq!(byte, FREED, "written after it was freed");
            }
            // SAFETY: allocated by this allocator, and given back once.
            unsafe { Global.deallocate(NonNull::new(block).unwrap(), layout) };
        }
    }
}

/// The binding value: counts its drops.
struct Tracked(Arc<AtomicUsize>);

impl Drop for Tracked {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

// SAFETY: it adds to a number.
unsafe impl DropAtDispatch for Tracked {}

struct Module {
    drops: Arc<AtomicUsize>,
    /// How often the layer told it of a detach.
    told: AtomicUsize,
}

impl Client for Module {
    type Npi = Nothing;
    type Binding = Tracked;
    type Allocator = Memory;

    fn attach<'o>(&self, _: Passive<'o>, offer: ProviderOffer<'o, Self>) -> ClientAttach<'o, Self> {
        let accepted = offer
            .accept(Tracked(Arc::clone(&self.drops)), None)
            .expect("the registrar accepts");
        accepted.abandon(Decline::NotForMe)
    }

    fn detaching(&self, bound: &ClientBound<'_, Self>) {
        assert!(bound.enter().is_none(), "it was never attached");
        assert_eq!(self.drops.load(SeqCst), 0, "cleaned up before its detach");
        self.told.fetch_add(1, SeqCst);
    }
}

/// What the registrar knows.
struct Registrar {
    characteristics: Cell<NPI_CLIENT_CHARACTERISTICS>,
    registration: usize,
    detach: Mutex<Detach>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Whether the client's detach is called at all.
    detaches: bool,
}

// SAFETY: the characteristics are written before there is a second thread.
unsafe impl Send for Registrar {}
// SAFETY: as above.
unsafe impl Sync for Registrar {}

#[derive(Default)]
struct Detach {
    returned: Option<NTSTATUS>,
    completions: usize,
    cleanups: usize,
}

thread_local! {
    /// The registrar of the execution; loom runs all threads of one on one of the host.
    static REGISTRAR: Cell<*const Registrar> = const { Cell::new(ptr::null()) };
    /// Set before the client registers.
    static DETACHES: Cell<bool> = const { Cell::new(false) };
}

fn registrar() -> &'static Registrar {
    // SAFETY: leaked by the registration, until the end of the execution.
    unsafe { &*REGISTRAR.get() }
}

impl Registrar {
    /// Cleans up if the detach has ended, which one caller finds.
    fn clean_up_if_done(&self, context: *mut c_void, change: impl FnOnce(&mut Detach)) {
        let mut detach = self.detach.lock().unwrap();
        change(&mut detach);
        assert!(detach.completions <= 1, "completed twice");
        let done = match detach.returned.map(NtStatus) {
            None => false,
            Some(NtStatus::SUCCESS) => {
                assert_eq!(detach.completions, 0, "completed a detach that had succeeded");
                true
            }
            Some(status) => {
                assert_eq!(status, NtStatus::PENDING);
                detach.completions == 1
            }
        };
        if done {
            detach.cleanups += 1;
            assert_eq!(detach.cleanups, 1);
        }
        drop(detach);
        if done {
            let cleanup = self.characteristics.get().ClientCleanupBindingContext.unwrap();
            // SAFETY: the client's context, once.
            unsafe { cleanup(context) };
        }
    }
}

fn run(detaches: bool) {
    loom::model(move || {
        DETACHES.set(detaches);
        // SAFETY: there is no kernel here, and no level but the lowest.
        let passive = unsafe { Passive::assume() };
        let drops = Arc::new(AtomicUsize::new(0));
        let module = Module {
            drops: Arc::clone(&drops),
            told: AtomicUsize::new(0),
        };
        let memory = Memory(std::sync::Arc::default());
        let config = RegistrationConfig::new(ModuleId::Guid(Nothing::ID));
        let client = ClientRegistration::register(passive, module, config, memory.clone())
            .expect("the registrar registers");
        let thread = registrar().thread.lock().unwrap().take();
        if let Some(thread) = thread {
            thread.join().unwrap();
        }
        let detach = registrar().detach.lock().unwrap();
        let (returned, cleanups) = (detach.returned, detach.cleanups);
        drop(detach);
        assert_eq!((returned.is_some(), cleanups), (detaches, usize::from(detaches)));
        let module = client.deregister(passive);
        assert!(module.told.load(SeqCst) <= 1);
        assert_eq!(drops.load(SeqCst), 1, "the binding value is dropped once");
        memory.end();
        // SAFETY: leaked by the registration, and not used from here on.
        drop(unsafe { Box::from_raw(REGISTRAR.replace(ptr::null()).cast_mut()) });
    });
}

#[test]
fn an_attach_that_is_abandoned_beside_its_detach_is_cleaned_up_once() {
    run(true);
}

#[test]
fn an_attach_that_is_abandoned_and_never_detached_is_freed_with_its_registration() {
    run(false);
}

// SAFETY: nothing else in this test has the names of netio.sys.
#[unsafe(no_mangle)]
unsafe extern "system" fn NmrRegisterClient(
    characteristics: *const NPI_CLIENT_CHARACTERISTICS,
    context: *mut c_void,
    handle: *mut HANDLE,
) -> NTSTATUS {
    let registrar = Registrar {
        // SAFETY: the caller's promise.
        characteristics: Cell::new(unsafe { *characteristics }),
        registration: context.expose_provenance(),
        detach: Mutex::new(Detach::default()),
        thread: Mutex::new(None),
        detaches: DETACHES.get(),
    };
    let registrar: &'static Registrar = Box::leak(Box::new(registrar));
    REGISTRAR.set(registrar);
    let client = registrar.characteristics.get();
    // The client's own instance stands in for that of a provider.
    let instance = ptr::from_ref::<NPI_REGISTRATION_INSTANCE>(&client.ClientRegistrationInstance);
    let attach = client.ClientAttachProvider.unwrap();
    let context = ptr::with_exposed_provenance_mut(registrar.registration);
    // SAFETY: an offer to a registered client.
    let status = unsafe { attach(ptr::without_provenance_mut(0x10), context, instance) };
    assert_eq!(NtStatus(status), NtStatus::NOINTERFACE);
    // SAFETY: the caller's promise.
    unsafe { handle.write(ptr::without_provenance_mut(0x20)) };
    NtStatus::SUCCESS.0
}

// SAFETY: as above.
#[unsafe(no_mangle)]
unsafe extern "system" fn NmrClientAttachProvider(
    binding: HANDLE,
    client_context: *mut c_void,
    _: *const c_void,
    provider_context: *mut *mut c_void,
    provider_dispatch: *mut *const c_void,
) -> NTSTATUS {
    assert_eq!(binding.addr(), 0x10);
    // SAFETY: the caller's promise.
    unsafe { provider_context.write(ptr::null_mut()) };
    // SAFETY: the caller's promise.
    unsafe { provider_dispatch.write(ptr::null()) };
    let registrar = registrar();
    CONTEXT.set(client_context);
    if registrar.detaches {
        let context = client_context.expose_provenance();
        let thread = thread::spawn(move || {
            let context = ptr::with_exposed_provenance_mut(context);
            let detach = registrar.characteristics.get().ClientDetachProvider.unwrap();
            // SAFETY: the client's context, which is not cleaned up before this returns.
            let status = unsafe { detach(context) };
            registrar.clean_up_if_done(context, |detach| detach.returned = Some(status));
        });
        *registrar.thread.lock().unwrap() = Some(thread);
    }
    NtStatus::SUCCESS.0
}

thread_local! {
    static CONTEXT: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrClientDetachProviderComplete(binding: HANDLE) {
    assert_eq!(binding.addr(), 0x10);
    registrar().clean_up_if_done(CONTEXT.get(), |detach| detach.completions += 1);
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrDeregisterClient(handle: HANDLE) -> NTSTATUS {
    assert_eq!(handle.addr(), 0x20);
    NtStatus::PENDING.0
}

// SAFETY: as above.
#[unsafe(no_mangle)]
extern "system" fn NmrWaitForClientDeregisterComplete(handle: HANDLE) -> NTSTATUS {
    assert_eq!(handle.addr(), 0x20);
    NtStatus::SUCCESS.0
}

macro_rules! never {
    ($($name:ident($($arg:ty),*) $(-> $result:ty)?;)*) => {
        $(
            // SAFETY: nothing else in this test has the names of netio.sys.
            #[unsafe(no_mangle)]
            extern "system" fn $name($(_: $arg),*) $(-> $result)? {
                unreachable!("there is no provider module");
            }
        )*
    };
}
never! {
    NmrRegisterProvider(*const NPI_PROVIDER_CHARACTERISTICS, *mut c_void, *mut HANDLE) -> NTSTATUS;
    NmrDeregisterProvider(HANDLE) -> NTSTATUS;
    NmrWaitForProviderDeregisterComplete(HANDLE) -> NTSTATUS;
    NmrProviderDetachClientComplete(HANDLE);
}
