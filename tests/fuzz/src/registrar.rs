//! Modules may come and go in any order that the registrar's contract allows.
//!
//! A client and a provider of one interface
//! have exactly one binding as long as both are there and want it, each side of it is detached once and then cleaned up
//! once, a wait returns when the last of them is, and the verifier finds nothing.
//!
//! An input is a sequence of `Step`s, all on one thread. Completing a detach is a step of its own, so that everything
//! else can come between.

use core::{
    cell::{Cell, RefCell},
    ffi::c_void,
    pin::Pin,
    ptr,
};
use std::{collections::BTreeSet, rc::Rc};

use arbitrary::{Arbitrary, Unstructured};
use nmr::raw;
use nt_sim::Machine;

const SUCCESS: i32 = 0;
const PENDING: i32 = 0x103;
const NOINTERFACE: i32 = 0xC000_02B9_u32.cast_signed();

/// What happens next.
#[derive(Arbitrary, Debug)]
enum Step {
    /// A module registers.
    Register {
        client: bool,
        /// For one of two interfaces.
        interface: bool,
        /// It declines peers of even numbers, or all, or none.
        declines: Declines,
        /// Its detach callbacks return `STATUS_PENDING`.
        pends: bool,
    },
    /// A module deregisters.
    Deregister(u8),
    /// A detach that is pending is completed.
    Complete(u8),
    /// A module that has deregistered is waited for, if it has nothing pending.
    Wait(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Declines {
    Nobody,
    Even,
    Everybody,
}

impl Declines {
    const fn declines(self, peer: usize) -> bool {
        match self {
            Self::Nobody => false,
            Self::Even => peer.is_multiple_of(2),
            Self::Everybody => true,
        }
    }
}

const MOST_MODULES: usize = 12;
const MOST_STEPS: usize = 64;

/// A binding, by the numbers of client and provider.
type Pair = (usize, usize);

/// What all modules write to.
#[derive(Default)]
struct Record {
    /// Detaches that wait to be completed: of the client, of which binding, by which handle.
    pending: RefCell<Vec<(bool, Pair, raw::HANDLE)>>,
    /// Sides of bindings that are attached, that have been detached, and that wait for nothing but their cleanup.
    attached: RefCell<BTreeSet<(bool, Pair)>>,
    detached: RefCell<BTreeSet<(bool, Pair)>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Registered,
    Deregistered,
    Gone,
}

/// A module at a fixed place, as the registrar reads from it.
struct Module {
    number: usize,
    is_client: bool,
    interface: bool,
    declines: Declines,
    pends: bool,
    stage: Cell<Stage>,
    handle: Cell<raw::HANDLE>,
    record: Rc<Record>,
    npi: raw::NPIID,
    identity: raw::NPI_MODULEID,
    client: Cell<Option<Box<raw::NPI_CLIENT_CHARACTERISTICS>>>,
    provider: Cell<Option<Box<raw::NPI_PROVIDER_CHARACTERISTICS>>>,
}

/// The context of a side of a binding.
struct Side {
    module: *const Module,
    pair: Pair,
    handle: raw::HANDLE,
}

impl Side {
    const fn key(&self, module: &Module) -> (bool, Pair) {
        (module.is_client, self.pair)
    }
}

/// # Safety
/// `context` is that of a module that is alive.
unsafe fn module<'a>(context: *mut c_void) -> &'a Module {
    // SAFETY: the caller's promise.
    unsafe { &*context.cast::<Module>() }
}

/// The number of a peer, which it gives as the number of its registration instance.
///
/// # Safety
/// `instance` is that of a module that is registered.
const unsafe fn peer(instance: *const raw::NPI_REGISTRATION_INSTANCE) -> usize {
    // SAFETY: the caller's promise.
    let instance = unsafe { instance.read() };
    instance.Number as usize
}

unsafe extern "system" fn client_attach(
    handle: raw::HANDLE,
    context: *mut c_void,
    instance: *const raw::NPI_REGISTRATION_INSTANCE,
) -> raw::NTSTATUS {
    // SAFETY: the registrar gives back what the client registered.
    let client = unsafe { module(context) };
    // SAFETY: the registrar shows an instance that is registered.
    let provider = unsafe { peer(instance) };
    if client.declines.declines(provider) {
        return NOINTERFACE;
    }
    let pair = (client.number, provider);
    let side = Box::into_raw(Box::new(Side {
        module: client,
        pair,
        handle,
    }));
    let (mut its_context, mut its_dispatch) = (ptr::null_mut(), ptr::null());
    // SAFETY: called in the callback for this binding; the context stays until its cleanup.
    let status = unsafe {
        raw::NmrClientAttachProvider(
            handle,
            side.cast(),
            ptr::null(),
            &raw mut its_context,
            &raw mut its_dispatch,
        )
    };
    if status == SUCCESS {
        attached(client, pair);
    } else {
        // SAFETY: the attachment failed, so the registrar does not know the context.
        drop(unsafe { Box::from_raw(side) });
    }
    status
}

unsafe extern "system" fn provider_attach(
    handle: raw::HANDLE,
    context: *mut c_void,
    instance: *const raw::NPI_REGISTRATION_INSTANCE,
    _client_context: *mut c_void,
    _client_dispatch: *const c_void,
    own_context: *mut *mut c_void,
    own_dispatch: *mut *const c_void,
) -> raw::NTSTATUS {
    // SAFETY: the registrar gives back what the provider registered.
    let provider = unsafe { module(context) };
    // SAFETY: the registrar shows an instance that is registered.
    let client = unsafe { peer(instance) };
    if provider.declines.declines(client) {
        return NOINTERFACE;
    }
    let pair = (client, provider.number);
    let side = Box::into_raw(Box::new(Side {
        module: provider,
        pair,
        handle,
    }));
    // SAFETY: the outputs are for this.
    unsafe { own_context.write(side.cast()) };
    // SAFETY: as above.
    unsafe { own_dispatch.write(ptr::null()) };
    attached(provider, pair);
    SUCCESS
}

fn attached(module: &Module, pair: Pair) {
    let new = module
        .record
        .attached
        .borrow_mut()
        .insert((module.is_client, pair));
    assert!(new, "{pair:?} is attached twice");
}

unsafe extern "system" fn detach(context: *mut c_void) -> raw::NTSTATUS {
    // SAFETY: the registrar gives back a context that was not cleaned up.
    let side = unsafe { &*context.cast::<Side>() };
    // SAFETY: a module outlives its bindings.
    let module = unsafe { &*side.module };
    let key = side.key(module);
    let was = module.record.attached.borrow_mut().remove(&key);
    assert!(was, "{key:?} is detached twice, or was never attached");
    if module.pends {
        let (is_client, pair) = key;
        module
            .record
            .pending
            .borrow_mut()
            .push((is_client, pair, side.handle));
        PENDING
    } else {
        module.record.detached.borrow_mut().insert(key);
        SUCCESS
    }
}

unsafe extern "system" fn cleanup(context: *mut c_void) {
    // SAFETY: the registrar gives a context back for the last time, and `attach` made it of a box.
    let side = unsafe { Box::from_raw(context.cast::<Side>()) };
    // SAFETY: a module outlives its bindings.
    let module = unsafe { &*side.module };
    let key = side.key(module);
    let was = module.record.detached.borrow_mut().remove(&key);
    assert!(was, "{key:?} is cleaned up twice, or before it was detached");
}

impl Module {
    fn register(self: Pin<&Self>) {
        let this = self.get_ref();
        let context = ptr::from_ref(this).cast_mut().cast();
        let instance = raw::NPI_REGISTRATION_INSTANCE {
            Version: 0,
            Size: size(size_of::<raw::NPI_REGISTRATION_INSTANCE>()),
            NpiId: &raw const this.npi,
            ModuleId: &raw const this.identity,
            Number: u32::try_from(this.number).unwrap_or(u32::MAX),
            NpiSpecificCharacteristics: ptr::null(),
        };
        let mut handle = ptr::null_mut();
        let status = if this.is_client {
            let characteristics = Box::new(raw::NPI_CLIENT_CHARACTERISTICS {
                Version: 0,
                Length: size(size_of::<raw::NPI_CLIENT_CHARACTERISTICS>()),
                ClientAttachProvider: Some(client_attach),
                ClientDetachProvider: Some(detach),
                ClientCleanupBindingContext: Some(cleanup),
                ClientRegistrationInstance: instance,
            });
            let given = &raw const *characteristics;
            this.client.set(Some(characteristics));
            // SAFETY: the module and its characteristics stay until the wait has returned.
            unsafe { raw::NmrRegisterClient(given, context, &raw mut handle) }
        } else {
            let characteristics = Box::new(raw::NPI_PROVIDER_CHARACTERISTICS {
                Version: 0,
                Length: size(size_of::<raw::NPI_PROVIDER_CHARACTERISTICS>()),
                ProviderAttachClient: Some(provider_attach),
                ProviderDetachClient: Some(detach),
                ProviderCleanupBindingContext: Some(cleanup),
                ProviderRegistrationInstance: instance,
            });
            let given = &raw const *characteristics;
            this.provider.set(Some(characteristics));
            // SAFETY: as above.
            unsafe { raw::NmrRegisterProvider(given, context, &raw mut handle) }
        };
        assert_eq!(status, SUCCESS);
        this.handle.set(handle);
    }

    fn deregister(&self) {
        self.stage.set(Stage::Deregistered);
        let handle = self.handle.get();
        let status = if self.is_client {
            // SAFETY: the handle is that of this registration, which has not ended.
            unsafe { raw::NmrDeregisterClient(handle) }
        } else {
            // SAFETY: as above.
            unsafe { raw::NmrDeregisterProvider(handle) }
        };
        assert_eq!(status, PENDING);
    }

    fn wait(&self) {
        let handle = self.handle.get();
        let status = if self.is_client {
            // SAFETY: the module has been deregistered, and is waited for once.
            unsafe { raw::NmrWaitForClientDeregisterComplete(handle) }
        } else {
            // SAFETY: as above.
            unsafe { raw::NmrWaitForProviderDeregisterComplete(handle) }
        };
        assert_eq!(status, SUCCESS);
        self.stage.set(Stage::Gone);
        let takes_part = |(_, pair): &(bool, Pair)| self.takes_part(*pair);
        let left = self.record.detached.borrow().iter().any(takes_part);
        assert!(!left, "a wait returned before everything was cleaned up");
    }

    const fn takes_part(&self, (client, provider): Pair) -> bool {
        self.number == if self.is_client { client } else { provider }
    }

    fn is_pending(&self) -> bool {
        let pending = self.record.pending.borrow();
        pending.iter().any(|(_, pair, _)| self.takes_part(*pair))
    }
}

fn size(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(0)
}

/// Bytes as a sequence of steps.
///
/// # Panics
/// If the property does not hold.
pub fn check(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let machine = Machine::builder().build().expect("a machine in memory");
    let entered = machine.enter();
    let mut world = World::default();
    for _ in 0..MOST_STEPS {
        if bytes.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut bytes) else {
            break;
        };
        world.take(&step);
        world.assert_bound();
    }
    world.end();
    drop(entered);
    machine.shutdown().assert_clean();
}

#[derive(Default)]
struct World {
    modules: Vec<Pin<Box<Module>>>,
    record: Rc<Record>,
}

impl World {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Register {
                client,
                interface,
                declines,
                pends,
            } if self.modules.len() < MOST_MODULES => self.register(client, interface, declines, pends),
            Step::Register { .. } => {}
            Step::Deregister(number) => {
                if let Some(module) = self.pick(number, Stage::Registered) {
                    module.deregister();
                }
            }
            Step::Complete(number) => self.complete(number.into()),
            Step::Wait(number) => {
                if let Some(module) = self.pick(number, Stage::Deregistered)
                    && !module.is_pending()
                {
                    module.wait();
                }
            }
        }
    }

    fn pick(&self, number: u8, stage: Stage) -> Option<&Module> {
        let at = |module: &&Pin<Box<Module>>| module.stage.get() == stage;
        let count = self.modules.iter().filter(at).count();
        let index = usize::from(number).checked_rem(count)?;
        self.modules.iter().filter(at).nth(index).map(|module| &**module)
    }

    fn register(&mut self, is_client: bool, interface: bool, declines: Declines, pends: bool) {
        let number = self.modules.len();
        let guid = |kind: u32| nmr::Guid::new(kind, u16::from(interface), 0, [0; 8]);
        let module = Box::pin(Module {
            number,
            is_client,
            interface,
            declines,
            pends,
            stage: Cell::new(Stage::Registered),
            handle: Cell::new(ptr::null_mut()),
            record: Rc::clone(&self.record),
            npi: guid(1),
            identity: raw::NPI_MODULEID {
                Length: size(size_of::<raw::NPI_MODULEID>()),
                Type: raw::MIT_GUID,
                Id: raw::NPI_MODULEID_ID {
                    Guid: nmr::Guid::new(u32::try_from(number).unwrap_or(0), 7, 0, [1; 8]),
                },
            },
            client: Cell::new(None),
            provider: Cell::new(None),
        });
        self.modules.push(module);
        if let Some(module) = self.modules.last() {
            module.as_ref().register();
        }
    }

    fn complete(&self, number: usize) {
        let index = number.checked_rem(self.record.pending.borrow().len());
        let Some(index) = index else { return };
        let (is_client, pair, handle) = self.record.pending.borrow_mut().swap_remove(index);
        self.record.detached.borrow_mut().insert((is_client, pair));
        if is_client {
            // SAFETY: the detach callback of this binding returned STATUS_PENDING, and this is the one completion.
            unsafe { raw::NmrClientDetachProviderComplete(handle) };
        } else {
            // SAFETY: as above.
            unsafe { raw::NmrProviderDetachClientComplete(handle) };
        }
    }

    /// Every two modules that want each other, and only those, are bound.
    fn assert_bound(&self) {
        let there = |module: &&Pin<Box<Module>>| module.stage.get() == Stage::Registered;
        let mut wanted = BTreeSet::new();
        for client in self
            .modules
            .iter()
            .filter(there)
            .filter(|module| module.is_client)
        {
            for provider in self
                .modules
                .iter()
                .filter(there)
                .filter(|module| !module.is_client)
            {
                let declined =
                    client.declines.declines(provider.number) || provider.declines.declines(client.number);
                if client.interface == provider.interface && !declined {
                    let pair = (client.number, provider.number);
                    wanted.extend([(true, pair), (false, pair)]);
                }
            }
        }
        assert_eq!(*self.record.attached.borrow(), wanted);
    }

    fn end(self) {
        for module in &self.modules {
            if module.stage.get() == Stage::Registered {
                module.deregister();
            }
        }
        while !self.record.pending.borrow().is_empty() {
            self.complete(0);
        }
        for module in &self.modules {
            if module.stage.get() == Stage::Deregistered {
                module.wait();
            }
        }
        assert!(self.record.attached.borrow().is_empty());
        assert!(self.record.detached.borrow().is_empty());
    }
}
