//! What holds for any input, as functions that take bytes.
//!
//! Each module has a function `check` that takes any bytes and panics if its property does not hold for them. `cargo
//! test` runs each over its corpus (`corpus/` beside this crate) and over random inputs, from a fixed seed; a fuzzer can call
//! the same functions. An input that was found once stays in the corpus.

pub mod blob;
pub mod inf;
pub mod journal;
pub mod registrar;
pub mod requests;
pub mod wire;

/// A property, by the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("blob", blob::check),
    ("wire", wire::check),
    ("inf", inf::check),
    ("journal", journal::check),
    ("requests", requests::check),
    ("registrar", registrar::check),
];
