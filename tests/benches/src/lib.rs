//! What the benches of this project are made of: measuring side by side, the table of results, plots, and names.
//!
//! `cargo bench -p nsemail-benches` runs every suite of `benches/numbers`; `-- --quick` takes a few minutes, and
//! `-- --markdown` prints the table as the README has it. A suite is a function that takes [`Options`] and adds
//! [`Row`]s to a [`Report`].
//!
//! # Rules
//!
//! - Ratios are what counts. Contenders do the same work on the same data, and take turns in the same run, so that
//!   what disturbs the machine disturbs all ([`measure::take_turns`]).
//! - A goal stands beside its result, reached or not.
//! - Nothing is timed that only one of the contenders does.

pub mod instructions;
pub mod measure;
pub mod names;
pub mod options;
pub mod plot;
pub mod report;

pub use measure::Sample;
pub use options::Options;
pub use report::{Goal, Report, Row};
