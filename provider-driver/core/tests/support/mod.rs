//! A machine with the provider driver, and a client that calls it as another driver would.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod admin;
mod whole;

use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex};

use allocator_api2::alloc::Global;
use nmr::{
    Client, ClientAttach, ClientBindingRef, ClientCallGuard, ClientRegistration, Decline, ModuleId, Passive,
    ProviderOffer, RegistrationConfig,
};
use nsemail_contract::codes::WsaCode;
use nsemail_contract::dispatch::{
    AsyncStatus, ClientCharacteristics, ClientDispatch, ProviderDispatch, SetInformation, VERSION,
};
use nsemail_contract::flags::SetFlags;
use nsemail_contract::guid::Guid;
use nsemail_contract::ids;
use nsemail_contract::queryset::{Addresses, QuerySet};
use nsemail_contract::sockaddr::{CsAddr, SOCK_STREAM, SockAddr};
use nsemail_contract::structures::{HANDLE, WSAQUERYSET2W};
use nsemail_contract::text::Text;
use nsemail_kernel::npi::{self, EmailNpi};
use nsemail_probe::EmailProbe;
use nt_sim::registry::Value;
use nt_sim::{DriverImage, Machine, MachineBuilder};

pub const INF: &str = include_str!("../../../../inf/nsemail_provider.inx");
pub const SERVICE: &str = ids::PROVIDER_SERVICE;
pub const PROVIDER: Guid = ids::DEFAULT_PROVIDER;
/// The second provider that the package hosts.
pub const OTHER: Guid = Guid::from_u128(0xC2B8_1F06_9D47_4E3A_A1F5_5E08_D764_3B29);
pub const PARAMETERS: &str =
    r"\Registry\Machine\System\CurrentControlSet\Services\nsemail_provider\Parameters";

pub const REGISTER: u32 = 0;
pub const DEREGISTER: u32 = 1;
pub const DELETE: u32 = 2;
/// The thread that makes the change only waits for it.
pub const WAITS: u32 = SetFlags::CALLER_WAITS.bits();
pub const ALL: u32 = 0xFF0;

/// A machine with the driver installed and not started.
pub fn installed() -> Machine {
    installed_on(Machine::builder())
}

pub fn installed_on(builder: MachineBuilder) -> Machine {
    let machine = builder.probe(EmailProbe).build().unwrap();
    machine.add_image(DriverImage {
        file_name: "nsemail_provider.sys".to_owned(),
        entry: nsemail_provider_core::driver_entry,
        pool_tag_prefix: *b"Nsp",
    });
    if !machine.is_installed(INF).unwrap() {
        machine.install(INF).unwrap();
    }
    machine
}

/// A machine with the driver running.
pub fn started() -> Machine {
    let machine = installed();
    machine.start(SERVICE).unwrap();
    machine
}

/// A machine with the driver running, a client, and a session with the default provider.
pub fn session() -> (Machine, Caller, Session) {
    let machine = started();
    let (caller, session) = client(&machine);
    (machine, caller, session)
}

/// A client of a driver that is running, and a session with the default provider.
pub fn client(machine: &Machine) -> (Caller, Session) {
    let caller = Caller::register(machine);
    let session = caller.provider(PROVIDER).session();
    (caller, session)
}

/// Sets a number among the driver's parameters.
pub fn set_parameter(machine: &Machine, name: &str, value: u32) {
    machine
        .registry()
        .put(PARAMETERS, name, Value::dword(value))
        .unwrap();
}

/// Stops the driver, and demands that the verifier found nothing.
pub fn stop(machine: &Machine) {
    machine.stop(SERVICE).unwrap();
    machine.wait_until_stopped(SERVICE);
    machine.shutdown().assert_clean();
}

/// Tests run at `PASSIVE_LEVEL`.
pub const fn passive() -> Passive<'static> {
    // SAFETY: no test raises the level.
    unsafe { Passive::assume() }
}

/// Where a call's completion arrives.
#[derive(Default)]
pub struct Completion {
    answer: Mutex<Option<(WsaCode, SetInformation)>>,
    arrived: Condvar,
}

impl Completion {
    fn put(&self, code: WsaCode, information: usize) {
        let before = self
            .answer
            .lock()
            .unwrap()
            .replace((code, SetInformation::unpack(information)));
        assert_eq!(before, None, "a call completes once");
        self.arrived.notify_all();
    }

    pub fn is_there(&self) -> bool {
        self.answer.lock().unwrap().is_some()
    }

    /// The final code, and how many addresses came and went.
    pub fn wait(&self) -> Result<(u16, u16), WsaCode> {
        let mut answer = self.answer.lock().unwrap();
        loop {
            match *answer {
                Some((WsaCode::NO_ERROR, counts)) => return Ok((counts.added, counts.removed)),
                Some((code, _)) => return Err(code),
                None => answer = self.arrived.wait(answer).unwrap(),
            }
        }
    }
}

static CLIENT_DISPATCH: ClientDispatch = ClientDispatch {
    version: VERSION,
    size: ClientDispatch::SIZE,
    complete_async_call: Some(complete),
};

unsafe extern "system" fn complete(_: *mut c_void, call: HANDLE, code: WsaCode, information: usize) {
    // SAFETY: the token of a call that was accepted, and completes once.
    let completion = unsafe { Arc::from_raw(call.cast::<Completion>()) };
    completion.put(code, information);
}

#[derive(Default)]
struct Attached {
    bindings: Mutex<Vec<(Guid, ClientBindingRef<TestClient>)>>,
}

/// A client module that attaches to every provider.
pub struct TestClient {
    attached: Arc<Attached>,
    dispatch: Option<&'static ClientDispatch>,
}

impl Client for TestClient {
    type Npi = EmailNpi;
    type Binding = ();
    type Allocator = Global;

    fn characteristics(&self) -> Option<ClientCharacteristics> {
        Some(ClientCharacteristics::CURRENT)
    }

    fn attach<'o>(&self, _: Passive<'o>, offer: ProviderOffer<'o, Self>) -> ClientAttach<'o, Self> {
        let Some(provider) = offer.peer().characteristics.map(|provider| provider.provider) else {
            return offer.decline(Decline::InvalidPeer);
        };
        match offer.accept((), self.dispatch) {
            Ok(accepted) => {
                self.attached
                    .bindings
                    .lock()
                    .unwrap()
                    .push((provider, accepted.reference().clone()));
                accepted.attached()
            }
            Err(rejected) => rejected.decline(),
        }
    }
}

/// The client driver of a test.
pub struct Caller {
    attached: Arc<Attached>,
    registration: Option<ClientRegistration<TestClient>>,
    machine: Machine,
}

impl Caller {
    pub fn register(machine: &Machine) -> Self {
        Self::with_dispatch(machine, Some(&CLIENT_DISPATCH))
    }

    pub fn with_dispatch(machine: &Machine, dispatch: Option<&'static ClientDispatch>) -> Self {
        let entered = machine.enter();
        let attached = Arc::<Attached>::default();
        let client = TestClient {
            attached: Arc::clone(&attached),
            dispatch,
        };
        let config = RegistrationConfig::new(ModuleId::Guid(npi::guid(ids::CLIENT_MODULE_ID)));
        let registration =
            ClientRegistration::<TestClient>::register(passive(), client, config, Global).unwrap();
        drop(entered);
        Self {
            attached,
            registration: Some(registration),
            machine: machine.clone(),
        }
    }

    /// Waits until a provider is attached, and may be called.
    pub fn provider(&self, provider: Guid) -> Peer {
        let _entered = self.machine.enter();
        loop {
            let bindings = self.attached.bindings.lock().unwrap().clone();
            let found = bindings
                .into_iter()
                .find(|(guid, binding)| *guid == provider && binding.enter().is_some());
            if let Some((_, binding)) = found {
                return Peer {
                    provider,
                    binding,
                    machine: self.machine.clone(),
                };
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    pub fn attached(&self) -> usize {
        self.attached.bindings.lock().unwrap().len()
    }

    /// Deregisters, and waits.
    pub fn deregister(mut self) {
        let entered = self.machine.enter();
        if let Some(registration) = self.registration.take() {
            registration.deregister(passive());
        }
        drop(entered);
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(registration) = self.registration.take() {
            let _entered = self.machine.enter();
            if std::thread::panicking() {
                std::mem::forget(registration);
            } else {
                registration.deregister(passive());
            }
        }
    }
}

/// A provider as the client sees it.
#[derive(Clone)]
pub struct Peer {
    pub provider: Guid,
    binding: ClientBindingRef<TestClient>,
    machine: Machine,
}

impl Peer {
    /// Calls an entry, unless the binding is being detached.
    pub fn call<R>(&self, entry: impl FnOnce(&ProviderDispatch, *mut c_void) -> R) -> Option<R> {
        let entered = self.machine.enter();
        let guard: ClientCallGuard<TestClient> = self.binding.enter()?;
        let result = entry(guard.peer_dispatch().unwrap(), guard.peer_context());
        drop(guard);
        drop(entered);
        Some(result)
    }

    pub fn startup(&self, session: &mut *mut c_void) -> WsaCode {
        // SAFETY: the arguments are valid during the call.
        self.call(|dispatch, context| unsafe {
            dispatch.startup.unwrap()(context, &raw const self.provider, session)
        })
        .unwrap()
    }

    pub fn cleanup(&self, session: *mut c_void) -> WsaCode {
        // SAFETY: the arguments are valid during the call.
        self.call(|dispatch, context| unsafe {
            dispatch.cleanup.unwrap()(context, &raw const self.provider, session)
        })
        .unwrap()
    }

    pub fn rundown(&self, session: *mut c_void) {
        self.call(|dispatch, context| {
            // SAFETY: the arguments are valid during the call.
            unsafe { dispatch.client_session_rundown.unwrap()(context, &raw const self.provider, session) };
        })
        .unwrap();
    }

    /// A new session.
    pub fn session(&self) -> Session {
        let mut session = ptr::null_mut();
        assert_eq!(self.startup(&mut session), WsaCode::NO_ERROR);
        Session {
            peer: self.clone(),
            session,
        }
    }
}

/// A session with a provider.
#[derive(Clone)]
pub struct Session {
    pub peer: Peer,
    pub session: *mut c_void,
}

// SAFETY: the session is a number to the client.
unsafe impl Send for Session {}

/// A query set in kernel form, at an address of its own.
pub struct Form(Vec<u64>);

impl Form {
    pub fn new(query: &QuerySet<'_>) -> Self {
        let size = query.size().unwrap();
        let mut words = vec![0_u64; size.div_ceil(8)];
        let base = words.as_ptr().addr() as u64;
        // SAFETY: the words are initialised, and any bytes may be written to them.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), words.len() * 8) };
        query.write_kernel(bytes, base).unwrap();
        words.as_mut_ptr().expose_provenance();
        Self(words)
    }

    pub const fn as_ptr(&self) -> *const WSAQUERYSET2W {
        self.0.as_ptr().cast()
    }
}

/// The record that a provider wrote to a buffer.
fn record(buffer: &[u64]) -> QuerySet<'_> {
    let base = buffer.as_ptr().addr() as u64;
    // SAFETY: the words are initialised, and may be seen as bytes.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), size_of_val(buffer)) };
    QuerySet::parse_kernel(bytes, base).unwrap()
}

/// What a look-up returned, in words: name, context, addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub name: String,
    pub context: String,
    pub addresses: Vec<String>,
}

impl Session {
    pub fn begin(&self, query: &QuerySet<'_>, flags: u32) -> Result<HANDLE, WsaCode> {
        let form = Form::new(query);
        let mut lookup = ptr::null_mut();
        let code = self.peer.call(|dispatch, context| {
            // SAFETY: the arguments are valid during the call.
            unsafe {
                dispatch.lookup_service_begin.unwrap()(
                    context,
                    &raw const self.peer.provider,
                    form.as_ptr(),
                    flags,
                    self.session,
                    &raw mut lookup,
                )
            }
        });
        code.unwrap().ok().map(|()| lookup)
    }

    /// Asks for the next record with a buffer of that length: the code, the buffer, and the length afterwards.
    fn fetch(&self, lookup: HANDLE, flags: u32, length: u32) -> (WsaCode, Vec<u64>, u32) {
        let mut buffer = vec![0_u64; (length as usize).div_ceil(8)];
        let mut left = length;
        let results = buffer.as_mut_ptr();
        let status = self.peer.call(|dispatch, context| {
            // SAFETY: the arguments are valid during the call.
            unsafe {
                dispatch.lookup_service_next_ex.unwrap()(
                    context,
                    ptr::null_mut(),
                    lookup,
                    flags,
                    &raw mut left,
                    results.cast(),
                )
            }
        });
        (status.unwrap().final_code().unwrap(), buffer, left)
    }

    /// Asks for the next record with a buffer of that length; gives the length afterwards too.
    pub fn next(&self, lookup: HANDLE, flags: u32, length: u32) -> (Result<Answer, WsaCode>, u32) {
        let (code, buffer, left) = self.fetch(lookup, flags, length);
        if let Err(code) = code.ok() {
            return (Err(code), left);
        }
        let record = record(&buffer);
        assert_eq!(record.provider, Some(self.peer.provider));
        let text = |text: Option<Text<'_>>| text.unwrap_or_default().to_string();
        let answer = Answer {
            name: text(record.name),
            context: text(record.context),
            addresses: record
                .addresses
                .iter()
                .map(|address| SockAddr::normalize(address.remote).unwrap().to_string())
                .collect(),
        };
        (Ok(answer), left)
    }

    pub fn end(&self, lookup: HANDLE) -> WsaCode {
        // SAFETY: any value may be passed for a look-up.
        self.peer
            .call(|dispatch, context| unsafe { dispatch.lookup_service_end.unwrap()(context, lookup) })
            .unwrap()
    }

    /// Looks a name up: all records, or the code that ended the look-up before the first.
    pub fn look_up(&self, name: &str) -> Result<Vec<Answer>, WsaCode> {
        let query = QuerySet {
            name: Some(Text::from_str(name).unwrap()),
            ..QuerySet::default()
        };
        self.answers(&query, ALL)
    }

    /// Asks a question: all records, or the code that ended the look-up before the first.
    pub fn answers(&self, query: &QuerySet<'_>, flags: u32) -> Result<Vec<Answer>, WsaCode> {
        let lookup = self.begin(query, flags)?;
        let mut answers = Vec::new();
        let end = loop {
            match self.next(lookup, 0, 1 << 17).0 {
                Ok(answer) => answers.push(answer),
                Err(code) => break code,
            }
        };
        assert_eq!(self.end(lookup), WsaCode::NO_ERROR);
        if answers.is_empty() { Err(end) } else { Ok(answers) }
    }

    /// The addresses of a name.
    pub fn addresses(&self, name: &str) -> Result<Vec<String>, WsaCode> {
        self.look_up(name).map(|mut answers| answers.remove(0).addresses)
    }

    /// Makes a change with any arguments; gives the final code, or where the completion will arrive.
    ///
    /// # Safety
    /// The query set is null or valid.
    pub unsafe fn set_raw(
        &self,
        registration: *const WSAQUERYSET2W,
        operation: u32,
        flags: u32,
    ) -> Option<Result<Arc<Completion>, WsaCode>> {
        let completion = Arc::<Completion>::default();
        let token = Arc::into_raw(Arc::clone(&completion)).cast_mut().cast::<c_void>();
        let status = self.peer.call(|dispatch, context| {
            // SAFETY: the arguments are valid during the call.
            unsafe {
                dispatch.set_service_ex.unwrap()(
                    context,
                    token,
                    &raw const self.peer.provider,
                    registration,
                    operation,
                    flags,
                    self.session,
                )
            }
        });
        if status == Some(AsyncStatus::PENDING) {
            return Some(Ok(completion));
        }
        // SAFETY: not accepted, so no completion comes for the token.
        drop(unsafe { Arc::from_raw(token.cast::<Completion>()) });
        status.map(|status| Err(status.final_code().unwrap()))
    }

    /// Makes a change; `None` if the provider is going.
    pub fn submit(
        &self,
        operation: u32,
        flags: u32,
        name: &str,
        addresses: &[&str],
    ) -> Option<Result<Arc<Completion>, WsaCode>> {
        let sockets: Vec<SockAddr> = addresses
            .iter()
            .map(|address| SockAddr::from_socket_addr(address.parse::<SocketAddr>().unwrap()))
            .collect();
        let addresses: Vec<CsAddr<'_>> = sockets
            .iter()
            .map(|socket| CsAddr {
                local: &[],
                remote: socket.as_bytes(),
                socket_type: SOCK_STREAM,
                protocol: 0,
            })
            .collect();
        let form = Form::new(&QuerySet {
            name: Some(Text::from_str(name).unwrap()),
            namespace: ids::NS_EMAIL,
            addresses: Addresses::new(&addresses),
            ..QuerySet::default()
        });
        // SAFETY: the form is valid.
        unsafe { self.set_raw(form.as_ptr(), operation, flags) }
    }

    /// Makes a change, and waits for it: how many addresses came and went.
    pub fn set(
        &self,
        operation: u32,
        flags: u32,
        name: &str,
        addresses: &[&str],
    ) -> Result<(u16, u16), WsaCode> {
        self.submit(operation, flags, name, addresses).unwrap()?.wait()
    }
}
