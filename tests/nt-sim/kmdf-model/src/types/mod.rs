//! The C types of KMDF 1.31 that a driver without hardware uses, as bindgen spells them for `wdk-sys`.
//!
//! Names, layouts and values are those of `wdf.h`; `const` assertions hold the
//! sizes and offsets of the 64-bit ABI. Only what the functions of [`crate::table`] take is here.
#![expect(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    clippy::pub_underscore_fields,
    reason = "the names, values and field names are those of the KMDF headers, documented there"
)]

mod callbacks;
mod enums;
mod handles;
mod layout;
mod structs;

pub(crate) use layout::LAYOUTS;

pub use callbacks::*;
pub use enums::*;
pub use handles::*;
pub use structs::*;
