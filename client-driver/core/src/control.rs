//! The control device `\\.\NsEmail`: requests in, replies out.
//!
//! A request that is well-formed succeeds at NT level and its reply says how it went. Three things fail at NT level: a
//! control code that does not exist, an output that cannot hold a reply's header, a request that is malformed.

use core::sync::atomic::Ordering::Relaxed;

use nsemail_contract::wire::{
    BatchRequest, BeginReply, Counter, CounterKind, EmptyRequest, EnableRequest, EndRequest, EventKind,
    EventsRequest, ExplainRequest, Explained, LookupRequest, NextRequest, OpenSession, OrderRequest,
    ProviderEntry, ProviderFlags, ProviderRequest, REPLY_HEADER, ReplyWriter, SessionsRequest, SetReply,
    SetRequest, Tail, encoded_query,
};
use nsemail_contract::{Fault, Guid, QuerySet, Text, WsaCode, ids, ioctl, limits};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::wdf::{self, Device};
use pool_alloc::{Arc, OutOfMemory};

use crate::administer;
use crate::calls;
use crate::calls::reply;
use crate::calls::work::{Batch, Next, OneShot, Work};
use crate::catalogue::{Entry, Explanation};
use crate::look_up::OpenLookUp;
use crate::memory::{CatalogPool, ServicePool, SessionPool};
use crate::query;
use crate::service::Service;
use crate::session::Session;
use crate::session::uses::Farewell;
use crate::statistics::{down, up};

/// A request to the control device.
pub type Request = wdf::Request<Control>;

/// The control device.
pub struct Control {
    service: Arc<Service, ServicePool>,
}

impl Control {
    /// The device of a driver.
    #[must_use]
    pub const fn new(service: Arc<Service, ServicePool>) -> Self {
        Self { service }
    }
}

/// How a request ends that was looked at.
enum Decision {
    /// With a reply that is only a code.
    Code(WsaCode),
    /// With a call.
    Call(Work),
    /// With a reply that is written here and now.
    Write(Listing),
    /// With the handle of a look-up.
    Begun(u64),
}

impl Decision {
    /// What became of a change that is done.
    const fn of(changed: Result<(), WsaCode>) -> Self {
        match changed {
            Ok(()) => Self::Code(WsaCode::NO_ERROR),
            Err(code) => Self::Code(code),
        }
    }
}

/// Replies that need nobody else.
enum Listing {
    Providers,
    Statistics,
    Events { after: u64 },
    Sessions { after: u64 },
    Explanation(Explanation<CatalogPool>),
}

/// A malformed request.
struct Malformed;

impl From<Fault> for Malformed {
    fn from(_: Fault) -> Self {
        Self
    }
}

impl Device for Control {
    type File = Arc<Session, SessionPool>;

    fn create(&self, passive: Passive<'_>) -> Result<Self::File, NtStatus> {
        let service = &self.service;
        let open = service.statistics.sessions.fetch_add(1, Relaxed);
        let opened = if open >= service.limits.sessions as u64 {
            service.limit_hit("sessions");
            Err(NtStatus::INSUFFICIENT_RESOURCES)
        } else {
            let opened = service.open_session(passive);
            opened.map_err(|OutOfMemory| NtStatus::INSUFFICIENT_RESOURCES)
        };
        if opened.is_err() {
            down(&service.statistics.sessions);
        }
        opened
    }

    /// The program has closed its handle, or has died. When it died its requests were cancelled before; a handle may be
    /// closed while another thread waits for an answer.
    fn cleanup(&self, passive: Passive<'_>, session: &Self::File) {
        // First bar what is new, then answer what waits, and only then tell the providers, who may answer too.
        session.bar();
        calls::cancel(&self.service, session);
        session.end(&self.service, passive, Farewell::Rundown);
        self.service.forget_session(passive, session);
        down(&self.service.statistics.sessions);
    }

    fn device_control(&self, passive: Passive<'_>, request: Request) {
        if ioctl::name(request.code()).is_none() {
            return request.complete(NtStatus::INVALID_DEVICE_REQUEST);
        }
        if request.output_len() < REPLY_HEADER {
            return request.complete(NtStatus::BUFFER_TOO_SMALL);
        }
        let decided = match request.input() {
            Ok(input) => self.decide(passive, &request, input),
            Err(status) => return request.complete(status),
        };
        match decided {
            Ok(Decision::Code(code)) => reply::answer(request, code),
            Ok(Decision::Call(work)) => calls::start(&self.service, passive, request, work),
            Ok(Decision::Write(listing)) => self.write(passive, request, listing),
            Ok(Decision::Begun(lookup)) => begun(request, lookup),
            Err(status) => {
                if status == NtStatus::INVALID_PARAMETER {
                    up(&self.service.statistics.malformed);
                }
                request.complete(status);
            }
        }
    }
}

impl Control {
    /// Reads a request and does what can be done at once.
    fn decide(&self, passive: Passive<'_>, request: &Request, input: &[u8]) -> Result<Decision, NtStatus> {
        let decided = match request.code() {
            ioctl::LOOKUP_BEGIN => self.begin(request, input),
            ioctl::LOOKUP_NEXT => self.next(request, input),
            ioctl::LOOKUP_END => self.end(passive, request, input),
            ioctl::LOOKUP => self.look_up(request, input),
            ioctl::LOOKUP_BATCH => self.batch(request, input),
            ioctl::SET_SERVICE => self.set(request, input),
            ioctl::PROVIDERS => parsed(EmptyRequest::parse(input), |_| {
                Decision::Write(Listing::Providers)
            }),
            ioctl::STATISTICS => parsed(EmptyRequest::parse(input), |_| {
                Decision::Write(Listing::Statistics)
            }),
            ioctl::EXPLAIN => self.explain(input),
            ioctl::ENABLE => parsed(EnableRequest::parse(input), |it| {
                Decision::of(administer::enable(
                    passive,
                    &self.service,
                    it.provider,
                    it.enabled,
                ))
            }),
            ioctl::ORDER => parsed(OrderRequest::parse(input), |it| {
                Decision::of(administer::order(passive, &self.service, it.providers()))
            }),
            ioctl::FORGET => parsed(ProviderRequest::parse(input), |it| {
                Decision::of(administer::forget(passive, &self.service, it.provider))
            }),
            ioctl::SESSIONS => parsed(SessionsRequest::parse(input), |it| {
                Decision::Write(Listing::Sessions { after: it.after })
            }),
            ioctl::RESET_STATISTICS => parsed(EmptyRequest::parse(input), |_| {
                self.service.statistics.reset();
                let kind = EventKind::STATISTICS_RESET;
                self.service.event(kind, None, [0, 0], format_args!(""));
                Decision::Code(WsaCode::NO_ERROR)
            }),
            ioctl::EVENTS => parsed(EventsRequest::parse(input), |it| {
                Decision::Write(Listing::Events { after: it.after })
            }),
            ioctl::END_SESSION => parsed(EmptyRequest::parse(input), |_| {
                request.file().end(&self.service, passive, Farewell::Cleanup);
                Decision::Code(WsaCode::NO_ERROR)
            }),
            // Of the provider driver's device.
            _ => return Err(NtStatus::INVALID_DEVICE_REQUEST),
        };
        decided.map_err(|Malformed| NtStatus::INVALID_PARAMETER)
    }

    fn begin(&self, request: &Request, input: &[u8]) -> Result<Decision, Malformed> {
        let LookupRequest { flags, query } = LookupRequest::parse(input)?;
        // A look-up whose handle cannot be told would stay open until the session ends.
        let begun = if request.output_len() < BeginReply::SIZE {
            Err(WsaCode::WSAEFAULT)
        } else {
            let catalogue = self.service.catalogue();
            let plan = query::plan(&catalogue, &query, flags);
            let search = plan.and_then(|plan| query::search(plan.begin(&catalogue), &query, flags));
            search.and_then(|search| {
                let look_up = Arc::try_new_in(OpenLookUp::new(search), SessionPool::default())
                    .map_err(|OutOfMemory| WsaCode::WSA_NOT_ENOUGH_MEMORY)?;
                request.file().add(&self.service, look_up).map_err(|_| {
                    if request.file().is_over() {
                        return WsaCode::WSA_E_CANCELLED;
                    }
                    self.service.limit_hit("look-ups of a session");
                    WsaCode::WSA_NOT_ENOUGH_MEMORY
                })
            })
        };
        self.service.statistics.count(
            CounterKind::LOOKUP_BEGIN,
            begun.err().unwrap_or(WsaCode::NO_ERROR),
        );
        Ok(begun.map_or_else(Decision::Code, Decision::Begun))
    }

    fn next(&self, request: &Request, input: &[u8]) -> Result<Decision, Malformed> {
        let NextRequest { lookup, flags } = NextRequest::parse(input)?;
        let Some(look_up) = request.file().look_ups(|look_ups| look_ups.get(lookup)) else {
            self.service
                .statistics
                .count(CounterKind::LOOKUP_NEXT, WsaCode::WSA_INVALID_HANDLE);
            return Ok(Decision::Code(WsaCode::WSA_INVALID_HANDLE));
        };
        let capacity = request.output_len().min(limits::MESSAGE);
        Ok(Decision::Call(Work::Next(Next::new(look_up, flags, capacity))))
    }

    fn end(&self, passive: Passive<'_>, request: &Request, input: &[u8]) -> Result<Decision, Malformed> {
        let EndRequest { lookup } = EndRequest::parse(input)?;
        let session = request.file();
        let look_up = session.look_ups(|look_ups| look_ups.remove(lookup));
        let code = look_up.map_or(WsaCode::WSA_INVALID_HANDLE, |look_up| {
            down(&self.service.statistics.look_ups);
            look_up.close(session, &self.service, passive);
            WsaCode::NO_ERROR
        });
        self.service.statistics.count(CounterKind::LOOKUP_END, code);
        Ok(Decision::Code(code))
    }

    fn look_up(&self, request: &Request, input: &[u8]) -> Result<Decision, Malformed> {
        let mut query = QuerySet::default();
        let flags = LookupRequest::read(input, &mut query)?;
        let catalogue = self.service.catalogue();
        let planned = query::plan(&catalogue, &query, flags);
        let one_shot = planned.and_then(|plan| {
            OneShot::try_new(catalogue, flags, encoded_query(input), plan, request.output_len())
                .map_err(|OutOfMemory| WsaCode::WSA_NOT_ENOUGH_MEMORY)
        });
        Ok(match one_shot {
            Ok(one_shot) => Decision::Call(Work::OneShot(one_shot)),
            Err(code) => {
                self.service.statistics.count(CounterKind::LOOKUP, code);
                Decision::Code(code)
            }
        })
    }

    fn batch(&self, request: &Request, input: &[u8]) -> Result<Decision, Malformed> {
        let batch = BatchRequest::parse(input)?;
        Ok(
            match Batch::try_new(&self.service, &batch, request.output_len())? {
                Ok(batch) => Decision::Call(Work::Batch(batch)),
                Err(OutOfMemory) => Decision::Code(WsaCode::WSA_NOT_ENOUGH_MEMORY),
            },
        )
    }

    fn set(&self, request: &Request, input: &[u8]) -> Result<Decision, Malformed> {
        let SetRequest {
            operation,
            flags,
            registration,
        } = SetRequest::parse(input)?;
        // What was done cannot be asked for again, so there must be room to tell.
        if request.output_len() < SetReply::SIZE {
            return Ok(Decision::Code(WsaCode::WSAEFAULT));
        }
        let change = query::change(&self.service, &registration, operation, flags);
        Ok(change.map_or_else(Decision::Code, |set| Decision::Call(Work::Set(set))))
    }

    fn explain(&self, input: &[u8]) -> Result<Decision, Malformed> {
        let ExplainRequest { name } = ExplainRequest::parse(input)?;
        Ok(match query::explain(&self.service, name) {
            Ok(explanation) => Decision::Write(Listing::Explanation(explanation)),
            Err(code) => Decision::Code(code),
        })
    }

    fn write(&self, passive: Passive<'_>, mut request: Request, listing: Listing) {
        let room = request.output_len().min(limits::MESSAGE);
        let written = request.output(room).and_then(|out| {
            let mut reply = ReplyWriter::new(out).ok_or(NtStatus::BUFFER_TOO_SMALL)?;
            // What does not fit is measured by the writer.
            Ok(match listing {
                Listing::Providers => {
                    self.providers(&mut reply);
                    reply.finish(WsaCode::NO_ERROR, Tail::Required)
                }
                Listing::Statistics => {
                    self.statistics(&mut reply);
                    reply.finish(WsaCode::NO_ERROR, Tail::Required)
                }
                Listing::Events { after } => {
                    self.events(&mut reply, after);
                    reply.finish(WsaCode::NO_ERROR, Tail::Continued)
                }
                Listing::Sessions { after } => {
                    self.sessions(passive, &mut reply, after);
                    reply.finish(WsaCode::NO_ERROR, Tail::Continued)
                }
                Listing::Explanation(explanation) => {
                    self.explanation(&explanation, &mut reply);
                    reply.finish(WsaCode::NO_ERROR, Tail::Required)
                }
            })
        });
        reply::complete(request, written);
    }

    fn providers(&self, reply: &mut ReplyWriter<'_>) {
        let catalogue = self.service.catalogue();
        for (order, entry) in (0_u32..).zip(catalogue.entries()) {
            let entry = ProviderEntry {
                flags: self.flags(entry),
                order,
                version: entry.version(),
                namespace: ids::NS_EMAIL,
                provider: entry.provider(),
                identifier: Text::from_units(entry.identifier()).unwrap_or_default(),
                blob: entry.blob(),
            };
            let _ = entry.write(reply);
        }
    }

    fn flags(&self, entry: &Entry<CatalogPool>) -> ProviderFlags {
        let mut flags = ProviderFlags::empty();
        flags.set(ProviderFlags::ENABLED, entry.enabled());
        // As calls see it: not yet while its attach callback runs, and not any more when its detach has begun.
        let attached = self.service.attached(entry.provider());
        let available = attached.is_some_and(|attached| attached.binding.enter().is_some());
        flags.set(ProviderFlags::ATTACHED, available);
        flags
    }

    fn explanation(&self, explanation: &Explanation<CatalogPool>, reply: &mut ReplyWriter<'_>) {
        for (order, entry, part) in explanation.iter() {
            let explained = Explained {
                part,
                flags: self.flags(entry),
                order: u32::try_from(order).unwrap_or(u32::MAX),
                provider: entry.provider(),
                identifier: Text::from_units(entry.identifier()).unwrap_or_default(),
            };
            let _ = explained.write(reply);
        }
    }

    fn statistics(&self, reply: &mut ReplyWriter<'_>) {
        let service = &self.service;
        let statistics = &service.statistics;
        for (kind, code, value) in statistics.results() {
            let _ = Counter { kind, code, value }.write(reply);
        }
        let catalogue = service.catalogue();
        let attached = service.bindings(|bindings| bindings.attached());
        let in_use = service.calls(|calls| calls.in_use());
        for (kind, value) in [
            (CounterKind::SESSIONS, statistics.sessions.load(Relaxed)),
            (CounterKind::LOOKUPS, statistics.look_ups.load(Relaxed)),
            (CounterKind::CALLS, in_use as u64),
            (CounterKind::PROVIDERS, catalogue.entries().len() as u64),
            (CounterKind::BINDINGS, attached as u64),
            (CounterKind::FALL_THROUGHS, statistics.fall_throughs.load(Relaxed)),
            (CounterKind::CANCELLED, statistics.cancelled.load(Relaxed)),
            (CounterKind::MALFORMED, statistics.malformed.load(Relaxed)),
            (CounterKind::MAX_SESSIONS, service.limits.sessions as u64),
            (
                CounterKind::MAX_LOOKUPS,
                service.limits.look_ups_per_session as u64,
            ),
            (CounterKind::MAX_CALLS, service.limits.calls as u64),
            (CounterKind::MAX_PROVIDERS, service.limits.providers as u64),
        ] {
            let _ = Counter {
                kind,
                code: WsaCode::NO_ERROR,
                value,
            }
            .write(reply);
        }
    }

    fn sessions(&self, passive: Passive<'_>, reply: &mut ReplyWriter<'_>, after: u64) {
        self.service.each_session(passive, |session| {
            let open = OpenSession {
                number: session.number(),
                sessions: 1,
                look_ups: session.look_ups(|look_ups| look_ups.open()) as u64,
                calls: session.calls().load(Relaxed),
                provider: Guid::NIL,
            };
            open.number <= after || open.write(reply).is_ok()
        });
    }

    fn events(&self, reply: &mut ReplyWriter<'_>, after: u64) {
        let mut sequence = after;
        while let Some(event) = self.service.events.after(sequence) {
            sequence = event.sequence;
            if event.to_wire().write(reply).is_err() {
                break;
            }
        }
    }
}

fn parsed<T>(request: Result<T, Fault>, next: impl FnOnce(T) -> Decision) -> Result<Decision, Malformed> {
    Ok(next(request?))
}

fn begun(mut request: Request, lookup: u64) {
    let written = reply::write(&mut request, BeginReply::SIZE, |out| {
        BeginReply { lookup }.write(out)
    });
    reply::complete(request, written);
}
