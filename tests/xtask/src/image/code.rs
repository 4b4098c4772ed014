//! Code that has no place in a driver, by its symbols; and where the code can panic.
//!
//! A panic in a driver is a bug check with file and line, so nothing ever reads what it would say: formatting a panic's
//! message, or a floating-point number, is dead weight, and an allocation that cannot fail would be a bug check under
//! low memory. None of these may be in an image. The log formats integers and text, which may.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use object::LittleEndian as Le;
use object::read::pe::ImageNtHeaders as _;

use super::{Image, Report};

/// Starts of names, and what code of that name does.
const FORBIDDEN: &[(&str, &str)] = &[
    ("core::fmt::float", "formats floating-point numbers"),
    ("core::num::flt2dec", "formats floating-point numbers"),
    ("core::num::imp::flt2dec", "formats floating-point numbers"),
    ("core::num::dec2flt", "parses floating-point numbers"),
    ("core::num::imp::dec2flt", "parses floating-point numbers"),
    ("<core::panic::", "formats the message of a panic"),
    ("core::panicking::assert_failed", "formats the message of a panic"),
    ("core::option::unwrap_failed", "ends an unwrap"),
    ("core::option::expect_failed", "ends an expect"),
    (
        "core::result::unwrap_failed",
        "ends an unwrap and formats an error",
    ),
    ("core::str::slice_error_fail", "formats the message of a panic"),
    (
        "alloc::alloc::handle_alloc_error",
        "ends an allocation that must not fail",
    ),
    (
        "alloc::raw_vec::handle_error",
        "ends an allocation that must not fail",
    ),
];

/// Where panics start: in checks that the compiler left in the code.
const PANICS: &[(&str, &str)] = &[
    ("core::panicking::panic_bounds_check", "index"),
    ("core::slice::index::slice_index_fail", "range"),
    ("core::slice::copy_from_slice_impl::len_mismatch_fail", "copy"),
    (
        "core::slice::sort::shared::smallsort::panic_on_ord_violation",
        "order",
    ),
    ("core::panicking::panic", "other"),
    ("core::panicking::panic_fmt", "with a message"),
];

/// Callers that may call what is forbidden: start of the forbidden name, start of the caller's, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "alloc::alloc::handle_alloc_error",
    "<hashbrown::raw::",
    "the functions that grow a table are told whether they may fail; the store always makes room first, which may fail",
)];

pub fn check(image: &Image<'_>, report: &mut Report) -> Result<()> {
    let callers = Callers::of(image)?;
    for (offset, symbol) in image.map.symbols() {
        let Some((_, does)) = FORBIDDEN.iter().find(|(start, _)| symbol.starts_with(start)) else {
            continue;
        };
        let mut names = callers.names(image, offset);
        let all = names.len();
        names.retain(|caller| {
            !EXCEPTIONS
                .iter()
                .any(|(forbidden, by, _)| symbol.starts_with(forbidden) && caller.starts_with(by))
        });
        // What nobody calls by name has its address taken somewhere.
        report.require(all > 0 && names.is_empty(), || {
            names.truncate(5);
            format!("{symbol}, which {does}; called by {}", names.join(", "))
        });
    }
    let mut numbers = Vec::new();
    for (offset, symbol) in image.map.symbols() {
        if let Some((_, name)) = PANICS.iter().find(|(entry, _)| *entry == symbol) {
            numbers.push(format!("{name} {}", callers.count(offset)));
        }
    }
    report.number("calls that panic", numbers.join(", "));
    Ok(())
}

/// The places of calls and jumps, by the function that they go to.
struct Callers(BTreeMap<u32, Vec<u32>>);

impl Callers {
    /// Looks at every byte that could be a call or jump: since its target must be exactly the start of a function, what
    /// is none is hardly taken for one.
    fn of(image: &Image<'_>) -> Result<Self> {
        const CALL: u8 = 0xE8;
        const JUMP: u8 = 0xE9;
        let code = image.file.nt_headers().optional_header().base_of_code.get(Le);
        let bytes = image.file.section_table().pe_data_at(image.file.data(), code);
        let bytes = bytes.context("the image has no code")?;
        let mut callers = BTreeMap::<u32, Vec<u32>>::new();
        for (window, at) in bytes.windows(5).zip(code..) {
            let &[CALL | JUMP, a, b, c, d] = window else {
                continue;
            };
            let target = (at + 5).wrapping_add(u32::from_le_bytes([a, b, c, d]));
            if image.map.at(target).is_some() {
                callers.entry(target).or_default().push(at);
            }
        }
        Ok(Self(callers))
    }

    fn count(&self, target: u32) -> usize {
        self.0.get(&target).map_or(0, Vec::len)
    }

    fn names<'a>(&self, image: &'a Image<'_>, target: u32) -> Vec<&'a str> {
        let places = self.0.get(&target).map(Vec::as_slice).unwrap_or_default();
        let mut names = places
            .iter()
            .filter_map(|place| image.map.around(*place))
            .collect::<Vec<_>>();
        names.dedup();
        names
    }
}
