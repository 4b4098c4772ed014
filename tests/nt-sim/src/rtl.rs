//! The run-time library: strings.
#![expect(
    non_snake_case,
    clippy::must_use_candidate,
    reason = "names and attributes are those of the bindings of the kernel's functions"
)]

use std::cmp::Ordering;

use crate::{
    BOOLEAN, LONG, PCUNICODE_STRING, PCWSTR, PUNICODE_STRING, UNICODE_STRING, USHORT, WCHAR, thread::irql,
    verifier,
};

/// Upcases one UTF-16 unit as the kernel does: one unit for one unit, by the simple mappings.
///
/// Units whose upper case is more than one character, or lies outside the basic plane, stay as they
/// are.
fn upcase(unit: WCHAR) -> WCHAR {
    let Some(character) = char::from_u32(u32::from(unit)) else {
        return unit;
    };
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => WCHAR::try_from(u32::from(upper)).unwrap_or(unit),
        _ => unit,
    }
}

/// Upcases one UTF-16 unit. IRQL: `PASSIVE_LEVEL`.
///
/// # Safety
///
/// None beyond the signature.
pub unsafe fn RtlUpcaseUnicodeChar(source: WCHAR) -> WCHAR {
    verifier::require_irql_at_most("RtlUpcaseUnicodeChar", irql::PASSIVE);
    upcase(source)
}

/// Makes a counted string over a string that ends with a zero. IRQL: `DISPATCH_LEVEL` at most.
///
/// # Safety
///
/// `destination` can be written; `source` is null or ends with a zero, and lives as long as the
/// counted string.
pub unsafe fn RtlInitUnicodeString(destination: PUNICODE_STRING, source: PCWSTR) {
    verifier::require_irql_at_most("RtlInitUnicodeString", irql::DISPATCH);
    let mut units: USHORT = 0;
    if !source.is_null() {
        loop {
            // SAFETY: no zero was seen yet, so this unit belongs to the string.
            let unit = unsafe { source.add(usize::from(units)) };
            // SAFETY: as above.
            if unsafe { unit.read() } == 0 || units == USHORT::MAX / 2 - 1 {
                break;
            }
            units += 1;
        }
    }
    let length = units * 2;
    let string = UNICODE_STRING {
        Length: length,
        MaximumLength: if source.is_null() { 0 } else { length + 2 },
        Buffer: source.cast_mut(),
    };
    // SAFETY: the caller vouches for the out parameter.
    unsafe { destination.write(string) };
}

/// # Safety
///
/// `string` points to a counted string that can be read for `'a`.
unsafe fn units<'a>(string: PCUNICODE_STRING) -> &'a [WCHAR] {
    // SAFETY: the caller vouches for the string.
    let string = unsafe { string.read() };
    if string.Buffer.is_null() {
        return &[];
    }
    // SAFETY: as above.
    unsafe { core::slice::from_raw_parts(string.Buffer, usize::from(string.Length / 2)) }
}

fn compare(a: &[WCHAR], b: &[WCHAR], ignore_case: bool) -> Ordering {
    if ignore_case {
        a.iter()
            .map(|unit| upcase(*unit))
            .cmp(b.iter().map(|unit| upcase(*unit)))
    } else {
        a.cmp(b)
    }
}

/// Compares two counted strings; negative, zero, or positive. IRQL: `PASSIVE_LEVEL`.
///
/// # Safety
///
/// Both point to counted strings that can be read.
pub unsafe fn RtlCompareUnicodeString(
    string1: PCUNICODE_STRING,
    string2: PCUNICODE_STRING,
    case_insensitive: BOOLEAN,
) -> LONG {
    verifier::require_irql_at_most("RtlCompareUnicodeString", irql::PASSIVE);
    // SAFETY: the caller vouches for the strings.
    let a = unsafe { units(string1) };
    // SAFETY: as above.
    let b = unsafe { units(string2) };
    compare(a, b, case_insensitive != 0) as LONG
}

/// Tells whether two counted strings are equal. IRQL: `PASSIVE_LEVEL`.
///
/// # Safety
///
/// Both point to counted strings that can be read.
pub unsafe fn RtlEqualUnicodeString(
    string1: PCUNICODE_STRING,
    string2: PCUNICODE_STRING,
    case_insensitive: BOOLEAN,
) -> BOOLEAN {
    verifier::require_irql_at_most("RtlEqualUnicodeString", irql::PASSIVE);
    // SAFETY: the caller vouches for the strings.
    let a = unsafe { units(string1) };
    // SAFETY: as above.
    let b = unsafe { units(string2) };
    BOOLEAN::from(compare(a, b, case_insensitive != 0).is_eq())
}
