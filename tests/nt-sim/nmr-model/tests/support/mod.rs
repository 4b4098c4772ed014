//! A plain machine for the registrar, and modules that behave as a test tells them to.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::{
    cell::Cell,
    ffi::c_void,
    ptr,
    sync::{
        Condvar, Mutex, OnceLock,
        atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering},
    },
};

use nmr::raw;
use nmr_model::{Callback, Event, Observer, Owner, Policy, Registrar, Role, Rule, Violation, Work};
use sim_platform::{Platform, ThreadId};

/// The operating system's threads as a platform.
pub struct Host;

static THREADS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static THREAD: ThreadId = ThreadId(THREADS.fetch_add(1, Ordering::Relaxed));
    /// The simulated IRQL of this thread.
    pub static IRQL: Cell<u8> = const { Cell::new(0) };
    /// Whether this thread is in a critical region.
    pub static IN_CRITICAL_REGION: Cell<bool> = const { Cell::new(false) };
}

impl Platform for Host {
    type Lock<T: Send> = HostLock<T>;
    type Event = HostEvent;

    fn current_thread() -> ThreadId {
        THREAD.with(|thread| *thread)
    }

    fn yield_point() {
        std::thread::yield_now();
    }

    fn irql() -> u8 {
        IRQL.get()
    }
}

pub struct HostLock<T>(Mutex<T>);

impl<T: Send> sim_platform::Lock<T> for HostLock<T> {
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

#[derive(Default)]
pub struct HostEvent(Mutex<bool>, Condvar);

impl sim_platform::Event for HostEvent {
    fn new() -> Self {
        Self::default()
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
        let set = self.0.lock().unwrap();
        drop(self.1.wait_while(set, |set| !*set).unwrap());
    }
}

/// Records what the registrar tells.
#[derive(Default)]
pub struct Record {
    registrar: OnceLock<&'static Nmr>,
    /// How many workers have still to finish.
    working: Mutex<usize>,
    finished: Condvar,
    events: Mutex<Vec<Event>>,
    broken: Mutex<Vec<Rule>>,
}

impl Observer for Record {
    fn current_owner(&self) -> Owner {
        1
    }

    fn callback<R>(&self, _: &Callback, run: impl FnOnce() -> R) -> R {
        run()
    }

    fn event(&self, event: &Event) {
        self.events.lock().unwrap().push(*event);
    }

    fn violation(&self, violation: &Violation) {
        self.broken.lock().unwrap().push(violation.rule);
    }

    fn raised<R>(&self, irql: u8, callback: impl FnOnce() -> R) -> R {
        let before = IRQL.replace(irql);
        let result = callback();
        IRQL.set(before);
        result
    }

    fn in_critical_region(&self) -> bool {
        IN_CRITICAL_REGION.get()
    }

    fn queue(&self, work: Work) -> bool {
        let registrar = *self.registrar.get().unwrap();
        *self.working.lock().unwrap() += 1;
        std::thread::spawn(move || {
            registrar.run(work);
            let record = registrar.observer();
            *record.working.lock().unwrap() -= 1;
            record.finished.notify_all();
        });
        true
    }
}

pub type Nmr = Registrar<Host, Record>;

pub const SUCCESS: i32 = 0;
pub const PENDING: i32 = 0x103;
pub const NOINTERFACE: i32 = 0xC000_02B9_u32.cast_signed();
pub const INVALID_PARAMETER: i32 = 0xC000_000D_u32.cast_signed();

/// A registrar that outlives the test's threads.
pub fn registrar(policy: Policy) -> &'static Nmr {
    let registrar: &Nmr = Box::leak(Box::new(Registrar::new(Record::default(), policy)));
    assert!(registrar.observer().registrar.set(registrar).is_ok());
    registrar
}

/// Waits until no worker has anything left to do.
pub fn settle(nmr: &Nmr) {
    let record = nmr.observer();
    let working = record.working.lock().unwrap();
    drop(
        record
            .finished
            .wait_while(working, |working| *working > 0)
            .unwrap(),
    );
}

/// The rules broken so far.
pub fn broken(nmr: &Nmr) -> Vec<Rule> {
    nmr.observer().broken.lock().unwrap().clone()
}

/// What `pick` makes of the events, in their order.
pub fn events<T>(nmr: &Nmr, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    nmr.observer()
        .events
        .lock()
        .unwrap()
        .iter()
        .filter_map(pick)
        .collect()
}

/// How many events `wanted` picks.
pub fn count(nmr: &Nmr, wanted: impl Fn(&Event) -> bool) -> usize {
    nmr.observer()
        .events
        .lock()
        .unwrap()
        .iter()
        .filter(|event| wanted(event))
        .count()
}

/// What a client does in `ClientAttachProvider`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Attaching {
    /// Attaches and returns what came back.
    Normal,
    /// Returns `STATUS_NOINTERFACE` at once.
    Decline,
    /// Attaches, and once more if that failed.
    Retry,
    /// Attaches, and then fails.
    FailAfterwards,
    /// Returns success without attaching.
    Pretend,
    /// Attaches a second time after success.
    Twice,
}

/// What a test does inside a callback.
pub type Hook = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// Runs a hook, once.
fn run(hook: &Hook) {
    let hook = hook.lock().unwrap().take();
    if let Some(hook) = hook {
        hook();
    }
}

/// A module for tests. Its binding contexts lead to it.
pub struct Module {
    pub nmr: &'static Nmr,
    pub role: Role,
    pub attaching: Attaching,
    /// What `ProviderAttachClient` returns, first and later.
    pub accept: Mutex<Vec<i32>>,
    /// What detach returns.
    pub detach: AtomicI32,
    /// Gives NULL as its binding context; its callbacks then count in [`NULL_CONTEXTS`].
    pub null_context: bool,
    /// What runs inside the next attach callback, after attaching.
    pub during_attach: Hook,
    /// What runs inside the next detach callback.
    pub during_detach: Hook,
    /// What runs inside the next cleanup callback.
    pub during_cleanup: Hook,
    /// At which IRQLs detach and cleanup callbacks ran.
    pub levels: Mutex<Vec<u8>>,
    pub attached: AtomicUsize,
    pub detached: AtomicUsize,
    pub cleaned: AtomicUsize,
    /// The binding handles seen in attach.
    pub bindings: Mutex<Vec<usize>>,
    handle: AtomicUsize,
    npi: raw::NPIID,
    identity: raw::NPI_MODULEID,
    client: Mutex<Option<Box<raw::NPI_CLIENT_CHARACTERISTICS>>>,
    provider: Mutex<Option<Box<raw::NPI_PROVIDER_CHARACTERISTICS>>>,
}

// SAFETY: the raw pointers in the characteristics point into the module itself, which is never
// freed; everything that changes is behind a lock or atomic.
unsafe impl Sync for Module {}
#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "the boxed characteristics are read only"
)]
// SAFETY: as for `Sync`.
unsafe impl Send for Module {}

impl Module {
    pub fn new(nmr: &'static Nmr, role: Role) -> Self {
        let guid = nmr::Guid::new(0x1234, 1, 2, [3; 8]);
        Self {
            nmr,
            role,
            attaching: Attaching::Normal,
            accept: Mutex::new(vec![SUCCESS]),
            detach: AtomicI32::new(SUCCESS),
            null_context: false,
            during_attach: Mutex::new(None),
            during_detach: Mutex::new(None),
            during_cleanup: Mutex::new(None),
            levels: Mutex::new(Vec::new()),
            attached: AtomicUsize::new(0),
            detached: AtomicUsize::new(0),
            cleaned: AtomicUsize::new(0),
            bindings: Mutex::new(Vec::new()),
            handle: AtomicUsize::new(0),
            npi: guid,
            identity: raw::NPI_MODULEID {
                Length: u16::try_from(size_of::<raw::NPI_MODULEID>()).unwrap(),
                Type: raw::MIT_GUID,
                Id: raw::NPI_MODULEID_ID { Guid: guid },
            },
            client: Mutex::new(None),
            provider: Mutex::new(None),
        }
    }

    /// Registers the module, which then lives for ever.
    pub fn register(self) -> &'static Self {
        let this = self.keep();
        this.register_again();
        this
    }

    /// Lets the module live for ever, not registered yet.
    pub fn keep(self) -> &'static Self {
        Box::leak(Box::new(self))
    }

    /// Registers the module, and waits until every peer was offered.
    pub fn register_again(&'static self) {
        self.enrol();
        settle(self.nmr);
    }

    /// Registers the module.
    pub fn enrol(&'static self) {
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
                let characteristics = Box::new(raw::NPI_CLIENT_CHARACTERISTICS {
                    Version: 0,
                    Length: u16::try_from(size_of::<raw::NPI_CLIENT_CHARACTERISTICS>()).unwrap(),
                    ClientAttachProvider: Some(client_attach),
                    ClientDetachProvider: Some(detach),
                    ClientCleanupBindingContext: Some(cleanup),
                    ClientRegistrationInstance: instance,
                });
                let pointer = ptr::from_ref(&*characteristics);
                *self.client.lock().unwrap() = Some(characteristics);
                // SAFETY: the characteristics live in the leaked module until the next registration.
                unsafe { self.nmr.register_client(pointer, context, &raw mut handle) }
            }
            Role::Provider => {
                let characteristics = Box::new(raw::NPI_PROVIDER_CHARACTERISTICS {
                    Version: 0,
                    Length: u16::try_from(size_of::<raw::NPI_PROVIDER_CHARACTERISTICS>()).unwrap(),
                    ProviderAttachClient: Some(provider_attach),
                    ProviderDetachClient: Some(detach),
                    ProviderCleanupBindingContext: Some(cleanup),
                    ProviderRegistrationInstance: instance,
                });
                let pointer = ptr::from_ref(&*characteristics);
                *self.provider.lock().unwrap() = Some(characteristics);
                // SAFETY: as above.
                unsafe { self.nmr.register_provider(pointer, context, &raw mut handle) }
            }
        };
        assert_eq!(status, SUCCESS);
        self.handle.store(handle.addr(), Ordering::SeqCst);
    }

    /// A context for a new binding, which leads to the module and is never freed.
    fn binding_context(&'static self) -> *mut c_void {
        if self.null_context {
            return ptr::null_mut();
        }
        ptr::from_mut(Box::leak(Box::new(self))).cast()
    }

    pub fn handle(&self) -> *mut c_void {
        ptr::without_provenance_mut(self.handle.load(Ordering::SeqCst))
    }

    pub fn deregister(&self) -> i32 {
        self.nmr.deregister(self.role, self.handle())
    }

    pub fn wait(&self) -> i32 {
        self.nmr.wait(self.role, self.handle())
    }

    /// Deregisters and waits.
    pub fn leave(&self) {
        assert_eq!(self.deregister(), PENDING, "a deregistration is always pending");
        assert_eq!(self.wait(), SUCCESS);
    }

    /// As [`Self::leave`], and waits for what the registrar does after that.
    pub fn leave_for_good(&self) {
        self.leave();
        settle(self.nmr);
    }

    /// The handle of the last binding that this module was shown.
    pub fn binding(&self) -> *mut c_void {
        ptr::without_provenance_mut(*self.bindings.lock().unwrap().last().unwrap())
    }

    /// Completes the detach of the last binding, and waits until all that follows has happened.
    pub fn complete(&self) {
        self.nmr.detach_complete(self.role, self.binding());
        settle(self.nmr);
    }

    pub fn counts(&self) -> [usize; 3] {
        [&self.attached, &self.detached, &self.cleaned].map(|count| count.load(Ordering::SeqCst))
    }
}

/// How many detach and cleanup callbacks got a NULL context.
pub static NULL_CONTEXTS: AtomicUsize = AtomicUsize::new(0);

/// The module of a registration context.
fn module(context: *mut c_void) -> &'static Module {
    // SAFETY: the context of every registration in these tests is a leaked `Module`.
    unsafe { &*context.cast::<Module>() }
}

/// The module of a binding context.
fn module_of_binding(context: *mut c_void) -> &'static Module {
    // SAFETY: every binding context in these tests is a leaked reference to a leaked `Module`.
    unsafe { *context.cast::<&'static Module>() }
}

unsafe extern "system" fn client_attach(
    binding: *mut c_void,
    context: *mut c_void,
    _: *const raw::NPI_REGISTRATION_INSTANCE,
) -> i32 {
    let own = module(context);
    own.bindings.lock().unwrap().push(binding.addr());
    let attach = || {
        let (mut peer, mut dispatch) = (ptr::null_mut(), ptr::null());
        // SAFETY: the context is the module, the outputs are locals.
        unsafe {
            own.nmr.attach_provider(
                binding,
                own.binding_context(),
                ptr::null(),
                &raw mut peer,
                &raw mut dispatch,
            )
        }
    };
    let status = match own.attaching {
        Attaching::Decline => NOINTERFACE,
        Attaching::Normal => attach(),
        Attaching::Retry => match attach() {
            SUCCESS => SUCCESS,
            _ => attach(),
        },
        Attaching::FailAfterwards => {
            attach();
            NOINTERFACE
        }
        Attaching::Pretend => SUCCESS,
        Attaching::Twice => {
            let status = attach();
            assert!(attach() < 0, "a second attach is refused");
            status
        }
    };
    if status == SUCCESS {
        own.attached.fetch_add(1, Ordering::SeqCst);
    }
    run(&own.during_attach);
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
    let own = module(context);
    own.bindings.lock().unwrap().push(binding.addr());
    let status = {
        let mut accept = own.accept.lock().unwrap();
        if accept.len() > 1 {
            accept.remove(0)
        } else {
            accept[0]
        }
    };
    if status == SUCCESS {
        // SAFETY: the registrar gives valid outputs.
        unsafe { own_context.write(own.binding_context()) };
        // SAFETY: as above.
        unsafe { own_dispatch.write(ptr::null()) };
        own.attached.fetch_add(1, Ordering::SeqCst);
    }
    status
}

unsafe extern "system" fn detach(context: *mut c_void) -> i32 {
    if context.is_null() {
        NULL_CONTEXTS.fetch_add(1, Ordering::SeqCst);
        return SUCCESS;
    }
    let own = module_of_binding(context);
    own.detached.fetch_add(1, Ordering::SeqCst);
    own.levels.lock().unwrap().push(IRQL.get());
    run(&own.during_detach);
    own.detach.load(Ordering::SeqCst)
}

unsafe extern "system" fn cleanup(context: *mut c_void) {
    if context.is_null() {
        NULL_CONTEXTS.fetch_add(1, Ordering::SeqCst);
        return;
    }
    let own = module_of_binding(context);
    own.levels.lock().unwrap().push(IRQL.get());
    run(&own.during_cleanup);
    own.cleaned.fetch_add(1, Ordering::SeqCst);
}

/// Runs `work` on a thread of its own.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    std::thread::spawn(work)
}
