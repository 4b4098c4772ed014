//! A machine with both drivers and names in it, as a program uses it; and what is registered for a name.

use std::path::Path;

use allocator_api2::alloc::Global;
use anyhow::{Context as _, Result, anyhow, ensure};
use fastrand::Rng;
use nsemail_benches::names::Names;
use nsemail_contract::queryset::Addresses;
use nsemail_contract::sockaddr::{CsAddr, NormalCsAddr, SOCK_DGRAM, SOCK_STREAM, SockAddr};
use nsemail_contract::wire::{Reply, SetReply, SetRequest};
use nsemail_contract::{Operation, QuerySet, SetFlags, Text, WsaCode, ids, ioctl};
use nsemail_embedded::{Embedded, Options, Order, PROVIDER_PARAMETERS};
use nsemail_provider_core::store::Record;
use nsemail_provider_core::store::record::{AddressSet, Fields, State};
use nt_sim::io::{Access, FileHandle, Identity, Process};
use nt_sim::registry::Value;

/// Bytes that any request here fits.
pub const REQUEST: usize = 1024;

/// What is registered for a name: one to three addresses, to every third a comment.
pub struct Content {
    name: Vec<u16>,
    comment: Option<Vec<u16>>,
    addresses: Vec<NormalCsAddr>,
}

impl Content {
    /// What is registered for the name with that number.
    pub fn of(names: Names, number: usize) -> Self {
        let mut rng = Rng::with_seed(number as u64);
        let addresses = (0..=(number % 3)).map(|index| {
            let (text, socket_type) = if index == 1 {
                (format!("[2001:db8::{:x}]:5060", rng.u16(..)), SOCK_DGRAM)
            } else {
                (format!("192.0.{}.{}:5060", rng.u8(..), rng.u8(..)), SOCK_STREAM)
            };
            let remote = SockAddr::from_socket_addr(text.parse().expect("an address"));
            let address = CsAddr {
                local: &[],
                remote: remote.as_bytes(),
                socket_type,
                protocol: 0,
            };
            address.normalize().expect("a valid address")
        });
        Self {
            name: names.name(number).encode_utf16().collect(),
            addresses: addresses.collect(),
            comment: number
                .is_multiple_of(3)
                .then(|| "office, second floor".encode_utf16().collect()),
        }
    }

    /// The same as the contract has it.
    pub fn query_set(&self) -> QuerySet<'_> {
        QuerySet {
            name: Some(Text::from_stored_units(&self.name)),
            comment: self.comment.as_deref().map(Text::from_stored_units),
            namespace: ids::NS_EMAIL,
            provider: Some(ids::DEFAULT_PROVIDER),
            addresses: Addresses::normal(&self.addresses),
            ..QuerySet::default()
        }
    }

    /// The same as the provider driver stores it.
    pub fn record(&self) -> Result<Record<Global>> {
        let set = self.query_set();
        let mut addresses = AddressSet::new_in(Global);
        for address in &self.addresses {
            addresses
                .try_insert(address)
                .map_err(|error| anyhow!("{error:?}"))?;
        }
        let fields = Fields {
            name: set.name.unwrap_or_default(),
            context: Text::EMPTY,
            state: State::Registered,
            version: None,
            comment: set.comment,
            blob: None,
        };
        Record::try_new_in(&fields, &addresses, Global).map_err(|error| anyhow!("{error:?}"))
    }

    /// Bytes of name, comment and socket addresses.
    pub fn raw_bytes(&self) -> usize {
        let units = self.name.len() + self.comment.as_ref().map_or(0, Vec::len);
        let addresses = self.query_set().addresses.iter();
        let addresses = addresses.map(|address| address.local.len() + address.remote.len());
        units * 2 + addresses.sum::<usize>()
    }

    /// The name as it was registered.
    pub fn name(&self) -> &[u16] {
        &self.name
    }
}

/// How a machine is made.
#[derive(Clone, Copy, Default)]
pub struct Setting<'a> {
    /// The verifier is on.
    pub verifier: bool,
    /// Registry and files are in this folder; else in memory.
    pub folder: Option<&'a Path>,
    /// Changes are not flushed before they are answered.
    pub lazy: bool,
    /// Journals are written anew as soon as they are a tenth longer than what they hold.
    pub compacts: bool,
}

/// A machine with both drivers, and a program on it.
pub struct Drivers {
    machine: Embedded,
    process: Process,
}

impl Drivers {
    /// A machine whose drivers run, and have loaded what is there.
    pub fn boot(setting: Setting<'_>) -> Result<Self> {
        let machine = Self::install(setting)?;
        for service in [ids::PROVIDER_SERVICE, ids::CLIENT_SERVICE] {
            machine
                .start(service)
                .map_err(|error| anyhow!("{service} does not start: {error}"))?;
        }
        machine.wait_until_ready();
        let process = machine.process(Identity::Administrator);
        Ok(Self { machine, process })
    }

    /// A machine whose drivers are installed only.
    pub fn install(setting: Setting<'_>) -> Result<Embedded> {
        let options = Options::new()
            .verifier(setting.verifier)
            .order(Order::InstallOnly);
        // A timeline is for whoever looks for a fault.
        let options = options.machine(|machine| machine.trace_capacity(0));
        let options = match setting.folder {
            Some(folder) => options.state_dir(folder),
            None => options,
        };
        let machine = Embedded::boot(options).map_err(|error| anyhow!("{error}"))?;
        let put = |name, value| {
            let put = machine
                .registry()
                .put(PROVIDER_PARAMETERS, name, Value::dword(value));
            put.map_err(|error| anyhow!("{name}: {error}"))
        };
        put("Durability", u32::from(!setting.lazy))?;
        put("CompactionPercent", if setting.compacts { 110 } else { u32::MAX })?;
        put(
            "CompactionSlackKilobytes",
            if setting.compacts { 1 } else { u32::MAX },
        )?;
        Ok(machine)
    }

    /// Opens the client driver's device.
    pub fn open(&self) -> Result<FileHandle> {
        self.process
            .open(ids::CLIENT_PATH, Access::READ_WRITE)
            .map_err(|error| anyhow!("{}: {error}", ids::CLIENT_PATH))
    }

    /// Opens the provider driver's device.
    pub fn open_admin(&self) -> Result<FileHandle> {
        self.process
            .open(ids::PROVIDER_PATH, Access::READ_WRITE)
            .map_err(|error| anyhow!("{}: {error}", ids::PROVIDER_PATH))
    }

    /// Registers all names.
    pub fn fill(&self, names: Names) -> Result<()> {
        let handle = self.open()?;
        (0..names.count).try_for_each(|number| register(&handle, &Content::of(names, number)))
    }

    /// Stops both drivers.
    pub fn shutdown(self) -> Result<()> {
        let report = self.machine.shutdown();
        ensure!(report.is_clean(), "{report}");
        Ok(())
    }
}

/// Registers a name, and waits for the answer.
pub fn register(handle: &FileHandle, content: &Content) -> Result<()> {
    let mut request = [0; REQUEST];
    let message = SetRequest {
        operation: Operation::Register as u32,
        flags: SetFlags::CALLER_WAITS.bits(),
        registration: content.query_set(),
    };
    let size = message.write(&mut request).context("a registration")?;
    let mut output = [0; SetReply::SIZE];
    let size = handle
        .device_control(ioctl::SET_SERVICE, &request[..size], &mut output)
        .map_err(|error| anyhow!("{error}"))?;
    let reply = Reply::parse(&output[..size]).context("a reply")?;
    ensure!(
        reply.code == WsaCode::NO_ERROR,
        "a registration answered {}",
        reply.code
    );
    Ok(())
}
