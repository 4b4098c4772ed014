//! One call of a driver into the framework, or of the host into it: what it is named in reports.

use core::ffi::c_void;

use alloc::vec::Vec;

use sim_platform::{
    Lock, Platform,
    nt::{NTSTATUS, PASSIVE_LEVEL, PCUNICODE_STRING},
};

use crate::{DriverId, Host, Kmdf, Rule, Violation, state::State, types::PWDF_DRIVER_GLOBALS};

/// A call that is under way.
pub struct Call<'a, H: Host> {
    pub kmdf: &'a Kmdf<H>,
    pub name: &'static str,
    globals: PWDF_DRIVER_GLOBALS,
}

impl<'a, H: Host> Call<'a, H> {
    /// Begins a call of a driver's and checks the level that it is made at.
    pub fn enter(kmdf: &'a Kmdf<H>, name: &'static str, highest: u8, globals: PWDF_DRIVER_GLOBALS) -> Self {
        let call = Self { kmdf, name, globals };
        let irql = H::Platform::irql();
        if irql > highest {
            call.report(Rule::IrqlTooHigh { irql, highest });
        }
        call
    }

    /// Begins an event that the host brings.
    pub const fn event(kmdf: &'a Kmdf<H>, name: &'static str) -> Self {
        Self {
            kmdf,
            name,
            globals: core::ptr::null_mut(),
        }
    }

    pub const fn host(&self) -> &'a H {
        &self.kmdf.host
    }

    /// Runs `with` on the state, under the model's lock.
    pub fn with<R>(&self, with: impl FnOnce(&mut State<H>) -> R) -> R {
        self.kmdf.state.with(with)
    }

    /// As [`with`](Self::with); a rule that `with` finds broken is reported when the lock is free
    /// again.
    pub fn checked<R>(&self, with: impl FnOnce(&mut State<H>) -> Result<R, Rule>) -> Option<R> {
        match self.with(with) {
            Ok(result) => Some(result),
            Err(rule) => {
                self.report(rule);
                None
            }
        }
    }

    /// Reports a broken rule as the fault of the driver that makes this call.
    pub fn report(&self, rule: Rule) {
        let driver = self.with(|state| state.binding_of(self.globals).map(|(_, binding)| binding.id));
        self.report_for(driver, rule);
    }

    /// Reports a broken rule as the fault of a driver.
    pub fn report_for(&self, driver: Option<DriverId>, rule: Rule) {
        self.host().violation(&Violation {
            driver,
            call: self.name,
            rule,
        });
    }

    /// Returns the index of the driver that makes this call.
    pub fn driver(&self) -> Option<usize> {
        let driver = self.with(|state| state.binding_of(self.globals).map(|(index, _)| index));
        if driver.is_none() {
            self.report(Rule::InvalidParameter {
                reason: "the driver is not bound to the framework",
            });
        }
        driver
    }

    /// Reports a null pointer where there must be one.
    pub fn require<T>(&self, pointer: *const T, parameter: &'static str) -> bool {
        if pointer.is_null() {
            self.report(Rule::NullParameter { parameter });
        }
        !pointer.is_null()
    }

    /// Checks the `Size` member that a structure begins with.
    pub fn check_size(&self, structure: &'static str, size: usize, expected: usize) -> bool {
        if size != expected {
            self.report(Rule::WrongSize {
                structure,
                size,
                expected,
            });
        }
        size == expected
    }
}

/// Tells whether the thread is at `PASSIVE_LEVEL`.
pub fn at_passive<H: Host>() -> bool {
    u32::from(H::Platform::irql()) == PASSIVE_LEVEL
}

/// Copies a counted string; `None` if it is not one.
///
/// # Safety
/// `string` is null or points to a counted string whose buffer holds as much as it says.
pub unsafe fn read_string(string: PCUNICODE_STRING) -> Option<Vec<u16>> {
    if string.is_null() {
        return None;
    }
    // SAFETY: not null, so the caller vouches for it.
    let string = unsafe { string.read() };
    let units = usize::from(string.Length / 2);
    if string.Length % 2 != 0 || string.Length > string.MaximumLength {
        return None;
    }
    if units == 0 {
        return Some(Vec::new());
    }
    if string.Buffer.is_null() {
        return None;
    }
    // SAFETY: the caller vouches that the buffer holds `Length` bytes, and UTF-16 units are aligned.
    let units = unsafe { core::slice::from_raw_parts(string.Buffer, units) };
    Some(units.to_vec())
}

/// Writes through a pointer that a driver passed for a result, unless it is null.
///
/// # Safety
/// `target` is null or may be written.
pub unsafe fn write_out<T>(target: *mut T, value: T) {
    if !target.is_null() {
        // SAFETY: not null, so the caller vouches for it.
        unsafe { target.write(value) };
    }
}

/// Turns a host's answer into a status.
pub fn status_of(result: Result<(), NTSTATUS>) -> NTSTATUS {
    result.err().unwrap_or(sim_platform::nt::STATUS_SUCCESS)
}

/// Returns what lies `bytes` behind a pointer into the same allocation.
///
/// # Safety
/// As for [`pointer::byte_add`].
pub const unsafe fn offset(memory: *mut c_void, bytes: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { memory.byte_add(bytes) }
}
