//! The end of a machine: bug checks.
//!
//! A driver cannot unwind into the kernel, so a panic in a callback ends the machine, and with it the
//! process. A hook prints it first as the machine's bug check: which driver, in which callback, on
//! which thread, where in the code.

use std::{
    cell::Cell,
    panic::{self, PanicHookInfo},
    sync::Once,
};

use crate::{
    Machine, ULONG,
    thread::{self, irql},
    verifier::CallSite,
};

/// A spin lock was requested by the thread that holds it.
pub(crate) const SPIN_LOCK_ALREADY_OWNED: ULONG = 0xF;

thread_local! {
    /// The bug check of this thread was printed; a panic that cannot unwind panics once more.
    static PRINTED: Cell<bool> = const { Cell::new(false) };
}

/// Prints panics in driver callbacks as bug checks, and others as before.
pub(crate) fn install_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let in_driver = thread::current_frame().is_some();
            if in_driver && !PRINTED.replace(true) {
                print_panic(info);
            }
            // A scheduler under control has a hook that tells how to run the same schedule again.
            let controlled = Machine::try_current().is_some_and(|machine| machine.is_controlled());
            if !in_driver || controlled {
                before(info);
            }
        }));
    });
}

fn print_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let place = info.location().map_or_else(
        || "an unknown place".to_owned(),
        |location| format!("{}:{}", location.file(), location.line()),
    );
    print(&format!("panic at {place}: {message}"));
}

fn print(what: &str) {
    eprintln!("*** BUG CHECK of the simulated machine");
    eprintln!("  what   {what}");
    for frame in thread::current_frames().iter().rev() {
        eprintln!("  in     {}, {}", frame.driver, frame.callback);
    }
    if let Some(id) = thread::current_thread() {
        eprintln!("  on     thread {}, {}", id.0, irql::name(thread::current_irql()));
    }
    for line in CallSite::here().lines() {
        eprintln!("  at     {line}");
    }
    for lock in thread::held_locks() {
        eprintln!("  holds  {} at {:#x}", lock.kind, lock.address);
    }
    if let Some(machine) = Machine::try_current() {
        let events = machine.trace().events();
        let skip = events.len().saturating_sub(10);
        for event in events.iter().skip(skip) {
            eprintln!("  before {event}");
        }
    }
}

/// Prints a bug check and ends the process.
pub(crate) fn stop(code: ULONG, what: &str) -> ! {
    PRINTED.set(true);
    print(&format!("{what} (code {code:#010X})"));
    std::process::abort()
}
