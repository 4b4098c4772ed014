//! `\\.\NsEmailProvider`: the administrator's view of this driver.
//!
//! Only SYSTEM and Administrators open it. Every request is answered at once, but for those that change what is
//! hosted: they wait for the host thread.

use nsemail_contract::address::Domain;
use nsemail_contract::codes::WsaCode;
use nsemail_contract::fault::Fault;
use nsemail_contract::guid::Guid;
use nsemail_contract::ids;
use nsemail_contract::ioctl;
use nsemail_contract::limits;
use nsemail_contract::text::Text;
use nsemail_contract::wire::{
    Counter, CounterKind, DoesNotFit, EmptyRequest, EventKind, EventsRequest, Hosted, InstallRequest,
    ListReply, ListRequest, ListedRecord, OpenSession, REPLY_HEADER, RecordState, ReplyWriter,
    SessionsRequest, Tail, UninstallRequest,
};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::lock::PushLock;
use nsemail_kernel::status::{NtStatus, out_of_memory};
use nsemail_kernel::utf16;
use nsemail_kernel::wdf::{ControlDeviceConfig, Device, NotPended, Request};
use pool_alloc::{Arc, Vec};

use crate::host::Host;
use crate::hosting::{self, Call, Change};
use crate::memory::{Memory, Records};
use crate::store::{Record, RecordRef, State};

/// How the device is called, and who may open it.
pub const CONFIG: ControlDeviceConfig<'static> = ControlDeviceConfig {
    name: utf16!(ids::PROVIDER_DEVICE),
    link: utf16!(ids::PROVIDER_LINK),
    // Protected: SYSTEM and Administrators have all access, nobody else has any.
    sddl: utf16!("D:P(A;;GA;;;SY)(A;;GA;;;BA)"),
};

/// The device.
pub struct AdminDevice {
    host: Arc<Host, Memory>,
}

impl AdminDevice {
    /// The device of a driver.
    pub const fn new(host: Arc<Host, Memory>) -> Self {
        Self { host }
    }
}

/// A handle to the device: the listing that is being read through it.
pub struct Handle(Arc<PushLock<Option<Listing>>, Memory>);

/// All objects of a provider as they were when the first page was read.
struct Listing {
    provider: Guid,
    /// Tells the cursors of this listing from those of another.
    serial: u32,
    records: Vec<Record<Records>, Records>,
}

/// What a request's handler answers.
type Answer<'b> = (ReplyWriter<'b>, WsaCode, Tail);

impl Device for AdminDevice {
    type File = Handle;

    fn create(&self, _: Passive<'_>) -> Result<Handle, NtStatus> {
        Arc::try_new_in(PushLock::new(None), Memory::default())
            .map(Handle)
            .map_err(out_of_memory)
    }

    fn device_control(&self, passive: Passive<'_>, request: Request<Self>) {
        match request.code() {
            ioctl::LIST => {
                let listing = request.file().0.clone();
                // The domain is in the memory that the reply is written to, so the objects are looked for before.
                let parse = |input: &[u8]| {
                    ListRequest::parse(input).map(|asked| {
                        let first = (asked.cursor == 0).then(|| self.snapshot(passive, &asked));
                        (asked.provider, asked.cursor, first)
                    })
                };
                self.reply(request, parse, |(provider, cursor, first), reply| {
                    list(passive, &listing, provider, cursor, first, reply)
                });
            }
            ioctl::HOSTED => self.reply(request, EmptyRequest::parse, |_, reply| {
                self.hosted(passive, reply)
            }),
            ioctl::STATISTICS => self.reply(request, EmptyRequest::parse, |_, reply| {
                self.statistics(passive, reply)
            }),
            ioctl::SESSIONS => self.reply(request, SessionsRequest::parse, |asked, reply| {
                self.sessions(passive, asked.after, reply)
            }),
            ioctl::RESET_STATISTICS => self.reply(request, EmptyRequest::parse, |_, reply| self.reset(reply)),
            ioctl::EVENTS => self.reply(request, EventsRequest::parse, |asked, reply| {
                self.events(asked.after, reply)
            }),
            ioctl::INSTALL => self.change(passive, request, |input| {
                InstallRequest::parse(input).map(|asked| Change::install(&asked))
            }),
            ioctl::UNINSTALL => self.change(passive, request, |input| {
                UninstallRequest::parse(input).map(|asked| Ok(Change::uninstall(asked)))
            }),
            _ => request.complete(NtStatus::INVALID_DEVICE_REQUEST),
        }
    }
}

impl AdminDevice {
    /// Has the host thread make a change, and answer the request when it is made.
    fn change(
        &self,
        passive: Passive<'_>,
        request: Request<Self>,
        parse: impl FnOnce(&[u8]) -> Result<Result<Change, WsaCode>, Fault>,
    ) {
        // Once the request waits it may be gone, and with it what keeps the device.
        let host = self.host.clone();
        let parsed = request
            .input()
            .and_then(|input| parse(input).map_err(|_| NtStatus::INVALID_PARAMETER));
        let change = match parsed {
            Ok(change) => change,
            Err(status) => {
                host.common().counters().add(CounterKind::MALFORMED, 1);
                return request.complete(status);
            }
        };
        // What was done cannot be asked for again, so there must be room to tell.
        if request.output_len() < REPLY_HEADER {
            return request.complete(NtStatus::BUFFER_TOO_SMALL);
        }
        let call = change.and_then(|change| {
            Arc::try_new_in(Call::new(change), Memory::default()).map_err(|_| WsaCode::WSA_NOT_ENOUGH_MEMORY)
        });
        let call = match call {
            Ok(call) => call,
            Err(code) => return hosting::answer(request, code),
        };
        if let Err(NotPended { request, .. }) = request.pend(&call) {
            // It was cancelled before it could wait.
            return hosting::answer(request, WsaCode::WSA_E_CANCELLED);
        }
        if let Err(code) = host.request(passive, call.clone()) {
            call.complete(code);
        }
    }

    /// Parses a request, has it answered, and completes it.
    fn reply<T, E>(
        &self,
        mut request: Request<Self>,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
        write: impl for<'b> FnOnce(T, ReplyWriter<'b>) -> Answer<'b>,
    ) {
        if request.output_len() < REPLY_HEADER {
            return request.complete(NtStatus::BUFFER_TOO_SMALL);
        }
        let parsed = request
            .input()
            .and_then(|input| parse(input).map_err(|_| NtStatus::INVALID_PARAMETER));
        let asked = match parsed {
            Ok(asked) => asked,
            Err(status) => {
                self.host.common().counters().add(CounterKind::MALFORMED, 1);
                return request.complete(status);
            }
        };
        let length = request.output_len().min(limits::MESSAGE);
        let written = request.output(length).map(|output| {
            ReplyWriter::new(output).map(|reply| {
                let (reply, code, tail) = write(asked, reply);
                reply.finish(code, tail)
            })
        });
        match written {
            Ok(Some(size)) => request.complete_with(NtStatus::SUCCESS, size),
            Ok(None) => request.complete(NtStatus::BUFFER_TOO_SMALL),
            Err(status) => request.complete(status),
        }
    }

    /// `HOSTED`.
    fn hosted<'b>(&self, passive: Passive<'_>, mut reply: ReplyWriter<'b>) -> Answer<'b> {
        self.host.each(passive, |service| {
            let (objects, addresses) = {
                let store = service.store().read(passive);
                (store.len() as u64, store.addresses())
            };
            let hosted = Hosted {
                state: service.state(),
                objects,
                addresses,
                log_bytes: service.log_bytes(),
                provider: service.provider(),
                identifier: Text::from_stored_units(service.identifier()),
            };
            // What does not fit is still counted.
            let _ = hosted.write(&mut reply);
            true
        });
        (reply, WsaCode::NO_ERROR, Tail::Required)
    }

    /// `STATISTICS`.
    fn statistics<'b>(&self, passive: Passive<'_>, mut reply: ReplyWriter<'b>) -> Answer<'b> {
        let (mut objects, mut addresses, mut bytes) = (0_u64, 0_u64, 0_u64);
        let (mut log_bytes, mut providers) = (0_u64, 0_u64);
        self.host.each(passive, |service| {
            let store = service.store().read(passive);
            objects = objects.saturating_add(store.len() as u64);
            addresses = addresses.saturating_add(store.addresses());
            bytes = bytes.saturating_add(store.bytes());
            log_bytes = log_bytes.saturating_add(service.log_bytes());
            providers = providers.saturating_add(1);
            true
        });
        let gauges = [
            (CounterKind::PROVIDERS, providers),
            (CounterKind::OBJECTS, objects),
            (CounterKind::ADDRESSES, addresses),
            (CounterKind::STORE_BYTES, bytes),
            (CounterKind::LOG_BYTES, log_bytes),
        ];
        let settings = self.host.common().settings();
        let limits = [
            (CounterKind::MAX_PROVIDERS, settings.providers as u64),
            (CounterKind::MAX_OBJECTS, settings.store.records),
            (CounterKind::MAX_STORE_BYTES, settings.store.bytes),
            (CounterKind::MAX_CONTEXTS, settings.store.contexts.into()),
            (CounterKind::MAX_ADDRESSES, settings.store.addresses.into()),
            (CounterKind::MAX_BLOB, settings.store.blob.into()),
            (CounterKind::MAX_SESSIONS, settings.sessions as u64),
            (CounterKind::MAX_LOOKUPS, settings.lookups as u64),
            (CounterKind::MAX_CALLS, settings.pending as u64),
        ];
        let gauges = gauges.into_iter().chain(limits).map(|(kind, value)| Counter {
            kind,
            code: WsaCode::NO_ERROR,
            value,
        });
        for counter in self.host.common().counters().iter().chain(gauges) {
            let _ = counter.write(&mut reply);
        }
        (reply, WsaCode::NO_ERROR, Tail::Required)
    }

    /// `SESSIONS`.
    fn sessions<'b>(&self, passive: Passive<'_>, after: u64, mut reply: ReplyWriter<'b>) -> Answer<'b> {
        let mut number = 0_u64;
        self.host.each(passive, |service| {
            number = number.saturating_add(1);
            let open = OpenSession {
                number,
                sessions: u32::try_from(service.open(CounterKind::SESSIONS)).unwrap_or(u32::MAX),
                look_ups: service.open(CounterKind::LOOKUPS),
                calls: service.open(CounterKind::CALLS),
                provider: service.provider(),
            };
            number <= after || open.write(&mut reply).is_ok()
        });
        (reply, WsaCode::NO_ERROR, Tail::Continued)
    }

    /// `RESET_STATISTICS`.
    fn reset<'b>(&self, reply: ReplyWriter<'b>) -> Answer<'b> {
        let common = self.host.common();
        common.counters().reset();
        common.event(EventKind::STATISTICS_RESET, None, [0; 2], format_args!(""));
        (reply, WsaCode::NO_ERROR, Tail::Required)
    }

    /// `EVENTS`.
    fn events<'b>(&self, after: u64, mut reply: ReplyWriter<'b>) -> Answer<'b> {
        let events = self.host.common().events();
        let mut known = after;
        while let Some(event) = events.after(known) {
            known = event.sequence;
            if event.to_wire().write(&mut reply) == Err(DoesNotFit) {
                break;
            }
        }
        (reply, WsaCode::NO_ERROR, Tail::Continued)
    }

    /// The objects of a provider that are asked for, as they are now, by folded name and context.
    fn snapshot(&self, passive: Passive<'_>, asked: &ListRequest<'_>) -> Result<Listing, WsaCode> {
        let domain = match asked.domain {
            domain if domain.is_empty() => None,
            domain => Some(Domain::parse(domain).map_err(|_| WsaCode::WSAEINVAL)?),
        };
        let service = self
            .host
            .find(passive, asked.provider)
            .ok_or(WsaCode::WSASERVICE_NOT_FOUND)?;
        let wanted = |present: State| asked.state.is_none_or(|state| state == state_of(present));
        let records = {
            let store = service.store().read(passive);
            domain.map_or_else(
                || store.snapshot(wanted),
                |domain| store.snapshot_domain(domain, wanted),
            )
        };
        let mut records = records.map_err(|_| WsaCode::WSA_NOT_ENOUGH_MEMORY)?;
        records.sort_unstable_by(Record::cmp_name);
        // Only to tell listings apart, so half of the bits will do.
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let serial = self.host.common().serial() as u32;
        Ok(Listing {
            provider: asked.provider,
            serial,
            records,
        })
    }
}

/// `LIST`.
fn list<'b>(
    passive: Passive<'_>,
    handle: &PushLock<Option<Listing>>,
    provider: Guid,
    cursor: u64,
    first: Option<Result<Listing, WsaCode>>,
    mut reply: ReplyWriter<'b>,
) -> Answer<'b> {
    ListReply::start(&mut reply);
    let mut present = handle.write(passive);
    match first {
        None => {}
        Some(Ok(listing)) => *present = Some(listing),
        Some(Err(code)) => {
            *present = None;
            return (reply, code, Tail::Continued);
        }
    }
    let page = present.as_ref().ok_or(WsaCode::WSAEINVAL);
    let code = match page.and_then(|listing| listing.write_page(provider, cursor, &mut reply)) {
        Ok(next) => {
            ListReply::put_next(&mut reply, next);
            if next == 0 {
                *present = None;
            }
            WsaCode::NO_ERROR
        }
        Err(code) => code,
    };
    (reply, code, Tail::Continued)
}

const fn state_of(state: State) -> RecordState {
    match state {
        State::Registered => RecordState::Registered,
        State::Deregistered => RecordState::Deregistered,
    }
}

impl Listing {
    /// Writes the page that a cursor begins, and gives the cursor of the next one.
    fn write_page(&self, provider: Guid, cursor: u64, reply: &mut ReplyWriter<'_>) -> Result<u64, WsaCode> {
        let first = match cursor {
            0 => 0,
            cursor if cursor >> 32 == u64::from(self.serial) && provider == self.provider => {
                usize::try_from(cursor & u64::from(u32::MAX)).map_err(|_| WsaCode::WSAEINVAL)?
            }
            _ => return Err(WsaCode::WSAEINVAL),
        };
        for (index, record) in self.records.iter().enumerate().skip(first) {
            if listed(&record.view(), self.provider).write(reply) == Err(DoesNotFit) {
                return Ok((u64::from(self.serial) << 32) | index as u64);
            }
        }
        Ok(0)
    }
}

/// All that is stored of an object.
fn listed<'r>(view: &RecordRef<'r>, provider: Guid) -> ListedRecord<'r> {
    ListedRecord {
        state: state_of(view.state()),
        record: view.query_set(provider),
    }
}
