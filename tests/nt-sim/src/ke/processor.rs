//! Processors: a machine has one for each thread of the host, or, if its threads are tasks that take turns on one, one
//! for each of these.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{PVOID, ULONG, platform, scheduler::Point, thread};

/// What the next thread gets that asks. It is the process's, as the threads of the host are.
static NEXT: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Copy)]
enum Processor {
    /// Nobody has asked on this thread of the host.
    Unknown,
    Number(ULONG),
    /// This thread of the host has been lent to a scheduler of tasks.
    OfTask,
}

thread_local! {
    static CURRENT: Cell<Processor> = const { Cell::new(Processor::Unknown) };
}

/// From now on, each simulated thread on this thread of the host has a processor of its own.
pub(crate) fn divide() {
    CURRENT.set(Processor::OfTask);
}

/// Returns the number of the processor that the caller runs on. IRQL: any.
///
/// Under a scheduler that decides about every step, another thread may run first.
///
/// The function is exported by symbol name, because the registrar's safe layer finds it at link time.
///
/// # Safety
///
/// `number` is null: there are no groups to tell of.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn KeGetCurrentProcessorNumberEx(number: PVOID) -> ULONG {
    debug_assert!(number.is_null(), "this machine has no processor groups");
    match CURRENT.get() {
        Processor::Number(number) => number,
        Processor::OfTask => of_task(),
        Processor::Unknown => {
            let first = NEXT.fetch_add(1, Ordering::Relaxed);
            CURRENT.set(Processor::Number(first));
            first
        }
    }
}

#[cold]
fn of_task() -> ULONG {
    platform::preemption_point(Point::Guard);
    let thread = thread::current_thread().map_or(0, |thread| thread.0);
    // Threads are numbered from zero up; that two are on one processor would be no harm.
    u32::try_from(thread).unwrap_or(0)
}
