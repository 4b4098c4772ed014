//! Rust values in the context space of framework objects.
//!
//! The framework gives every object that asks for it a zeroed block of memory, found again by a type
//! descriptor that must stay at one address. There is one descriptor per *kind* of object, an immutable
//! static; how large the block really is, which depends on the Rust type in it, is told when an object is
//! made (`ContextSizeOverride`). Which Rust type that is, the code that makes the object and the callbacks it
//! registers agree on, being generic over the same type.

use core::cell::UnsafeCell;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_SYNCHRONIZATION_SCOPE, WDF_OBJECT_ATTRIBUTES, WDF_OBJECT_CONTEXT_TYPE_INFO,
    WDFOBJECT, call_unsafe_wdf_function_binding,
};

use crate::pool::POOL_ALIGNMENT;

/// A kind of context: what the framework calls a context type.
#[repr(transparent)]
pub(super) struct Kind(WDF_OBJECT_CONTEXT_TYPE_INFO);

// SAFETY: the structure is immutable; its pointers lead to static data.
unsafe impl Sync for Kind {}

impl Kind {
    const fn new(name: &'static CStr, unique: *const WDF_OBJECT_CONTEXT_TYPE_INFO) -> Self {
        Self(WDF_OBJECT_CONTEXT_TYPE_INFO {
            Size: super::size_of_u32::<WDF_OBJECT_CONTEXT_TYPE_INFO>(),
            // Headers differ in whether the name is const; nothing writes to it.
            ContextName: name.as_ptr().cast_mut(),
            // The least that a context has; attributes say the real size.
            ContextSize: size_of::<usize>(),
            // The identity of the type: all that a descriptor is compared by.
            UniqueType: unique,
            EvtDriverGetUniqueContextType: None,
        })
    }
}

/// The context of a driver object: `Slot<impl Driver>`.
pub(super) static DRIVER: Kind = Kind::new(c"NsEmailDriver", &raw const DRIVER.0);
/// The context of a control device: `Slot<impl Device>`.
pub(super) static DEVICE: Kind = Kind::new(c"NsEmailDevice", &raw const DEVICE.0);
/// The context of a file object: `Slot<Device::File>`.
pub(super) static FILE: Kind = Kind::new(c"NsEmailFile", &raw const FILE.0);
/// The context of a request: what its cancellation concerns.
pub(super) static REQUEST: Kind = Kind::new(c"NsEmailRequest", &raw const REQUEST.0);

/// Attributes for an object with a context of `kind` that holds a `T`; all else is inherited.
pub(super) fn attributes<T: Zeroed>(kind: &'static Kind) -> WDF_OBJECT_ATTRIBUTES {
    const {
        assert!(
            align_of::<T>() <= POOL_ALIGNMENT,
            "the framework aligns contexts like pool"
        );
        assert!(
            size_of::<T>() >= size_of::<usize>(),
            "an override must not be smaller than the type's own size"
        );
    }
    WDF_OBJECT_ATTRIBUTES {
        Size: super::size_of_u32::<WDF_OBJECT_ATTRIBUTES>(),
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ContextSizeOverride: size_of::<T>(),
        ContextTypeInfo: &raw const kind.0,
        ..WDF_OBJECT_ATTRIBUTES::default()
    }
}

/// The context of `kind` of an object.
///
/// # Safety
/// The object lives for `'a`, and was made with [`attributes`] of this kind and this `T`.
pub(super) unsafe fn context<'a, T: Zeroed>(object: WDFOBJECT, kind: &'static Kind) -> &'a T {
    // SAFETY: the object is valid, and the descriptor is the one that it was made with.
    let context = unsafe {
        call_unsafe_wdf_function_binding!(WdfObjectGetTypedContextWorker, object, &raw const kind.0)
    };
    // SAFETY: the object has such a context, large enough and aligned for a `T`, which the framework zeroed
    // and which lives as long as the object; zeros are a valid `T`, and it is only ever shared.
    unsafe { &*context.cast::<T>() }
}

/// What may start its life as zeros.
///
/// # Safety
/// All zeros are a valid value of the type.
pub(super) unsafe trait Zeroed: Sync {}

const EMPTY: usize = 0;
const FULL: usize = 1;

/// Room for one value in an object's context: filled once, borrowed while full, emptied once.
#[repr(C)]
pub(super) struct Slot<T> {
    state: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: zero is the empty state, in which the value may be anything.
unsafe impl<T: Send + Sync> Zeroed for Slot<T> {}

// SAFETY: a full slot only lends `&T` (hence `Sync`); it may be emptied on another thread than it was filled
// on (hence `Send`).
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// Puts the value in.
    ///
    /// # Safety
    /// Nobody else fills the slot, and it has not been filled before.
    pub(super) unsafe fn fill(&self, value: T) {
        // SAFETY: an empty slot is read by nobody, and written by nobody else.
        unsafe { (*self.value.get()).write(value) };
        self.state.store(FULL, Ordering::Release);
    }

    /// The value, if it is there.
    ///
    /// # Safety
    /// The slot is not emptied while the borrow lasts.
    pub(super) unsafe fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != FULL {
            return None;
        }
        // SAFETY: a full slot is only borrowed shared, and stays full while the borrow lasts.
        let value = unsafe { &*self.value.get() };
        // SAFETY: a full slot holds a value.
        Some(unsafe { value.assume_init_ref() })
    }

    /// Takes the value out, if it is there.
    ///
    /// # Safety
    /// Nobody borrows the value.
    pub(super) unsafe fn take(&self) -> Option<T> {
        if self.state.swap(EMPTY, Ordering::AcqRel) != FULL {
            return None;
        }
        // SAFETY: nobody borrows the value, and nobody fills the slot again.
        let value = unsafe { &*self.value.get() };
        // SAFETY: the slot was full, and the swap gives its value to this caller alone.
        Some(unsafe { value.assume_init_read() })
    }
}
