//! A program under Wine that does what it is told.

use std::{
    collections::HashMap,
    io,
    process::{Child, ChildStdin, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use nsemail_agent::{LIMITED, Order, Reader, SENT, Writer};

use crate::prefix::{self, Prefix};

/// How long a program may take to answer. Nothing takes nearly as long; who waits longer waits in vain.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long a program that was told to end may take.
const ENDING: Duration = Duration::from_mins(1);

/// Who waits for answers, by token.
type Waiting = Arc<Mutex<Option<HashMap<u32, Sender<Reader>>>>>;

/// A program.
pub struct Agent {
    child: Mutex<Child>,
    input: Mutex<Option<ChildStdin>>,
    waiting: Waiting,
    next: AtomicU32,
    /// Its number in Windows.
    process: u32,
    rights: Rights,
}

/// What a program may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Everything. Wine's programs are of an administrator; there are none of the system.
    Administrator,
    /// What everybody may.
    User,
}

/// The program is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    /// Starts a program.
    pub fn start(prefix: &Prefix, rights: Rights) -> Result<Self, String> {
        let mut command = prefix.program(r"C:\windows\system32\nsemail-agent.exe");
        if rights == Rights::User {
            command.arg(LIMITED);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("Wine: {error}"))?;
        let input = child.stdin.take();
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        if let Some(mut output) = child.stdout.take() {
            let waiting = Arc::clone(&waiting);
            thread::spawn(move || {
                while let Ok(Some((token, message))) = Reader::receive(&mut output) {
                    let mut waiting = lock(&waiting);
                    let answered = waiting.as_mut().and_then(|waiting| waiting.get(&token));
                    let heard = answered.is_some_and(|answered| answered.send(message).is_ok());
                    if !heard && let Some(waiting) = waiting.as_mut() {
                        waiting.remove(&token);
                    }
                }
                // Nobody waits for an answer that cannot come.
                lock(&waiting).take();
            });
        }
        let mut agent = Self {
            child: Mutex::new(child),
            input: Mutex::new(input),
            waiting,
            next: AtomicU32::new(1),
            process: 0,
            rights,
        };
        let process = agent.ask(Order::Identify, |message| message);
        agent.process = process
            .map_err(|Gone| "a program under Wine did not start")?
            .number();
        Ok(agent)
    }

    /// What it may do.
    pub const fn rights(&self) -> Rights {
        self.rights
    }

    /// Its number in Windows.
    pub const fn process(&self) -> u32 {
        self.process
    }

    /// Gives an order; what is answered comes out of the channel.
    pub fn order(
        &self,
        order: Order,
        with: impl FnOnce(Writer) -> Writer,
    ) -> Result<(u32, Receiver<Reader>), Gone> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = mpsc::channel();
        lock(&self.waiting).as_mut().ok_or(Gone)?.insert(token, sender);
        let message = with(Writer::new().number(order as u32));
        let sent = lock(&self.input)
            .as_mut()
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
            .and_then(|input| message.send(token, input));
        sent.map_err(|_| Gone)?;
        Ok((token, receiver))
    }

    /// Gives an order and waits for the answer.
    pub fn ask(&self, order: Order, with: impl FnOnce(Writer) -> Writer) -> Result<Reader, Gone> {
        let (token, answer) = self.order(order, with)?;
        let answer = receive(&answer);
        if let Some(waiting) = lock(&self.waiting).as_mut() {
            waiting.remove(&token);
        }
        answer
    }

    /// Sends a request to a device; returns when it is on its way.
    pub fn control(
        &self,
        handle: u32,
        code: u32,
        input: &[u8],
        room: u32,
    ) -> Result<(u32, Receiver<Reader>), Gone> {
        let (token, answers) = self.order(Order::Control, |message| {
            message.number(handle).number(code).number(room).bytes(input)
        })?;
        let first = receive(&answers)?.number();
        debug_assert_eq!(first, SENT, "a request is sent before it ends");
        Ok((token, answers))
    }

    /// Waits until the process, which was killed, is gone.
    pub fn wait_until_gone(&self) {
        lock(&self.input).take();
        // One that does not go is killed by this.
        let _ = prefix::wait(&mut lock(&self.child), ENDING);
        lock(&self.waiting).take();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It ends when nothing more can come.
        self.wait_until_gone();
    }
}

/// Waits for an answer.
///
/// # Panics
/// If there is none for too long.
pub fn receive(answer: &Receiver<Reader>) -> Result<Reader, Gone> {
    match answer.recv_timeout(PATIENCE) {
        Ok(message) => Ok(message),
        Err(RecvTimeoutError::Disconnected) => Err(Gone),
        Err(RecvTimeoutError::Timeout) => panic!("a program waits for its answer in vain"),
    }
}
