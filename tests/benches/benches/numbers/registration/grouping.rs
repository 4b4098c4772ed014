//! Two ways in which many callers share a log that commits one group at a time.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};

use super::log::Log;
use super::{Keeper, Kept};
use crate::drivers::Content;

/// Every caller commits by itself, one after the other.
pub struct Each<L>(Mutex<L>);

impl<L: Log> Each<L> {
    /// Shares a log.
    pub const fn new(log: L) -> Self {
        Self(Mutex::new(log))
    }
}

impl<L: Log> Keeper for Each<L> {
    fn keep(&self, content: &Content) {
        let kept = [Kept::of(content)];
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.commit(&kept).expect("the disk works");
    }
}

/// A caller that waits.
struct Caller {
    thread: Thread,
    served: Arc<AtomicBool>,
}

#[derive(Default)]
struct Waiting {
    kept: Vec<Kept>,
    callers: Vec<Caller>,
    over: bool,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    some: Condvar,
}

/// A thread commits whatever waits, all at once.
pub struct Grouped {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

impl Grouped {
    /// Starts the thread.
    pub fn new(log: impl Log + 'static) -> Self {
        let queue = Arc::<Queue>::default();
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || write(&queue, log)
        });
        Self {
            queue,
            writer: Some(writer),
        }
    }
}

fn write(queue: &Queue, mut log: impl Log) {
    loop {
        let waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = queue
            .some
            .wait_while(waiting, |waiting| waiting.kept.is_empty() && !waiting.over)
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.kept.is_empty() {
            return;
        }
        let (kept, callers) = (mem::take(&mut waiting.kept), mem::take(&mut waiting.callers));
        drop(waiting);
        log.commit(&kept).expect("the disk works");
        for Caller { thread, served } in callers {
            served.store(true, Ordering::Release);
            thread.unpark();
        }
    }
}

impl Keeper for Grouped {
    fn keep(&self, content: &Content) {
        let kept = Kept::of(content);
        let served = Arc::<AtomicBool>::default();
        let caller = Caller {
            thread: thread::current(),
            served: Arc::clone(&served),
        };
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.kept.push(kept);
        waiting.callers.push(caller);
        drop(waiting);
        self.queue.some.notify_one();
        while !served.load(Ordering::Acquire) {
            thread::park();
        }
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        self.queue
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .over = true;
        self.queue.some.notify_one();
        if let Some(writer) = self.writer.take() {
            writer.join().expect("no panic");
        }
    }
}
