//! Random changes, look-ups and restarts through both drivers, against the plain model of `nsemail-model`, with which
//! `provider-driver/core` compares its store too.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use nsemail::transport::Device;
use nsemail_contract::{
    Guid, LookupFlags, QuerySet, Text, WsaCode, ioctl,
    wire::{
        BatchReply, BatchRequest, BeginReply, EndRequest, ListReply, ListRequest, LookupRequest, NextRequest,
        Record, RecordState, RecordsReply, Reply, SetReply, SetRequest,
    },
};
use nsemail_model::{Call, Code, Counts, Done, Object, Provider, Question, World, domain, strategy};
use proptest::{
    collection,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use scenarios::{
    kernel::{Access, Driver, Handle, Kernel, Process, Who},
    program::{DEFAULT, EXAMPLE, message},
    simulated::Simulated,
};

/// The catalogue's order is the order in which the client first saw them, which differs from run to run: the model does
/// not depend on it, as no domain is claimed twice at the same level.
const PROVIDERS: [Guid; 2] = [DEFAULT, EXAMPLE];
const SESSIONS: usize = 3;
/// Room for every reply of this test.
const ROOM: usize = 64 * 1024;

/// What the files in `inf/` say about the two providers.
fn world() -> World {
    let domains = |names: &[&str]| names.iter().map(|name| name.to_uppercase()).collect();
    World(vec![
        Provider {
            primary: domains(&["example.com"]),
            secondary: domains(&["example.net"]),
            wildcard: true,
            ..Provider::default()
        },
        Provider {
            primary: domains(&["example.net"]),
            secondary: domains(&["example.com"]),
            ..Provider::default()
        },
    ])
}

/// What happens next, in one of the sessions.
#[derive(Clone, Debug)]
enum Step {
    Set(usize, Call),
    /// In one call.
    LookUp(usize, Question),
    /// Record by record, each first without room for it.
    Read(usize, Question),
    Batch(usize, Vec<Question>),
    List(usize, Option<String>, Option<bool>),
    /// The handle is closed, and another one opened.
    Reopen(usize),
    /// The program is killed, and another one started.
    Kill(usize),
    RestartProvider,
    RestartBoth,
}

fn step() -> impl Strategy<Value = Step> {
    let session = || 0..SESSIONS;
    let of = proptest::sample::select(vec![
        "example.com",
        "EXAMPLE.net.",
        "example.org",
        "nowhere.example",
    ]);
    prop_oneof![
        40 => (session(), strategy::call()).prop_map(|(session, call)| Step::Set(session, call)),
        20 => (session(), strategy::question()).prop_map(|(session, asked)| Step::LookUp(session, asked)),
        10 => (session(), strategy::question()).prop_map(|(session, asked)| Step::Read(session, asked)),
        5 => (session(), collection::vec(strategy::question(), 1..5))
            .prop_map(|(session, asked)| Step::Batch(session, asked)),
        5 => (0..PROVIDERS.len(), proptest::option::of(of.prop_map(str::to_owned)), any::<Option<bool>>())
            .prop_map(|(provider, domain, registered)| Step::List(provider, domain, registered)),
        3 => session().prop_map(Step::Reopen),
        2 => session().prop_map(Step::Kill),
        1 => Just(Step::RestartProvider),
        1 => Just(Step::RestartBoth),
    ]
}

/// A program with its handle.
struct Session {
    process: Box<dyn Process>,
    handle: Box<dyn Handle>,
}

impl Session {
    fn new(machine: &Simulated) -> Self {
        let process = machine.process(Who::Administrator);
        let handle = process.open(Device::Client, Access::ReadWrite).unwrap();
        Self { process, handle }
    }

    /// Sends a request, and hands a reply to `read` that says success.
    fn ask<T>(
        &self,
        code: u32,
        request: &[u8],
        room: usize,
        read: impl FnOnce(&Reply<'_>) -> T,
    ) -> Result<T, Code> {
        let answer = self.handle.call(code, request, room);
        assert_eq!(answer.result, Ok(()));
        let reply = Reply::parse(&answer.bytes).unwrap();
        reply.code.ok().map(|()| read(&reply)).map_err(|code| code.0)
    }

    fn set(&self, call: &Call) -> Result<Done, Code> {
        let request = call.with(&PROVIDERS, |registration| {
            let (operation, flags) = (call.operation() as u32, call.flags().bits());
            message(|out| {
                SetRequest {
                    operation,
                    flags,
                    registration,
                }
                .write(out)
            })
        });
        let done = self.ask(ioctl::SET_SERVICE, &request, ROOM, |reply| {
            SetReply::read(reply).unwrap()
        })?;
        Ok(Done {
            providers: done.providers,
            counts: Counts {
                added: done.added,
                removed: done.removed,
            },
        })
    }

    fn look_up(&self, asked: &Question) -> Found {
        let request = question(asked);
        self.ask(ioctl::LOOKUP, &request, ROOM, |reply| {
            RecordsReply::read(reply)
                .unwrap()
                .records()
                .map(|record| found(&record.unwrap()))
                .collect()
        })
    }

    /// Reads a look-up to its end: a record comes when there is exactly the room that was asked for, and not before.
    fn read(&self, asked: &Question) -> Found {
        let lookup = self.ask(ioctl::LOOKUP_BEGIN, &question(asked), BeginReply::SIZE, |reply| {
            BeginReply::read(reply).unwrap().lookup
        })?;
        let mut all = Vec::new();
        let next = message(|out| {
            NextRequest {
                lookup,
                flags: LookupFlags::empty(),
            }
            .write(out)
        });
        let mut room = BeginReply::SIZE;
        let end = loop {
            let answer = self.handle.call(ioctl::LOOKUP_NEXT, &next, room);
            let reply = Reply::parse(&answer.bytes).unwrap();
            match reply.code {
                WsaCode::NO_ERROR => {
                    let records = RecordsReply::read(&reply).unwrap();
                    all.extend(records.records().map(|record| found(&record.unwrap())));
                    assert_eq!(
                        room,
                        answer.bytes.len(),
                        "the room that was asked for was the least"
                    );
                    room = BeginReply::SIZE;
                }
                WsaCode::WSAEFAULT => {
                    assert!(reply.needed > room);
                    room = reply.needed;
                }
                code => break code,
            }
        };
        // It stays so.
        assert_eq!(self.ask(ioctl::LOOKUP_NEXT, &next, ROOM, |_| ()), Err(end.0));
        let close = message(|out| EndRequest { lookup }.write(out));
        self.ask(ioctl::LOOKUP_END, &close, ROOM, |_| ()).unwrap();
        assert_eq!(
            self.ask(ioctl::LOOKUP_NEXT, &next, ROOM, |_| ()),
            Err(WsaCode::WSA_INVALID_HANDLE.0)
        );
        if all.is_empty() {
            return Err(end.0);
        }
        assert_eq!(end, WsaCode::WSA_E_NO_MORE);
        Ok(all)
    }

    /// The questions of a batch share their flags, which are those of the first.
    fn batch(&self, asked: &[Question]) -> Vec<Found> {
        fn write(asked: &[Question], flags: LookupFlags, sets: &[QuerySet<'_>]) -> Vec<u8> {
            match asked {
                [] => message(|out| BatchRequest::write(flags, sets.iter().copied(), out)),
                [first, rest @ ..] => {
                    first.with(&PROVIDERS, |set| write(rest, flags, &[sets, &[set]].concat()))
                }
            }
        }
        let request = write(asked, asked[0].flags(), &[]);
        let answers = self.ask(ioctl::LOOKUP_BATCH, &request, ROOM, |reply| {
            let answers = BatchReply::read(reply).unwrap();
            let answers = answers.answers().map(|answer| {
                let answer = answer.unwrap();
                let records = answer.records().map(|record| found(&record.unwrap())).collect();
                answer.code.ok().map(|()| records).map_err(|code| code.0)
            });
            answers.collect()
        });
        answers.unwrap()
    }
}

type Found = Result<Vec<(usize, Object)>, Code>;

fn question(asked: &Question) -> Vec<u8> {
    let flags = asked.flags();
    asked.with(&PROVIDERS, |query| {
        message(|out| LookupRequest { flags, query }.write(out))
    })
}

fn found(record: &Record<'_>) -> (usize, Object) {
    let provider = record.record.provider;
    let number = PROVIDERS.iter().position(|guid| Some(*guid) == provider);
    (number.unwrap(), Object::read(&record.record, true))
}

/// Lists what a provider has stored.
fn list(machine: &Simulated, provider: usize, domain: Option<&str>, registered: Option<bool>) -> Vec<Object> {
    let admin = machine
        .process(Who::Administrator)
        .open(Device::Provider, Access::ReadWrite)
        .unwrap();
    let (mut all, mut cursor) = (Vec::new(), 0);
    loop {
        let request = ListRequest {
            domain: Text::from_str(domain.unwrap_or_default()).unwrap(),
            state: registered.map(|registered| {
                if registered {
                    RecordState::Registered
                } else {
                    RecordState::Deregistered
                }
            }),
            ..ListRequest::all(PROVIDERS[provider], cursor)
        };
        // Little room, so that there are several pages.
        let answer = admin.call(ioctl::LIST, &message(|out| request.write(out)), 1024);
        let reply = Reply::parse(&answer.bytes).unwrap();
        assert_eq!(reply.code, WsaCode::NO_ERROR);
        let page = ListReply::read(&reply).unwrap();
        all.extend(page.records().map(|listed| {
            let listed = listed.unwrap();
            Object::read(&listed.record, listed.state == RecordState::Registered)
        }));
        cursor = page.next;
        if cursor == 0 {
            return all;
        }
    }
}

fn run(steps: &[Step]) {
    let machine = Simulated::new();
    machine.start();
    let mut world = world();
    let mut sessions: Vec<Session> = (0..SESSIONS).map(|_| Session::new(&machine)).collect();
    for (number, step) in steps.iter().enumerate() {
        let what = format!("step {number}: {step:?}");
        match step {
            Step::Set(session, call) => assert_eq!(sessions[*session].set(call), world.set(call), "{what}"),
            Step::LookUp(session, asked) => {
                assert_eq!(sessions[*session].look_up(asked), world.look_up(asked), "{what}");
            }
            Step::Read(session, asked) => {
                assert_eq!(sessions[*session].read(asked), world.look_up(asked), "{what}");
            }
            Step::Batch(session, asked) => {
                let asked: Vec<Question> = asked
                    .iter()
                    .map(|one| Question {
                        members: asked[0].members,
                        deep: asked[0].deep,
                        non_authoritative: asked[0].non_authoritative,
                        ..one.clone()
                    })
                    .collect();
                let expected: Vec<Found> = asked.iter().map(|one| world.look_up(one)).collect();
                assert_eq!(sessions[*session].batch(&asked), expected, "{what}");
            }
            Step::List(provider, of, registered) => {
                let listed = list(&machine, *provider, of.as_deref(), *registered);
                let wanted = |object: &&Object| {
                    of.as_ref()
                        .is_none_or(|of| domain(&object.name) == domain(&format!("@{of}")))
                        && registered.is_none_or(|registered| object.registered == registered)
                };
                let expected: Vec<Object> = world.0[*provider]
                    .store
                    .objects()
                    .filter(wanted)
                    .cloned()
                    .collect();
                assert_eq!(listed, expected, "{what}");
            }
            Step::Reopen(session) => sessions[*session] = Session::new(&machine),
            Step::Kill(session) => {
                sessions[*session].process.kill();
                sessions[*session] = Session::new(&machine);
            }
            Step::RestartProvider => {
                machine.kernel().stop_at_once(Driver::Provider);
                let nobody = sessions[0].look_up(&everything("ann@example.com"));
                assert_eq!(nobody, Err(WsaCode::WSASERVICE_NOT_FOUND.0), "{what}");
                Kernel::start(&machine, Driver::Provider).unwrap();
                machine.kernel().wait_until_attached();
            }
            Step::RestartBoth => {
                sessions.clear();
                for driver in Driver::BOTH {
                    machine.kernel().stop_at_once(driver);
                }
                machine.start();
                sessions.extend((0..SESSIONS).map(|_| Session::new(&machine)));
            }
        }
    }
    for (number, provider) in world.0.iter().enumerate() {
        let expected: Vec<Object> = provider.store.objects().cloned().collect();
        assert_eq!(list(&machine, number, None, None), expected, "in the end");
    }
    drop(sessions);
    machine.end();
}

fn everything(name: &str) -> Question {
    Question {
        name: name.to_owned(),
        context: String::new(),
        deep: false,
        members: LookupFlags::RETURN_ALL.bits(),
        version: None,
        protocols: Vec::new(),
        non_authoritative: false,
        provider: None,
    }
}

#[test]
fn both_drivers_do_what_the_model_does() {
    let config = Config {
        cases: 12,
        failure_persistence: None,
        ..Config::default()
    };
    let ran = TestRunner::new(config).run(&collection::vec(step(), 1..200), |steps| {
        run(&steps);
        Ok(())
    });
    ran.unwrap();
}
