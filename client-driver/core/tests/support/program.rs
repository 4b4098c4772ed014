//! What a program does with the device.

use nsemail_contract::flags::SetFlags;
use nsemail_contract::wire::{
    BeginReply, CounterKind, CountersReply, EmptyRequest, EndRequest, EventKind, EventsReply, EventsRequest,
    LookupRequest, NextRequest, ProvidersReply, REPLY_HEADER, RecordsReply, Reply, ReplyWriter, SetReply,
    SetRequest,
};
use nsemail_contract::{LookupFlags, Operation, QuerySet, Text, WsaCode, ids, ioctl};
use nt_sim::Machine;
use nt_sim::io::{Access, FileHandle, Identity, PendingCall, Process};
use nt_sim::ntstatus::NtStatus;

/// An open handle of the device, in a process of its own.
pub struct Program {
    pub process: Process,
    pub handle: FileHandle,
}

/// Name and provider of a record.
pub type Seen = (String, u8);

pub const BUFFER: usize = 4096;

impl Program {
    pub fn open(machine: &Machine) -> Self {
        let process = machine.process(Identity::Administrator);
        let handle = process.open(ids::CLIENT_PATH, Access::READ_WRITE).unwrap();
        Self { process, handle }
    }

    /// Makes a request that must succeed at NT level, unless the framework has no memory for it.
    pub fn request(&self, code: u32, input: &[u8], output: usize) -> Vec<u8> {
        let completion = self.handle.call(code, input, output);
        if completion.status == NtStatus::INSUFFICIENT_RESOURCES {
            let mut reply = vec![0; REPLY_HEADER];
            ReplyWriter::bare(&mut reply, WsaCode::WSA_NOT_ENOUGH_MEMORY).unwrap();
            return reply;
        }
        assert!(completion.status.is_success(), "{:?}", completion.status);
        completion.data
    }

    pub fn look_up(&self, name: &str) -> Result<Vec<Seen>, WsaCode> {
        self.look_up_with(name, LookupFlags::RETURN_ALL)
    }

    pub fn look_up_with(&self, name: &str, flags: LookupFlags) -> Result<Vec<Seen>, WsaCode> {
        records(&self.request(ioctl::LOOKUP, &look_up_request(name, flags), BUFFER))
    }

    pub fn submit_look_up(&self, name: &str) -> PendingCall {
        let request = look_up_request(name, LookupFlags::RETURN_ALL);
        self.handle.submit(ioctl::LOOKUP, &request, BUFFER)
    }

    pub fn begin(&self, name: &str) -> Result<u64, WsaCode> {
        let request = look_up_request(name, LookupFlags::RETURN_ALL);
        let reply = self.request(ioctl::LOOKUP_BEGIN, &request, BeginReply::SIZE);
        let reply = Reply::parse(&reply).unwrap();
        reply.code.ok()?;
        Ok(BeginReply::read(&reply).unwrap().lookup)
    }

    pub fn next(&self, lookup: u64) -> Result<Seen, WsaCode> {
        self.next_within(lookup, LookupFlags::empty(), BUFFER)
            .map_err(|(code, _)| code)
    }

    /// The next record, or the code and the size that the output must have.
    pub fn next_within(
        &self,
        lookup: u64,
        flags: LookupFlags,
        output: usize,
    ) -> Result<Seen, (WsaCode, usize)> {
        let reply = self.request(ioctl::LOOKUP_NEXT, &next_request(lookup, flags), output);
        let needed = Reply::parse(&reply).unwrap().needed;
        records(&reply)
            .map(|mut seen| seen.remove(0))
            .map_err(|code| (code, needed))
    }

    pub fn submit_next(&self, lookup: u64) -> PendingCall {
        self.handle.submit(
            ioctl::LOOKUP_NEXT,
            &next_request(lookup, LookupFlags::empty()),
            BUFFER,
        )
    }

    pub fn end(&self, lookup: u64) -> WsaCode {
        let mut request = [0; 64];
        let size = EndRequest { lookup }.write(&mut request).unwrap();
        code(&self.request(ioctl::LOOKUP_END, &request[..size], BUFFER))
    }

    pub fn end_session(&self) -> WsaCode {
        code(&self.request(ioctl::END_SESSION, &empty_request(), BUFFER))
    }

    pub fn set(&self, operation: Operation, name: &str) -> Result<SetReply, WsaCode> {
        changed(&self.request(ioctl::SET_SERVICE, &set_request(operation, name), BUFFER))
    }

    pub fn submit_set(&self, operation: Operation, name: &str) -> PendingCall {
        self.submit_set_with(operation, SetFlags::empty(), name)
    }

    pub fn submit_set_with(&self, operation: Operation, flags: SetFlags, name: &str) -> PendingCall {
        let request = set_request_with(operation, flags, name);
        self.handle.submit(ioctl::SET_SERVICE, &request, BUFFER)
    }

    /// Number, flags and place of each provider of the catalogue.
    pub fn providers(&self) -> Vec<(u8, u32)> {
        let reply = self.request(ioctl::PROVIDERS, &empty_request(), BUFFER);
        let reply = ProvidersReply::read(&Reply::parse(&reply).unwrap()).unwrap();
        let providers = reply.providers().map(Result::unwrap);
        providers
            .map(|entry| (number(entry.provider), entry.flags.bits()))
            .collect()
    }

    /// The events of a kind, as text.
    pub fn events(&self, kind: EventKind) -> Vec<String> {
        let mut request = [0; 64];
        let size = EventsRequest { after: 0 }.write(&mut request).unwrap();
        let reply = self.request(ioctl::EVENTS, &request[..size], 1 << 16);
        let reply = EventsReply::read(&Reply::parse(&reply).unwrap()).unwrap();
        let events = reply
            .events()
            .map(Result::unwrap)
            .filter(|event| event.kind == kind);
        events.map(|event| event.text.to_string()).collect()
    }

    pub fn counter(&self, kind: CounterKind, code: WsaCode) -> u64 {
        let reply = self.request(ioctl::STATISTICS, &empty_request(), 1 << 16);
        let reply = CountersReply::read(&Reply::parse(&reply).unwrap()).unwrap();
        let mut counters = reply.counters().map(Result::unwrap);
        counters
            .find(|counter| counter.kind == kind && counter.code == code)
            .map_or(0, |it| it.value)
    }
}

fn number(provider: nsemail_contract::Guid) -> u8 {
    provider.to_u128().try_into().unwrap_or(u8::MAX)
}

pub fn empty_request() -> Vec<u8> {
    let mut request = vec![0; 64];
    let size = EmptyRequest.write(&mut request).unwrap();
    request.truncate(size);
    request
}

pub fn look_up_request(name: &str, flags: LookupFlags) -> Vec<u8> {
    let query = QuerySet {
        name: Some(Text::from_str(name).unwrap()),
        ..QuerySet::default()
    };
    let mut request = vec![0; BUFFER];
    let size = LookupRequest { flags, query }.write(&mut request).unwrap();
    request.truncate(size);
    request
}

fn next_request(lookup: u64, flags: LookupFlags) -> Vec<u8> {
    let mut request = vec![0; 64];
    let size = NextRequest { lookup, flags }.write(&mut request).unwrap();
    request.truncate(size);
    request
}

pub fn set_request(operation: Operation, name: &str) -> Vec<u8> {
    set_request_with(operation, SetFlags::empty(), name)
}

fn set_request_with(operation: Operation, flags: SetFlags, name: &str) -> Vec<u8> {
    let registration = QuerySet {
        name: Some(Text::from_str(name).unwrap()),
        ..QuerySet::default()
    };
    let set = SetRequest {
        operation: operation as u32,
        flags: flags.bits(),
        registration,
    };
    let mut request = vec![0; BUFFER];
    let size = set.write(&mut request).unwrap();
    request.truncate(size);
    request
}

/// The code of a reply.
pub fn code(reply: &[u8]) -> WsaCode {
    Reply::parse(reply).unwrap().code
}

/// The records of a reply.
pub fn records(reply: &[u8]) -> Result<Vec<Seen>, WsaCode> {
    let reply = Reply::parse(reply).unwrap();
    reply.code.ok()?;
    let records = RecordsReply::read(&reply).unwrap().records().map(Result::unwrap);
    Ok(records
        .map(|it| {
            (
                it.record.name.unwrap().to_string(),
                number(it.record.provider.unwrap()),
            )
        })
        .collect())
}

/// What a change did.
pub fn changed(reply: &[u8]) -> Result<SetReply, WsaCode> {
    let reply = Reply::parse(reply).unwrap();
    reply.code.ok()?;
    Ok(SetReply::read(&reply).unwrap())
}
