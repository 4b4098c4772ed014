//! What drivers print to the debugger.

use std::ffi::{CStr, c_char};

use crate::{Machine, thread, trace::Kind};

fn print(text: &CStr) {
    let Some(machine) = Machine::try_current() else {
        return;
    };
    let text = text.to_string_lossy();
    for line in text.lines() {
        machine.trace().record(|| Kind::Debug {
            text: line.to_owned(),
        });
        if machine.config().echo_debug_output {
            let driver = thread::current_driver();
            let driver = driver.as_ref().map_or("kernel", |driver| driver.as_str());
            eprintln!("{driver}: {line}");
        }
    }
}

/// Joins a format and its one argument.
///
/// # Safety
///
/// Both are strings that end with a zero; the argument is null or one.
unsafe fn format(format: *const c_char, argument: *const c_char) {
    if format.is_null() {
        return;
    }
    // SAFETY: the caller vouches for the string.
    let format = unsafe { CStr::from_ptr(format) };
    if format.to_bytes().trim_ascii_end() == b"%s" && !argument.is_null() {
        // SAFETY: as above.
        print(unsafe { CStr::from_ptr(argument) });
    } else {
        print(format);
    }
}

/// The functions that drivers call.
///
/// On Windows they take any number of arguments, which stable Rust cannot define. Here they take the
/// one that is used: the format `%s` with a string.
#[expect(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "names and attributes are those of the bindings of the kernel's functions"
)]
pub mod kernel {
    use std::ffi::c_char;

    use crate::{PCSTR, STATUS_SUCCESS, ULONG};

    /// Prints to the debugger. IRQL: any.
    ///
    /// # Safety
    ///
    /// Both are strings that end with a zero.
    pub unsafe fn DbgPrint(format: PCSTR, argument: *const c_char) -> ULONG {
        // SAFETY: the caller vouches for the strings.
        unsafe { super::format(format, argument) };
        STATUS_SUCCESS.cast_unsigned()
    }

    /// Prints to the debugger, if it listens to this component and level; here it always does. IRQL:
    /// any.
    ///
    /// # Safety
    ///
    /// Both are strings that end with a zero.
    pub unsafe fn DbgPrintEx(
        _component_id: ULONG,
        _level: ULONG,
        format: PCSTR,
        argument: *const c_char,
    ) -> ULONG {
        // SAFETY: the caller vouches for the strings.
        unsafe { super::format(format, argument) };
        STATUS_SUCCESS.cast_unsigned()
    }
}
