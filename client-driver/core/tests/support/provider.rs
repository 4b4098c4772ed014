//! Provider modules that do what a test says, on the real registrar layer.

mod entries;

use std::ptr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use allocator_api2::alloc::Global;
#[allow(unused_imports, reason = "no test uses all of them")]
pub use entries::{BATCHING, BROKEN, FULL, MINIMAL};
use nmr::{
    ClientOffer, Decline, DropAtDispatch, ModuleId, Passive, Provider, ProviderAttach, ProviderCallGuard,
    ProviderRegistration, RegistrationConfig,
};
use nsemail_contract::blob::{self, Level};
use nsemail_contract::dispatch::{AsyncStatus, ProviderCharacteristics, ProviderDispatch, VERSION};
use nsemail_contract::wire::{Record, Tier};
use nsemail_contract::{Domain, Guid, QuerySet, Text, WsaCode, ids};
use nsemail_kernel::npi::{self, EmailNpi};
use nsemail_kernel::pool::tag;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::wdf::{Driver, DriverHandle, create};
use nt_sim::{DRIVER_OBJECT, Machine, NTSTATUS, PCUNICODE_STRING};

/// A record that a provider has.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub name: String,
    pub comment: String,
}

impl Held {
    fn record(&self, provider: Guid) -> QuerySet<'_> {
        QuerySet {
            name: Some(Text::from_str(&self.name).unwrap()),
            comment: Some(Text::from_str(&self.comment).unwrap()).filter(|comment| !comment.is_empty()),
            namespace: ids::NS_EMAIL,
            provider: Some(provider),
            ..QuerySet::default()
        }
    }

    /// The record as an entry of a reply.
    pub fn entry(&self, provider: Guid) -> Vec<u8> {
        let record = Record {
            tier: Tier::Directed,
            record: self.record(provider),
        };
        let mut entry = vec![0; 4096];
        let size = record.write_entry(&mut entry).unwrap();
        entry.truncate(size);
        entry
    }
}

/// A look-up that is open: its number, its records, how many were delivered, whether the next one did not fit.
type LookUp = (u64, Vec<Held>, usize, bool);

type Begin = dyn Fn(&str) -> Result<Vec<Held>, WsaCode> + Send + Sync;
type Next = dyn Fn(Accepted) -> AsyncStatus + Send + Sync;
type Set = dyn Fn(Accepted, u32) -> AsyncStatus + Send + Sync;
/// What a whole look-up of a name is answered: the code, the records as they are written, and how long they are said to
/// be.
pub type Whole = (WsaCode, Vec<u8>, usize);
type Batch = dyn Fn(&str) -> Whole + Send + Sync;
type Startup = dyn Fn() -> WsaCode + Send + Sync;
type Tweak = dyn Fn(&mut ProviderCharacteristics) + Send + Sync;

/// One provider module, and what it does. What is not said is done as a well-behaved provider would.
pub struct Module {
    pub guid: Guid,
    identifier: Vec<u16>,
    blob: Vec<u8>,
    table: &'static ProviderDispatch,
    declines: bool,
    startup: Option<Box<Startup>>,
    begin: Option<Box<Begin>>,
    whole: Option<Box<Batch>>,
    next: Option<Box<Next>>,
    set: Option<Box<Set>>,
    tweak: Option<Box<Tweak>>,
    look_ups: Mutex<Vec<LookUp>>,
    last: AtomicU64,
    trace: Mutex<Vec<String>>,
}

/// A module with this number as its GUID, that claims the domains and has no names.
pub fn module(number: u8, claims: &[(&str, Level)]) -> Module {
    claiming(number, claims, false)
}

/// A module that takes any name besides the domains that it claims.
pub fn wildcard(number: u8, claims: &[(&str, Level)]) -> Module {
    claiming(number, claims, true)
}

fn claiming(number: u8, claims: &[(&str, Level)], wildcard: bool) -> Module {
    let domain = |text| Domain::parse(Text::from_str(text).unwrap()).unwrap();
    let claims = claims.iter().map(|&(name, level)| (level, domain(name)));
    let mut blob = vec![0; 1024];
    let size = blob::write(1, wildcard, claims, &mut blob).unwrap();
    blob.truncate(size);
    Module {
        guid: Guid::from_u128(number.into()),
        identifier: format!("Provider {number}").encode_utf16().collect(),
        blob,
        table: &FULL,
        declines: false,
        startup: None,
        begin: None,
        whole: None,
        next: None,
        set: None,
        tweak: None,
        look_ups: Mutex::default(),
        last: AtomicU64::new(0),
        trace: Mutex::default(),
    }
}

/// A module that is primary for example.com.
pub fn primary(number: u8) -> Module {
    module(number, &[("example.com", Level::Primary)])
}

/// A module that is secondary for example.com.
pub fn secondary(number: u8) -> Module {
    module(number, &[("example.com", Level::Secondary)])
}

impl Module {
    /// It has these names, each with one record.
    pub fn has(self, names: &'static [&'static str]) -> Self {
        self.on_begin(move |name| {
            let found = names.iter().filter(|known| known.eq_ignore_ascii_case(name));
            let found: Vec<_> = found
                .map(|name| Held {
                    name: (*name).to_owned(),
                    ..Held::default()
                })
                .collect();
            if found.is_empty() {
                Err(WsaCode::WSASERVICE_NOT_FOUND)
            } else {
                Ok(found)
            }
        })
    }

    pub fn on_startup(mut self, startup: impl Fn() -> WsaCode + Send + Sync + 'static) -> Self {
        self.startup = Some(Box::new(startup));
        self
    }

    pub fn on_begin(
        mut self,
        begin: impl Fn(&str) -> Result<Vec<Held>, WsaCode> + Send + Sync + 'static,
    ) -> Self {
        self.begin = Some(Box::new(begin));
        self
    }

    /// It answers whole look-ups so.
    pub fn on_whole(mut self, whole: impl Fn(&str) -> Whole + Send + Sync + 'static) -> Self {
        self.whole = Some(Box::new(whole));
        self.table(&BATCHING)
    }

    pub fn on_next(mut self, next: impl Fn(Accepted) -> AsyncStatus + Send + Sync + 'static) -> Self {
        self.next = Some(Box::new(next));
        self
    }

    pub fn on_set(mut self, set: impl Fn(Accepted, u32) -> AsyncStatus + Send + Sync + 'static) -> Self {
        self.set = Some(Box::new(set));
        self
    }

    pub fn on_register(
        mut self,
        tweak: impl Fn(&mut ProviderCharacteristics) + Send + Sync + 'static,
    ) -> Self {
        self.tweak = Some(Box::new(tweak));
        self
    }

    pub const fn table(mut self, table: &'static ProviderDispatch) -> Self {
        self.table = table;
        self
    }

    pub const fn declines(mut self) -> Self {
        self.declines = true;
        self
    }

    pub fn build(self) -> Arc<Self> {
        Arc::new(self)
    }

    fn note(&self, what: &str) {
        self.trace.lock().unwrap().push(what.to_owned());
    }

    /// The entries that were called so far.
    pub fn trace(&self) -> Vec<String> {
        self.trace.lock().unwrap().clone()
    }

    /// How often an entry was called.
    pub fn count(&self, entry: &str) -> usize {
        self.trace
            .lock()
            .unwrap()
            .iter()
            .filter(|called| *called == entry)
            .count()
    }
}

/// A call that a provider may complete later. It holds the provider's side of the binding.
pub struct Accepted {
    machine: Machine,
    guard: Option<ProviderCallGuard<Instance>>,
    call: usize,
    length: usize,
    results: usize,
}

impl Accepted {
    /// Bytes that the client has room for.
    pub const fn room(&self) -> u32 {
        // SAFETY: the client keeps length and buffer until the call is final.
        unsafe { *(self.length as *const u32) }
    }

    /// Whether the provider may accept the call: not when its detach has begun.
    pub const fn is_acceptable(&self) -> bool {
        self.guard.is_some()
    }

    /// Overwrites the length.
    pub fn set_length(&self, length: u32) {
        // SAFETY: as in `room`.
        unsafe { *(self.length as *mut u32) = length };
    }

    /// Writes bytes over the results.
    pub fn scribble(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room() as usize);
        // SAFETY: as in `room`; the assertion says that the bytes fit.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.results as *mut u8, bytes.len()) };
    }

    /// Writes a record by the buffer protocol.
    pub fn write(&self, held: &Held) -> WsaCode {
        let record = held.record(Guid::NIL);
        let needed = record.size().unwrap();
        if needed > self.room() as usize {
            self.set_length(needed.try_into().unwrap());
            return WsaCode::WSAEFAULT;
        }
        let mut bytes = vec![0; needed];
        record.write_kernel(&mut bytes, self.results as u64).unwrap();
        self.scribble(&bytes);
        WsaCode::NO_ERROR
    }

    /// Completes the call, as an accepted one.
    pub fn complete(mut self, code: WsaCode, information: usize) {
        self.complete_early(code, information);
        self.forget();
    }

    /// Completes the call and keeps what it takes to do so again.
    pub fn complete_early(&self, code: WsaCode, information: usize) {
        // A test's own thread stands for one of the provider.
        let _entered = self.machine.enter();
        complete(
            self.guard.as_ref().expect("the provider was bound"),
            self.call,
            code,
            information,
        );
    }

    /// Gives the guard up; without completing first, a provider must not.
    pub fn forget(&mut self) {
        let _entered = self.machine.enter();
        drop(self.guard.take());
    }
}

fn complete(guard: &ProviderCallGuard<Instance>, call: usize, code: WsaCode, information: usize) {
    let entry = guard
        .peer_dispatch()
        .and_then(|table| table.complete_async_call)
        .unwrap();
    // SAFETY: the guard keeps table and context; the call was accepted, or a test wants to see what happens.
    unsafe {
        entry(
            guard.peer_context(),
            ptr::without_provenance_mut(call),
            code,
            information,
        );
    };
}

/// A registered module.
pub struct Instance {
    module: Arc<Module>,
}

/// Nothing is kept for a client.
pub struct Nothing;

// SAFETY: there is nothing to drop.
unsafe impl DropAtDispatch for Nothing {}

impl Provider for Instance {
    type Npi = EmailNpi;
    type Binding = Nothing;
    type Allocator = Global;

    fn characteristics(&self) -> Option<ProviderCharacteristics> {
        let module = &self.module;
        let mut characteristics = ProviderCharacteristics {
            version: VERSION,
            size: ProviderCharacteristics::SIZE,
            provider: module.guid,
            namespace: ids::NS_EMAIL,
            provider_version: 1,
            identifier_length: module.identifier.len().try_into().unwrap(),
            blob_length: module.blob.len().try_into().unwrap(),
            identifier: module.identifier.as_ptr(),
            blob: module.blob.as_ptr(),
        };
        if let Some(tweak) = &module.tweak {
            tweak(&mut characteristics);
        }
        Some(characteristics)
    }

    fn attach<'o>(&self, _: Passive<'o>, offer: ClientOffer<'o, Self>) -> ProviderAttach<'o, Self> {
        self.module.note("attach");
        if self.module.declines {
            return offer.decline(Decline::NotForMe);
        }
        offer.accept(Nothing, Some(self.module.table)).unwrap().attached()
    }
}

// SAFETY: the GUID is all that is pointed to by raw pointers, and it is never changed.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// A provider driver.
struct TestDriver {
    modules: Vec<Arc<Module>>,
    registrations: Vec<ProviderRegistration<Instance>>,
}

impl Driver for TestDriver {
    fn start(&mut self, _: DriverHandle, passive: Passive<'_>) -> Result<(), NtStatus> {
        for module in &self.modules {
            let config = RegistrationConfig::new(ModuleId::Guid(npi::guid(module.guid)));
            let instance = Instance {
                module: module.clone(),
            };
            let registered = ProviderRegistration::register(passive, instance, config, Global);
            self.registrations.push(registered.map_err(|error| error.status)?);
        }
        Ok(())
    }

    fn unload(self, passive: Passive<'_>) {
        let waiting: Vec<_> = self
            .registrations
            .into_iter()
            .map(ProviderRegistration::begin_deregister)
            .collect();
        for registration in waiting {
            drop(registration.wait(passive));
        }
    }
}

unsafe fn entry(driver: *mut DRIVER_OBJECT, path: PCUNICODE_STRING, index: usize) -> NTSTATUS {
    let tag = [tag(b"TsAW"), tag(b"TsBW")][index];
    let init = |_, _: Passive<'_>| {
        Ok(TestDriver {
            modules: super::modules(index),
            registrations: Vec::new(),
        })
    };
    // SAFETY: called from the entry points below, with their arguments.
    unsafe { create(driver, path, tag, init) }
}

unsafe extern "system" fn first(driver: *mut DRIVER_OBJECT, path: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: passed on to the caller.
    unsafe { entry(driver, path, 0) }
}

unsafe extern "system" fn second(driver: *mut DRIVER_OBJECT, path: PCUNICODE_STRING) -> NTSTATUS {
    // SAFETY: passed on to the caller.
    unsafe { entry(driver, path, 1) }
}

/// What the pool tags of the two provider drivers begin with.
pub const TAGS: [[u8; 3]; 2] = [*b"TsA", *b"TsB"];
/// The entry points of the two provider drivers.
pub const ENTRIES: [unsafe extern "system" fn(*mut DRIVER_OBJECT, PCUNICODE_STRING) -> NTSTATUS; 2] =
    [first, second];
