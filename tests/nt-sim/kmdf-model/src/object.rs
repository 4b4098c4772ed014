//! Objects: deletion, references, contexts.
//!
//! Deleting an object deletes its children. Cleanup callbacks come first, those of children before
//! their parents'; then every object loses the reference that kept it in being. Whoever gives the
//! last reference back calls the destroy callback, and then the context's memory goes.

use alloc::vec::Vec;
use core::ffi::c_void;

use sim_platform::nt::{
    LONG, NTSTATUS, PVOID, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_OBJECT_NAME_EXISTS,
    STATUS_SUCCESS,
};

use crate::{
    CallbackIrql, Deferred, Host, Rule,
    attributes::{self, Attributes},
    call::{Call, at_passive, write_out},
    device,
    handle::{Handle, Kind},
    state::{Context, Data, Stage, State},
    types::{PCCH, PCWDF_OBJECT_CONTEXT_TYPE_INFO, PWDF_OBJECT_ATTRIBUTES, WDFOBJECT},
};

/// Whether the callbacks of such an object's contexts come at `PASSIVE_LEVEL` only.
const fn passive_kind(kind: Kind) -> bool {
    matches!(kind, Kind::Driver | Kind::Device | Kind::Queue | Kind::Key)
}

/// Marks a tree of objects as being deleted; lists those that were not, children first.
fn mark_tree<H: Host>(state: &mut State<H>, root: Handle, order: &mut Vec<Handle>) {
    let Some(object) = state.find(root) else {
        return;
    };
    if object.stage != Stage::Live {
        return;
    }
    object.stage = Stage::Deleting;
    let children = object.children.clone();
    for child in children.into_iter().rev() {
        mark_tree(state, child, order);
    }
    order.push(root);
}

/// Calls the cleanup or the destroy callbacks of an object.
fn call_context_callbacks<H: Host>(call: &Call<'_, H>, handle: Handle, destroy: bool) {
    let Some((driver, callbacks)) = call.with(|state| {
        let object = state.find(handle)?;
        let callbacks: Vec<_> = object
            .contexts
            .iter()
            .filter_map(|context| if destroy { context.destroy } else { context.cleanup })
            .collect();
        Some((object.driver, callbacks))
    }) else {
        return;
    };
    if callbacks.is_empty() {
        return;
    }
    let name = if destroy {
        "EvtDestroyCallback"
    } else {
        "EvtCleanupCallback"
    };
    let irql = if passive_kind(handle.kind) {
        CallbackIrql::Passive
    } else {
        CallbackIrql::UpToDispatch
    };
    let Some(frame) = attributes::frame(call, driver, name, irql) else {
        return;
    };
    for callback in callbacks {
        call.host().callback(frame, || {
            // SAFETY: the driver set the callback for this object, which exists.
            unsafe { callback(handle.pointer()) }
        });
    }
}

/// Calls the cleanup callbacks of an object, then ends what it stands for outside the framework.
pub fn dispose<H: Host>(call: &Call<'_, H>, handle: Handle) {
    call_context_callbacks(call, handle, false);
    match handle.kind {
        Kind::Key => {
            let key = call.with(|state| state.find_key(handle).map(|key| *key));
            if let Some(key) = key {
                call.host().close_key(key.0);
            }
        }
        Kind::Device => device::dispose(call, handle),
        _ => {}
    }
}

/// Begins the deletion of an object and its children: lists them, children first. The list is empty
/// if the deletion has begun already.
pub fn mark<H: Host>(call: &Call<'_, H>, root: Handle) -> Vec<Handle> {
    let mut order = Vec::new();
    call.with(|state| mark_tree(state, root, &mut order));
    order
}

/// Deletes an object and its children. Nothing happens to one that is being deleted already.
pub fn delete_tree<H: Host>(call: &Call<'_, H>, root: Handle) {
    let order = mark(call, root);
    for &handle in &order {
        dispose(call, handle);
    }
    for &handle in &order {
        finish_delete(call, handle);
    }
}

/// Gives up the reference that kept an object in being until its deletion.
pub fn finish_delete<H: Host>(call: &Call<'_, H>, handle: Handle) {
    call.with(|state| {
        if let Some(object) = state.find(handle) {
            object.stage = Stage::Deleted;
        }
    });
    release(call, handle);
}

/// Takes a reference on behalf of the model.
pub fn retain<H: Host>(state: &mut State<H>, handle: Handle) {
    if let Some(object) = state.find(handle) {
        object.references += 1;
    }
}

/// Gives a reference back; with the last one the object goes.
pub fn release<H: Host>(call: &Call<'_, H>, handle: Handle) {
    if call.with(|state| state.give_back(handle)) {
        destroy(call, handle);
    }
}

/// Removes an object that nobody has a reference to any more.
pub fn destroy<H: Host>(call: &Call<'_, H>, handle: Handle) {
    call_context_callbacks(call, handle, true);
    if let Some(object) = call.with(|state| state.remove(handle)) {
        attributes::free_contexts(call, object.driver, object.contexts.iter().copied());
        if let Data::Request(request) = object.data
            && let Some(file) = request.file
        {
            release(call, file);
        }
    }
}

/// Removes an object whose driver is gone, without calling it.
pub fn discard<H: Host>(call: &Call<'_, H>, handle: Handle) {
    if let Some(object) = call.with(|state| state.remove(handle)) {
        attributes::free_contexts(call, object.driver, object.contexts.iter().copied());
    }
}

/// Returns the parent that attributes name, or else `default`; and the level to inherit from it.
pub fn parent_of<H: Host>(
    call: &Call<'_, H>,
    attributes: &Attributes,
    default: Handle,
) -> Result<(Handle, CallbackIrql, usize), NTSTATUS> {
    call.checked(|state| {
        let (handle, object) = if attributes.parent == 0 {
            state.resolve(default.raw(), Kind::Object)?
        } else {
            state.resolve(attributes.parent, Kind::Object)?
        };
        Ok((handle, object.execution, object.driver))
    })
    .ok_or(STATUS_INVALID_HANDLE)
}

/// Returns the WDFDRIVER of the driver that makes the call.
pub fn driver_object<H: Host>(call: &Call<'_, H>) -> Option<Handle> {
    let driver = call.driver()?;
    let object = call.with(|state| state.drivers.get(driver)?.as_ref()?.object);
    if object.is_none() {
        call.report(Rule::InvalidParameter {
            reason: "the driver has not called WdfDriverCreate",
        });
    }
    object
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfObjectCreate<H: Host>(
    call: &Call<'_, H>,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    object: *mut WDFOBJECT,
) -> NTSTATUS {
    if !call.require(object, "Object") {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    let attributes = match unsafe { Attributes::read(call, attributes) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    match create_below_driver(call, &attributes, Data::Object) {
        Ok(handle) => {
            // SAFETY: the caller's promise.
            unsafe { object.write(handle.pointer()) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// Makes an object whose parent is the driver unless its attributes say otherwise.
pub fn create_below_driver<H: Host>(
    call: &Call<'_, H>,
    attributes: &Attributes,
    data: Data<H>,
) -> Result<Handle, NTSTATUS> {
    let default = driver_object(call).ok_or(STATUS_INVALID_HANDLE)?;
    let (parent, inherited, driver) = parent_of(call, attributes, default)?;
    attributes::create(call, driver, Some(parent), attributes, inherited, data)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfObjectDelete<H: Host>(call: &Call<'_, H>, object: WDFOBJECT) {
    let Some(handle) = call.checked(|state| {
        let (handle, object) = state.resolve(object.addr(), Kind::Object)?;
        let refused = Rule::CannotDelete {
            handle: handle.raw(),
            kind: handle.kind,
        };
        let deletable = match &object.data {
            Data::Driver(_) | Data::File(_) | Data::Request(_) | Data::DeviceInit(_) => false,
            Data::Queue(queue) => !queue.is_default,
            Data::Device(_) | Data::Key(_) | Data::SpinLock(_) | Data::Object => true,
        };
        if deletable && object.stage == Stage::Live {
            Ok(handle)
        } else {
            Err(refused)
        }
    }) else {
        return;
    };
    if passive_kind(handle.kind) && !at_passive::<H>() {
        call.host().defer(Deferred::delete(handle));
    } else {
        delete_tree(call, handle);
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfObjectReferenceActual<H: Host>(
    call: &Call<'_, H>,
    object: WDFOBJECT,
    _tag: PVOID,
    _line: LONG,
    _file: PCCH,
) {
    call.checked(|state| {
        let (_, object) = state.resolve_any(object.addr(), Kind::Object)?;
        object.references += 1;
        Ok(())
    });
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfObjectDereferenceActual<H: Host>(
    call: &Call<'_, H>,
    object: WDFOBJECT,
    _tag: PVOID,
    _line: LONG,
    _file: PCCH,
) {
    let handle = call.checked(|state| {
        let (handle, object) = state.resolve_any(object.addr(), Kind::Object)?;
        // The first reference is the framework's own until the object is deleted.
        let framework = u32::from(object.stage != Stage::Deleted);
        if object.references <= framework {
            return Err(Rule::TooManyDereferences { handle: handle.raw() });
        }
        Ok(handle)
    });
    if let Some(handle) = handle {
        release(call, handle);
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfObjectGetTypedContextWorker<H: Host>(
    call: &Call<'_, H>,
    object: WDFOBJECT,
    info: PCWDF_OBJECT_CONTEXT_TYPE_INFO,
) -> PVOID {
    call.checked(|state| {
        let (_, object) = state.resolve_any(object.addr(), Kind::Object)?;
        Ok(find_context(object.contexts.iter(), info))
    })
    .unwrap_or(core::ptr::null_mut())
}

fn find_context<'a>(
    mut contexts: impl Iterator<Item = &'a Context>,
    info: PCWDF_OBJECT_CONTEXT_TYPE_INFO,
) -> *mut c_void {
    contexts
        .find(|context| !info.is_null() && core::ptr::eq(context.info.0, info))
        .map_or(core::ptr::null_mut(), |context| context.memory.0)
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfObjectAllocateContext<H: Host>(
    call: &Call<'_, H>,
    object: WDFOBJECT,
    attributes: PWDF_OBJECT_ATTRIBUTES,
    context: *mut PVOID,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let attributes = match unsafe { Attributes::read(call, attributes) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    if !attributes.has_context() || attributes.parent != 0 {
        call.report(Rule::InvalidParameter {
            reason: "the attributes of a further context name a context type and no parent",
        });
        return STATUS_INVALID_PARAMETER;
    }
    let Some((handle, driver)) = call.checked(|state| {
        let (handle, object) = state.resolve(object.addr(), Kind::Object)?;
        Ok((handle, object.driver))
    }) else {
        return STATUS_INVALID_HANDLE;
    };
    let allocated = match attributes.allocate(call, driver) {
        Ok(Some(allocated)) => allocated,
        Ok(None) => return STATUS_INVALID_PARAMETER,
        Err(status) => return status,
    };
    attributes::adopt(&allocated, handle);
    let existing = call.with(|state| {
        let object = state.find(handle)?;
        let existing = find_context(object.contexts.iter(), attributes.unique_type());
        if existing.is_null() {
            object.contexts.push(allocated);
        }
        Some(existing)
    });
    let Some(existing) = existing else {
        attributes::free_contexts(call, driver, [allocated]);
        return STATUS_INVALID_HANDLE;
    };
    if existing.is_null() {
        // SAFETY: the caller's promise.
        unsafe { write_out(context, allocated.memory.0) };
        STATUS_SUCCESS
    } else {
        attributes::free_contexts(call, driver, [allocated]);
        // SAFETY: the caller's promise.
        unsafe { write_out(context, existing) };
        STATUS_OBJECT_NAME_EXISTS
    }
}

/// # Safety
/// See [`crate::Kmdf`].
pub unsafe fn WdfObjectContextGetObject<H: Host>(call: &Call<'_, H>, context: PVOID) -> WDFOBJECT {
    if !call.require(context, "ContextPointer") {
        return core::ptr::null_mut();
    }
    // SAFETY: the caller passes the context of an object that exists.
    let raw = unsafe { attributes::object_of(context) };
    call.checked(|state| state.resolve_any(raw, Kind::Object).map(|(handle, _)| handle))
        .map_or(core::ptr::null_mut(), Handle::pointer)
}
