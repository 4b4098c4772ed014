//! Processors: a machine has one for each thread of the host.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{PVOID, ULONG};

/// What the next thread gets that asks. It is the process's, as the threads of the host are.
static NEXT: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static CURRENT: Cell<Option<ULONG>> = const { Cell::new(None) };
}

/// Returns the number of the processor that the caller runs on. Tasks that a scheduler runs on one thread of the host
/// are on one processor. IRQL: any.
///
/// The function is exported by symbol name, because the registrar's safe layer finds it at link time.
///
/// # Safety
///
/// `number` is null: there are no groups to tell of.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn KeGetCurrentProcessorNumberEx(number: PVOID) -> ULONG {
    debug_assert!(number.is_null(), "this machine has no processor groups");
    CURRENT.get().unwrap_or_else(|| {
        let first = NEXT.fetch_add(1, Ordering::Relaxed);
        CURRENT.set(Some(first));
        first
    })
}
