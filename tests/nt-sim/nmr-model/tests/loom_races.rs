//! The smallest races of the registrar under every interleaving: built with `--cfg loom`, empty otherwise.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p nmr-model --test loom_races`
//!
//! Two or three threads, a registrar with one client and one provider, and every interleaving of their locks and events
//! with at most [`PREEMPTIONS`] switches away from a thread that could go on. Switches at a wait or at the end of a
//! thread are free. More threads, more modules and other policies are the affair of the random schedules.
#![cfg(loom)]

use std::{
    cell::{Cell, OnceCell},
    ffi::c_void,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use loom::{
    sync::{Condvar, Mutex},
    thread,
};
use nmr::raw;
use nmr_model::{Callback, Event, Observer, Owner, Policy, Registrar, Role, Severity, Violation};
use sim_platform::{Event as _, Platform, ThreadId};

/// The bound on preemptions. Every known bug of this kind needs one or two.
const PREEMPTIONS: usize = 3;

const SUCCESS: i32 = 0;
const PENDING: i32 = 0x103;

/// The threads of loom as a platform.
struct Loom;

loom::thread_local! {
    static THREAD: Cell<u64> = Cell::new(1);
}

impl Platform for Loom {
    type Lock<T: Send> = LoomLock<T>;
    type Event = LoomEvent;

    fn current_thread() -> ThreadId {
        THREAD.with(|thread| ThreadId(thread.get()))
    }

    /// Nothing: loom switches at locks anyway, and a thread that yields to loom would not go on before others have.
    fn yield_point() {}

    fn irql() -> u8 {
        0
    }
}

struct LoomLock<T>(Mutex<T>);

impl<T: Send> sim_platform::Lock<T> for LoomLock<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        with(&mut self.0.lock().unwrap())
    }

    fn into_inner(self) -> T {
        self.0.into_inner().unwrap()
    }
}

struct LoomEvent(Mutex<bool>, Condvar);

impl sim_platform::Event for LoomEvent {
    fn new() -> Self {
        Self(Mutex::new(false), Condvar::new())
    }

    fn set(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn clear(&self) {
        *self.0.lock().unwrap() = false;
    }

    fn is_set(&self) -> bool {
        *self.0.lock().unwrap()
    }

    fn wait(&self) {
        let mut set = self.0.lock().unwrap();
        while !*set {
            set = self.1.wait(set).unwrap();
        }
    }
}

/// Counts what the tests assert. Its counters are no steps.
#[derive(Default)]
struct Count {
    proposed: AtomicUsize,
    detaching: AtomicUsize,
    cleaned: AtomicUsize,
    broken: AtomicUsize,
}

impl Observer for Count {
    fn current_owner(&self) -> Owner {
        1
    }

    fn callback<R>(&self, _: &Callback, callback: impl FnOnce() -> R) -> R {
        callback()
    }

    fn event(&self, event: &Event) {
        let count = match event {
            Event::Proposed(_) => &self.proposed,
            Event::Detaching(_) => &self.detaching,
            Event::CleanedUp(_) => &self.cleaned,
            _ => return,
        };
        count.fetch_add(1, SeqCst);
    }

    fn violation(&self, violation: &Violation) {
        if violation.severity != Severity::Lint {
            self.broken.fetch_add(1, SeqCst);
        }
    }
}

type Nmr = Registrar<Loom, Count>;

/// A module of one binding, whose context it is.
struct Module {
    nmr: Arc<Nmr>,
    role: Role,
    /// Set in the detach callback, which then answers `STATUS_PENDING`.
    pends: Option<Arc<LoomEvent>>,
    handle: AtomicUsize,
    binding: AtomicUsize,
    /// Attached, detached, cleaned up: how often.
    counts: [AtomicUsize; 3],
    npi: raw::NPIID,
    identity: raw::NPI_MODULEID,
    client: OnceCell<raw::NPI_CLIENT_CHARACTERISTICS>,
    provider: OnceCell<raw::NPI_PROVIDER_CHARACTERISTICS>,
}

// SAFETY: loom runs all its threads on one thread of the host.
unsafe impl Sync for Module {}
// SAFETY: as above.
unsafe impl Send for Module {}

impl Module {
    fn new(nmr: &Arc<Nmr>, role: Role, pends: Option<Arc<LoomEvent>>) -> Arc<Self> {
        let npi = nmr::Guid::new(0x1234, 1, 2, [3; 8]);
        Arc::new(Self {
            nmr: Arc::clone(nmr),
            role,
            pends,
            handle: AtomicUsize::new(0),
            binding: AtomicUsize::new(0),
            counts: Default::default(),
            npi,
            identity: raw::NPI_MODULEID {
                Length: u16::try_from(size_of::<raw::NPI_MODULEID>()).unwrap(),
                Type: raw::MIT_GUID,
                Id: raw::NPI_MODULEID_ID { Guid: npi },
            },
            client: OnceCell::new(),
            provider: OnceCell::new(),
        })
    }

    fn register(&self) {
        let instance = raw::NPI_REGISTRATION_INSTANCE {
            Version: 0,
            Size: u16::try_from(size_of::<raw::NPI_REGISTRATION_INSTANCE>()).unwrap(),
            NpiId: &raw const self.npi,
            ModuleId: &raw const self.identity,
            Number: 0,
            NpiSpecificCharacteristics: ptr::null(),
        };
        let context = ptr::from_ref(self).cast_mut().cast();
        let mut handle = ptr::null_mut();
        let status = match self.role {
            Role::Client => {
                let characteristics = self.client.get_or_init(|| raw::NPI_CLIENT_CHARACTERISTICS {
                    Version: 0,
                    Length: u16::try_from(size_of::<raw::NPI_CLIENT_CHARACTERISTICS>()).unwrap(),
                    ClientAttachProvider: Some(client_attach),
                    ClientDetachProvider: Some(detach),
                    ClientCleanupBindingContext: Some(cleanup),
                    ClientRegistrationInstance: instance,
                });
                // SAFETY: the characteristics are in the module, which outlives its registration.
                unsafe {
                    self.nmr
                        .register_client(characteristics, context, &raw mut handle)
                }
            }
            Role::Provider => {
                let characteristics = self.provider.get_or_init(|| raw::NPI_PROVIDER_CHARACTERISTICS {
                    Version: 0,
                    Length: u16::try_from(size_of::<raw::NPI_PROVIDER_CHARACTERISTICS>()).unwrap(),
                    ProviderAttachClient: Some(provider_attach),
                    ProviderDetachClient: Some(detach),
                    ProviderCleanupBindingContext: Some(cleanup),
                    ProviderRegistrationInstance: instance,
                });
                // SAFETY: as above.
                unsafe {
                    self.nmr
                        .register_provider(characteristics, context, &raw mut handle)
                }
            }
        };
        assert_eq!(status, SUCCESS);
        self.handle.store(handle.addr(), SeqCst);
    }

    fn deregister(&self) {
        let handle = ptr::without_provenance_mut(self.handle.load(SeqCst));
        assert_eq!(self.nmr.deregister(self.role, handle), PENDING);
    }

    fn wait(&self) {
        let handle = ptr::without_provenance_mut(self.handle.load(SeqCst));
        assert_eq!(self.nmr.wait(self.role, handle), SUCCESS);
        let [attached, detached, cleaned] = self.counts();
        assert_eq!(
            [detached, cleaned],
            [attached; 2],
            "the wait covers detach and cleanup"
        );
    }

    fn leave(&self) {
        self.deregister();
        self.wait();
    }

    fn complete(&self) {
        let binding = ptr::without_provenance_mut(self.binding.load(SeqCst));
        self.nmr.detach_complete(self.role, binding);
    }

    fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|place: usize| self.counts[place].load(SeqCst))
    }
}

/// The module of a context.
///
/// # Safety
///
/// The context is a module of this file, of a registration that has not ended.
unsafe fn module<'a>(context: *mut c_void) -> &'a Module {
    // SAFETY: as the caller says.
    unsafe { &*context.cast::<Module>() }
}

unsafe extern "system" fn client_attach(
    binding: *mut c_void,
    context: *mut c_void,
    _: *const raw::NPI_REGISTRATION_INSTANCE,
) -> i32 {
    // SAFETY: every registration here has its module as context.
    let own = unsafe { module(context) };
    own.binding.store(binding.addr(), SeqCst);
    let (mut peer, mut dispatch) = (ptr::null_mut(), ptr::null());
    // SAFETY: the context is the module, the outputs are locals.
    let status = unsafe {
        own.nmr
            .attach_provider(binding, context, ptr::null(), &raw mut peer, &raw mut dispatch)
    };
    assert_eq!(status, SUCCESS);
    own.counts[0].fetch_add(1, SeqCst);
    status
}

unsafe extern "system" fn provider_attach(
    binding: *mut c_void,
    context: *mut c_void,
    _: *const raw::NPI_REGISTRATION_INSTANCE,
    _: *mut c_void,
    _: *const c_void,
    own_context: *mut *mut c_void,
    own_dispatch: *mut *const c_void,
) -> i32 {
    // SAFETY: every registration here has its module as context.
    let own = unsafe { module(context) };
    own.binding.store(binding.addr(), SeqCst);
    own.counts[0].fetch_add(1, SeqCst);
    // SAFETY: the registrar gives valid outputs.
    unsafe { own_context.write(context) };
    // SAFETY: as above.
    unsafe { own_dispatch.write(ptr::null()) };
    SUCCESS
}

unsafe extern "system" fn detach(context: *mut c_void) -> i32 {
    // SAFETY: every binding here has its module as context.
    let own = unsafe { module(context) };
    assert_eq!(own.counts[1].fetch_add(1, SeqCst), 0, "detached twice");
    assert_eq!(own.counts()[2], 0, "detached after cleanup");
    match &own.pends {
        Some(begun) => {
            begun.set();
            PENDING
        }
        None => SUCCESS,
    }
}

unsafe extern "system" fn cleanup(context: *mut c_void) {
    // SAFETY: every binding here has its module as context.
    let own = unsafe { module(context) };
    assert_eq!(own.counts[2].fetch_add(1, SeqCst), 0, "cleaned up twice");
    assert_eq!(own.counts()[1], 1, "cleaned up before detach");
}

/// Starts thread number `number` of the model; the first one is 1.
fn spawn(number: u64, body: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        THREAD.with(|thread| thread.set(number));
        body();
    })
}

/// Runs `body` on a fresh registrar under every interleaving; `bindings` says how many bindings there have to be.
fn model(
    policy: Policy,
    bindings: std::ops::RangeInclusive<usize>,
    body: impl Fn(&Arc<Nmr>) + Send + Sync + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(move || {
        let nmr = Arc::new(Registrar::new(Count::default(), policy));
        body(&nmr);
        let count = nmr.observer();
        let cleaned = count.cleaned.load(SeqCst);
        assert!(bindings.contains(&cleaned), "{cleaned} bindings");
        assert_eq!(count.detaching.load(SeqCst), cleaned, "each detach begins once");
        assert!(count.proposed.load(SeqCst) <= 1, "a pair meets once");
        assert_eq!(count.broken.load(SeqCst), 0, "no rule is broken");
        assert!(nmr.live_modules(1).is_empty() && nmr.live_bindings(1).is_empty());
    });
}

/// Both answers to the question whether cleanup waits for detach callbacks.
fn policies() -> [Policy; 2] {
    [true, false].map(|cleanup_after_callbacks| Policy {
        cleanup_after_callbacks,
        ..Policy::default()
    })
}

#[test]
fn two_registrations_meet_exactly_once() {
    model(Policy::default(), 1..=1, |nmr| {
        let client = Module::new(nmr, Role::Client, None);
        let provider = Module::new(nmr, Role::Provider, None);
        let other = Arc::clone(&provider);
        let registering = spawn(2, move || other.register());
        client.register();
        registering.join().unwrap();
        assert_eq!([client.counts(), provider.counts()], [[1, 0, 0]; 2]);
        client.leave();
        provider.leave();
    });
}

#[test]
fn an_attach_against_the_deregistration_of_its_peer() {
    for offer_after_deregister in [true, false] {
        for leaver in [Role::Client, Role::Provider] {
            let policy = Policy {
                offer_after_deregister,
                ..Policy::default()
            };
            // None if the leaver was gone before, or the offer was dropped.
            model(policy, 0..=1, move |nmr| {
                let stays = Module::new(nmr, leaver.peer(), None);
                let leaves = Module::new(nmr, leaver, None);
                leaves.register();
                let other = Arc::clone(&stays);
                let registering = spawn(2, move || other.register());
                leaves.leave();
                registering.join().unwrap();
                assert_eq!(stays.counts(), leaves.counts());
                stays.leave();
            });
        }
    }
}

#[test]
fn both_sides_deregister() {
    for policy in policies() {
        model(policy, 1..=1, |nmr| {
            let client = Module::new(nmr, Role::Client, None);
            let provider = Module::new(nmr, Role::Provider, None);
            client.register();
            provider.register();
            let other = Arc::clone(&provider);
            let leaving = spawn(2, move || other.leave());
            client.leave();
            leaving.join().unwrap();
        });
    }
}

#[test]
fn a_completion_against_the_return_of_pending() {
    for policy in policies() {
        model(policy, 1..=1, |nmr| {
            let begun = Arc::new(LoomEvent::new());
            let client = Module::new(nmr, Role::Client, Some(Arc::clone(&begun)));
            let provider = Module::new(nmr, Role::Provider, None);
            client.register();
            provider.register();
            let other = Arc::clone(&client);
            let completing = spawn(2, move || {
                begun.wait();
                other.complete();
            });
            provider.leave();
            completing.join().unwrap();
            client.leave();
        });
    }
}

#[test]
fn two_completions_at_once_with_a_wait() {
    for policy in policies() {
        model(policy, 1..=1, |nmr| {
            let begun = [(); 2].map(|()| Arc::new(LoomEvent::new()));
            let client = Module::new(nmr, Role::Client, Some(Arc::clone(&begun[0])));
            let provider = Module::new(nmr, Role::Provider, Some(Arc::clone(&begun[1])));
            client.register();
            provider.register();
            provider.deregister();
            let (one, other) = (Arc::clone(&client), Arc::clone(&provider));
            let completing = [
                spawn(2, move || one.complete()),
                spawn(3, move || other.complete()),
            ];
            provider.wait();
            for thread in completing {
                thread.join().unwrap();
            }
            client.leave();
        });
    }
}
