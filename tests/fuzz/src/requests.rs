//! Programs may do to the devices of both drivers whatever they like: each request is answered, as it must be, and the
//! verifier finds nothing.
//!
//! An input is a sequence of `Step`s. Some of the requests are well formed, so that they come far; the others are any
//! bytes.

use arbitrary::{Arbitrary, Unstructured};
use nsemail::{Registration, notation};
use nsemail_contract::{
    LookupFlags, QuerySet, WriteError, ids, ioctl,
    wire::{
        BatchRequest, EmptyRequest, EndRequest, ListRequest, LookupRequest, NextRequest, REPLY_HEADER, Reply,
        SetRequest, UninstallRequest,
    },
};
use nsemail_embedded::{Embedded, Options, Order};
use nt_sim::{
    faults::{Calls, Fault},
    io::{Access, FileHandle, Identity, PendingCall, Process},
    ntstatus::NtStatus,
};

/// What happens next.
#[derive(Arbitrary, Debug)]
enum Step {
    /// A program opens a device.
    Open { provider: bool, user: bool },
    /// It closes one of its handles, and with it its requests.
    Close(u8),
    /// It sends a request.
    Send {
        handle: u8,
        code: u8,
        input: Input,
        room: u16,
    },
    /// It waits for one.
    Wait(u8),
    /// It cancels one.
    Cancel(u8),
    /// It ends, and another one starts.
    Kill,
    /// A call of a driver is to fail.
    Fail(u8),
    /// The service of a driver is stopped, if no device of it is open, and started.
    Restart { provider: bool },
}

/// What a request holds.
#[derive(Arbitrary, Debug)]
enum Input {
    /// Any bytes.
    Bytes(Vec<u8>),
    /// A name, or a part of one.
    Name {
        user: u8,
        domain: u8,
        operation: u8,
        flags: u32,
        addresses: u8,
    },
    /// A look-up, or whatever else has a number.
    Number { number: u8, flags: u32 },
    /// Nothing, as a message.
    Empty,
}

/// Some steps are enough, and keep an input fast.
const MOST_STEPS: usize = 48;
const MOST_CALLS: usize = 24;

/// Bytes as a sequence of steps.
///
/// # Panics
/// If the property does not hold.
pub fn check(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let options = Options::new()
        .order(Order::InstallOnly)
        .machine(|machine| machine.seed(1).trace_capacity(1000));
    let machine = Embedded::boot(options).expect("a machine in memory");
    let mut world = World::new(&machine);
    world.restart(true);
    world.restart(false);
    for _ in 0..MOST_STEPS {
        if bytes.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut bytes) else {
            break;
        };
        world.take(step);
    }
    world.end();
    machine.clear_faults();
    machine.shutdown().assert_clean();
}

struct World<'m> {
    machine: &'m Embedded,
    program: Process,
    /// With each, the device that it is open on.
    handles: Vec<(&'static str, FileHandle)>,
    calls: Vec<(u32, usize, PendingCall)>,
}

impl<'m> World<'m> {
    fn new(machine: &'m Embedded) -> Self {
        Self {
            machine,
            program: machine.process(Identity::Administrator),
            handles: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Open { provider, user } => self.open(provider, user),
            Step::Close(handle) => {
                if let Some(index) = pick(handle, self.handles.len()) {
                    drop(self.handles.swap_remove(index));
                }
            }
            Step::Send {
                handle,
                code,
                input,
                room,
            } => self.send(handle, code, &input, room.into()),
            Step::Wait(call) => {
                if let Some(index) = pick(call, self.calls.len()) {
                    let (code, room, call) = self.calls.swap_remove(index);
                    answered(code, room, call);
                }
            }
            Step::Cancel(call) => {
                if let Some(index) = pick(call, self.calls.len()) {
                    self.calls[index].2.cancel();
                }
            }
            Step::Kill => {
                self.handles.clear();
                self.program.kill();
                self.wait_for_all();
                self.program = self.machine.process(Identity::Administrator);
            }
            Step::Fail(after) => {
                self.machine.clear_faults();
                self.machine.inject(Fault::once(Calls::All, after.into()));
            }
            Step::Restart { provider } => self.restart(provider),
        }
    }

    fn open(&mut self, provider: bool, user: bool) {
        let path = if provider {
            ids::PROVIDER_PATH
        } else {
            ids::CLIENT_PATH
        };
        let access = if user { Access::READ } else { Access::READ_WRITE };
        if self.handles.len() < 8
            && let Ok(handle) = self.program.open(path, access)
        {
            self.handles.push((path, handle));
        }
    }

    fn send(&mut self, handle: u8, code: u8, input: &Input, room: usize) {
        if self.calls.len() >= MOST_CALLS {
            self.wait_for_all();
        }
        let Some(handle) = pick(handle, self.handles.len()) else {
            return;
        };
        // One code that is none.
        let code = ioctl::ALL
            .get(usize::from(code) % (ioctl::ALL.len() + 1))
            .copied()
            .unwrap_or(0x8037_3FFC);
        let call = self.handles[handle].1.submit(code, &message(code, input), room);
        self.calls.push((code, room, call));
    }

    fn restart(&self, provider: bool) {
        let (service, path) = if provider {
            (ids::PROVIDER_SERVICE, ids::PROVIDER_PATH)
        } else {
            (ids::CLIENT_SERVICE, ids::CLIENT_PATH)
        };
        // A stop while files are open is pending until they are closed.
        if self.handles.iter().all(|(open, _)| *open != path) {
            let _stopped_or_not_running = self.machine.stop(service);
        }
        let _may_run_or_fail = self.machine.start(service);
    }

    fn wait_for_all(&mut self) {
        for (code, room, call) in self.calls.drain(..) {
            answered(code, room, call);
        }
    }

    /// The program ends; every request it sent has an answer.
    fn end(&mut self) {
        self.handles.clear();
        self.wait_for_all();
    }
}

fn pick(number: u8, of: usize) -> Option<usize> {
    (of > 0).then(|| usize::from(number) % of.max(1))
}

/// What holds for every answer.
fn answered(code: u32, room: usize, call: PendingCall) {
    let completion = call.wait();
    let name = ioctl::name(code).unwrap_or("no code");
    assert!(
        completion.data.len() <= room,
        "{name}: more than there is room for"
    );
    match completion.status {
        NtStatus::SUCCESS => {
            assert!(completion.data.len() >= REPLY_HEADER, "{name}: no header");
            assert!(Reply::parse(&completion.data).is_ok(), "{name}: an unsound reply");
            assert!(ioctl::name(code).is_some(), "an unknown code was answered");
        }
        NtStatus::INVALID_DEVICE_REQUEST
        | NtStatus::INVALID_PARAMETER
        | NtStatus::BUFFER_TOO_SMALL
        | NtStatus::ACCESS_DENIED
        | NtStatus::CANCELLED
        | NtStatus::DELETE_PENDING
        | NtStatus::INSUFFICIENT_RESOURCES => {
            assert!(
                completion.data.is_empty(),
                "{name}: a failed request has an answer"
            );
        }
        other => panic!("{name}: {other}"),
    }
}

/// The message of a request.
fn message(code: u32, input: &Input) -> Vec<u8> {
    match *input {
        Input::Bytes(ref bytes) => bytes.clone(),
        Input::Empty => written(|out| EmptyRequest.write(out)),
        Input::Number { number, flags } => {
            let lookup = u64::from(number);
            let flags = LookupFlags::from_bits_retain(flags);
            match code {
                ioctl::LOOKUP_END => written(|out| EndRequest { lookup }.write(out)),
                ioctl::LIST => written(|out| ListRequest::all(ids::DEFAULT_PROVIDER, lookup).write(out)),
                ioctl::UNINSTALL => {
                    let request = UninstallRequest {
                        provider: ids::DEFAULT_PROVIDER,
                        delete_names: number % 2 == 1,
                    };
                    written(|out| request.write(out))
                }
                _ => written(|out| NextRequest { lookup, flags }.write(out)),
            }
        }
        Input::Name {
            user,
            domain,
            operation,
            flags,
            addresses,
        } => {
            let domain = ["example.com", "example.net", "elsewhere.example", ""][usize::from(domain) % 4];
            let addresses = (0..addresses % 4).map(|number| {
                notation::parse(&format!("192.0.2.{number}:{number}/udp")).expect("an address")
            });
            let registration = Registration {
                name: format!("user{}@{domain}", user % 4),
                addresses: addresses.collect(),
                ..Registration::default()
            };
            let message = registration.with(|query| Ok(about(code, &query, operation, flags)));
            message.expect("a name")
        }
    }
}

/// A request that is about a name.
fn about(code: u32, query: &QuerySet<'_>, operation: u8, bits: u32) -> Vec<u8> {
    let flags = LookupFlags::from_bits_retain(bits);
    match code {
        ioctl::SET_SERVICE => {
            let request = SetRequest {
                operation: u32::from(operation % 4),
                flags: bits,
                registration: *query,
            };
            written(|out| request.write(out))
        }
        ioctl::LOOKUP_BATCH => written(|out| BatchRequest::write(flags, [*query, *query], out)),
        _ => written(|out| LookupRequest { flags, query: *query }.write(out)),
    }
}

fn written(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let size = write(&mut bytes).expect("a small message");
    bytes.truncate(size);
    bytes
}
