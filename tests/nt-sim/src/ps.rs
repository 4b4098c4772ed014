//! System threads.
#![expect(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "names and attributes are those of the bindings of the kernel's functions"
)]

use std::{cell::UnsafeCell, collections::HashMap, sync::Arc};

use sim_platform::ThreadId;

use crate::{
    DISPATCHER_HEADER, DriverName, HANDLE, Machine, NTSTATUS, PCLIENT_ID, PHANDLE, PKSTART_ROUTINE,
    POBJECT_ATTRIBUTES, PVOID, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG,
    faults::{self, Class},
    frames, ke,
    ob::{self, Object},
    sync::StateLock,
    thread::{self, irql},
    trace::Kind,
    verifier::{self, CallSite, Finding, Rule},
};

/// What a callback frame of a system thread is called.
pub const THREAD_ROUTINE: &str = "system thread";

/// A thread that a driver started.
#[derive(Debug)]
struct ThreadObject {
    /// Shown by `Debug` only.
    _id: ThreadId,
    /// Signalled when the thread has ended. Drivers wait for its address.
    header: UnsafeCell<DISPATCHER_HEADER>,
}

// SAFETY: the header is accessed only by the functions of `ke`, which access it atomically.
unsafe impl Sync for ThreadObject {}

#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "the links of the header are pointers, but nobody follows them"
)]
// SAFETY: the links in the header are never used.
unsafe impl Send for ThreadObject {}

impl Object for ThreadObject {
    fn kind(&self) -> &'static str {
        "thread"
    }

    fn body(&self) -> Option<PVOID> {
        Some(self.header.get().cast())
    }
}

/// A thread that runs.
#[derive(Debug)]
struct Running {
    driver: Option<DriverName>,
    started: CallSite,
}

/// The system threads of a machine that run.
#[derive(Debug, Default)]
pub(crate) struct State(StateLock<HashMap<ThreadId, Running>>);

/// A pointer that a driver hands to its own thread.
struct Context(PVOID);

// SAFETY: what it points to is the business of the driver, which asked for it to be handed over.
unsafe impl Send for Context {}

impl Context {
    const fn into_inner(self) -> PVOID {
        self.0
    }
}

/// Starts a thread in the system process. IRQL: `PASSIVE_LEVEL`.
///
/// Access, attributes and process are not looked at; no client id is given.
///
/// # Safety
///
/// `thread_handle` can be written; `start_routine` may be called with `start_context` on another
/// thread.
pub unsafe fn PsCreateSystemThread(
    thread_handle: PHANDLE,
    _desired_access: ULONG,
    _object_attributes: POBJECT_ATTRIBUTES,
    _process_handle: HANDLE,
    _client_id: PCLIENT_ID,
    start_routine: PKSTART_ROUTINE,
    start_context: PVOID,
) -> NTSTATUS {
    const CALL: &str = "PsCreateSystemThread";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    let Some(routine) = start_routine else {
        return STATUS_INVALID_PARAMETER;
    };
    if let Err(status) = faults::pass(Class::Thread, CALL) {
        return status.0;
    }
    let machine = Machine::current();
    let driver = thread::current_driver();
    let id = machine.new_thread_id();
    let object = Arc::new(ThreadObject {
        _id: id,
        header: UnsafeCell::new(ke::new_thread_header()),
    });
    let handle = ob::insert(&machine, Arc::clone(&object) as Arc<dyn Object>);
    // SAFETY: the caller vouches for the out parameter.
    unsafe { thread_handle.write(handle) };
    machine.ps_state().0.with(|running| {
        running.insert(
            id,
            Running {
                driver: driver.clone(),
                started: CallSite::here(),
            },
        )
    });
    machine.trace().record(|| Kind::ThreadStarted { thread: id });
    let context = Context(start_context);
    let name = format!("sim thread {}", id.0);
    let scheduler_machine = machine.clone();
    let body = move || {
        let entered = thread::enter_new(&machine, id);
        let context = context.into_inner();
        // SAFETY: the driver asked for this call.
        let run = || unsafe { routine(context) };
        match &driver {
            Some(driver) => frames::callback(driver, THREAD_ROUTINE, run),
            None => run(),
        }
        machine.trace().record(|| Kind::ThreadEnded { thread: id });
        machine.ps_state().0.with(|running| running.remove(&id));
        if let Some(body) = object.body() {
            // SAFETY: the object lives as long as this thread has a reference.
            unsafe { ke::signal_for_ever(&machine, body) };
        }
        drop(entered);
    };
    scheduler_machine.scheduler().spawn(&name, Box::new(body));
    STATUS_SUCCESS
}

/// Ends the calling system thread. IRQL: `PASSIVE_LEVEL`.
///
/// On Windows it does not return. Here the thread ends when its start routine returns, which it must do
/// right after this call; a call that fails returns on Windows too, so callers are prepared.
///
/// # Safety
///
/// The calling thread was started by [`PsCreateSystemThread`] and returns from its start routine at
/// once.
pub unsafe fn PsTerminateSystemThread(exit_status: NTSTATUS) -> NTSTATUS {
    const CALL: &str = "PsTerminateSystemThread";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    let of_a_driver = thread::current_frames()
        .first()
        .is_some_and(|frame| frame.callback == THREAD_ROUTINE);
    let twice = thread::with(|current| current.state.terminated.replace(true));
    if !of_a_driver || twice {
        verifier::report(
            Rule::BadObject,
            Some(CALL),
            format!("{CALL} was called on a thread that is no system thread of a driver, or twice"),
            "call it as the last thing in the routine given to PsCreateSystemThread, or just return \
             from that routine",
        );
        return STATUS_INVALID_PARAMETER;
    }
    exit_status
}

/// Reports threads that a driver which was unloaded left running.
pub(crate) fn check_unloaded(machine: &Machine, driver: &DriverName) {
    let running: Vec<(ThreadId, CallSite)> = machine.ps_state().0.with(|running| {
        running
            .iter()
            .filter(|(_, thread)| thread.driver.as_ref() == Some(driver))
            .map(|(id, thread)| (*id, thread.started.clone()))
            .collect()
    });
    for (id, site) in running {
        verifier::report_finding(
            machine,
            Finding {
                driver: Some(driver.clone()),
                callback: Some("unload"),
                thread: thread::current_thread(),
                call: Some("PsCreateSystemThread"),
                site: Some(site),
                ..Finding::new(
                    Rule::ThreadAtUnload,
                    format!(
                        "thread {} of the driver, started at the place below, runs on after the unload",
                        id.0
                    ),
                    "before the unload routine returns, tell each thread to end, and wait for its \
                         thread object"
                        .to_owned(),
                )
            },
        );
    }
    for (handle, kind) in ob::open_handles(machine, driver) {
        verifier::report_finding(
            machine,
            Finding {
                driver: Some(driver.clone()),
                callback: Some("unload"),
                thread: thread::current_thread(),
                ..Finding::new(
                    Rule::LiveAtUnload,
                    format!("the {kind} handle {handle:#x} is still open"),
                    "close each handle by ZwClose before the unload routine returns".to_owned(),
                )
            },
        );
    }
}
