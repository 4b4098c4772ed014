//! `demo`, under construction.
use crate::cli::Demo;
use crate::output::Output;
use nsemail::{Error, ExitCode};
pub fn run(_demo: &Demo, _output: &Output) -> Result<ExitCode, Error> {
    Ok(ExitCode::Ok)
}
