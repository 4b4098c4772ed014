//! A simulated kernel on which one call of a driver fails, and whose programs try again.
//!
//! A call of a driver that fails must be an answer that is documented, with nothing changed, after which
//! everything works as before. So a program that is told of a shortage asks again, an administrator whose
//! driver did not start starts it again, and the scenario goes on to its end as if nothing had been. What
//! cannot be tried again, because the answer has changed what the program holds, ends the scenario; it is
//! told by [`Faulty::excuse`].

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
};

use nsemail::transport::Device;
use nsemail_contract::{
    Guid, LookupFlags, Operation, QuerySet, Text, WsaCode, ioctl,
    wire::{
        EmptyRequest, ExplainReply, ExplainRequest, InstallRequest, ProviderFlags, ProvidersReply,
        RecordsReply, Reply, SetReply, SetRequest, UninstallRequest,
    },
};
use nt_sim::{Machine, faults::Class, files, io::FileHandle, scm::ServiceState};

use crate::{
    kernel::{Access, Answer, Call, Driver, Handle, Hold, Kernel, Process, Service, Who, Win32},
    program::{message, question},
    simulated::Simulated,
};

/// A machine on which both drivers are installed, and one call is to fail.
#[derive(Debug)]
pub struct Faulty {
    simulated: Simulated,
    shared: Arc<Shared>,
}

/// What the parts of the kernel share.
#[derive(Debug)]
struct Shared {
    machine: Machine,
    /// Requests under way, to be looked after by a thread that waits for what they are to bring about.
    calls: Mutex<Vec<Weak<Request>>>,
    /// What a program was told of the shortage that it cannot try again.
    excuse: Mutex<Option<String>>,
    /// How many calls had failed when an installation was answered as cancelled. It goes on after that, and nobody is told
    /// if it fails then.
    cancelled: Mutex<Option<usize>>,
    /// What was answered that is not documented.
    wrong: Mutex<Vec<String>>,
}

/// How often something is tried that fails for one shortage: once for the shortage, once for what the driver has to
/// repair after it.
const ATTEMPTS: usize = 3;

impl Faulty {
    /// A kernel over a machine, on which a fault is injected already.
    #[must_use]
    pub fn new(simulated: Simulated) -> Self {
        let shared = Arc::new(Shared {
            machine: simulated.machine().clone(),
            calls: Mutex::default(),
            excuse: Mutex::default(),
            cancelled: Mutex::default(),
            wrong: Mutex::default(),
        });
        Self { simulated, shared }
    }

    /// What a program was told, if it could not go on because of it.
    #[must_use]
    pub fn excuse(&self) -> Option<String> {
        let cancelled = *lock(&self.shared.cancelled);
        if cancelled.is_some_and(|hits| self.shared.hits() > hits) {
            self.shared
                .excuse("an installation failed after it had been answered as cancelled".to_owned());
        }
        lock(&self.shared.excuse).clone()
    }

    /// What was answered against the documentation.
    #[must_use]
    pub fn wrong_answers(&self) -> Vec<String> {
        lock(&self.shared.wrong).clone()
    }

    /// The machine.
    #[must_use]
    pub fn into_simulated(self) -> Simulated {
        self.simulated
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn hits(&self) -> usize {
        self.machine.faults_hit()
    }

    fn hit_class(&self) -> Option<Class> {
        self.machine.hits().last().map(|hit| hit.class)
    }

    fn wrong(&self, what: String) {
        lock(&self.wrong).push(what);
    }

    fn excuse(&self, what: String) {
        lock(&self.excuse).get_or_insert(what);
    }

    /// Whether the driver of a device is loaded.
    fn is_running(&self, device: Device) -> bool {
        let mut drivers = Driver::BOTH.into_iter();
        let driver = drivers.find(|driver| driver.device() == device);
        driver.is_some_and(|driver| self.machine.query(driver.service()) == Ok(ServiceState::Running))
    }

    /// Whether a failure at NT level is how such a shortage is told.
    fn is_documented(&self, error: Win32) -> bool {
        const ERROR_DISK_FULL: Win32 = Win32(112);
        const ERROR_IO_DEVICE: Win32 = Win32(1117);
        let by_class: &[Win32] = match self.hit_class() {
            Some(Class::File) => &[ERROR_DISK_FULL, ERROR_IO_DEVICE],
            _ => &[],
        };
        error == Win32::NO_SYSTEM_RESOURCES || by_class.contains(&error)
    }

    /// Looks after all requests under way.
    fn look_after_calls(&self) {
        let calls: Vec<Arc<Request>> = {
            let mut calls = lock(&self.calls);
            calls.retain(|call| call.strong_count() > 0);
            calls.iter().filter_map(Weak::upgrade).collect()
        };
        for call in calls {
            // One that is locked is waited for already.
            if let Ok(mut state) = call.state.try_lock() {
                call.advance(&mut state);
            }
        }
    }
}

impl Kernel for Faulty {
    fn start(&self, driver: Driver) -> Result<(), Win32> {
        let before = self.shared.hits();
        for _ in 0..ATTEMPTS {
            if let Err(error) = Kernel::start(&self.simulated, driver) {
                if self.shared.hits() == before {
                    return Err(error);
                }
                if !self.shared.is_documented(error) {
                    self.shared.wrong(format!("{driver:?} does not start: {error:?}"));
                }
                let opened = self
                    .simulated
                    .process(Who::System)
                    .open(driver.device(), Access::Read);
                if opened.err() != Some(Win32::FILE_NOT_FOUND) {
                    self.shared
                        .wrong(format!("{driver:?} did not start and left its device"));
                }
                continue;
            }
            let missing = self.simulated.missing();
            if missing.is_empty() || self.shared.hits() == before {
                return Ok(());
            }
            // Loading and attaching go on after the start. What failed there is recorded, and tried at the next start.
            Kernel::stop(&self.simulated, driver)?;
            Kernel::wait_until_stopped(&self.simulated, driver);
        }
        panic!("{driver:?} still does not start");
    }

    fn stop(&self, driver: Driver) -> Result<Service, Win32> {
        // The closure is that of `seen`.
        let stores = |line: &String| {
            let of_seen =
                ["seen (", "{closure#0} ("].map(|name| format!("{name}client-driver/core/src/store.rs"));
            of_seen.iter().any(|name| line.contains(name))
        };
        let mut hits = self.shared.machine.hits().into_iter();
        if driver == Driver::Client && hits.any(|hit| hit.place.path().iter().any(stores)) {
            self.shared.excuse(
                "a provider's entry could not be stored, and is gone with the client driver".to_owned(),
            );
        }
        Kernel::stop(&self.simulated, driver)
    }

    fn service(&self, driver: Driver) -> Service {
        Kernel::service(&self.simulated, driver)
    }

    fn wait_until_stopped(&self, driver: Driver) {
        Kernel::wait_until_stopped(&self.simulated, driver);
    }

    fn process(&self, who: Who) -> Box<dyn Process> {
        Box::new(FaultyProcess {
            process: self.simulated.process(who),
            shared: Arc::clone(&self.shared),
        })
    }

    fn hold_flush(&self) -> Box<dyn Hold> {
        Box::new(FaultyHold {
            hold: self.shared.machine.hold(files::Operation::FlushFile),
            shared: Arc::clone(&self.shared),
        })
    }
}

struct FaultyProcess {
    process: Box<dyn Process>,
    shared: Arc<Shared>,
}

impl Process for FaultyProcess {
    fn open(&self, device: Device, access: Access) -> Result<Box<dyn Handle>, Win32> {
        let before = self.shared.hits();
        let ran = self.shared.is_running(device);
        let mut opened = self.process.open(device, access);
        if let Err(error) = &opened
            && self.shared.hits() > before
        {
            // What failed may have been the start of the driver, meanwhile.
            let is_there = ran && self.shared.is_running(device);
            if !self.shared.is_documented(*error) && (is_there || *error != Win32::FILE_NOT_FOUND) {
                self.shared.wrong(format!("{device:?} does not open: {error:?}"));
            }
            opened = self.process.open(device, access);
        }
        Ok(Box::new(FaultyHandle {
            handle: opened?.into(),
            shared: Arc::clone(&self.shared),
        }))
    }

    fn kill(&self) {
        self.process.kill();
    }
}

struct FaultyHandle {
    handle: Arc<dyn Handle>,
    shared: Arc<Shared>,
}

impl Handle for FaultyHandle {
    fn submit(&self, code: u32, input: &[u8], output_length: usize) -> Box<dyn Call> {
        let before = self.shared.hits();
        if before > 0 {
            // Perhaps this is to see what an earlier request brings about.
            self.shared.look_after_calls();
        }
        let call = self.handle.submit(code, input, output_length);
        let request = Arc::new(Request {
            handle: Arc::downgrade(&self.handle),
            shared: Arc::clone(&self.shared),
            code,
            input: input.to_vec(),
            output_length,
            state: Mutex::new(Progress {
                call: Some(call),
                answer: None,
                before,
                attempts: 1,
            }),
        });
        lock(&self.shared.calls).push(Arc::downgrade(&request));
        Box::new(FaultyCall(request))
    }

    fn duplicate(&self) -> Box<dyn Handle> {
        Box::new(Self {
            handle: self.handle.duplicate().into(),
            shared: Arc::clone(&self.shared),
        })
    }
}

/// A request that is sent again if a shortage was its answer.
struct Request {
    /// Not owned: a request does not keep the handle open.
    handle: Weak<dyn Handle>,
    shared: Arc<Shared>,
    code: u32,
    input: Vec<u8>,
    output_length: usize,
    state: Mutex<Progress>,
}

impl core::fmt::Debug for Request {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(ioctl::name(self.code).unwrap_or("a request"))
    }
}

struct Progress {
    call: Option<Box<dyn Call>>,
    answer: Option<Answer>,
    /// How many calls of drivers had failed when the request was sent.
    before: usize,
    attempts: usize,
}

struct FaultyCall(Arc<Request>);

impl Call for FaultyCall {
    fn cancel(&self) -> bool {
        let state = lock(&self.0.state);
        state.call.as_ref().is_some_and(|call| call.cancel())
    }

    fn is_complete(&self) -> bool {
        self.0.is_complete()
    }

    fn wait(self: Box<Self>) -> Answer {
        self.0.wait()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let under_way = self
            .state
            .get_mut()
            .is_ok_and(|state| state.call.is_some() && self.shared.hits() > state.before);
        if under_way && self.code == ioctl::SET_SERVICE {
            self.shared.excuse(
                "a change that a call had failed of was not waited for, and may have gone to another provider".to_owned(),
            );
        }
    }
}

impl Request {
    fn is_complete(&self) -> bool {
        let mut state = lock(&self.state);
        self.advance(&mut state);
        state.answer.is_some()
    }

    /// Takes the answer if it is there.
    fn advance(&self, state: &mut Progress) {
        while state.call.as_ref().is_some_and(|call| call.is_complete()) {
            self.take(state);
        }
    }

    fn wait(&self) -> Answer {
        let mut state = lock(&self.state);
        let answer = loop {
            if let Some(answer) = state.answer.take() {
                break answer;
            }
            self.take(&mut state);
        };
        drop(state);
        answer
    }

    /// Takes the answer, or sends the request again.
    fn take(&self, state: &mut Progress) {
        let Some(call) = state.call.take() else { return };
        let answer = call.wait();
        let code = Reply::parse(&answer.bytes).map(|reply| reply.code);
        if self.code == ioctl::INSTALL && code == Ok(WsaCode::WSA_E_CANCELLED) {
            *lock(&self.shared.cancelled) = Some(self.shared.hits());
        }
        let told = self.shared.hits() > state.before && state.attempts < ATTEMPTS;
        match self.handle.upgrade() {
            Some(handle) if told && self.try_again(&*handle, &answer) => {
                state.attempts += 1;
                state.call = Some(handle.submit(self.code, &self.input, self.output_length));
            }
            _ => {
                if state.attempts > 1 && self.code == ioctl::SET_SERVICE && code != Ok(WsaCode::NO_ERROR) {
                    self.shared
                        .excuse("a change was tried again when its provider was about to go".to_owned());
                }
                state.answer = Some(answer);
            }
        }
    }

    /// Judges an answer that may tell of a shortage: whether the request is to be sent again.
    fn try_again(&self, handle: &dyn Handle, answer: &Answer) -> bool {
        let reads = matches!(
            self.code,
            ioctl::LOOKUP
                | ioctl::LOOKUP_BATCH
                | ioctl::PROVIDERS
                | ioctl::STATISTICS
                | ioctl::EVENTS
                | ioctl::EXPLAIN
                | ioctl::SESSIONS
                | ioctl::LIST
                | ioctl::HOSTED
        );
        let code = match answer.result {
            Err(Win32::NO_SYSTEM_RESOURCES) => return true,
            Err(_) => return false,
            Ok(()) => Reply::parse(&answer.bytes).map(|reply| reply.code),
        };
        match code {
            Err(_) => {
                self.shared.wrong(format!("{self:?}: no reply with a header"));
                false
            }
            Ok(WsaCode::NO_ERROR) if self.code == ioctl::INSTALL => self.is_to_install_again(handle),
            Ok(WsaCode::NO_ERROR) if self.code == ioctl::SET_SERVICE => {
                self.judge_change(answer);
                false
            }
            Ok(WsaCode::WSA_E_CANCELLED) if self.code == ioctl::SET_SERVICE => {
                self.shared.excuse(
                    "a change that was cancelled was made by some providers of the domain only".to_owned(),
                );
                false
            }
            Ok(WsaCode::NO_ERROR) if self.code == ioctl::LOOKUP_NEXT => {
                self.shared
                    .excuse("a look-up went on to the next provider, as one had no memory".to_owned());
                false
            }
            Ok(WsaCode::WSA_NOT_ENOUGH_MEMORY) => true,
            Ok(WsaCode::WSASYSCALLFAILURE) => {
                matches!(
                    self.code,
                    ioctl::SET_SERVICE
                        | ioctl::INSTALL
                        | ioctl::UNINSTALL
                        | ioctl::ENABLE
                        | ioctl::ORDER
                        | ioctl::FORGET
                )
            }
            Ok(WsaCode::WSASERVICE_NOT_FOUND) if self.code == ioctl::SET_SERVICE => true,
            Ok(code @ (WsaCode::WSASERVICE_NOT_FOUND | WsaCode::WSANO_DATA | WsaCode::WSA_E_NO_MORE))
                if self.code == ioctl::LOOKUP_NEXT =>
            {
                self.shared
                    .excuse(format!("a look-up was told {code} by a provider without memory"));
                false
            }
            // Shortages in the middle of a look-up make the answer shorter: a provider that cannot answer is passed
            // over. What only reads is asked again.
            Ok(_) => reads,
        }
    }

    /// Judges a change that was acknowledged although a call had failed. It is an excuse if another provider made it than
    /// the one that is asked first, or if one that should have made it too did not.
    fn judge_change(&self, answer: &Answer) {
        let done = Reply::parse(&answer.bytes).and_then(|reply| SetReply::read(&reply));
        let (Ok(request), Ok(done)) = (SetRequest::parse(&self.input), done) else {
            self.shared.wrong(format!("{self:?}: no sound answer"));
            return;
        };
        let registration = request.registration;
        let Some(name) = registration.name.filter(|_| registration.provider.is_none()) else {
            // Directed to one provider, which has made it.
            return;
        };
        let name: String = name.chars().collect();
        let system = self.shared.machine.process(nt_sim::io::Identity::System);
        let Ok(client) = system.open(Device::Client.path(), nt_sim::io::Access::READ) else {
            return;
        };
        if request.operation == Operation::Register as u32 {
            if first_asked(&client, &name).is_some_and(|first| first != done.provider) {
                self.shared.excuse(
                    "a name was registered by another provider of the domain than the first".to_owned(),
                );
            }
        } else if is_left(&client, &name, &registration) {
            self.shared
                .excuse("a name was removed from some providers of the domain only".to_owned());
        }
    }

    /// Whether a client driver that runs has not attached a provider that was just installed: then it is taken away
    /// again.
    fn is_to_install_again(&self, handle: &dyn Handle) -> bool {
        let Ok(install) = InstallRequest::parse(&self.input) else {
            return false;
        };
        let system = self.shared.machine.process(nt_sim::io::Identity::System);
        let Ok(client) = system.open(Device::Client.path(), nt_sim::io::Access::READ) else {
            return false;
        };
        let listing = client.call(ioctl::PROVIDERS, &message(|out| EmptyRequest.write(out)), ROOM);
        let attached = Reply::parse(&listing.data).ok().and_then(|reply| {
            let providers = ProvidersReply::read(&reply).ok()?;
            let mut providers = providers.providers().filter_map(Result::ok);
            Some(providers.any(|entry| {
                entry.provider == install.provider && entry.flags.contains(ProviderFlags::ATTACHED)
            }))
        });
        if attached != Some(false) {
            return false;
        }
        let uninstall = UninstallRequest {
            provider: install.provider,
            delete_names: false,
        };
        let uninstall = message(|out| uninstall.write(out));
        self.shared
            .excuse("a provider was installed twice, since a client could not attach it".to_owned());
        let _ = handle.call(ioctl::UNINSTALL, &uninstall, self.output_length);
        true
    }
}

/// The provider that is asked first about a name.
fn first_asked(client: &FileHandle, name: &str) -> Option<Guid> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let name = Text::from_stored_units(&units);
    let request = message(|out| ExplainRequest { name }.write(out));
    let told = client.call(ioctl::EXPLAIN, &request, ROOM);
    let reply = Reply::parse(&told.data).ok()?;
    let mut providers = ExplainReply::read(&reply)
        .ok()?
        .providers()
        .filter_map(Result::ok);
    providers
        .find(|provider| provider.part.is_asked())
        .map(|provider| provider.provider)
}

/// Whether something is found of what was to be removed: of these addresses, or of all if there are none.
fn is_left(client: &FileHandle, name: &str, removed: &QuerySet<'_>) -> bool {
    let found = client.call(ioctl::LOOKUP, &question(name, LookupFlags::RETURN_ALL), ROOM);
    let Ok(reply) = Reply::parse(&found.data) else {
        return false;
    };
    let Ok(records) = RecordsReply::read(&reply) else {
        return false;
    };
    let removed: Vec<_> = removed.addresses.iter().collect();
    records.records().filter_map(Result::ok).any(|record| {
        removed.is_empty() || record.record.addresses.iter().any(|left| removed.contains(&left))
    })
}

/// Room for a reply.
const ROOM: usize = 64 * 1024;

struct FaultyHold {
    hold: files::Hold,
    shared: Arc<Shared>,
}

impl Hold for FaultyHold {
    fn wait_until_reached(&self) {
        while !self.hold.is_reached() {
            self.shared.look_after_calls();
            thread::yield_now();
        }
    }
}
