//! The system services that drivers call: files, keys, handles. Public items are kernel functions only.
//!
//! All of them are for PASSIVE_LEVEL, and the verifier says so. Handles live in the table of
//! [`ob`]; each driver closes its own before it is gone. Beyond what the services check on Windows,
//! the verifier demands `OBJ_KERNEL_HANDLE` for every handle that a driver makes, since a driver runs
//! in the context of any process.

mod arguments;
mod directory;
mod file;
mod file_information;
mod file_object;
mod key;
pub(crate) mod key_object;

pub use directory::*;
pub use file::*;
pub use file_information::*;
pub use key::*;

use crate::{
    HANDLE, Machine, NTSTATUS, STATUS_INVALID_HANDLE, STATUS_SUCCESS, ob,
    thread::irql,
    verifier::{self, Rule},
};

/// Closes a handle. IRQL: PASSIVE_LEVEL.
///
/// # Safety
///
/// None beyond the signature: a handle that is not open is reported.
#[expect(non_snake_case, reason = "the name of the kernel's function")]
pub unsafe fn ZwClose(handle: HANDLE) -> NTSTATUS {
    const CALL: &str = "ZwClose";
    verifier::require_irql_at_most(CALL, irql::PASSIVE);
    if ob::close(&Machine::current(), handle).is_some() {
        return STATUS_SUCCESS;
    }
    verifier::report(
        Rule::BadHandle,
        Some(CALL),
        format!("{CALL} was called with {handle:p}, which is no open handle"),
        "close each handle once",
    );
    STATUS_INVALID_HANDLE
}
