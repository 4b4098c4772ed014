//! Modules that do what a race needs, and count what is done to them.

use std::{
    ffi::c_void,
    ptr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use nmr::raw;
use nmr_model::{Registrar, Role};

use super::trail::{Call, Key, Log};
use crate::platform::{Controlled, at_irql, step};

pub type Nmr = Registrar<Controlled, Log>;

pub const SUCCESS: i32 = 0;
pub const PENDING: i32 = 0x103;
pub const NOINTERFACE: i32 = 0xC000_02B9_u32.cast_signed();
pub const INSUFFICIENT_RESOURCES: i32 = 0xC000_009A_u32.cast_signed();

/// What a module does in a callback about one of its bindings.
type Hook<R> = Box<dyn Fn(&Arc<Side>) -> R + Send + Sync>;

/// What a module does.
pub struct Plan {
    /// A client: attaches, returns the status of its callback. A provider: the status with which it answers.
    pub attach: Hook<i32>,
    /// In its detach callback; the status with which it answers.
    pub detach: Hook<i32>,
    /// In its cleanup callback.
    pub cleanup: Hook<()>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            attach: Box::new(|side| match side.module().role {
                Role::Client => side.attach(),
                Role::Provider => SUCCESS,
            }),
            detach: Box::new(|_| SUCCESS),
            cleanup: Box::new(|_| ()),
        }
    }
}

/// A client or a provider module.
pub struct Module {
    pub nmr: Arc<Nmr>,
    pub key: Key,
    pub role: Role,
    pub plan: Plan,
    /// Every side of a binding that it was shown.
    pub sides: Mutex<Vec<Arc<Side>>>,
    handle: AtomicUsize,
    itself: Weak<Self>,
    npi: raw::NPIID,
    identity: raw::NPI_MODULEID,
    characteristics: OnceLock<Characteristics>,
}

/// As registered. They point into the module, which does not move.
enum Characteristics {
    Client(raw::NPI_CLIENT_CHARACTERISTICS),
    Provider(raw::NPI_PROVIDER_CHARACTERISTICS),
}

// SAFETY: the pointers lead into the module, whose fields behind them never change.
unsafe impl Send for Characteristics {}
// SAFETY: as above.
unsafe impl Sync for Characteristics {}

/// What the out-handle holds before a registration.
pub const UNTOUCHED: usize = 0x0BAD_F00D;

impl Module {
    pub fn new(nmr: Arc<Nmr>, key: Key, role: Role, plan: Plan) -> Arc<Self> {
        let npi = nmr::Guid::new(0x1234, 1, 2, [3; 8]);
        Arc::new_cyclic(|itself| Self {
            nmr,
            key,
            role,
            plan,
            sides: Mutex::default(),
            handle: AtomicUsize::new(UNTOUCHED),
            itself: Weak::clone(itself),
            npi,
            identity: raw::NPI_MODULEID {
                Length: u16::try_from(size_of::<raw::NPI_MODULEID>()).unwrap_or(0),
                Type: raw::MIT_GUID,
                Id: raw::NPI_MODULEID_ID { Guid: npi },
            },
            characteristics: OnceLock::new(),
        })
    }

    fn characteristics(&self) -> &Characteristics {
        self.characteristics.get_or_init(|| {
            let instance = raw::NPI_REGISTRATION_INSTANCE {
                Version: 0,
                Size: u16::try_from(size_of::<raw::NPI_REGISTRATION_INSTANCE>()).unwrap_or(0),
                NpiId: &raw const self.npi,
                ModuleId: &raw const self.identity,
                Number: 0,
                NpiSpecificCharacteristics: ptr::null(),
            };
            match self.role {
                Role::Client => Characteristics::Client(raw::NPI_CLIENT_CHARACTERISTICS {
                    Version: 0,
                    Length: u16::try_from(size_of::<raw::NPI_CLIENT_CHARACTERISTICS>()).unwrap_or(0),
                    ClientAttachProvider: Some(client_attach),
                    ClientDetachProvider: Some(detach),
                    ClientCleanupBindingContext: Some(cleanup),
                    ClientRegistrationInstance: instance,
                }),
                Role::Provider => Characteristics::Provider(raw::NPI_PROVIDER_CHARACTERISTICS {
                    Version: 0,
                    Length: u16::try_from(size_of::<raw::NPI_PROVIDER_CHARACTERISTICS>()).unwrap_or(0),
                    ProviderAttachClient: Some(provider_attach),
                    ProviderDetachClient: Some(detach),
                    ProviderCleanupBindingContext: Some(cleanup),
                    ProviderRegistrationInstance: instance,
                }),
            }
        })
    }

    /// Registers it, with the characteristics of the last time if there was one.
    pub fn try_register(&self) -> i32 {
        let context = ptr::from_ref(self).cast_mut().cast();
        self.handle.store(UNTOUCHED, SeqCst);
        let handle = self.handle.as_ptr().cast::<*mut c_void>();
        self.nmr.observer().call(self.key, Call::Register, || {
            match self.characteristics() {
                // SAFETY: characteristics, context and output are in the module, which the scene keeps until the end. The
                // output is written beside atomic accesses, which under the checker is on the same thread of the host.
                Characteristics::Client(it) => unsafe { self.nmr.register_client(it, context, handle) },
                // SAFETY: as above.
                Characteristics::Provider(it) => unsafe { self.nmr.register_provider(it, context, handle) },
            }
        })
    }

    pub fn register(&self) {
        assert_eq!(self.try_register(), SUCCESS);
    }

    /// The value of the out-handle.
    pub fn handle(&self) -> usize {
        self.handle.load(SeqCst)
    }

    pub fn deregister(&self) {
        let handle = ptr::without_provenance_mut(self.handle());
        let status = self.nmr.observer().call(self.key, Call::Deregister, || {
            self.nmr.deregister(self.role, handle)
        });
        assert_eq!(status, PENDING, "a deregistration is always pending");
    }

    pub fn deregister_at_dispatch(&self) {
        at_irql(2, || self.deregister());
    }

    pub fn wait(&self) {
        let handle = ptr::without_provenance_mut(self.handle());
        let log = self.nmr.observer();
        let status = log.call(self.key, Call::Wait, || self.nmr.wait(self.role, handle));
        assert_eq!(status, SUCCESS);
    }

    pub fn leave(&self) {
        self.deregister();
        self.wait();
    }

    /// The sides that it was shown so far.
    pub fn shown(&self) -> Vec<Arc<Side>> {
        self.sides.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many of its bindings were attached, detached and cleaned up, in all.
    pub fn counts(&self) -> [usize; 3] {
        let sides = self.shown();
        let sum = |count: fn(&Side) -> usize| sides.iter().map(|side| count(side)).sum();
        [
            sum(|side| usize::from(side.attached.load(SeqCst))),
            sum(|side| side.detached.load(SeqCst)),
            sum(|side| side.cleaned.load(SeqCst)),
        ]
    }
}

/// A module's side of a binding: its binding context.
pub struct Side {
    module: Weak<Module>,
    handle: usize,
    pub attached: AtomicBool,
    pub detached: AtomicUsize,
    pub cleaned: AtomicUsize,
}

impl Side {
    /// Whose side it is.
    ///
    /// # Panics
    ///
    /// If it is used after the end of the scene.
    pub fn module(&self) -> Arc<Module> {
        self.module.upgrade().expect("the scene keeps its modules")
    }

    /// `NmrClientAttachProvider`, with this as the binding context.
    pub fn attach(self: &Arc<Self>) -> i32 {
        let module = self.module();
        let context = Arc::into_raw(Arc::clone(self));
        let (mut peer, mut dispatch) = (ptr::null_mut(), ptr::null());
        step();
        // SAFETY: the context is a share of this side, the outputs are locals.
        let status = unsafe {
            module.nmr.attach_provider(
                ptr::without_provenance_mut(self.handle),
                context.cast_mut().cast(),
                ptr::null(),
                &raw mut peer,
                &raw mut dispatch,
            )
        };
        step();
        if status < 0 {
            // SAFETY: the share from above; a client whose attach failed frees its context itself.
            drop(unsafe { Arc::from_raw(context) });
        } else {
            self.attached.store(true, SeqCst);
        }
        status
    }

    /// Takes back a context whose attach the client is going to deny after all.
    pub fn deny(self: &Arc<Self>) {
        self.attached.store(false, SeqCst);
        // SAFETY: the share that `attach` gave to the registrar, which will not hand it to this client again.
        unsafe { Arc::decrement_strong_count(Arc::as_ptr(self)) };
    }

    /// Completes the detach of this side.
    pub fn complete(&self) {
        let module = self.module();
        let handle = ptr::without_provenance_mut(self.handle);
        module.nmr.observer().call(module.key, Call::Complete, || {
            module.nmr.detach_complete(module.role, handle);
        });
    }

    fn check_alive(&self, callback: &str) {
        assert_eq!(self.cleaned.load(SeqCst), 0, "{callback} after cleanup");
    }
}

/// The module of a registration context.
fn module(context: *mut c_void) -> Arc<Module> {
    // SAFETY: every registration context here is a module of a scene, which keeps it until all have left.
    let module = unsafe { &*context.cast::<Module>() };
    module.itself.upgrade().expect("the scene keeps its modules")
}

/// A new side of `module`, for the binding handle that it was shown.
fn show(module: &Module, handle: *mut c_void) -> Arc<Side> {
    let side = Arc::new(Side {
        module: Weak::clone(&module.itself),
        handle: handle.addr(),
        attached: AtomicBool::new(false),
        detached: AtomicUsize::new(0),
        cleaned: AtomicUsize::new(0),
    });
    let mut sides = module.sides.lock().unwrap_or_else(PoisonError::into_inner);
    sides.push(Arc::clone(&side));
    side
}

unsafe extern "system" fn client_attach(
    binding: *mut c_void,
    context: *mut c_void,
    _: *const raw::NPI_REGISTRATION_INSTANCE,
) -> i32 {
    let own = module(context);
    (own.plan.attach)(&show(&own, binding))
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
    let side = show(&own, binding);
    let status = (own.plan.attach)(&side);
    if status == SUCCESS {
        side.attached.store(true, SeqCst);
        // SAFETY: the registrar gives valid outputs.
        unsafe { own_context.write(Arc::into_raw(side).cast_mut().cast()) };
        // SAFETY: as above.
        unsafe { own_dispatch.write(ptr::null()) };
    }
    status
}

/// The side of a binding context, not taken over.
///
/// # Safety
///
/// The context has not been cleaned up.
unsafe fn side(context: *mut c_void) -> Arc<Side> {
    let context = context.cast_const().cast::<Side>();
    // SAFETY: the context holds a share, as the caller says.
    unsafe { Arc::increment_strong_count(context) };
    // SAFETY: the share taken just now.
    unsafe { Arc::from_raw(context) }
}

unsafe extern "system" fn detach(context: *mut c_void) -> i32 {
    // SAFETY: detach comes before cleanup; that it does is what the scene asserts, whose lists keep the sides alive
    // even if it does not.
    let side = unsafe { side(context) };
    side.check_alive("detach");
    assert_eq!(side.detached.fetch_add(1, SeqCst), 0, "detached twice");
    (side.module().plan.detach)(&side)
}

unsafe extern "system" fn cleanup(context: *mut c_void) {
    // SAFETY: as for `detach`.
    let shared = unsafe { side(context) };
    shared.check_alive("cleanup");
    (shared.module().plan.cleanup)(&shared);
    assert_eq!(shared.cleaned.fetch_add(1, SeqCst), 0, "cleaned up twice");
    // SAFETY: the share that the context was.
    drop(unsafe { Arc::from_raw(context.cast_const().cast::<Side>()) });
}
