//! What the malformed requests are sent to.

use nsemail::{
    record::{Provider, StoredRecord},
    transport::Device,
};
use nsemail_contract::{
    CsAddr, Guid, LookupFlags, Operation, QuerySet, SetFlags, Text, WsaCode, ids, ioctl,
    queryset::{Addresses, Protocols, Version},
    sockaddr::Protocol,
    wire::{
        BatchRequest, BeginReply, CounterKind, EmptyRequest, EnableRequest, EndRequest, EventsRequest,
        ExplainRequest, InstallRequest, ListRequest, LookupRequest, NextRequest, OrderRequest,
        ProviderRequest, REPLY_HEADER, Reply, SessionsRequest, SetRequest, UninstallRequest,
    },
};

use crate::{
    administration::primary_for,
    kernel::{Access, Answer, Handle, Kernel, Who, Win32},
    program::{Admin, DEFAULT, EXAMPLE, Session, message, question},
};

/// The requests that each device knows.
pub(super) const CODES: [(Device, &[u32]); 2] = [
    (
        Device::Client,
        &[
            ioctl::LOOKUP_BEGIN,
            ioctl::LOOKUP_NEXT,
            ioctl::LOOKUP_END,
            ioctl::LOOKUP,
            ioctl::LOOKUP_BATCH,
            ioctl::SET_SERVICE,
            ioctl::PROVIDERS,
            ioctl::STATISTICS,
            ioctl::EVENTS,
            ioctl::END_SESSION,
            ioctl::EXPLAIN,
            ioctl::ENABLE,
            ioctl::ORDER,
            ioctl::FORGET,
            ioctl::SESSIONS,
            ioctl::RESET_STATISTICS,
        ],
    ),
    (
        Device::Provider,
        &[
            ioctl::LIST,
            ioctl::HOSTED,
            ioctl::STATISTICS,
            ioctl::EVENTS,
            ioctl::INSTALL,
            ioctl::UNINSTALL,
            ioctl::SESSIONS,
            ioctl::RESET_STATISTICS,
        ],
    ),
];

/// Both devices, open, with something stored and a look-up under way.
pub(super) struct Target<'k> {
    pub(super) client: Session,
    provider: Box<dyn Handle + 'k>,
    admin: Admin,
    lookup: u64,
    /// The providers of the catalogue, and those that are hosted.
    providers: (Vec<Provider>, Vec<Guid>),
}

/// A provider that is not there: nothing that is said about it has a consequence.
const STRANGER: Guid = Guid::from_u128(0x5712_A46E_0000_4000_8000_0000_0000_0001);

impl Target<'_> {
    pub(super) fn new(kernel: &dyn Kernel) -> Target<'_> {
        kernel.start_both();
        let program = kernel.program(Who::Administrator);
        let client = program.open_to_write();
        for name in ["alice@example.com", "bob@example.net"] {
            client
                .register(name, &["192.0.2.7:25", "[2001:db8::7]:5060/udp"])
                .unwrap();
        }
        let question = question("alice@example.com", LookupFlags::RETURN_ALL);
        let begun = client
            .handle()
            .call(ioctl::LOOKUP_BEGIN, &question, BeginReply::SIZE);
        let lookup = BeginReply::read(&Reply::parse(&begun.bytes).unwrap())
            .unwrap()
            .lookup;
        let provider = program.process().open(Device::Provider, Access::ReadWrite);
        let admin = program.open_admin();
        Target {
            providers: providers(&client, &admin),
            client,
            provider: provider.unwrap(),
            admin,
            lookup,
        }
    }

    pub(super) fn send(&self, device: Device, code: u32, input: &[u8], room: usize) -> Answer {
        let handle = match device {
            Device::Client => self.client.handle(),
            Device::Provider => &*self.provider,
        };
        let answer = handle.call(code, input, room);
        check(&answer, room);
        answer
    }

    /// Sends a request that may or may not make sense. If it changed what is stored, it was answered so.
    pub(super) fn try_out(&self, device: Device, code: u32, input: &[u8], room: usize) {
        if code != ioctl::SET_SERVICE {
            self.send(device, code, input, room);
            return;
        }
        let written = || self.admin.counted(CounterKind::LOG_RECORDS);
        let before = written();
        let answer = self.send(device, code, input, room);
        let done = answer.result.is_ok() && crate::program::code(&answer) == WsaCode::NO_ERROR;
        if !done {
            assert_eq!(written(), before, "a refused change has happened: {answer:?}");
        }
    }

    pub(super) fn stored(&self) -> Vec<StoredRecord> {
        [DEFAULT, EXAMPLE]
            .into_iter()
            .flat_map(|provider| self.admin.stored(provider))
            .collect()
    }

    /// A request of each code that is in order.
    pub(super) fn valid(&self, code: u32) -> Vec<u8> {
        let name = |name| Some(Text::from_str(name).unwrap());
        let (local, remote) = ([2_u8; 16], [2_u8, 0, 20, 0, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
        let address = CsAddr {
            local: &local[..0],
            remote: &remote,
            socket_type: 1,
            protocol: 6,
        };
        let protocols = [Protocol {
            family: 2,
            protocol: 6,
        }];
        let set = QuerySet {
            name: name("carol@example.com"),
            version: Some(Version {
                version: 3,
                comparator: 0,
            }),
            comment: name("a comment"),
            namespace: ids::NS_EMAIL,
            provider: Some(DEFAULT),
            context: name("mail"),
            protocols: Protocols::new(&protocols),
            query_string: name("rest"),
            addresses: Addresses::new(core::slice::from_ref(&address)),
            output_flags: 0,
            blob: Some(b"some bytes"),
        };
        let flags = LookupFlags::RETURN_ALL;
        let lookup = self.lookup;
        match code {
            ioctl::LOOKUP_BEGIN | ioctl::LOOKUP => {
                message(|out| LookupRequest { flags, query: set }.write(out))
            }
            ioctl::LOOKUP_NEXT => message(|out| NextRequest { lookup, flags }.write(out)),
            ioctl::LOOKUP_END => message(|out| EndRequest { lookup }.write(out)),
            ioctl::LOOKUP_BATCH => {
                let plain = QuerySet {
                    name: name("alice@example.com"),
                    ..QuerySet::default()
                };
                message(|out| BatchRequest::write(flags, [set, plain], out))
            }
            ioctl::SET_SERVICE => {
                let request = SetRequest {
                    operation: Operation::Register as u32,
                    flags: SetFlags::MULTIPLE.bits(),
                    registration: set,
                };
                message(|out| request.write(out))
            }
            ioctl::EXPLAIN => {
                let name = Text::from_str("alice@example.com").unwrap();
                message(|out| ExplainRequest { name }.write(out))
            }
            ioctl::EVENTS => message(|out| EventsRequest { after: 0 }.write(out)),
            ioctl::SESSIONS => message(|out| SessionsRequest { after: 0 }.write(out)),
            ioctl::ENABLE => {
                let request = EnableRequest {
                    provider: STRANGER,
                    enabled: false,
                };
                message(|out| request.write(out))
            }
            ioctl::ORDER => message(|out| OrderRequest::write(&[STRANGER], out)),
            ioctl::FORGET => message(|out| ProviderRequest { provider: STRANGER }.write(out)),
            ioctl::INSTALL => {
                // In order but for two things that the blob says.
                let mut blob = primary_for("example.org");
                (blob[4], blob[20]) = (9, 9);
                let request = InstallRequest {
                    provider: STRANGER,
                    identifier: Text::from_str("a stranger").unwrap(),
                    blob: &blob,
                };
                message(|out| request.write(out))
            }
            ioctl::UNINSTALL => {
                let request = UninstallRequest {
                    provider: STRANGER,
                    delete_names: true,
                };
                message(|out| request.write(out))
            }
            ioctl::LIST => {
                let request = ListRequest::all(DEFAULT, 0);
                message(|out| request.write(out))
            }
            _ => message(|out| EmptyRequest.write(out)),
        }
    }

    /// The devices still do what they are for.
    pub(super) fn still_works(&self) {
        assert_eq!(providers(&self.client, &self.admin), self.providers);
        self.client.client().end_session().unwrap();
        assert_eq!(self.client.counted(CounterKind::LOOKUPS), 0);
        assert_eq!(self.client.counted(CounterKind::CALLS), 0);
        let before = self.admin.counted(CounterKind::LOG_RECORDS);
        self.client
            .register("dave@example.com", &["192.0.2.8:25"])
            .unwrap();
        assert_eq!(self.admin.counted(CounterKind::LOG_RECORDS), before + 1);
        assert_eq!(
            self.client.look_up("dave@example.com").unwrap(),
            ["192.0.2.8:25/tcp"]
        );
    }
}

/// The providers of the catalogue, and those that are hosted.
fn providers(client: &Session, admin: &Admin) -> (Vec<Provider>, Vec<Guid>) {
    let hosted = admin.client().hosted().unwrap();
    (
        client.client().providers().unwrap(),
        hosted.into_iter().map(|hosted| hosted.guid).collect(),
    )
}

/// What holds for every answer: an error returns nothing, a success returns a sound reply that fits.
fn check(answer: &Answer, room: usize) {
    assert_eq!(answer.returned, answer.bytes.len());
    match answer.result {
        Ok(()) => {
            assert!(answer.returned <= room, "{} bytes into {room}", answer.returned);
            assert!(answer.returned >= REPLY_HEADER);
            let stated = u32::from_le_bytes(answer.bytes[..4].try_into().unwrap());
            assert_eq!(stated as usize, answer.returned);
            Reply::parse(&answer.bytes).unwrap();
        }
        Err(error) => {
            assert_eq!(answer.returned, 0);
            assert!(
                [
                    Win32::INVALID_FUNCTION,
                    Win32::INVALID_PARAMETER,
                    Win32::INSUFFICIENT_BUFFER
                ]
                .contains(&error),
                "{error:?}"
            );
        }
    }
}
