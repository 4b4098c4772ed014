//! What the programs of the scenarios do, in their own words.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use nsemail::{
    AdminClient, Client, Error, Registration,
    client::Query,
    notation,
    record::{FoundRecord, StoredRecord},
    transport::{Device, Transport, TransportError},
};
use nsemail_contract::{
    Guid, LookupFlags, Operation, SetFlags, WriteError, WsaCode, ids, ioctl,
    wire::{CounterKind, EventKind, LookupRequest, Reply, SetReply, SetRequest},
};

use crate::kernel::{Access, Answer, Call, Driver, Handle, Kernel, Process, Service, Who, Win32};

/// The provider that is primary for `example.com`, secondary for `example.net`, and takes all else.
pub const DEFAULT: Guid = ids::DEFAULT_PROVIDER;
/// The provider that is primary for `example.net` and secondary for `example.com`.
pub const EXAMPLE: Guid = Guid::from_u128(0xC2B8_1F06_9D47_4E3A_A1F5_5E08_D764_3B29);

/// How long a scenario waits for what must happen before it gives up.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until something holds. That it comes to hold does not depend on time; only the failure of a
/// scenario whose wait is in vain does.
///
/// # Panics
/// If it does not come to hold.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::yield_now();
    }
}

/// Tells the threads of a scenario, when it is dropped, that it is over, also if the scenario fails.
pub struct Ended<'a>(pub &'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl dyn Kernel + '_ {
    /// Starts both drivers and waits until both seeded providers are attached.
    ///
    /// # Panics
    /// If a driver does not start.
    pub fn start_both(&self) {
        for driver in Driver::BOTH {
            self.start(driver).expect("the driver starts");
        }
        self.wait_until_attached();
    }

    /// Waits until both seeded providers are attached: the provider driver loads them after it was
    /// started.
    pub fn wait_until_attached(&self) {
        let watcher = self.program(Who::User).open();
        until("both providers are attached", || watcher.attached() == 2);
    }

    /// Stops a driver of whose device no file is open.
    ///
    /// # Panics
    /// If it is not unloaded by that.
    #[track_caller]
    pub fn stop_at_once(&self, driver: Driver) {
        assert_eq!(self.stop(driver), Ok(Service::Stopped), "{driver:?}");
    }

    /// Starts a program.
    #[must_use]
    pub fn program(&self, who: Who) -> Program {
        Program(self.process(who))
    }

    /// A handle of an administrator's program, to change names.
    #[must_use]
    pub fn administrator(&self) -> Session {
        self.program(Who::Administrator).open_to_write()
    }

    /// A handle of anyone's program, to look names up.
    #[must_use]
    pub fn user(&self) -> Session {
        self.program(Who::User).open()
    }

    /// All that is stored at both providers, in the order of names.
    #[must_use]
    pub fn stored(&self) -> Vec<StoredRecord> {
        let admin = self.program(Who::Administrator).open_admin();
        [DEFAULT, EXAMPLE]
            .into_iter()
            .flat_map(|provider| admin.stored(provider))
            .collect()
    }
}

/// A program.
pub struct Program(Box<dyn Process>);

impl Program {
    /// Opens `\\.\NsEmail` to look up.
    ///
    /// # Panics
    /// If that is not possible.
    #[must_use]
    pub fn open(&self) -> Session {
        self.try_open(Access::Read).expect("everyone may look up")
    }

    /// Opens `\\.\NsEmail` to change names.
    ///
    /// # Panics
    /// If that is not possible.
    #[must_use]
    pub fn open_to_write(&self) -> Session {
        self.try_open(Access::ReadWrite)
            .expect("administrators may register")
    }

    /// Opens `\\.\NsEmail`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn try_open(&self, access: Access) -> Result<Session, Win32> {
        Ok(Session(Client::new(self.0.open(Device::Client, access)?)))
    }

    /// Opens `\\.\NsEmailProvider`.
    ///
    /// # Panics
    /// If that is not possible.
    #[must_use]
    pub fn open_admin(&self) -> Admin {
        let handle = self.0.open(Device::Provider, Access::ReadWrite);
        let handle = handle.expect("administrators may open the provider's device");
        Admin(AdminClient::new(SmallPages(handle)))
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &dyn Process {
        &*self.0
    }

    /// Ends the program as task manager does.
    pub fn kill(self) {
        self.0.kill();
    }
}

/// A name with what is to be registered for it.
///
/// # Panics
/// If an address is not written as the tool writes them.
#[must_use]
pub fn name(name: &str, addresses: &[&str]) -> Registration {
    let parse = |text: &&str| notation::parse(text).expect("an address");
    Registration {
        name: name.to_owned(),
        addresses: addresses.iter().map(parse).collect(),
        ..Registration::default()
    }
}

/// The addresses of a record, as the tool writes them.
#[must_use]
pub fn addresses(record: &Registration) -> Vec<String> {
    record.addresses.iter().map(notation::format).collect()
}

/// What a call answered that reached the driver.
///
/// # Errors
/// The driver's code.
///
/// # Panics
/// If it did not.
#[track_caller]
pub fn answered<T>(result: Result<T, Error>) -> Result<T, WsaCode> {
    result.map_err(|error| match error {
        Error::Code(code) => code,
        error => panic!("{error}"),
    })
}

/// Writes a message by the contract's convention.
///
/// # Panics
/// If it is too large.
#[must_use]
pub fn message(write: impl Fn(&mut [u8]) -> Result<usize, WriteError>) -> Vec<u8> {
    let needed = match write(&mut []) {
        Ok(needed) | Err(WriteError::TooSmall { needed }) => needed,
        Err(WriteError::TooLarge) => panic!("the message is too large"),
    };
    let mut bytes = vec![0; needed];
    assert_eq!(write(&mut bytes), Ok(needed));
    bytes
}

/// The message that asks for a change.
///
/// # Panics
/// If the registration cannot be expressed.
#[must_use]
pub fn change(operation: Operation, flags: SetFlags, registration: &Registration) -> Vec<u8> {
    let message = registration.with(|registration| {
        let request = SetRequest {
            operation: operation as u32,
            flags: flags.bits(),
            registration,
        };
        Ok(message(|out| request.write(out)))
    });
    message.expect("a registration")
}

/// The message that looks for a name.
///
/// # Panics
/// If the name cannot be expressed.
#[must_use]
pub fn question(name: &str, flags: LookupFlags) -> Vec<u8> {
    let message = crate::program::name(name, &[]).with(|query| {
        let request = LookupRequest { flags, query };
        Ok(message(|out| request.write(out)))
    });
    message.expect("a query")
}

/// The code in the header of a reply.
///
/// # Panics
/// If there is no sound reply.
#[track_caller]
#[must_use]
pub fn code(answer: &Answer) -> WsaCode {
    assert_eq!(answer.result, Ok(()), "the request failed at NT level");
    Reply::parse(&answer.bytes).expect("a sound reply").code
}

/// An open handle of `\\.\NsEmail`; dropping it closes it.
pub struct Session(Client<Box<dyn Handle>>);

impl Session {
    /// The tool's client on this handle.
    #[must_use]
    pub const fn client(&self) -> &Client<Box<dyn Handle>> {
        &self.0
    }

    /// The handle.
    #[must_use]
    pub fn handle(&self) -> &dyn Handle {
        &**self.0.transport()
    }

    /// How many namespace providers are attached.
    ///
    /// # Panics
    /// If the driver does not say.
    #[must_use]
    pub fn attached(&self) -> usize {
        let providers = self.client().providers().expect("the list of providers");
        providers.iter().filter(|provider| provider.attached).count()
    }

    /// Makes a change and waits for the answer.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn change(
        &self,
        operation: Operation,
        flags: SetFlags,
        registration: &Registration,
    ) -> Result<SetReply, WsaCode> {
        answered(self.client().set(operation, flags, registration))
    }

    /// Registers a name with these addresses and no others.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn register(&self, name: &str, addresses: &[&str]) -> Result<SetReply, WsaCode> {
        let registration = crate::program::name(name, addresses);
        self.change(Operation::Register, SetFlags::empty(), &registration)
    }

    /// Sends a registration without waiting for the answer.
    #[must_use]
    pub fn submit_register(&self, name: &str, addresses: &[&str]) -> Box<dyn Call> {
        self.submit(Operation::Register, &crate::program::name(name, addresses))
    }

    /// Sends a change without waiting for the answer.
    #[must_use]
    pub fn submit(&self, operation: Operation, registration: &Registration) -> Box<dyn Call> {
        let input = change(operation, SetFlags::empty(), registration);
        self.handle().submit(ioctl::SET_SERVICE, &input, SetReply::SIZE)
    }

    /// Takes all addresses of a name away.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn deregister(&self, name: &str) -> Result<SetReply, WsaCode> {
        let registration = crate::program::name(name, &[]);
        self.change(Operation::Deregister, SetFlags::empty(), &registration)
    }

    /// Removes a name.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn delete(&self, name: &str) -> Result<SetReply, WsaCode> {
        let registration = crate::program::name(name, &[]);
        self.change(Operation::Delete, SetFlags::empty(), &registration)
    }

    /// Looks a name up.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn records(&self, query: &Query, flags: LookupFlags) -> Result<Vec<FoundRecord>, WsaCode> {
        answered(self.client().look_up(query, flags))
    }

    /// Looks a name up, and gives its addresses.
    ///
    /// # Errors
    /// What the driver answers.
    ///
    /// # Panics
    /// If there is more than one record.
    pub fn look_up(&self, name: &str) -> Result<Vec<String>, WsaCode> {
        let records = self.records(&Query::name(name), LookupFlags::RETURN_ALL)?;
        let [found] = records.as_slice() else {
            panic!("{} records for one name", records.len())
        };
        assert_eq!(found.record.name, name);
        Ok(addresses(&found.record))
    }

    /// Looks a name up at one provider, and gives its addresses.
    ///
    /// # Errors
    /// What the driver answers.
    pub fn look_up_at(&self, provider: Guid, name: &str) -> Result<Vec<String>, WsaCode> {
        let query = Query {
            provider: Some(provider),
            ..Query::name(name)
        };
        let records = self.records(&query, LookupFlags::RETURN_ALL)?;
        Ok(records
            .iter()
            .flat_map(|found| addresses(&found.record))
            .collect())
    }

    /// The sum of the client driver's counters of a kind.
    ///
    /// # Panics
    /// If the driver does not say.
    #[must_use]
    pub fn counted(&self, kind: CounterKind) -> u64 {
        let counters = self.client().statistics().expect("statistics");
        let of_kind = counters.iter().filter(|counter| counter.kind == kind);
        of_kind.map(|counter| counter.value).sum()
    }

    /// Waits until no call is under way in the client driver, also none that was cancelled.
    pub fn wait_until_idle(&self) {
        until("no call is under way", || self.counted(CounterKind::CALLS) == 0);
    }
}

/// A handle that gives little room, so that long listings come in many pages, and short ones cost little.
pub struct SmallPages(Box<dyn Handle>);

impl Transport for SmallPages {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, TransportError> {
        const ROOM: usize = 8192;
        let room = output.len().min(ROOM);
        self.0.ioctl(code, input, &mut output[..room])
    }
}

/// An open handle of `\\.\NsEmailProvider`; dropping it closes it.
pub struct Admin(AdminClient<SmallPages>);

impl Admin {
    /// The tool's client on this handle.
    #[must_use]
    pub const fn client(&self) -> &AdminClient<SmallPages> {
        &self.0
    }

    /// All that a hosted provider has stored, in the order of names.
    ///
    /// # Panics
    /// If the driver does not say.
    #[must_use]
    pub fn stored(&self, provider: Guid) -> Vec<StoredRecord> {
        let mut records = Vec::new();
        let mut cursor = 0;
        loop {
            let (page, next) = self
                .client()
                .list(provider, cursor)
                .expect("a page of the listing");
            records.extend(page);
            cursor = next;
            if cursor == 0 {
                return records;
            }
        }
    }

    /// The sum of the provider driver's counters of a kind.
    ///
    /// # Panics
    /// If the driver does not say.
    #[must_use]
    pub fn counted(&self, kind: CounterKind) -> u64 {
        let counters = self.client().statistics().expect("statistics");
        let of_kind = counters.iter().filter(|counter| counter.kind == kind);
        of_kind.map(|counter| counter.value).sum()
    }

    /// How many events of a kind are kept about a provider.
    ///
    /// # Panics
    /// If the driver does not say.
    #[must_use]
    pub fn events(&self, kind: EventKind, subject: Guid) -> usize {
        let events = self.client().events(0).expect("events");
        let about = events
            .iter()
            .filter(|event| event.kind == kind && event.subject == subject);
        about.count()
    }
}
