//! Wine as a kernel for scenarios.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use nsemail::transport::Device;
use nsemail_agent::{Order, Reader};
use nsemail_contract::{
    WsaCode,
    wire::{ReplyWriter, Tail},
};
use nt_sim::inf::{Package, ServiceEntry};
use scenarios::kernel::{Access, Answer, Call, Driver, Handle, Hold, Kernel, Process, Service, Who, Win32};

use crate::{
    agent::{Agent, Gone, Rights, receive},
    install,
    prefix::Prefix,
};

/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_mins(3);
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(5);
/// Wine tells a driver of a closed handle a little after the program: a stop that waits for handles
/// is pending if it still does after this.
const GRACE: Duration = Duration::from_millis(400);

/// How long Wine may take to tell a driver that a request is cancelled.
const HEARING: Duration = Duration::from_mins(1);
/// How long what was held may take to go on.
const RELEASE: Duration = Duration::from_secs(2);
/// `ERROR_SERVICE_DATABASE_LOCKED`
const DATABASE_LOCKED: u32 = 1055;

/// A Wine in which both drivers are installed.
pub struct Machine {
    prefix: Arc<Prefix>,
    /// Service control, and whatever else no program of a scenario does.
    system: Arc<Agent>,
    idle: Arc<Mutex<Vec<Agent>>>,
    /// Programs that asked for a stop and have not been answered, and where the answer comes.
    stopping: Mutex<Vec<(Agent, Receiver<Reader>)>>,
}

/// Sets up a new prefix: a machine that has other things to do may take its time to start a service.
pub fn prepare(prefix: &Prefix) -> Result<(), String> {
    const REG_SZ: u32 = 1;
    const PIPE_TIMEOUT_MS: &str = "60000";
    let value: Vec<u8> = PIPE_TIMEOUT_MS
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    let agent = Agent::start(prefix, Rights::Administrator)?;
    let set = agent.ask(Order::SetValue, |message| {
        let message = message.text(r"SYSTEM\CurrentControlSet\Control");
        message.text("ServicesPipeTimeout").number(REG_SZ).bytes(&value)
    });
    let set = set
        .map_err(|Gone| "the program that sets Wine up is gone")?
        .number();
    prefix.end_all();
    if set == 0 {
        Ok(())
    } else {
        Err(format!("Wine cannot be set up: error {set}"))
    }
}

impl Machine {
    /// Boots Wine, and installs both drivers.
    pub fn boot(prefix: &Arc<Prefix>, packages: &[Package]) -> Result<Self, String> {
        let machine = Self::resume(prefix)?;
        machine.reset(packages)?;
        Ok(machine)
    }

    /// Boots Wine again with all that is there.
    pub fn resume(prefix: &Arc<Prefix>) -> Result<Self, String> {
        Ok(Self {
            prefix: Arc::clone(prefix),
            system: Arc::new(Agent::start(prefix, Rights::Administrator)?),
            idle: Arc::default(),
            stopping: Mutex::default(),
        })
    }

    /// The prefix.
    pub const fn prefix(&self) -> &Arc<Prefix> {
        &self.prefix
    }

    /// Makes of the machine a fresh one again.
    pub fn reset(&self, packages: &[Package]) -> Result<(), String> {
        for driver in Driver::BOTH {
            match self.service(driver) {
                Service::Stopped => {}
                Service::StopPending => self.wait_until_stopped(driver),
                Service::StartPending | Service::Running => match self.stop(driver) {
                    Ok(Service::Stopped) => {}
                    other => return Err(format!("{driver:?} does not stop at once: {other:?}")),
                },
            }
        }
        for (agent, answer) in lock(&self.stopping).drain(..) {
            receive(&answer).map_err(|Gone| "service control is gone")?;
            lock(&self.idle).push(agent);
        }
        let data = self.prefix.driver_data();
        if data.exists() {
            fs::remove_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        }
        install::install(&self.system, packages)
    }

    /// Starts the driver that calls what the model of the framework does not have.
    pub fn start_probe(&self) -> Result<(), Win32> {
        const NO_GROUP: &str = "";
        let probe = ServiceEntry {
            name: "probe".to_owned(),
            display_name: "A driver that asks for too much".to_owned(),
            start_type: 3,
            error_control: 1,
            binary: "probe.sys".to_owned(),
            start_now: false,
            registry: Vec::new(),
        };
        install::create(&self.system, &probe, NO_GROUP).expect("a service can be made");
        let started = self
            .system
            .ask(Order::StartService, |message| message.text(&probe.name));
        check(started.expect("service control works").number())
    }

    /// A program that has nothing else to do.
    fn agent(&self, rights: Rights) -> Agent {
        let mut all = lock(&self.idle);
        let found = all.iter().position(|agent| agent.rights() == rights);
        let idle = found.map(|found| all.swap_remove(found));
        drop(all);
        idle.unwrap_or_else(|| Agent::start(&self.prefix, rights).expect("a program starts"))
    }

    fn ask_service(&self, order: Order, driver: Driver) -> Reader {
        self.system
            .ask(order, |message| message.text(driver.service()))
            .expect("service control works")
    }
}

/// What an error code says.
pub const fn check(error: u32) -> Result<(), Win32> {
    if error == 0 { Ok(()) } else { Err(Win32(error)) }
}

impl Kernel for Machine {
    fn start(&self, driver: Driver) -> Result<(), Win32> {
        let start = Instant::now();
        loop {
            let error = self.ask_service(Order::StartService, driver).number();
            // For a while after it booted, Wine starts services of its own and nobody else's.
            if error != DATABASE_LOCKED || start.elapsed() > PATIENCE {
                return check(error);
            }
            thread::sleep(INTERVAL);
        }
    }

    fn stop(&self, driver: Driver) -> Result<Service, Win32> {
        let before = self.prefix.log().len();
        let waits = format!("KMDF: the unload of {} waits", driver.service());
        let start = Instant::now();
        // Service control answers when the driver is unloaded, so nobody else may need the one who asks.
        let agent = self.agent(Rights::Administrator);
        let (_, answer) = agent
            .order(Order::StopService, |message| message.text(driver.service()))
            .expect("service control works");
        loop {
            match answer.try_recv() {
                Ok(mut answer) => {
                    lock(&self.idle).push(agent);
                    check(answer.number())?;
                    self.wait_until_stopped(driver);
                    return Ok(Service::Stopped);
                }
                Err(TryRecvError::Disconnected) => panic!("service control is gone"),
                Err(TryRecvError::Empty) => {}
            }
            let log = self.prefix.log();
            let pending = log.get(before..).is_some_and(|log| log.contains(&waits));
            if pending && start.elapsed() > GRACE && self.service(driver) == Service::StopPending {
                lock(&self.stopping).push((agent, answer));
                return Ok(Service::StopPending);
            }
            assert!(start.elapsed() < PATIENCE, "{driver:?} does not stop");
            thread::sleep(INTERVAL);
        }
    }

    fn service(&self, driver: Driver) -> Service {
        let mut answer = self.ask_service(Order::QueryService, driver);
        match (answer.number(), answer.number()) {
            (0, 2) => Service::StartPending,
            (0, 3) => Service::StopPending,
            (0, 4) => Service::Running,
            _ => Service::Stopped,
        }
    }

    fn wait_until_stopped(&self, driver: Driver) {
        let start = Instant::now();
        while self.service(driver) != Service::Stopped {
            assert!(start.elapsed() < PATIENCE, "{driver:?} does not stop");
            thread::sleep(INTERVAL);
        }
    }

    fn process(&self, who: Who) -> Box<dyn Process> {
        let rights = match who {
            Who::System | Who::Administrator => Rights::Administrator,
            Who::User => Rights::User,
        };
        Box::new(Program(Arc::new(Lease {
            agent: Some(self.agent(rights)),
            killed: Mutex::new(false),
            idle: Arc::clone(&self.idle),
            system: Arc::clone(&self.system),
        })))
    }

    fn hold_flush(&self) -> Box<dyn Hold> {
        let folder = self.prefix.test_folder();
        let hold = Held {
            wanted: folder.join("hold-flush"),
            reached: folder.join("flush-held"),
        };
        fs::write(&hold.wanted, []).expect("the hold can be set");
        Box::new(hold)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program of a scenario's. It is used for another one when this one has ended peacefully, because
/// to start one takes Wine long.
struct Lease {
    agent: Option<Agent>,
    killed: Mutex<bool>,
    idle: Arc<Mutex<Vec<Agent>>>,
    system: Arc<Agent>,
}

impl Lease {
    fn ask(
        &self,
        order: Order,
        with: impl FnOnce(nsemail_agent::Writer) -> nsemail_agent::Writer,
    ) -> Result<Reader, Gone> {
        self.agent.as_ref().ok_or(Gone)?.ask(order, with)
    }

    /// Returns when the drivers have heard of all handles that are closed: requests come to them one
    /// after the other.
    fn let_drivers_hear(&self) {
        let path = Device::Client.path();
        let Ok(mut answer) = self
            .system
            .ask(Order::Open, |message| message.text(path).number(1))
        else {
            return;
        };
        let (error, handle) = (answer.number(), answer.number());
        if error == 0 {
            // Nothing depends on it.
            let _ = self.system.ask(Order::Close, |message| message.number(handle));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(agent) = self.agent.take()
            && !*lock(&self.killed)
        {
            lock(&self.idle).push(agent);
        }
    }
}

struct Program(Arc<Lease>);

impl Process for Program {
    fn open(&self, device: Device, access: Access) -> Result<Box<dyn Handle>, Win32> {
        let access = match access {
            Access::Read => 1,
            Access::ReadWrite => 3,
        };
        let answer = self
            .0
            .ask(Order::Open, |message| message.text(device.path()).number(access));
        let mut answer = answer.expect("the program runs");
        let (error, number) = (answer.number(), answer.number());
        check(error)?;
        Ok(Box::new(Open {
            number,
            lease: Arc::clone(&self.0),
        }))
    }

    fn kill(&self) {
        *lock(&self.0.killed) = true;
        let Some(agent) = &self.0.agent else {
            return;
        };
        let killed = self
            .0
            .system
            .ask(Order::Kill, |message| message.number(agent.process()));
        assert_eq!(
            killed.expect("the task manager runs").number(),
            0,
            "the program is killed"
        );
        agent.wait_until_gone();
        self.0.let_drivers_hear();
    }
}

struct Open {
    number: u32,
    lease: Arc<Lease>,
}

impl Handle for Open {
    fn submit(&self, code: u32, input: &[u8], output_length: usize) -> Box<dyn Call> {
        let room = u32::try_from(output_length).expect("an output of at most 4 GiB");
        let agent = self.lease.agent.as_ref().expect("the program runs");
        let (token, answers) = agent
            .control(self.number, code, input, room)
            .expect("the program runs");
        Box::new(Sent {
            token,
            answers,
            lease: Arc::clone(&self.lease),
        })
    }

    fn duplicate(&self) -> Box<dyn Handle> {
        let answer = self
            .lease
            .ask(Order::Duplicate, |message| message.number(self.number));
        let mut answer = answer.expect("the program runs");
        let (error, number) = (answer.number(), answer.number());
        assert_eq!(error, 0, "a handle can be duplicated");
        Box::new(Self {
            number,
            lease: Arc::clone(&self.lease),
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A program that was killed has closed it.
        if self
            .lease
            .ask(Order::Close, |message| message.number(self.number))
            .is_ok()
        {
            self.lease.let_drivers_hear();
        }
    }
}

struct Sent {
    token: u32,
    answers: Receiver<Reader>,
    lease: Arc<Lease>,
}

impl Call for Sent {
    fn cancel(&self) -> bool {
        let cancelled = self
            .lease
            .ask(Order::Cancel, |message| message.number(self.token))
            .is_ok_and(|mut answer| answer.number() != 0);
        // The I/O manager of Windows has called the driver by now; Wine is about to.
        let start = Instant::now();
        while cancelled && !self.is_complete() && start.elapsed() < HEARING {
            thread::sleep(INTERVAL);
        }
        cancelled
    }

    fn is_complete(&self) -> bool {
        self.lease
            .ask(Order::HasEnded, |message| message.number(self.token))
            .map_or(true, |mut answer| answer.number() != 0)
    }

    fn wait(self: Box<Self>) -> Answer {
        if *lock(&self.lease.killed) && matches!(self.answers.try_recv(), Err(TryRecvError::Disconnected)) {
            return unheard();
        }
        let Ok(mut answer) = receive(&self.answers) else {
            return unheard();
        };
        let (_ended, error, returned) = (answer.number(), answer.number(), answer.number());
        Answer {
            result: check(error),
            returned: usize::try_from(returned).unwrap_or(usize::MAX),
            bytes: answer.bytes(),
        }
    }
}

/// What a call of a killed program was answered cannot be known; by the contract it is that it was
/// cancelled.
fn unheard() -> Answer {
    let mut bytes = vec![0; 64];
    let written =
        ReplyWriter::new(&mut bytes).map(|reply| reply.finish(WsaCode::WSA_E_CANCELLED, Tail::Required));
    bytes.truncate(written.unwrap_or_default());
    Answer {
        result: Ok(()),
        returned: bytes.len(),
        bytes,
    }
}

/// See the stand-in kernel's `hold` module for what the two files mean.
struct Held {
    wanted: PathBuf,
    reached: PathBuf,
}

impl Hold for Held {
    fn wait_until_reached(&self) {
        let start = Instant::now();
        while !self.reached.exists() {
            assert!(start.elapsed() < PATIENCE, "nothing is flushed");
            thread::sleep(INTERVAL);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // They may be gone with the machine.
        let _ = fs::remove_file(&self.wanted);
        // Whoever has just seen the hold says so before it looks again.
        thread::sleep(4 * INTERVAL);
        let start = Instant::now();
        while self.reached.exists() && start.elapsed() < RELEASE {
            thread::sleep(INTERVAL);
        }
        // Still there if who was held is gone.
        let _ = fs::remove_file(&self.reached);
    }
}
