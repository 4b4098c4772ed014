//! Object attributes, and the making of objects with their contexts.
//!
//! A context lies behind a header of 16 bytes that names its object, so that the object can be
//! found from the context and the context keeps the alignment of pool memory.

use core::ffi::c_void;

use alloc::vec::Vec;

use sim_platform::nt::{
    NTSTATUS, STATUS_DELETE_PENDING, STATUS_INFO_LENGTH_MISMATCH, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
};

use crate::{
    CallbackIrql, Frame, Host, Rule,
    call::{Call, offset},
    handle::Handle,
    state::{Context, Contexts, Data, Kept, Object, Owner, Stage},
    types::{
        _WDF_EXECUTION_LEVEL, _WDF_SYNCHRONIZATION_SCOPE, PCWDF_OBJECT_CONTEXT_TYPE_INFO,
        PFN_WDF_OBJECT_CONTEXT_CLEANUP, PFN_WDF_OBJECT_CONTEXT_DESTROY, PWDF_OBJECT_ATTRIBUTES,
        WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO,
    },
};

/// Bytes before a context: the object's handle, and padding.
const HEADER: usize = 16;

/// Object attributes, checked.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    pub cleanup: PFN_WDF_OBJECT_CONTEXT_CLEANUP,
    pub destroy: PFN_WDF_OBJECT_CONTEXT_DESTROY,
    /// `None` is to inherit from the parent.
    pub execution: Option<CallbackIrql>,
    /// Zero if the attributes name none.
    pub parent: usize,
    info: Kept<PCWDF_OBJECT_CONTEXT_TYPE_INFO>,
    size: usize,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            cleanup: None,
            destroy: None,
            execution: None,
            parent: 0,
            info: Kept(core::ptr::null()),
            size: 0,
        }
    }
}

impl Attributes {
    /// Reads and checks what a driver passed; null means that it has no wishes.
    ///
    /// # Safety
    /// `attributes` is null or points to attributes, whose context type is null or points to one
    /// that stays.
    pub unsafe fn read<H: Host>(
        call: &Call<'_, H>,
        attributes: PWDF_OBJECT_ATTRIBUTES,
    ) -> Result<Self, NTSTATUS> {
        if attributes.is_null() {
            return Ok(Self::default());
        }
        // SAFETY: not null, so the caller vouches for it.
        let raw = unsafe { attributes.read() };
        if !call.check_size(
            "WDF_OBJECT_ATTRIBUTES",
            raw.Size as usize,
            size_of::<WDF_OBJECT_ATTRIBUTES>(),
        ) {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        let execution = match raw.ExecutionLevel {
            _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent => None,
            _WDF_EXECUTION_LEVEL::WdfExecutionLevelPassive => Some(CallbackIrql::Passive),
            _WDF_EXECUTION_LEVEL::WdfExecutionLevelDispatch => Some(CallbackIrql::UpToDispatch),
            _ => {
                call.report(Rule::InvalidParameter {
                    reason: "ExecutionLevel is not set; WDF_OBJECT_ATTRIBUTES_INIT says WdfExecutionLevelInheritFromParent",
                });
                return Err(STATUS_INVALID_PARAMETER);
            }
        };
        match raw.SynchronizationScope {
            _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent
            | _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeNone => {}
            _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeDevice
            | _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeQueue => {
                call.report(Rule::Unsupported {
                    feature: "automatic synchronisation of callbacks",
                });
                return Err(STATUS_NOT_SUPPORTED);
            }
            _ => {
                call.report(Rule::InvalidParameter {
                    reason: "SynchronizationScope is not set; WDF_OBJECT_ATTRIBUTES_INIT says WdfSynchronizationScopeInheritFromParent",
                });
                return Err(STATUS_INVALID_PARAMETER);
            }
        }
        let mut checked = Self {
            cleanup: raw.EvtCleanupCallback,
            destroy: raw.EvtDestroyCallback,
            execution,
            parent: raw.ParentObject.addr(),
            ..Self::default()
        };
        if raw.ContextTypeInfo.is_null() {
            if raw.ContextSizeOverride != 0 {
                call.report(Rule::InvalidParameter {
                    reason: "ContextSizeOverride is set without ContextTypeInfo",
                });
                return Err(STATUS_INVALID_PARAMETER);
            }
            return Ok(checked);
        }
        // SAFETY: not null, so the caller vouches for it.
        let info = unsafe { raw.ContextTypeInfo.read() };
        if !call.check_size(
            "WDF_OBJECT_CONTEXT_TYPE_INFO",
            info.Size as usize,
            size_of::<WDF_OBJECT_CONTEXT_TYPE_INFO>(),
        ) {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        if info.UniqueType.is_null() {
            call.report(Rule::InvalidParameter {
                reason: "the context type has no UniqueType; it points to the type itself",
            });
            return Err(STATUS_INVALID_PARAMETER);
        }
        if raw.ContextSizeOverride != 0 && raw.ContextSizeOverride < info.ContextSize {
            call.report(Rule::InvalidParameter {
                reason: "ContextSizeOverride is less than the size of the context type",
            });
            return Err(STATUS_INVALID_PARAMETER);
        }
        checked.info = Kept(info.UniqueType);
        checked.size = info.ContextSize.max(raw.ContextSizeOverride);
        Ok(checked)
    }

    pub const fn has_context(&self) -> bool {
        !self.info.0.is_null()
    }

    pub const fn unique_type(&self) -> PCWDF_OBJECT_CONTEXT_TYPE_INFO {
        self.info.0
    }

    /// Allocates the context that these attributes describe, without an object yet.
    pub fn allocate<H: Host>(&self, call: &Call<'_, H>, driver: usize) -> Result<Option<Context>, NTSTATUS> {
        let owner = call.with(|state| state.owner(driver));
        self.allocate_for(call, owner.ok_or(STATUS_INSUFFICIENT_RESOURCES)?)
    }

    /// As [`allocate`](Self::allocate), for a driver that was looked up.
    pub fn allocate_for<H: Host>(
        &self,
        call: &Call<'_, H>,
        (id, tag): Owner,
    ) -> Result<Option<Context>, NTSTATUS> {
        if !self.has_context() && self.cleanup.is_none() && self.destroy.is_none() {
            return Ok(None);
        }
        let memory = if self.has_context() {
            let whole = self
                .size
                .checked_add(HEADER)
                .map_or(core::ptr::null_mut(), |size| call.host().allocate(id, tag, size));
            if whole.is_null() {
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
            // SAFETY: the allocation is `HEADER` bytes longer than the context.
            unsafe { offset(whole, HEADER) }
        } else {
            core::ptr::null_mut()
        };
        Ok(Some(Context {
            info: self.info,
            memory: Kept(memory),
            cleanup: self.cleanup,
            destroy: self.destroy,
        }))
    }
}

/// Writes the handle of a context's object before the context.
pub const fn adopt(context: &Context, object: Handle) {
    if context.memory.0.is_null() {
        return;
    }
    // SAFETY: the header precedes every context within its allocation.
    let header = unsafe { context.memory.0.byte_sub(HEADER) };
    // SAFETY: the header is aligned to 16 and belongs to the model alone.
    unsafe { header.cast::<usize>().write(object.raw()) };
}

/// Returns the handle that lies before a context.
///
/// # Safety
/// `context` is the context of an object that exists.
pub const unsafe fn object_of(context: *mut c_void) -> usize {
    // SAFETY: the header precedes every context within its allocation.
    let header = unsafe { context.byte_sub(HEADER) };
    // SAFETY: `adopt` wrote it before the driver saw the context.
    unsafe { header.cast::<usize>().read() }
}

/// Gives the memory of contexts back.
pub fn free_contexts<H: Host>(
    call: &Call<'_, H>,
    driver: usize,
    contexts: impl IntoIterator<Item = Context>,
) {
    if let Some(owner) = call.with(|state| state.owner(driver)) {
        free_contexts_of(call, owner, contexts);
    }
}

/// As [`free_contexts`], for a driver that was looked up.
pub fn free_contexts_of<H: Host>(
    call: &Call<'_, H>,
    (id, tag): Owner,
    contexts: impl IntoIterator<Item = Context>,
) {
    for context in contexts {
        if context.memory.0.is_null() {
            continue;
        }
        // SAFETY: the header precedes every context within its allocation.
        let whole = unsafe { context.memory.0.byte_sub(HEADER) };
        // SAFETY: the object is gone from its slot, or never was in one, so this is the last use.
        unsafe { call.host().free(id, tag, whole) };
    }
}

/// Makes an object with its context.
///
/// `inherited` is the execution level of what it inherits from.
pub fn create<H: Host>(
    call: &Call<'_, H>,
    driver: usize,
    parent: Option<Handle>,
    attributes: &Attributes,
    inherited: CallbackIrql,
    data: Data<H>,
) -> Result<Handle, NTSTATUS> {
    let context = attributes.allocate(call, driver)?;
    let mut contexts = Contexts::default();
    if let Some(context) = context {
        contexts.push(context);
    }
    let object = Object {
        driver,
        parent,
        children: Vec::new(),
        references: 1,
        stage: Stage::Live,
        execution: attributes.execution.unwrap_or(inherited),
        contexts,
        data,
    };
    match call.with(|state| state.insert(object)) {
        Ok(handle) => {
            if let Some(context) = context {
                adopt(&context, handle);
            }
            Ok(handle)
        }
        Err(refused) => {
            free_contexts(call, driver, refused.contexts.iter().copied());
            Err(STATUS_DELETE_PENDING)
        }
    }
}

/// Makes the frame of a callback of a driver.
pub fn frame<H: Host>(
    call: &Call<'_, H>,
    driver: usize,
    callback: &'static str,
    irql: CallbackIrql,
) -> Option<Frame> {
    let (driver, _) = call.with(|state| state.owner(driver))?;
    Some(Frame {
        driver,
        callback,
        irql,
    })
}
