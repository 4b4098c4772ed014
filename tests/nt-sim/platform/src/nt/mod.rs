//! Types and constants of the kernel headers, spelled as bindgen spells them for `wdk-sys`.
//!
//! Only what drivers without hardware use. Layouts are those of 64-bit Windows for whatever a
//! driver may read or embed (`UNICODE_STRING`, `KEVENT`, `OBJECT_ATTRIBUTES`); objects that only
//! the kernel looks into keep a plausible size and nothing else.
#![expect(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::pub_underscore_fields,
    clippy::used_underscore_items,
    reason = "the names, values and field names are those of the kernel headers, documented there"
)]

mod basic;
mod file;
mod io;
mod ke;
mod status;

pub use basic::*;
pub use file::*;
pub use io::*;
pub use ke::*;
pub use status::*;
