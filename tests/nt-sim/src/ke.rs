//! The kernel core: IRQL, events and waits, spin locks, critical regions, time.
//!
//! Events and other objects that can be waited for live in the driver's memory and have no function
//! that ends them, so the memory holds their state only; who waits is kept per machine, by address.
#![expect(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "names and attributes are those of the bindings of the kernel's functions"
)]

mod event;
mod irql;
mod processor;
mod spin;
mod time;
mod wait;

pub use event::{KeClearEvent, KeInitializeEvent, KeReadStateEvent, KeResetEvent, KeSetEvent};
pub use irql::{
    KeAreApcsDisabled, KeEnterCriticalRegion, KeGetCurrentIrql, KeLeaveCriticalRegion, KeLowerIrql,
    KeRaiseIrqlToDpcLevel, KfRaiseIrql,
};
pub use processor::KeGetCurrentProcessorNumberEx;
pub use spin::{
    KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeInitializeSpinLock, KeReleaseSpinLock,
    KeReleaseSpinLockFromDpcLevel,
};
pub use time::{
    KeBugCheckEx, KeQueryInterruptTimePrecise, KeQueryPerformanceCounter, KeQuerySystemTimePrecise,
    KeQueryUnbiasedInterruptTime,
};
pub use wait::{KeDelayExecutionThread, KeWaitForSingleObject};

pub(crate) use processor::divide;
pub(crate) use spin::{forget_lock, remember_lock};
pub(crate) use wait::{Parking, State, new_thread_header, signal_for_ever};
