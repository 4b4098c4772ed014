//! `shell`: commands line by line, all on one connection.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use clap::Parser as _;
use clap::error::ErrorKind;
use nsemail::{Error, ExitCode};

use crate::Source;
use crate::cli::{Cli, Global, Who};
use crate::connect::Connection;
use crate::output::Output;

/// Reads commands until there are no more. Answers the exit code of the first that failed, unless a person types them.
pub fn run(global: &Global, connection: &Connection) -> Result<ExitCode, Error> {
    let interactive = io::stdin().is_terminal();
    let mut first_failure = ExitCode::Ok;
    let mut line = String::new();
    loop {
        if interactive {
            eprint!("nsemail> ");
            io::stderr().flush()?;
        }
        line.clear();
        // The lock is not held while a command runs, which may ask a person.
        if io::stdin().lock().read_line(&mut line)? == 0 {
            break;
        }
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if matches!(text, "exit" | "quit") {
            break;
        }
        let exit_code = execute(text, global, connection);
        if first_failure == ExitCode::Ok && !interactive {
            first_failure = exit_code;
        }
    }
    Ok(first_failure)
}

/// Runs one line, and tells of its error.
fn execute(line: &str, global: &Global, connection: &Connection) -> ExitCode {
    let Some(words) = shlex::split(line) else {
        let error = Error::Usage("a quote is not closed".to_owned());
        return crate::ended(Err(error), Output::new(global));
    };
    let cli = match Cli::try_parse_from(std::iter::once("nsemail".to_owned()).chain(words)) {
        Ok(cli) => cli,
        Err(error) => {
            // It is help as often as an error, and goes where it belongs.
            let _ = error.print();
            let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if help { ExitCode::Ok } else { ExitCode::Usage };
        }
    };
    let output = Output::new(global).or(Output::new(&cli.global));
    let other_identity = ![global.identity, Who::Administrator].contains(&cli.global.identity);
    if cli.global.embedded.is_some() || cli.global.verifier || other_identity {
        let error =
            Error::Usage("the machine, and who to be on it, are chosen when the shell is started".to_owned());
        return crate::ended(Err(error), output);
    }
    crate::ended(
        crate::run(&cli.command, output, &Source::Open(connection)),
        output,
    )
}
