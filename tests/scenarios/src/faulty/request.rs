//! Requests that are sent again when a shortage was their answer, and what is made of their other answers.

use std::sync::{Arc, Mutex, Weak};

use nsemail::transport::Device;
use nsemail_contract::{
    Guid, LookupFlags, Operation, QuerySet, Text, WsaCode, ioctl,
    wire::{
        EmptyRequest, ExplainReply, ExplainRequest, InstallRequest, ProviderFlags, ProvidersReply,
        RecordsReply, Reply, SetReply, SetRequest, UninstallRequest,
    },
};
use nt_sim::io::FileHandle;

use super::{ATTEMPTS, Shared, lock};
use crate::{
    kernel::{Answer, Call, Handle, Win32},
    program::{message, question},
};

/// A request that is sent again if a shortage was its answer.
pub(super) struct Request {
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

/// A request as the program has it.
pub(super) struct FaultyCall(pub(super) Arc<Request>);

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
    /// Sends a request. Nothing had failed of it when `before` calls of drivers had failed.
    pub(super) fn send(
        handle: &Arc<dyn Handle>,
        shared: &Arc<Shared>,
        code: u32,
        input: &[u8],
        output_length: usize,
        before: usize,
    ) -> Arc<Self> {
        let call = handle.submit(code, input, output_length);
        Arc::new(Self {
            handle: Arc::downgrade(handle),
            shared: Arc::clone(shared),
            code,
            input: input.to_vec(),
            output_length,
            state: Mutex::new(Progress {
                call: Some(call),
                answer: None,
                before,
                attempts: 1,
            }),
        })
    }

    pub(super) fn is_complete(&self) -> bool {
        let mut state = lock(&self.state);
        self.advance(&mut state);
        state.answer.is_some()
    }

    /// Takes the answer if it is there and nobody else is about to.
    pub(super) fn look_after(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            self.advance(&mut state);
        }
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
        if code == Ok(WsaCode::WSA_E_CANCELLED) {
            let hits = match self.code {
                ioctl::INSTALL => Some(self.shared.hits()),
                // Before the answer, too: nothing tells whom else it was passed to.
                ioctl::SET_SERVICE => Some(state.before),
                _ => None,
            };
            let mut cancelled = lock(&self.shared.cancelled);
            *cancelled = cancelled.or(hits);
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
