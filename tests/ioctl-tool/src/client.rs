//! The requests of both control devices, with owned answers.

use nsemail_contract::wire::{
    BatchReply, BatchRequest, BeginReply, Counter, CountersReply, EmptyRequest, EndRequest, Event, EventKind,
    EventsReply, EventsRequest, HostedReply, HostedState, ListReply, ListRequest, LookupRequest, NextRequest,
    ProvidersReply, RecordsReply, Reply, SetReply, SetRequest,
};
use nsemail_contract::{
    Guid, LookupFlags, Operation, QuerySet, SetFlags, WriteError, WsaCode, ioctl, limits,
};

use crate::record::{FoundRecord, Provider, Registration, StoredRecord, as_text};
use crate::{Error, Transport};

/// Room for a reply at first; replies that need more say so.
pub(crate) const FIRST_ROOM: usize = 4096;

/// What a look-up asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// The mail address; none only together with `RETURN_PREFERRED_NAMES`.
    pub name: Option<String>,
    /// The service; empty for none.
    pub service: String,
    /// The namespace provider to ask; none for those that are responsible.
    pub provider: Option<Guid>,
}

impl Query {
    /// A query for a name without a service.
    pub fn name(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    fn borrow(&self) -> Result<QuerySet<'_>, Error> {
        Ok(QuerySet {
            name: self.name.as_deref().map(as_text).transpose()?,
            namespace: nsemail_contract::ids::NS_EMAIL,
            provider: self.provider,
            context: if self.service.is_empty() {
                None
            } else {
                Some(as_text(&self.service)?)
            },
            ..QuerySet::default()
        })
    }
}

/// What a driver recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedEvent {
    /// What happened.
    pub kind: EventKind,
    /// Counts the events of its driver.
    pub sequence: u64,
    /// When, in units of 100 ns since 1601-01-01 UTC.
    pub time: u64,
    /// What they mean depends on the kind.
    pub numbers: [u64; 2],
    /// To which namespace provider; nil if to none.
    pub subject: Guid,
    /// More for a person.
    pub text: String,
}

impl OwnedEvent {
    fn new(event: &Event<'_>) -> Self {
        Self {
            kind: event.kind,
            sequence: event.sequence,
            time: event.time,
            numbers: event.numbers,
            subject: event.subject,
            text: event.text.chars().collect(),
        }
    }
}

/// A namespace provider that the provider driver hosts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostedProvider {
    /// The namespace provider.
    pub guid: Guid,
    /// Display name.
    pub name: String,
    /// State.
    pub state: HostedState,
    /// Objects in the store.
    pub objects: u64,
    /// Addresses in the store.
    pub addresses: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
}

/// Writes a request by the contract's convention: an empty slice measures.
pub(crate) fn request(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Result<Vec<u8>, Error> {
    let needed = match write(&mut []) {
        Ok(needed) | Err(WriteError::TooSmall { needed }) => needed,
        Err(WriteError::TooLarge) => return Err(Error::TooLarge),
    };
    let mut bytes = vec![0; needed];
    write(&mut bytes)?;
    Ok(bytes)
}

/// Sends a request that may be repeated, with more room if the reply needs it; `WSAEFAULT` is never
/// what comes of it.
pub(crate) fn call<R>(
    transport: &impl Transport,
    code: u32,
    input: &[u8],
    room: usize,
    read: impl FnOnce(&Reply<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut output = vec![0; room];
    loop {
        let size = transport.ioctl(code, input, &mut output)?;
        let reply = Reply::parse(output.get(..size).unwrap_or(&output))?;
        match reply.code {
            WsaCode::NO_ERROR => return read(&reply),
            // What is needed can grow between two calls, but not beyond the longest message.
            WsaCode::WSAEFAULT if reply.needed > output.len() && reply.needed <= limits::MESSAGE => {
                let needed = reply.needed;
                output = vec![0; needed];
            }
            code => return Err(Error::Code(code)),
        }
    }
}

fn statistics(transport: &impl Transport) -> Result<Vec<Counter>, Error> {
    let input = request(|out| EmptyRequest.write(out))?;
    call(transport, ioctl::STATISTICS, &input, FIRST_ROOM, |reply| {
        Ok(CountersReply::read(reply)?.counters().collect::<Result<_, _>>()?)
    })
}

fn events(transport: &impl Transport, mut after: u64) -> Result<Vec<OwnedEvent>, Error> {
    let mut events = Vec::new();
    loop {
        let input = request(|out| EventsRequest { after }.write(out))?;
        let page: Vec<OwnedEvent> = call(transport, ioctl::EVENTS, &input, 16 * FIRST_ROOM, |reply| {
            let page = EventsReply::read(reply)?;
            Ok(page
                .events()
                .map(|event| event.map(|event| OwnedEvent::new(&event)))
                .collect::<Result<_, _>>()?)
        })?;
        match page.last() {
            Some(last) if last.sequence > after => after = last.sequence,
            _ => return Ok(events),
        }
        events.extend(page);
    }
}

/// A session with the client driver. Requests may be sent from many threads at once.
#[derive(Clone, Debug)]
pub struct Client<T>(T);

impl<T: Transport> Client<T> {
    /// A client over an open handle of the client driver's device.
    pub const fn new(transport: T) -> Self {
        Self(transport)
    }

    /// The handle.
    pub const fn transport(&self) -> &T {
        &self.0
    }

    /// Looks up in one call.
    ///
    /// # Errors
    /// What the driver answered; a name that is not there is such an answer.
    pub fn look_up(&self, query: &Query, flags: LookupFlags) -> Result<Vec<FoundRecord>, Error> {
        let query = query.borrow()?;
        let input = request(|out| LookupRequest { flags, query }.write(out))?;
        call(&self.0, ioctl::LOOKUP, &input, FIRST_ROOM, records)
    }

    /// Looks up many names, in as few calls as possible; answers each query in order.
    ///
    /// # Errors
    /// If a call as a whole failed.
    pub fn look_up_many(
        &self,
        queries: &[Query],
        flags: LookupFlags,
    ) -> Result<Vec<Result<Vec<FoundRecord>, WsaCode>>, Error> {
        let mut answers = Vec::with_capacity(queries.len());
        while let Some(rest) = queries.get(answers.len()..).filter(|rest| !rest.is_empty()) {
            let batch = rest.get(..rest.len().min(limits::BATCH / 4)).unwrap_or(rest);
            let sets = batch.iter().map(Query::borrow).collect::<Result<Vec<_>, _>>()?;
            let input = request(|out| BatchRequest::write(flags, sets.iter().copied(), out))?;
            let before = answers.len();
            call(&self.0, ioctl::LOOKUP_BATCH, &input, 64 * FIRST_ROOM, |reply| {
                for answer in BatchReply::read(reply)?.answers() {
                    let answer = answer?;
                    let records = answer
                        .records()
                        .map(|record| record.map(|record| FoundRecord::new(&record)))
                        .collect::<Result<Vec<_>, _>>()?;
                    answers.push(answer.code.ok().map(|()| records));
                }
                Ok(())
            })?;
            if answers.len() == before {
                return Err(Error::Code(WsaCode::WSAEFAULT));
            }
        }
        Ok(answers)
    }

    /// Opens a look-up that is read record by record.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn begin(&self, query: &Query, flags: LookupFlags) -> Result<LookUp<'_, T>, Error> {
        let query = query.borrow()?;
        let input = request(|out| LookupRequest { flags, query }.write(out))?;
        let reply = call(&self.0, ioctl::LOOKUP_BEGIN, &input, BeginReply::SIZE, |reply| {
            Ok(BeginReply::read(reply)?)
        })?;
        Ok(LookUp {
            client: self,
            number: reply.lookup,
        })
    }

    /// Registers, deregisters or deletes a name, and waits until that is durable: on this thread, if it can be.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn set(
        &self,
        operation: Operation,
        flags: SetFlags,
        registration: &Registration,
    ) -> Result<SetReply, Error> {
        let input = registration.with(|set| {
            let message = SetRequest {
                operation: operation as u32,
                flags: flags.union(SetFlags::CALLER_WAITS).bits(),
                registration: set,
            };
            request(|out| message.write(out))
        })?;
        // There is enough room, so this is never repeated.
        call(&self.0, ioctl::SET_SERVICE, &input, SetReply::SIZE, |reply| {
            Ok(SetReply::read(reply)?)
        })
    }

    /// The namespace providers, in the order of calls.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn providers(&self) -> Result<Vec<Provider>, Error> {
        let input = request(|out| EmptyRequest.write(out))?;
        call(&self.0, ioctl::PROVIDERS, &input, FIRST_ROOM, |reply| {
            let entries = ProvidersReply::read(reply)?;
            Ok(entries
                .providers()
                .map(|entry| entry.map(|entry| Provider::new(&entry)))
                .collect::<Result<_, _>>()?)
        })
    }

    /// The counters of the client driver.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn statistics(&self) -> Result<Vec<Counter>, Error> {
        statistics(&self.0)
    }

    /// The events of the client driver after the one with this number.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn events(&self, after: u64) -> Result<Vec<OwnedEvent>, Error> {
        events(&self.0, after)
    }

    /// Ends the session; the next call starts another one.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn end_session(&self) -> Result<(), Error> {
        let input = request(|out| EmptyRequest.write(out))?;
        call(&self.0, ioctl::END_SESSION, &input, FIRST_ROOM, |_| Ok(()))
    }
}

fn records(reply: &Reply<'_>) -> Result<Vec<FoundRecord>, Error> {
    let records = RecordsReply::read(reply)?;
    Ok(records
        .records()
        .map(|record| record.map(|record| FoundRecord::new(&record)))
        .collect::<Result<_, _>>()?)
}

/// An open look-up; dropping it closes it.
#[derive(Debug)]
pub struct LookUp<'c, T: Transport> {
    client: &'c Client<T>,
    number: u64,
}

impl<T: Transport> LookUp<'_, T> {
    /// The next record; `None` after the last one.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn next(&self, flags: LookupFlags) -> Result<Option<FoundRecord>, Error> {
        let input = request(|out| {
            NextRequest {
                lookup: self.number,
                flags,
            }
            .write(out)
        })?;
        // A record that did not fit comes again, so asking again with more room loses nothing.
        match call(&self.client.0, ioctl::LOOKUP_NEXT, &input, FIRST_ROOM, records) {
            Ok(mut records) => Ok(records.pop()),
            Err(Error::Code(code)) if code.is_no_more() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Closes the look-up.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn end(self) -> Result<(), Error> {
        let this = core::mem::ManuallyDrop::new(self);
        this.close()
    }

    fn close(&self) -> Result<(), Error> {
        let input = request(|out| EndRequest { lookup: self.number }.write(out))?;
        call(&self.client.0, ioctl::LOOKUP_END, &input, FIRST_ROOM, |_| Ok(()))
    }
}

impl<T: Transport> Drop for LookUp<'_, T> {
    fn drop(&mut self) {
        // Whoever wants to know about a failure calls `end`.
        let _ = self.close();
    }
}

/// A session with the provider driver, for administrators.
#[derive(Clone, Debug)]
pub struct AdminClient<T>(T);

impl<T: Transport> AdminClient<T> {
    /// A client over an open handle of the provider driver's device.
    pub const fn new(transport: T) -> Self {
        Self(transport)
    }

    /// The handle.
    pub const fn transport(&self) -> &T {
        &self.0
    }

    /// The hosted namespace providers.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn hosted(&self) -> Result<Vec<HostedProvider>, Error> {
        let input = request(|out| EmptyRequest.write(out))?;
        call(&self.0, ioctl::HOSTED, &input, FIRST_ROOM, |reply| {
            HostedReply::read(reply)?
                .hosted()
                .map(|hosted| {
                    let hosted = hosted?;
                    Ok(HostedProvider {
                        guid: hosted.provider,
                        name: hosted.identifier.chars().collect(),
                        state: hosted.state,
                        objects: hosted.objects,
                        addresses: hosted.addresses,
                        log_bytes: hosted.log_bytes,
                    })
                })
                .collect()
        })
    }

    /// A page of the objects of a hosted provider, and the cursor of the next page, 0 after the
    /// last one.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn list(&self, provider: Guid, cursor: u64) -> Result<(Vec<StoredRecord>, u64), Error> {
        self.list_matching(&ListRequest::all(provider, cursor))
    }

    /// A page of those objects of a hosted provider that are asked for, and the cursor of the next page, 0 after the
    /// last one.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn list_matching(&self, asked: &ListRequest<'_>) -> Result<(Vec<StoredRecord>, u64), Error> {
        let input = request(|out| asked.write(out))?;
        call(&self.0, ioctl::LIST, &input, 64 * FIRST_ROOM, |reply| {
            let page = ListReply::read(reply)?;
            let records = page
                .records()
                .map(|listed| {
                    let listed = listed?;
                    Ok(StoredRecord {
                        state: listed.state,
                        record: Registration::from_record(&listed.record),
                    })
                })
                .collect::<Result<_, Error>>()?;
            Ok((records, page.next))
        })
    }

    /// The counters of the provider driver.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn statistics(&self) -> Result<Vec<Counter>, Error> {
        statistics(&self.0)
    }

    /// The events of the provider driver after the one with this number.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn events(&self, after: u64) -> Result<Vec<OwnedEvent>, Error> {
        events(&self.0, after)
    }
}
