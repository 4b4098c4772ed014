//! The object manager: handles of the kernel, and references to what they name.
//!
//! Whatever a driver holds a kernel handle of (a key, a file, a thread) is an [`Object`] in the
//! machine's handle table. Handles are never used twice, so a stale one is always found out.

use std::{any::Any, collections::HashMap, fmt, sync::Arc};

use crate::{DriverName, HANDLE, Machine, PVOID, sync::StateLock, thread};

/// Something that a kernel handle can name.
pub trait Object: Any + Send + Sync + fmt::Debug {
    /// What it is, for messages: `key`, `file`, `thread`.
    fn kind(&self) -> &'static str;

    /// Where drivers see the object, if they can hold pointers to it.
    fn body(&self) -> Option<PVOID> {
        None
    }
}

/// A handle's entry in the table.
#[derive(Debug)]
struct Handle {
    object: Arc<dyn Object>,
    driver: Option<DriverName>,
}

#[derive(Debug, Default)]
struct Tables {
    issued: usize,
    handles: HashMap<usize, Handle>,
    /// Pointers that drivers hold, by address, with their number.
    references: HashMap<usize, (Arc<dyn Object>, usize)>,
}

/// The handle table of a machine.
#[derive(Debug, Default)]
pub(crate) struct State(StateLock<Tables>);

/// Kernel handles have the upper half set, as on Windows.
const KERNEL_HANDLES: usize = 0xFFFF_FFFF_8000_0000;

/// Makes a handle to an object; it belongs to the driver that runs now.
#[must_use]
pub fn insert(machine: &Machine, object: Arc<dyn Object>) -> HANDLE {
    let driver = thread::current_driver();
    machine.ob_state().0.with(|tables| {
        tables.issued += 4;
        let value = KERNEL_HANDLES | tables.issued;
        tables.handles.insert(value, Handle { object, driver });
        std::ptr::without_provenance_mut(value)
    })
}

/// Returns what an open handle names.
#[must_use]
pub fn lookup(machine: &Machine, handle: HANDLE) -> Option<Arc<dyn Object>> {
    machine.ob_state().0.with(|tables| {
        tables
            .handles
            .get(&handle.addr())
            .map(|entry| Arc::clone(&entry.object))
    })
}

/// Returns what an open handle names, if it is a `T`.
#[must_use]
pub fn lookup_as<T: Object>(machine: &Machine, handle: HANDLE) -> Option<Arc<T>> {
    let object: Arc<dyn Any + Send + Sync> = lookup(machine, handle)?;
    object.downcast().ok()
}

/// Closes a handle; tells what it named, or `None` if it was not open.
pub fn close(machine: &Machine, handle: HANDLE) -> Option<Arc<dyn Object>> {
    machine
        .ob_state()
        .0
        .with(|tables| tables.handles.remove(&handle.addr()))
        .map(|entry| entry.object)
}

/// Returns the kind of each object that a driver still has a handle of.
pub(crate) fn open_handles(machine: &Machine, driver: &DriverName) -> Vec<(usize, &'static str)> {
    machine.ob_state().0.with(|tables| {
        tables
            .handles
            .iter()
            .filter(|(_, entry)| entry.driver.as_ref() == Some(driver))
            .map(|(value, entry)| (*value, entry.object.kind()))
            .collect()
    })
}

/// Closes all handles and forgets all pointers: what they name may hold the machine.
pub(crate) fn shutdown(machine: &Machine) {
    let left = machine.ob_state().0.with(|tables| {
        (
            std::mem::take(&mut tables.handles),
            std::mem::take(&mut tables.references),
        )
    });
    drop(left);
}

/// Counts a pointer that a driver now holds.
fn reference(machine: &Machine, object: Arc<dyn Object>, body: PVOID) {
    machine.ob_state().0.with(|tables| {
        tables.references.entry(body.addr()).or_insert((object, 0)).1 += 1;
    });
}

/// Uncounts a pointer; returns how many are left, or `None` if there was none.
fn dereference(machine: &Machine, body: PVOID) -> Option<usize> {
    let (left, gone) = machine.ob_state().0.with(|tables| {
        let entry = tables.references.get_mut(&body.addr())?;
        entry.1 -= 1;
        let left = entry.1;
        let gone = (left == 0)
            .then(|| tables.references.remove(&body.addr()))
            .flatten();
        Some((left, gone))
    })?;
    drop(gone);
    Some(left)
}

/// Tells whether a driver holds a pointer to an object at this address.
pub(crate) fn referenced(machine: &Machine, body: PVOID) -> Option<Arc<dyn Object>> {
    machine.ob_state().0.with(|tables| {
        tables
            .references
            .get(&body.addr())
            .map(|(object, _)| Arc::clone(object))
    })
}

/// The functions that drivers call.
#[expect(non_snake_case, reason = "the names of the kernel's functions")]
pub mod kernel {
    use crate::{
        ACCESS_MASK, HANDLE, KPROCESSOR_MODE, LONG_PTR, Machine, NTSTATUS, POBJECT_HANDLE_INFORMATION,
        POBJECT_TYPE, PVOID, STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH, STATUS_SUCCESS,
        thread::irql,
        verifier::{self, Rule},
    };

    /// Gives a counted pointer to what a handle names. IRQL: `PASSIVE_LEVEL`.
    ///
    /// Access mask, type and mode are not looked at; the handle information is not written.
    ///
    /// # Safety
    ///
    /// `object` can be written.
    pub unsafe fn ObReferenceObjectByHandle(
        handle: HANDLE,
        _desired_access: ACCESS_MASK,
        _object_type: POBJECT_TYPE,
        _access_mode: KPROCESSOR_MODE,
        object: *mut PVOID,
        _handle_information: POBJECT_HANDLE_INFORMATION,
    ) -> NTSTATUS {
        const CALL: &str = "ObReferenceObjectByHandle";
        verifier::require_irql_at_most(CALL, irql::PASSIVE);
        let machine = Machine::current();
        let Some(named) = super::lookup(&machine, handle) else {
            verifier::report(
                Rule::BadHandle,
                Some(CALL),
                format!("{CALL} was called with {handle:p}, which is no open handle"),
                "pass a handle that a call returned and that is not closed yet",
            );
            return STATUS_INVALID_HANDLE;
        };
        let Some(body) = named.body() else {
            return STATUS_OBJECT_TYPE_MISMATCH;
        };
        super::reference(&machine, named, body);
        // SAFETY: the caller vouches for the out parameter.
        unsafe { object.write(body) };
        STATUS_SUCCESS
    }

    /// Counts one more pointer to an object that the driver has a pointer to. IRQL: `DISPATCH_LEVEL` at
    /// most.
    ///
    /// # Safety
    ///
    /// None beyond the signature: an unknown address is reported.
    pub unsafe fn ObfReferenceObject(object: PVOID) -> LONG_PTR {
        const CALL: &str = "ObfReferenceObject";
        verifier::require_irql_at_most(CALL, irql::DISPATCH);
        let machine = Machine::current();
        let Some(known) = super::referenced(&machine, object) else {
            not_referenced(CALL, object);
            return 0;
        };
        super::reference(&machine, known, object);
        1
    }

    /// Gives a counted pointer back; returns how many are left. IRQL: `DISPATCH_LEVEL` at most.
    ///
    /// # Safety
    ///
    /// The driver does not use this pointer afterwards.
    pub unsafe fn ObfDereferenceObject(object: PVOID) -> LONG_PTR {
        const CALL: &str = "ObfDereferenceObject";
        verifier::require_irql_at_most(CALL, irql::DISPATCH);
        let left = super::dereference(&Machine::current(), object);
        if left.is_none() {
            not_referenced(CALL, object);
        }
        left.and_then(|left| LONG_PTR::try_from(left).ok())
            .unwrap_or_default()
    }

    fn not_referenced(call: &'static str, object: PVOID) {
        verifier::report(
            Rule::BadObject,
            Some(call),
            format!("{call} was called with {object:p}, to which the drivers hold no counted pointer"),
            "pass a pointer from ObReferenceObjectByHandle, once for each time it was counted",
        );
    }
}
